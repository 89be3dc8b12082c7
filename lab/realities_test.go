//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/fabric"
)

// TestRealities holds what each cloud is to its machines, with packets: each line is a statement about a cloud that people
// who build networks there run into. Machines are bare; the clouds' official clients set them up.
func TestRealities(t *testing.T) {
	bare := &bareMachines{ids: map[string]string{}, seen: map[string]arrival{}}
	l := startLab(t, func(_ string, namespace func(string) string) Runtime {
		bare.namespace = namespace
		return bare
	})
	t.Cleanup(bare.close)
	w := &realities{T: t, bare: bare}
	aws, gcp, azure, ocean := w.atAWS(l), w.atGoogle(l), w.atAzure(l), w.atDigitalOcean(l)
	a, b := func(p *place) *spot { return p.a }, func(p *place) *spot { return p.b }
	for _, s := range []struct {
		cloud, statement string
		check            func(*realities)
	}{
		{"aws", "a machine has its private address only, in the subnet's range, and MTU 9001", func(w *realities) {
			w.has(a(aws), "ens5", 9001, "10.64.0.10/20")
		}},
		{"aws", "jumbo frames pass inside the VPC", func(w *realities) { w.carries(a(aws), b(aws).private, 9001) }},
		{"aws", "1500 bytes pass the internet gateway, which says so to who sends more", func(w *realities) { w.carries(a(aws), b(azure).public, 1500) }},
		{"aws", "a public address is mapped one to one, both ways", func(w *realities) { w.mapped(a(aws), b(azure)) }},
		{"aws", "source/dest check drops a foreign source and a foreign destination, route or not", func(w *realities) {
			w.never(a(aws), pod, b(aws).private)
			w.never(b(aws), none, pod)
			aws.route(pods)
			w.never(a(aws), pod, b(aws).private)
			w.never(b(aws), none, pod)
		}},
		{"aws", "without the check, both pass over the route", func(w *realities) {
			aws.forward(true)
			w.arrives(a(aws), pod, b(aws).private)
			w.arrives(b(aws), none, pod)
			aws.forward(false)
			w.never(a(aws), pod, b(aws).private)
			w.never(b(aws), none, pod)
		}},

		{"gcp", "a machine has its address as /32, with MTU 1460, and a route to its gateway on the link", func(w *realities) {
			w.has(a(gcp), "ens4", 1460, "10.65.0.10/32")
			w.leads(a(gcp), "10.65.0.1", "ens4", "")
			w.leads(a(gcp), b(gcp).private.String(), "ens4", "10.65.0.1")
		}},
		{"gcp", "1460 bytes pass inside the network and to the internet", func(w *realities) {
			w.carries(a(gcp), b(gcp).private, 1460)
			w.carries(a(gcp), b(azure).public, 1460)
			w.carries(a(aws), b(gcp).public, 1460)
		}},
		{"gcp", "a public address is mapped one to one, both ways", func(w *realities) { w.mapped(a(gcp), b(azure)) }},
		{"gcp", "without canIpForward foreign sources and destinations are dropped, route or not", func(w *realities) {
			w.never(a(gcp), pod, b(gcp).private)
			gcp.route(pods)
			w.never(a(gcp), pod, b(gcp).private)
			w.never(b(gcp), none, pod)
		}},
		{"gcp", "with canIpForward both pass, once a route leads there", func(w *realities) {
			w.never(b(gcp), none, otherPod)
			gcp.route(otherPods)
			w.arrives(gcp.c, otherPod, b(gcp).private)
			w.arrives(b(gcp), none, otherPod)
		}},

		{"azure", "a machine has its private address only, with MTU 1500", func(w *realities) {
			w.has(a(azure), "eth0", 1500, "10.66.0.4/20")
			w.carries(a(azure), b(azure).private, 1500)
			w.carries(a(azure), b(aws).public, 1500)
		}},
		{"azure", "a public address is mapped one to one, both ways", func(w *realities) { w.mapped(a(azure), b(aws)) }},
		{"azure", "without IP forwarding foreign sources and destinations are dropped, user-defined route or not", func(w *realities) {
			w.never(a(azure), pod, b(azure).private)
			azure.route(pods)
			w.never(a(azure), pod, b(azure).private)
			w.never(b(azure), none, pod)
		}},
		{"azure", "with IP forwarding both pass over the user-defined route, and without that not", func(w *realities) {
			azure.forward(true)
			w.arrives(a(azure), pod, b(azure).private)
			w.arrives(b(azure), none, pod)
			azure.route(otherPods)
			w.never(b(azure), none, pod)
			azure.route(pods)
			azure.forward(false)
			w.never(b(azure), none, pod)
		}},

		{"digitalocean", "the public address is on the machine itself, an anchor address beside it, and the private one on eth1", func(w *realities) {
			w.has(a(ocean), "eth0", 1500, a(ocean).public.String()+"/24", "10.17.0.5/16")
			w.has(a(ocean), "eth1", 1500, a(ocean).private.String()+"/20")
			w.leads(a(ocean), b(aws).public.String(), "eth0", gateway(a(ocean).public))
			w.leads(a(ocean), b(ocean).private.String(), "eth1", "")
			w.carries(a(ocean), b(ocean).private, 1500)
			w.carries(a(ocean), b(aws).public, 1500)
		}},
		{"digitalocean", "a public address needs no mapping, and a reserved one is mapped to the anchor address", func(w *realities) {
			at := w.arrives(b(aws), none, a(ocean).public)
			w.same("the address that it came to", a(ocean).public, at.to)
			at = w.arrives(b(aws), none, ocean.reserved)
			w.same("the address that it came to", netip.MustParseAddr("10.17.0.5"), at.to)
			w.same("who it came from", b(aws).public, at.from)
		}},
		{"digitalocean", "foreign sources and destinations are dropped on the private network, always", func(w *realities) {
			w.never(a(ocean), pod, b(ocean).private)
			w.never(a(ocean), a(ocean).public, b(ocean).private)
			w.within(b(ocean), func() error { return addRoute("eth1", pods, a(ocean).private) })
			w.never(b(ocean), none, pod)
		}},
		{"digitalocean", "the public network doesn't lead to the private one, nor back", func(w *realities) {
			to := netip.PrefixFrom(b(ocean).private, 32)
			w.within(a(ocean), func() error { return addRoute("eth0", to, netip.MustParseAddr(gateway(a(ocean).public))) })
			w.never(a(ocean), a(ocean).public, b(ocean).private)
			w.within(a(ocean), func() error { return delRoute("eth0", to) })
			w.arrives(a(ocean), none, b(ocean).private)
			back := netip.PrefixFrom(b(ocean).public, 32)
			w.within(a(ocean), func() error { return addRoute("eth1", back, b(ocean).private) })
			w.never(a(ocean), a(ocean).private, b(ocean).public)
			w.within(a(ocean), func() error { return delRoute("eth1", back) })
		}},
		{"digitalocean", "a machine that has only a link-local address is told who it is, and gets nowhere else", func(w *realities) {
			w.knocks(a(ocean), "169.254.7.7", b(ocean).private, b(aws).public)
			w.knocks(b(ocean), "169.254.7.7", a(ocean).private, a(ocean).public)
		}},
	} {
		t.Run(s.cloud+"/"+strings.ReplaceAll(s.statement, "/", " "), func(t *testing.T) { s.check(&realities{T: t, bare: bare}) })
	}
}

// The addresses of containers that a machine has behind it.
var (
	none      = netip.Addr{}
	pods      = netip.MustParsePrefix("10.216.1.0/24")
	otherPods = netip.MustParsePrefix("10.216.2.0/24")
	pod       = netip.MustParseAddr("10.216.1.5")
	otherPod  = netip.MustParseAddr("10.216.2.5")
)

// place is a cloud with machines beside each other.
type place struct {
	// a has pod on it, b is beside it; c, where a's switch is set at creation only, is like a with otherPod and the switch on.
	a, b, c *spot
	// forward lets a carry packets that aren't its own, by the cloud's own switch.
	forward func(on bool)
	// route makes the cloud's only route to a range behind a; of otherPods behind c, or nowhere.
	route func(netip.Prefix)
	// reserved is mapped to a.
	reserved netip.Addr
}

// spot is one machine.
type spot struct {
	id              string
	private, public netip.Addr
}

// realities are the checks.
type realities struct {
	*testing.T
	bare *bareMachines
}

func (w *realities) within(p *spot, do func() error) {
	w.Helper()
	if err := fabric.Within(w.bare.namespace(p.id), do); err != nil {
		w.Fatalf("in machine %s: %v", p.id, err)
	}
}

func (w *realities) same(what string, want, got netip.Addr) {
	w.Helper()
	if want != got {
		w.Errorf("%s: %s, want %s", what, got, want)
	}
}

// Silence for so long is taken for silence; what must come is waited for longer.
const (
	impatient = 200 * time.Millisecond
	patient   = 10 * time.Second
)

// send sends one packet and says whether it arrived somewhere.
func (w *realities) send(p *spot, from, to netip.Addr) (at arrival, arrived bool) {
	w.Helper()
	token := w.bare.token()
	w.within(p, func() error {
		d := net.Dialer{}
		if from.IsValid() {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		c, err := d.Dial("udp4", netip.AddrPortFrom(to, echoPort).String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte(token))
		return err
	})
	return w.bare.await(token, impatient)
}

// arrives waits until a packet arrives: the clouds' networks change a little after their APIs have answered.
func (w *realities) arrives(p *spot, from, to netip.Addr) arrival {
	w.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); {
		if at, ok := w.send(p, from, to); ok {
			return at
		}
	}
	w.Errorf("nothing from %s %s arrives at %s", p.id, from, to)
	return arrival{}
}

// never waits until packets don't arrive any more.
func (w *realities) never(p *spot, from, to netip.Addr) {
	w.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); {
		if _, ok := w.send(p, from, to); !ok {
			return
		}
	}
	w.Errorf("from %s %s arrives at %s", p.id, from, to)
}

// mapped wants each of two machines to see the other one's public address, and to be reached at its private one.
func (w *realities) mapped(p, q *spot) {
	w.Helper()
	for _, way := range [][2]*spot{{p, q}, {q, p}} {
		at := w.arrives(way[0], none, way[1].public)
		w.same("who it came from", way[0].public, at.from)
		w.same("the address that it came to", way[1].private, at.to)
	}
}

// has wants an interface to be as it is said.
func (w *realities) has(p *spot, device string, mtu int, addresses ...string) {
	w.Helper()
	w.within(p, func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		all, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		var got []string
		for _, a := range all {
			got = append(got, a.IPNet.String())
		}
		if link.Attrs().MTU != mtu || !slices.Equal(got, addresses) {
			return fmt.Errorf("%s has MTU %d and %v, want %d and %v", device, link.Attrs().MTU, got, mtu, addresses)
		}
		return nil
	})
}

// leads wants a way to an address to lead over a device, by a gateway or, when that is empty, straight.
func (w *realities) leads(p *spot, to, device, via string) {
	w.Helper()
	w.within(p, func() error {
		routes, err := netlink.RouteGet(net.ParseIP(to))
		if err != nil || len(routes) != 1 {
			return fmt.Errorf("routes to %s: %v (%w)", to, routes, err)
		}
		link, err := netlink.LinkByIndex(routes[0].LinkIndex)
		if err != nil {
			return err
		}
		got := ""
		if routes[0].Gw != nil {
			got = routes[0].Gw.String()
		}
		if link.Attrs().Name != device || got != via {
			return fmt.Errorf("the way to %s is %s by %q, want %s by %q", to, link.Attrs().Name, got, device, via)
		}
		return nil
	})
}

// carries wants the largest packet that gets through unbroken to have a size: who sends a larger one is told.
func (w *realities) carries(p *spot, to netip.Addr, want int) {
	w.Helper()
	w.within(p, func() error {
		c, err := net.Dial("udp4", netip.AddrPortFrom(to, echoPort).String())
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		size := 0
		for end := time.Now().Add(patient); time.Now().Before(end); {
			failed := errors.New("no socket")
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
				if failed == nil {
					size, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU)
				}
			})
			if err := errors.Join(err, failed); err != nil {
				return err
			}
			token := w.bare.token()
			if _, err := c.Write(append([]byte(token+" "), make([]byte, size-28-len(token)-1)...)); err != nil && !errors.Is(err, unix.EMSGSIZE) {
				return err
			}
			if _, arrived := w.bare.await(token, impatient); arrived {
				if size != want {
					return fmt.Errorf("%d bytes get through to %s, want %d", size, to, want)
				}
				return nil
			}
		}
		return fmt.Errorf("nothing gets through to %s: the last try had %d bytes", to, size)
	})
}

// knocks asks the metadata service from a link-local address, and tries to get elsewhere from it.
func (w *realities) knocks(p *spot, from string, elsewhere ...netip.Addr) {
	w.Helper()
	link := netip.MustParseAddr(from)
	w.within(p, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		address := &netlink.Addr{IPNet: &net.IPNet{IP: link.AsSlice(), Mask: net.CIDRMask(16, 32)}}
		return netlink.AddrAdd(eth0, address)
	})
	dial := func(network, to string, wait time.Duration) (c net.Conn, err error) {
		err = fabric.Within(w.bare.namespace(p.id), func() error {
			c, err = (&net.Dialer{Timeout: wait, LocalAddr: &net.TCPAddr{IP: link.AsSlice()}}).DialContext(context.Background(), network, to)
			return err
		})
		return c, err
	}
	c, err := dial("tcp4", "169.254.169.254:80", patient)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET /metadata/v1/id HTTP/1.0\r\n\r\n"); err != nil {
		w.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.Fatal(err)
	}
	defer answer.Body.Close()
	if id, _ := bufio.NewReader(answer.Body).ReadString('\n'); id != p.id {
		w.Errorf("%s is told that it is %q", p.id, id)
	}
	for _, to := range []string{"169.254.169.254:53", "169.254.169.253:53"} {
		if c, err := dial("tcp4", to, impatient); err == nil {
			c.Close()
			w.Errorf("%s is reached from %s", to, from)
		}
	}
	for _, to := range elsewhere {
		w.never(p, link, to)
	}
}

// gateway is the first address of a public address's range.
func gateway(a netip.Addr) string { return netip.PrefixFrom(a, 24).Masked().Addr().Next().String() }

func route(device string, to netip.Prefix, via netip.Addr) (*netlink.Route, error) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return nil, err
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), 32)}}
	if via.IsValid() {
		r.Gw, r.Flags = via.AsSlice(), int(netlink.FLAG_ONLINK)
	}
	return r, nil
}

func addRoute(device string, to netip.Prefix, via netip.Addr) error {
	r, err := route(device, to, via)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(r)
}

func delRoute(device string, to netip.Prefix) error {
	r, err := route(device, to, netip.Addr{})
	if err != nil {
		return err
	}
	return netlink.RouteDel(r)
}
