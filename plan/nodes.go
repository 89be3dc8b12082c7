package plan

import (
	"fmt"
	"slices"
	"sort"

	"github.com/skyweld/skyweld/cloud"
)

// Node is what is known of one node, wanted or not.
type Node struct {
	Name string
	Site string
	Role cloud.Role
	// Machine is the key of its machine in the blueprint; Reach are keys of further resources without which it can't be
	// reached (the association of its public address).
	Machine string
	Reach   []string
	// Wanted is false for a node that is to go.
	Wanted bool
	// Prepared is the cloud's id of the machine whose host key and identity are on record, empty for none.
	Prepared string
	// Stale says, in words, why the applied config isn't the wanted one though no step of this plan changes it; empty
	// when it is.
	Stale string
	// Registered says that Kubernetes has a Node of this name; Current that this Node is the present machine.
	Registered, Current bool
	// Failed says, in words, how its present machine failed to become a member, empty when it didn't: then Current is false
	// whatever Kubernetes has of it. Remake says that the machine is given up and to be made again.
	Failed string
	Remake bool
	// Ready says that Kubernetes calls the Node healthy now; false when it couldn't be asked.
	Ready bool
	// Sick says, in words, that it has been NotReady for longer than is waited for, empty when it hasn't. Mended says that its
	// config was applied again since then, Connected that its tunnel is known to work, Keep that it is not to be replaced.
	Sick                    string
	Mended, Connected, Keep bool
	// Labels says, in words, what was changed in its Node of what is ours; Expires which certificate is to be renewed.
	Labels, Expires string
	// Lost says, in words, how its part in etcd was lost though its machine is a member of Kubernetes.
	Lost string
	// Seat is the cloud's id of the machine that etcd counts as a member for this node, empty for none. Answers says that the
	// etcd there answers, at this Revision; Strange that it is none of this cluster's.
	Seat             string
	Answers, Strange bool
	Revision         int64
}

// nodes adds the steps between a machine and a member of the cluster. Control-plane members come one at a time, because
// etcd takes them so; workers all at once after the first member is there.
func (m *maker) nodes() {
	if m.in.Deleting {
		return
	}
	nodes := append([]Node(nil), m.in.Nodes...)
	sort.SliceStable(nodes, func(i, j int) bool {
		if (nodes[i].Role == cloud.ControlPlane) != (nodes[j].Role == cloud.ControlPlane) {
			return nodes[i].Role == cloud.ControlPlane
		}
		return false
	})
	change := m.meshChange(nodes)
	var prepares, removals []string
	for _, n := range nodes {
		if _, unknown := m.in.Unknown[n.Site]; unknown {
			continue
		}
		if !n.Wanted {
			removals = append(removals, m.leave(n)...)
			continue
		}
		m.retire(n)
		if why := m.needsPrepare(n); why != "" {
			m.node(Prepare, n, why, m.reaching(n)...)
			prepares = append(prepares, string(Prepare)+"/"+n.Name)
		}
	}
	loss := m.in.Loss()
	var forgets []string
	if loss == nil {
		forgets = m.forgets(nodes)
	}
	last, initialized := "", m.in.Initialized
	for _, n := range nodes {
		if _, unknown := m.in.Unknown[n.Site]; unknown || !n.Wanted {
			continue
		}
		fresh := m.steps[string(Prepare)+"/"+n.Name] != nil
		why := n.Stale
		if change != "" {
			why = change
		}
		reaching := m.reaching(n)
		if fresh {
			why, reaching = "not configured yet", nil // its first contact waits for that
		}
		if why != "" {
			m.node(Configure, n, why, slices.Concat(reaching, prepares, removals)...)
		}
		if m.in.Measuring || loss != nil || n.Registered && n.Current && !fresh && n.Lost == "" {
			continue
		}
		deps := append(reaching, string(Configure)+"/"+n.Name, string(Forget)+"/"+n.Name, last)
		switch {
		case !initialized && n.Role == cloud.ControlPlane:
			m.node(Init, n, "the cluster has no control plane yet", deps...)
			initialized, last = true, string(Init)+"/"+n.Name
		case n.Lost != "" && n.Current && !fresh:
			m.node(Rejoin, n, n.Lost, append(deps, forgets...)...)
			last = string(Rejoin) + "/" + n.Name
		default:
			m.node(Join, n, "not in Kubernetes", deps...)
			if n.Role == cloud.ControlPlane {
				for _, f := range forgets {
					m.depend(string(Join)+"/"+n.Name, f)
				}
				last = string(Join) + "/" + n.Name
			} else {
				m.workerAfterInit(n, nodes)
			}
		}
	}
	if loss != nil {
		m.recover(loss, nodes)
	} else {
		m.measures(nodes)
	}
	m.mendings(nodes)
}

// workerAfterInit lets a worker wait for the first member only, not for the whole control plane.
func (m *maker) workerAfterInit(n Node, nodes []Node) {
	s := m.steps[string(Join)+"/"+n.Name]
	kept := s.DependsOn[:0]
	for _, d := range s.DependsOn {
		if st := m.steps[d]; st.Kind == NodeKind && st.Action == Join {
			continue
		}
		kept = append(kept, d)
	}
	s.DependsOn = kept
	for _, c := range nodes {
		m.depend(s.ID, string(Init)+"/"+c.Name)
	}
}

// forgets takes those Nodes out of Kubernetes whose machine is gone, and returns the steps about control-plane members.
// These come one after another and before any new member: a dead member that still counts costs the next one its quorum.
func (m *maker) forgets(nodes []Node) []string {
	var out []string
	for _, n := range nodes {
		if _, unknown := m.in.Unknown[n.Site]; unknown || !n.Wanted || !n.Registered {
			continue
		}
		id := string(Forget) + "/" + n.Name
		fresh := m.steps[string(Prepare)+"/"+n.Name] != nil
		switch {
		case m.steps[id] != nil:
		case fresh || !n.Current:
			why := "the Node in Kubernetes is of a machine that is gone"
			if n.Failed != "" {
				why = "it did not become a member: " + n.Failed
			}
			m.node(Forget, n, why)
		case n.Lost != "":
			m.node(Drain, n, n.Lost)
			m.node(Forget, n, n.Lost, string(Drain)+"/"+n.Name)
		}
		if m.steps[id] == nil || n.Role != cloud.ControlPlane {
			continue
		}
		if len(out) > 0 {
			m.depend(id, out[len(out)-1])
		}
		out = append(out, id)
	}
	return out
}

// retire empties a node whose machine is replaced, and takes it out of Kubernetes first.
func (m *maker) retire(n Node) {
	if !n.Registered || !n.Current {
		m.retireFailed(n)
		return
	}
	for _, id := range []string{string(Replace) + "/" + n.Machine, string(Delete) + "/" + n.Machine} {
		if s := m.steps[id]; s != nil {
			m.node(Drain, n, "its machine is replaced")
			m.node(Forget, n, "its machine is replaced", string(Drain)+"/"+n.Name)
			m.afterForget(n)
			return
		}
	}
}

// retireFailed takes what a control-plane machine that is given up may have left behind out of etcd, before it goes.
func (m *maker) retireFailed(n Node) {
	if !n.Remake || n.Role != cloud.ControlPlane || !m.in.Initialized {
		return
	}
	for _, id := range []string{string(Replace) + "/" + n.Machine, string(Delete) + "/" + n.Machine} {
		if m.steps[id] != nil {
			m.node(Forget, n, "its machine is given up")
			m.afterForget(n)
			return
		}
	}
}

// leave takes a node out of Kubernetes before its machine goes, and returns the steps after which its peers forget it.
func (m *maker) leave(n Node) []string {
	if n.Registered {
		m.node(Drain, n, "not in spec")
		m.node(Forget, n, "not in spec", string(Drain)+"/"+n.Name)
		m.afterForget(n)
	}
	if machine := string(Delete) + "/" + n.Machine; m.steps[machine] != nil {
		return []string{machine}
	}
	return nil
}

// afterForget lets a node's machine, and what makes it reachable, stay until Kubernetes has forgotten it.
func (m *maker) afterForget(n Node) {
	for id, s := range m.steps {
		if (s.Action == Delete || s.Action == Replace) && s.Site == n.Site && (s.Key == n.Machine || slices.Contains(n.Reach, s.Key)) {
			m.depend(id, string(Forget)+"/"+n.Name)
		}
	}
}

// reaching are the steps without which a node's machine doesn't run, or can't be reached.
func (m *maker) reaching(n Node) []string {
	steps := []string{m.by[n.Machine]}
	for _, key := range n.Reach {
		steps = append(steps, m.by[key])
	}
	return steps
}

// needsPrepare says why a node has to be contacted anew.
func (m *maker) needsPrepare(n Node) string {
	if s := m.steps[m.by[n.Machine]]; s != nil && (s.Action == Create || s.Action == Replace) {
		return "a new machine"
	}
	got := m.got[n.Machine]
	switch {
	case got == nil:
		return ""
	case n.Prepared == "":
		return "not prepared yet"
	case n.Prepared != got.ID:
		return "another machine than before"
	}
	return ""
}

// meshChange says why every node's peers change, empty when they don't.
func (m *maker) meshChange(nodes []Node) string {
	added, removed := 0, 0
	for _, n := range nodes {
		switch {
		case !n.Wanted:
			removed++
		case m.needsPrepare(n) != "":
			added++
		}
	}
	switch {
	case added > 0 && removed > 0:
		return fmt.Sprintf("peers change: %d new, %d gone", added, removed)
	case added > 0:
		return fmt.Sprintf("peers change: %d new", added)
	case removed > 0:
		return fmt.Sprintf("peers change: %d gone", removed)
	}
	return ""
}

func (m *maker) node(a Action, n Node, reason string, deps ...string) {
	s := &Step{ID: string(a) + "/" + n.Name, Action: a, Kind: NodeKind, Key: n.Name, Site: n.Site, Reason: reason}
	m.steps[s.ID] = s
	for _, d := range deps {
		if d != "" {
			m.depend(s.ID, d)
		}
	}
}
