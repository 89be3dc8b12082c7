// Package mesh computes, from the sites and nodes of a cluster, what each node's WireGuard device, routes and rules must
// be for the cluster's network to be flat. It is pure; the agent applies what it returns.
package mesh

import "net/netip"

// Mode says what is encrypted.
type Mode string

// CrossSite is the default mode: everything between sites, and pod traffic everywhere, goes through the tunnel.
const CrossSite Mode = "wireguard-cross-site"

// The fixed names and numbers of the tunnel.
const (
	Device       = "skyweld0"
	DefaultPort  = 51820
	Table        = 51820 // routing table of packets from our own pods
	RulePriority = 100
	Overhead     = 80 // bytes a packet grows by at most, over IPv6; over IPv4 it is 60
)

// Network is what all nodes have in common.
type Network struct {
	Mode Mode
	// Pods and Services are the cluster's ranges.
	Pods, Services netip.Prefix
	// Port is the UDP port of the tunnel, the same on all nodes.
	Port int
	// MTU of the tunnel in bytes, the same on all nodes.
	MTU int
}

// Node is one member of the mesh.
type Node struct {
	Name, Site string
	// Address is the private address, Public the one it is reached at from other sites.
	Address, Public netip.Addr
	// Pods is its pod block.
	Pods netip.Prefix
	// PublicKey is its WireGuard key in base64.
	PublicKey string
}

// Config is one node's tunnel, complete.
type Config struct {
	Port int `json:"port"`
	MTU  int `json:"mtu"`
	// Address is set on the device: the first address of the node's pod block, as /32.
	Address netip.Prefix `json:"address"`
	Peers   []Peer       `json:"peers"`
	Routes  []Route      `json:"routes"`
	Rules   []Rule       `json:"rules"`
	// Internal are the ranges that are never masqueraded: the cluster's pods, services and sites.
	Internal []netip.Prefix `json:"internal"`
	// Pods is the node's own pod block.
	Pods netip.Prefix `json:"pods"`
}

// Peer is another node as WireGuard sees it.
type Peer struct {
	Name string `json:"name"`
	// Site is where it stands.
	Site       string         `json:"site,omitempty"`
	PublicKey  string         `json:"publicKey"`
	Endpoint   netip.AddrPort `json:"endpoint"`
	AllowedIPs []netip.Prefix `json:"allowedIPs"`
	// Keepalive in seconds.
	Keepalive int `json:"keepalive"`
}

// Route leads into the tunnel.
type Route struct {
	To netip.Prefix `json:"to"`
	// Source is the preferred source address, not valid for none.
	Source netip.Addr `json:"source,omitzero"`
	// Table is 0 for the main table.
	Table int `json:"table,omitempty"`
}

// Rule sends packets from a range to a table.
type Rule struct {
	From     netip.Prefix `json:"from"`
	Table    int          `json:"table"`
	Priority int          `json:"priority"`
}
