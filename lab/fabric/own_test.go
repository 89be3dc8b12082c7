//go:build linux

package fabric

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/skyweld/skyweld/lab/world"
)

// ownSite is a network of two machines, do1 and do2, that have their public addresses themselves: eth0 with a further
// address beside it, eth1 in a private range that leads nowhere else.
func ownSite() world.Network {
	n := world.Network{ID: "do-net", Cloud: "do", Region: "do-region"}
	for i := byte(1); i <= 2; i++ {
		machine, public := fmt.Sprintf("do%d", i), netip.AddrFrom4([4]byte{198, 18, 3, 10 + i})
		n.NICs = append(n.NICs, world.NIC{
			ID: machine + "-eth0", Machine: machine, Device: "eth0", MAC: fmt.Sprintf("0a:00:00:00:66:%02x", i), MTU: 1500,
			Address: netip.PrefixFrom(public, 24), Gateway: netip.MustParseAddr("198.18.3.1"), Public: public, Internet: true,
			Others:  []world.Alias{{Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 17, 0, 4 + i}), 16)}},
			Inbound: allowAll(), Outbound: allowAll(),
		}, world.NIC{
			ID: machine + "-eth1", Machine: machine, Device: "eth1", MAC: fmt.Sprintf("0a:00:00:00:67:%02x", i), MTU: 1500,
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 66, 0, 10 + i}), 20), Gateway: netip.MustParseAddr("10.66.0.1"), NoDefault: true,
			Inbound: allowAll(), Outbound: allowAll(),
		})
	}
	return n
}

func TestOwnPublicAddress(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	do := ownSite()
	do.NICs[2].Inbound = []world.Rule{allowPort("tcp", 7000, "198.18.0.0/15"), allowPort("udp", 7000, "0.0.0.0/0")}
	set(t, f, do)
	set(t, f, site("aws"))
	for _, m := range []string{"do1", "do2", "aws1"} {
		serve(t, f, m, 7000)
	}
	serve(t, f, "do2", 7001)
	for _, network := range []string{"tcp4", "udp4"} {
		wantAnswer(t, f, "do1", network, "198.18.1.11:7000", "198.18.3.11") // unchanged on its way out
		wantAnswer(t, f, "aws1", network, "198.18.3.11:7000", "198.18.1.11")
		wantAnswer(t, f, "do1", network, "198.18.3.12:7000", "198.18.3.11")
		wantAnswer(t, f, "do1", network, "10.66.0.12:7000", "10.66.0.11")
	}
	wantSilence(t, f, "aws1", "tcp4", "198.18.3.12:7001") // its rules hold at the address itself
	wantSilence(t, f, "do1", "tcp4", "10.64.0.11:7000")
	within(t, f, "do1", func() error {
		for to, want := range map[string]string{"192.0.2.1": "198.18.3.11", "10.66.0.12": "10.66.0.11", "10.17.0.9": "10.17.0.5", "10.99.0.1": "198.18.3.11"} {
			routes, err := netlink.RouteGet(net.ParseIP(to))
			if err != nil || len(routes) != 1 || routes[0].Src.String() != want {
				t.Errorf("routes to %s: %v, error %v; want one from %s", to, routes, err, want)
			}
		}
		// The private interface carries no other source, and leads nowhere else.
		_, err := askHere("tcp4", "198.18.1.11:7000", &net.TCPAddr{IP: net.IPv4(10, 66, 0, 11)}, impatient)
		if err == nil {
			t.Error("the internet answers to a private address")
		}
		return nil
	})
}

// TestMappedAlias gives a second address of a machine a public one, moves that to the other machine, and takes it away.
func TestMappedAlias(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	do, reserved := ownSite(), netip.MustParseAddr("198.18.3.200")
	set(t, f, do)
	set(t, f, site("aws"))
	for _, m := range []string{"do1", "do2", "aws1"} {
		serve(t, f, m, 7000)
	}
	wantSilence(t, f, "aws1", "tcp4", "198.18.3.200:7000")
	do.NICs[0].Others[0].Public = reserved
	set(t, f, do)
	wantAnswer(t, f, "aws1", "tcp4", "198.18.3.200:7000", "198.18.1.11")
	wantAnswer(t, f, "do2", "tcp4", "198.18.3.200:7000", "198.18.3.12") // from inside the network too
	wantAnswer(t, f, "aws1", "tcp4", "198.18.3.11:7000", "198.18.1.11") // and its own is still there
	within(t, f, "do1", func() error {
		for _, c := range [][2]string{{"", "198.18.3.11"}, {"10.17.0.5", reserved.String()}} {
			var local net.Addr
			if c[0] != "" {
				local = &net.TCPAddr{IP: net.ParseIP(c[0])}
			}
			if got, err := askHere("tcp4", "198.18.1.11:7000", local, patient); err != nil || got != c[1] {
				t.Errorf("out from %q: seen as %q, error %v; want %s", c[0], got, err, c[1])
			}
		}
		return nil
	})
	do.NICs[0].Others[0].Public, do.NICs[2].Others[0].Public = netip.Addr{}, reserved
	set(t, f, do)
	within(t, f, "do2", func() error {
		if got, err := askHere("tcp4", "198.18.1.11:7000", &net.TCPAddr{IP: net.IPv4(10, 17, 0, 6)}, patient); err != nil || got != reserved.String() {
			t.Errorf("seen as %q, error %v after the address has moved", got, err)
		}
		return nil
	})
	wantAnswer(t, f, "aws1", "tcp4", "198.18.3.200:7000", "198.18.1.11")
	do.NICs[2].Others[0].Public = netip.Addr{}
	set(t, f, do)
	wantSilence(t, f, "aws1", "tcp4", "198.18.3.200:7000")
}

func TestMappingsOfOwn(t *testing.T) {
	do := ownSite()
	do.NICs[0].Others[0].Public = netip.MustParseAddr("198.18.3.200")
	links := map[string]string{"do1-eth0": "nic1", "do1-eth1": "nic2"}
	want := map[netip.Addr]netip.Addr{
		netip.MustParseAddr("198.18.3.11"): netip.MustParseAddr("198.18.3.11"), netip.MustParseAddr("198.18.3.200"): netip.MustParseAddr("10.17.0.5"),
	}
	compare := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, mappings(do, links), compare); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
	do.NICs[2].Others[0].Address = do.NICs[0].Others[0].Address
	if err := validate(do); err == nil || !strings.Contains(err.Error(), "belongs to interface do1-eth0") {
		t.Errorf("an address twice: %v", err)
	}
}
