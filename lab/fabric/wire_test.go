//go:build linux

package fabric

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

func TestReach(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("aws"))
	set(t, f, site("gcp"))
	for _, m := range []string{"aws1", "aws2", "gcp1", "gcp2"} {
		serve(t, f, m, 7000)
	}
	for _, network := range []string{"tcp4", "udp4"} {
		wantAnswer(t, f, "aws1", network, "10.64.0.12:7000", "10.64.0.11")
		wantAnswer(t, f, "gcp1", network, "10.65.0.12:7000", "10.65.0.11")
		wantAnswer(t, f, "aws1", network, "198.18.2.11:7000", "198.18.1.11")
		wantAnswer(t, f, "gcp2", network, "198.18.1.12:7000", "198.18.2.12")
		// Out of a network and into it again by public addresses.
		wantAnswer(t, f, "aws1", network, "198.18.1.12:7000", "198.18.1.11")
		// Nobody's address, and a private one of another network.
		wantSilence(t, f, "aws1", network, "198.18.9.9:7000")
		wantSilence(t, f, "aws1", network, "10.65.0.11:7000")
	}
}

func TestNoInternet(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	aws.NICs[0].Internet = false
	aws.NICs[1].Public = netip.Addr{}
	set(t, f, aws)
	set(t, f, site("gcp"))
	serve(t, f, "aws1", 7000)
	serve(t, f, "gcp1", 7000)
	wantSilence(t, f, "aws1", "tcp4", "198.18.2.11:7000") // no route
	wantSilence(t, f, "aws2", "tcp4", "198.18.2.11:7000") // no address
	wantSilence(t, f, "gcp1", "tcp4", "198.18.1.11:7000")
	wantAnswer(t, f, "aws2", "tcp4", "10.64.0.11:7000", "10.64.0.12")

	aws.NICs[0].Internet = true
	set(t, f, aws)
	wantAnswer(t, f, "aws1", "tcp4", "198.18.2.11:7000", "198.18.1.11")
	wantAnswer(t, f, "gcp1", "tcp4", "198.18.1.11:7000", "198.18.2.11")
}

func TestRules(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	aws.NICs[1].Inbound = []world.Rule{allowPort("tcp", 7000, "10.64.0.11/32"), allowPort("udp", 7000, "198.18.2.11/32")}
	aws.NICs[1].Outbound = nil
	set(t, f, aws)
	set(t, f, site("gcp"))
	serve(t, f, "aws1", 7000)
	serve(t, f, "aws2", 7000)
	serve(t, f, "aws2", 7001)

	wantAnswer(t, f, "aws1", "tcp4", "10.64.0.12:7000", "10.64.0.11") // and the answer passes though nothing may go out
	wantSilence(t, f, "aws1", "tcp4", "10.64.0.12:7001")
	wantSilence(t, f, "aws1", "udp4", "10.64.0.12:7000")
	wantSilence(t, f, "aws2", "tcp4", "10.64.0.11:7000")
	wantAnswer(t, f, "gcp1", "udp4", "198.18.1.12:7000", "198.18.2.11")
	wantSilence(t, f, "gcp2", "udp4", "198.18.1.12:7000")

	aws.NICs[1].Inbound = append(aws.NICs[1].Inbound,
		world.Rule{Protocol: "tcp", Remote: ranges("10.64.0.11/32")}, // as important as the allowing one, so it wins
		world.Rule{Priority: 1, Allow: true, Remote: anywhere})
	set(t, f, aws)
	wantSilence(t, f, "aws1", "tcp4", "10.64.0.12:7000")
	wantAnswer(t, f, "aws1", "udp4", "10.64.0.12:7000", "10.64.0.11")
}

// A change of rules or public addresses in place leaves a connection alone, even one no new rule would let through.
func TestChangesKeepConnections(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	set(t, f, aws)
	set(t, f, site("gcp"))
	serve(t, f, "gcp1", 7000)
	within(t, f, "aws1", func() error {
		c, err := net.DialTimeout("tcp4", "198.18.2.11:7000", patient)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 64)
		echo := func(want string) error {
			if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
				return err
			}
			if n, err := c.Read(b); err != nil || string(b[:n]) != want {
				return fmt.Errorf("got %q, error %w; want %q", b[:n], err, want)
			}
			return nil
		}
		if err := echo("198.18.1.11\n"); err != nil {
			return err
		}
		aws.NICs[0].Outbound, aws.NICs[0].Inbound = nil, nil
		aws.NICs[1].Public = netip.MustParseAddr("198.18.1.99")
		set(t, f, aws)
		aws.NICs = aws.NICs[:1]
		set(t, f, aws)
		if _, err := c.Write([]byte("still here")); err != nil {
			return err
		}
		return echo("still here")
	})
}

// asHere gives the machine another address of its own and asks from it.
func asHere(f *Fabric, machine, address, network, to string, wait time.Duration) (answer string, err error) {
	err = inMachine(f, machine, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address + "/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lo, a); err != nil {
			return err
		}
		defer func() {
			if err := netlink.AddrDel(lo, a); err != nil {
				panic(err)
			}
		}()
		var local net.Addr = &net.UDPAddr{IP: net.ParseIP(address)}
		if network == "tcp4" {
			local = &net.TCPAddr{IP: net.ParseIP(address)}
		}
		answer, err = askHere(network, to, local, wait)
		return err
	})
	return answer, err
}

func TestOnlyKnownAddresses(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	set(t, f, aws)
	set(t, f, site("gcp"))
	serve(t, f, "aws2", 7000)
	serve(t, f, "gcp1", 7000)
	silent := func(why, from, to string) {
		t.Helper()
		if got, err := asHere(f, "aws1", from, "udp4", to, impatient); err == nil {
			t.Errorf("%s: from %s to %s came the answer %q", why, from, to, got)
		}
	}
	heard := func(why, from, to string) {
		t.Helper()
		if got, err := asHere(f, "aws1", from, "udp4", to, patient); err != nil || got != from {
			t.Errorf("%s: from %s to %s: answer %q, error %v", why, from, to, got, err)
		}
	}
	const pod = "10.216.1.5"
	silent("another machine's address", "10.64.0.12", "10.64.0.12:7000")
	silent("a pod's address", pod, "10.64.0.12:7000")
	aws.NICs[0].Forwarding = true
	set(t, f, aws)
	silent("a pod's address that no route leads to", pod, "10.64.0.12:7000")
	aws.NICs[0].Forwarding, aws.NICs[0].Routed = false, ranges("10.216.1.0/24")
	set(t, f, aws)
	silent("a routed address without forwarding", pod, "10.64.0.12:7000")
	aws.NICs[0].Forwarding = true
	set(t, f, aws)
	heard("a routed address", pod, "10.64.0.12:7000")
	silent("a routed address to the internet", pod, "198.18.2.11:7000")

	// And towards the pod.
	within(t, f, "aws1", func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(pod + "/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lo, a); err != nil {
			return err
		}
		p, err := net.ListenPacket("udp4", pod+":7002")
		if err != nil {
			return err
		}
		t.Cleanup(func() { p.Close() })
		go func() {
			b := make([]byte, 64)
			for {
				_, from, err := p.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = p.WriteTo([]byte("pod\n"), from)
			}
		}()
		return nil
	})
	wantAnswer(t, f, "aws2", "udp4", pod+":7002", "pod")
	aws.NICs[0].Forwarding = false
	set(t, f, aws)
	wantSilence(t, f, "aws2", "udp4", pod+":7002")
	aws.NICs[0].Forwarding, aws.NICs[0].Routed = true, nil
	set(t, f, aws)
	wantSilence(t, f, "aws2", "udp4", pod+":7002")
	// A range that goes from one machine to another in one step.
	aws.NICs[1].Routed = ranges("10.216.1.0/24")
	set(t, f, aws)
	aws.NICs[0].Routed, aws.NICs[1].Routed = aws.NICs[1].Routed, nil
	set(t, f, aws)
	wantAnswer(t, f, "aws2", "udp4", pod+":7002", "pod")
}

// A peer that never stops sending from one port, as WireGuard's do, reaches whoever has the address now.
func TestPublicAddressMoves(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	aws.NICs[1].Public = netip.Addr{}
	set(t, f, aws)
	set(t, f, site("gcp"))
	hello := func(machine string) {
		within(t, f, machine, func() error {
			p, err := net.ListenPacket("udp4", "0.0.0.0:51820")
			if err != nil {
				return err
			}
			t.Cleanup(func() { p.Close() })
			go func() {
				b := make([]byte, 64)
				for {
					_, from, err := p.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = p.WriteTo([]byte(machine), from)
				}
			}()
			return nil
		})
	}
	hello("aws1")
	hello("aws2")
	keepOn := func(want string) {
		t.Helper()
		got, err := "", error(nil)
		within(t, f, "gcp1", func() error {
			got, err = askHere("udp4", "198.18.1.11:51820", &net.UDPAddr{Port: 51820}, patient)
			return nil
		})
		if got != want || err != nil {
			t.Errorf("answer %q, error %v; want %q", got, err, want)
		}
	}
	keepOn("aws1")
	keepOn("aws1")
	aws.NICs[0].Public, aws.NICs[1].Public = netip.Addr{}, aws.NICs[0].Public
	set(t, f, aws)
	keepOn("aws2")
}

func TestPathMTU(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("aws"))
	set(t, f, site("gcp"))
	serve(t, f, "gcp1", 7000)
	mtu := func(c *net.UDPConn) (n int, err error) {
		raw, err := c.SyscallConn()
		if err != nil {
			return 0, err
		}
		failed := raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU) })
		if failed != nil {
			return 0, failed
		}
		return n, err
	}
	within(t, f, "aws1", func() error {
		conn, err := net.Dial("udp4", "198.18.2.11:7000")
		if err != nil {
			return err
		}
		defer conn.Close()
		c := conn.(*net.UDPConn)
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		}); err != nil {
			return err
		}
		// The first hop takes 9001, the internet 1500, the other network 1460; each says so to who sends more.
		for _, want := range []int{9001, 1500, 1460} {
			got, err := mtu(c)
			if err != nil || got != want {
				return fmt.Errorf("path MTU %d, error %w; want %d", got, err, want)
			}
			if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
				return err
			}
			_, err = c.Write(make([]byte, want-28))
			if err != nil {
				return err
			}
			b := make([]byte, 64)
			n, err := c.Read(b)
			if want > 1460 && (err == nil || !strings.Contains(err.Error(), "message too long")) {
				return fmt.Errorf("%d bytes: answer %q, error %w", want, b[:n], err)
			}
			if want == 1460 && err != nil {
				return fmt.Errorf("%d bytes: %w", want, err)
			}
		}
		return nil
	})
}

func TestMachineSide(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws, gcp := site("aws"), site("gcp")
	gcp.NICs[1].Machine, gcp.NICs[1].Device = "aws1", "eth1" // a second interface in another network
	set(t, f, aws)
	set(t, f, gcp)
	within(t, f, "aws1", func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if got := link.Attrs(); got.HardwareAddr.String() != aws.NICs[0].MAC || got.MTU != 9001 {
			return fmt.Errorf("eth0 has %s and MTU %d", got.HardwareAddr, got.MTU)
		}
		for to, want := range map[string]string{"192.0.2.1": "10.64.0.1", "169.254.169.254": "<nil>", "10.64.0.12": "<nil>"} {
			routes, err := netlink.RouteGet(net.ParseIP(to))
			if err != nil || len(routes) != 1 || routes[0].Gw.String() != want || routes[0].Src.String() != "10.64.0.11" || routes[0].LinkIndex != link.Attrs().Index {
				return fmt.Errorf("routes to %s: %v, error %w; want one via %s", to, routes, err, want)
			}
		}
		return nil
	})
	if err := f.RemoveNetwork(context.Background(), aws.ID); err != nil {
		t.Fatal(err)
	}
	within(t, f, "aws1", func() error {
		links, err := netlink.LinkList()
		if err != nil || len(links) != 2 {
			return fmt.Errorf("%d links, error %w; want lo and eth1", len(links), err)
		}
		return nil
	})
	gcp.NICs[1].Machine = ""
	set(t, f, gcp)
	if err := inMachine(f, "aws1", func() error { return nil }); err == nil {
		t.Error("the machine's namespace outlives its last interface")
	}
}

func TestPower(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	set(t, f, aws)
	power := func(on bool) {
		t.Helper()
		if err := f.SetPower(context.Background(), "aws2", on); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, f, "aws2", 7000)
	within(t, f, "aws2", func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "over"})
	})
	wantAnswer(t, f, "aws1", "tcp4", "10.64.0.12:7000", "10.64.0.11")
	power(false)
	wantSilence(t, f, "aws1", "tcp4", "10.64.0.12:7000") // not even a refusal
	wantSilence(t, f, "aws1", "tcp4", "198.18.1.12:7000")
	aws.NICs[0].Forwarding = true
	set(t, f, aws)
	if err := inMachine(f, "aws2", func() error { return nil }); err == nil {
		t.Error("a machine that is off has a namespace")
	}
	power(true)
	power(true)
	within(t, f, "aws2", func() error {
		links, err := netlink.LinkList()
		if err != nil || len(links) != 2 {
			return fmt.Errorf("%d links, error %w; want lo and eth0", len(links), err)
		}
		return nil
	})
	serve(t, f, "aws2", 7000)
	wantAnswer(t, f, "aws1", "tcp4", "10.64.0.12:7000", "10.64.0.11")
}
