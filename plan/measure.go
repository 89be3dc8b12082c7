package plan

import (
	"fmt"

	"github.com/skyweld/skyweld/cloud"
)

// RoundTripKind is the kind of steps that are about the way between two sites.
const RoundTripKind cloud.Kind = "round-trip"

// Way is the way between two sites of the cluster.
type Way struct {
	// A and B are the sites' names.
	A, B string
	// Why says, in words, why it is to be measured; empty for one that was measured and may be used.
	Why string
}

// Key is that of the way's step.
func (w Way) Key() string { return w.A + "/" + w.B }

// measures has the ways between sites measured when their machines are joined to the network, before Kubernetes depends on
// them: all of a new cluster before its control plane is made, those to a new site before its first machine joins. Where two
// sites have members already, the cluster lives with what is between them.
func (m *maker) measures(nodes []Node) {
	type stand struct {
		nodes  []string
		member bool
	}
	sites := map[string]*stand{}
	for _, n := range nodes {
		if _, unknown := m.in.Unknown[n.Site]; unknown || !n.Wanted {
			continue
		}
		if sites[n.Site] == nil {
			sites[n.Site] = &stand{}
		}
		at := sites[n.Site]
		at.nodes, at.member = append(at.nodes, n.Name), at.member || n.Registered
	}
	for _, w := range m.in.Ways {
		a, b := sites[w.A], sites[w.B]
		if w.Why == "" || a == nil || b == nil {
			continue
		}
		var waiting []string
		for _, n := range nodes {
			if m.in.Measuring {
				break
			}
			if !m.in.Initialized {
				waiting = append(waiting, string(Init)+"/"+n.Name)
			} else if at := sites[n.Site]; (at == a || at == b) && !at.member {
				waiting = append(waiting, string(Join)+"/"+n.Name)
			}
		}
		m.measure(w, waiting, append(append([]string(nil), a.nodes...), b.nodes...))
	}
}

// measure adds the step for one way, if anything waits for it, or measuring is what it is all about.
func (m *maker) measure(w Way, waiting, nodes []string) {
	s := &Step{ID: string(Measure) + "/" + w.Key(), Action: Measure, Kind: RoundTripKind, Key: w.Key(), Site: w.A, Reason: w.Why}
	if m.in.Measuring {
		m.steps[s.ID] = s
	}
	for _, id := range waiting {
		if m.steps[id] != nil {
			m.steps[s.ID] = s
			m.depend(id, s.ID)
		}
	}
	for _, n := range nodes {
		m.depend(s.ID, fmt.Sprintf("%s/%s", Configure, n))
	}
}
