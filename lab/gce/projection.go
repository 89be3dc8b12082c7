package gce

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/lab/world"
)

// impliedPriority is that of the rules every network has: allow all that goes out, deny all that comes in.
const impliedPriority = 65535

// project computes what the physical side must look like: one network for each of the cloud's networks and regions that
// has machines, in order of their ids. It only reads the records.
func project(st *state) []world.Network {
	byID := map[string]*world.Network{}
	k := known{st, sorted(st.Routes), sorted(st.Firewalls), map[*compute.Firewall][]netip.Prefix{}}
	for _, i := range sorted(st.Instances) {
		region := zoneToRegion(base(i.Zone))
		for n, nic := range i.NetworkInterfaces {
			id := worldID(nic.Network, region)
			w := byID[id]
			if w == nil {
				w = &world.Network{ID: id, Cloud: "gcp", Region: region}
				byID[id] = w
			}
			w.NICs = append(w.NICs, k.projectNIC(i, nic, n))
		}
	}
	out := make([]world.Network, 0, len(byID))
	for _, w := range byID {
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b world.Network) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// known is what is looked up for all interfaces alike: routes and firewalls in their order, and the addresses at the other end
// of firewalls.
type known struct {
	*state
	routes    []*compute.Route
	firewalls []*compute.Firewall
	remotes   map[*compute.Firewall][]netip.Prefix
}

func (k known) remote(f *compute.Firewall) []netip.Prefix {
	if _, ok := k.remotes[f]; !ok {
		k.remotes[f] = prefixes(f.DestinationRanges)
		if f.Direction != "EGRESS" {
			k.remotes[f] = append(prefixes(f.SourceRanges), tagged(k.state, f.Network, f.SourceTags)...)
		}
	}
	return k.remotes[f]
}

func worldID(network, region string) string { return base(network) + "/" + region }

func tagsOf(i *compute.Instance) []string {
	if i.Tags == nil {
		return nil
	}
	return i.Tags.Items
}

func (k known) projectNIC(i *compute.Instance, nic *compute.NetworkInterface, n int) world.NIC {
	ip, _ := netip.ParseAddr(nic.NetworkIP)
	w := world.NIC{
		ID: formatID(i.Id) + "-" + nic.Name, Machine: formatID(i.Id), Device: fmt.Sprintf("ens%d", 4+n), MAC: macOf(ip),
		Address: netip.PrefixFrom(ip, 32), MTU: defaultMTU, Forwarding: i.CanIpForward,
	}
	if network := k.Networks[nic.Network]; network != nil && network.Mtu != 0 {
		w.MTU = int(network.Mtu)
	}
	if sub := k.Subnetworks[nic.Subnetwork]; sub != nil {
		w.Gateway, _ = netip.ParseAddr(sub.GatewayAddress)
	}
	for _, ac := range nic.AccessConfigs {
		w.Public, _ = netip.ParseAddr(ac.NatIP)
	}
	for _, r := range k.routes {
		if r.Network != nic.Network {
			continue
		}
		if r.NextHopGateway != "" && r.DestRange == "0.0.0.0/0" && appliesTo(r, tagsOf(i)) {
			w.Internet = w.Public.IsValid()
		}
		if (r.NextHopInstance == i.SelfLink || r.NextHopIp == nic.NetworkIP && i.CanIpForward) && seenByAll(k.state, r) {
			w.Routed = append(w.Routed, netip.MustParsePrefix(r.DestRange))
		}
	}
	w.Inbound, w.Outbound = k.projectRules(i, nic)
	return w
}

// seenByAll says whether every machine of a route's network sees it: a router of the lab has one table for all.
func seenByAll(st *state, r *compute.Route) bool {
	for _, i := range st.Instances {
		if usesNetwork(i, r.Network) && i.SelfLink != r.NextHopInstance && !appliesTo(r, tagsOf(i)) {
			return false
		}
	}
	return true
}

// macOf is the hardware address that Compute Engine gives an interface: made of its address.
func macOf(ip netip.Addr) string {
	if !ip.Is4() {
		return ""
	}
	b := ip.As4()
	return fmt.Sprintf("42:01:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

func (k known) projectRules(i *compute.Instance, nic *compute.NetworkInterface) (in, out []world.Rule) {
	for _, f := range k.firewalls {
		if f.Network != nic.Network || !targets(f, tagsOf(i)) {
			continue
		}
		remote := k.remote(f)
		var rules []world.Rule
		for _, a := range f.Allowed {
			rules = append(rules, portRules(f, true, a.IPProtocol, a.Ports, remote)...)
		}
		for _, d := range f.Denied {
			rules = append(rules, portRules(f, false, d.IPProtocol, d.Ports, remote)...)
		}
		if f.Direction == "EGRESS" {
			out = append(out, rules...)
		} else {
			in = append(in, rules...)
		}
	}
	out = append(out, world.Rule{Priority: impliedPriority, Allow: true, Remote: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	order := func(a, b world.Rule) int { return cmp.Compare(a.Priority, b.Priority) }
	slices.SortStableFunc(in, order)
	slices.SortStableFunc(out, order)
	return in, out
}

func portRules(f *compute.Firewall, allow bool, protocol string, ports []string, remote []netip.Prefix) []world.Rule {
	rule := world.Rule{Priority: int(f.Priority), Allow: allow, Protocol: worldProtocol(protocol), Remote: remote}
	if len(ports) == 0 {
		return []world.Rule{rule}
	}
	var out []world.Rule
	for _, p := range ports {
		rule.FromPort, rule.ToPort, _ = portRange(p)
		if rule.ToPort > 0 { // port 0 carries nothing, and 0 to 0 would mean every port
			out = append(out, rule)
		}
	}
	return out
}

// worldProtocol turns a firewall's protocol into the form of world.Rule.
func worldProtocol(p string) string {
	switch p {
	case "all":
		return ""
	case "tcp", "udp", "icmp":
		return p
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "1":
		return "icmp"
	}
	if n, ok := protocolNumbers[p]; ok {
		return strconv.Itoa(n)
	}
	return p
}

// prefixes reads ranges, IPv4 only: the lab's networks have no other addresses.
func prefixes(ranges []string) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range ranges {
		if p, err := netip.ParsePrefix(r); err == nil && p.Addr().Is4() {
			out = append(out, p.Masked())
		} else if a, err := netip.ParseAddr(r); err == nil && a.Is4() {
			out = append(out, netip.PrefixFrom(a, 32))
		}
	}
	return out
}

// tagged are the addresses of a network's machines that have one of the tags.
func tagged(st *state, network string, tags []string) []netip.Prefix {
	var out []netip.Prefix
	if len(tags) == 0 {
		return nil
	}
	for _, i := range sorted(st.Instances) {
		if !slices.ContainsFunc(tagsOf(i), func(t string) bool { return slices.Contains(tags, t) }) {
			continue
		}
		for _, nic := range i.NetworkInterfaces {
			if ip, err := netip.ParseAddr(nic.NetworkIP); err == nil && nic.Network == network {
				out = append(out, netip.PrefixFrom(ip, 32))
			}
		}
	}
	return out
}

// projected is the projection of the records as they are now.
func (s *Service) projected() []world.Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	return project(&s.st)
}
