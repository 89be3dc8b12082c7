package arm

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/lab/world"
)

// effective are the rules that hold at an interface: a packet must pass the subnet's security group and the interface's
// own. Where there is none, the network's machines and what is on the way out pass, and nothing from the internet: a
// Standard public address is closed until a group opens it.
func (s *Service) effective(net *network, sub *subnet, n *nic, direction string, own netip.Addr) []world.Rule {
	var groups []*securityGroup
	for _, r := range []*ref{sub.Properties.NetworkSecurityGroup, n.Properties.NetworkSecurityGroup} {
		if r != nil && s.st.SecurityGroups[key(r.ID)] != nil {
			groups = append(groups, s.st.SecurityGroups[key(r.ID)])
		}
	}
	space := net.space()
	if len(groups) == 0 {
		if direction == "Outbound" {
			return []world.Rule{{Priority: 65000, Allow: true, Remote: []netip.Prefix{everywhere}}}
		}
		return []world.Rule{{Priority: 65000, Allow: true, Remote: append(slices.Clone(space), wireServer)}}
	}
	rules := compile(groups[0], direction, own, space)
	if len(groups) == 2 {
		rules = both(rules, compile(groups[1], direction, own, space))
	}
	return rules
}

// compile turns a group's rules of one direction into the world's, in order of priority.
func compile(g *securityGroup, direction string, own netip.Addr, space []netip.Prefix) []world.Rule {
	all := append(slices.Clone(g.Properties.SecurityRules), defaultRules(g)...)
	slices.SortStableFunc(all, func(a, b *rule) int { return a.Properties.Priority - b.Properties.Priority })
	var out []world.Rule
	for _, r := range all {
		p := r.Properties
		if p.Direction != direction {
			continue
		}
		here, there := p.destinations(), p.sources()
		if direction == "Outbound" {
			here, there = there, here
		}
		if !slices.ContainsFunc(resolve(here, space), func(p netip.Prefix) bool { return p.Contains(own) }) {
			continue
		}
		remote := resolve(there, space)
		for _, text := range p.ports() {
			from, to, _ := portRange(text)
			protocol := protocols[p.Protocol]
			base := world.Rule{Priority: p.Priority, Allow: p.Access == "Allow", Protocol: protocol, Remote: remote}
			switch {
			case from == 0 && to == 0 || text == "0-65535" || protocol != "" && protocol != "tcp" && protocol != "udp":
				out = append(out, base)
			case protocol == "":
				// Ports of any protocol: of those that have ports.
				for _, with := range []string{"tcp", "udp"} {
					base.Protocol, base.FromPort, base.ToPort = with, from, to
					out = append(out, base)
				}
			default:
				base.FromPort, base.ToPort = from, to
				out = append(out, base)
			}
		}
	}
	return out
}

// resolve turns a rule's addresses into ranges: service tags too.
func resolve(texts []string, space []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		switch {
		case t == "*":
			out = append(out, everywhere)
		case strings.EqualFold(t, tagNetwork):
			out = append(out, space...)
		case strings.EqualFold(t, tagInternet):
			out = append(out, without([]netip.Prefix{everywhere}, append(slices.Clone(space), wireServer))...)
		case strings.EqualFold(t, tagLoadBalancer):
			out = append(out, wireServer)
		default:
			if a, err := netip.ParseAddr(t); err == nil && a.Is4() {
				out = append(out, netip.PrefixFrom(a, 32))
			}
			out = append(out, ranges([]string{t})...)
		}
	}
	return out
}

// without takes ranges away from others.
func without(from, gone []netip.Prefix) []netip.Prefix {
	for _, g := range gone {
		var left []netip.Prefix
		for _, p := range from {
			left = append(left, minus(p, g)...)
		}
		from = left
	}
	return from
}

// minus takes one range away from another, by halves.
func minus(p, gone netip.Prefix) []netip.Prefix {
	switch {
	case !p.Overlaps(gone):
		return []netip.Prefix{p}
	case gone.Bits() <= p.Bits():
		return nil
	}
	low, high := halves(p)
	return append(minus(low, gone), minus(high, gone)...)
}

func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	b := p.Addr().As4()
	b[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
	return netip.PrefixFrom(p.Addr(), bits), netip.PrefixFrom(netip.AddrFrom4(b), bits)
}

// both is the list of rules that lets pass what two lists let pass, each evaluated by itself: where the first allows, the
// second decides about the same packets.
func both(a, b []world.Rule) []world.Rule {
	var out []world.Rule
	for _, first := range a {
		if !first.Allow {
			out = append(out, first)
			continue
		}
		for _, second := range b {
			if r, ok := meet(first, second); ok {
				out = append(out, r)
			}
		}
	}
	for i := range out {
		out[i].Priority = i + 1 // the order is made; equal priorities would put denials first
	}
	return out
}

// meet is what two rules both match, with the second's verdict.
func meet(a, b world.Rule) (world.Rule, bool) {
	r := b
	switch {
	case a.Protocol == "":
	case b.Protocol == "" || a.Protocol == b.Protocol:
		r.Protocol = a.Protocol
	default:
		return r, false
	}
	switch {
	case a.FromPort == 0 && a.ToPort == 0:
	case b.FromPort == 0 && b.ToPort == 0:
		r.FromPort, r.ToPort = a.FromPort, a.ToPort
	default:
		r.FromPort, r.ToPort = max(a.FromPort, b.FromPort), min(a.ToPort, b.ToPort)
		if r.FromPort > r.ToPort {
			return r, false
		}
	}
	r.Remote = nil
	for _, p := range a.Remote {
		for _, q := range b.Remote {
			switch {
			case !p.Overlaps(q):
			case p.Bits() >= q.Bits():
				r.Remote = append(r.Remote, p)
			default:
				r.Remote = append(r.Remote, q)
			}
		}
	}
	return r, len(r.Remote) > 0
}
