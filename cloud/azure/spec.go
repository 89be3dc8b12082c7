package azure

import (
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// The kinds of Azure resources the driver makes. A subnet is a part of its network, and a list of networks shows both. A
// disk comes along with a machine; it is observed only when it outlived that.
const (
	kindGroup     cloud.Kind = "resource-group"
	kindSecurity  cloud.Kind = "network-security-group"
	kindNetwork   cloud.Kind = "virtual-network"
	kindAddress   cloud.Kind = "public-ip-address"
	kindInterface cloud.Kind = "network-interface"
	kindMachine   cloud.Kind = "virtual-machine"
	kindDisk      cloud.Kind = "disk"
	kindWatcher   cloud.Kind = "network-watcher" // in inventories only
)

// Kinds describes the kinds of resources.
func (*Driver) Kinds() []cloud.KindInfo {
	return []cloud.KindInfo{
		{Kind: kindGroup},
		{Kind: kindSecurity, Mutable: []string{"rules"}, Access: true},
		{Kind: kindNetwork, Mutable: []string{"addressSpace", "defaultOutbound", "routeTable", "securityGroup"}},
		{Kind: kindAddress, Mutable: []string{"deleteWithMachine"}, Lasting: true},
		{Kind: kindInterface, Mutable: []string{"privateAddress", "allocation", "publicAddress", "securityGroup", "ipForwarding"}, Lasting: true},
		{Kind: kindMachine, Mutable: []string{"diskDelete", "interfaceDelete", "bootDiagnostics", "extensions"}, Machine: true},
		{Kind: kindDisk, Lasting: true},
	}
}

// mutable returns the fields of a kind that Update can change. For a part of a network that failed, cloud.FieldState stands
// for putting it again.
func mutable(kind cloud.Kind) []string {
	list := cloud.MutableFields((*Driver)(nil).Kinds(), kind)
	switch kind {
	case kindSecurity, kindNetwork, kindAddress, kindInterface:
		return append(list, cloud.FieldState)
	}
	return list
}

// spec is what all desired states share. References to other resources are keys in desired and observed states.
type spec interface {
	clone() spec
	kind() cloud.Kind
}

// GroupSpec is a resource group.
type GroupSpec struct {
	// Location is where Azure keeps the records of the group.
	Location string `json:"location"`
}

// SecuritySpec is a network security group. The rules that Azure puts into each (in from the network, out to anywhere,
// nothing else) are no part of it.
type SecuritySpec struct {
	// Rules are in the order of direction and priority.
	Rules []Rule `json:"rules"`
}

// Rule is a security rule. All lists are sorted; "*" stands for everything.
type Rule struct {
	Name      string `json:"name"`
	Direction string `json:"direction"` // Inbound or Outbound
	// Priority is 100 to 4096; the lowest that matches decides.
	Priority     int      `json:"priority"`
	Access       string   `json:"access"`   // Allow or Deny
	Protocol     string   `json:"protocol"` // Tcp, Udp, Icmp, Esp, Ah or *
	Sources      []string `json:"sources"`
	SourcePorts  []string `json:"sourcePorts"`
	Destinations []string `json:"destinations"`
	Ports        []string `json:"ports"`
}

// NetworkSpec is a virtual network with its one subnet.
type NetworkSpec struct {
	AddressSpace []string `json:"addressSpace"`
	Subnet       string   `json:"subnet"`
	// DefaultOutbound gives machines of the subnet without a public address one by chance.
	DefaultOutbound bool `json:"defaultOutbound"`
	// RouteTable and SecurityGroup are what somebody put on the subnet: the one leads traffic elsewhere, the other stops
	// some before the interfaces' own groups are asked. Ours has neither.
	RouteTable    string `json:"routeTable"`
	SecurityGroup string `json:"securityGroup"`
}

// AddressSpec is a public address.
type AddressSpec struct {
	SKU        string `json:"sku"`
	Allocation string `json:"allocation"`
	// DeleteWithMachine lets it go along with the machine that has it.
	DeleteWithMachine bool `json:"deleteWithMachine"`
}

// InterfaceSpec is a network interface with one address in the site's subnet.
type InterfaceSpec struct {
	Network        string `json:"network"`
	PrivateAddress string `json:"privateAddress"`
	// Allocation is Static: a dynamic address may be another after the machine was stopped.
	Allocation string `json:"allocation"`
	// PublicAddress is the key of an address, or empty for none.
	PublicAddress string `json:"publicAddress"`
	SecurityGroup string `json:"securityGroup"`
	// IPForwarding lets packets through that are not from or to the interface's own address.
	IPForwarding bool `json:"ipForwarding"`
}

// MachineSpec is a virtual machine. Its image is chosen when it is made, the newest of its family, and not compared later.
type MachineSpec struct {
	Interface string `json:"interface"`
	// Zone is a zone's name ("eastus-1"), or the region's where that has none.
	Zone string `json:"zone"`
	Type string `json:"type"`
	// SecurityType is TrustedLaunch: with secure boot and a virtual TPM.
	SecurityType string `json:"securityType"`
	SecureBoot   bool   `json:"secureBoot"`
	TPM          bool   `json:"tpm"`
	DiskGiB      int    `json:"diskGiB"`
	DiskType     string `json:"diskType"`
	// DiskDelete lets the disk that it boots from go with it, InterfaceDelete its interface.
	DiskDelete      bool `json:"diskDelete"`
	InterfaceDelete bool `json:"interfaceDelete"`
	// Extensions lets programs be put on it by way of the cloud's agent, which anybody may do who may change the machine.
	Extensions bool `json:"extensions"`
	// BootDiagnostics keeps what the machine writes to its serial port.
	BootDiagnostics bool `json:"bootDiagnostics"`
}

// DiskSpec is a disk that outlived its machine.
type DiskSpec struct {
	Zone string `json:"zone"`
	GiB  int    `json:"gib"`
}

func (*GroupSpec) kind() cloud.Kind     { return kindGroup }
func (*SecuritySpec) kind() cloud.Kind  { return kindSecurity }
func (*NetworkSpec) kind() cloud.Kind   { return kindNetwork }
func (*AddressSpec) kind() cloud.Kind   { return kindAddress }
func (*InterfaceSpec) kind() cloud.Kind { return kindInterface }
func (*MachineSpec) kind() cloud.Kind   { return kindMachine }
func (*DiskSpec) kind() cloud.Kind      { return kindDisk }

func (s *GroupSpec) clone() spec     { c := *s; return &c }
func (s *AddressSpec) clone() spec   { c := *s; return &c }
func (s *InterfaceSpec) clone() spec { c := *s; return &c }
func (s *MachineSpec) clone() spec   { c := *s; return &c }
func (s *DiskSpec) clone() spec      { c := *s; return &c }

func (s *NetworkSpec) clone() spec {
	c := *s
	c.AddressSpace = slices.Clone(s.AddressSpace)
	return &c
}

func (s *SecuritySpec) clone() spec {
	c := SecuritySpec{Rules: slices.Clone(s.Rules)}
	for i, r := range c.Rules {
		c.Rules[i].Sources, c.Rules[i].SourcePorts = slices.Clone(r.Sources), slices.Clone(r.SourcePorts)
		c.Rules[i].Destinations, c.Rules[i].Ports = slices.Clone(r.Destinations), slices.Clone(r.Ports)
	}
	return &c
}
