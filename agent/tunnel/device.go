package tunnel

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/skyweld/skyweld/mesh"
)

// routeProtocol marks our routes for people who look at them; a number that no routing daemon of iproute2's list has.
const routeProtocol = 113

// Linux is the Device of this machine's network namespace: the kernel's WireGuard where there is one, else the same
// protocol in this process, which must then stay.
type Linux struct {
	key  wgtypes.Key
	kind Kind
	log  *slog.Logger

	mu   sync.Mutex
	user *userDevice
}

// NewLinux takes the machine's private key and looks at what the kernel can do.
func NewLinux(privateKey wgtypes.Key, log *slog.Logger) *Linux {
	kind := User
	if KernelWireGuard() {
		kind = Kernel
	}
	return &Linux{key: privateKey, kind: kind, log: log}
}

// KernelWireGuard says whether the kernel can make WireGuard devices, by making one.
func KernelWireGuard() bool {
	if links, err := netlink.LinkByName(mesh.Device); err == nil && links.Type() == "wireguard" {
		return true
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "skyweld-try"
	link := &netlink.Wireguard{LinkAttrs: attrs}
	err := netlink.LinkAdd(link)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return false
	}
	return netlink.LinkDel(link) == nil
}

// Kind implements Device.
func (l *Linux) Kind() Kind { return l.kind }

// Close ends a device that runs in this process.
func (l *Linux) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.user != nil {
		l.user.close()
		l.user = nil
	}
}

// Read implements Device.
func (l *Linux) Read() (State, error) {
	state := State{}
	link, err := netlink.LinkByName(mesh.Device)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		link = nil
	} else if err != nil {
		return state, err
	}
	index := -1
	if link != nil {
		index = link.Attrs().Index
		if err := readLink(link, &state); err != nil {
			return state, err
		}
	}
	if state.Routes, err = readRoutes(index); err != nil {
		return state, fmt.Errorf("routes: %w", err)
	}
	if state.Rules, err = readRules(); err != nil {
		return state, fmt.Errorf("rules: %w", err)
	}
	return state, nil
}

func readLink(link netlink.Link, state *State) error {
	attrs := link.Attrs()
	state.Kind = User
	if link.Type() == "wireguard" {
		state.Kind = Kernel
	}
	state.MTU = attrs.MTU
	state.Up = attrs.Flags&net.FlagUp != 0
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	for _, address := range addresses {
		state.Addresses = append(state.Addresses, prefix(address.IPNet))
	}
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	device, err := client.Device(mesh.Device)
	if err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	state.Port, state.PublicKey = device.ListenPort, device.PublicKey.String()
	for _, peer := range device.Peers {
		state.Peers = append(state.Peers, fromDevice(peer))
	}
	return nil
}

func fromDevice(p wgtypes.Peer) Peer {
	peer := Peer{Handshake: p.LastHandshakeTime}
	peer.PublicKey = p.PublicKey.String()
	peer.Keepalive = int(p.PersistentKeepaliveInterval / time.Second)
	if p.Endpoint != nil {
		endpoint := p.Endpoint.AddrPort()
		peer.Endpoint = netip.AddrPortFrom(endpoint.Addr().Unmap(), endpoint.Port())
	}
	for i := range p.AllowedIPs {
		peer.AllowedIPs = append(peer.AllowedIPs, prefix(&p.AllowedIPs[i]))
	}
	return peer
}

func readRoutes(index int) ([]mesh.Route, error) {
	// An unspecified table means all of them.
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	var routes []mesh.Route
	for _, r := range all {
		ours := r.Table == mesh.Table || r.LinkIndex == index && r.Table == unix.RT_TABLE_MAIN && r.Protocol != unix.RTPROT_KERNEL
		if !ours || r.Dst == nil {
			continue
		}
		route := mesh.Route{To: prefix(r.Dst), Table: r.Table}
		if r.Table == unix.RT_TABLE_MAIN {
			route.Table = 0
		}
		if r.Src != nil {
			source, _ := netip.AddrFromSlice(r.Src)
			route.Source = source.Unmap()
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func readRules() ([]mesh.Rule, error) {
	all, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var rules []mesh.Rule
	for _, r := range all {
		if r.Table != mesh.Table {
			continue
		}
		rule := mesh.Rule{From: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Table: r.Table, Priority: r.Priority}
		if r.Src != nil {
			rule.From = prefix(r.Src)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// prefix converts an IPv4 network.
func prefix(n *net.IPNet) netip.Prefix {
	address, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits)
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Do implements Device.
func (l *Linux) Do(s Step) error {
	switch s.Action {
	case Create:
		return l.create(s)
	case AddRule, RemoveRule:
		rule := netlink.NewRule()
		rule.Family, rule.Src, rule.Table, rule.Priority = unix.AF_INET, network(s.Rule.From), s.Rule.Table, s.Rule.Priority
		if s.Action == AddRule {
			return netlink.RuleAdd(rule)
		}
		return netlink.RuleDel(rule)
	case SetKey:
		return configure(wgtypes.Config{PrivateKey: &l.key})
	case SetPort:
		return configure(wgtypes.Config{ListenPort: &s.Number})
	case AddPeer, ChangePeer, RemovePeer:
		peer, err := toDevice(s)
		if err != nil {
			return err
		}
		return configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{peer}})
	case RemoveRoute:
		return removeRoute(s.Route)
	}
	link, err := netlink.LinkByName(mesh.Device)
	if err != nil {
		return err
	}
	switch s.Action {
	case Delete:
		l.Close()
		err := netlink.LinkDel(link)
		if errors.Is(err, unix.ENODEV) { // one in user space goes with its file
			return nil
		}
		return err
	case SetMTU:
		return netlink.LinkSetMTU(link, s.Number)
	case SetUp:
		return netlink.LinkSetUp(link)
	case AddAddress:
		return netlink.AddrReplace(link, &netlink.Addr{IPNet: network(s.Address)})
	case RemoveAddress:
		return netlink.AddrDel(link, &netlink.Addr{IPNet: network(s.Address)})
	case AddRoute, ChangeRoute:
		return netlink.RouteReplace(toRoute(s.Route, link.Attrs().Index))
	}
	return fmt.Errorf("unknown action %q", s.Action)
}

func (l *Linux) create(s Step) error {
	if s.Kind == Kernel {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = mesh.Device, s.Number
		return netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.user != nil { // its device was deleted behind our back
		l.user.close()
	}
	user, err := newUserDevice(s.Number, l.log)
	l.user = user
	return err
}

func configure(c wgtypes.Config) error {
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ConfigureDevice(mesh.Device, c)
}

func toDevice(s Step) (wgtypes.PeerConfig, error) {
	key, err := wgtypes.ParseKey(s.Peer.PublicKey)
	if err != nil {
		return wgtypes.PeerConfig{}, err
	}
	if s.Action == RemovePeer {
		return wgtypes.PeerConfig{PublicKey: key, Remove: true}, nil
	}
	keepalive := time.Duration(s.Peer.Keepalive) * time.Second
	peer := wgtypes.PeerConfig{
		PublicKey: key, Endpoint: net.UDPAddrFromAddrPort(s.Peer.Endpoint),
		PersistentKeepaliveInterval: &keepalive, ReplaceAllowedIPs: true,
	}
	for _, allowed := range s.Peer.AllowedIPs {
		peer.AllowedIPs = append(peer.AllowedIPs, *network(allowed))
	}
	return peer, nil
}

func toRoute(r mesh.Route, index int) *netlink.Route {
	route := &netlink.Route{
		LinkIndex: index, Dst: network(r.To), Table: unix.RT_TABLE_MAIN,
		Protocol: routeProtocol, Scope: netlink.SCOPE_LINK,
	}
	if r.Table != 0 {
		route.Table = r.Table
	}
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	return route
}

// removeRoute doesn't name the device: in the tunnel's own table, a stray route may lead anywhere.
func removeRoute(r mesh.Route) error {
	route := &netlink.Route{Dst: network(r.To), Table: r.Table, Scope: netlink.SCOPE_NOWHERE}
	if r.Table == 0 {
		link, err := netlink.LinkByName(mesh.Device)
		if err != nil {
			return err
		}
		route.Table, route.LinkIndex = unix.RT_TABLE_MAIN, link.Attrs().Index
	}
	if err := netlink.RouteDel(route); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// PrivateKey reads a WireGuard key from the text of its file.
func PrivateKey(text []byte) (wgtypes.Key, error) {
	key, err := wgtypes.ParseKey(string(text))
	if err != nil {
		return key, errors.New("it holds no WireGuard key") // the library's error would show the text
	}
	return key, nil
}
