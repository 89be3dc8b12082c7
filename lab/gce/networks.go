package gce

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"
)

const (
	defaultMTU = 1460
	autoBlock  = "10.128.0.0/9"
)

// networkView is a network as answers show it.
func (s *Service) networkView(n *compute.Network) *compute.Network {
	v := clone(n)
	for _, sub := range sorted(s.st.Subnetworks) {
		if sub.Network == n.SelfLink && s.busy[sub.SelfLink] != "insert" {
			v.Subnetworks = append(v.Subnetworks, sub.SelfLink)
		}
	}
	return v
}

func (s *Service) newNetwork(name string, auto bool) *compute.Network {
	id := newID()
	path := s.global("networks", name)
	return &compute.Network{
		Kind: "compute#network", Id: id, Name: name, CreationTimestamp: stamp(), SelfLink: path,
		SelfLinkWithId: s.global("networks", formatID(id)), AutoCreateSubnetworks: auto,
		NetworkFirewallPolicyEnforcementOrder: "AFTER_CLASSIC_FIREWALL",
		RoutingConfig:                         &compute.NetworkRoutingConfig{RoutingMode: "REGIONAL", BgpBestPathSelectionMode: "LEGACY"},
	}
}

// makeDefaultNetwork gives a fresh project the network and firewalls that Google gives it.
func (s *Service) makeDefaultNetwork() {
	n := s.newNetwork("default", true)
	n.Description = "Default network for the project"
	s.addNetwork(n)
	rule := func(name, about, from string, allowed ...*compute.FirewallAllowed) {
		s.st.Firewalls[s.global("firewalls", name)] = &compute.Firewall{
			Kind: "compute#firewall", Id: newID(), Name: name, Description: about, CreationTimestamp: stamp(), SelfLink: s.global("firewalls", name),
			Network: n.SelfLink, Direction: "INGRESS", Priority: 65534, SourceRanges: []string{from}, Allowed: allowed,
		}
	}
	rule("default-allow-icmp", "Allow ICMP from anywhere", "0.0.0.0/0", &compute.FirewallAllowed{IPProtocol: "icmp"})
	rule("default-allow-internal", "Allow internal traffic on the default network", autoBlock,
		&compute.FirewallAllowed{IPProtocol: "tcp", Ports: []string{"0-65535"}}, &compute.FirewallAllowed{IPProtocol: "udp", Ports: []string{"0-65535"}}, &compute.FirewallAllowed{IPProtocol: "icmp"})
	rule("default-allow-rdp", "Allow RDP from anywhere", "0.0.0.0/0", &compute.FirewallAllowed{IPProtocol: "tcp", Ports: []string{"3389"}})
	rule("default-allow-ssh", "Allow SSH from anywhere", "0.0.0.0/0", &compute.FirewallAllowed{IPProtocol: "tcp", Ports: []string{"22"}})
}

// addNetwork records a network with what Google makes with it: the route to the internet, and in auto mode a subnet in
// each region.
func (s *Service) addNetwork(n *compute.Network) {
	s.st.Networks[n.SelfLink] = n
	s.addRoute(&compute.Route{
		Description: "Default route to the Internet.", Network: n.SelfLink, DestRange: "0.0.0.0/0", Priority: 1000,
		NextHopGateway: "projects/" + s.cfg.Project + "/global/gateways/default-internet-gateway",
	})
	if !n.AutoCreateSubnetworks {
		return
	}
	for _, r := range s.cat.Regions {
		s.addSubnetwork(&compute.Subnetwork{Name: n.Name, Network: n.SelfLink, IpCidrRange: s.cat.autoRange(r.Name)}, r.Name)
	}
}

func (s *Service) insertNetwork(c *call) (any, *apiError) {
	var in compute.Network
	given, err := decode(c.body, &in)
	if err != nil {
		return nil, err
	}
	if err := checkName("resource.name", in.Name); err != nil {
		return nil, err
	}
	if !given["autoCreateSubnetworks"] {
		return nil, invalidField("resource.IPv4Range", in.IPv4Range, "Legacy networks can no longer be created. Set autoCreateSubnetworks to true or false.")
	}
	if err := checkNetwork(&in, given); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.global("networks", in.Name)
	if s.st.Networks[path] != nil {
		return nil, alreadyExists(path)
	}
	if err := s.checkQuota("", "NETWORKS", 1); err != nil {
		return nil, err
	}
	n := s.newNetwork(in.Name, in.AutoCreateSubnetworks)
	n.Description, n.Mtu = in.Description, in.Mtu
	if rc := in.RoutingConfig; rc != nil && rc.RoutingMode != "" {
		n.RoutingConfig.RoutingMode = rc.RoutingMode
	}
	if in.NetworkFirewallPolicyEnforcementOrder != "" {
		n.NetworkFirewallPolicyEnforcementOrder = in.NetworkFirewallPolicyEnforcementOrder
	}
	s.addNetwork(n)
	return s.start(c, job{verb: "insert", target: path, targetID: n.Id, took: 12 * time.Second})
}

func checkNetwork(in *compute.Network, given map[string]bool) *apiError {
	for field, used := range map[string]bool{
		"IPv4Range": in.IPv4Range != "", "enableUlaInternalIpv6": in.EnableUlaInternalIpv6, "networkProfile": in.NetworkProfile != "",
		"internalIpv6Range": in.InternalIpv6Range != "",
	} {
		if used {
			return unsupportedField("resource." + field)
		}
	}
	if given["mtu"] && in.Mtu != 0 && (in.Mtu < 1300 || in.Mtu > 8896) {
		return invalidField("resource.mtu", formatInt(in.Mtu), "Must be between 1300 and 8896.")
	}
	if rc := in.RoutingConfig; rc != nil && rc.RoutingMode != "" && rc.RoutingMode != "REGIONAL" && rc.RoutingMode != "GLOBAL" {
		return invalidField("resource.routingConfig.routingMode", rc.RoutingMode, "Must be REGIONAL or GLOBAL.")
	}
	switch in.NetworkFirewallPolicyEnforcementOrder {
	case "", "AFTER_CLASSIC_FIREWALL", "BEFORE_CLASSIC_FIREWALL":
		return nil
	}
	return invalidField("resource.networkFirewallPolicyEnforcementOrder", in.NetworkFirewallPolicyEnforcementOrder, "Unknown value.")
}

func (s *Service) patchNetwork(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, n, err := find(s, s.st.Networks, c)
	if err != nil {
		return nil, err
	}
	next, given, err := patch(n, c.body)
	if err != nil {
		return nil, err
	}
	if err := checkNetwork(next, given); err != nil {
		return nil, err
	}
	if given["autoCreateSubnetworks"] && next.AutoCreateSubnetworks != n.AutoCreateSubnetworks {
		return nil, invalidField("resource.autoCreateSubnetworks", "", "The mode can only be changed by switchToCustomMode.")
	}
	if given["mtu"] && next.Mtu != n.Mtu {
		for _, i := range sorted(s.st.Instances) {
			if i.Status != statusTerminated && usesNetwork(i, path) {
				return nil, invalidUsage("The MTU of a network can only be changed while its instances are stopped: " + i.SelfLink)
			}
		}
	}
	n.RoutingConfig, n.Mtu = next.RoutingConfig, next.Mtu
	n.NetworkFirewallPolicyEnforcementOrder = next.NetworkFirewallPolicyEnforcementOrder
	return s.start(c, job{verb: "compute.networks.patch", target: path, targetID: n.Id, took: 8 * time.Second})
}

func (s *Service) switchToCustomMode(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, n, err := find(s, s.st.Networks, c)
	if err != nil {
		return nil, err
	}
	if !n.AutoCreateSubnetworks {
		return nil, invalidUsage("Network is already in custom subnet mode")
	}
	n.AutoCreateSubnetworks = false
	return s.start(c, job{verb: "switchToCustomMode", target: path, targetID: n.Id, took: 8 * time.Second})
}

func (s *Service) deleteNetwork(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, n, err := find(s, s.st.Networks, c)
	if err != nil {
		return nil, err
	}
	// What stands in the way shows in the operation, not here.
	return s.startDelete(c, path, n.Id, 12*time.Second)
}

// startDelete begins the deletion of a resource that is taken out of the records when the operation ends.
func (s *Service) startDelete(c *call, path string, id uint64, took time.Duration) (any, *apiError) {
	if s.busy[path] != "" {
		return nil, notReady(path)
	}
	return s.start(c, job{verb: "delete", target: path, targetID: id, took: took, work: func(context.Context) *opError {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.remove(path)
	}})
}

// removeNetwork takes away a network that nothing uses, with what Google made with it.
func (s *Service) removeNetwork(path string) *apiError {
	n := s.st.Networks[path]
	if n == nil {
		return nil
	}
	if by := s.networkUser(n); by != "" {
		return inUse("network", path, by)
	}
	for p, sub := range s.st.Subnetworks {
		if sub.Network == path {
			delete(s.st.Subnetworks, p)
		}
	}
	for p, r := range s.st.Routes {
		if r.Network == path {
			delete(s.st.Routes, p)
		}
	}
	delete(s.st.Networks, path)
	return nil
}

// networkUser returns something that uses a network, empty when nothing does. The subnets of an auto mode network and
// the routes that came with it don't count.
func (s *Service) networkUser(n *compute.Network) string {
	for _, i := range sorted(s.st.Instances) {
		if usesNetwork(i, n.SelfLink) {
			return i.SelfLink
		}
	}
	for _, f := range sorted(s.st.Firewalls) {
		if f.Network == n.SelfLink {
			return f.SelfLink
		}
	}
	for _, r := range sorted(s.st.Routes) {
		if r.Network == n.SelfLink && !strings.HasPrefix(r.Name, "default-route-") {
			return r.SelfLink
		}
	}
	for _, sub := range sorted(s.st.Subnetworks) {
		if sub.Network != n.SelfLink {
			continue
		}
		if by := s.subnetworkUser(sub.SelfLink); by != "" {
			return by
		}
		if !n.AutoCreateSubnetworks || sub.Name != n.Name || sub.IpCidrRange != s.cat.autoRange(base(sub.Region)) {
			return sub.SelfLink
		}
	}
	return ""
}

func usesNetwork(i *compute.Instance, network string) bool {
	for _, nic := range i.NetworkInterfaces {
		if nic.Network == network {
			return true
		}
	}
	return false
}

// find returns the record that a call is about, by name or numeric id.
func find[T any](s *Service, table map[string]*T, c *call) (string, *T, *apiError) {
	plural := ""
	for i, p := range c.method.parts {
		if isVariable(p) {
			plural = c.method.parts[i-1]
		}
	}
	prefix := c.scopePath() + "/" + plural + "/"
	path := prefix + c.name
	v := table[path]
	if v == nil && c.name != "" && c.name[0] <= '9' {
		for p, item := range table {
			if id, _ := identity(item); strings.HasPrefix(p, prefix) && formatID(id) == c.name {
				path, v = p, item
			}
		}
	}
	if v == nil || s.hidden(path) {
		return "", nil, notFound(path)
	}
	if s.busy[path] == "insert" && plural != "instances" {
		return "", nil, notReady(path)
	}
	return path, v, nil
}

func parsePrefix(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	return p, err == nil && p.Addr().Is4()
}
