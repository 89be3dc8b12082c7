package arm

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// The types of resources that the lab has.
const (
	groupType         = "Microsoft.Resources/resourceGroups"
	networkType       = "Microsoft.Network/virtualNetworks"
	subnetType        = "Microsoft.Network/virtualNetworks/subnets"
	securityGroupType = "Microsoft.Network/networkSecurityGroups"
	routeTableType    = "Microsoft.Network/routeTables"
	publicAddressType = "Microsoft.Network/publicIPAddresses"
	interfaceType     = "Microsoft.Network/networkInterfaces"
	watcherType       = "Microsoft.Network/networkWatchers"
	machineType       = "Microsoft.Compute/virtualMachines"
	diskType          = "Microsoft.Compute/disks"
)

// The provisioning states that occur in the lab.
const (
	stateSucceeded = "Succeeded"
	stateFailed    = "Failed"
	stateUpdating  = "Updating"
	stateCreating  = "Creating"
	stateDeleting  = "Deleting"
)

// state is all that is kept over a restart. Resources are in Azure's own form under their lower-cased ids. What follows
// from other resources (a subnet's interfaces, an address' user) is left out and filled in for answers.
type state struct {
	Groups         map[string]*group         `json:"groups"` // by lower-cased name
	Networks       map[string]*network       `json:"networks"`
	SecurityGroups map[string]*securityGroup `json:"securityGroups"`
	RouteTables    map[string]*routeTab      `json:"routeTables"`
	Addresses      map[string]*publicAddress `json:"addresses"`
	Interfaces     map[string]*nic           `json:"interfaces"`
	Watchers       map[string]*watcher       `json:"watchers"`
	Machines       map[string]*machine       `json:"machines"`
	Disks          map[string]*disk          `json:"disks"`
	Operations     map[string]*operation     `json:"operations"`
	// Unregistered are the resource providers that may not be used, lower-cased; the rest is registered.
	Unregistered map[string]bool `json:"unregistered"`
	// Reboot counts the scheduled events of each machine, by its VM id.
	Events map[string]*scheduledEvents `json:"events"`
}

func newState() state {
	var s state
	s.complete()
	return s
}

// complete makes the tables that a record doesn't have.
func (s *state) complete() {
	fill(&s.Groups)
	fill(&s.Networks)
	fill(&s.SecurityGroups)
	fill(&s.RouteTables)
	fill(&s.Addresses)
	fill(&s.Interfaces)
	fill(&s.Watchers)
	fill(&s.Machines)
	fill(&s.Disks)
	fill(&s.Operations)
	fill(&s.Unregistered)
	fill(&s.Events)
}

func fill[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
}

// record is any resource of a group.
type record interface {
	meta() *head
	state() *string
}

// head is what all resources have.
type head struct {
	Name     string            `json:"name,omitempty"`
	ID       string            `json:"id,omitempty"`
	ETag     string            `json:"etag,omitempty"`
	Type     string            `json:"type,omitempty"`
	Location string            `json:"location,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Zones    []string          `json:"zones,omitempty"`
	SKU      *sku              `json:"sku,omitempty"`
}

func (h *head) meta() *head { return h }

type sku struct {
	Name string `json:"name,omitempty"`
	Tier string `json:"tier,omitempty"`
}

// ref names another resource. In requests it may come with all of the resource, which is not looked at.
type ref struct {
	ID string `json:"id,omitempty"`
}

type group struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	ManagedBy  string            `json:"managedBy,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties struct {
		ProvisioningState string `json:"provisioningState"`
	} `json:"properties"`
}

// all returns all resources in order of their ids.
func (s *state) all() []record {
	var out []record
	add(&out, s.Networks)
	add(&out, s.SecurityGroups)
	add(&out, s.RouteTables)
	add(&out, s.Addresses)
	add(&out, s.Interfaces)
	add(&out, s.Watchers)
	add(&out, s.Machines)
	add(&out, s.Disks)
	slices.SortFunc(out, func(a, b record) int { return strings.Compare(key(a.meta().ID), key(b.meta().ID)) })
	return out
}

func add[T record](out *[]record, table map[string]T) {
	for _, r := range table {
		*out = append(*out, r)
	}
}

// ofGroup returns a group's resources.
func (s *state) ofGroup(name string) []record {
	return slices.DeleteFunc(s.all(), func(r record) bool { return !strings.EqualFold(parseID(r.meta().ID).group, name) })
}

// ordered returns a table's records in order of their ids.
func ordered[T any](m map[string]T) []T {
	out := make([]T, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// clone copies a record by its JSON form.
func clone[T any](v *T) *T {
	text, err := json.Marshal(v)
	out := new(T)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		panic("arm: a record has no JSON form: " + err.Error()) // they are plain structs
	}
	return out
}

func stamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.0000000+00:00") }

// newETag is a network resource's: weak, and another one at every change.
func newETag() string { return `W/"` + newUUID() + `"` }
