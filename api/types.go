// Package api is the engine's HTTP interface, /api/v1, and the client that the command line and the console use; they have
// no other way to the engine. It translates and checks; what is done is decided in the engine.
//
// server.go has the operations, most of them, and types.go what they take and give. What holds for all stands around them:
// auth.go and roles.go (who asks, and may they?), audit.go (it is recorded), idempotency.go (sent twice, it is done once),
// conditions.go (If-Match), problem.go (how a refusal looks). stream.go tells what happens. docs/api.md is for people who
// use it; docs/openapi.json is made of the operations.
package api

import (
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/store"
)

// Account is an account as it is shown: without its secrets.
type Account struct {
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Settings map[string]string `json:"settings,omitempty"`
	Proxy    string            `json:"proxy,omitempty"`
	Created  time.Time         `json:"created"`
	AccountTraffic
}

// NewAccount is an account as it is added.
type NewAccount struct {
	Name     string            `json:"name" doc:"1 to 50 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'" example:"my-aws"`
	Provider string            `json:"provider" example:"aws"`
	Settings map[string]string `json:"settings,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
	CA       string            `json:"ca,omitempty"`
	Proxy    string            `json:"proxy,omitempty"`
}

// AccountUpdate is what changes of an account. Without secrets those it has stay, and every setting that isn't given.
type AccountUpdate struct {
	// Provider is the account's own, for making sure of it; empty for whatever it is.
	Provider string            `json:"provider,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
	CA       string            `json:"ca,omitempty"`
	Proxy    string            `json:"proxy,omitempty"`
}

// File is a cluster file as it was written.
type File struct {
	Cluster string `json:"cluster" doc:"the cluster file, YAML or JSON" maxLength:"1048576" example:"apiVersion: skyweld.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec: {metro: us-east, sites: [{name: aws, account: my-aws}]}\n"`
}

// Plan is what would be done.
type Plan struct {
	Cluster string      `json:"cluster"`
	New     bool        `json:"new"`
	Steps   []plan.Step `json:"steps"`
	Notes   []string    `json:"notes,omitempty"`
	// More says that something waits for these steps and comes in another pass of the same run; a note says what.
	More bool `json:"more,omitempty"`
	// Spec is the cluster file with its defaults.
	Spec string `json:"spec"`
	// Cost is what the cluster costs once all of it is done, beside what it costs now.
	Cost price.Comparison `json:"cost"`
}

// OnLatency is what a request says beside a cluster file.
type OnLatency struct {
	Choice string `query:"onLatency" enum:"stop,continue,remove" doc:"spec.network.onLatency, in the place of what the file says of it"`
}

// ChangeAsked is a change of an existing cluster that a plan is asked for.
type ChangeAsked struct {
	Kind string `json:"kind" enum:"node-add,node-remove,reconcile,approve,delete"`
	// Group and Count are a node-add's.
	Group string `json:"group,omitempty" example:"web"`
	Count int    `json:"count,omitempty" minimum:"0" maximum:"100"`
	// Node is a node-remove's.
	Node string `json:"node,omitempty" example:"demo-web-1"`
	// Abandon are the sites that a delete gives up.
	Abandon []string `json:"abandon,omitempty"`
}

// Cluster is one cluster at a glance.
type Cluster struct {
	Name       string      `json:"name"`
	UID        string      `json:"uid"`
	Phase      string      `json:"phase"`
	Generation int64       `json:"generation"`
	Version    string      `json:"version"`
	Sites      []string    `json:"sites"`
	Nodes      int         `json:"nodes"`
	Ready      int         `json:"ready"`
	Created    time.Time   `json:"created"`
	NextRun    time.Time   `json:"nextRun,omitzero"`
	Conditions []Condition `json:"conditions,omitempty"`
	// Paused is there while nothing but a deletion is done about it.
	Paused *Pause `json:"paused,omitempty"`
	// PendingChanges are what was asked for and isn't done yet, in order.
	PendingChanges []Change `json:"pendingChanges,omitempty"`
	// LastRun is there in lists, once there was one; without its steps.
	LastRun *Run `json:"lastRun,omitempty"`
	// Cost is what there is of it now costs; Estimate is that line by line, where one cluster is asked for.
	Cost     price.Sum       `json:"cost"`
	Estimate *price.Estimate `json:"estimate,omitempty"`
	// ETag is the version of what is asked of it, for If-Match.
	ETag string `json:"etag"`
	// Latest is the cluster file as it will be when all pending changes are done; missing where that is File.
	Latest string `json:"latest,omitempty"`
	// File is the cluster file with its defaults and status; what is printed can be applied again.
	File string `json:"file,omitempty"`
}

// Condition is one statement about a cluster, in Kubernetes' form.
type Condition = store.Condition

// Node is one node of a cluster.
type Node struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Group   string `json:"group,omitempty"`
	Site    string `json:"site"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Type    string `json:"type,omitempty"`
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
	Address string `json:"address"`
	Public  string `json:"public,omitempty"`
	Pods    string `json:"pods"`
	Machine string `json:"machine,omitempty"`
	Tunnel  string `json:"tunnel,omitempty"`
	// Created is when Kubernetes first had it.
	Created time.Time `json:"created,omitzero"`
	// Failure says how its machine, or the one before it, failed to become a member; empty since one did.
	Failure string `json:"failure,omitempty"`
	// Cost is what its machine costs with disk and addresses.
	Cost price.Sum `json:"cost"`
}

// Resource is one thing in a cloud that is on the cluster's ledger.
type Resource struct {
	Key    string    `json:"key"`
	Kind   string    `json:"kind"`
	Site   string    `json:"site"`
	Region string    `json:"region"`
	ID     string    `json:"id"`
	Made   time.Time `json:"made"`
}

// Run is one pass of the engine over a cluster.
type Run struct {
	ID      int64     `json:"id"`
	Cluster string    `json:"cluster"`
	Reason  string    `json:"reason"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Outcome string    `json:"outcome"`
	Error   string    `json:"error,omitempty"`
	Calls   int64     `json:"calls"`
	// CallsBy is what calls to clouds there were, by family and region, as in "ec2 in us-east-1".
	CallsBy map[string]int64 `json:"callsBy,omitempty"`
	// Steps is there when one run is asked for.
	Steps []RunStep `json:"steps,omitempty"`
	// CriticalPath is there with the steps: the ids of those that the run took as long as it did for (see the function).
	CriticalPath []string `json:"criticalPath,omitempty"`
	// Total and Done count its steps.
	Total int `json:"total"`
	Done  int `json:"done"`
}

// RunStep is one step of a run.
type RunStep struct {
	ID     string `json:"id"`
	Action string `json:"action"`
	Kind   string `json:"kind"`
	Key    string `json:"key"`
	Site   string `json:"site"`
	Reason string `json:"reason"`
	// Phase is the part of a deletion that it belongs to.
	Phase   string    `json:"phase,omitempty"`
	State   string    `json:"state"`
	Error   string    `json:"error,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	After   []string  `json:"dependsOn,omitempty"`
}

// Event is one line for people about what happened.
type Event struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time"`
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Object  string    `json:"object"`
	Message string    `json:"message"`
}

// EventQuery says which events are wanted.
type EventQuery struct {
	// Limit is how many at most, 1 to 1000; 0 means 100.
	Limit int
	// Watch asks for the events after the one with the id After, and to wait up to Wait for one while there is none. Else
	// the last ones are asked for.
	Watch bool
	After int64
	// Wait is rounded to seconds, 0 to 60.
	Wait time.Duration
	// UID finds a cluster that is deleted.
	UID string
}

// SSHAsked is the key that is to be let into a node.
type SSHAsked struct {
	PublicKey string `json:"publicKey" maxLength:"10000"`
}

// SSH is how to reach a node for a few minutes with the key that was sent.
type SSH struct {
	Name     string   `json:"name"`
	Address  string   `json:"address"`
	User     string   `json:"user"`
	HostKeys []string `json:"hostKeys"`
	Proxy    string   `json:"proxy,omitempty"`
}

// AccountReport is the outcome of an account's check.
type AccountReport = cloud.Report

// Version tells engine from client.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}
