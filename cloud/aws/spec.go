package aws

import (
	"cmp"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// The kinds of EC2 resources the driver makes. Volumes and network interfaces come along with an instance; they are
// observed only when they outlived it.
const (
	kindVPC           cloud.Kind = "vpc"
	kindGateway       cloud.Kind = "internet-gateway"
	kindSubnet        cloud.Kind = "subnet"
	kindRouteTable    cloud.Kind = "route-table"
	kindSecurityGroup cloud.Kind = "security-group"
	kindAddress       cloud.Kind = "address"
	kindInstance      cloud.Kind = "instance"
	kindAssociation   cloud.Kind = "address-association"
	kindVolume        cloud.Kind = "volume"
	kindInterface     cloud.Kind = "network-interface"
	kindKeyPair       cloud.Kind = "key-pair" // in inventories only
)

// Kinds describes the kinds of resources.
func (*Driver) Kinds() []cloud.KindInfo {
	return []cloud.KindInfo{
		{Kind: kindVPC},
		{Kind: kindGateway, Mutable: []string{"vpc"}},
		{Kind: kindSubnet, Mutable: []string{"mapPublicIP"}},
		{Kind: kindRouteTable, Mutable: []string{"routes", "subnets"}},
		{Kind: kindSecurityGroup, Mutable: []string{"ingress", "egress"}, Access: true},
		{Kind: kindAddress, Lasting: true},
		{Kind: kindInstance, Mutable: []string{"securityGroups", "sourceDestCheck", "metadata"}, Machine: true},
		{Kind: kindAssociation},
		{Kind: kindVolume, Lasting: true},
		{Kind: kindInterface, Lasting: true},
	}
}

// mutable returns the fields of a kind that Update can change.
func mutable(kind cloud.Kind) []string { return cloud.MutableFields((*Driver)(nil).Kinds(), kind) }

// spec is what all desired states share. References to other resources are keys in desired and observed states, and
// ids between the two.
type spec interface {
	clone() spec
	// mapRefs replaces each reference and puts lists back into their order.
	mapRefs(f func(string) string)
}

// VPCSpec is a virtual private cloud. Whether it resolves names and gives some to machines is left as EC2 makes it:
// machines are known by their addresses, and only a call for each VPC would tell.
type VPCSpec struct {
	CIDR string `json:"cidr"`
}

// GatewaySpec is an internet gateway and the VPC it is attached to.
type GatewaySpec struct {
	VPC string `json:"vpc"`
}

// SubnetSpec is a subnet. MapPublicIP would give every machine in it a public address of its own accord.
type SubnetSpec struct {
	VPC         string `json:"vpc"`
	CIDR        string `json:"cidr"`
	Zone        string `json:"zone"`
	MapPublicIP bool   `json:"mapPublicIP"`
}

// RouteTableSpec is a route table with the subnets that use it. The route within the VPC, which every table has, and
// routes that VPN gateways propagate aren't listed.
type RouteTableSpec struct {
	VPC     string   `json:"vpc"`
	Routes  []Route  `json:"routes"`
	Subnets []string `json:"subnets"`
}

// Route leads a destination, a CIDR or the id of a prefix list, to a target.
type Route struct {
	Destination string `json:"destination"`
	Target      string `json:"target"`
}

// SecurityGroupSpec is a security group. Each rule has exactly one peer; lists are sorted.
type SecurityGroupSpec struct {
	VPC     string `json:"vpc"`
	Ingress []Rule `json:"ingress"`
	Egress  []Rule `json:"egress"`
}

// Rule lets one protocol pass from or to one peer.
type Rule struct {
	// Protocol is "tcp", "udp", "icmp", "icmpv6", a protocol number in decimals, or "all".
	Protocol string `json:"protocol"`
	// From and To are ports, both included; ICMP type and code; both zero for protocols without either.
	From int `json:"from"`
	To   int `json:"to"`
	// Peer is a CIDR, a security group, or the id of a prefix list.
	Peer string `json:"peer"`
}

// AddressSpec is an Elastic IP address; there is nothing to choose.
type AddressSpec struct{}

// InstanceSpec is a machine. Its image is chosen when it is made, the newest of its family, and not compared later.
type InstanceSpec struct {
	Subnet         string   `json:"subnet"`
	Zone           string   `json:"zone"`
	Type           string   `json:"type"`
	PrivateAddress string   `json:"privateAddress"`
	SecurityGroups []string `json:"securityGroups"`
	// PublicAddress asks for a public address that lives as long as the machine runs. It is left out, and so not
	// compared, for machines with an Elastic IP.
	PublicAddress   bool     `json:"publicAddress,omitempty"`
	SourceDestCheck bool     `json:"sourceDestCheck"`
	Metadata        Metadata `json:"metadata"`
	DiskGiB         int      `json:"diskGiB"`
}

// Metadata are the options of the instance metadata service.
type Metadata struct {
	Enabled bool `json:"enabled"`
	// TokensRequired refuses version 1 of the service, which gives answers without a session.
	TokensRequired bool `json:"tokensRequired"`
	// HopLimit is the TTL of answers that carry a token.
	HopLimit int `json:"hopLimit"`
}

// AssociationSpec puts an Elastic IP address on an instance.
type AssociationSpec struct {
	Address  string `json:"address"`
	Instance string `json:"instance"`
}

// VolumeSpec is a disk that outlived its instance.
type VolumeSpec struct {
	Zone string `json:"zone"`
	GiB  int    `json:"gib"`
}

// InterfaceSpec is a network interface that outlived its instance.
type InterfaceSpec struct {
	Subnet         string   `json:"subnet"`
	PrivateAddress string   `json:"privateAddress"`
	SecurityGroups []string `json:"securityGroups"`
}

func (s *VPCSpec) clone() spec         { c := *s; return &c }
func (s *GatewaySpec) clone() spec     { c := *s; return &c }
func (s *SubnetSpec) clone() spec      { c := *s; return &c }
func (s *AddressSpec) clone() spec     { c := *s; return &c }
func (s *AssociationSpec) clone() spec { c := *s; return &c }
func (s *VolumeSpec) clone() spec      { c := *s; return &c }

func (s *RouteTableSpec) clone() spec {
	c := *s
	c.Routes, c.Subnets = slices.Clone(s.Routes), slices.Clone(s.Subnets)
	return &c
}

func (s *SecurityGroupSpec) clone() spec {
	c := *s
	c.Ingress, c.Egress = slices.Clone(s.Ingress), slices.Clone(s.Egress)
	return &c
}

func (s *InstanceSpec) clone() spec {
	c := *s
	c.SecurityGroups = slices.Clone(s.SecurityGroups)
	return &c
}

func (s *InterfaceSpec) clone() spec {
	c := *s
	c.SecurityGroups = slices.Clone(s.SecurityGroups)
	return &c
}

func (s *VPCSpec) mapRefs(func(string) string)       {}
func (s *GatewaySpec) mapRefs(f func(string) string) { s.VPC = f(s.VPC) }
func (s *SubnetSpec) mapRefs(f func(string) string)  { s.VPC = f(s.VPC) }
func (s *AddressSpec) mapRefs(func(string) string)   {}
func (s *VolumeSpec) mapRefs(func(string) string)    {}

func (s *AssociationSpec) mapRefs(f func(string) string) {
	s.Address, s.Instance = f(s.Address), f(s.Instance)
}

func (s *RouteTableSpec) mapRefs(f func(string) string) {
	s.VPC = f(s.VPC)
	for i := range s.Routes {
		s.Routes[i].Target = f(s.Routes[i].Target)
	}
	mapSorted(s.Subnets, f)
	slices.SortFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(strings.Compare(a.Destination, b.Destination), strings.Compare(a.Target, b.Target))
	})
}

func (s *SecurityGroupSpec) mapRefs(f func(string) string) {
	s.VPC = f(s.VPC)
	for _, rules := range [][]Rule{s.Ingress, s.Egress} {
		for i, r := range rules {
			if !strings.Contains(r.Peer, "/") {
				rules[i].Peer = f(r.Peer)
			}
		}
		slices.SortFunc(rules, compareRules)
	}
}

func (s *InstanceSpec) mapRefs(f func(string) string) {
	s.Subnet = f(s.Subnet)
	mapSorted(s.SecurityGroups, f)
}

func (s *InterfaceSpec) mapRefs(f func(string) string) {
	s.Subnet = f(s.Subnet)
	mapSorted(s.SecurityGroups, f)
}

func mapSorted(list []string, f func(string) string) {
	for i := range list {
		list[i] = f(list[i])
	}
	slices.Sort(list)
}

func compareRules(a, b Rule) int {
	return cmp.Or(
		strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
		strings.Compare(a.Peer, b.Peer),
	)
}
