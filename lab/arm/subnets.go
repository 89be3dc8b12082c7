package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// subnet is a part of a virtual network, and kept in it.
type subnet struct {
	Name       string           `json:"name,omitempty"`
	ID         string           `json:"id,omitempty"`
	ETag       string           `json:"etag,omitempty"`
	Properties subnetProperties `json:"properties"`
	Type       string           `json:"type,omitempty"`
}

type subnetProperties struct {
	ProvisioningState     string   `json:"provisioningState,omitempty"`
	AddressPrefix         string   `json:"addressPrefix,omitempty"`
	AddressPrefixes       []string `json:"addressPrefixes,omitempty"`
	NetworkSecurityGroup  *ref     `json:"networkSecurityGroup,omitempty"`
	RouteTable            *ref     `json:"routeTable,omitempty"`
	IPConfigurations      []ref    `json:"ipConfigurations,omitempty"`
	Delegations           []ref    `json:"delegations"`
	Purpose               string   `json:"purpose,omitempty"`
	PrivateEndpoint       string   `json:"privateEndpointNetworkPolicies,omitempty"`
	PrivateLinkService    string   `json:"privateLinkServiceNetworkPolicies,omitempty"`
	DefaultOutboundAccess *bool    `json:"defaultOutboundAccess,omitempty"`
}

// prefix is a subnet's range.
func (s *subnet) prefix() netip.Prefix {
	text := s.Properties.AddressPrefix
	if text == "" && len(s.Properties.AddressPrefixes) > 0 {
		text = s.Properties.AddressPrefixes[0]
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

// subnetView adds what uses a subnet.
func (s *Service) subnetView(sub *subnet) *subnet {
	v := clone(sub)
	v.Properties.Delegations = []ref{}
	v.Properties.IPConfigurations = nil
	for _, n := range ordered(s.st.Interfaces) {
		for _, ip := range n.Properties.IPConfigurations {
			if ip.Properties.Subnet != nil && key(ip.Properties.Subnet.ID) == key(sub.ID) {
				v.Properties.IPConfigurations = append(v.Properties.IPConfigurations, ref{ip.ID})
			}
		}
	}
	return v
}

// findSubnet returns a subnet by its id with its network, nil when there is none.
func (s *Service) findSubnet(id string) (*network, *subnet) {
	n := s.st.Networks[key(parent(id))]
	if n == nil {
		return nil, nil
	}
	return n, n.subnet(lastName(id))
}

// admitSubnet checks a subnet against its network and those of it that were checked before, and completes it.
func (s *Service) admitSubnet(n *network, in, old *subnet) *apiError {
	if in.Name == "" {
		return refuse(http.StatusBadRequest, "InvalidResourceName", "Resource name is invalid: a subnet of virtual network %s has none.", n.Name)
	}
	id := n.ID + "/subnets/" + in.Name
	texts := in.Properties.AddressPrefixes
	if len(texts) == 0 && in.Properties.AddressPrefix != "" {
		texts = []string{in.Properties.AddressPrefix}
	}
	if len(texts) != 1 {
		return unsupported("A subnet has one address prefix; %s has %d.", id, len(texts))
	}
	p, err := checkRange(texts[0], "InvalidAddressPrefixFormat", "Address prefix %s of resource %s is not formatted correctly. It should follow CIDR notation, for example 10.0.0.0/24.", id)
	if err != nil {
		return err
	}
	inside := false
	for _, space := range n.space() {
		inside = inside || space.Bits() <= p.Bits() && space.Contains(p.Addr())
	}
	if !inside || p.Bits() > 29 {
		return refuse(http.StatusBadRequest, "NetcfgSubnetRangeOutsideVnet", "Subnet '%s' is not valid because its IP address range is outside the IP address range of virtual network '%s'.", in.Name, n.Name)
	}
	for _, other := range n.Properties.Subnets {
		if !strings.EqualFold(other.Name, in.Name) && other.prefix().Overlaps(p) {
			return refuse(http.StatusBadRequest, "NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '%s'.", in.Name, n.Name)
		}
	}
	if old != nil && old.prefix() != p {
		if err := s.subnetRemovable(old, nil); err != nil {
			return refuse(http.StatusBadRequest, "InUsePrefixCannotBeDeleted", "IpPrefix %s on Subnet %s has active allocations and cannot be deleted.", old.prefix(), old.Name)
		}
	}
	if err := s.checkSubnetRefs(n, in, id); err != nil {
		return err
	}
	in.ID, in.Type, in.ETag = id, subnetType, newETag()
	in.Properties.ProvisioningState, in.Properties.IPConfigurations = stateUpdating, nil
	if in.Properties.PrivateEndpoint == "" {
		in.Properties.PrivateEndpoint = "Disabled"
	}
	if in.Properties.PrivateLinkService == "" {
		in.Properties.PrivateLinkService = "Enabled"
	}
	return nil
}

// checkSubnetRefs checks what a subnet names: a security group and a route table of the same location.
func (s *Service) checkSubnetRefs(n *network, in *subnet, id string) *apiError {
	if r := in.Properties.NetworkSecurityGroup; r != nil {
		g := s.st.SecurityGroups[key(r.ID)]
		if g == nil || g.Location != n.Location {
			return invalidReference(r.ID, id)
		}
		r.ID = g.ID
	}
	if r := in.Properties.RouteTable; r != nil {
		t := s.st.RouteTables[key(r.ID)]
		if t == nil || t.Location != n.Location {
			return invalidReference(r.ID, id)
		}
		r.ID = t.ID
	}
	if len(in.Properties.Delegations) > 0 {
		return unsupported("Delegations are not supported on subnet %s.", id)
	}
	return nil
}

func (s *Service) putSubnet(c *call) (*answer, *apiError) {
	in, err := decode[subnet](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.st.Networks[key(parent(c.id))]
	if n == nil {
		return nil, parentNotFound(c.id)
	}
	if err := s.free(n.ID); err != nil {
		return nil, err
	}
	name := lastName(c.id)
	if in.Name != "" && !strings.EqualFold(in.Name, name) {
		return nil, refuse(http.StatusBadRequest, "InvalidRequestFormat", "The name '%s' in the body is not the one in the path, '%s'.", in.Name, name)
	}
	old, status := n.subnet(name), http.StatusOK
	in.Name = name
	if old == nil {
		status = http.StatusCreated
	} else {
		in.Name = old.Name
	}
	if err := matchTag(c, old); err != nil {
		return nil, err
	}
	if err := s.admitSubnet(n, in, old); err != nil {
		return nil, err
	}
	s.placeSubnet(n, in)
	return s.writingSubnet(c, n, in, status)
}

// matchTag holds If-Match against a subnet's own tag.
func matchTag(c *call, old *subnet) *apiError {
	if old == nil {
		return precondition(c, nil)
	}
	return precondition(c, &network{head: head{ETag: old.ETag, ID: old.ID}})
}

// placeSubnet records a subnet in its network.
func (s *Service) placeSubnet(n *network, in *subnet) {
	n.ETag = newETag()
	for i, sub := range n.Properties.Subnets {
		if strings.EqualFold(sub.Name, in.Name) {
			n.Properties.Subnets[i] = in
			return
		}
	}
	n.Properties.Subnets = append(n.Properties.Subnets, in)
}

func (s *Service) writingSubnet(c *call, n *network, in *subnet, status int) (*answer, *apiError) {
	id := in.ID
	op, err := s.begin(job{family: networkFamily, location: n.Location, target: n.ID, took: 4 * time.Second, ended: func(failure *apiError) {
		if _, now := s.findSubnet(id); now != nil {
			now.Properties.ProvisioningState = stateSucceeded
			if failure != nil {
				now.Properties.ProvisioningState = stateFailed
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	before := s.subnetView(in)
	return s.accepted(c, status, op, func() any {
		if _, now := s.findSubnet(id); now != nil {
			return s.subnetView(now)
		}
		return before
	}), nil
}

func (s *Service) getSubnet(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, sub := s.findSubnet(c.id)
	switch {
	case n == nil:
		return nil, resourceNotFound(parent(c.id))
	case sub == nil:
		return nil, childNotFound(c.id)
	}
	a := shown(http.StatusOK, s.subnetView(sub))
	a.header = http.Header{"Etag": {sub.ETag}}
	return a, nil
}

func (s *Service) listSubnets(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := wholeOf(c, s.st.Networks, c.id+"/x")
	if err != nil {
		return nil, err
	}
	var out []any
	for _, sub := range n.Properties.Subnets {
		out = append(out, s.subnetView(sub))
	}
	return s.page(c, out)
}

func (s *Service) deleteSubnet(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, sub := s.findSubnet(c.id)
	if sub == nil {
		return &answer{status: http.StatusNoContent}, nil
	}
	if err := s.free(n.ID); err != nil {
		return nil, err
	}
	if err := matchTag(c, sub); err != nil {
		return nil, err
	}
	if err := s.subnetRemovable(sub, nil); err != nil {
		return nil, err
	}
	sub.Properties.ProvisioningState = stateDeleting
	id := sub.ID
	op, err := s.begin(job{family: networkFamily, location: n.Location, target: n.ID, part: id, took: 8 * time.Second, ended: func(*apiError) {
		if n, sub := s.findSubnet(id); sub != nil {
			dropSubnet(n, sub.Name)
		}
	}})
	if err != nil {
		return nil, err
	}
	return s.accepted(c, http.StatusAccepted, op, nil), nil
}

func dropSubnet(n *network, name string) {
	n.Properties.Subnets, n.ETag = allBut(n.Properties.Subnets, name), newETag()
}

// taken are the addresses of a subnet that interfaces have.
func (s *Service) taken(sub *subnet) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, n := range s.st.Interfaces {
		for _, ip := range n.Properties.IPConfigurations {
			if ip.Properties.Subnet == nil || key(ip.Properties.Subnet.ID) != key(sub.ID) {
				continue
			}
			if a, err := netip.ParseAddr(ip.Properties.PrivateIPAddress); err == nil {
				out[a] = ip.ID
			}
		}
	}
	return out
}

// reserved says whether Azure keeps an address of a subnet for itself: the first four and the last.
func reserved(p netip.Prefix, a netip.Addr) bool {
	first := p.Masked().Addr()
	for range 4 {
		if a == first {
			return true
		}
		first = first.Next()
	}
	return p.Contains(a) && !p.Contains(a.Next())
}

// checkFree says why an interface can't have an address of a subnet; user is what has it by right.
func (s *Service) checkFree(sub *subnet, a netip.Addr, user string) *apiError {
	switch by := s.taken(sub)[a]; {
	case !sub.prefix().Contains(a):
		return refuse(http.StatusBadRequest, "PrivateIPAddressNotInSubnet", "Private static IP address %s does not belong to the range of subnet prefix %s.", a, sub.prefix())
	case reserved(sub.prefix(), a):
		return refuse(http.StatusBadRequest, "PrivateIPAddressInReservedRange", "Private static IP address %s falls within reserved IP range of subnet prefix %s.", a, sub.prefix())
	case by != "" && key(by) != key(user):
		return refuse(http.StatusBadRequest, "PrivateIPAddressIsAllocated", "Private static IP address %s is already allocated to resource %s.", a, by)
	}
	return nil
}

// nextFree is the lowest free address of a subnet.
func (s *Service) nextFree(sub *subnet) (netip.Addr, *apiError) {
	taken := s.taken(sub)
	for a := sub.prefix().Addr(); sub.prefix().Contains(a); a = a.Next() {
		if taken[a] == "" && !reserved(sub.prefix(), a) {
			return a, nil
		}
	}
	return netip.Addr{}, refuse(http.StatusBadRequest, "SubnetIsFull", "Subnet %s with address prefix %s does not have enough capacity for 1 IP addresses.", sub.Name, sub.prefix())
}
