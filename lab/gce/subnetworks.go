package gce

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/api/compute/v1"
)

// forbiddenRanges can't be used by subnets, as Google's documentation of subnets lists them.
var forbiddenRanges = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("199.36.153.4/30"),
	netip.MustParsePrefix("199.36.153.8/30"),
}

func (s *Service) subnetworkFingerprint(sub *compute.Subnetwork) {
	sub.Fingerprint = ""
	sub.Fingerprint = fingerprint(sub)
}

// addSubnetwork completes a subnet and records it with its route.
func (s *Service) addSubnetwork(sub *compute.Subnetwork, region string) {
	sub.Kind, sub.Id, sub.CreationTimestamp = "compute#subnetwork", newID(), stamp()
	sub.SelfLink = s.regional(region, "subnetworks", sub.Name)
	sub.Region = "projects/" + s.cfg.Project + "/regions/" + region
	sub.Purpose, sub.StackType, sub.PrivateIpv6GoogleAccess = "PRIVATE", "IPV4_ONLY", "DISABLE_GOOGLE_ACCESS"
	p := netip.MustParsePrefix(sub.IpCidrRange)
	sub.GatewayAddress = p.Addr().Next().String()
	s.subnetworkFingerprint(sub)
	s.st.Subnetworks[sub.SelfLink] = sub
	s.addSubnetRoute(sub, sub.IpCidrRange)
	for _, sec := range sub.SecondaryIpRanges {
		s.addSubnetRoute(sub, sec.IpCidrRange)
	}
}

func (s *Service) addSubnetRoute(sub *compute.Subnetwork, dest string) {
	s.addRoute(&compute.Route{
		Description: fmt.Sprintf("Default local route to the subnetwork %s.", dest), Network: sub.Network, DestRange: dest,
		NextHopNetwork: sub.Network, Priority: 0,
	})
}

// dropSubnetRoutes removes the routes to a range of a network's subnet.
func (s *Service) dropSubnetRoutes(network, dest string) {
	for p, r := range s.st.Routes {
		if r.Network == network && r.NextHopNetwork == network && r.DestRange == dest {
			delete(s.st.Routes, p)
		}
	}
}

func (s *Service) insertSubnetwork(c *call) (any, *apiError) {
	var in compute.Subnetwork
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	if err := checkName("resource.name", in.Name); err != nil {
		return nil, err
	}
	if in.Network == "" {
		return nil, required("resource.network")
	}
	network, err := s.resolve("resource.network", in.Network, "networks")
	if err != nil {
		return nil, err
	}
	if err := checkSubnetwork(&in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.regional(c.region, "subnetworks", in.Name)
	if s.st.Subnetworks[path] != nil {
		return nil, alreadyExists(path)
	}
	n := s.st.Networks[network]
	if n == nil || s.busy[network] == "insert" {
		return nil, s.missing(network)
	}
	if err := s.checkRange("resource.ipCidrRange", in.IpCidrRange, n, ""); err != nil {
		return nil, err
	}
	for i, sec := range in.SecondaryIpRanges {
		if err := s.checkRange(fmt.Sprintf("resource.secondaryIpRanges[%d].ipCidrRange", i), sec.IpCidrRange, n, ""); err != nil {
			return nil, err
		}
	}
	if err := s.checkQuota("", "SUBNETWORKS", 1); err != nil {
		return nil, err
	}
	sub := &compute.Subnetwork{
		Name: in.Name, Description: in.Description, Network: network, IpCidrRange: in.IpCidrRange,
		PrivateIpGoogleAccess: in.PrivateIpGoogleAccess, SecondaryIpRanges: in.SecondaryIpRanges, LogConfig: in.LogConfig, EnableFlowLogs: in.EnableFlowLogs,
	}
	s.addSubnetwork(sub, c.region)
	return s.start(c, job{verb: "insert", target: path, targetID: sub.Id, took: 12 * time.Second})
}

func checkSubnetwork(in *compute.Subnetwork) *apiError {
	if in.IpCidrRange == "" {
		return required("resource.ipCidrRange")
	}
	if p := in.Purpose; p != "" && p != "PRIVATE" && p != "PRIVATE_RFC_1918" {
		return unsupportedField("resource.purpose")
	}
	if in.StackType != "" && in.StackType != "IPV4_ONLY" || in.Ipv6AccessType != "" {
		return unsupportedField("resource.stackType")
	}
	if in.ReservedInternalRange != "" || in.IpCollection != "" {
		return unsupportedField("resource.reservedInternalRange")
	}
	if in.AllowSubnetCidrRoutesOverlap {
		return unsupportedField("resource.allowSubnetCidrRoutesOverlap")
	}
	for i, sec := range in.SecondaryIpRanges {
		field := fmt.Sprintf("resource.secondaryIpRanges[%d]", i)
		if err := checkName(field+".rangeName", sec.RangeName); err != nil {
			return err
		}
		if sec.ReservedInternalRange != "" {
			return unsupportedField(field + ".reservedInternalRange")
		}
		if p, ok := parsePrefix(sec.IpCidrRange); ok {
			if q, ok := parsePrefix(in.IpCidrRange); ok && p.Overlaps(q) {
				return invalidField(field+".ipCidrRange", sec.IpCidrRange, fmt.Sprintf("Invalid IPCidrRange: %s conflicts with the primary range.", sec.IpCidrRange))
			}
		}
	}
	return nil
}

// checkRange refuses a range that is malformed, reserved or overlaps another of the network. The subnet named except
// isn't compared with.
func (s *Service) checkRange(field, text string, n *compute.Network, except string) *apiError {
	p, ok := parsePrefix(text)
	if !ok {
		return invalidField(field, text, "Must be a CIDR address range.")
	}
	if p.Masked() != p {
		return invalidField(field, text, "Invalid CIDR range: the address must be the first of the range.")
	}
	if p.Bits() < 4 || p.Bits() > 29 {
		return invalidField(field, text, "Invalid IPCidrRange: the prefix length must be between 4 and 29.")
	}
	for _, f := range forbiddenRanges {
		if f.Overlaps(p) {
			return invalidField(field, text, fmt.Sprintf("Invalid IPCidrRange: %s is in the prohibited range %s.", text, f))
		}
	}
	if n.AutoCreateSubnetworks && p.Overlaps(netip.MustParsePrefix(autoBlock)) {
		return invalidField(field, text, "Extended subnetworks in auto subnet mode networks cannot overlap with 10.128.0.0/9.")
	}
	for _, sub := range sorted(s.st.Subnetworks) {
		if sub.Network != n.SelfLink || sub.SelfLink == except {
			continue
		}
		if slices.ContainsFunc(subnetRanges(sub), p.Overlaps) {
			return invalidField(field, text, fmt.Sprintf("Invalid IPCidrRange: %s conflicts with existing subnetwork '%s' in region '%s'.", text, sub.Name, base(sub.Region)))
		}
	}
	return nil
}

func subnetRanges(sub *compute.Subnetwork) []netip.Prefix {
	out := []netip.Prefix{netip.MustParsePrefix(sub.IpCidrRange)}
	for _, sec := range sub.SecondaryIpRanges {
		out = append(out, netip.MustParsePrefix(sec.IpCidrRange))
	}
	return out
}

func (s *Service) patchSubnetwork(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, sub, err := find(s, s.st.Subnetworks, c)
	if err != nil {
		return nil, err
	}
	next, given, err := patch(sub, c.body)
	if err != nil {
		return nil, err
	}
	if next.Fingerprint != sub.Fingerprint || !given["fingerprint"] {
		return nil, conditionNotMet("Supplied fingerprint does not match current subnetwork fingerprint.")
	}
	if next.IpCidrRange != sub.IpCidrRange {
		return nil, invalidField("resource.ipCidrRange", next.IpCidrRange, "The primary range can only be changed by expandIpCidrRange.")
	}
	if err := checkSubnetwork(next); err != nil {
		return nil, err
	}
	n := s.st.Networks[sub.Network]
	for i, sec := range next.SecondaryIpRanges {
		if err := s.checkRange(fmt.Sprintf("resource.secondaryIpRanges[%d].ipCidrRange", i), sec.IpCidrRange, n, path); err != nil {
			return nil, err
		}
	}
	for _, sec := range sub.SecondaryIpRanges {
		s.dropSubnetRoutes(sub.Network, sec.IpCidrRange)
	}
	sub.SecondaryIpRanges, sub.PrivateIpGoogleAccess, sub.LogConfig = next.SecondaryIpRanges, next.PrivateIpGoogleAccess, next.LogConfig
	sub.EnableFlowLogs = next.EnableFlowLogs
	for _, sec := range sub.SecondaryIpRanges {
		s.addSubnetRoute(sub, sec.IpCidrRange)
	}
	s.subnetworkFingerprint(sub)
	return s.start(c, job{verb: "compute.subnetworks.patch", target: path, targetID: sub.Id, took: 8 * time.Second})
}

func (s *Service) setPrivateGoogleAccess(c *call) (any, *apiError) {
	var in compute.SubnetworksSetPrivateIpGoogleAccessRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, sub, err := find(s, s.st.Subnetworks, c)
	if err != nil {
		return nil, err
	}
	sub.PrivateIpGoogleAccess = in.PrivateIpGoogleAccess
	s.subnetworkFingerprint(sub)
	return s.start(c, job{verb: "setPrivateIpGoogleAccess", target: path, targetID: sub.Id, took: 5 * time.Second})
}

func (s *Service) expandSubnetwork(c *call) (any, *apiError) {
	var in compute.SubnetworksExpandIpCidrRangeRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, sub, err := find(s, s.st.Subnetworks, c)
	if err != nil {
		return nil, err
	}
	n := s.st.Networks[sub.Network]
	if err := s.checkRange("ipCidrRange", in.IpCidrRange, n, path); err != nil {
		return nil, err
	}
	old, next := netip.MustParsePrefix(sub.IpCidrRange), netip.MustParsePrefix(in.IpCidrRange)
	if next.Bits() >= old.Bits() || !next.Contains(old.Addr()) {
		return nil, invalidField("ipCidrRange", in.IpCidrRange, fmt.Sprintf("New IP CIDR range must be larger than and contain the existing range %s.", old))
	}
	s.dropSubnetRoutes(sub.Network, sub.IpCidrRange)
	// The gateway stays: machines hold it as their default route.
	sub.IpCidrRange = in.IpCidrRange
	s.addSubnetRoute(sub, sub.IpCidrRange)
	s.subnetworkFingerprint(sub)
	return s.start(c, job{verb: "expandIpCidrRange", target: path, targetID: sub.Id, took: 8 * time.Second})
}

func (s *Service) deleteSubnetwork(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, sub, err := find(s, s.st.Subnetworks, c)
	if err != nil {
		return nil, err
	}
	if by := s.subnetworkUser(path); by != "" {
		return nil, inUse("subnetwork", path, by)
	}
	if n := s.st.Networks[sub.Network]; n != nil && n.AutoCreateSubnetworks && sub.Name == n.Name {
		return nil, invalidUsage("Cannot delete auto subnetwork from an auto subnet mode network.")
	}
	return s.startDelete(c, path, sub.Id, 12*time.Second)
}

func (s *Service) removeSubnetwork(path string) *apiError {
	sub := s.st.Subnetworks[path]
	if sub == nil {
		return nil
	}
	if by := s.subnetworkUser(path); by != "" {
		return inUse("subnetwork", path, by)
	}
	for _, r := range subnetRanges(sub) {
		s.dropSubnetRoutes(sub.Network, r.String())
	}
	delete(s.st.Subnetworks, path)
	return nil
}

// subnetworkUser returns something that uses a subnet, empty when nothing does.
func (s *Service) subnetworkUser(path string) string {
	for _, i := range sorted(s.st.Instances) {
		for _, nic := range i.NetworkInterfaces {
			if nic.Subnetwork == path {
				return i.SelfLink
			}
		}
	}
	for _, a := range sorted(s.st.Addresses) {
		if a.Subnetwork == path {
			return a.SelfLink
		}
	}
	return ""
}

// freeAddress returns the first free address of a subnet. Google keeps the first two and the last two of the range.
func (s *Service) freeAddress(sub *compute.Subnetwork) (netip.Addr, bool) {
	p := netip.MustParsePrefix(sub.IpCidrRange)
	used := s.usedAddresses(sub.Network)
	for a := p.Addr().Next().Next(); p.Contains(a.Next().Next()); a = a.Next() {
		if used[a] == "" && a.String() != sub.GatewayAddress {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// usedAddresses maps the internal addresses of a network that are taken to who holds them.
func (s *Service) usedAddresses(network string) map[netip.Addr]string {
	used := map[netip.Addr]string{}
	for _, a := range s.st.Addresses {
		if sub := s.st.Subnetworks[a.Subnetwork]; sub != nil && sub.Network == network {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				used[ip] = a.SelfLink
			}
		}
	}
	for _, i := range s.st.Instances {
		for _, nic := range i.NetworkInterfaces {
			if ip, err := netip.ParseAddr(nic.NetworkIP); err == nil && nic.Network == network {
				used[ip] = i.SelfLink
			}
		}
	}
	return used
}

// usable says whether an address may be given to a machine of a subnet.
func usable(sub *compute.Subnetwork, ip netip.Addr) bool {
	p := netip.MustParsePrefix(sub.IpCidrRange)
	first := p.Addr()
	return p.Contains(ip) && ip != first && ip != first.Next() && p.Contains(ip.Next()) && p.Contains(ip.Next().Next()) && ip.String() != sub.GatewayAddress
}
