package gcp

import (
	"maps"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// The kinds of Compute Engine resources the driver makes. A disk comes along with an instance; it is observed only when
// it outlived that.
const (
	kindNetwork    cloud.Kind = "network"
	kindSubnetwork cloud.Kind = "subnetwork"
	kindFirewall   cloud.Kind = "firewall"
	kindAddress    cloud.Kind = "address"
	kindInstance   cloud.Kind = "instance"
	kindDisk       cloud.Kind = "disk"
	kindRoute      cloud.Kind = "route" // in inventories only
)

// Kinds describes the kinds of resources.
func (*Driver) Kinds() []cloud.KindInfo {
	return []cloud.KindInfo{
		{Kind: kindNetwork, Mutable: []string{"mtu", "routingMode", "firewallOrder", "defaultRoute"}},
		{Kind: kindSubnetwork, Mutable: []string{"privateGoogleAccess", "secondaryRanges"}},
		{
			Kind:    kindFirewall,
			Mutable: []string{"priority", "allowed", "sources", "sourceTags", "destinations", "targetTags", "disabled"},
			Access:  true,
		},
		{Kind: kindAddress, Lasting: true},
		{
			Kind:    kindInstance,
			Mutable: []string{"publicAddress", "tags", "canIPForward", "metadata", "deletionProtection", "automaticRestart", "diskAutoDelete"},
			Machine: true,
		},
		{Kind: kindDisk, Lasting: true},
	}
}

// mutable returns the fields of a kind that Update can change.
func mutable(kind cloud.Kind) []string { return cloud.MutableFields((*Driver)(nil).Kinds(), kind) }

// spec is what all desired states share. References to other resources are keys in desired and observed states.
type spec interface {
	clone() spec
	kind() cloud.Kind
}

// NetworkSpec is a VPC network in custom mode.
type NetworkSpec struct {
	// MTU is in bytes.
	MTU int `json:"mtu"`
	// RoutingMode is REGIONAL or GLOBAL.
	RoutingMode string `json:"routingMode"`
	// FirewallOrder says whether firewall policies are asked before or after the network's own rules.
	FirewallOrder string `json:"firewallOrder"`
	// DefaultRoute says whether there is a way to the internet for all machines.
	DefaultRoute bool `json:"defaultRoute"`
}

// SubnetworkSpec is a subnet.
type SubnetworkSpec struct {
	Network string `json:"network"`
	Range   string `json:"range"`
	// PrivateGoogleAccess lets machines without a public address reach Google's APIs.
	PrivateGoogleAccess bool `json:"privateGoogleAccess"`
	// SecondaryRanges are "name=range", sorted.
	SecondaryRanges []string `json:"secondaryRanges"`
}

// FirewallSpec is a firewall rule. All lists are sorted.
type FirewallSpec struct {
	Network   string `json:"network"`
	Direction string `json:"direction"`
	Priority  int    `json:"priority"`
	// Allowed and Denied are what passes or is stopped; a rule has one of the two.
	Allowed []Traffic `json:"allowed"`
	Denied  []Traffic `json:"denied"`
	// Sources are ranges. A packet matches that comes from one of them or from a machine with one of SourceTags.
	Sources      []string `json:"sources"`
	SourceTags   []string `json:"sourceTags"`
	Destinations []string `json:"destinations"`
	// TargetTags say which machines the rule is for; with none it is for all of the network.
	TargetTags []string `json:"targetTags"`
	Disabled   bool     `json:"disabled"`
}

// Traffic is one protocol with its ports; no ports means all.
type Traffic struct {
	// Protocol is "tcp", "udp", "icmp", a protocol number in decimals, or "all".
	Protocol string   `json:"protocol"`
	Ports    []string `json:"ports"`
}

// AddressSpec is a static external address.
type AddressSpec struct {
	// Tier is PREMIUM or STANDARD.
	Tier string `json:"tier"`
}

// ephemeral asks for a public address that lives as long as the machine runs.
const ephemeral = "ephemeral"

// InstanceSpec is a machine. Its image is chosen when it is made, the newest of its family, and not compared later.
type InstanceSpec struct {
	Subnetwork     string `json:"subnetwork"`
	Zone           string `json:"zone"`
	Type           string `json:"type"`
	PrivateAddress string `json:"privateAddress"`
	// PublicAddress is the key of an address, "ephemeral", or empty for none.
	PublicAddress string   `json:"publicAddress"`
	Tags          []string `json:"tags"`
	CanIPForward  bool     `json:"canIPForward"`
	// Metadata is all of the instance's own metadata but the user data.
	Metadata map[string]string `json:"metadata"`
	// ServiceAccounts are those that programs on the machine may act as.
	ServiceAccounts    []string `json:"serviceAccounts"`
	DeletionProtection bool     `json:"deletionProtection"`
	AutomaticRestart   bool     `json:"automaticRestart"`
	DiskGiB            int      `json:"diskGiB"`
	DiskAutoDelete     bool     `json:"diskAutoDelete"`
}

// DiskSpec is a disk that outlived its instance.
type DiskSpec struct {
	Zone string `json:"zone"`
	GiB  int    `json:"gib"`
}

func (*NetworkSpec) kind() cloud.Kind    { return kindNetwork }
func (*SubnetworkSpec) kind() cloud.Kind { return kindSubnetwork }
func (*FirewallSpec) kind() cloud.Kind   { return kindFirewall }
func (*AddressSpec) kind() cloud.Kind    { return kindAddress }
func (*InstanceSpec) kind() cloud.Kind   { return kindInstance }
func (*DiskSpec) kind() cloud.Kind       { return kindDisk }

func (s *NetworkSpec) clone() spec { c := *s; return &c }
func (s *AddressSpec) clone() spec { c := *s; return &c }
func (s *DiskSpec) clone() spec    { c := *s; return &c }

func (s *SubnetworkSpec) clone() spec {
	c := *s
	c.SecondaryRanges = slices.Clone(s.SecondaryRanges)
	return &c
}

func (s *FirewallSpec) clone() spec {
	c := *s
	c.Allowed, c.Denied = cloneTraffic(s.Allowed), cloneTraffic(s.Denied)
	c.Sources, c.SourceTags = slices.Clone(s.Sources), slices.Clone(s.SourceTags)
	c.Destinations, c.TargetTags = slices.Clone(s.Destinations), slices.Clone(s.TargetTags)
	return &c
}

func cloneTraffic(list []Traffic) []Traffic {
	out := slices.Clone(list)
	for i := range out {
		out[i].Ports = slices.Clone(out[i].Ports)
	}
	return out
}

func (s *InstanceSpec) clone() spec {
	c := *s
	c.Tags, c.ServiceAccounts, c.Metadata = slices.Clone(s.Tags), slices.Clone(s.ServiceAccounts), maps.Clone(s.Metadata)
	return &c
}

func compareTraffic(a, b Traffic) int {
	if n := strings.Compare(a.Protocol, b.Protocol); n != 0 {
		return n
	}
	return slices.Compare(a.Ports, b.Ports)
}
