package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/engine/enginetest"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// look looks after the cluster so many times.
func (s *scene) look(uid string, times int) {
	s.t.Helper()
	for range times {
		claim, err := s.engine.store.ClaimCareOf(s.t.Context(), uid, s.engine.carePause)
		if err != nil {
			s.t.Fatal(err)
		}
		s.engine.lookAfter(s.engine.ctx, claim, false)
	}
}

// health returns the phase and each condition as "STATUS message".
func (s *scene) health(uid string) (store.Phase, map[string]string) {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	phase, conditions, err := s.engine.Health(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, cond := range conditions {
		out[cond.Type] = cond.Status + " " + cond.Message
	}
	return phase, out
}

// woken says whether the cluster is due since its last run, and forgets it.
func (s *scene) woken(uid string) bool {
	s.t.Helper()
	claim, err := s.engine.store.ClaimCluster(s.t.Context(), "test", time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	if claim == nil {
		return false
	}
	if err := s.engine.store.Release(s.t.Context(), claim.Fence, time.Hour); err != nil {
		s.t.Fatal(err)
	}
	return claim.Cluster == uid
}

// sick lets Kubernetes call a node NotReady though its machine runs, or ends that.
func (s *scene) sick(node string, is bool) {
	if is {
		s.world.Sick[node] = true
	} else {
		delete(s.world.Sick, node)
	}
}

const (
	allNodes = "True 5 of 5 nodes are Ready"
	allAPIs  = "True all 3 API endpoints answer"
	allSSH   = "True the machines let the engine in"
	allCerts = "True no certificate runs out within 30 days"
	asWanted = "True everything is as it was asked for"
)

var allWell = map[string]string{nodesReady: allNodes, apiReachable: allAPIs, agentsReachable: allSSH, certificatesValid: allCerts, readyType: asWanted}

func wantHealth(t *testing.T, s *scene, uid, when string, phase store.Phase, but map[string]string) {
	t.Helper()
	want := maps.Clone(allWell)
	maps.Copy(want, but)
	gotPhase, got := s.health(uid)
	if diff := cmp.Diff(want, got); diff != "" || gotPhase != phase {
		t.Errorf("%s: %s, want %s (-want +got):\n%s", when, gotPhase, phase, diff)
	}
}

// TestCareSeesALostCloud: a cloud goes away, and the cluster is called Degraded before any run; nothing is asked of a cloud.
func TestCareSeesALostCloud(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.look(uid, 2)
	if _, got := s.health(uid); len(got) != 0 {
		t.Errorf("before the first run: %v", got)
	}
	s.ready(uid)
	calls := s.calls
	s.look(uid, 1)
	wantHealth(t, s, uid, "after the creation", store.Ready, nil)
	lost := map[string]bool{}
	for _, m := range s.machines() {
		if strings.Contains(m.Name, "two-cp") || strings.Contains(m.Name, "batch") {
			lost[m.Name] = true
			s.sick(m.Name, true)
		}
	}
	if len(lost) != 2 {
		t.Fatalf("lost: %v", lost)
	}
	s.world.Reach = func(_ context.Context, m enginetest.Machine) error {
		if lost[m.Name] {
			return errors.New("no route to host")
		}
		return nil
	}
	s.world.Around = func(ctx context.Context, what string, do func() error) error {
		for _, m := range s.machines() {
			if lost[m.Name] && strings.HasPrefix(what, "probe "+m.Public.String()) {
				return errors.New("no route to host")
			}
		}
		return do()
	}
	s.look(uid, 1)
	wantHealth(t, s, uid, "after one look", store.Ready, nil)
	if s.woken(uid) {
		t.Error("one look has woken a run")
	}
	s.look(uid, 6) // the machines have their turns
	phase, got := s.health(uid)
	for kind, words := range map[string]string{
		nodesReady: "False 3 of 5 nodes are Ready: demo-two-cp-1; demo-batch-1", apiReachable: "False 2 of 3 API endpoints answer: demo-two-cp-1 (", agentsReachable: "False by SSH the engine can't reach ",
		certificatesValid: allCerts, readyType: "False ",
	} {
		if !strings.HasPrefix(got[kind], words) {
			t.Errorf("%s is %q, want %q", kind, got[kind], words)
		}
	}
	if phase != store.Degraded || !strings.Contains(got[readyType], "3 of 5 nodes") || !strings.Contains(got[apiReachable], ":6443): no route to host") {
		t.Errorf("%s: %v", phase, got)
	}
	if !s.woken(uid) {
		t.Error("no run was woken")
	}
	if s.calls != calls {
		t.Errorf("%d calls to clouds were made", s.calls-calls)
	}
	// It comes back.
	clear(lost)
	clear(s.world.Sick)
	s.look(uid, 1)
	if phase, _ := s.health(uid); phase != store.Degraded {
		t.Errorf("after one good look it is %s", phase)
	}
	s.look(uid, 1)
	wantHealth(t, s, uid, "back", store.Ready, nil)
	if s.calls != calls {
		t.Errorf("%d calls to clouds were made", s.calls-calls)
	}
	for _, reason := range []string{"NodesNotReady", "NodesReady", "APINotReachable", "APIReachable", "RunWoken"} {
		if got := s.events(uid, reason); len(got) != 1 {
			t.Errorf("events %s: %v", reason, got)
		}
	}
}

// TestCareWakesARepair: a machine is deleted between runs; it is seen, a run is woken, says why, and when that is done the
// cluster is Ready at once.
func TestCareWakesARepair(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	s.look(uid, 1)
	c, o := s.find(uid, "two-node-demo-batch-1")
	c.Terminate(o.ID)
	s.look(uid, 2)
	if phase, got := s.health(uid); phase != store.Degraded || !strings.HasPrefix(got[nodesReady], "False 4 of 5 nodes are Ready: demo-batch-1") {
		t.Fatalf("%s: %v", phase, got)
	}
	claim, err := s.engine.store.ClaimCluster(t.Context(), "engine", s.engine.patience.lease)
	if err != nil || claim == nil {
		t.Fatalf("no run was woken: %v", err)
	}
	s.engine.work(s.engine.ctx, claim)
	wantHealth(t, s, uid, "after the repair", store.Ready, nil)
	if got := s.runs(uid, 9); !slices.ContainsFunc(got, func(r string) bool { return strings.HasPrefix(r, "seen: 4 of 5 nodes are Ready: demo-batch-1") }) {
		t.Errorf("runs: %v", got)
	}
	s.delete(uid)
	s.asBefore()
}

// TestCareHoldsItsTongue: while a run is on, fails, or is held off, and while the same is wrong, no run is woken.
func TestCareHoldsItsTongue(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	s.look(uid, 1)
	s.sick("demo-web-1", true)
	claim, err := s.engine.store.ClaimCareOf(t.Context(), uid, s.engine.carePause)
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.engine.store.ClaimCluster(t.Context(), "engine", time.Minute)
	if err == nil && run == nil {
		err = s.engine.store.Wake(t.Context(), uid)
		run, _ = s.engine.store.ClaimCluster(t.Context(), "engine", time.Minute)
	}
	if err != nil || run == nil {
		t.Fatal(run, err)
	}
	s.engine.lookAfter(s.engine.ctx, claim, false) // began before the run
	s.look(uid, 3)                                 // while it is on
	if _, got := s.health(uid); got[nodesReady] != "True 2 of 2 nodes are Ready" {
		t.Errorf("during a run: %v", got)
	}
	if err := s.engine.store.Release(t.Context(), run.Fence, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Pause(t.Context(), "demo", "alice", "tests"); err != nil {
		t.Fatal(err)
	}
	s.look(uid, 2)
	if phase, got := s.health(uid); phase != store.Degraded || s.woken(uid) || !strings.HasPrefix(got["Paused"], "True paused since ") {
		t.Errorf("paused it is %s: %v", phase, got)
	}
	if _, err := s.engine.store.Resume(t.Context(), uid); err != nil || !s.woken(uid) {
		t.Fatalf("the resume wakes a run; error %v", err)
	}
	s.look(uid, 1)
	if !s.woken(uid) {
		t.Error("no run was woken after the pause")
	}
	s.look(uid, 20)
	if s.woken(uid) {
		t.Error("a run was woken for the same again")
	}
	s.sick("demo-one-cp-1", true) // something else
	s.look(uid, 1)
	if !s.woken(uid) {
		t.Error("no run was woken for something new")
	}
}

// TestCareOfCertificates warns in time, and tells a certificate that ran out from a server that is away.
func TestCareOfCertificates(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	s.world.Expiry["demo-one-cp-1"] = time.Now().Add(29 * 24 * time.Hour)
	s.look(uid, 2)
	phase, got := s.health(uid)
	if want := "False that of the API server on demo-one-cp-1 runs out on "; phase != store.Degraded || !strings.HasPrefix(got[certificatesValid], want) || !strings.HasPrefix(got[apiReachable], "True ") {
		t.Errorf("%s: %v", phase, got)
	}
	s.world.Expiry["demo-one-cp-1"] = time.Now().Add(-time.Hour)
	s.look(uid, 1)
	if _, got := s.health(uid); !strings.Contains(got[certificatesValid], "ran out on ") || !s.woken(uid) {
		t.Errorf("%v", got)
	}
}

// TestCareLoop runs the loop itself: two engines look after several clusters, each cluster in its turn.
func TestCareLoop(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	first := s.engine
	s.start() // a second one on the same database
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	for _, e := range []*worker{first, s.engine} {
		go func() {
			e.care(context.WithValue(ctx, workerKey{}, e))
			done <- struct{}{}
		}()
	}
	if err := cloudtest.Await(t.Context(), func() bool {
		_, got := s.health(uid)
		return got[nodesReady] == "True 2 of 2 nodes are Ready"
	}); err != nil {
		t.Error(err)
	}
	cancel()
	<-done
	<-done
	first.cancel()
	first.store.Close()
}

// TestJudge: what holds changes when two looks in a row say so, and keeps the time of its last change.
func TestJudge(t *testing.T) {
	begin := time.Unix(1e9, 0).UTC()
	type say struct {
		status   string
		afterRun bool
	}
	for _, tt := range []struct {
		name string
		says []say
		want string // status and since, in looks
	}{
		{"good at once", []say{{"True", false}}, "True 0"},
		{"bad is not believed", []say{{"False", false}}, ""},
		{"bad twice is", []say{{"False", false}, {"False", false}}, "False 1"},
		{"bad in two ways is not", []say{{"False", false}, {"Unknown", false}}, ""},
		{"one bad look changes nothing", []say{{"True", false}, {"False", false}}, "True 0"},
		{"nor does the next one after a good one", []say{{"True", false}, {"False", false}, {"True", false}, {"False", false}}, "True 0"},
		{"it stays since when it changed", []say{{"True", false}, {"False", false}, {"False", false}, {"False", false}}, "False 2"},
		{"one good look changes nothing", []say{{"False", false}, {"False", false}, {"True", false}}, "False 1"},
		{"but after a run it does", []say{{"False", false}, {"False", false}, {"True", true}}, "True 2"},
		{"bad after a run must be seen twice too", []say{{"True", false}, {"False", true}}, "True 0"},
		{"two good looks", []say{{"False", false}, {"False", false}, {"True", false}, {"True", false}}, "True 3"},
		{"from one trouble into another", []say{{"False", false}, {"False", false}, {"Unknown", false}, {"Unknown", false}}, "Unknown 3"},
	} {
		var m careMemory
		var now []store.Condition
		changes := 0
		for i, said := range tt.says {
			data, err := json.Marshal(m) // as it is between looks
			if err != nil {
				t.Fatal(err)
			}
			m = careMemory{}
			if err := json.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			before := now
			var changed []store.Condition
			now, changed = m.judge(now, []verdict{{kind: "X", status: said.status, message: fmt.Sprint(i)}}, begin.Add(time.Duration(i)*time.Minute), said.afterRun)
			changes += len(changed)
			if len(before) == 1 && len(now) == 0 {
				t.Errorf("%s: the condition is lost", tt.name)
			}
		}
		got := ""
		if len(now) == 1 {
			got = fmt.Sprintf("%s %d", now[0].Status, int(now[0].Since.Sub(begin).Minutes()))
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestWakes: the same trouble wakes runs with growing pauses, what comes and goes is the same trouble, something new wakes one
// at once.
func TestWakes(t *testing.T) {
	const every = time.Hour
	begin := time.Unix(1e9, 0)
	var m careMemory
	var woken []string
	wrong := func(from, to time.Duration, things ...string) {
		for at := from; at < to; at += 30 * time.Second {
			status := conditionFalse
			if len(things) == 0 {
				status = conditionTrue
			}
			v := []verdict{{kind: "X", status: status, wrong: things}}
			m.noteTrouble(v, []store.Condition{{Type: "X", Status: status}}, nil, begin.Add(at), every)
			if what := m.wakeFor(begin.Add(at), every); len(what) > 0 {
				woken = append(woken, fmt.Sprintf("%v %s", at, strings.Join(what, "+")))
			}
		}
	}
	wrong(0, 20*time.Minute, "a")
	wrong(20*time.Minute, 25*time.Minute) // it comes and goes
	wrong(25*time.Minute, 26*time.Minute, "a")
	wrong(26*time.Minute, 30*time.Minute, "a", "b")
	wrong(30*time.Minute, 4*time.Hour, "a")
	wrong(4*time.Hour, 6*time.Hour)
	wrong(6*time.Hour, 6*time.Hour+time.Minute, "a")
	want := []string{"0s a", "5m0s a", "15m0s a", "26m0s a+b", "1h6m0s a", "2h6m0s a", "3h6m0s a", "6h0m0s a"}
	if diff := cmp.Diff(want, woken); diff != "" {
		t.Error(diff)
	}
	back := m.Trouble["a"]
	back.Next = begin.Add(30 * time.Hour) // by a clock that was set back since
	m.Trouble["a"] = back
	if m.wakeFor(begin.Add(6*time.Hour), every) == nil {
		t.Error("a clock that is set back keeps runs from being woken")
	}
}
