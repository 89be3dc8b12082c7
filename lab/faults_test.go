package lab

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/machine"
	"github.com/skyweld/skyweld/lab/world"
)

// fakeWorld remembers how networks were set last; its other methods are for nobody to call.
type fakeWorld struct {
	world.Physical
	mu       sync.Mutex
	networks map[string]world.Network
	sets     int
	running  map[string]bool
}

func (f *fakeWorld) SetNetwork(_ context.Context, n world.Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks[n.ID] = n
	f.sets++
	return nil
}

func (f *fakeWorld) RemoveNetwork(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.networks, id)
	return nil
}

func (f *fakeWorld) StartMachine(_ context.Context, m world.Machine) error {
	f.running[m.ID] = true
	return nil
}

func (f *fakeWorld) DestroyMachine(_ context.Context, id string) error {
	delete(f.running, id)
	return nil
}

func (f *fakeWorld) MachineState(id string) world.MachineState {
	if f.running[id] {
		return world.Running
	}
	return world.Stopped
}

func (f *fakeWorld) outbound(id string) []world.Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.networks[id].NICs[0].Outbound
}

func newFaulty(t *testing.T, rules ...fault.Rule) (faulty, *fakeWorld) {
	t.Helper()
	set := fault.NewSet()
	for _, r := range rules {
		r.Cloud = "aws"
		if _, err := set.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	f := &fakeWorld{networks: map[string]world.Network{}, running: map[string]bool{}}
	return faulty{f, newSuffering(set), "aws"}, f
}

func TestBrokenMachines(t *testing.T) {
	f, _ := newFaulty(t,
		fault.Rule{Kind: fault.NoSSH, Machine: "web-*", Times: 1},
		fault.Rule{Kind: fault.KubeadmFails, Machine: "i-2"},
		fault.Rule{Kind: fault.NoBoot, Machine: "ip-10-*"},
	)
	for _, c := range []struct {
		m    world.Machine
		want machine.Broken
	}{
		{world.Machine{ID: "i-1", Name: "web-1"}, machine.Broken{Taken: []int{22}}},
		{world.Machine{ID: "i-2", Name: "web-2"}, machine.Broken{Taken: []int{10250}}}, // no-ssh has struck its one time
		{world.Machine{ID: "i-3", Hostname: "ip-10-0-0-1"}, machine.Broken{Hang: true}},
		{world.Machine{ID: "i-4"}, machine.Broken{}},
	} {
		for range 2 { // the second time it runs already
			if err := f.StartMachine(t.Context(), c.m); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(c.want, f.broken(c.m.ID)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.m.ID, diff)
		}
	}
	if err := f.DestroyMachine(t.Context(), "i-1"); err != nil || f.broken("i-1").Taken != nil {
		t.Errorf("a destroyed machine is remembered: %v", err)
	}
}

// TestNoInternet holds that a machine without internet loses the way out only, until its fault goes, whatever the cloud
// does to its network meanwhile.
func TestNoInternet(t *testing.T) {
	f, real := newFaulty(t, fault.Rule{Kind: fault.NoInternet, Machine: "web-1", Times: 1})
	n := world.Network{ID: "n", NICs: []world.NIC{{ID: "e", Machine: "i-1", Internet: true, Outbound: []world.Rule{
		{Priority: 100, Allow: true, Remote: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
	}}}}
	confined := []world.Rule{{Priority: -2, Allow: true, Remote: inside}, {Priority: -1, Remote: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, n.NICs[0].Outbound[0]}
	compare := func(want []world.Rule) {
		t.Helper()
		if diff := cmp.Diff(want, real.outbound("n"), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("outbound (-want +got):\n%s", diff)
		}
	}
	set := func() {
		t.Helper()
		if err := f.SetNetwork(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	set() // the network comes before the machine
	compare(n.NICs[0].Outbound)
	if err := f.StartMachine(t.Context(), world.Machine{ID: "i-1", Name: "web-1"}); err != nil {
		t.Fatal(err)
	}
	compare(confined)
	set()
	compare(confined)
	f.set.Remove(1)
	if err := f.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	compare(n.NICs[0].Outbound)
	before := real.sets
	if err := f.refresh(t.Context()); err != nil || real.sets != before {
		t.Errorf("a network was set anew for nothing: %v", err)
	}
	if err := f.RemoveNetwork(t.Context(), "n"); err != nil || f.refresh(t.Context()) != nil || len(real.networks) != 0 {
		t.Errorf("a removed network came back: %v", err)
	}
}

// TestCutOff holds that a cloud's networks are cut off when their cloud or region is, those that come later too, and no
// longer than that.
func TestCutOff(t *testing.T) {
	f, real := newFaulty(t)
	set := func(id, region string) {
		t.Helper()
		if err := f.SetNetwork(t.Context(), world.Network{ID: id, Cloud: "aws", Region: region}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(east, west, later bool) {
		t.Helper()
		if err := f.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := []bool{real.networks["e"].Cut, real.networks["w"].Cut, real.networks["l"].Cut}; !slices.Equal(got, []bool{east, west, later}) {
			t.Errorf("cut off: east %t, west %t, later %t", got[0], got[1], got[2])
		}
	}
	set("e", "us-east-1")
	set("w", "us-west-2")
	r, err := f.set.Add(fault.Rule{Cloud: "aws", Kind: fault.CutOff, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	set("l", "us-east-1")
	want(true, false, true)
	f.set.Remove(r.ID)
	want(false, false, false)
	if _, err := f.set.Add(fault.Rule{Cloud: "aws", Kind: fault.CutOff}); err != nil {
		t.Fatal(err)
	}
	want(true, true, true)
}

// TestFaultRoutes goes through the lab's own socket's part for faults.
func TestFaultRoutes(t *testing.T) {
	mux := http.NewServeMux()
	l := &Lab{faults: fault.NewSet()}
	l.faultRoutes(mux)
	call := func(method, path, body string, want int, in string) {
		t.Helper()
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if w.Code != want || !strings.Contains(w.Body.String(), in) {
			t.Errorf("%s %s %s: %d %s; want %d %s", method, path, body, w.Code, w.Body, want, in)
		}
	}
	call("GET", "/faults", "", 200, "[]")
	call("POST", "/faults", `{"cloud":"aws","kind":"delay","delay":"2s","times":3}`, 201, `"id":1,"cloud":"aws","kind":"delay","delay":"2s","times":3`)
	call("POST", "/faults", `{"cloud":"mars","kind":"deny"}`, 400, `cloud: found \"mars\": want one of aws, gcp, azure, digitalocean`)
	call("POST", "/faults", `{"cloud":"aws","kind":"boom"}`, 400, `kind: found \"boom\"`)
	call("POST", "/faults", `{"cloud":`, 400, `"error"`)
	call("GET", "/faults", "", 200, `"hits":0,"over":false`)
	call("DELETE", "/faults/2", "", 404, "there is no fault 2")
	call("DELETE", "/faults/x", "", 404, "there is no fault x")
	call("DELETE", "/faults/1", "", 200, "1")
	call("POST", "/faults", `{"cloud":"gcp","kind":"down"}`, 201, `"id":2`)
	call("DELETE", "/faults", "", 200, "1")
	call("GET", "/faults", "", 200, "[]")
}
