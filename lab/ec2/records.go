package ec2

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// records is all that the service remembers, as it is written to disk.
type records struct {
	Regions map[string]*region
}

// region is one region's resources by id. All access is under the service's lock.
type region struct {
	Name        string
	DHCPOptions string // id of the default set
	VPCs        map[string]*vpc
	Subnets     map[string]*subnet
	Gateways    map[string]*gateway
	RouteTables map[string]*routeTable
	Groups      map[string]*group
	KeyPairs    map[string]*keyPair
	Addresses   map[string]*address
	Interfaces  map[string]*netInterface
	Instances   map[string]*instance
	Volumes     map[string]*volume
	Tags        map[string]tags         // by resource id
	Tokens      map[string]clientAnswer // by action and client token
}

type tags map[string]string

// clientAnswer is what a request with a client token made, so that its repetition makes nothing.
type clientAnswer struct {
	Digest string   // of the parameters
	IDs    []string // of what was made
	At     time.Time
}

type vpc struct {
	ID, CIDR        string
	Default         bool
	DHCPOptions     string
	CIDRAssociation string
	ACL             string            // id of the default network ACL
	ACLAssociations map[string]string // association id by subnet id
	DNSSupport      bool
	DNSHostnames    bool
	AddressMetrics  bool
	Tenancy         string
}

type subnet struct {
	ID, VPC, CIDR string
	Zone          string // name
	DefaultForAZ  bool
	MapPublic     bool
}

type gateway struct {
	ID  string
	VPC string // empty when detached
}

type routeTable struct {
	ID, VPC      string
	Main         string // id of the main association, empty when this isn't the main table
	Routes       []route
	Associations map[string]string // association id → subnet id
}

// route is one entry beside the local one. Exactly one target is set.
type route struct {
	Destination string
	Gateway     string `json:",omitempty"`
	Interface   string `json:",omitempty"`
}

type group struct {
	ID, Name, Description, VPC string
	Rules                      []groupRule
}

// groupRule is one rule with one peer.
type groupRule struct {
	ID          string
	Egress      bool
	Protocol    string // "tcp", "udp", "icmp", "icmpv6", "-1", or a number
	From, To    int
	CIDR4       string `json:",omitempty"`
	CIDR6       string `json:",omitempty"`
	Group       string `json:",omitempty"` // id of the referenced group
	Description string `json:",omitempty"`
}

type keyPair struct {
	ID, Name, Fingerprint, Type string
	PublicKey                   string // as in authorized_keys, without a comment
	Created                     time.Time
}

type address struct {
	ID          string // allocation id
	Public      netip.Addr
	Association string // id, empty when not associated
	Interface   string
}

type netInterface struct {
	ID, VPC, Subnet, MAC, Description string
	Address                           netip.Addr
	Groups                            []string
	SourceDestCheck                   bool
	AutoPublic                        bool       // wants a public address of the pool while its instance runs
	Public                            netip.Addr // the one it has, not valid without
	Attachment                        *attachment
}

type attachment struct {
	ID, Instance        string
	Device              int
	DeleteOnTermination bool
	At                  time.Time
}

type instance struct {
	ID, Reservation, Image, Type, Arch string
	VPC, Subnet, Zone                  string
	Address                            netip.Addr
	Key                                string
	KeyMaterial                        string // of the key pair at launch, for the metadata service
	UserData                           []byte
	LaunchIndex                        int
	ClientToken                        string
	State                              string
	StateReason, StateMessage, Reason  string
	Launched                           time.Time // of the last start
	RunningSince                       time.Time
	TerminatedAt                       time.Time
	Tenancy                            string
	Metadata                           metadataOptions
	ProtectedTermination               bool
	ProtectedStop                      bool
	ShutdownBehavior                   string
	Credits                            string // "standard", "unlimited" or empty
	EBSOptimized                       bool
	Monitoring                         bool
	RootDevice                         string
}

type metadataOptions struct {
	Tokens, Endpoint, Tags string // "required"/"optional", "enabled"/"disabled", "enabled"/"disabled"
	HopLimit               int
}

type volume struct {
	ID, Zone, Type, Snapshot  string
	Size, IOPS, Throughput    int
	Encrypted                 bool
	Created                   time.Time
	Instance, Device          string // attachment, empty without
	AttachedAt                time.Time
	DeleteOnTermination       bool
	Modified                  time.Time // of the last ModifyVolume, else zero
	OldSize, OldIOPS, OldThru int
	OldType                   string
}

// States of an instance with their codes.
const (
	pending      = "pending"
	running      = "running"
	shuttingDown = "shutting-down"
	terminated   = "terminated"
	stopping     = "stopping"
	stopped      = "stopped"
)

var stateCodes = map[string]int{pending: 0, running: 16, shuttingDown: 32, terminated: 48, stopping: 64, stopped: 80}

func (r *region) init() {
	makeMap(&r.VPCs)
	makeMap(&r.Subnets)
	makeMap(&r.Gateways)
	makeMap(&r.RouteTables)
	makeMap(&r.Groups)
	makeMap(&r.KeyPairs)
	makeMap(&r.Addresses)
	makeMap(&r.Interfaces)
	makeMap(&r.Instances)
	makeMap(&r.Volumes)
	makeMap(&r.Tags)
	makeMap(&r.Tokens)
}

func makeMap[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
}

// newID returns an id of a kind: its prefix and 17 hexadecimal digits, the first of which is 0 as in EC2's.
func newID(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + "0" + hex.EncodeToString(b[:])
}

// newRequestID returns a random UUID.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// sorted returns a map's values in the order of their ids.
func sorted[V any](m map[string]V) []V {
	list := make([]V, 0, len(m))
	for _, id := range sortedKeys(m) {
		list = append(list, m[id])
	}
	return list
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// get finds a resource by id; the error is EC2's for its kind.
func get[V any](k kind, m map[string]V, id string) (V, error) {
	v, ok := m[id]
	if !ok {
		return v, k.missing(id)
	}
	return v, nil
}

// mainTable is the VPC's main route table.
func (r *region) mainTable(vpcID string) *routeTable {
	for _, t := range r.RouteTables {
		if t.VPC == vpcID && t.Main != "" {
			return t
		}
	}
	return nil
}

// tableOf is the route table that governs a subnet.
func (r *region) tableOf(s *subnet) *routeTable {
	for _, t := range r.RouteTables {
		for _, id := range t.Associations {
			if id == s.ID {
				return t
			}
		}
	}
	return r.mainTable(s.VPC)
}

// gatewayOf is the internet gateway attached to a VPC, nil without.
func (r *region) gatewayOf(vpcID string) *gateway {
	for _, g := range r.Gateways {
		if g.VPC == vpcID {
			return g
		}
	}
	return nil
}

// defaultGroup is the VPC's group of that name.
func (r *region) defaultGroup(vpcID string) *group {
	for _, g := range r.Groups {
		if g.VPC == vpcID && g.Name == "default" {
			return g
		}
	}
	return nil
}

// defaultVPC is the region's default VPC, nil when it was deleted.
func (r *region) defaultVPC() *vpc {
	for _, v := range r.VPCs {
		if v.Default {
			return v
		}
	}
	return nil
}

// interfacesOf are an instance's interfaces in the order of their device index.
func (r *region) interfacesOf(instanceID string) []*netInterface {
	var list []*netInterface
	for _, n := range r.Interfaces {
		if n.Attachment != nil && n.Attachment.Instance == instanceID {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *netInterface) int { return a.Attachment.Device - b.Attachment.Device })
	return list
}

// addressOf is the Elastic IP associated with an interface, nil without.
func (r *region) addressOf(interfaceID string) *address {
	for _, a := range r.Addresses {
		if a.Association != "" && a.Interface == interfaceID {
			return a
		}
	}
	return nil
}

// publicOf is an interface's public address of either sort.
func (r *region) publicOf(n *netInterface) netip.Addr {
	if a := r.addressOf(n.ID); a != nil {
		return a.Public
	}
	return n.Public
}

// volumesOf are an instance's volumes in the order of their device names.
func (r *region) volumesOf(instanceID string) []*volume {
	var list []*volume
	for _, v := range sorted(r.Volumes) {
		if v.Instance == instanceID {
			list = append(list, v)
		}
	}
	slices.SortStableFunc(list, func(a, b *volume) int { return strings.Compare(a.Device, b.Device) })
	return list
}
