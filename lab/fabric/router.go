//go:build linux

package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

// router is one network: a namespace with a link to every machine and one to the internet.
type router struct {
	fabric *Fabric
	id     string
	at     place
	serial int

	mu       sync.Mutex
	removed  bool
	ns       *namespace
	port     *port
	services *services
	// want is the last state that was asked for, reached when done.
	want *world.Network
	done bool
	// What was really done, so that a repeated call finishes it.
	wires    map[string]*wire
	lastLink int
	ruleset  string
	mapped   map[netip.Addr]netip.Addr
	// stale are addresses whose tracked connections must still be forgotten.
	stale map[netip.Addr]bool
}

// set brings the router to the state n. First come the rules, so that no packet passes a moment too early; then links
// go and come; connections of addresses that changed hands are forgotten last.
func (r *router) set(ctx context.Context, n world.Network) error {
	if r.done && reflect.DeepEqual(*r.want, n) {
		return nil
	}
	r.want, r.done = clone(n), false
	if err := r.start(); err != nil {
		return err
	}
	r.port.cut.Store(n.Cut)
	links := r.links(n)
	if err := r.load(ctx, ruleset(n, links)); err != nil {
		return err
	}
	if err := r.announce(mappings(n, links)); err != nil {
		return err
	}
	if err := r.unplugOthers(n, links); err != nil {
		return err
	}
	for _, nic := range n.NICs {
		if err := r.plug(ctx, nic, links[nic.ID]); err != nil {
			return fmt.Errorf("interface %s: %w", nic.ID, err)
		}
	}
	// A range may move from one interface to another, so all go before any comes.
	for _, change := range []func(*wire, world.NIC) error{r.withdraw, r.route} {
		for _, nic := range n.NICs {
			w := r.wires[nic.ID]
			if w == nil {
				continue
			}
			if err := change(w, nic); err != nil {
				return fmt.Errorf("interface %s: %w", nic.ID, err)
			}
		}
	}
	if err := r.forget(); err != nil {
		return err
	}
	r.done = true
	return nil
}

// repower plugs a machine in or out after its power has changed.
func (r *router) repower(ctx context.Context, machineID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed || r.want == nil || !slices.ContainsFunc(r.want.NICs, func(nic world.NIC) bool { return nic.Machine == machineID }) {
		return nil
	}
	r.done = false
	return r.set(ctx, *r.want)
}

// clone copies a network, so that a caller who goes on changing its own doesn't change ours.
func clone(n world.Network) *world.Network {
	n.NICs = slices.Clone(n.NICs)
	for i := range n.NICs {
		nic := &n.NICs[i]
		nic.Routed, nic.Others = slices.Clone(nic.Routed), slices.Clone(nic.Others)
		for _, rules := range []*[]world.Rule{&nic.Inbound, &nic.Outbound} {
			*rules = slices.Clone(*rules)
			for j := range *rules {
				(*rules)[j].Remote = slices.Clone((*rules)[j].Remote)
			}
		}
	}
	return &n
}

// start makes the router's namespace with its services and its place on the internet.
func (r *router) start() (err error) {
	if r.ns != nil {
		return nil
	}
	ns, err := r.fabric.record.makeNamespace(r.fabric.namespacePath(fmt.Sprintf("r-%d", r.serial)))
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("router: %w", err), r.stop(), r.fabric.record.removeNamespace(ns))
		}
	}()
	err = ns.sysctl("ipv4/ip_forward=1", "ipv4/conf/all/rp_filter=1", "ipv4/conf/default/rp_filter=1",
		"ipv4/conf/all/send_redirects=0", "ipv4/conf/default/send_redirects=0", "?netfilter/nf_conntrack_tcp_be_liberal=1",
		"?ipv6/conf/all/disable_ipv6=1", "?ipv6/conf/default/disable_ipv6=1")
	if err != nil {
		return err
	}
	for _, a := range servicesOf(r.at.cloud) {
		if err := ns.addAddress("lo", netip.PrefixFrom(a, 32)); err != nil {
			return err
		}
	}
	if r.port, err = r.fabric.connect(ns, "network "+r.id, r.at, netip.MustParsePrefix("0.0.0.0/0"), netip.Addr{}); err != nil {
		return err
	}
	if r.services, err = startServices(ns, r.fabric.config, r.at.cloud, r.id); err != nil {
		return err
	}
	r.ns = ns
	return nil
}

// connect makes a namespace's uplink and puts it on the internet; all of to goes there.
func (f *Fabric) connect(ns *namespace, name string, at place, to netip.Prefix, source netip.Addr) (*port, error) {
	var tun *os.File
	err := ns.do(func() (err error) {
		tun, err = openTUN(uplink)
		return err
	})
	if err != nil {
		return nil, err
	}
	link, err := ns.nl.LinkByName(uplink)
	if err == nil {
		err = errors.Join(ns.nl.LinkSetMTU(link, internetMTU), ns.nl.LinkSetTxQLen(link, 2000), ns.nl.LinkSetUp(link))
	}
	if err == nil && source.IsValid() {
		err = ns.addAddress(uplink, netip.PrefixFrom(source, 32))
	}
	if err == nil {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(to), Scope: netlink.SCOPE_LINK}
		if source.IsValid() {
			route.Src = source.AsSlice()
		}
		err = ns.nl.RouteAdd(route)
	}
	if err != nil {
		tun.Close()
		return nil, fmt.Errorf("uplink %s: %w", uplink, err)
	}
	return f.net.attach(name, at, tun), nil
}

// links names the router's end of each interface: the old name while the interface is the same, a new one otherwise,
// none when there is no machine or it is off.
func (r *router) links(n world.Network) map[string]string {
	links := map[string]string{}
	for _, nic := range n.NICs {
		switch w := r.wires[nic.ID]; {
		case nic.Machine == "" || r.fabric.isOff(nic.Machine):
		case w != nil && sameWire(w.nic, nic):
			links[nic.ID] = w.link
		default:
			r.lastLink++
			links[nic.ID] = fmt.Sprintf("nic%d", r.lastLink)
		}
	}
	return links
}

// sameWire reports whether an interface can stay as it is.
func sameWire(a, b world.NIC) bool {
	return a.Machine == b.Machine && a.Device == b.Device && strings.EqualFold(a.MAC, b.MAC) &&
		slices.Equal(addresses(a), addresses(b)) && a.Gateway == b.Gateway && a.NoDefault == b.NoDefault && a.MTU == b.MTU
}

// load replaces the router's whole ruleset at once.
func (r *router) load(ctx context.Context, text string) error {
	if text == r.ruleset {
		return nil
	}
	r.ruleset = "" // unknown, should this be interrupted
	return r.ns.do(func() error {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, "nft", "-f", "-")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("load rules: nft: %w: %s", err, bytes.TrimSpace(out.Bytes()))
		}
		r.ruleset = text
		return nil
	})
}

// announce tells the internet the public addresses, and marks as stale those that no longer lead where they did.
func (r *router) announce(mapped map[netip.Addr]netip.Addr) error {
	for public, private := range r.mapped {
		if mapped[public] != private {
			r.markStale(public)
		}
	}
	if err := r.fabric.net.announce(r.port, slices.Collect(maps.Keys(mapped))); err != nil {
		return err
	}
	r.mapped = mapped
	return nil
}

func (r *router) markStale(a netip.Addr) {
	if r.stale == nil {
		r.stale = map[netip.Addr]bool{}
	}
	r.stale[a] = true
}

// unplugOthers removes the interfaces that are gone or must be made anew.
func (r *router) unplugOthers(n world.Network, links map[string]string) error {
	for id, w := range r.wires {
		if links[id] == w.link {
			continue
		}
		if err := r.unplug(id, w); err != nil {
			return fmt.Errorf("interface %s: %w", id, err)
		}
	}
	return nil
}

// forget drops the tracked connections of stale addresses: a peer that never stops sending from the same port would
// otherwise reach the address's former holder forever.
func (r *router) forget() error {
	if len(r.stale) == 0 {
		return nil
	}
	if _, err := r.ns.nl.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, staleFlows(r.stale)); err != nil {
		return fmt.Errorf("forget the connections of %d addresses: %w", len(r.stale), err)
	}
	r.stale = nil
	return nil
}

// staleFlows matches connections that involve one of the addresses on either side.
type staleFlows map[netip.Addr]bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, ip := range [][]byte{flow.Forward.SrcIP, flow.Forward.DstIP, flow.Reverse.SrcIP, flow.Reverse.DstIP} {
		if a, ok := netip.AddrFromSlice(ip); ok && s[a.Unmap()] {
			return true
		}
	}
	return false
}

// stop ends what runs in the router but leaves its namespace.
func (r *router) stop() error {
	var failed error
	if r.services != nil {
		failed = r.services.close()
		r.services = nil
	}
	if r.port != nil {
		failed = errors.Join(failed, r.fabric.net.detach(r.port))
		r.port = nil
	}
	return failed
}

// remove takes the router away with all its interfaces.
func (r *router) remove() error {
	r.done = false
	if r.ns == nil {
		r.removed = true
		return nil
	}
	for id, w := range r.wires {
		if err := r.unplug(id, w); err != nil {
			return fmt.Errorf("interface %s: %w", id, err)
		}
	}
	if err := r.stop(); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if err := r.fabric.record.removeNamespace(r.ns); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	r.ns, r.removed = nil, true
	return nil
}
