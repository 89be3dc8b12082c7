package paper_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

func TestWorld(t *testing.T) {
	w := paper.New()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m, n := world.Machine{ID: "m", Hostname: "one"}, world.Network{ID: "n", Region: "there"}
	must(w.SetNetwork(t.Context(), n))
	must(w.StartMachine(t.Context(), m))
	if diff := cmp.Diff(map[string]world.Network{"n": n}, w.Networks()); diff != "" {
		t.Errorf("networks (- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]world.Machine{"m": m}, w.Machines()); diff != "" || w.MachineState("m") != world.Running {
		t.Errorf("the machine is %s (- want, + got):\n%s", w.MachineState("m"), diff)
	}
	must(w.StopMachine(t.Context(), "m"))
	if len(w.Machines()) != 1 || w.MachineState("m") != world.Stopped {
		t.Errorf("the machine is %s of %v after its stop", w.MachineState("m"), w.Machines())
	}
	must(w.DestroyMachine(t.Context(), "m"))
	must(w.RemoveNetwork(t.Context(), "n"))
	if len(w.Machines())+len(w.Networks()) != 0 || w.MachineState("m") != world.Stopped {
		t.Errorf("left: %v %v", w.Machines(), w.Networks())
	}
}

func TestPools(t *testing.T) {
	pools := paper.Pools()
	a, b := pools("a"), pools("b")
	if pools("a") != a || a == b || a.Prefix().Overlaps(b.Prefix()) || !netip.MustParsePrefix("198.18.0.0/15").Overlaps(b.Prefix()) {
		t.Errorf("the pools are %s and %s", a.Prefix(), b.Prefix())
	}
}
