package cloudtest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// The kinds of the in-memory cloud.
const (
	KindNetwork     cloud.Kind = "network"
	KindSubnet      cloud.Kind = "subnet"
	KindGateway     cloud.Kind = "gateway"
	KindRoute       cloud.Kind = "route"
	KindFirewall    cloud.Kind = "firewall"
	KindAddress     cloud.Kind = "address"
	KindMachine     cloud.Kind = "machine"
	KindAssociation cloud.Kind = "address-association"
)

// Kinds describes the kinds.
func (c *Cloud) Kinds() []cloud.KindInfo {
	return []cloud.KindInfo{
		{Kind: KindNetwork, Mutable: []string{"dns"}},
		{Kind: KindSubnet},
		{Kind: KindGateway},
		{Kind: KindRoute, Mutable: []string{"gateway"}},
		{Kind: KindFirewall, Mutable: []string{"rules"}, Access: true},
		{Kind: KindAddress, Lasting: true},
		{Kind: KindMachine, Mutable: []string{"firewalls", "forwarding"}, Machine: true, PicksAddress: c != nil && c.opts.PicksAddress},
		{Kind: KindAssociation},
	}
}

func mutableOf(kind cloud.Kind) []string {
	for _, k := range (*Cloud)(nil).Kinds() {
		if k.Kind == kind {
			return k.Mutable
		}
	}
	return nil
}

func isMachine(kind cloud.Kind) bool { return kind == KindMachine }

// spec is what all desired states share.
type spec interface {
	clone() spec
	// mapRefs replaces each reference to another resource.
	mapRefs(f func(string) string)
	// check refuses what the cloud would refuse, with references already ids.
	check(c *Cloud, r *record) error
	detail() string
}

// NetworkSpec is a network with one address block.
type NetworkSpec struct {
	CIDR string `json:"cidr"`
	DNS  bool   `json:"dns"`
}

// SubnetSpec is a part of a network.
type SubnetSpec struct {
	Network string `json:"network"`
	CIDR    string `json:"cidr"`
}

// GatewaySpec is a network's way to the internet.
type GatewaySpec struct {
	Network string `json:"network"`
}

// RouteSpec leads a destination to a gateway.
type RouteSpec struct {
	Network     string `json:"network"`
	Destination string `json:"destination"`
	Gateway     string `json:"gateway"`
}

// FirewallSpec lets packets in to the machines that it is put on.
type FirewallSpec struct {
	Network string `json:"network"`
	Rules   []Rule `json:"rules"`
}

// Rule is one rule of a firewall, both ports included; zero ports mean all.
type Rule struct {
	Protocol string   `json:"protocol"`
	From     int      `json:"from"`
	To       int      `json:"to"`
	Sources  []string `json:"sources"`
}

// AddressSpec is a public address; there is nothing to choose.
type AddressSpec struct{}

// MachineSpec is a machine.
type MachineSpec struct {
	Subnet        string   `json:"subnet"`
	Firewalls     []string `json:"firewalls"`
	Address       string   `json:"address"`
	Zone          string   `json:"zone"`
	Type          string   `json:"type"`
	DiskGiB       int      `json:"diskGiB"`
	Forwarding    bool     `json:"forwarding"`
	PublicAddress bool     `json:"publicAddress"`
}

// AssociationSpec puts a public address on a machine.
type AssociationSpec struct {
	Address string `json:"address"`
	Machine string `json:"machine"`
}

func (s *NetworkSpec) clone() spec     { c := *s; return &c }
func (s *SubnetSpec) clone() spec      { c := *s; return &c }
func (s *GatewaySpec) clone() spec     { c := *s; return &c }
func (s *RouteSpec) clone() spec       { c := *s; return &c }
func (s *AddressSpec) clone() spec     { c := *s; return &c }
func (s *AssociationSpec) clone() spec { c := *s; return &c }

func (s *FirewallSpec) clone() spec {
	c := *s
	c.Rules = slices.Clone(s.Rules)
	for i := range c.Rules {
		c.Rules[i].Sources = slices.Clone(c.Rules[i].Sources)
	}
	return &c
}

func (s *MachineSpec) clone() spec {
	c := *s
	c.Firewalls = slices.Clone(s.Firewalls)
	return &c
}

func (s *NetworkSpec) mapRefs(func(string) string)    {}
func (s *SubnetSpec) mapRefs(f func(string) string)   { s.Network = f(s.Network) }
func (s *GatewaySpec) mapRefs(f func(string) string)  { s.Network = f(s.Network) }
func (s *RouteSpec) mapRefs(f func(string) string)    { s.Network, s.Gateway = f(s.Network), f(s.Gateway) }
func (s *FirewallSpec) mapRefs(f func(string) string) { s.Network = f(s.Network) }
func (s *AddressSpec) mapRefs(func(string) string)    {}

func (s *MachineSpec) mapRefs(f func(string) string) {
	s.Subnet = f(s.Subnet)
	for i := range s.Firewalls {
		s.Firewalls[i] = f(s.Firewalls[i])
	}
}

func (s *AssociationSpec) mapRefs(f func(string) string) {
	s.Address, s.Machine = f(s.Address), f(s.Machine)
}

func (s *NetworkSpec) detail() string     { return s.CIDR }
func (s *SubnetSpec) detail() string      { return s.CIDR }
func (s *GatewaySpec) detail() string     { return s.Network }
func (s *RouteSpec) detail() string       { return s.Destination }
func (s *FirewallSpec) detail() string    { return fmt.Sprintf("%d rules", len(s.Rules)) }
func (s *AddressSpec) detail() string     { return "" }
func (s *MachineSpec) detail() string     { return s.Type + " " + s.Address }
func (s *AssociationSpec) detail() string { return s.Address }

func (s *NetworkSpec) check(*Cloud, *record) error {
	if _, err := netip.ParsePrefix(s.CIDR); err != nil {
		return fail(cloud.Invalid, "InvalidRange", "%v", err)
	}
	return nil
}

func (s *SubnetSpec) check(c *Cloud, r *record) error {
	network, err := expect[*NetworkSpec](c, s.Network)
	if err != nil {
		return err
	}
	own, err := netip.ParsePrefix(s.CIDR)
	if err != nil {
		return fail(cloud.Invalid, "InvalidRange", "%v", err)
	}
	whole, err := netip.ParsePrefix(network.CIDR)
	if err != nil || !whole.Contains(own.Addr()) || own.Bits() < whole.Bits() {
		return fail(cloud.Invalid, "InvalidRange", "%s is not inside %s", s.CIDR, network.CIDR)
	}
	for _, o := range c.records {
		sib, ok := o.spec.(*SubnetSpec)
		if !ok || !o.live() || o.id == r.id || sib.Network != s.Network {
			continue
		}
		if p, err := netip.ParsePrefix(sib.CIDR); err == nil && p.Overlaps(own) {
			return fail(cloud.Conflict, "RangeOverlap", "%s overlaps %s of %s", s.CIDR, sib.CIDR, o.id)
		}
	}
	return nil
}

func (s *GatewaySpec) check(c *Cloud, r *record) error {
	if _, err := expect[*NetworkSpec](c, s.Network); err != nil {
		return err
	}
	for _, o := range c.records {
		if gw, ok := o.spec.(*GatewaySpec); ok && o.live() && o.id != r.id && gw.Network == s.Network {
			return fail(cloud.AlreadyExists, "Resource.AlreadyAssociated", "network %s has the gateway %s", s.Network, o.id)
		}
	}
	return nil
}

func (s *RouteSpec) check(c *Cloud, _ *record) error {
	if _, err := expect[*NetworkSpec](c, s.Network); err != nil {
		return err
	}
	gw, err := expect[*GatewaySpec](c, s.Gateway)
	if err == nil && gw.Network != s.Network {
		return fail(cloud.Invalid, "InvalidGateway", "gateway %s is in another network", s.Gateway)
	}
	return err
}

func (s *FirewallSpec) check(c *Cloud, _ *record) error {
	_, err := expect[*NetworkSpec](c, s.Network)
	return err
}

func (s *AddressSpec) check(*Cloud, *record) error { return nil }

func (s *MachineSpec) check(c *Cloud, r *record) error {
	subnet, err := expect[*SubnetSpec](c, s.Subnet)
	if err != nil {
		return err
	}
	for _, id := range s.Firewalls {
		if _, err := expect[*FirewallSpec](c, id); err != nil {
			return err
		}
	}
	if !slices.Contains(c.opts.Regions[r.region], s.Zone) {
		return fail(cloud.Invalid, "InvalidZone", "there is no zone %q in %s", s.Zone, r.region)
	}
	if s.Address == "" && c.opts.PicksAddress {
		return nil
	}
	addr, err := netip.ParseAddr(s.Address)
	if err != nil {
		return fail(cloud.Invalid, "InvalidAddress", "%v", err)
	}
	if p, err := netip.ParsePrefix(subnet.CIDR); err != nil || !p.Contains(addr) {
		return fail(cloud.Invalid, "InvalidAddress", "%s is not in %s", addr, subnet.CIDR)
	}
	for _, o := range c.records {
		if m, ok := o.spec.(*MachineSpec); ok && o.live() && o.id != r.id && m.Subnet == s.Subnet && m.Address == s.Address {
			return fail(cloud.AlreadyExists, "AddressInUse", "%s belongs to %s", s.Address, o.id)
		}
	}
	return nil
}

func (s *AssociationSpec) check(c *Cloud, r *record) error {
	if _, err := expect[*AddressSpec](c, s.Address); err != nil {
		return err
	}
	m, err := expect[*MachineSpec](c, s.Machine)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(c.records, func(o *record) bool {
		gw, ok := o.spec.(*GatewaySpec)
		return ok && o.live() && gw.Network == c.networkOf(m)
	}) {
		return fail(cloud.NotFound, "Gateway.NotAttached", "the network of %s has no gateway", s.Machine)
	}
	for _, o := range c.records {
		if a, ok := o.spec.(*AssociationSpec); ok && o.live() && o.id != r.id && a.Address == s.Address {
			return fail(cloud.AlreadyExists, "AddressAssociated", "%s is on %s", s.Address, a.Machine)
		}
	}
	return nil
}

// expect finds what a reference points at and wants it to be of a kind.
func expect[S spec](c *Cloud, id string) (S, error) {
	var none S
	r, err := c.byID(id)
	if err != nil {
		return none, err
	}
	s, ok := r.spec.(S)
	if !ok {
		return none, fail(cloud.Invalid, "InvalidReference", "%s is of kind %s", id, r.kind)
	}
	return s, nil
}

func refersTo(s spec, id string) bool {
	found := false
	s.clone().mapRefs(func(ref string) string {
		found = found || ref == id
		return ref
	})
	return found
}

// resolve turns the keys in a resource's spec into ids.
func resolve(res cloud.Resource, refs map[string]cloud.Object) (spec, error) {
	s, ok := res.Spec.(spec)
	if !ok || !kindFits(res.Kind, s) {
		return nil, fail(cloud.Invalid, "InvalidSpec", "kind %q takes no %T", res.Kind, res.Spec)
	}
	s = s.clone()
	var err error
	s.mapRefs(func(key string) string {
		o, ok := refs[key]
		if !ok && err == nil {
			err = fail(cloud.Invalid, "MissingReference", "the request doesn't say what %q is", key)
		}
		return o.ID
	})
	return s, err
}

func kindFits(kind cloud.Kind, s spec) bool {
	want := map[cloud.Kind]spec{
		KindNetwork: (*NetworkSpec)(nil), KindSubnet: (*SubnetSpec)(nil), KindGateway: (*GatewaySpec)(nil),
		KindRoute: (*RouteSpec)(nil), KindFirewall: (*FirewallSpec)(nil), KindAddress: (*AddressSpec)(nil),
		KindMachine: (*MachineSpec)(nil), KindAssociation: (*AssociationSpec)(nil),
	}[kind]
	return want != nil && reflect.TypeOf(want) == reflect.TypeOf(s)
}

// merge takes the named fields from want and the others from have.
func merge(have, want spec, fields, mutable []string) (spec, error) {
	base, err := fieldsOf(have)
	if err != nil {
		return nil, err
	}
	over, err := fieldsOf(want)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if !slices.Contains(mutable, f) {
			return nil, fail(cloud.Invalid, "Immutable", "field %q cannot be changed", f)
		}
		base[f] = over[f]
	}
	data, err := json.Marshal(base)
	if err != nil {
		return nil, fail(cloud.Invalid, "InvalidSpec", "%v", err)
	}
	out := reflect.New(reflect.TypeOf(have).Elem()).Interface().(spec)
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fail(cloud.Invalid, "InvalidSpec", "%v", err)
	}
	return out, nil
}

// fieldsOf is a spec's JSON form by top-level field.
func fieldsOf(s any) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("marshal %T: %w", s, err)
	}
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("read the fields of %T: %w", s, err)
	}
	return out, nil
}
