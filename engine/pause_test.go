package engine

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// run is one run, if there is one to be done.
func (s *scene) run() bool {
	s.t.Helper()
	claim, err := s.engine.store.ClaimCluster(s.t.Context(), "engine", s.engine.patience.lease)
	if err != nil {
		s.t.Fatal(err)
	}
	if claim != nil {
		s.engine.work(s.engine.ctx, claim)
	}
	return claim != nil
}

// TestPause: what is asked of a paused cluster waits, everybody is told, and a deletion goes through.
func TestPause(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	for _, reason := range []string{"", "  \n", strings.Repeat("ü", longestReason+1)} {
		if _, err := s.engine.Pause(t.Context(), "demo", "alice", reason); err == nil || !strings.Contains(err.Error(), "1 to 200") {
			t.Errorf("a pause for %q: %v", reason, err)
		}
	}
	if _, err := s.engine.Pause(t.Context(), "nobody", "alice", "x"); err == nil || !strings.Contains(err.Error(), `no cluster named "nobody"`) {
		t.Errorf("a pause of nobody: %v", err)
	}
	if _, err := s.engine.Pause(t.Context(), "demo", "alice", "moving\n the accounts"); err != nil {
		t.Fatal(err)
	}
	calls := s.calls
	ch, _, err := s.engine.AddNodes(t.Context(), "demo", "web", 1, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if s.run() || s.calls != calls {
		t.Errorf("a run was done, with %d calls", s.calls-calls)
	}
	c, err := s.engine.Cluster(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.engine.store.GetChange(t.Context(), ch.ID); err != nil || got.State != store.Queued {
		t.Errorf("the change is %s, error %v", got.State, err)
	}
	held := Held(c)
	for _, words := range []string{"cluster demo is paused since ", " by alice: moving the accounts. ", "'skyweld reconcile resume demo'"} {
		if !strings.Contains(held, words) {
			t.Errorf("it is said %q, without %q", held, words)
		}
	}
	p, err := s.engine.PlanAddNodes(t.Context(), "demo", "web", 1)
	if err != nil || len(p.Graph.Notes) == 0 || p.Graph.Notes[len(p.Graph.Notes)-1] != held {
		t.Errorf("a plan notes %q, error %v", p.Graph.Notes, err)
	}
	if was, err := s.engine.Resume(t.Context(), "demo", "carol"); err != nil || was == nil || was.By != "alice" {
		t.Fatal(was, err)
	}
	if was, err := s.engine.Resume(t.Context(), "demo", "carol"); err != nil || was != nil {
		t.Errorf("resumed again: %v, %v", was, err)
	}
	s.ready(uid)
	if got, err := s.engine.store.GetChange(t.Context(), ch.ID); err != nil || got.State != store.Applied {
		t.Errorf("after the pause the change is %s, error %v", got.State, err)
	}
	for reason, words := range map[string]string{"Paused": "by alice: moving the accounts;", "Resumed": "by carol; paused since "} {
		if got := s.events(uid, reason); len(got) != 1 || !strings.Contains(got[0], words) {
			t.Errorf("events: %v", got)
		}
	}
	if _, err := s.engine.Pause(t.Context(), "demo", "alice", "again"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Delete(t.Context(), "demo", "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Pause(t.Context(), "demo", "alice", "stop it"); err == nil || !strings.Contains(err.Error(), "can't be paused") {
		t.Errorf("a deletion was paused: %v", err)
	}
	if c, err = s.engine.Cluster(t.Context(), "demo"); err != nil || Held(c) != "" {
		t.Errorf("a deletion is held: %q, error %v", Held(c), err)
	}
	s.gone(uid)
	s.asBefore()
}

// TestPauseStopsARun pauses in the middle of a run: what has begun is done, the rest waits, and nothing is lost or double.
func TestPauseStopsARun(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	others, err := store.Open(t.Context(), filepath.Join(s.dir, "skyweld.db"), s.box)
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	var once sync.Once
	s.point = func(n int, after bool, call cloudtest.Call) bool {
		if call.Op == cloudtest.OpCreate && after {
			once.Do(func() {
				if _, err := others.Pause(t.Context(), uid, "alice", "wait"); err != nil {
					t.Error(err)
				}
			})
		}
		return false
	}
	if !s.run() {
		t.Fatal("no run")
	}
	s.whole(uid)
	if got := s.runs(uid, 9); len(got) != 1 || !strings.Contains(got[0], ": stopped, ") {
		t.Errorf("runs: %v", got)
	}
	list, err := s.engine.store.ListRuns(t.Context(), uid, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, steps, err := s.engine.store.GetRun(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	count := map[store.StepState]int{}
	for _, st := range steps {
		count[st.State]++
	}
	if list[0].Error != errPaused.Error() || count[store.StepDone] == 0 || count[store.StepDone] == len(steps) || count[store.StepRunning] > 0 {
		t.Errorf("the run ended with %q, steps %v", list[0].Error, count)
	}
	if got := s.events(uid, "StepFailed"); len(got) != 0 {
		t.Errorf("events: %v", got)
	}
	calls := s.calls
	for range 3 {
		if s.run() {
			t.Fatal("a paused cluster was run")
		}
	}
	if s.calls != calls {
		t.Errorf("%d calls while it was paused", s.calls-calls)
	}
	if _, err := s.engine.Resume(t.Context(), "demo", "alice"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}

func TestHalted(t *testing.T) {
	for _, why := range []error{errDeleteAsked, errPaused} {
		if got := halted(errors.Join(errors.New("x"), why)); got != why {
			t.Errorf("%v is taken for %v", why, got)
		}
	}
	if got := halted(errors.New("x")); got != nil {
		t.Errorf("an error is taken for %v", got)
	}
}
