package mesh

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func key(n int) string {
	raw := make([]byte, 32)
	raw[0], raw[1] = byte(n), byte(n>>8)
	return base64.StdEncoding.EncodeToString(raw)
}

func network() Network {
	return Network{
		Mode: CrossSite, Port: DefaultPort, MTU: 1420,
		Pods: netip.MustParsePrefix("10.216.0.0/14"), Services: netip.MustParsePrefix("10.96.0.0/16"),
	}
}

// members makes counts[i] nodes at the i-th site.
func members(counts ...int) (map[string]netip.Prefix, []Node) {
	sites, nodes := map[string]netip.Prefix{}, []Node{}
	for s, count := range counts {
		site := string(rune('a' + s))
		sites[site] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(64 + s), 0, 0}), 16)
		for i := range count {
			n := len(nodes)
			nodes = append(nodes, Node{
				Name: fmt.Sprintf("%s%d", site, i+1), Site: site,
				Address:   netip.AddrFrom4([4]byte{10, byte(64 + s), 0, byte(11 + i)}),
				Public:    netip.AddrFrom4([4]byte{198, 18, byte(1 + s), byte(11 + i)}),
				Pods:      netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 216, byte(n + 1), 0}), 24),
				PublicKey: key(n + 1),
			})
		}
	}
	return sites, nodes
}

func TestForTwoSites(t *testing.T) {
	sites, nodes := members(2, 2)
	for _, self := range nodes {
		config, err := For(network(), sites, nodes, self.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(config, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "two-sites-"+self.Name+".json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", golden, diff)
		}
	}
}

func TestForRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Network, map[string]netip.Prefix, []Node)
		want   string
	}{
		{"mode", func(n *Network, _ map[string]netip.Prefix, _ []Node) { n.Mode = "carrier-pigeon" }, `unknown mode "carrier-pigeon"`},
		{"port", func(n *Network, _ map[string]netip.Prefix, _ []Node) { n.Port = 0 }, "port 0 is not"},
		{"mtu", func(n *Network, _ map[string]netip.Prefix, _ []Node) { n.MTU = 100 }, "MTU 100 is not"},
		{"sites overlap", func(_ *Network, s map[string]netip.Prefix, _ []Node) { s["b"] = netip.MustParsePrefix("10.64.0.0/12") }, "ranges of site a and site b overlap"},
		{"pods overlap a site", func(_ *Network, s map[string]netip.Prefix, _ []Node) { s["b"] = netip.MustParsePrefix("10.217.0.0/16") }, "ranges of pods and site b overlap"},
		{"no services", func(n *Network, _ map[string]netip.Prefix, _ []Node) { n.Services = netip.Prefix{} }, "range of services"},
		{"name", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[1].Name = "a1" }, `node name "a1" is empty or taken`},
		{"key", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[1].PublicKey = "abc" }, `public key "abc" is not`},
		{"same key", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[1].PublicKey = n[0].PublicKey }, "have the same public key"},
		{"site", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[1].Site = "x" }, `no site "x"`},
		{"outside its site", func(_ *Network, _ map[string]netip.Prefix, n []Node) {
			n[1].Address = netip.MustParseAddr("10.65.0.99")
		}, "is not in site"},
		{"same address", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[1].Address = n[0].Address }, "have the same address"},
		{"pod block", func(_ *Network, _ map[string]netip.Prefix, n []Node) {
			n[1].Pods = netip.MustParsePrefix("10.99.0.0/24")
		}, "is not a block of the pods' range"},
		{"same pod block", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[1].Pods = n[0].Pods }, "pod blocks of nodes"},
		{"no public address", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[2].Public = netip.Addr{} }, "has no public IPv4 address"},
		{"not a member", func(_ *Network, _ map[string]netip.Prefix, n []Node) { n[0].Name = "other" }, "is not one of the 4 nodes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			net := network()
			sites, nodes := members(2, 2)
			c.change(&net, sites, nodes)
			_, err := For(net, sites, nodes, "a1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestMTU(t *testing.T) {
	for _, c := range []struct {
		underlays []int
		want      int
	}{{nil, 1420}, {[]int{1500}, 1420}, {[]int{9001, 1460, 1500}, 1380}, {[]int{1400, 1500}, 1320}} {
		if got := MTU(c.underlays...); got != c.want {
			t.Errorf("MTU(%v) = %d, want %d", c.underlays, got, c.want)
		}
	}
}

// way is how a node sends a packet.
type way string

const (
	tunnel   way = "tunnel"
	underlay way = "underlay"
	local    way = "local"
)

// send does what a node's kernel does with a packet: rules, routes by longest prefix, WireGuard's choice of peer. from is
// not valid for a socket that leaves its source open; the source the kernel chooses comes back.
func send(own Node, c Config, from, to netip.Addr) (way, string, netip.Addr) {
	if to == own.Address || own.Pods.Contains(to) {
		return local, own.Name, from
	}
	look := func(table int) (Route, bool) {
		var best Route
		for _, r := range c.Routes {
			if r.Table == table && r.To.Contains(to) && (!best.To.IsValid() || r.To.Bits() > best.To.Bits()) {
				best = r
			}
		}
		return best, best.To.IsValid()
	}
	route, ok := Route{}, false
	for _, rule := range c.Rules {
		if from.IsValid() && rule.From.Contains(from) && !ok {
			route, ok = look(rule.Table)
		}
	}
	if !ok {
		route, ok = look(0)
	}
	source := from
	if !source.IsValid() {
		if source = route.Source; !source.IsValid() {
			source = own.Address
		}
	}
	if !ok {
		return underlay, "", source
	}
	for _, p := range c.Peers {
		for _, allowed := range p.AllowedIPs {
			if allowed.Contains(to) {
				return tunnel, p.Name, source
			}
		}
	}
	return tunnel, "", source
}

// takes says whether a node's WireGuard accepts a packet with this source from that peer.
func takes(c Config, peer string, source netip.Addr) bool {
	for _, p := range c.Peers {
		if p.Name == peer {
			return slices.ContainsFunc(p.AllowedIPs, func(a netip.Prefix) bool { return a.Contains(source) })
		}
	}
	return false
}

func configs(t interface{ Fatal(...any) }, sites map[string]netip.Prefix, nodes []Node) map[string]Config {
	all := map[string]Config{}
	for _, n := range nodes {
		c, err := For(network(), sites, nodes, n.Name)
		if err != nil {
			t.Fatal(err)
		}
		all[n.Name] = c
	}
	return all
}

// Every packet between every two members goes where the design says, is accepted there, and its answer comes back the
// same way and unchanged.
func TestEveryPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sites, nodes := members(rapid.SliceOfN(rapid.IntRange(1, 5), 1, 5).Draw(t, "sites")...)
		all := configs(t, sites, nodes)
		for _, a := range nodes {
			for _, b := range nodes {
				if a.Name != b.Name {
					pair(t, a, b, all)
				}
			}
		}
	})
}

func pair(t *rapid.T, a, b Node, all map[string]Config) {
	podA, podB := a.Pods.Addr().Next().Next(), b.Pods.Addr().Next().Next()
	between := underlay
	if a.Site != b.Site {
		between = tunnel
	}
	for _, c := range []struct {
		name     string
		from, to netip.Addr
		want     way
	}{
		{"pod to pod", podA, podB, tunnel},
		{"pod to node", podA, b.Address, tunnel},
		{"node to pod", netip.Addr{}, podB, tunnel},
		{"node to pod, from its private address", a.Address, podB, tunnel},
		{"node to node", netip.Addr{}, b.Address, between},
		{"tunnel device to node", all[a.Name].Address.Addr(), b.Address, tunnel},
		{"the tunnel's own packets", a.Address, endpoint(all[a.Name], b.Name), underlay},
	} {
		by, peer, source := send(a, all[a.Name], c.from, c.to)
		if by != c.want {
			t.Fatalf("%s: %s → %s goes by %s, want %s", c.name, a.Name, b.Name, by, c.want)
		}
		if by == underlay {
			if a.Pods.Contains(source) {
				t.Fatalf("%s: %s → %s leaves by the underlay from pod address %s", c.name, a.Name, b.Name, source)
			}
			continue
		}
		if peer != b.Name || !takes(all[b.Name], a.Name, source) {
			t.Fatalf("%s: %s → %s from %s goes to %q, which doesn't accept it", c.name, a.Name, b.Name, source, peer)
		}
		back, peer, _ := send(b, all[b.Name], c.to, source)
		if back != by || peer != a.Name || !takes(all[a.Name], b.Name, c.to) {
			t.Fatalf("%s: the answer of %s from %s to %s goes by %s to %q", c.name, b.Name, c.to, source, back, peer)
		}
	}
}

func endpoint(c Config, peer string) netip.Addr {
	return c.Peers[slices.IndexFunc(c.Peers, func(p Peer) bool { return p.Name == peer })].Endpoint.Addr()
}

func TestShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sites, nodes := members(rapid.SliceOfN(rapid.IntRange(1, 5), 1, 5).Draw(t, "sites")...)
		all := configs(t, sites, nodes)
		shuffled := rapid.Permutation(nodes).Draw(t, "order")
		if diff := cmp.Diff(all, configs(t, sites, shuffled), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Fatalf("the order of the nodes matters:\n%s", diff)
		}
		for _, n := range nodes {
			c := all[n.Name]
			var seen []netip.Prefix
			for _, p := range c.Peers {
				for _, allowed := range p.AllowedIPs {
					for _, other := range seen {
						if allowed.Overlaps(other) {
							t.Fatalf("%s: AllowedIPs overlap: %s and %s", n.Name, allowed, other)
						}
					}
					seen = append(seen, allowed)
				}
			}
			for _, r := range c.Routes {
				if r.To.Contains(n.Address) || r.To.Overlaps(n.Pods) {
					t.Fatalf("%s: route %s leads to itself", n.Name, r.To)
				}
				if !slices.ContainsFunc(c.Internal, func(i netip.Prefix) bool { return i.Overlaps(r.To) }) {
					t.Fatalf("%s: route %s leads outside the cluster", n.Name, r.To)
				}
			}
		}
	})
}
