// Package spec is what the user wants: it parses, defaults and validates cluster files, compares a new one with the one in
// force, and gives every wanted node its name and addresses. It is pure and knows no cloud: whether an account, a metro, a
// region or an instance type exists is for others to say.
package spec

import (
	"encoding/json"
	"net/netip"
	"time"
)

// APIVersion and Kind are the only values of the fields apiVersion and kind.
const (
	APIVersion = "skyweld.dev/v1alpha1"
	Kind       = "Cluster"
)

// Versions are the Kubernetes versions that can be asked for, the default first.
var Versions = []string{"v1.36.3"}

// Modes are the network modes that can be asked for, the default first.
var Modes = []string{"wireguard-cross-site"}

// Cluster is a cluster file: one Kubernetes cluster over one or more sites.
type Cluster struct {
	APIVersion string   `json:"apiVersion,omitempty"`
	Kind       string   `json:"kind,omitempty"`
	Metadata   Metadata `json:"metadata,omitzero"`
	Spec       Spec     `json:"spec"`
	// Status is written by Marshal and dropped by Parse: any value that encodes as JSON.
	Status any `json:"status,omitempty"`
}

// Metadata names a cluster. All but the name is given by the engine; a file may repeat it.
type Metadata struct {
	Name              string    `json:"name,omitempty"`
	UID               string    `json:"uid,omitempty"`
	Generation        int64     `json:"generation,omitempty"`
	CreationTimestamp time.Time `json:"creationTimestamp,omitzero"`
}

// Spec is the part of a cluster file that the user writes.
type Spec struct {
	KubernetesVersion string       `json:"kubernetesVersion,omitempty"`
	Metro             string       `json:"metro,omitempty"`
	Network           Network      `json:"network,omitzero"`
	Sites             []Site       `json:"sites,omitempty"`
	Access            Access       `json:"access,omitzero"`
	ControlPlane      ControlPlane `json:"controlPlane,omitzero"`
	Workers           []Workers    `json:"workers,omitempty"`
	Repair            Repair       `json:"repair,omitzero"`
	Measure           Measure      `json:"measure,omitzero"`
}

// Network is what all sites have in common.
type Network struct {
	Mode string `json:"mode,omitempty"`
	// MaxRTT is the longest round trip between two sites that is accepted.
	MaxRTT Duration `json:"maxRTT,omitempty"`
	// OnLatency is what becomes of a new cluster whose sites turn out to be farther apart than MaxRTT once their machines can
	// measure it, before Kubernetes is set up: one of LatencyChoices.
	OnLatency string `json:"onLatency,omitempty"`
	// Pods and Services are the cluster's ranges.
	Pods     netip.Prefix `json:"pods,omitzero"`
	Services netip.Prefix `json:"services,omitzero"`
}

// Site is one account and region.
type Site struct {
	Name    string `json:"name,omitempty"`
	Account string `json:"account,omitempty"`
	// Region is empty until the engine has chosen it, by the metro or by how near regions are to each other.
	Region string `json:"region,omitempty"`
	// Block holds the private addresses of the site's machines.
	Block netip.Prefix `json:"block,omitzero"`
}

// Access says who may reach the nodes from outside; an empty list means the engine's own egress address alone.
type Access struct {
	// API is who may reach the Kubernetes API.
	API []netip.Prefix `json:"api,omitempty"`
	// SSH is who may reach SSH, beside the engine.
	SSH []netip.Prefix `json:"ssh,omitempty"`
}

// ControlPlane is fixed at creation.
type ControlPlane struct {
	Replicas int    `json:"replicas,omitempty"`
	Size     string `json:"size,omitempty"`
	// Sites are the names of the sites that the members are dealt to in turn.
	Sites []string `json:"sites,omitempty"`
}

// Workers is a group of like workers at one site.
type Workers struct {
	Name string `json:"name,omitempty"`
	Site string `json:"site,omitempty"`
	Size string `json:"size,omitempty"`
	// Count is nil where it isn't given, which Default makes 1; 0 is a group without nodes.
	Count  *int              `json:"count,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`
	// Exclude are numbers that are not used for nodes of this group, rising: what is left behind by the removal of one
	// particular node.
	Exclude []int `json:"exclude,omitempty"`
}

// Repair says what is done about what fails by itself.
type Repair struct {
	// FailedMachines is what becomes of a machine that never answered, or on which kubeadm failed, before it was part of
	// the cluster: one of FailedMachines.
	FailedMachines string `json:"failedMachines,omitempty"`
	// NotReadyWorkers is what becomes of a worker that Kubernetes has called NotReady for NotReadyAfter though its cloud says
	// that its machine runs: one of NotReadyChoices.
	NotReadyWorkers string   `json:"notReadyWorkers,omitempty"`
	NotReadyAfter   Duration `json:"notReadyAfter,omitempty"`
}

// Measure makes of a cluster one that only measures what is between its sites, with workers alone and no Kubernetes, and that
// is deleted again when that is done.
type Measure struct {
	// For is how long each way is measured; 0 for a cluster like any other.
	For Duration `json:"for,omitempty"`
}

// What becomes of failed machines, the default first.
const (
	KeepFailed    = "keep"    // it stays to be looked into, and is tried again
	ReplaceFailed = "replace" // it is removed and made anew
)

// FailedMachines are the choices for spec.repair.failedMachines, the default first.
var FailedMachines = []string{KeepFailed, ReplaceFailed}

// What becomes of a new cluster whose sites are measured to be too far apart.
const (
	StopFar     = "stop"     // the machines stay, Kubernetes isn't set up, and somebody is asked
	ContinueFar = "continue" // it is said, and the creation goes on
	RemoveFar   = "remove"   // the cluster is deleted again
)

// LatencyChoices are those for spec.network.onLatency, the default first.
var LatencyChoices = []string{StopFar, ContinueFar, RemoveFar}

// What becomes of workers that stay NotReady.
const (
	ReplaceNotReady = "replace" // its config is applied again; where that doesn't help, its machine is made anew
	KeepNotReady    = "keep"    // its config is applied again, and that is all
)

// NotReadyChoices are those for spec.repair.notReadyWorkers, the default first.
var NotReadyChoices = []string{ReplaceNotReady, KeepNotReady}

// Nodes returns the number of nodes wanted in the group: Count, or 1 where it isn't given.
func (w Workers) Nodes() int {
	if w.Count == nil {
		return 1
	}
	return *w.Count
}

// Taint keeps pods off a node, in Kubernetes' words.
type Taint struct {
	Key    string `json:"key,omitempty"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect,omitempty"`
}

// Duration is a time.Duration that is written as "10ms".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration in Go's form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's form.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Measures says that the cluster is there only to measure what is between its sites.
func (c *Cluster) Measures() bool { return c.Spec.Measure.For > 0 }

// Site returns the site of that name.
func (c *Cluster) Site(name string) (Site, bool) {
	for _, s := range c.Spec.Sites {
		if s.Name == name {
			return s, true
		}
	}
	return Site{}, false
}

// Accounts returns the names of the accounts that the sites use, each once, in the order of the sites.
func (c *Cluster) Accounts() []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range c.Spec.Sites {
		if s.Account != "" && !seen[s.Account] {
			seen[s.Account] = true
			names = append(names, s.Account)
		}
	}
	return names
}

// Clone returns a copy that shares nothing with c, without the status.
func (c *Cluster) Clone() *Cluster {
	d := *c
	d.Status = nil
	var out Cluster
	data, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic("spec: a cluster always goes through JSON: " + err.Error())
	}
	return &out
}
