//go:build linux

package fabric

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

// linkLocal is the range of addresses that machines give themselves before they know their own (RFC 3927).
var linkLocal = netip.MustParsePrefix("169.254.0.0/16")

// knocks says whether a cloud's machines ask the metadata service from a link-local address of their own choice: at
// DigitalOcean no DHCP server tells them theirs, the service itself does.
func knocks(cloud string) bool { return cloud == "digitalocean" }

// door is a listener of the metadata service on one interface only, so that answers to an address that any machine may have
// chosen go back to the one that asked.
type door struct {
	net.Listener
	owner netip.Addr
}

// openDoor lets an interface's machine ask the metadata service from a link-local address, and nothing else from there;
// the service sees the interface's own one. It is nil where nobody knocks.
func (r *router) openDoor(nic world.NIC, link string, index int) (*door, error) {
	if !knocks(r.at.cloud) || r.services.web == nil {
		return nil, nil
	}
	// The ruleset says exactly who may send from where; by the routing table such an address could be on any link.
	if err := r.ns.sysctl("ipv4/conf/" + link + "/rp_filter=2"); err != nil {
		return nil, err
	}
	// Each link has such a route; the metric tells them apart, and which one counts depends on the listener.
	route := &netlink.Route{LinkIndex: index, Dst: ipNet(linkLocal), Scope: netlink.SCOPE_LINK, Priority: index}
	if err := r.ns.nl.RouteAdd(route); err != nil {
		return nil, fmt.Errorf("route to %s: %w", linkLocal, err)
	}
	l, err := r.ns.listen("tcp4", netip.AddrPortFrom(metadataAddress, 80).String(), func(fd int) error {
		return unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, link)
	})
	if err != nil {
		return nil, fmt.Errorf("metadata service on %s: %w", link, err)
	}
	d, web := &door{l, nic.Address.Addr()}, r.services.web
	go func() {
		err := web.Serve(d)
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			r.fabric.config.Logger.Error("metadata service ended", slog.String("network", r.id), slog.String("link", link), slog.Any("error", err))
		}
	}()
	return d, nil
}

// Accept names the interface's own address as that of who came with a link-local one.
func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !linkLocal.Contains(from.AddrPort().Addr().Unmap()) {
		return c, nil
	}
	return visitor{c, net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.owner, from.AddrPort().Port()))}, nil
}

// visitor is a connection whose other end is known by another address.
type visitor struct {
	net.Conn
	from net.Addr
}

func (v visitor) RemoteAddr() net.Addr { return v.from }

// knocking are the matches of what machines may send from link-local addresses; empty where nothing.
func knocking(cloud string, nics []world.NIC, links map[string]string) string {
	if !knocks(cloud) || len(nics) == 0 {
		return ""
	}
	var names []string
	for _, nic := range nics {
		names = append(names, fmt.Sprintf("%q", links[nic.ID]))
	}
	return fmt.Sprintf("iifname { %s } ip saddr %s ip daddr %s tcp dport 80", strings.Join(names, ", "), linkLocal, metadataAddress)
}

// segments are the links to interfaces that have a public address themselves, and to those beside them, where a network has
// both: those are two networks, which nothing crosses.
func segments(nics []world.NIC, links map[string]string) (outer, inner []string) {
	for _, nic := range nics {
		name := fmt.Sprintf("%q", links[nic.ID])
		if nic.Public.IsValid() && nic.Public == nic.Address.Addr() {
			outer = append(outer, name)
		} else {
			inner = append(inner, name)
		}
	}
	if len(outer) == 0 || len(inner) == 0 {
		return nil, nil
	}
	return outer, inner
}
