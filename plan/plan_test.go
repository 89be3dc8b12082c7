package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
)

// thing is the spec of every kind in these tests.
type thing struct {
	Size  string   `json:"size"`
	Color string   `json:"color,omitempty"`
	Refs  []string `json:"refs,omitempty"`
}

var kinds = map[string][]cloud.KindInfo{
	"a": {{Kind: "net"}, {Kind: "subnet"}, {Kind: "group", Mutable: []string{"color"}}, {Kind: "machine", Machine: true, Mutable: []string{"color"}}, {Kind: "link"}},
}

func res(kind cloud.Kind, key, size string, deps ...string) cloud.Resource {
	return cloud.Resource{Key: key, Kind: kind, Site: "a", DependsOn: deps, Spec: &thing{Size: size, Refs: deps}}
}

func got(r cloud.Resource, id string) Observed {
	s := *r.Spec.(*thing)
	return Observed{Object: cloud.Object{Key: r.Key, Kind: r.Kind, ID: id, State: cloud.Ready, Spec: &s}, Site: r.Site, Recorded: true}
}

func lines(g Graph) []string {
	var out []string
	for _, s := range g.Steps {
		line := s.ID
		if len(s.DependsOn) > 0 {
			line += " after " + strings.Join(s.DependsOn, " ")
		}
		out = append(out, line+": "+s.Reason)
	}
	return append(out, g.Notes...)
}

var small = []cloud.Resource{res("net", "a-net", "1"), res("subnet", "a-sub", "1", "a-net"), res("machine", "a-m", "1", "a-sub"), res("link", "a-link", "1", "a-m")}

func TestMake(t *testing.T) {
	all := func() []Observed {
		var o []Observed
		for i, r := range small {
			o = append(o, got(r, fmt.Sprintf("id-%d", i)))
		}
		return o
	}
	for _, tt := range []struct {
		name string
		in   Input
		want []string
	}{
		{"nothing there", Input{Want: small}, []string{
			"create/a-net: missing", "create/a-sub after create/a-net: missing",
			"create/a-m after create/a-sub: missing", "create/a-link after create/a-m: missing"}},
		{"all there", Input{Want: small, Got: all()}, nil},
		{"all to go", Input{Got: all(), Deleting: true}, []string{
			"delete/a-link: the cluster is being deleted", "delete/a-m after delete/a-link: the cluster is being deleted",
			"delete/a-sub after delete/a-link delete/a-m: the cluster is being deleted",
			"delete/a-net after delete/a-link delete/a-m delete/a-sub: the cluster is being deleted"}},
		{"a machine terminated by hand", Input{Want: small, Got: func() []Observed {
			o := all()
			o[2].State = cloud.Gone
			return o[:3]
		}()}, []string{"create/a-m: terminated outside of Skyweld", "create/a-link after create/a-m: missing"}},
		{"a machine that a run removed, and that is wanted again", Input{Want: small, Got: func() []Observed {
			o := all()
			o[2].State, o[2].Recorded = cloud.Gone, false
			return o[:3]
		}()}, []string{"create/a-m: missing", "create/a-link after create/a-m: missing"}},
		{"an immutable field differs: what depends on it goes first and comes back", Input{Want: small, Got: func() []Observed {
			o := all()
			o[2].Spec.(*thing).Size = "2"
			return o
		}()}, []string{
			"delete/a-link: refs differs: have the old a-m, want the new one",
			"delete/a-m after delete/a-link: size differs: have 2, want 1",
			"create/a-m after delete/a-m: size differs: have 2, want 1",
			"create/a-link after create/a-m delete/a-link: refs differs: have the old a-m, want the new one"}},
		{"a stopped machine is started", Input{Want: small, Got: func() []Observed {
			o := all()
			o[2].State = cloud.Stopped
			return o
		}()}, []string{"update/a-m: state differs: have stopped, want running"}},
		{"a copy that nobody recorded is left alone", Input{Want: small, Got: func() []Observed {
			o := all()
			c := o[0]
			c.ID, c.Recorded = "copy", false
			return append(o, c)
		}()}, []string{"net copy carries the mark of a-net but was not made by this cluster: left alone"}},
		{"a double that an intent explains goes, the recorded one stays", Input{Want: small, Got: func() []Observed {
			o := all()
			c := o[0]
			c.ID, c.Recorded, c.Intended = "double", false, true
			return append([]Observed{c}, o...)
		}()}, []string{"delete/a-net/double: a second one under the same key; the recorded one stays"}},
		{"nothing is concluded about an unknown site", Input{Want: small, Unknown: map[string]string{"a": "no answer"}},
			[]string{"site a is unknown (no answer): nothing is planned there"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Kinds = kinds
			g, err := Make(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, lines(g)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNodes(t *testing.T) {
	want := []cloud.Resource{res("machine", "a-1", "1"), res("machine", "a-2", "1"), res("machine", "a-w", "1")}
	nodes := func() []Node {
		return []Node{
			{Name: "w", Site: "a", Role: cloud.Worker, Machine: "a-w", Wanted: true},
			{Name: "c1", Site: "a", Role: cloud.ControlPlane, Machine: "a-1", Wanted: true},
			{Name: "c2", Site: "a", Role: cloud.ControlPlane, Machine: "a-2", Wanted: true},
		}
	}
	settled := func() ([]Node, []Observed) {
		n := nodes()
		ids := map[string]string{"a-w": "i-w", "a-1": "i-1", "a-2": "i-2"}
		for i := range n {
			n[i].Prepared, n[i].Registered, n[i].Current = ids[n[i].Machine], true, true
		}
		return n, []Observed{got(want[0], "i-1"), got(want[1], "i-2"), got(want[2], "i-w")}
	}
	ids := func(in Input) []string {
		t.Helper()
		in.Kinds = kinds
		g, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range g.Steps {
			if s.Kind == NodeKind {
				out = append(out, strings.TrimSuffix(s.ID+" < "+strings.Join(s.DependsOn, " "), " < "))
			}
		}
		return out
	}
	check := func(name string, in Input, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, ids(in)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	check("a new cluster", Input{Want: want, Nodes: nodes()},
		"prepare/c1 < create/a-1", "prepare/c2 < create/a-2", "prepare/w < create/a-w",
		"configure/c1 < prepare/c1 prepare/c2 prepare/w", "configure/c2 < prepare/c1 prepare/c2 prepare/w",
		"configure/w < prepare/c1 prepare/c2 prepare/w",
		"init/c1 < configure/c1", "join/c2 < configure/c2 init/c1", "join/w < configure/w init/c1")
	n, o := settled()
	check("nothing to do", Input{Want: want, Got: o, Nodes: n, Initialized: true})
	o[2].State = cloud.Gone
	check("a worker terminated by hand", Input{Want: want, Got: o, Nodes: n, Initialized: true},
		"prepare/w < create/a-w", "configure/c1 < prepare/w", "configure/c2 < prepare/w", "configure/w < prepare/w",
		"forget/w", "join/w < configure/w forget/w")
	o[0].State = cloud.Stopped
	check("and another machine stopped", Input{Want: want, Got: o, Nodes: n, Initialized: true},
		"prepare/w < create/a-w", "configure/c1 < prepare/w update/a-1", "configure/c2 < prepare/w", "configure/w < prepare/w",
		"forget/w", "join/w < configure/w forget/w")
	n, o = settled()
	n[0].Wanted = false
	check("a worker to be removed", Input{Want: want[:2], Got: o, Nodes: n, Initialized: true},
		"drain/w", "forget/w < drain/w", "configure/c1 < delete/a-w", "configure/c2 < delete/a-w")
	check("a delete of all", Input{Got: o, Nodes: n, Initialized: true, Deleting: true})
}

// TestConverges applies plans to a model of a cloud: whatever is there, one plan makes it as wanted, the next is empty,
// no step runs before what it depends on, and nothing foreign is touched.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := kinds["a"]
		var all []cloud.Resource
		for layer, k := range order {
			for i := range rapid.IntRange(1, 3).Draw(t, "count") {
				var deps []string
				for _, r := range all {
					if layerOf(r.Kind) < layer && rapid.Bool().Draw(t, "dep") {
						deps = append(deps, r.Key)
					}
				}
				all = append(all, res(k.Kind, fmt.Sprintf("a-%s-%d", k.Kind, i), "1", deps...))
			}
		}
		model := map[string]Observed{}
		for i, r := range all {
			o := got(r, fmt.Sprintf("id-%d", i))
			switch rapid.IntRange(0, 5).Draw(t, "fate") {
			case 0:
				continue
			case 1:
				o.Spec.(*thing).Size = "drifted"
			case 2:
				o.Spec.(*thing).Color = "drifted"
			case 3:
				o.State = cloud.Stopped
			}
			model[o.ID] = o
		}
		want := all
		if rapid.Bool().Draw(t, "delete") {
			want = nil
		}
		model["copy"] = Observed{Object: cloud.Object{Key: all[0].Key, Kind: all[0].Kind, ID: "copy", State: cloud.Ready, Spec: &thing{}}, Site: "a"}
		in := Input{Kinds: kinds, Want: want, Got: values(model), Deleting: want == nil}
		g, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Make(in)
		if err != nil || !slices.Equal(lines(g), lines(again)) {
			t.Fatalf("the same input gave another plan: %v", err)
		}
		done := map[string]bool{}
		next := 100
		for _, s := range g.Steps {
			for _, d := range s.DependsOn {
				if !done[d] {
					t.Fatalf("%s comes before %s", s.ID, d)
				}
			}
			done[s.ID] = true
			if s.Got != nil && s.Got.ID == "copy" {
				t.Fatalf("%s touches a copy", s.ID)
			}
			if s.Action == Delete || s.Action == Replace {
				for _, o := range model {
					if slices.Contains(o.Spec.(*thing).Refs, s.Key) && o.ID != "copy" && layerOf(o.Kind) > layerOf(s.Kind) && !updates(g, o.Key) {
						t.Fatalf("%s while %s still refers to it", s.ID, o.Key)
					}
				}
				delete(model, s.Got.ID)
			}
			switch s.Action {
			case Create, Replace:
				next++
				o := got(*s.Want, fmt.Sprintf("id-%d", next))
				model[o.ID] = o
			case Update:
				o := got(*s.Want, s.Got.ID)
				model[s.Got.ID] = o
			}
		}
		in.Got = values(model)
		g, err = Make(in)
		if err != nil || len(g.Steps) != 0 {
			t.Fatalf("a second plan isn't empty: %v %v", lines(g), err)
		}
	})
}

func updates(g Graph, key string) bool {
	return slices.ContainsFunc(g.Steps, func(s Step) bool { return s.Key == key && s.Action == Update })
}

func layerOf(k cloud.Kind) int {
	return slices.IndexFunc(kinds["a"], func(i cloud.KindInfo) bool { return i.Kind == k })
}

func values(m map[string]Observed) []Observed {
	out := make([]Observed, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, m[k])
	}
	return out
}

func TestWalk(t *testing.T) {
	g := Graph{Steps: []Step{{ID: "a"}, {ID: "b", DependsOn: []string{"a"}}, {ID: "c"}, {ID: "d", DependsOn: []string{"b", "c"}}, {ID: "e", DependsOn: []string{"c"}}}}
	states := map[string]State{}
	err := Walk(context.Background(), g, 2, func(_ context.Context, s Step) error {
		if s.ID == "b" {
			return errors.New("broken")
		}
		return nil
	}, func(s Step, st State, _ error) { states[s.ID] = st })
	want := map[string]State{"a": Done, "b": Failed, "c": Done, "d": Skipped, "e": Done}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
	if err == nil || err.Error() != "b: broken" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	states = map[string]State{}
	err = Walk(ctx, g, 1, func(context.Context, Step) error { cancel(); return nil }, func(s Step, st State, _ error) { states[s.ID] = st })
	if !errors.Is(err, context.Canceled) || states["a"] != Done || states["d"] != Skipped {
		t.Errorf("stopped walk: %v %v", err, states)
	}
}

// TestListsSayWhatDiffers: of a list the reason has the members that differ, in words.
func TestListsSayWhatDiffers(t *testing.T) {
	rule := func(port int) map[string]any {
		return map[string]any{"from": port, "to": port, "protocol": "tcp", "peer": ""}
	}
	type rules struct {
		Ingress []any `json:"ingress"`
	}
	for _, tt := range []struct {
		have, want []any
		reason     string
	}{
		{[]any{rule(1)}, []any{rule(1), rule(22)}, "ingress lacks (from 22, peer \"\", protocol tcp, to 22)"},
		{[]any{rule(1), rule(22)}, []any{rule(1)}, "ingress has (from 22, peer \"\", protocol tcp, to 22) too many"},
		{[]any{"a", "b"}, []any{"a", "c"}, "ingress differs: have b, want c"},
		{[]any{"a", "b"}, []any{"b", "a"}, "ingress differs in order or number"},
		{nil, []any{"a"}, "ingress differs: have nothing, want [\"a\"]"},
	} {
		diffs, err := Diff(rules{tt.want}, rules{tt.have})
		if err != nil {
			t.Fatal(err)
		}
		if got := reasons(diffs); got != tt.reason {
			t.Errorf("have %v, want %v: %q, want %q", tt.have, tt.want, got, tt.reason)
		}
	}
}
