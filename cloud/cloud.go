// Package cloud is the vocabulary that the engine and the adapters of the clouds share: resources, owner marks, the
// Driver and the classes of errors. It is not for anything one cloud alone has; that stays in the cloud's own package.
package cloud

import (
	"context"
	"net/netip"
	"time"
)

// Provider names a cloud.
type Provider string

// The clouds Skyweld knows.
const (
	AWS          Provider = "aws"
	GCP          Provider = "gcp"
	Azure        Provider = "azure"
	DigitalOcean Provider = "digitalocean"
)

// Kind is the type of a resource in its cloud's own vocabulary, in lower case with dashes ("vpc", "security-group",
// "instance"). It is unique within a provider.
type Kind string

// Role is what a machine is to Kubernetes, in kubeadm's words.
type Role string

// The roles of a node.
const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
)

// Resource is one thing that should exist in a cloud.
type Resource struct {
	// Key is stable for the life of the cluster and unique in it: 1–50 of a-z 0-9 and '-', beginning with the site's
	// name. It is what the owner mark carries.
	Key string `json:"key"`
	// Kind is the resource's type.
	Kind Kind `json:"kind"`
	// Site is the name of the site it belongs to.
	Site string `json:"site"`
	// Region is the cloud's own region.
	Region string `json:"region"`
	// Machine is the name of the machine that this resource is, or serves (its address, its association); empty for what
	// the whole site shares.
	Machine string `json:"machine,omitempty"`
	// DependsOn lists the keys of resources that must exist before this one is made, and must go after it.
	DependsOn []string `json:"dependsOn,omitempty"`
	// Spec is the desired state: a pointer to the driver's own struct for this kind. Its JSON form is what is compared
	// with the observed state, field by field, so it names other resources by key and holds no secret.
	Spec any `json:"spec"`
}

// State is how far a resource is in its life.
type State string

// The states of an object. Nearly everything but a machine is Ready as soon as it is seen.
const (
	Pending State = "pending" // being made or started; it will become ready by itself
	Ready   State = "ready"
	Stopped State = "stopped" // a machine that exists and doesn't run, or what the cloud has begun to make or change, and failed
	Gone    State = "gone"    // the cloud says by the resource's own id that it was terminated
)

// Object is one thing that exists in a cloud and carries an owner mark.
type Object struct {
	// Key and Cluster are read from the owner mark.
	Key     string `json:"key"`
	Cluster string `json:"cluster"`
	Kind    Kind   `json:"kind"`
	Region  string `json:"region"`
	// ID is the cloud's own id (an EC2 id; a Google resource's path from "projects/").
	ID    string `json:"id"`
	State State  `json:"state"`
	// Spec is the observed state: the same type as Resource.Spec of this kind. References to other marked resources are
	// given by their keys, to anything else by the cloud's id.
	Spec any `json:"spec,omitempty"`
	// Address is the public address of an address resource.
	Address netip.Addr `json:"address,omitzero"`
	// Machine is set for machines.
	Machine *MachineStatus `json:"machine,omitempty"`
	Created time.Time      `json:"created,omitzero"`
	// Unmarked says that somebody took or altered the owner mark: what it is, is known by its id only. Update of FieldMark
	// puts the mark back.
	Unmarked bool `json:"unmarked,omitempty"`
	// Parts are what came along with a machine and may outlive it: its disk, its interface. While it has them they are
	// no objects of their own, and while they are known to be its parts they are removed when they outlive it.
	Parts []Known `json:"parts,omitempty"`
	// PartOf is set in the ledger's record of such a part: the machine's key.
	PartOf string `json:"partOf,omitempty"`
}

// Known is what a cluster's ledger holds of a thing: enough to find it without its mark.
type Known struct {
	Kind Kind `json:"kind"`
	// Key is the key under which it was made.
	Key string `json:"key"`
	// ID is the cloud's own id, as in Object.
	ID string `json:"id"`
}

// MachineStatus is what a cloud says about a machine beyond its spec.
type MachineStatus struct {
	Private netip.Addr `json:"private,omitzero"`
	// Public is the address the machine is reached at from the internet; not valid while it has none.
	Public netip.Addr `json:"public,omitzero"`
	Zone   string     `json:"zone"`
	Type   string     `json:"type"`
	// ProviderID is what Kubernetes calls the machine ("aws:///us-east-1a/i-0abc", "gce://project/zone/name").
	ProviderID string `json:"providerID"`
}

// Owner is the cluster on whose behalf a call is made.
type Owner struct {
	// UID is the cluster's id: 16 of 0-9 a-f.
	UID string
	// Name is the cluster's name, for people only.
	Name string
}

// Site is what a driver needs to know of a site to lay out its resources.
type Site struct {
	Name   string
	Region string
	// Zones are the region's zones in order of their names, never empty.
	Zones []string
	// Block is the site's address block.
	Block netip.Prefix
	// Pods is the whole cluster's pod range.
	Pods netip.Prefix
	// APIAccess and SSHAccess are who may reach TCP 6443 of control-plane nodes and TCP 22 of all nodes.
	APIAccess, SSHAccess []netip.Prefix
	// TunnelPort is the UDP port of WireGuard, open to all.
	TunnelPort int
	Machines   []Machine
}

// Machine is one machine wanted at a site.
type Machine struct {
	// Name is the node's name and the machine's host name, unique in the cluster.
	Name string
	Role Role
	// Size is small, medium, large or a cloud's own instance type.
	Size string
	// Zone is one of the site's zones.
	Zone string
	// Address is the private address chosen by the engine, inside the site's block. Where the kind's PicksAddress is set
	// the machine will have another.
	Address netip.Addr
	// DiskGiB is the size of the machine's disk in GiB.
	DiskGiB int
}

// KindInfo tells the planner what it must know about a kind.
type KindInfo struct {
	Kind Kind
	// Mutable lists the top-level JSON fields of the kind's spec that Update can change in place. A difference in any
	// other field means that the resource is replaced.
	Mutable []string
	// Machine says that objects of this kind are machines: Create wants user data.
	Machine bool
	// PicksAddress says that the cloud chooses the private addresses of machines of this kind, inside the site's block:
	// the one in the machine's status counts.
	PicksAddress bool
	// Access says that objects of this kind decide who reaches machines from outside.
	Access bool
	// Lasting says that objects of this kind serve one machine and outlast it: addresses, disks, interfaces.
	Lasting bool
}

// CreateRequest is all that a driver needs to make one resource.
type CreateRequest struct {
	Owner    Owner
	Resource Resource
	// Refs holds the objects that Resource.DependsOn names, by key.
	Refs map[string]Object
	// Token is the same in every try of one creation, and used for no other: 32 of 0-9 a-f. A driver hands it to the
	// cloud as idempotency token where there is one.
	Token string
	// UserData is for machines only. It holds a private key: a driver never logs it or puts it into an error.
	UserData []byte
}

// UpdateRequest asks for an existing object to be brought to the spec of its resource.
type UpdateRequest struct {
	Owner    Owner
	Resource Resource
	// Object is the object as it was last observed.
	Object Object
	// Fields are the top-level JSON fields of the spec that differ, all of them mutable. The field "state" stands for a
	// machine that is Stopped and is to be started, "mark" for an object that is Unmarked and is to be marked again.
	Fields []string
	Refs   map[string]Object
}

// Driver is one account at one cloud. Its methods may be called from many goroutines. Every error they return is, or
// wraps, an *Error with its class.
type Driver interface {
	Provider() Provider
	// Kinds describes every kind of resource the driver makes, in the order of creation: an object never depends on one
	// of a later kind. Deletion goes the other way.
	Kinds() []KindInfo
	// Blueprint lists the resources that a site with its machines needs. It is pure: the same site gives the same
	// resources in the same order.
	Blueprint(owner Owner, site Site) ([]Resource, error)
	// Charges lists what the cloud bills for as long as something of this spec is there, be it a resource's or an object's. It
	// is pure; none means that it costs nothing.
	Charges(spec any) []Charge
	// Observe lists everything in the region, and outside any region, that carries the mark of the cluster, with one
	// paged list per resource type. Terminated machines that the cloud still shows are reported as Gone.
	//
	// Known is what is on record there. What of it is there without its mark, or with an altered one, is reported under the
	// key on record as Unmarked: else it would be taken for gone, made a second time, and never deleted. Only for what the
	// usual lists leave out of it, one more list per resource type is read; while nothing is amiss there is none.
	Observe(ctx context.Context, cluster, region string, known ...Known) ([]Object, error)
	// Preflight finds out, without making anything, what would keep the account from making resources: machine types that
	// aren't offered, limits that are too small, permissions that are missing. What it isn't allowed to look at is a note.
	Preflight(ctx context.Context, req PreflightRequest) (Findings, error)
	// Create makes one resource with its mark in the creating call and waits until others can refer to it: a machine
	// may be returned as Pending.
	Create(ctx context.Context, req CreateRequest) (Object, error)
	// Update changes an object in place. Doing so twice is the same as doing it once.
	Update(ctx context.Context, req UpdateRequest) (Object, error)
	// Delete removes an object and waits until what it depends on can be removed. Removing what is gone is success.
	Delete(ctx context.Context, owner Owner, object Object) error
	// Check finds out whether the account can be used in the given regions (all of the account's when none is given).
	Check(ctx context.Context, regions ...string) (Report, error)
	// Inventory lists everything in the account, ours or not, of every type that the driver ever makes or that comes
	// along with what it makes, in the given regions (all of the account's when none is given), sorted by kind, region
	// and id.
	Inventory(ctx context.Context, regions ...string) ([]Item, error)
}

// Consoler is a Driver that can show what a machine wrote to its console.
type Consoler interface {
	// Console returns the last part of the machine's console output, at most 64 KiB.
	Console(ctx context.Context, machine Object) ([]byte, error)
}

// Item is one thing in an account's inventory.
type Item struct {
	Kind   Kind   `json:"kind"`
	Region string `json:"region"`
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	// Cluster is the UID in the owner mark, empty for what is not ours.
	Cluster string `json:"cluster,omitempty"`
	// Controller is the name of the Kubernetes whose controllers made it, by the tag that they give what they make
	// ("kubernetes.io/cluster/<name>"); empty for what has none.
	Controller string `json:"controller,omitempty"`
	// Detail is a short stable description ("10.64.0.0/16", "t3.medium running"): with the other fields it is all that
	// is compared before and after.
	Detail string `json:"detail,omitempty"`
}

// Report is the answer of Check.
type Report struct {
	// Identity is who the cloud says we are (an ARN, a service account's address).
	Identity string `json:"identity"`
	// Account is the cloud's own id of the account or project.
	Account string `json:"account"`
	// Regions are the regions the account may use.
	Regions []string  `json:"regions"`
	Missing []Missing `json:"missing,omitempty"`
	Quotas  []Quota   `json:"quotas,omitempty"`
}

// Missing is a permission that the account lacks.
type Missing struct {
	// Action is the cloud's own name of the permission ("ec2:RunInstances").
	Action string `json:"action"`
	Region string `json:"region,omitempty"`
	// Detail is what the cloud said when it was tried, Advice what to do where it isn't to grant the permission.
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// Quota is one limit of an account.
type Quota struct {
	Name   string  `json:"name"`
	Region string  `json:"region,omitempty"`
	Limit  float64 `json:"limit"`
	// Used is negative when the cloud doesn't say.
	Used float64 `json:"used"`
}
