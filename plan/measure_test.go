package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// TestMeasures has the ways between sites measured where something is about to depend on them, and nowhere else.
func TestMeasures(t *testing.T) {
	node := func(site, name string, role cloud.Role, member bool) Node {
		return Node{Name: name, Site: site, Role: role, Machine: name, Wanted: true, Prepared: name, Registered: member, Current: member}
	}
	plane := func(site string, member bool) Node { return node(site, site+"-cp", cloud.ControlPlane, member) }
	worker := func(site string, member bool) Node { return node(site, site+"-web", cloud.Worker, member) }
	way := func(a, b string) Way { return Way{A: a, B: b, Why: "not measured yet"} }
	measured := Way{A: "one", B: "two"}
	stale := func(n Node) Node { n.Stale = "not configured yet"; return n }
	for _, c := range []struct {
		name        string
		initialized bool
		nodes       []Node
		ways        []Way
		unknown     string
		want        []string // "step: what waits for it"
	}{
		{"a new cluster", false, []Node{stale(plane("one", false)), stale(worker("two", false))}, []Way{way("one", "two")}, "",
			[]string{"measure/one/two: init/one-cp"}},
		{"only to measure", false, []Node{stale(worker("one", false)), stale(worker("two", false))}, []Way{way("one", "two")}, "", []string{"measure/one/two: "}},
		{"only to measure, and that is done", false, []Node{worker("one", false), worker("two", false)}, []Way{measured}, "", nil},
		{"three sites", false, []Node{plane("one", false), plane("two", false), worker("three", false)}, []Way{way("one", "two"), way("one", "three"), way("two", "three")}, "",
			[]string{"measure/one/three: init/one-cp", "measure/one/two: init/one-cp", "measure/two/three: init/one-cp"}},
		{"one is measured", false, []Node{plane("one", false), plane("two", false)}, []Way{measured}, "", nil},
		{"nobody asks", false, []Node{plane("one", false), plane("two", false)}, nil, "", nil},
		{"a cluster that is there", true, []Node{plane("one", true), worker("two", true)}, []Way{way("one", "two")}, "", nil},
		{"a site that has no machines", false, []Node{plane("one", false)}, []Way{way("one", "two")}, "", nil},
		{"a site that can't be asked", false, []Node{plane("one", false), worker("two", false)}, []Way{way("one", "two")}, "two", nil},
		{"a new site", true, []Node{plane("one", true), worker("two", false), worker("one", false)}, []Way{way("one", "two")}, "",
			[]string{"measure/one/two: join/two-web"}},
		{"a new site, and what was there before it", true, []Node{plane("one", true), worker("two", true), worker("three", false)},
			[]Way{way("one", "two"), way("one", "three"), way("two", "three")}, "",
			[]string{"measure/one/three: join/three-web", "measure/two/three: join/three-web"}},
		{"another worker at a site", true, []Node{plane("one", true), worker("two", true), node("two", "two-web-2", cloud.Worker, false)}, []Way{way("one", "two")}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Cluster: "demo", Initialized: c.initialized, Answers: c.initialized, Nodes: c.nodes, Ways: c.ways, Unknown: map[string]string{}}
			in.Measuring = strings.HasPrefix(c.name, "only to measure")
			if c.unknown != "" {
				in.Unknown[c.unknown] = "away"
			}
			g, err := Make(in)
			if err != nil {
				t.Fatal(err)
			}
			var have []string
			for _, s := range g.Steps {
				if s.Kind != RoundTripKind {
					continue
				}
				var waits []string
				for _, other := range g.Steps {
					if slices.Contains(other.DependsOn, s.ID) {
						waits = append(waits, other.ID)
					}
				}
				have = append(have, s.ID+": "+strings.Join(waits, " "))
				for _, n := range c.nodes {
					if id := "configure/" + n.Name; n.Stale != "" && !slices.Contains(s.DependsOn, id) {
						t.Errorf("%s doesn't wait for %s", s.ID, id)
					}
				}
			}
			slices.Sort(have)
			if !slices.Equal(have, c.want) {
				t.Errorf("have %q, want %q", have, c.want)
			}
		})
	}
}
