package tunnel

import (
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/mesh"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fake is a Device in memory that does what the kernel would.
type fake struct {
	kind  Kind
	state State
	key   string
	done  []string
	fail  Action
}

func (f *fake) Kind() Kind           { return f.kind }
func (f *fake) Read() (State, error) { return f.state, nil }

func (f *fake) Do(s Step) error {
	if s.Action == f.fail {
		return errors.New("no")
	}
	f.done = append(f.done, s.String())
	t := &f.state
	switch s.Action {
	case Create:
		t.Kind, t.MTU = s.Kind, s.Number
	case Delete:
		f.state = State{Rules: t.Rules}
	case SetKey:
		t.PublicKey = f.key
	case SetPort:
		t.Port = s.Number
	case SetMTU:
		t.MTU = s.Number
	case SetUp:
		t.Up = true
	case AddPeer, ChangePeer, RemovePeer:
		t.Peers = slices.DeleteFunc(t.Peers, func(p Peer) bool { return p.PublicKey == s.Peer.PublicKey })
		if s.Action != RemovePeer {
			// An address belongs to one peer only: the last one that was given it.
			for i := range t.Peers {
				t.Peers[i].AllowedIPs = slices.DeleteFunc(t.Peers[i].AllowedIPs, func(p netip.Prefix) bool { return slices.Contains(s.Peer.AllowedIPs, p) })
			}
			peer := s.Peer
			peer.AllowedIPs = slices.Clone(peer.AllowedIPs)
			t.Peers = append(t.Peers, Peer{Peer: peer})
		}
	case AddAddress:
		t.Addresses = append(t.Addresses, s.Address)
	case RemoveAddress:
		t.Addresses = slices.DeleteFunc(t.Addresses, func(p netip.Prefix) bool { return p == s.Address })
	case AddRoute, ChangeRoute, RemoveRoute:
		t.Routes = slices.DeleteFunc(t.Routes, func(r mesh.Route) bool { return r.To == s.Route.To && r.Table == s.Route.Table })
		if s.Action != RemoveRoute {
			if !t.Up {
				return errors.New("network is down")
			}
			t.Routes = append(t.Routes, s.Route)
		}
	case AddRule:
		t.Rules = append(t.Rules, s.Rule)
	case RemoveRule:
		t.Rules = slices.DeleteFunc(t.Rules, func(r mesh.Rule) bool { return r == s.Rule })
	}
	return nil
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

func wanted() mesh.Config {
	return mesh.Config{
		Port: 51820, MTU: 1420, Address: netip.MustParsePrefix("10.216.1.1/32"), Pods: netip.MustParsePrefix("10.216.1.0/24"),
		Peers: []mesh.Peer{
			{Name: "a2", PublicKey: "k2", Endpoint: netip.MustParseAddrPort("10.64.0.12:51820"), AllowedIPs: prefixes("10.216.2.0/24", "10.64.0.12/32"), Keepalive: 25},
			{Name: "b1", PublicKey: "k3", Endpoint: netip.MustParseAddrPort("198.18.2.11:51820"), AllowedIPs: prefixes("10.216.3.0/24", "10.65.0.11/32"), Keepalive: 25},
		},
		Routes: []mesh.Route{
			{To: netip.MustParsePrefix("10.65.0.11/32"), Source: netip.MustParseAddr("10.64.0.11")},
			{To: netip.MustParsePrefix("10.216.2.0/24"), Source: netip.MustParseAddr("10.216.1.1")},
			{To: netip.MustParsePrefix("10.64.0.12/32"), Table: mesh.Table},
		},
		Rules: []mesh.Rule{{From: netip.MustParsePrefix("10.216.1.0/24"), Table: mesh.Table, Priority: mesh.RulePriority}},
	}
}

func TestFirstApply(t *testing.T) {
	device := &fake{kind: User, key: "k1"}
	changed, err := Apply(context.Background(), device, wanted(), "k1")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(changed, "\n") + "\n"
	const golden = "testdata/first.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("first apply (-want +got):\n%s", diff)
	}
	if changed, err := Apply(context.Background(), device, wanted(), "k1"); err != nil || len(changed) > 0 {
		t.Errorf("second apply changes %v, %v", changed, err)
	}
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name   string
		have   func(*State)
		want   func(*mesh.Config)
		expect []string
	}{
		{"peer leaves", nil, func(c *mesh.Config) { c.Peers = c.Peers[:1]; c.Routes = c.Routes[1:] },
			[]string{"removed peer b1 k3", "removed route to 10.65.0.11/32 from 10.64.0.11"}},
		{"peer is replaced", nil, func(c *mesh.Config) { c.Peers[1].PublicKey = "k4" }, []string{"removed peer b1 k3", "added peer b1 at 198.18.2.11:51820"}},
		{"peer gets another address", nil, func(c *mesh.Config) { c.Peers[0].AllowedIPs = prefixes("10.216.2.0/24", "10.64.0.13/32") }, []string{"changed peer a2 at 10.64.0.12:51820"}},
		{"order of addresses is no change", func(s *State) { slices.Reverse(s.Peers[0].AllowedIPs) }, nil, nil},
		{"endpoint moved, and the peer answers", func(s *State) {
			s.Peers[1].Endpoint, s.Peers[1].Handshake = netip.MustParseAddrPort("198.18.2.99:1024"), time.Now()
		}, nil, nil},
		{"endpoint moved, and the peer is silent", func(s *State) { s.Peers[1].Endpoint = netip.MustParseAddrPort("198.18.2.99:1024") }, nil, []string{"changed peer b1 at 198.18.2.11:51820"}},
		{"foreign route in our table", func(s *State) {
			s.Routes = append(s.Routes, mesh.Route{To: netip.MustParsePrefix("1.2.3.0/24"), Table: mesh.Table})
		}, nil, []string{"removed route to 1.2.3.0/24 in table 51820"}},
		{"route lost", func(s *State) { s.Routes = s.Routes[:2] }, nil, []string{"added route to 10.64.0.12/32 in table 51820"}},
		{"route from elsewhere", func(s *State) { s.Routes[0].Source = netip.MustParseAddr("10.64.0.99") }, nil, []string{"changed route to 10.65.0.11/32 from 10.64.0.11"}},
		{"rule lost", func(s *State) { s.Rules = nil }, nil, []string{"added rule from 10.216.1.0/24 to table 51820"}},
		{"MTU", nil, func(c *mesh.Config) { c.MTU = 1380 }, []string{"set MTU of tunnel to 1380"}},
		{"new pod block", nil, func(c *mesh.Config) { c.Address = netip.MustParsePrefix("10.216.9.1/32") }, []string{"removed address 10.216.1.1/32 of tunnel", "added address 10.216.9.1/32 of tunnel"}},
		{"switched off", func(s *State) { s.Up = false }, nil, []string{"switched on tunnel"}},
		{"other key", func(s *State) { s.PublicKey = "old" }, nil, []string{"set key of tunnel"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			device, config := &fake{kind: User, key: "k1"}, wanted()
			if _, err := Apply(context.Background(), device, config, "k1"); err != nil {
				t.Fatal(err)
			}
			for i := range device.state.Peers { // as the kernel, which knows no names, but keeps the rest
				device.state.Peers[i].Name = config.Peers[i].Name
			}
			if c.have != nil {
				c.have(&device.state)
			}
			if c.want != nil {
				c.want(&config)
			}
			changed, err := Apply(context.Background(), device, config, "k1")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(changed, c.expect) {
				t.Errorf("changed %q, want %q", changed, c.expect)
			}
		})
	}
}

func TestKindChanges(t *testing.T) {
	device := &fake{kind: User, key: "k1"}
	if _, err := Apply(context.Background(), device, wanted(), "k1"); err != nil {
		t.Fatal(err)
	}
	device.kind = Kernel
	changed, err := Apply(context.Background(), device, wanted(), "k1")
	if err != nil || len(changed) < 5 || changed[0] != "deleted tunnel skyweld0 (user space)" || device.state.Kind != Kernel {
		t.Errorf("changed %q, %v", changed, err)
	}
}

func TestFailure(t *testing.T) {
	device := &fake{kind: User, key: "k1", fail: AddPeer}
	changed, err := Apply(context.Background(), device, wanted(), "k1")
	if err == nil || !strings.Contains(err.Error(), "added peer a2") || len(changed) != 3 {
		t.Errorf("%q, %v", changed, err)
	}
	device.fail = ""
	if _, err := Apply(context.Background(), device, wanted(), "k1"); err != nil {
		t.Error(err)
	}
}

// Whatever a machine was, one apply brings it to what is wanted, a second has nothing to do, and removal leaves nothing.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		device := &fake{kind: rapid.SampledFrom([]Kind{User, Kernel}).Draw(t, "kind"), key: "k0"}
		for range rapid.IntRange(1, 4).Draw(t, "revisions") {
			config := drawConfig(t)
			if _, err := Apply(context.Background(), device, config, "k0"); err != nil {
				t.Fatal(err)
			}
			if again, err := Apply(context.Background(), device, config, "k0"); err != nil || len(again) > 0 {
				t.Fatalf("a second apply changes %q, %v", again, err)
			}
		}
		if _, err := Remove(context.Background(), device); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(State{}, device.state, cmp.Comparer(func(a, b []mesh.Rule) bool { return len(a) == len(b) })); diff != "" {
			t.Fatalf("left behind: %s", diff)
		}
	})
}

// drawConfig makes the config of the first of some nodes, whose keys, blocks and sites change hands.
func drawConfig(t *rapid.T) mesh.Config {
	sites := map[string]netip.Prefix{"a": netip.MustParsePrefix("10.64.0.0/16"), "b": netip.MustParsePrefix("10.65.0.0/16")}
	keys := rapid.Permutation([]byte{1, 2, 3, 4, 5}).Draw(t, "keys")
	blocks := rapid.Permutation([]byte{1, 2, 3, 4, 5}).Draw(t, "blocks")
	count := rapid.IntRange(1, 5).Draw(t, "nodes")
	var nodes []mesh.Node
	for i := range count {
		site := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "site")
		base := sites[site].Addr().As4()
		nodes = append(nodes, mesh.Node{
			Name: string(rune('m' + i)), Site: site, Address: netip.AddrFrom4([4]byte{base[0], base[1], 0, byte(10 + i)}),
			Public: netip.AddrFrom4([4]byte{198, 18, 0, byte(10 + i)}), Pods: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 216, blocks[i], 0}), 24),
			PublicKey: strings.Repeat("A", 41) + string(rune('A'+keys[i])) + "A=",
		})
	}
	config, err := mesh.For(mesh.Network{
		Mode: mesh.CrossSite, Pods: netip.MustParsePrefix("10.216.0.0/14"), Services: netip.MustParsePrefix("10.96.0.0/16"),
		Port: 51820, MTU: rapid.SampledFrom([]int{1320, 1380, 1420}).Draw(t, "mtu"),
	}, sites, nodes, "m")
	if err != nil {
		t.Fatal(err)
	}
	return config
}
