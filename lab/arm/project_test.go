package arm

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/lab/world"
)

var addresses = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// verdict evaluates rules as the fabric does: the first that matches decides, nothing is denied.
func verdict(rules []world.Rule, protocol string, port uint16, remote netip.Addr) bool {
	for _, r := range rules {
		ports := r.FromPort == 0 && r.ToPort == 0 || port >= r.FromPort && port <= r.ToPort
		if r.Protocol != "" && r.Protocol != protocol || !ports {
			continue
		}
		for _, p := range r.Remote {
			if p.Contains(remote) {
				return r.Allow
			}
		}
	}
	return false
}

func TestCompile(t *testing.T) {
	own, space := netip.MustParseAddr("10.64.0.4"), []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16")}
	g := &securityGroup{}
	add := func(name, direction, access, protocol, from, to, ports string, priority int) {
		r := &rule{Name: name, Properties: ruleProperties{
			Direction: direction, Access: access, Protocol: protocol, SourcePortRange: "*", SourceAddressPrefix: from, DestinationAddressPrefix: to, DestinationPortRange: ports, Priority: priority,
		}}
		if err := admitRule(g, r); err != nil {
			t.Fatal(err)
		}
		g.Properties.SecurityRules = append(g.Properties.SecurityRules, r)
	}
	add("late", "Inbound", "Allow", "tcp", "*", "*", "80-90", 300)
	add("stop", "Inbound", "Deny", "*", "198.18.7.0/24", "*", "80", 200)
	add("other", "Inbound", "Allow", "*", "*", "10.64.0.5", "*", 100)
	add("web", "Inbound", "Allow", "Tcp", "internet", "VirtualNetwork", "443", 310)
	in := compile(g, "Inbound", own, space)
	for _, tt := range []struct {
		protocol, remote string
		port             uint16
		want             bool
	}{
		{"tcp", "198.18.3.9", 85, true}, {"tcp", "198.18.7.9", 80, false}, {"tcp", "198.18.7.9", 81, true}, {"udp", "198.18.3.9", 85, false},
		{"tcp", "198.18.3.9", 22, false}, {"tcp", "198.18.3.9", 443, true}, {"tcp", "10.64.3.9", 22, true}, {"udp", "168.63.129.16", 9, true},
	} {
		if got := verdict(in, tt.protocol, tt.port, netip.MustParseAddr(tt.remote)); got != tt.want {
			t.Errorf("%s %d from %s: %t", tt.protocol, tt.port, tt.remote, got)
		}
	}
	out := compile(g, "Outbound", own, space)
	if !verdict(out, "tcp", 80, netip.MustParseAddr("198.18.3.9")) || !verdict(out, "tcp", 80, netip.MustParseAddr("10.64.9.9")) {
		t.Error("the default rules let nothing out")
	}
}

// TestBoth holds the joined list of two groups against the two lists, each asked by itself.
func TestBoth(t *testing.T) {
	rules := rapid.Custom(func(t *rapid.T) []world.Rule {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) world.Rule {
			r := world.Rule{Allow: rapid.Bool().Draw(t, "allow"), Protocol: rapid.SampledFrom([]string{"", "tcp", "udp"}).Draw(t, "protocol")}
			if r.Protocol != "" && rapid.Bool().Draw(t, "ports") {
				r.FromPort = rapid.Uint16Range(1, 8).Draw(t, "from")
				r.ToPort = r.FromPort + rapid.Uint16Range(0, 4).Draw(t, "span")
			}
			for range rapid.IntRange(1, 2).Draw(t, "ranges") {
				a := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 15).Draw(t, "address"))})
				r.Remote = append(r.Remote, netip.PrefixFrom(a, rapid.IntRange(28, 32).Draw(t, "bits")).Masked())
			}
			return r
		}), 0, 6).Draw(t, "rules")
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := rules.Draw(t, "a"), rules.Draw(t, "b")
		joined := both(a, b)
		for _, protocol := range []string{"tcp", "udp", "icmp"} {
			for port := uint16(1); port < 13; port++ {
				for host := range 16 {
					from := netip.AddrFrom4([4]byte{10, 0, 0, byte(host)})
					want := verdict(a, protocol, port, from) && verdict(b, protocol, port, from)
					if got := verdict(joined, protocol, port, from); got != want {
						t.Fatalf("%s %d from %s: %t, want %t", protocol, port, from, got, want)
					}
				}
			}
		}
	})
}

func TestWithout(t *testing.T) {
	got := without([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/14")}, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/15")})
	if diff := cmp.Diff([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, got, addresses); diff != "" {
		t.Error(diff)
	}
}

func TestFamilies(t *testing.T) {
	for name, want := range map[string]string{
		"Standard_D2s_v5": "standardDSv5Family", "Standard_B2s": "standardBSFamily", "Standard_F4": "standardFFamily", "Standard_D4as_v5": "standardDASv5Family", "Basic_A1": "basicAFamily",
	} {
		if got := (Size{Name: name}).family(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
