package digitalocean

import (
	"cmp"
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// The kinds of resources the driver makes, and volumes, which are in inventories only.
const (
	kindTag      cloud.Kind = "tag"
	kindVPC      cloud.Kind = "vpc"
	kindFirewall cloud.Kind = "firewall"
	kindDroplet  cloud.Kind = "droplet"
	kindReserved cloud.Kind = "reserved-ip"
	kindVolume   cloud.Kind = "volume"
)

// Kinds describes the kinds of resources. Firewalls come before droplets: a droplet without one is open to everybody.
func (*Driver) Kinds() []cloud.KindInfo {
	return []cloud.KindInfo{
		{Kind: kindTag},
		{Kind: kindVPC, Mutable: []string{"name"}},
		{Kind: kindFirewall, Mutable: []string{"tags", "droplets", "inbound", "outbound"}, Access: true},
		{Kind: kindDroplet, Mutable: []string{"name", "tags"}, Machine: true, PicksAddress: true},
		{Kind: kindReserved, Mutable: []string{"droplet"}, Lasting: true},
	}
}

// mutable returns the fields of a kind that Update can change.
func mutable(kind cloud.Kind) []string { return cloud.MutableFields((*Driver)(nil).Kinds(), kind) }

// spec is what all desired states share. References to other resources are keys in desired and observed states.
type spec interface {
	clone() spec
	kind() cloud.Kind
}

// TagSpec is a tag that stands for a role of a site's droplets.
type TagSpec struct {
	// Name is the tag itself.
	Name string `json:"name"`
}

// VPCSpec is a private network.
type VPCSpec struct {
	Name  string `json:"name"`
	Range string `json:"range"`
}

// FirewallSpec is a firewall. What no rule lets in or out is dropped. All lists are sorted.
type FirewallSpec struct {
	// Tags and Droplets are what it is put on: keys of tags, or names of those that aren't ours; ids of droplets.
	Tags     []string `json:"tags"`
	Droplets []string `json:"droplets"`
	Inbound  []Rule   `json:"inbound"`
	Outbound []Rule   `json:"outbound"`
}

// Rule lets one kind of traffic through from, or to, some peers.
type Rule struct {
	// Protocol is tcp, udp or icmp.
	Protocol string `json:"protocol"`
	// Ports is a port, a range like "8000-9000", or "0" for all.
	Ports string `json:"ports"`
	// Peers are ranges of addresses; "tag:" with a tag's key, or the name of one that isn't ours; "droplet:",
	// "load-balancer:" and "kubernetes:" with an id.
	Peers []string `json:"peers"`
	// Deny is set in rules that stop traffic; ours never do.
	Deny bool `json:"deny"`
}

// DropletSpec is a machine. Its image is chosen when it is made and not compared later; its private address is
// DigitalOcean's choice, its disk's size goes with its own.
type DropletSpec struct {
	// Name is what DigitalOcean calls it; to itself it is called as its user data say.
	Name string `json:"name"`
	VPC  string `json:"vpc"`
	Size string `json:"size"`
	// Tags are the keys of the tags of its roles. Other people's tags on it are their business.
	Tags []string `json:"tags"`
}

// ReservedSpec is a reserved public address.
type ReservedSpec struct {
	// Droplet is the key of the droplet that has it, the id of one that isn't ours, or empty.
	Droplet string `json:"droplet"`
}

func (*TagSpec) kind() cloud.Kind      { return kindTag }
func (*VPCSpec) kind() cloud.Kind      { return kindVPC }
func (*FirewallSpec) kind() cloud.Kind { return kindFirewall }
func (*DropletSpec) kind() cloud.Kind  { return kindDroplet }
func (*ReservedSpec) kind() cloud.Kind { return kindReserved }

func (s *TagSpec) clone() spec      { c := *s; return &c }
func (s *VPCSpec) clone() spec      { c := *s; return &c }
func (s *ReservedSpec) clone() spec { c := *s; return &c }

func (s *FirewallSpec) clone() spec {
	c := *s
	c.Tags, c.Droplets = slices.Clone(s.Tags), slices.Clone(s.Droplets)
	c.Inbound, c.Outbound = cloneRules(s.Inbound), cloneRules(s.Outbound)
	return &c
}

func cloneRules(list []Rule) []Rule {
	out := slices.Clone(list)
	for i := range out {
		out[i].Peers = slices.Clone(out[i].Peers)
	}
	return out
}

func (s *DropletSpec) clone() spec {
	c := *s
	c.Tags = slices.Clone(s.Tags)
	return &c
}

// sortRules puts rules in an order that depends on nothing but themselves; the result is never nil.
func sortRules(list []Rule) []Rule {
	out := append([]Rule{}, list...)
	slices.SortFunc(out, func(a, b Rule) int {
		deny := func(r Rule) int {
			if r.Deny {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Ports, b.Ports), cmp.Compare(deny(a), deny(b)), slices.Compare(a.Peers, b.Peers))
	})
	return out
}
