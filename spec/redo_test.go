package spec

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// workersOf is a cluster with groups of workers of given numbers.
func workersOf(groups map[string][]int) *Cluster {
	c := &Cluster{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "demo"}}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		w := Workers{Name: name, Site: "aws"}
		w.setNumbers(groups[name])
		c.Spec.Workers = append(c.Spec.Workers, w)
	}
	return c
}

func TestRedo(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		before, after, onto, want map[string][]int
	}{
		{"one more, with the name that was promised", map[string][]int{"web": {1, 2, 3}}, map[string][]int{"web": {1, 2, 3, 4}}, map[string][]int{"web": {1, 2}}, map[string][]int{"web": {1, 2, 4}}},
		{"one less", map[string][]int{"web": {1, 2}}, map[string][]int{"web": {2}}, map[string][]int{"web": {1, 2, 3}}, map[string][]int{"web": {2, 3}}},
		{"one less that never was", map[string][]int{"web": {1, 2, 3}}, map[string][]int{"web": {1, 2}}, map[string][]int{"web": {1, 2}}, map[string][]int{"web": {1, 2}}},
		{"another group", map[string][]int{"a": {1}, "web": {1}}, map[string][]int{"a": {1}, "web": {1, 2}}, map[string][]int{"a": {1, 2}, "web": nil}, map[string][]int{"a": {1, 2}, "web": {2}}},
		{"the last", map[string][]int{"web": {2}}, map[string][]int{"web": {}}, map[string][]int{"web": {2}}, map[string][]int{"web": nil}},
		{"a group that isn't there", map[string][]int{"a": {1}, "web": {1}}, map[string][]int{"a": {1}, "web": {1, 2}}, map[string][]int{"a": {1}}, nil},
	} {
		got, err := MovesOf(workersOf(tt.before), workersOf(tt.after)).Redo(workersOf(tt.onto))
		if tt.want == nil {
			if err == nil || err.Error() != "there is no group of workers named web without it" {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(NodeSites(workersOf(tt.want)), NodeSites(got)); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
}

// TestRedoOfItself: a step that is made again from where it was made leads to the same nodes, however it was made.
func TestRedoOfItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfNDistinct(rapid.IntRange(1, 9), 1, 6, func(n int) int { return n }).Draw(t, "numbers")
		slices.Sort(numbers)
		before := workersOf(map[string][]int{"web": numbers})
		after := before.Clone()
		if rapid.Bool().Draw(t, "add") {
			if _, err := AddWorkers(after, "web", rapid.IntRange(1, 3).Draw(t, "count")); err != nil {
				t.Fatal(err)
			}
		} else if err := RemoveWorker(after, rapid.SampledFrom(slices.Sorted(maps.Keys(NodeSites(before)))).Draw(t, "node")); err != nil {
			t.Fatal(err)
		}
		moves := MovesOf(before, after)
		again, err := moves.Redo(before)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(NodeSites(after), NodeSites(again)); diff != "" {
			t.Fatal(diff)
		}
		same, err := moves.Redo(after)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(NodeSites(after), NodeSites(same)); diff != "" {
			t.Fatalf("made twice it leads elsewhere:\n%s", diff)
		}
	})
}

func TestReapply(t *testing.T) {
	before, onto := workersOf(map[string][]int{"web": {2}}), workersOf(map[string][]int{"web": {1, 2}})
	after := before.Clone()
	after.Spec.Workers[0].Count = new(3)
	if diff := cmp.Diff(NodeSites(workersOf(map[string][]int{"web": {1, 2, 3}})), NodeSites(Reapply(before, after, onto))); diff != "" {
		t.Error(diff)
	}
	after.Spec.Workers[0].Exclude = []int{2} // the file says so itself
	if diff := cmp.Diff(NodeSites(workersOf(map[string][]int{"web": {1, 3, 4}})), NodeSites(Reapply(before, after, onto))); diff != "" {
		t.Error(diff)
	}
}

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		want string
		edit func(*Cluster)
	}{
		{"nothing new", func(c *Cluster) {}},
		{"workers web 3 → 5", func(c *Cluster) { c.Spec.Workers[0].Count = new(5) }},
		{"workers web 3 → 1", func(c *Cluster) { c.Spec.Workers[0].Count = new(1) }},
		{"workers web 3 → 0", func(c *Cluster) { c.Spec.Workers[0].Count = new(0) }},
		{"node demo-web-3 removed", func(c *Cluster) { _ = RemoveWorker(c, "demo-web-3") }},
		{"node demo-web-1 removed", func(c *Cluster) { _ = RemoveWorker(c, "demo-web-1") }},
		{"node demo-web-1 removed, node demo-web-4 added", func(c *Cluster) { c.Spec.Workers[0].Exclude = []int{1} }},
		{"3 nodes of workers web are others", func(c *Cluster) { c.Spec.Workers[0].Exclude = []int{1, 2, 3} }},
		{"workers batch added (2), workers web removed (3)", func(c *Cluster) {
			c.Spec.Workers = []Workers{{Name: "batch", Site: "aws", Count: new(2)}}
		}},
		{"site three added, access.api changed, network.maxRTT 10ms → 20ms", func(c *Cluster) {
			c.Spec.Sites = append(c.Spec.Sites, Site{Name: "three"})
			c.Spec.Access.API = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			c.Spec.Network.MaxRTT = Duration(20 * time.Millisecond)
		}},
		{"workers web labels changed, workers web taints changed", func(c *Cluster) {
			c.Spec.Workers[0].Labels = map[string]string{"a": "b"}
			c.Spec.Workers[0].Taints = []Taint{{Key: "k", Effect: "NoSchedule"}}
		}},
	} {
		before := workersOf(map[string][]int{"web": {1, 2, 3}})
		before.Spec.Network.MaxRTT = Duration(10 * time.Millisecond)
		after := before.Clone()
		tt.edit(after)
		if got := Summary(before, after); got != tt.want {
			t.Errorf("%q; want %q", got, tt.want)
		}
	}
	c := workersOf(map[string][]int{"web": {1}})
	c.Spec.Sites, c.Spec.ControlPlane.Replicas = []Site{{Name: "aws"}}, 3
	if got := Summary(nil, c); got != "a new cluster: 1 site, 4 nodes" {
		t.Errorf("a new one: %q", got)
	}
}
