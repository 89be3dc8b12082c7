//go:build linux

package fabric

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/world"
)

// Internet is the range of the lab's public addresses (RFC 2544's benchmarking range). It exists only inside the
// lab's namespaces.
var Internet = netip.MustParsePrefix("198.18.0.0/15")

// Home is the part of Internet for the lab's own services: the proxy's egress and the mirror. No machine may have an
// address of it.
var Home = netip.MustParsePrefix("198.18.0.0/24")

// uplink is the name of the TUN device to the internet in every router.
const uplink = "inet0"

// The link-local addresses of every cloud's metadata service and resolver.
var (
	metadataAddress = netip.MustParseAddr("169.254.169.254")
	resolverAddress = netip.MustParseAddr("169.254.169.253")
)

// wireServer is the address of Azure's services for its machines: the wire server and a resolver. No other cloud has it.
var wireServer = netip.MustParseAddr("168.63.129.16")

// servicesOf are the addresses of a cloud's services for its machines; all of them resolve names.
func servicesOf(cloud string) []netip.Addr {
	all := []netip.Addr{resolverAddress, metadataAddress}
	if cloud == "azure" {
		all = append(all, wireServer)
	}
	return all
}

// ruleset returns the router's whole firewall as one atomic nft script: which sources each interface may use, what it
// may send and receive, and the one-to-one mappings. links names the router's end of each interface by NIC id; a NIC
// without one is loose, its address is known but nothing comes from or goes to it.
func ruleset(n world.Network, links map[string]string) string {
	nics := make([]world.NIC, 0, len(n.NICs))
	for _, nic := range n.NICs {
		if links[nic.ID] != "" {
			nics = append(nics, nic)
		}
	}
	slices.SortFunc(nics, func(a, b world.NIC) int { return a.Address.Addr().Compare(b.Address.Addr()) })

	var w writer
	w.line(0, "table ip skyweld")
	w.line(0, "delete table ip skyweld")
	w.line(0, "table ip skyweld {")
	w.sets(nics, links)
	w.baseChains(n.Cloud, nics, links)
	for _, nic := range nics {
		w.nicChains(nic, links[nic.ID])
	}
	w.line(0, "}")
	return w.String()
}

// mappings returns the public addresses that lead to the router, each with the address that has it or that it is mapped to.
func mappings(n world.Network, links map[string]string) map[netip.Addr]netip.Addr {
	m := map[netip.Addr]netip.Addr{}
	for _, nic := range n.NICs {
		if links[nic.ID] == "" {
			continue
		}
		for _, p := range faces(nic) {
			m[p.public] = p.private
		}
	}
	return m
}

// face is an address of an interface that is known on the internet, under the same or another one.
type face struct {
	private, public netip.Addr
	// alias says that it is one of the further addresses.
	alias bool
}

// faces are an interface's addresses that the internet knows.
func faces(nic world.NIC) []face {
	var out []face
	if !nic.Internet {
		return nil
	}
	if nic.Public.IsValid() {
		out = append(out, face{nic.Address.Addr(), nic.Public, false})
	}
	for _, o := range nic.Others {
		if o.Public.IsValid() {
			out = append(out, face{o.Address.Addr(), o.Public, true})
		}
	}
	return out
}

// addresses are all of an interface, with the prefixes the machine sees, its first one first.
func addresses(nic world.NIC) []netip.Prefix {
	out := []netip.Prefix{nic.Address}
	for _, o := range nic.Others {
		out = append(out, o.Address)
	}
	return out
}

// writer collects an nft script.
type writer struct{ strings.Builder }

func (w *writer) line(indent int, format string, args ...any) {
	w.WriteString(strings.Repeat("\t", indent))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

func (w *writer) set(name, typ string, elements []string) {
	w.line(1, "set %s {", name)
	w.line(2, "type %s", typ)
	if len(elements) > 0 {
		w.line(2, "elements = { %s }", strings.Join(elements, ", "))
	}
	w.line(1, "}")
}

func (w *writer) sets(nics []world.NIC, links map[string]string) {
	var owners, private, public []string
	for _, nic := range nics {
		for _, a := range addresses(nic) {
			owners = append(owners, fmt.Sprintf("%q . %s", links[nic.ID], a.Addr()))
		}
		for _, f := range faces(nic) {
			private = append(private, f.private.String())
			public = append(public, f.public.String())
		}
	}
	w.set("owners", "ifname . ipv4_addr", owners)
	w.set("private", "ipv4_addr", private)
	w.set("public", "ipv4_addr", public)
}

func (w *writer) baseChains(cloud string, nics []world.NIC, links map[string]string) {
	var out, in, dnat, inside, snat []string
	w.line(1, "chain sources {")
	w.line(2, "type filter hook prerouting priority raw; policy drop;")
	w.line(2, `iifname "lo" accept`)
	w.line(2, "iifname . ip saddr @owners accept")
	for _, nic := range nics {
		link := links[nic.ID]
		if ranges := prefixes(nic.Routed); nic.Forwarding && len(ranges) > 0 {
			w.line(2, "iifname %q ip saddr { %s } accept", link, strings.Join(ranges, ", "))
		}
		out = append(out, fmt.Sprintf("%q : jump out_%s", link, link))
		in = append(in, fmt.Sprintf("%q : jump in_%s", link, link))
		for _, f := range faces(nic) {
			if f.private == f.public {
				continue
			}
			snat = append(snat, fmt.Sprintf("%s : %s", f.private, f.public))
			if f.alias {
				inside = append(inside, fmt.Sprintf("%s : %s", f.public, f.private))
			} else {
				dnat = append(dnat, fmt.Sprintf("%s : %s", f.public, f.private))
			}
		}
	}
	w.line(2, "iifname %q ip daddr @public accept", uplink)
	knock := knocking(cloud, nics, links)
	if knock != "" {
		w.line(2, "%s accept", knock)
	}
	w.line(1, "}")

	w.line(1, "chain input {")
	w.line(2, "type filter hook input priority filter; policy drop;")
	w.line(2, `iifname "lo" accept`)
	w.line(2, "ct state established,related accept")
	var services []string
	for _, a := range servicesOf(cloud) {
		services = append(services, a.String())
	}
	w.line(2, "iifname . ip saddr @owners ip daddr { %s } meta l4proto . th dport { tcp . 53, udp . 53, tcp . 80 } accept", strings.Join(services, ", "))
	if knock != "" {
		w.line(2, "%s accept", knock)
	}
	w.line(1, "}")

	w.line(1, "chain forward {")
	w.line(2, "type filter hook forward priority filter; policy drop;")
	w.line(2, "ct state invalid drop")
	if knock != "" {
		w.line(2, "ip daddr %s drop", linkLocal)
	}
	if outer, inner := segments(nics, links); len(outer) > 0 {
		w.line(2, "iifname { %s } oifname { %s } drop", strings.Join(outer, ", "), strings.Join(inner, ", "))
		w.line(2, "iifname { %s } oifname { %s } drop", strings.Join(inner, ", "), strings.Join(outer, ", "))
	}
	w.line(2, "ct state established,related accept")
	if len(nics) > 0 {
		w.line(2, "iifname vmap { %s }", strings.Join(out, ", "))
		w.line(2, "oifname vmap { %s }", strings.Join(in, ", "))
	}
	w.line(2, "oifname %q ip saddr @private ip daddr %s accept", uplink, Internet)
	w.line(1, "}")

	w.line(1, "chain dstnat {")
	w.line(2, "type nat hook prerouting priority dstnat;")
	if len(dnat) > 0 {
		w.line(2, "iifname %q dnat to ip daddr map { %s }", uplink, strings.Join(dnat, ", "))
	}
	if len(inside) > 0 {
		// Not only from outside: a machine whose public address is its own doesn't change it on the way out, so that the
		// same connection, coming back in, would be taken for one that is known and needs no mapping.
		w.line(2, "dnat to ip daddr map { %s }", strings.Join(inside, ", "))
	}
	w.line(1, "}")
	w.line(1, "chain srcnat {")
	w.line(2, "type nat hook postrouting priority srcnat;")
	if len(snat) > 0 {
		w.line(2, "oifname %q snat to ip saddr map { %s }", uplink, strings.Join(snat, ", "))
	}
	w.line(1, "}")
}

// nicChains writes what one interface may send and receive when a connection is new.
func (w *writer) nicChains(nic world.NIC, link string) {
	w.line(1, "chain out_%s { # %q", link, nic.ID)
	w.rules("daddr", "return", nic.Outbound)
	w.line(1, "}")
	w.line(1, "chain in_%s { # %q", link, nic.ID)
	w.rules("saddr", "accept", nic.Inbound)
	w.line(1, "}")
}

// rules writes a rule list in order of evaluation; remote says which address is the other end's.
func (w *writer) rules(remote, allow string, rules []world.Rule) {
	for _, r := range inOrder(rules) {
		match, ok := match(remote, r)
		if !ok {
			continue
		}
		verdict := "drop"
		if r.Allow {
			verdict = allow
		}
		w.line(2, "%s%s", match, verdict)
	}
	w.line(2, "drop")
}

func inOrder(rules []world.Rule) []world.Rule {
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b world.Rule) int {
		if c := cmp.Compare(a.Priority, b.Priority); c != 0 {
			return c
		}
		switch {
		case a.Allow == b.Allow:
			return 0
		case b.Allow:
			return -1
		}
		return 1
	})
	return sorted
}

// match returns the nft matches of a rule, each followed by a space; not ok when the rule matches no IPv4 packet.
func match(remote string, r world.Rule) (string, bool) {
	ranges := prefixes(r.Remote)
	if len(ranges) == 0 {
		return "", false
	}
	var b strings.Builder
	if ranges[0] != "0.0.0.0/0" {
		fmt.Fprintf(&b, "ip %s { %s } ", remote, strings.Join(ranges, ", "))
	}
	proto := protocolNumber(r.Protocol)
	ports := proto == 6 || proto == 17
	switch {
	case r.Protocol == "":
	case ports && (r.FromPort != 0 || r.ToPort != 0):
		name := map[int]string{6: "tcp", 17: "udp"}[proto]
		if r.FromPort == r.ToPort {
			fmt.Fprintf(&b, "%s dport %d ", name, r.FromPort)
		} else {
			fmt.Fprintf(&b, "%s dport %d-%d ", name, r.FromPort, r.ToPort)
		}
	default:
		fmt.Fprintf(&b, "ip protocol %d ", proto)
	}
	return b.String(), true
}

// protocolNumber returns the IP protocol's number, -1 for none.
func protocolNumber(name string) int {
	switch name {
	case "tcp":
		return 6
	case "udp":
		return 17
	case "icmp":
		return 1
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return -1
	}
	return int(n)
}

// prefixes returns the IPv4 ranges sorted, without those inside another one: nft refuses overlaps.
func prefixes(in []netip.Prefix) []string {
	var v4 []netip.Prefix
	for _, p := range in {
		if p.IsValid() && p.Addr().Is4() {
			v4 = append(v4, p.Masked())
		}
	}
	slices.SortFunc(v4, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var out []string
	var last netip.Prefix
	for _, p := range v4 {
		if last.IsValid() && last.Contains(p.Addr()) {
			continue
		}
		last = p
		out = append(out, p.String())
	}
	return out
}

// validate reports what makes a network impossible to wire.
func validate(n world.Network) error {
	if n.ID == "" {
		return fmt.Errorf("a network without an id")
	}
	ids, private, publics, routed := map[string]bool{}, map[netip.Addr]string{}, map[netip.Addr]string{}, map[netip.Prefix]string{}
	for _, nic := range n.NICs {
		if nic.ID == "" || ids[nic.ID] {
			return fmt.Errorf("interface ids must be unique and not empty: %q", nic.ID)
		}
		ids[nic.ID] = true
		if err := validateNIC(nic); err != nil {
			return fmt.Errorf("interface %s: %w", nic.ID, err)
		}
		for _, a := range addresses(nic) {
			if other := private[a.Addr()]; other != "" {
				return fmt.Errorf("interface %s: address %s belongs to interface %s", nic.ID, a.Addr(), other)
			}
			private[a.Addr()] = nic.ID
		}
		for _, a := range append([]world.Alias{{Public: nic.Public}}, nic.Others...) {
			if other := publics[a.Public]; other != "" {
				return fmt.Errorf("interface %s: public address %s belongs to interface %s", nic.ID, a.Public, other)
			}
			if a.Public.IsValid() {
				publics[a.Public] = nic.ID
			}
		}
		for _, p := range nic.Routed {
			if other := routed[p.Masked()]; other != "" {
				return fmt.Errorf("interface %s: range %s is routed to interface %s", nic.ID, p, other)
			}
			routed[p.Masked()] = nic.ID
		}
	}
	return nil
}

func validateNIC(nic world.NIC) error {
	for _, a := range addresses(nic) {
		if !a.IsValid() || !a.Addr().Is4() {
			return fmt.Errorf("address %s is no IPv4 address with a prefix", a)
		}
	}
	for _, a := range append([]world.Alias{{Public: nic.Public}}, nic.Others...) {
		if a.Public.IsValid() && (!Internet.Contains(a.Public) || Home.Contains(a.Public)) {
			return fmt.Errorf("public address %s is not in %s, or in %s", a.Public, Internet, Home)
		}
	}
	for _, p := range nic.Routed {
		if !p.IsValid() || !p.Addr().Is4() || p.Bits() == 0 {
			return fmt.Errorf("routed range %s is no IPv4 range, or all of it", p)
		}
	}
	for _, rules := range [][]world.Rule{nic.Inbound, nic.Outbound} {
		for _, r := range rules {
			if r.Protocol != "" && protocolNumber(r.Protocol) < 0 {
				return fmt.Errorf("rule with protocol %q: want tcp, udp, icmp, a number or nothing", r.Protocol)
			}
			if r.FromPort > r.ToPort {
				return fmt.Errorf("rule with ports %d-%d", r.FromPort, r.ToPort)
			}
		}
	}
	if nic.Machine == "" {
		return nil
	}
	if !nic.Gateway.Is4() || nic.Gateway == nic.Address.Addr() {
		return fmt.Errorf("gateway %s is no IPv4 address of its own", nic.Gateway)
	}
	if len(nic.Device) == 0 || len(nic.Device) > 15 || nic.Device == "lo" || strings.ContainsAny(nic.Device, "/: \t\n") {
		return fmt.Errorf("device name %q is not possible", nic.Device)
	}
	if mac, err := net.ParseMAC(nic.MAC); err != nil || len(mac) != 6 || mac[0]&1 == 1 {
		return fmt.Errorf("%q is no MAC address of one machine", nic.MAC)
	}
	if nic.MTU < 576 || nic.MTU > 65535 {
		return fmt.Errorf("MTU %d is not between 576 and 65535", nic.MTU)
	}
	return nil
}
