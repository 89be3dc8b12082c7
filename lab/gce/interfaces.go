package gce

import (
	"fmt"
	"net/netip"

	"google.golang.org/api/compute/v1"
)

// planInterfaces fills in the instance's interfaces. It returns the public addresses that it took for the time of the
// instance's life, and what stands in the way of starting, which shows in the operation.
func (s *Service) planInterfaces(i, in *compute.Instance, region string) (taken []string, conflict *opError, err *apiError) {
	nics := in.NetworkInterfaces
	if len(nics) == 0 {
		return nil, nil, required("resource.networkInterfaces")
	}
	defer func() {
		if err != nil {
			s.giveBack(region, taken)
		}
	}()
	for n, want := range nics {
		field := fmt.Sprintf("resource.networkInterfaces[%d]", n)
		nic, opErr, apiErr := s.planInterface(field, region, want, n)
		if apiErr != nil {
			return taken, nil, apiErr
		}
		if opErr != nil {
			conflict = opErr
		}
		for _, other := range i.NetworkInterfaces {
			if other.Network == nic.Network {
				return taken, nil, invalidField(field, nic.Network, "Networks must be distinct for NICs attached to a VM.")
			}
		}
		ephemeral, apiErr := s.planAccess(field, region, nic, want.AccessConfigs)
		taken = append(taken, ephemeral...)
		if apiErr != nil {
			return taken, nil, apiErr
		}
		i.NetworkInterfaces = append(i.NetworkInterfaces, nic)
	}
	return taken, conflict, nil
}

func (s *Service) planInterface(field, region string, want *compute.NetworkInterface, n int) (*compute.NetworkInterface, *opError, *apiError) {
	if len(want.AliasIpRanges) > 0 || len(want.Ipv6AccessConfigs) > 0 || want.StackType != "" && want.StackType != "IPV4_ONLY" || want.NetworkAttachment != "" {
		return nil, nil, unsupportedField(field + ".aliasIpRanges")
	}
	sub, err := s.subnetOf(field, region, want)
	if err != nil {
		return nil, nil, err
	}
	nic := &compute.NetworkInterface{
		Kind: "compute#networkInterface", Name: fmt.Sprintf("nic%d", n), Network: sub.Network, Subnetwork: sub.SelfLink, StackType: "IPV4_ONLY",
		NicType: want.NicType, QueueCount: want.QueueCount,
	}
	ip, ok := s.freeAddress(sub)
	if want.NetworkIP == "" {
		if !ok {
			return nil, &opError{code: "IP_SPACE_EXHAUSTED", http: 400, message: ipSpaceExhausted(sub).message}, nil
		}
		nic.NetworkIP = ip.String()
		return nic, nil, nil
	}
	ip, err = s.internalIP(field+".networkIP", want.NetworkIP, sub)
	if err != nil {
		return nil, nil, err
	}
	nic.NetworkIP = ip.String()
	if by := s.usedAddresses(sub.Network)[ip]; by != "" && s.st.Instances[by] != nil {
		return nic, &opError{code: "IP_IN_USE_BY_ANOTHER_RESOURCE", http: 400, message: fmt.Sprintf("IP '%s' is already being used by another resource.", ip)}, nil
	}
	return nic, nil, nil
}

// internalIP reads an address, or a reference to a reserved one.
func (s *Service) internalIP(field, value string, sub *compute.Subnetwork) (netip.Addr, *apiError) {
	text := value
	if r, ok := s.parseRef(value); ok && r.plural == "addresses" {
		a := s.st.Addresses[r.path()]
		if a == nil || a.AddressType != "INTERNAL" {
			return netip.Addr{}, s.gone(field, value, "address", r.path())
		}
		text = a.Address
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ip, invalidField(field, value, "Must be a valid IP address.")
	}
	if !usable(sub, ip) {
		return ip, invalidField(field, value, "Requested internal IP address is outside the subnetwork CIDR range.")
	}
	return ip, nil
}

// subnetOf finds the subnet of an interface by what the request names: the subnet, the network, or neither.
func (s *Service) subnetOf(field, region string, want *compute.NetworkInterface) (*compute.Subnetwork, *apiError) {
	network := want.Network
	if network == "" && want.Subnetwork == "" {
		network = s.global("networks", "default")
	}
	var n *compute.Network
	if network != "" {
		path, err := s.resolve(field+".network", network, "networks")
		if err != nil {
			return nil, err
		}
		if n = s.st.Networks[path]; n == nil || s.busy[path] == "insert" {
			return nil, s.gone(field+".network", network, "network", path)
		}
	}
	if want.Subnetwork == "" {
		if !n.AutoCreateSubnetworks {
			return nil, invalidField(field+".network", network, "Network interface must specify a subnet if the network resource is in custom subnet mode.")
		}
		return s.st.Subnetworks[s.regional(region, "subnetworks", n.Name)], nil
	}
	path, err := s.resolve(field+".subnetwork", want.Subnetwork, "subnetworks")
	if err != nil {
		return nil, err
	}
	sub := s.st.Subnetworks[path]
	switch {
	case sub == nil || s.busy[path] == "insert":
		return nil, s.gone(field+".subnetwork", want.Subnetwork, "subnetwork", path)
	case s.busy[path] == "delete":
		return nil, notReady(path)
	case base(sub.Region) != region:
		return nil, invalidField(field+".subnetwork", want.Subnetwork, fmt.Sprintf("The subnetwork is not in region '%s'.", region))
	case n != nil && sub.Network != n.SelfLink:
		return nil, invalidField(field+".subnetwork", want.Subnetwork, fmt.Sprintf("Subnetwork %q is not valid for Network %q.", sub.Name, n.Name))
	}
	return sub, nil
}

// planAccess gives an interface its public address, and returns it when it is only for the time of the instance's life.
func (s *Service) planAccess(field, region string, nic *compute.NetworkInterface, want []*compute.AccessConfig) ([]string, *apiError) {
	if len(want) > 1 {
		return nil, invalidField(field+".accessConfigs", fmt.Sprint(len(want)), "At most one access config currently supported.")
	}
	var taken []string
	for _, w := range want {
		ac, ephemeral, err := s.accessConfig(field+".accessConfigs[0]", region, w)
		if err != nil {
			return taken, err
		}
		if ephemeral {
			taken = append(taken, ac.NatIP)
		}
		nic.AccessConfigs = append(nic.AccessConfigs, ac)
	}
	return taken, nil
}

func (s *Service) accessConfig(field, region string, want *compute.AccessConfig) (ac *compute.AccessConfig, ephemeral bool, err *apiError) {
	ac = &compute.AccessConfig{Kind: "compute#accessConfig", Name: want.Name, Type: "ONE_TO_ONE_NAT", NetworkTier: want.NetworkTier}
	if want.Type != "" && want.Type != ac.Type {
		return nil, false, invalidField(field+".type", want.Type, "Must be ONE_TO_ONE_NAT.")
	}
	if want.SetPublicPtr || want.PublicPtrDomainName != "" || want.SecurityPolicy != "" {
		return nil, false, unsupportedField(field + ".setPublicPtr")
	}
	if ac.Name == "" {
		ac.Name = "External NAT"
	}
	if want.NatIP != "" {
		a, err := s.externalAddress(field+".natIP", region, want.NatIP)
		if err != nil {
			return nil, false, err
		}
		ac.NatIP, ac.NetworkTier = a.Address, a.NetworkTier
		return ac, false, nil
	}
	if ac.NetworkTier == "" {
		ac.NetworkTier = "PREMIUM"
	}
	ip, takeErr := s.cfg.Pool(region).Take()
	if takeErr != nil {
		return nil, false, &apiError{code: 503, reason: "backendError", message: fmt.Sprintf("No external address is free in region '%s': %v.", region, takeErr)}
	}
	ac.NatIP = ip.String()
	return ac, true, nil
}

// externalAddress finds a reserved address by itself or by a reference.
func (s *Service) externalAddress(field, region, value string) (*compute.Address, *apiError) {
	lost := invalidField(field, value, fmt.Sprintf("The specified external IP address '%s' was not found in region '%s'.", value, region))
	r, isRef := s.parseRef(value)
	var found *compute.Address
	for _, a := range s.st.Addresses {
		if a.AddressType == "EXTERNAL" && base(a.Region) == region && s.busy[a.SelfLink] != "insert" && (a.Address == value || isRef && a.SelfLink == r.path()) {
			found = a
		}
	}
	if found == nil {
		return nil, lost
	}
	if s.busy[found.SelfLink] == "delete" {
		return nil, notReady(found.SelfLink)
	}
	if by := s.addressUser(found); by != "" {
		return nil, invalidField(field, value, "Specified IP address is in-use and would result in a conflict.")
	}
	return found, nil
}

func (s *Service) giveBack(region string, addresses []string) {
	for _, a := range addresses {
		s.putPublic(region, a)
	}
}
