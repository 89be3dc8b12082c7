package plan

import (
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// Phase is a part of a deletion, in words for people.
type Phase string

// The phases of a deletion, in their order.
const (
	PhaseFreeze       Phase = "freeze"
	PhaseKubernetes   Phase = "what Kubernetes made"
	PhaseWorkers      Phase = "workers"
	PhaseControlPlane Phase = "control plane"
	PhaseDisks        Phase = "addresses and disks"
	PhaseNetwork      Phase = "network"
	PhaseRecords      Phase = "keys and records"
)

// Phases are all of them in their order.
var Phases = []Phase{PhaseFreeze, PhaseKubernetes, PhaseWorkers, PhaseControlPlane, PhaseDisks, PhaseNetwork, PhaseRecords}

// Inventory is the taking of one account's inventory in one region, for the receipt: before the first creation there, and
// after the last removal.
type Inventory struct {
	// Key is "<account>/<region>", Site one of the sites there and Sites all of them.
	Key, Site string
	Sites     []string
	// Taken says that it is on record already: of a deletion the one afterwards, else the one before.
	Taken bool
}

// teardown gives the steps of a deletion their phases. Between phases the order is a wish and no condition: what can't be
// removed keeps only that from being removed which it uses.
func (m *maker) teardown() {
	if !m.in.Deleting {
		return
	}
	deletes := sortedKeys(m.steps)
	owners := m.owners()
	var workers []string
	for _, id := range deletes {
		s := m.steps[id]
		if s.Phase = m.phase(s, owners[s.Key]); s.Phase == PhaseWorkers && owners[s.Key].Name != "" {
			workers = append(workers, id)
		}
	}
	if m.in.Kubernetes {
		freeze := m.special(Freeze, PhaseFreeze, KubernetesKind, kubernetesKey, "", "nothing new is to be made")
		cleared := m.special(Clear, PhaseKubernetes, KubernetesKind, kubernetesKey, "", "load balancers and volumes go while there is somebody to remove them")
		cleared.After = []string{freeze.ID}
		for _, id := range deletes {
			m.steps[id].After = append(m.steps[id].After, cleared.ID)
		}
	}
	for _, id := range deletes {
		if s := m.steps[id]; s.Phase == PhaseControlPlane {
			s.After = append(s.After, workers...)
		}
	}
	for _, i := range m.in.Inventories {
		m.recordAfter(i, deletes)
	}
}

// kubernetesKey is the key of the steps about the whole of a cluster's Kubernetes.
const kubernetesKey = "load-balancers-and-volumes"

// special makes a step that is about no resource and no node.
func (m *maker) special(a Action, phase Phase, kind cloud.Kind, key, site, reason string) *Step {
	s := &Step{ID: string(a) + "/" + key, Action: a, Kind: kind, Key: key, Site: site, Reason: reason, Phase: phase}
	m.steps[s.ID] = s
	return s
}

// owners are the nodes that resources are, or serve, by the resources' keys.
func (m *maker) owners() map[string]Node {
	out := map[string]Node{}
	for _, n := range m.in.Nodes {
		for _, key := range append([]string{n.Machine}, n.Reach...) {
			if key != "" {
				out[key] = n
			}
		}
	}
	return out
}

// phase is that in which a resource is removed. A machine of which nobody knows what it was counts as a worker.
func (m *maker) phase(s *Step, owner Node) Phase {
	kinds := m.in.Kinds[s.Site]
	machine := slices.IndexFunc(kinds, func(k cloud.KindInfo) bool { return k.Machine })
	at := m.layer(s.Site, s.Kind)
	switch {
	case at < len(kinds) && kinds[at].Lasting:
		return PhaseDisks
	case at < machine:
		return PhaseNetwork
	case owner.Role == cloud.ControlPlane:
		return PhaseControlPlane
	}
	return PhaseWorkers
}

// recordAfter has an inventory taken when all that is to go at its sites is gone.
func (m *maker) recordAfter(i Inventory, deletes []string) {
	var here []string
	for _, id := range deletes {
		if slices.Contains(i.Sites, m.steps[id].Site) {
			here = append(here, id)
		}
	}
	if i.Taken && len(here) == 0 || m.anyUnknown(i.Sites) {
		return
	}
	m.special(Record, PhaseRecords, AccountKind, i.Key, i.Site, "what the account holds after the cluster").DependsOn = here
}

// recordBefore has the inventories taken that are missing, before anything is made at their sites.
func (m *maker) recordBefore() {
	if m.in.Deleting {
		return
	}
	for _, i := range m.in.Inventories {
		var makes []*Step
		for _, id := range sortedKeys(m.steps) {
			if s := m.steps[id]; s.Kind != NodeKind && s.Want != nil && s.Action != Update && slices.Contains(i.Sites, s.Site) {
				makes = append(makes, s)
			}
		}
		if i.Taken || len(makes) == 0 || m.anyUnknown(i.Sites) {
			continue
		}
		record := m.special(Record, "", AccountKind, i.Key, i.Site, "what the account holds before the cluster")
		for _, s := range makes {
			s.DependsOn = append(s.DependsOn, record.ID)
		}
	}
}

func (m *maker) anyUnknown(sites []string) bool {
	return slices.ContainsFunc(sites, func(s string) bool { _, unknown := m.in.Unknown[s]; return unknown })
}

// wishes drops what steps would rather come after where that contradicts the order in which they come.
func wishes(steps []Step) {
	seen := map[string]bool{}
	for i := range steps {
		steps[i].After = slices.DeleteFunc(steps[i].After, func(id string) bool { return !seen[id] })
		slices.Sort(steps[i].After)
		seen[steps[i].ID] = true
	}
}
