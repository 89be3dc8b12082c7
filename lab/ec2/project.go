package ec2

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/skyweld/skyweld/lab/world"
)

const (
	jumbo        = 9001 // MTU inside a VPC
	rulePriority = 100  // all the same: security groups only allow
)

// project says what a region's records mean for the physical world: one network for each VPC, in the order of ids. A
// VPC without attached interfaces has none.
func project(r *region) map[string]world.Network {
	out := map[string]world.Network{}
	members := groupMembers(r)
	routed := routedRanges(r)
	for _, n := range sorted(r.Interfaces) {
		if n.Attachment == nil {
			continue
		}
		net := out[n.VPC]
		net.ID, net.Cloud, net.Region = n.VPC, "aws", r.Name
		net.NICs = append(net.NICs, r.nic(n, members, routed[n.ID]))
		out[n.VPC] = net
	}
	return out
}

func (r *region) nic(n *netInterface, members map[string][]netip.Prefix, routed []netip.Prefix) world.NIC {
	s := r.Subnets[n.Subnet]
	cidr := mustPrefix(s.CIDR)
	return world.NIC{
		ID: n.ID, Machine: n.Attachment.Instance, Device: deviceName(n.Attachment.Device), MAC: n.MAC, MTU: jumbo,
		Address: netip.PrefixFrom(n.Address, cidr.Bits()), Gateway: addrAt(cidr, 1), Public: r.publicOf(n), Internet: r.online(s),
		Forwarding: !n.SourceDestCheck, Routed: routed,
		Inbound: r.worldRules(n, false, members), Outbound: r.worldRules(n, true, members),
	}
}

// deviceName is what udev calls the n-th interface of an instance on the Nitro system.
func deviceName(index int) string { return "ens" + itoa(5+index) }

// online says whether a subnet's routes lead to the internet.
func (r *region) online(s *subnet) bool {
	t := r.tableOf(s)
	return slices.ContainsFunc(t.Routes, func(e route) bool {
		return e.Destination == "0.0.0.0/0" && e.Gateway != "" && r.active(t, e)
	})
}

// groupMembers are the addresses that a reference to a group stands for.
func groupMembers(r *region) map[string][]netip.Prefix {
	m := map[string][]netip.Prefix{}
	for _, n := range sorted(r.Interfaces) {
		for _, g := range n.Groups {
			m[g] = append(m[g], netip.PrefixFrom(n.Address, n.Address.BitLen()))
		}
	}
	return m
}

// routedRanges are the ranges that route tables in force send to interfaces.
func routedRanges(r *region) map[string][]netip.Prefix {
	inForce := map[string]bool{}
	for _, s := range r.Subnets {
		inForce[r.tableOf(s).ID] = true
	}
	m := map[string][]netip.Prefix{}
	for _, t := range sorted(r.RouteTables) {
		for _, e := range t.Routes {
			p := mustPrefix(e.Destination)
			if e.Interface != "" && inForce[t.ID] && !slices.Contains(m[e.Interface], p) {
				m[e.Interface] = append(m[e.Interface], p)
			}
		}
	}
	for _, list := range m {
		slices.SortFunc(list, netip.Prefix.Compare)
	}
	return m
}

// worldRules joins the rules of an interface's groups. IPv6 is left out, as machines have only IPv4. The world knows no
// ICMP types, so a rule for one of them lets ICMP pass as a whole.
func (r *region) worldRules(n *netInterface, egress bool, members map[string][]netip.Prefix) []world.Rule {
	type key struct {
		protocol string
		from, to uint16
	}
	remotes := map[key]map[netip.Prefix]bool{}
	for _, id := range n.Groups {
		g := r.Groups[id]
		if g == nil {
			continue
		}
		for _, rule := range g.Rules {
			if rule.Egress != egress || rule.CIDR6 != "" || rule.Protocol == "icmpv6" {
				continue
			}
			k := key{protocol: rule.Protocol}
			switch rule.Protocol {
			case "-1":
				k.protocol = ""
			case "tcp", "udp":
				if rule.To == 0 {
					continue // port 0 alone carries nothing, and 0 to 0 means all ports in the world's rules
				}
				k.from, k.to = uint16(rule.From), uint16(rule.To)
			}
			if remotes[k] == nil {
				remotes[k] = map[netip.Prefix]bool{}
			}
			if rule.CIDR4 != "" {
				remotes[k][mustPrefix(rule.CIDR4)] = true
			}
			for _, p := range members[rule.Group] {
				remotes[k][p] = true
			}
		}
	}
	var out []world.Rule
	for k, set := range remotes {
		out = append(out, world.Rule{Priority: rulePriority, Allow: true, Protocol: k.protocol, FromPort: k.from, ToPort: k.to,
			Remote: slices.SortedFunc(maps.Keys(set), netip.Prefix.Compare)})
	}
	slices.SortFunc(out, func(a, b world.Rule) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.FromPort, b.FromPort), cmp.Compare(a.ToPort, b.ToPort))
	})
	return out
}
