package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// phaseKinds are kinds whose order is that of clouds with the strangest one: addresses that go before their machines.
var phaseKinds = []cloud.KindInfo{
	{Kind: "net"}, {Kind: "fw"}, {Kind: "ip", Lasting: true}, {Kind: "vm", Machine: true}, {Kind: "assoc"}, {Kind: "reserved", Lasting: true},
}

func teardownInput(sites ...string) Input {
	in := Input{Deleting: true, Kinds: map[string][]cloud.KindInfo{}, Kubernetes: true}
	for _, site := range sites {
		in.Kinds[site] = phaseKinds
		add := func(kind cloud.Kind, name string) {
			in.Got = append(in.Got, Observed{Site: site, Recorded: true, Object: cloud.Object{Kind: kind, Key: site + "-" + name, ID: site + name, State: cloud.Ready}})
		}
		add("net", "net")
		add("fw", "fw")
		for name, role := range map[string]cloud.Role{"cp": cloud.ControlPlane, "web": cloud.Worker} {
			for _, kind := range []cloud.Kind{"ip", "vm", "assoc", "reserved"} {
				add(kind, string(kind)+"-"+name)
			}
			in.Nodes = append(in.Nodes, Node{Name: site + name, Site: site, Role: role, Machine: site + "-vm-" + name, Reach: []string{site + "-ip-" + name, site + "-assoc-" + name, site + "-reserved-" + name}})
		}
		in.Inventories = append(in.Inventories, Inventory{Key: "acc/" + site, Site: site, Sites: []string{site}, Taken: true})
	}
	return in
}

func TestTeardownPhases(t *testing.T) {
	g, err := Make(teardownInput("a"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range g.Steps {
		got = append(got, string(s.Phase)+": "+s.ID)
	}
	want := []string{
		"freeze: freeze/load-balancers-and-volumes",
		"what Kubernetes made: clear/load-balancers-and-volumes",
		"addresses and disks: delete/a-reserved-web",
		"workers: delete/a-assoc-web",
		"workers: delete/a-vm-web",
		"addresses and disks: delete/a-reserved-cp",
		"control plane: delete/a-assoc-cp",
		"control plane: delete/a-vm-cp",
		"addresses and disks: delete/a-ip-cp",
		"addresses and disks: delete/a-ip-web",
		"network: delete/a-fw",
		"network: delete/a-net",
		"keys and records: record/acc/a",
	}
	slices.Sort(want[8:10])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, s := range g.Steps {
		switch {
		case s.ID == "delete/a-vm-cp" && (!slices.Contains(s.After, "delete/a-vm-web") || slices.Contains(s.DependsOn, "delete/a-vm-web")):
			t.Errorf("%s depends on %v and comes after %v", s.ID, s.DependsOn, s.After)
		case s.Action == Record && len(s.DependsOn) != len(g.Steps)-3:
			t.Errorf("%s depends on %v", s.ID, s.DependsOn)
		}
	}
}

// TestTeardownWalk lets each step of a deletion fail in turn: what doesn't use what it was to remove goes all the same.
func TestTeardownWalk(t *testing.T) {
	g, err := Make(teardownInput("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range g.Steps {
		var mu sync.Mutex
		state := map[string]State{}
		var order []string
		err := Walk(t.Context(), g, 3, func(_ context.Context, s Step) error {
			if s.ID == broken.ID {
				return errors.New("held")
			}
			return nil
		}, func(s Step, st State, _ error) {
			mu.Lock()
			defer mu.Unlock()
			if state[s.ID] = st; st == Running {
				order = append(order, s.ID)
			}
		})
		if err == nil {
			t.Fatalf("%s: no error", broken.ID)
		}
		for _, s := range g.Steps {
			switch st := state[s.ID]; {
			case s.ID == broken.ID:
			case st != Done && st != Skipped:
				t.Errorf("%s failed, and %s is %q", broken.ID, s.ID, st)
			case st == Skipped && s.Site != broken.Site:
				t.Errorf("%s failed, and %s of another site is skipped", broken.ID, s.ID)
			case st == Skipped && (broken.Kind == KubernetesKind || broken.Phase == PhaseNetwork && s.Phase != PhaseNetwork && s.Phase != PhaseRecords):
				t.Errorf("%s failed, and %s is skipped", broken.ID, s.ID)
			}
		}
		if len(order) < 2 || order[0] != g.Steps[0].ID || order[1] != g.Steps[1].ID {
			t.Errorf("%s: the order is %v", broken.ID, order)
		}
	}
}

// TestWalkAfter has steps that only come after others, which fail or are skipped.
func TestWalkAfter(t *testing.T) {
	g := Graph{Steps: []Step{
		{ID: "a"}, {ID: "b", DependsOn: []string{"a"}}, {ID: "c", After: []string{"a", "b"}}, {ID: "d", DependsOn: []string{"c"}}, {ID: "e", After: []string{"d"}},
	}}
	for fails, want := range map[string]string{"": "abcde", "a": "acde", "b": "abcde", "c": "abce", "d": "abcde"} {
		ran := ""
		_ = Walk(t.Context(), g, 4, func(_ context.Context, s Step) error {
			if s.ID == fails {
				return errors.New("no")
			}
			return nil
		}, func(s Step, st State, _ error) {
			if st == Running {
				ran += s.ID
			}
		})
		if ran != want {
			t.Errorf("with %q failing %s ran, want %s", fails, ran, want)
		}
	}
}

func TestInventories(t *testing.T) {
	make2 := func(change func(*Input)) []string {
		in := Input{Kinds: map[string][]cloud.KindInfo{"a": phaseKinds, "b": phaseKinds}, Inventories: []Inventory{{Key: "acc/r", Site: "a", Sites: []string{"a", "b"}}}}
		for _, site := range []string{"a", "b"} {
			in.Want = append(in.Want, cloud.Resource{Key: site + "-net", Kind: "net", Site: site}, cloud.Resource{Key: site + "-fw", Kind: "fw", Site: site, DependsOn: []string{site + "-net"}})
		}
		change(&in)
		g, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range g.Steps {
			out = append(out, strings.TrimSuffix(fmt.Sprintf("%s<%s", s.ID, strings.Join(s.DependsOn, ",")), "<"))
		}
		return out
	}
	for name, c := range map[string]struct {
		change func(*Input)
		want   []string
	}{
		"before anything is made": {func(*Input) {}, []string{
			"record/acc/r", "create/a-net<record/acc/r", "create/b-net<record/acc/r", "create/a-fw<create/a-net,record/acc/r", "create/b-fw<create/b-net,record/acc/r",
		}},
		"taken": {func(in *Input) { in.Inventories[0].Taken = true }, []string{"create/a-net", "create/b-net", "create/a-fw<create/a-net", "create/b-fw<create/b-net"}},
		"nothing to make": {func(in *Input) {
			for _, r := range in.Want {
				in.Got = append(in.Got, Observed{Site: r.Site, Recorded: true, Object: cloud.Object{Kind: r.Kind, Key: r.Key, ID: r.Key, State: cloud.Ready}})
			}
		}, nil},
		"an unknown site":       {func(in *Input) { in.Unknown = map[string]string{"a": "down", "b": "down"} }, nil},
		"a deletion of nothing": {func(in *Input) { in.Deleting, in.Want = true, nil }, []string{"record/acc/r"}},
		"a deletion, taken":     {func(in *Input) { in.Deleting, in.Want, in.Inventories[0].Taken = true, nil, true }, nil},
	} {
		if diff := cmp.Diff(c.want, make2(c.change)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
