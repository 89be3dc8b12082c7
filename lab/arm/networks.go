package arm

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// network is a virtual network.
type network struct {
	head
	Properties networkProperties `json:"properties"`
}

type networkProperties struct {
	ProvisioningState           string       `json:"provisioningState,omitempty"`
	ResourceGUID                string       `json:"resourceGuid,omitempty"`
	AddressSpace                addressSpace `json:"addressSpace"`
	DHCPOptions                 *dhcpOptions `json:"dhcpOptions,omitempty"`
	PrivateEndpointVNetPolicies string       `json:"privateEndpointVNetPolicies,omitempty"`
	// Subnets are nil in a request that doesn't speak of them.
	Subnets                []*subnet `json:"subnets"`
	VirtualNetworkPeerings []ref     `json:"virtualNetworkPeerings"`
	EnableDdosProtection   bool      `json:"enableDdosProtection"`
}

type addressSpace struct {
	AddressPrefixes []string `json:"addressPrefixes"`
}

type dhcpOptions struct {
	DNSServers []string `json:"dnsServers"`
}

func (n *network) state() *string { return &n.Properties.ProvisioningState }

func (n *network) subnet(name string) *subnet { return named(n.Properties.Subnets, name) }

// space are a network's ranges.
func (n *network) space() []netip.Prefix { return ranges(n.Properties.AddressSpace.AddressPrefixes) }

// ranges reads IPv4 ranges; what is none is left out: requests are checked before.
func ranges(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		if p, err := netip.ParsePrefix(t); err == nil && p.Addr().Is4() {
			out = append(out, p.Masked())
		}
	}
	return out
}

func (s *Service) networkView(n *network) *network {
	v := clone(n)
	if v.Properties.Subnets == nil {
		v.Properties.Subnets = []*subnet{}
	}
	v.Properties.VirtualNetworkPeerings = []ref{}
	for i, sub := range v.Properties.Subnets {
		v.Properties.Subnets[i] = s.subnetView(sub)
	}
	return v
}

// putNetwork makes or changes a virtual network. Subnets that a change doesn't speak of stay; a list of them is the whole.
func (s *Service) putNetwork(c *call) (*answer, *apiError) {
	in, err := decode[network](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.st.Networks[key(c.id)]
	if err := s.admitNetwork(c, in, old); err != nil {
		return nil, err
	}
	status := http.StatusOK
	if old == nil {
		status = http.StatusCreated
		if err := s.checkQuota(in.Location, "VirtualNetworks", 1); err != nil {
			return nil, err
		}
	}
	kept := in.Properties
	in.Properties = networkProperties{
		ProvisioningState: stateUpdating, ResourceGUID: newUUID(), AddressSpace: kept.AddressSpace, DHCPOptions: kept.DHCPOptions,
		PrivateEndpointVNetPolicies: "Disabled", Subnets: kept.Subnets,
	}
	if old != nil {
		in.Properties.ResourceGUID = old.Properties.ResourceGUID
	}
	in.ETag = newETag()
	s.st.Networks[key(in.ID)] = in
	s.watch(in.Location)
	return s.writing(c, in, status, 4*time.Second, func() {
		for _, sub := range in.Properties.Subnets {
			sub.Properties.ProvisioningState = stateSucceeded
		}
	})
}

// admitNetwork checks a network with its subnets and completes them.
func (s *Service) admitNetwork(c *call, in, old *network) *apiError {
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, networkType, &in.head, before); err != nil {
		return err
	}
	if err := precondition(c, before); err != nil {
		return err
	}
	if err := s.free(in.ID); err != nil {
		return err
	}
	if len(in.Properties.AddressSpace.AddressPrefixes) == 0 {
		return refuse(http.StatusBadRequest, "InvalidRequestFormat", "Cannot parse the request: addressSpace of virtual network %s has no prefixes.", in.ID)
	}
	seen := []netip.Prefix{}
	for _, text := range in.Properties.AddressSpace.AddressPrefixes {
		p, err := checkRange(text, "InvalidAddressPrefixFormat", "Address prefix %s of resource %s is not formatted correctly. It should follow CIDR notation, for example 10.0.0.0/24.", in.ID)
		if err != nil {
			return err
		}
		for _, other := range seen {
			if p.Overlaps(other) {
				return refuse(http.StatusBadRequest, "OverlappingAddressPrefixes", "Address prefixes %s and %s of virtual network %s overlap.", other, p, in.Name)
			}
		}
		seen = append(seen, p)
	}
	if in.Properties.Subnets == nil && old != nil {
		in.Properties.Subnets = old.Properties.Subnets
	}
	return s.admitSubnets(in, old)
}

// admitSubnets checks the subnets of a request, and that those may go which aren't in it any more.
func (s *Service) admitSubnets(in, old *network) *apiError {
	all := in.Properties.Subnets
	in.Properties.Subnets = nil
	for _, sub := range all {
		if in.subnet(sub.Name) != nil {
			return refuse(http.StatusBadRequest, "DuplicateResourceName", "Resource %s has two child resources with the same name (%s).", in.ID, sub.Name)
		}
		var before *subnet
		if old != nil {
			before = old.subnet(sub.Name)
		}
		if err := s.admitSubnet(in, sub, before); err != nil {
			return err
		}
		in.Properties.Subnets = append(in.Properties.Subnets, sub)
	}
	if old == nil {
		return nil
	}
	for _, gone := range old.Properties.Subnets {
		if in.subnet(gone.Name) == nil {
			if err := s.subnetRemovable(gone, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkRange reads an IPv4 range whose address is its first.
func checkRange(text, code, format, id string) (netip.Prefix, *apiError) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, refuse(http.StatusBadRequest, code, format, text, id)
	}
	if p != p.Masked() {
		return p, refuse(http.StatusBadRequest, "InvalidCIDRNotation", "The address prefix %s in resource %s has an invalid CIDR notation. For the given prefix length, the address prefix should be %s.", text, id, p.Masked())
	}
	return p, nil
}

// writing begins the operation of a write whose record is there already, and answers with it.
func (s *Service) writing(c *call, r record, status int, took time.Duration, ended func()) (*answer, *apiError) {
	id := r.meta().ID
	op, err := s.begin(job{
		family: s.kindOf(r.meta().Type).family, location: r.meta().Location, target: id, took: took,
		ended: func(failure *apiError) {
			now := s.find(id)
			if now == nil {
				return
			}
			*now.state() = stateSucceeded
			if failure != nil {
				*now.state() = stateFailed
			}
			if now.meta().ETag != "" {
				now.meta().ETag = newETag()
			}
			if ended != nil {
				ended()
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return s.accepted(c, status, op, s.later(r)), nil
}

// networkUsage counts the addresses of each subnet that are taken.
func (s *Service) networkUsage(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.st.Networks[key(parent(c.id+"/x"))]
	if n == nil {
		return nil, resourceNotFound(parent(c.id + "/x"))
	}
	var out []any
	for _, sub := range n.Properties.Subnets {
		p := sub.prefix()
		out = append(out, map[string]any{
			"id": sub.ID, "currentValue": len(s.taken(sub)), "limit": 1<<(32-p.Bits()) - 5, "unit": "Count",
			"name": map[string]any{"localizedValue": "Subnet size and usage", "value": "SubnetSpace"},
		})
	}
	return shown(http.StatusOK, map[string]any{"value": out}), nil
}

// checkAddress says whether an address of a network is free.
func (s *Service) checkAddress(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.st.Networks[key(parent(c.id+"/x"))]
	if n == nil {
		return nil, resourceNotFound(parent(c.id + "/x"))
	}
	text := c.q.Get("ipAddress")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "InvalidIPAddress", "The address %s is no IP address.", text)
	}
	for _, sub := range n.Properties.Subnets {
		if !sub.prefix().Contains(a) {
			continue
		}
		free := s.checkFree(sub, a, "") == nil
		body := map[string]any{"available": free, "isPlatformReserved": reserved(sub.prefix(), a)}
		if !free {
			var others []string
			for other := sub.prefix().Addr(); sub.prefix().Contains(other) && len(others) < 5; other = other.Next() {
				if s.checkFree(sub, other, "") == nil {
					others = append(others, other.String())
				}
			}
			body["availableIPAddresses"] = others
		}
		return shown(http.StatusOK, body), nil
	}
	return nil, refuse(http.StatusBadRequest, "PrivateIPAddressNotInAnySubnet", "Private static IP address %s does not belong to the range of any subnet in the virtual network %s.", text, n.Name)
}

// watcher is a Network Watcher, which Azure makes by itself.
type watcher struct {
	head
	Properties struct {
		ProvisioningState string `json:"provisioningState,omitempty"`
		RunningOperations []any  `json:"runningOperationIds"`
	} `json:"properties"`
}

func (w *watcher) state() *string { return &w.Properties.ProvisioningState }

// watcherGroup is the group in which Azure makes a Network Watcher for each region with a network.
const watcherGroup = "NetworkWatcherRG"

// watch makes a region's Network Watcher, and the group for it, as Azure does with the first network of a region. The
// caller holds the lock.
func (s *Service) watch(location string) {
	for _, w := range s.st.Watchers {
		if w.Location == location {
			return
		}
	}
	g := s.st.Groups[strings.ToLower(watcherGroup)]
	if g == nil {
		g = s.newGroup(watcherGroup, location)
	}
	name := "NetworkWatcher_" + location
	w := &watcher{head: head{Name: name, ID: s.idOf(g.Name, watcherType, name), Type: watcherType, Location: location, ETag: newETag()}}
	w.Properties.ProvisioningState, w.Properties.RunningOperations = stateSucceeded, []any{}
	s.st.Watchers[key(w.ID)] = w
}

// putWatcher makes a region's Network Watcher, of which there is one at most.
func (s *Service) putWatcher(c *call) (*answer, *apiError) {
	in, err := decode[watcher](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, status := s.st.Watchers[key(c.id)], http.StatusOK
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, watcherType, &in.head, before); err != nil {
		return nil, err
	}
	if old == nil {
		status = http.StatusCreated
		for _, w := range s.st.Watchers {
			if w.Location == in.Location {
				return nil, refuse(http.StatusBadRequest, "NetworkWatcherCountLimitReached", "Cannot create more than 1 network watchers for this subscription in this region.")
			}
		}
	}
	in.ETag = newETag()
	in.Properties.ProvisioningState, in.Properties.RunningOperations = stateSucceeded, []any{}
	s.st.Watchers[key(in.ID)] = in
	s.save()
	return shown(status, s.view(in)), nil
}

// listOfWatcher lists what a Network Watcher does: nothing, as the lab's only are there.
func (s *Service) listOfWatcher(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := parent(c.id + "/x")
	if s.st.Watchers[key(id)] == nil {
		return nil, resourceNotFound(id)
	}
	return s.page(c, nil)
}

func inUse(code, format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, code, "%s", fmt.Sprintf(format, args...))
}
