package plan

import (
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// accessFirst lets what decides who reaches machines come first at each site: changes of it that wait for nothing else
// before every other step there, all of it before the steps on nodes. A rule that was lost must not keep the engine from
// the machines on which the rest of the plan is done.
func (m *maker) accessFirst() {
	if m.in.Deleting {
		return
	}
	first, all := map[string][]string{}, map[string][]string{}
	for _, id := range sortedKeys(m.steps) {
		s := m.steps[id]
		if s.Kind == NodeKind || s.Want == nil || !m.isAccess(s.Site, s.Kind) {
			continue
		}
		all[s.Site] = append(all[s.Site], id)
		if s.Action != Replace && len(s.DependsOn) == 0 {
			first[s.Site] = append(first[s.Site], id)
		}
	}
	for _, id := range sortedKeys(m.steps) {
		s := m.steps[id]
		if slices.Contains(first[s.Site], id) {
			continue
		}
		before := first[s.Site]
		if s.Kind == NodeKind && (s.Action == Prepare || s.Action == Configure || s.Action == Init || s.Action == Join) {
			before = all[s.Site]
		}
		for _, a := range before {
			m.depend(id, a)
		}
	}
}

func (m *maker) isAccess(site string, kind cloud.Kind) bool {
	for _, k := range m.in.Kinds[site] {
		if k.Kind == kind {
			return k.Access
		}
	}
	return false
}

// Access is the part of a plan that only changes who reaches what is there already.
func Access(g Graph, kinds map[string][]cloud.KindInfo) Graph {
	m := maker{in: Input{Kinds: kinds}}
	out := Graph{}
	for _, s := range g.Steps {
		if s.Kind != NodeKind && s.Action == Update && len(s.DependsOn) == 0 && m.isAccess(s.Site, s.Kind) {
			out.Steps = append(out.Steps, s)
		}
	}
	return out
}

// failedField stands for a machine that is given up; no spec has a field of that name.
const failedField = "machine"

// failed says why the machine under a key is given up, empty when it is not.
func (m *maker) failed(key string) string {
	if why := m.ill.giveUp[key]; why != "" {
		return why
	}
	for _, n := range m.in.Nodes {
		if n.Machine == key && n.Wanted && n.Remake && !n.Current {
			return n.Failed
		}
	}
	return ""
}
