//go:build linux

package fabric

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/lab/world"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func ranges(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func TestRuleset(t *testing.T) {
	rules := site("aws")
	rules.NICs[0].Inbound = []world.Rule{
		{Priority: 10, Allow: true, Protocol: "tcp", FromPort: 22, ToPort: 22, Remote: ranges("10.0.0.0/8", "10.64.0.0/16", "192.0.2.0/24", "::/0")},
		{Priority: 5, Allow: true, Protocol: "udp", FromPort: 30000, ToPort: 32767, Remote: anywhere},
		{Priority: 10, Protocol: "tcp", Remote: ranges("10.9.0.0/16")},
		{Priority: 20, Allow: true, Protocol: "icmp", FromPort: 8, ToPort: 8, Remote: anywhere},
		{Priority: 20, Allow: true, Protocol: "50", Remote: anywhere},
		{Priority: 20, Allow: true, Protocol: "6", FromPort: 80, ToPort: 80, Remote: anywhere},
		{Priority: 30, Allow: true, Protocol: "tcp"},
		{Priority: 30, Allow: true, Protocol: "tcp", Remote: ranges("::/0")},
	}
	rules.NICs[1].Outbound = nil

	routed := site("gcp")
	routed.NICs[0].Forwarding = true
	routed.NICs[0].Routed = ranges("10.216.1.0/24", "10.216.0.0/24")
	routed.NICs[1].Routed = ranges("10.216.2.0/24")
	routed.NICs[1].Public = netip.Addr{}
	routed.NICs = append(routed.NICs, world.NIC{ID: "loose", Address: netip.MustParsePrefix("10.65.0.99/32"), Public: netip.MustParseAddr("198.18.2.99"), Internet: true})

	// Public addresses on the machines themselves, with private interfaces beside, and questions from link-local ones.
	droplets := site("digitalocean")
	for i := range droplets.NICs {
		inner := droplets.NICs[i]
		inner.ID, inner.Device, inner.MAC, inner.NoDefault = inner.ID+"-private", "eth1", "0a:00:00:00:99:0"+string(rune('1'+i)), true
		inner.Public, inner.Internet = netip.Addr{}, false
		outer := &droplets.NICs[i]
		outer.Address, outer.Gateway = netip.PrefixFrom(outer.Public, 24), netip.MustParseAddr("198.18.1.1")
		droplets.NICs = append(droplets.NICs, inner)
	}

	for name, n := range map[string]world.Network{"empty": {ID: "empty", Cloud: "aws", Region: "r"}, "rules": rules, "routed": routed, "droplets": droplets} {
		t.Run(name, func(t *testing.T) {
			if err := validate(n); err != nil {
				t.Fatal(err)
			}
			links := map[string]string{}
			for i, nic := range n.NICs {
				if nic.Machine != "" {
					links[nic.ID] = "nic" + string(rune('1'+i))
				}
			}
			got := ruleset(n, links)
			path := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("ruleset (-want +got):\n%s", diff)
			}
		})
	}
}

// The same state must give the same text whatever order the interfaces come in, or rules are loaded for nothing.
func TestRulesetIgnoresOrder(t *testing.T) {
	n := site("aws")
	links := map[string]string{n.NICs[0].ID: "nic1", n.NICs[1].ID: "nic2"}
	first := ruleset(n, links)
	slices.Reverse(n.NICs)
	if diff := cmp.Diff(first, ruleset(n, links)); diff != "" {
		t.Error(diff)
	}
}

func drawPrefix(t *rapid.T) netip.Prefix {
	// Few bits, so that ranges often lie in each other.
	a := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(t, "second") << 6), byte(rapid.IntRange(0, 3).Draw(t, "third") << 6), 0})
	return netip.PrefixFrom(a, rapid.IntRange(0, 20).Draw(t, "bits"))
}

func TestPrefixesCoverTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Custom(drawPrefix)).Draw(t, "ranges")
		var out []netip.Prefix
		for _, s := range prefixes(in) {
			out = append(out, netip.MustParsePrefix(s))
		}
		for i, p := range out {
			for _, q := range out[i+1:] {
				if p.Overlaps(q) {
					t.Fatalf("%s overlaps %s", p, q)
				}
			}
			if !slices.ContainsFunc(in, func(q netip.Prefix) bool { return q.Masked() == p }) {
				t.Fatalf("%s was not asked for", p)
			}
		}
		for _, p := range in {
			if !slices.ContainsFunc(out, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }) {
				t.Fatalf("%s is not covered by %v", p, out)
			}
		}
	})
}

func TestRulesInOrder(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) world.Rule {
		return world.Rule{Priority: rapid.IntRange(0, 3).Draw(t, "priority"), Allow: rapid.Bool().Draw(t, "allow"), FromPort: rapid.Uint16().Draw(t, "port")}
	})
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(draw).Draw(t, "rules")
		out := inOrder(in)
		if len(out) != len(in) {
			t.Fatalf("%d rules became %d", len(in), len(out))
		}
		for i := 1; i < len(out); i++ {
			a, b := out[i-1], out[i]
			if a.Priority > b.Priority || a.Priority == b.Priority && a.Allow && !b.Allow {
				t.Fatalf("%+v before %+v", a, b)
			}
		}
	})
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(n *world.Network)
		want   string
	}{
		{"fine", func(*world.Network) {}, ""},
		{"no id", func(n *world.Network) { n.ID = "" }, "without an id"},
		{"double id", func(n *world.Network) { n.NICs[1].ID = n.NICs[0].ID }, "unique"},
		{"double address", func(n *world.Network) { n.NICs[1].Address = n.NICs[0].Address }, "belongs to interface aws-nic1"},
		{"double public", func(n *world.Network) { n.NICs[1].Public = n.NICs[0].Public }, "belongs to interface aws-nic1"},
		{"IPv6", func(n *world.Network) { n.NICs[0].Address = netip.MustParsePrefix("2001:db8::1/64") }, "no IPv4 address"},
		{"foreign public", func(n *world.Network) { n.NICs[0].Public = netip.MustParseAddr("203.0.113.1") }, "198.18.0.0/15"},
		{"home public", func(n *world.Network) { n.NICs[0].Public = netip.MustParseAddr("198.18.0.3") }, "198.18.0.0/24"},
		{"routed twice", func(n *world.Network) {
			n.NICs[0].Routed, n.NICs[1].Routed = ranges("10.216.0.0/24"), ranges("10.216.0.1/24")
		}, "is routed to interface aws-nic1"},
		{"all routed", func(n *world.Network) { n.NICs[0].Routed = anywhere }, "or all of it"},
		{"gateway", func(n *world.Network) { n.NICs[0].Gateway = netip.Addr{} }, "gateway"},
		{"device", func(n *world.Network) { n.NICs[0].Device = "a/b" }, "device name"},
		{"mac", func(n *world.Network) { n.NICs[0].MAC = "ff:ff:ff:ff:ff:ff" }, "MAC"},
		{"mtu", func(n *world.Network) { n.NICs[0].MTU = 0 }, "MTU"},
		{"protocol", func(n *world.Network) { n.NICs[0].Inbound = []world.Rule{{Protocol: "256"}} }, "protocol"},
		{"ports", func(n *world.Network) {
			n.NICs[0].Outbound = []world.Rule{{Protocol: "tcp", FromPort: 2, ToPort: 1}}
		}, "ports 2-1"},
		{"loose", func(n *world.Network) {
			n.NICs[0] = world.NIC{ID: "x", Address: netip.MustParsePrefix("10.64.0.9/20")}
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := site("aws")
			test.change(&n)
			err := validate(n)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
