package mesh

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// keepalive, in seconds, keeps the state that stateful firewalls hold for the tunnel from expiring.
const keepalive = 25

// ethernetMTU is what an underlay is taken to carry when nothing is known of it.
const ethernetMTU = 1500

// For computes the tunnel of the node called self. sites maps each site's name to its address block. The result is the
// same for the same members in any order. The error holds everything that is wrong with the input, not just the first thing.
func For(net Network, sites map[string]netip.Prefix, nodes []Node, self string) (Config, error) {
	if err := check(net, sites, nodes); err != nil {
		return Config{}, fmt.Errorf("mesh of node %q: %w", self, err)
	}
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == self })
	if i < 0 {
		return Config{}, fmt.Errorf("mesh of node %q: it is not one of the %d nodes", self, len(nodes))
	}
	own := nodes[i]
	config := Config{
		Port:     net.Port,
		MTU:      net.MTU,
		Address:  single(first(own.Pods)),
		Peers:    []Peer{},
		Routes:   []Route{},
		Rules:    []Rule{{From: own.Pods, Table: Table, Priority: RulePriority}},
		Internal: internal(net, sites),
		Pods:     own.Pods,
	}
	for _, other := range nodes {
		if other.Name == self {
			continue
		}
		peer, err := peerOf(own, other, net.Port)
		if err != nil {
			return Config{}, fmt.Errorf("mesh of node %q: %w", self, err)
		}
		config.Peers = append(config.Peers, peer)
		config.Routes = append(config.Routes, routesTo(own, other)...)
	}
	slices.SortFunc(config.Peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(config.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), comparePrefixes(a.To, b.To))
	})
	return config, nil
}

// MTU is what the tunnel can carry over the given underlays, each in bytes: the smallest of them less the tunnel's
// overhead. Without any it is what Ethernet allows.
func MTU(underlays ...int) int {
	smallest := ethernetMTU
	if len(underlays) > 0 {
		smallest = slices.Min(underlays)
	}
	return smallest - Overhead
}

func peerOf(own, other Node, port int) (Peer, error) {
	endpoint := other.Address
	if other.Site != own.Site {
		if !other.Public.Is4() {
			return Peer{}, fmt.Errorf("node %q of site %q has no public IPv4 address to be reached at from site %q", other.Name, other.Site, own.Site)
		}
		endpoint = other.Public
	}
	return Peer{
		Name:       other.Name,
		Site:       other.Site,
		PublicKey:  other.PublicKey,
		Endpoint:   netip.AddrPortFrom(endpoint, uint16(port)),
		AllowedIPs: []netip.Prefix{other.Pods, single(other.Address)},
		Keepalive:  keepalive,
	}, nil
}

// routesTo leads to another node. Our packets to its pods carry an address of our own pod block, because the answer of a
// pod comes back through the tunnel only if it is sent to one: to a private address of its own site it would leave
// outside the tunnel, with a pod's address as source, and the cloud would drop it.
func routesTo(own, other Node) []Route {
	routes := []Route{
		{To: other.Pods, Source: first(own.Pods)},
		{To: single(other.Address), Table: Table},
	}
	if other.Site != own.Site {
		routes = append(routes, Route{To: single(other.Address), Source: own.Address})
	}
	return routes
}

func internal(net Network, sites map[string]netip.Prefix) []netip.Prefix {
	ranges := []netip.Prefix{net.Pods, net.Services}
	for _, block := range sites {
		ranges = append(ranges, block)
	}
	slices.SortFunc(ranges, comparePrefixes)
	return ranges
}

// check says everything that is wrong with a mesh as a whole.
func check(net Network, sites map[string]netip.Prefix, nodes []Node) error {
	problems := checkNetwork(net, sites)
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	names, keys, addresses := map[string]bool{}, map[string]string{}, map[netip.Addr]string{}
	claim := func(node string, address netip.Addr) {
		if taken, ok := addresses[address]; ok {
			fail("nodes %q and %q have the same address %s", taken, node, address)
		}
		addresses[address] = node
	}
	for _, n := range nodes {
		if n.Name == "" || names[n.Name] {
			fail("node name %q is empty or taken", n.Name)
		}
		names[n.Name] = true
		if raw, err := base64.StdEncoding.DecodeString(n.PublicKey); err != nil || len(raw) != 32 {
			fail("node %q: public key %q is not 32 bytes in base64", n.Name, n.PublicKey)
		} else if taken, ok := keys[n.PublicKey]; ok {
			fail("nodes %q and %q have the same public key", taken, n.Name)
		}
		keys[n.PublicKey] = n.Name
		block, ok := sites[n.Site]
		if !ok {
			fail("node %q: no site %q", n.Name, n.Site)
		} else if !block.Contains(n.Address) {
			fail("node %q: address %s is not in site %q, %s", n.Name, n.Address, n.Site, block)
		}
		claim(n.Name, n.Address)
		if n.Public.IsValid() {
			claim(n.Name, n.Public)
		}
		if !ipv4(n.Pods) || n.Pods.Bits() > 30 || !within(net.Pods, n.Pods) {
			fail("node %q: pod block %s is not a block of the pods' range %s", n.Name, n.Pods, net.Pods)
		}
	}
	// In order of their addresses, any overlap shows between neighbours.
	ordered := slices.SortedFunc(slices.Values(nodes), func(a, b Node) int { return comparePrefixes(a.Pods, b.Pods) })
	for i := 1; i < len(ordered); i++ {
		if a, b := ordered[i-1], ordered[i]; a.Pods.IsValid() && a.Pods.Overlaps(b.Pods) {
			fail("pod blocks of nodes %q and %q overlap: %s and %s", a.Name, b.Name, a.Pods, b.Pods)
		}
	}
	return errors.Join(problems...)
}

func checkNetwork(net Network, sites map[string]netip.Prefix) []error {
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if net.Mode != CrossSite {
		fail("unknown mode %q", net.Mode)
	}
	if net.Port < 1 || net.Port > 65535 {
		fail("port %d is not between 1 and 65535", net.Port)
	}
	if net.MTU < 576 || net.MTU > 65535 {
		fail("MTU %d is not between 576 and 65535", net.MTU)
	}
	type block struct {
		name   string
		prefix netip.Prefix
	}
	blocks := []block{{"pods", net.Pods}, {"services", net.Services}}
	for name, prefix := range sites {
		blocks = append(blocks, block{"site " + name, prefix})
	}
	slices.SortFunc(blocks[2:], func(a, b block) int { return cmp.Compare(a.name, b.name) })
	for i, b := range blocks {
		if !ipv4(b.prefix) {
			fail("range of %s, %s, is not an IPv4 block", b.name, b.prefix)
			continue
		}
		for _, a := range blocks[:i] {
			if a.prefix.IsValid() && a.prefix.Overlaps(b.prefix) {
				fail("ranges of %s and %s overlap: %s and %s", a.name, b.name, a.prefix, b.prefix)
			}
		}
	}
	return problems
}

// ipv4 says that a prefix is an IPv4 block written with its first address.
func ipv4(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() && p == p.Masked() }

func within(outer, inner netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

// first is the first usable address of a block: the one after the network's own.
func first(block netip.Prefix) netip.Addr { return block.Masked().Addr().Next() }

func single(address netip.Addr) netip.Prefix { return netip.PrefixFrom(address, address.BitLen()) }

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
