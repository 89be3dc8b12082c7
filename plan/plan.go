// Package plan compares what should exist with what does and gives the steps between them as a graph, and walks such a
// graph in parallel. Comparing is pure; a dry run, a creation, a repair and a delete all use the same code.
package plan

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// Action is what a step does.
type Action string

// The actions on resources of a cloud, and on nodes.
const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace" // delete, then create under the same key
	Delete  Action = "delete"

	Prepare   Action = "prepare"   // first contact with a machine: host key, agent, identity
	Configure Action = "configure" // tunnel, routes, firewall, bundle, services
	Measure   Action = "measure"   // the round trip between two sites
	Init      Action = "init"      // kubeadm init
	Join      Action = "join"      // kubeadm join
	Drain     Action = "drain"     // cordon and evict
	Forget    Action = "forget"    // delete the Node object and, on the control plane, the etcd member
	Rejoin    Action = "rejoin"    // undo what kubeadm did on the machine, then join
	Mend      Action = "mend"      // apply the config again, start the services, wait for it to be Ready
	Label     Action = "label"     // labels, taints and pod block
	Renew     Action = "renew"     // certificates
	Recover   Action = "recover"   // make what one member of etcd has the whole of it
	Restore   Action = "restore"   // kubeadm init over a snapshot of etcd
	Spread    Action = "spread"    // CoreDNS over regions

	Freeze Action = "freeze" // Kubernetes makes no load balancers and volumes any more
	Clear  Action = "clear"  // Kubernetes removes those that it made
	Record Action = "record" // an account's inventory is taken for the receipt
)

// NodeKind is the kind of steps that are about nodes, not about a cloud's resources.
const NodeKind cloud.Kind = "node"

// The kinds of steps that are about the whole of the cluster's Kubernetes, and about an account.
const (
	KubernetesKind cloud.Kind = "kubernetes"
	AccountKind    cloud.Kind = "account"
)

// Step is one thing to do.
type Step struct {
	// ID is unique in a plan and the same for the same step in another plan: "<action>/<key>".
	ID     string     `json:"id"`
	Action Action     `json:"action"`
	Kind   cloud.Kind `json:"kind"`
	// Key is the resource's key, or the node's name for a node's step.
	Key  string `json:"key"`
	Site string `json:"site"`
	// Reason says in words why ("missing", "cidr differs: …", "not in spec").
	Reason string `json:"reason"`
	// DependsOn are the IDs of steps that must succeed first.
	DependsOn []string `json:"dependsOn,omitempty"`
	// After are the IDs of steps that this one waits for, whatever comes of them.
	After []string `json:"after,omitempty"`
	// Phase is the part of a deletion that the step belongs to; empty in all other plans.
	Phase Phase `json:"phase,omitempty"`
	// Fields are the top-level fields of the spec to update.
	Fields []string `json:"fields,omitempty"`
	// Want is set for create, update and replace; Got for update, replace and delete.
	Want *cloud.Resource `json:"-"`
	Got  *cloud.Object   `json:"-"`
}

// Graph is a plan: steps in an order in which every step comes after those it depends on.
type Graph struct {
	Steps []Step `json:"steps"`
	// Notes are things found that no step deals with: a copy of a marked resource, a site that is unknown.
	Notes []string `json:"notes,omitempty"`
	// More says that something waits for this plan's end and comes in the next one; a note says what.
	More bool `json:"more,omitempty"`
}

// Input is all that a plan is made of.
type Input struct {
	// Kinds describes the kinds of each site's driver, by the site's name, in order of creation.
	Kinds map[string][]cloud.KindInfo
	// Want is the blueprint of all sites; empty for a delete.
	Want []cloud.Resource
	// Got is everything observed under the cluster's mark, with Site filled in by the engine in Sites.
	Got []Observed
	// Nodes are the nodes wanted and those that are there and not wanted.
	Nodes []Node
	// Initialized says that kubeadm init has succeeded once.
	Initialized bool
	// Cluster is its name.
	Cluster string
	// Answers says that Kubernetes was asked just now and answered.
	Answers bool
	// Approved is who approved that a lost control plane is made again of what is left of it, empty for nobody; Snapshot
	// says, in words, which snapshot there is, empty for none.
	Approved, Snapshot string
	// Measuring says that the cluster is there only to have its ways measured: Kubernetes isn't set up.
	Measuring bool
	// Ways are those between the cluster's sites, each pair once.
	Ways []Way
	// Strays are Nodes in Kubernetes that stand for nothing any more.
	Strays []Stray
	// Spread says, in words, why the pods of CoreDNS have to be spread, empty when they haven't.
	Spread string
	// Deleting says that the whole cluster goes: nodes are not drained or forgotten.
	Deleting bool
	// Kubernetes says, of a cluster that is being deleted, that its Kubernetes may still have to remove what it made.
	Kubernetes bool
	// Inventories are those that belong to the receipt.
	Inventories []Inventory
	// Unknown are sites that could not be observed, with the reason: nothing is concluded about them.
	Unknown map[string]string
}

// Observed is an object with what the engine knows about it.
type Observed struct {
	cloud.Object
	Site string
	// Recorded says that the ledger holds its id; Intended that an unresolved intent explains it.
	Recorded, Intended bool
}

// Stray is a Node in Kubernetes that no node and no machine belongs to.
type Stray struct{ Name, Site, Why string }

// Make compares and returns the steps. It fails only when the input contradicts itself.
func Make(in Input) (Graph, error) {
	m := maker{in: in, want: map[string]*cloud.Resource{}, got: map[string]*Observed{}, steps: map[string]*Step{}, by: map[string]string{}}
	for i := range in.Want {
		r := &in.Want[i]
		if m.want[r.Key] != nil {
			return Graph{}, fmt.Errorf("plan: two resources have the key %s", r.Key)
		}
		m.want[r.Key] = r
	}
	m.index()
	m.ill = m.treat()
	if err := m.resources(); err != nil {
		return Graph{}, err
	}
	m.deletes()
	m.partsFirst()
	m.nodes()
	m.accessFirst()
	m.recordBefore()
	m.teardown()
	return m.graph()
}

type maker struct {
	in    Input
	want  map[string]*cloud.Resource
	got   map[string]*Observed
	extra []*Observed // doubles to be removed
	steps map[string]*Step
	by    map[string]string // key → ID of the step that brings it about
	ill   illness
	notes []string
	more  bool
}

// index chooses, of the objects under one key, the one that counts: the recorded one, else an intended one, else (only
// when it is the only one) none of them: a mark alone proves nothing.
func (m *maker) index() {
	groups := map[string][]*Observed{}
	for i := range m.in.Got {
		o := &m.in.Got[i]
		if o.State == cloud.Gone {
			if m.got[o.Key] == nil {
				groups[o.Key] = append(groups[o.Key], nil)
			}
			continue
		}
		groups[o.Key] = append(groups[o.Key], o)
	}
	for _, key := range sortedKeys(groups) {
		list := slices.DeleteFunc(groups[key], func(o *Observed) bool { return o == nil })
		sort.SliceStable(list, func(i, j int) bool {
			a, b := list[i], list[j]
			if a.Recorded != b.Recorded {
				return a.Recorded
			}
			if a.Intended != b.Intended {
				return a.Intended
			}
			return a.ID < b.ID
		})
		for i, o := range list {
			switch {
			case !o.Recorded && !o.Intended:
				m.notes = append(m.notes, fmt.Sprintf("%s %s carries the mark of %s but was not made by this cluster: left alone", o.Kind, o.ID, key))
			case i == 0:
				m.got[key] = o
			default:
				m.extra = append(m.extra, o)
			}
		}
	}
}

// resources makes the create, update and replace steps, in the blueprint's order so that replacement spreads to dependents.
func (m *maker) resources() error {
	replaced := map[string]bool{}
	spared, err := m.spare()
	if err != nil {
		return err
	}
	for i := range m.in.Want {
		r := &m.in.Want[i]
		if why, unknown := m.in.Unknown[r.Site]; unknown {
			if i == 0 || m.in.Want[i-1].Site != r.Site {
				m.notes = append(m.notes, fmt.Sprintf("site %s is unknown (%s): nothing is planned there", r.Site, why))
			}
			continue
		}
		for _, d := range r.DependsOn {
			if m.want[d] == nil {
				return fmt.Errorf("plan: %s depends on %s, which is not in the blueprint", r.Key, d)
			}
		}
		info, err := m.info(r.Site, r.Kind)
		if err != nil {
			return err
		}
		step := Step{Kind: r.Kind, Key: r.Key, Site: r.Site, Want: r}
		got := m.got[r.Key]
		if got == nil {
			step.Action, step.Reason = Create, m.missing(r.Key)
			m.add(step, r.DependsOn)
			continue
		}
		step.Got = &got.Object
		diffs, err := Diff(r.Spec, got.Spec)
		if err != nil {
			return fmt.Errorf("plan: compare %s: %w", r.Key, err)
		}
		if got.State == cloud.Stopped {
			diffs = append(diffs, Difference{Field: cloud.FieldState, Have: "stopped", Want: "running"})
		}
		if got.Unmarked {
			diffs = append(diffs, Difference{Field: cloud.FieldMark})
		}
		for _, d := range r.DependsOn {
			if replaced[d] {
				diffs = append(diffs, referenceTo(r.Spec, d)...)
			}
		}
		if why := m.failed(r.Key); why != "" {
			diffs = append(diffs, Difference{Field: failedField, Have: why, Want: "another machine"})
		}
		if spared[r.Key] { // what needs no replacement is mended all the same
			diffs = slices.DeleteFunc(diffs, func(d Difference) bool { return !inPlace(info, d) })
		}
		if len(diffs) == 0 {
			continue
		}
		step.Action, step.Reason = Update, reasons(diffs)
		for _, d := range diffs {
			if !inPlace(info, d) {
				step.Action = Replace
			}
			if !slices.Contains(step.Fields, d.Field) {
				step.Fields = append(step.Fields, d.Field)
			}
		}
		if step.Action == Replace {
			step.Fields = nil
			replaced[r.Key] = true
		}
		m.add(step, r.DependsOn)
	}
	m.orderReplacements(replaced)
	return nil
}

// inPlace says whether an update can mend a difference.
func inPlace(info cloud.KindInfo, d Difference) bool {
	return d.Field == cloud.FieldState || d.Field == cloud.FieldMark || slices.Contains(info.Mutable, d.Field)
}

// orderReplacements splits each replacement whose dependents are replaced too: the dependents must go first, and a step
// cannot be both before and after another. So the old ones are deleted by steps of their own.
func (m *maker) orderReplacements(replaced map[string]bool) {
	split := map[string]bool{}
	for key := range replaced {
		for _, d := range m.want[key].DependsOn {
			if replaced[d] {
				split[key], split[d] = true, true
			}
		}
	}
	for _, key := range sortedKeys(split) {
		s := m.steps[string(Replace)+"/"+key]
		delete(m.steps, s.ID)
		del := *s
		del.Action, del.ID, del.Want, del.DependsOn = Delete, string(Delete)+"/"+key, nil, nil
		m.steps[del.ID] = &del
		s.Action, s.ID, s.Got = Create, string(Create)+"/"+key, nil
		s.DependsOn = append(s.DependsOn, del.ID)
		m.steps[s.ID], m.by[key] = s, s.ID
	}
	for _, key := range sortedKeys(split) {
		for _, d := range m.want[key].DependsOn {
			if split[d] {
				m.depend(string(Delete)+"/"+d, string(Delete)+"/"+key)
			}
		}
	}
	for _, s := range m.steps { // steps that waited for a replacement now wait for its creation
		for i, d := range s.DependsOn {
			if key, ok := strings.CutPrefix(d, string(Replace)+"/"); ok && split[key] {
				s.DependsOn[i] = string(Create) + "/" + key
			}
		}
	}
}

// deletes makes a step for everything observed that the blueprint does not have, and for doubles. What was made later
// goes first.
func (m *maker) deletes() {
	var gone []*Observed
	for _, key := range sortedKeys(m.got) {
		if o := m.got[key]; m.want[key] == nil {
			gone = append(gone, o)
		}
	}
	first := len(gone)
	gone = append(gone, m.extra...)
	var made []*Step
	for i, o := range gone {
		if why, unknown := m.in.Unknown[o.Site]; unknown {
			m.notes = append(m.notes, fmt.Sprintf("%s %s is kept for now: site %s is unknown (%s)", o.Kind, o.Key, o.Site, why))
			continue
		}
		step := Step{ID: string(Delete) + "/" + o.Key, Action: Delete, Kind: o.Kind, Key: o.Key, Site: o.Site, Got: &o.Object, Reason: "not in spec"}
		if m.in.Deleting {
			step.Reason = "the cluster is being deleted"
		}
		if i >= first {
			step.ID, step.Reason = step.ID+"/"+o.ID, "a second one under the same key; the recorded one stays"
		}
		m.steps[step.ID] = &step
		made = append(made, m.steps[step.ID])
	}
	m.orderDeletes(made)
}

// orderDeletes lets what was made later at a site go first. Of a cluster that goes whole the things of one machine don't wait
// for those of another: neither uses the other.
func (m *maker) orderDeletes(made []*Step) {
	type leaving struct {
		id, owner string
		layer     int
	}
	sites := map[string][]leaving{}
	owners := m.owners()
	for _, s := range made {
		l := leaving{id: s.ID, layer: m.layer(s.Site, s.Kind)}
		if m.in.Deleting {
			l.owner = owners[s.Key].Name
		}
		sites[s.Site] = append(sites[s.Site], l)
	}
	for _, list := range sites {
		for _, a := range list {
			for _, b := range list {
				if b.layer > a.layer && (a.owner == "" || b.owner == "" || a.owner == b.owner) {
					m.depend(a.id, b.id)
				}
			}
		}
	}
}

func (m *maker) add(s Step, dependsOn []string) {
	s.ID = string(s.Action) + "/" + s.Key
	m.await(&s, dependsOn)
	m.steps[s.ID], m.by[s.Key] = &s, s.ID
}

// await lets a step come after those that bring about what it depends on, through what stays as it is too: a machine that
// stands still is started when its subnet's network is as it should be.
func (m *maker) await(s *Step, keys []string) {
	for _, d := range keys {
		id := m.by[d]
		switch {
		case id == "" && m.want[d] != nil:
			m.await(s, m.want[d].DependsOn)
		case id != "" && !slices.Contains(s.DependsOn, id):
			s.DependsOn = append(s.DependsOn, id)
		}
	}
}

func (m *maker) depend(step, on string) {
	s := m.steps[step]
	if s == nil || m.steps[on] == nil || step == on || slices.Contains(s.DependsOn, on) {
		return
	}
	s.DependsOn = append(s.DependsOn, on)
}

// missing tells a resource that somebody terminated from one that was never made, or that a run removed: a cloud shows a
// terminated machine for a while, and the ledger has only what it still counts on.
func (m *maker) missing(key string) string {
	for _, o := range m.in.Got {
		if o.Key == key && o.State == cloud.Gone && o.Recorded {
			return "terminated outside of Skyweld"
		}
	}
	return "missing"
}

func (m *maker) info(site string, kind cloud.Kind) (cloud.KindInfo, error) {
	for _, k := range m.in.Kinds[site] {
		if k.Kind == kind {
			return k, nil
		}
	}
	return cloud.KindInfo{}, fmt.Errorf("plan: site %s: its driver does not know the kind %s", site, kind)
}

// layer is the place of a kind in the order of creation; an unknown kind (an orphan the driver reports) goes first.
func (m *maker) layer(site string, kind cloud.Kind) int {
	for i, k := range m.in.Kinds[site] {
		if k.Kind == kind {
			return i
		}
	}
	return len(m.in.Kinds[site])
}

// graph sorts the steps: dependencies first, otherwise in the order of site, kind's layer and key.
func (m *maker) graph() (Graph, error) {
	ids := sortedKeys(m.steps)
	rank := func(s *Step) int {
		switch {
		case s.Phase != "":
			return 1000*slices.Index(Phases, s.Phase) + 500 - m.layer(s.Site, s.Kind)
		case s.Kind == NodeKind, s.Kind == RoundTripKind:
			return 1000
		case s.Action == Record, s.Action == Delete && s.Got.PartOf != "":
			return -1
		case s.Action == Delete:
			return 500 - m.layer(s.Site, s.Kind)
		}
		return m.layer(s.Site, s.Kind)
	}
	sort.SliceStable(ids, func(i, j int) bool { return rank(m.steps[ids[i]]) < rank(m.steps[ids[j]]) })
	g := Graph{Steps: make([]Step, 0, len(ids)), Notes: m.notes, More: m.more}
	state := map[string]int{}
	var visit func(id string) error
	visit = func(id string) error {
		switch state[id] {
		case 1:
			return fmt.Errorf("plan: the step %s depends on itself", id)
		case 2:
			return nil
		}
		state[id] = 1
		sort.Strings(m.steps[id].DependsOn)
		for _, d := range m.steps[id].DependsOn {
			if m.steps[d] == nil {
				return fmt.Errorf("plan: the step %s depends on %s, which is not in the plan", id, d)
			}
			if err := visit(d); err != nil {
				return err
			}
		}
		state[id] = 2
		g.Steps = append(g.Steps, *m.steps[id])
		return nil
	}
	for _, id := range ids {
		if err := visit(id); err != nil {
			return Graph{}, err
		}
	}
	wishes(g.Steps)
	return g, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
