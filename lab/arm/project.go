package arm

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/skyweld/skyweld/lab/world"
)

// mtu is that of Azure's interfaces.
const mtu = 1500

// wireServer is the address of Azure's own services at every machine: the wire server, the resolver, and the load
// balancer's probes.
var wireServer = netip.MustParsePrefix("168.63.129.16/32")

var everywhere = netip.MustParsePrefix("0.0.0.0/0")

// project computes what the physical side must look like: the networks that have machines, in order of their ids. It only
// reads the records.
func (s *Service) project() []world.Network {
	byID := map[string]*world.Network{}
	for _, m := range ordered(s.st.Machines) {
		for i, r := range m.Properties.NetworkProfile.NetworkInterfaces {
			n := s.st.Interfaces[key(r.ID)]
			if n == nil {
				continue
			}
			net, sub := s.findSubnet(n.primary().Properties.Subnet.ID)
			if sub == nil {
				continue
			}
			id := net.Properties.ResourceGUID
			if byID[id] == nil {
				byID[id] = &world.Network{ID: id, Cloud: "azure", Region: net.Location}
			}
			byID[id].NICs = append(byID[id].NICs, s.projectNIC(net, sub, n, m, i))
		}
	}
	var out []world.Network
	for _, w := range ordered(byID) {
		out = append(out, *w)
	}
	return out
}

// projectNIC is one interface of a machine: it has its private address only, and its public one is mapped to it.
func (s *Service) projectNIC(net *network, sub *subnet, n *nic, m *machine, index int) world.NIC {
	own := n.address()
	w := world.NIC{
		ID: n.Properties.ResourceGUID, Machine: m.Properties.VMID, Device: fmt.Sprintf("eth%d", index), MAC: strings.ToLower(strings.ReplaceAll(n.Properties.MACAddress, "-", ":")),
		Address: netip.PrefixFrom(own, sub.prefix().Bits()), Gateway: sub.prefix().Addr().Next(), MTU: mtu, Forwarding: n.Properties.EnableIPForwarding,
	}
	if p := n.primary().Properties.PublicIPAddress; p != nil {
		if a := s.st.Addresses[key(p.ID)]; a != nil {
			w.Public, _ = netip.ParseAddr(a.Properties.IPAddress)
		}
	}
	w.Internet = w.Public.IsValid() && !s.cutOff(sub)
	if w.Forwarding {
		w.Routed = s.routedTo(net, own)
	}
	w.Inbound = s.effective(net, sub, n, "Inbound", own)
	w.Outbound = s.effective(net, sub, n, "Outbound", own)
	return w
}

// cutOff says that a subnet's route table leads the whole internet elsewhere.
func (s *Service) cutOff(sub *subnet) bool {
	t := s.tableFor(sub)
	if t == nil {
		return false
	}
	for _, r := range t.Properties.Routes {
		if r.Properties.AddressPrefix == everywhere.String() && r.Properties.NextHopType != "Internet" {
			return true
		}
	}
	return false
}

func (s *Service) tableFor(sub *subnet) *routeTab {
	if sub.Properties.RouteTable == nil {
		return nil
	}
	return s.st.RouteTables[key(sub.Properties.RouteTable.ID)]
}

// routedTo are the ranges that user-defined routes lead to an address of a network. A router of the lab has one table for
// all, so that only those count which every subnet with interfaces has.
func (s *Service) routedTo(net *network, hop netip.Addr) []netip.Prefix {
	count, subnets := map[netip.Prefix]int{}, 0
	var order []netip.Prefix
	for _, sub := range net.Properties.Subnets {
		if len(s.taken(sub)) == 0 {
			continue
		}
		subnets++
		t := s.tableFor(sub)
		if t == nil {
			continue
		}
		for _, r := range t.Properties.Routes {
			p, err := netip.ParsePrefix(r.Properties.AddressPrefix)
			if err != nil || r.Properties.NextHopType != "VirtualAppliance" || r.Properties.NextHopIPAddress != hop.String() || p.Bits() == 0 {
				continue
			}
			if count[p]++; count[p] == 1 {
				order = append(order, p)
			}
		}
	}
	var out []netip.Prefix
	for _, p := range order {
		if count[p] == subnets {
			out = append(out, p)
		}
	}
	return out
}

// projected is the projection of the records as they are now.
func (s *Service) projected() []world.Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.project()
}
