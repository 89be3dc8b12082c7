//go:build linux

package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

// wire is one interface that is plugged in: a pair of linked devices, one in the router and one in the machine.
type wire struct {
	nic   world.NIC
	link  string // the router's end
	index int
	// routes are the routed ranges that the router has, true for those it drops: a machine that doesn't forward gets
	// nothing for anyone else.
	routes map[netip.Prefix]bool
	// door is where its machine asks the metadata service from a link-local address; nil where it can't.
	door *door
}

// routeMetric is the metric of a machine's first default route; each further interface adds as much, so that the first
// one is the way out, as with the clouds' images.
const routeMetric = 100

// plug makes an interface if it isn't there. A loose one needs nothing.
func (r *router) plug(ctx context.Context, nic world.NIC, link string) (err error) {
	if link == "" || r.wires[nic.ID] != nil {
		return nil
	}
	key := nicKey{r.id, nic.ID}
	ns, ordinal, err := r.fabric.plugIn(nic.Machine, key)
	if err != nil {
		return fmt.Errorf("machine %s: %w", nic.Machine, err)
	}
	w := &wire{nic: nic, link: link, routes: map[netip.Prefix]bool{}}
	r.wires[nic.ID] = w
	defer func() {
		if err != nil {
			err = errors.Join(err, r.unplug(nic.ID, w))
		}
	}()
	if err := r.pair(nic, link, ns); err != nil {
		return fmt.Errorf("link %s to %s in machine %s: %w", link, nic.Device, nic.Machine, err)
	}
	if err := ns.configure(nic, ordinal*routeMetric); err != nil {
		return fmt.Errorf("%s in machine %s: %w", nic.Device, nic.Machine, err)
	}
	if w.index, err = r.attend(nic, link); err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if w.door, err = r.openDoor(nic, link, w.index); err != nil {
		return err
	}
	return errors.Join(r.ns.awaitUp(ctx, link), ns.awaitUp(ctx, nic.Device))
}

// awaitUp waits until a link carries packets. The kernel opens a link's queue some time, up to a second, after its
// other end came up, and drops what is sent before; since 6.8 asking for the link's state is enough to have it done.
func (n *namespace) awaitUp(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		link, err := n.nl.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("link %s does not come up: %w", name, ctx.Err())
		}
	}
}

// pair makes the two devices, each at once in its own namespace: the host never sees them.
func (r *router) pair(nic world.NIC, link string, ns *namespace) error {
	mac, err := net.ParseMAC(nic.MAC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = link, nic.MTU
	return r.ns.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: nic.Device, PeerHardwareAddr: mac, PeerMTU: uint32(nic.MTU),
		PeerNamespace: netlink.NsFd(ns.handle),
	})
}

// attend sets up the router's end: it is the gateway, answers for every address as a cloud's network does, and knows
// where the machine's addresses and hardware address are. It returns the link's index.
func (r *router) attend(nic world.NIC, name string) (index int, err error) {
	conf, neigh := "ipv4/conf/"+name, "ipv4/neigh/"+name
	if err := r.ns.sysctl(conf+"/proxy_arp=1", neigh+"/proxy_delay=0"); err != nil {
		return 0, err
	}
	if err := r.ns.addAddress(name, netip.PrefixFrom(nic.Gateway, 32)); err != nil {
		return 0, err
	}
	link, err := r.ns.nl.LinkByName(name)
	if err != nil {
		return 0, err
	}
	if err := r.ns.nl.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("up: %w", err)
	}
	mac, err := net.ParseMAC(nic.MAC)
	if err != nil {
		return 0, err
	}
	for _, a := range addresses(nic) {
		address := a.Addr()
		neighbour := &netlink.Neigh{LinkIndex: link.Attrs().Index, IP: address.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT}
		if err := r.ns.nl.NeighSet(neighbour); err != nil {
			return 0, fmt.Errorf("neighbour %s: %w", address, err)
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.PrefixFrom(address, 32)), Scope: netlink.SCOPE_LINK}
		if err := r.ns.nl.RouteAdd(route); err != nil {
			return 0, fmt.Errorf("route to %s: %w", address, err)
		}
	}
	return link.Attrs().Index, nil
}

// configure sets up the machine's end, as the cloud's DHCP would.
func (n *namespace) configure(nic world.NIC, metric int) error {
	for _, a := range addresses(nic) {
		if err := n.addAddress(nic.Device, a); err != nil {
			return err
		}
	}
	link, err := n.nl.LinkByName(nic.Device)
	if err != nil {
		return err
	}
	if err := n.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if nic.NoDefault {
		return nil
	}
	index, source := link.Attrs().Index, nic.Address.Addr().AsSlice()
	onLink := []netip.Addr{metadataAddress}
	if !nic.Address.Masked().Contains(nic.Gateway) {
		onLink = append(onLink, nic.Gateway)
	}
	for _, a := range onLink {
		route := &netlink.Route{
			LinkIndex: index, Dst: ipNet(netip.PrefixFrom(a, 32)), Scope: netlink.SCOPE_LINK, Src: source, Priority: metric,
		}
		if err := n.nl.RouteAdd(route); err != nil {
			return fmt.Errorf("route to %s: %w", a, err)
		}
	}
	way := &netlink.Route{LinkIndex: index, Gw: nic.Gateway.AsSlice(), Src: source, Priority: metric}
	if err := n.nl.RouteAdd(way); err != nil {
		return fmt.Errorf("default route via %s: %w", nic.Gateway, err)
	}
	return nil
}

// withdraw removes the routes to ranges that an interface shouldn't have, or not in this way.
func (r *router) withdraw(w *wire, nic world.NIC) error {
	for p, drop := range w.routes {
		if slices.ContainsFunc(nic.Routed, func(q netip.Prefix) bool { return q.Masked() == p }) && drop == !nic.Forwarding {
			continue
		}
		if err := r.ns.nl.RouteDel(r.rangeRoute(p, drop, w)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route to %s: %w", p, err)
		}
		delete(w.routes, p)
	}
	return nil
}

// route adds the routes to the ranges that an interface should have.
func (r *router) route(w *wire, nic world.NIC) error {
	for _, p := range nic.Routed {
		p = p.Masked()
		if _, ok := w.routes[p]; ok {
			continue
		}
		if err := r.ns.nl.RouteAdd(r.rangeRoute(p, !nic.Forwarding, w)); err != nil {
			return fmt.Errorf("route to %s: %w", p, err)
		}
		w.routes[p] = !nic.Forwarding
	}
	w.nic = nic
	return nil
}

// rangeRoute is the route to a range behind a machine; one that must not get it drops it.
func (r *router) rangeRoute(p netip.Prefix, drop bool, w *wire) *netlink.Route {
	if drop {
		return &netlink.Route{Dst: ipNet(p), Type: unix.RTN_BLACKHOLE}
	}
	return &netlink.Route{
		LinkIndex: w.index, Dst: ipNet(p), Gw: w.nic.Address.Addr().AsSlice(), Flags: int(netlink.FLAG_ONLINK),
	}
}

// unplug removes an interface, and its machine's namespace with the last one.
func (r *router) unplug(id string, w *wire) error {
	for _, a := range addresses(w.nic) {
		r.markStale(a.Addr())
	}
	for p, drop := range w.routes {
		if !drop {
			continue // goes with the link
		}
		if err := r.ns.nl.RouteDel(r.rangeRoute(p, drop, w)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route to %s: %w", p, err)
		}
		delete(w.routes, p)
	}
	if w.door != nil {
		if err := w.door.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("metadata service on %s: %w", w.link, err)
		}
	}
	link, err := r.ns.nl.LinkByName(w.link)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
	case err != nil:
		return fmt.Errorf("link %s: %w", w.link, err)
	default:
		if err := r.ns.nl.LinkDel(link); err != nil {
			return fmt.Errorf("remove link %s: %w", w.link, err)
		}
	}
	if err := r.fabric.unplug(w.nic.Machine, nicKey{r.id, id}); err != nil {
		return fmt.Errorf("machine %s: %w", w.nic.Machine, err)
	}
	delete(r.wires, id)
	return nil
}

// addAddress gives a link of the namespace an address.
func (n *namespace) addAddress(name string, p netip.Prefix) error {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	address := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
	if err := n.nl.AddrAdd(link, &netlink.Addr{IPNet: address}); err != nil {
		return fmt.Errorf("address %s on %s: %w", p, name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
