package engine

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// farFile is smallFile with what is to be done about sites that are too far apart.
func farFile(choice string) string {
	return strings.Replace(smallFile, "spec:\n", "spec:\n  network: {onLatency: "+choice+"}\n", 1)
}

// slow is a scene whose sites are as far apart as told.
func slow(t *testing.T, took time.Duration) *scene {
	t.Helper()
	s := newScene(t, cloudtest.Options{})
	s.world.RoundTrip = func(string, string) time.Duration { return took }
	return s
}

// far is the condition of sites too far apart, its zero value where there is none.
func (s *scene) far(uid string) store.Condition {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(context.Background(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	_, all := HealthOf(c, nil)
	for _, x := range all {
		if x.Type == farType {
			return x
		}
	}
	return store.Condition{}
}

// measurements is how often a way was measured, of all runs so far.
func (s *scene) measurements(uid string) (n int) {
	s.t.Helper()
	for _, st := range s.allSteps(uid) {
		if strings.HasPrefix(st, "measure/") {
			n++
		}
	}
	return n
}

// stopped makes a cluster of sites that are too far apart, as far as that goes.
func (s *scene) stopped(file string) string {
	s.t.Helper()
	uid := s.apply(file)
	s.until(uid, "stopped", func(c store.Cluster) bool { return c.Phase == store.Degraded })
	return uid
}

func TestNearSites(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	if n := s.measurements(uid); n != 1 {
		t.Errorf("measured %d times: %q", n, s.allSteps(uid))
	}
	if c := s.far(uid); c.Type != "" {
		t.Errorf("the condition is %+v", c)
	}
	if got := s.events(uid, "RoundTripMeasured"); len(got) != 1 || !strings.Contains(got[0], "one (aws us-east-1) and two (gcp us-east4) is 1ms; the table has 1.5ms (estimated") {
		t.Errorf("told: %q", got)
	}
	s.turn(uid)
	if n := s.measurements(uid); n != 1 {
		t.Errorf("measured again: %q", s.allSteps(uid))
	}
}

// TestBusySites has machines that answer late at first: that doesn't make them far apart.
func TestBusySites(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	var late atomic.Int32
	late.Store(2) // as one node of each site measures, so many measurements
	s.world.RoundTrip = func(string, string) time.Duration {
		if late.Add(-1) >= 0 {
			return 80 * time.Millisecond
		}
		return time.Millisecond
	}
	uid := s.apply(farFile("stop"))
	s.ready(uid)
	if got := s.events(uid, farType); len(got) != 0 {
		t.Errorf("sites of busy machines are called far apart: %q", got)
	}
	if got := s.events(uid, "RoundTripMeasured"); len(got) != 1 || !strings.Contains(got[0], "is 1ms") {
		t.Errorf("it is told as %q", got)
	}
}

// TestFarSites has machines measure more than the table promised: nothing is done on top before somebody says so.
func TestFarSites(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *scene, uid string)
		// by is who let it be, empty where it isn't far any more.
		by string
	}{
		{"approved", func(t *testing.T, s *scene, _ string) {
			if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
				t.Fatal(err)
			}
		}, "alice"},
		{"approved, and the engine stops", func(t *testing.T, s *scene, _ string) {
			if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
				t.Fatal(err)
			}
			s.world.Fail = func(_, command string) error {
				if strings.HasSuffix(command, "kubeadm") {
					s.world.Fail = nil
					s.crash()
					return errCrashed
				}
				return nil
			}
			s.turn(s.uidNow())
			s.start()
		}, "alice"},
		{"continue is asked for", func(_ *testing.T, s *scene, _ string) { s.apply(farFile("continue")) }, "spec.network.onLatency"},
		{"a higher limit", func(_ *testing.T, s *scene, _ string) {
			s.apply(strings.Replace(smallFile, "spec:\n", "spec:\n  network: {maxRTT: 40ms}\n", 1))
		}, ""},
		{"the way is mended", func(_ *testing.T, s *scene, _ string) {
			s.world.RoundTrip = func(string, string) time.Duration { return 4 * time.Millisecond }
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := slow(t, 31*time.Millisecond)
			uid := s.stopped(smallFile)
			machines := s.ids()
			s.start() // another engine finds the same
			s.turn(uid)
			s.turn(uid)
			if did := s.world.Log(); len(did) > 0 || !slices.Equal(machines, s.ids()) || len(machines) != 2 {
				t.Fatalf("before anybody said so: %q, machines %q and %q", did, machines, s.ids())
			}
			cond := s.far(uid)
			for _, want := range []string{"one (aws us-east-1)", "two (gcp us-east4)", "is 31ms", "the limit (spec.network.maxRTT) is 10ms", "the table has 1.5ms (estimated", "'skyweld reconcile demo --approve'"} {
				if !strings.Contains(cond.Message, want) {
					t.Errorf("the condition doesn't say %q: %s", want, cond.Message)
				}
			}
			if cond.Status != conditionTrue || cond.Reason != "Waiting" {
				t.Errorf("the condition is %+v", cond)
			}
			c.do(t, s, uid)
			s.ready(uid)
			cond = s.far(uid)
			if c.by == "" && cond.Type != "" || c.by != "" && (cond.Reason != "Accepted" || !strings.Contains(cond.Message, "accepted by "+c.by)) {
				t.Errorf("afterwards the condition is %+v", cond)
			}
			if !slices.Equal(machines, s.ids()) {
				t.Errorf("the machines were %q and are %q", machines, s.ids())
			}
			s.turn(uid)
			if got := s.runs(uid, 1)[0]; !strings.HasSuffix(got, "succeeded, 0 steps") {
				t.Errorf("the next run: %s", got)
			}
			s.delete(uid)
			s.asBefore()
		})
	}
}

// TestFarSitesContinue goes on by itself, and says so.
func TestFarSitesContinue(t *testing.T) {
	s := slow(t, 31*time.Millisecond)
	uid := s.apply(farFile("continue"))
	s.ready(uid)
	if c := s.far(uid); c.Reason != "Accepted" {
		t.Errorf("the condition is %+v", c)
	}
	if told := s.events(uid, farType); len(told) != 1 {
		t.Errorf("told %q", told)
	}
	if n := s.measurements(uid); n != 1 {
		t.Errorf("measured %d times", n)
	}
}

// TestFarSitesRemove deletes what was made, also when the engine is killed over it, and says why.
func TestFarSitesRemove(t *testing.T) {
	for _, killed := range []bool{false, true} {
		s := slow(t, 31*time.Millisecond)
		if killed {
			s.world.Fail = func(_, command string) error {
				if strings.Contains(command, "agent latency") {
					s.world.Fail = nil
					s.crash()
					return errCrashed
				}
				return nil
			}
		}
		uid := s.apply(farFile("remove"))
		for try := 0; !s.deleted() && try < 50; try++ {
			if s.engine.dead.Load() {
				s.start()
			}
			s.turn(uid)
		}
		if !s.deleted() || len(s.world.Log()) > 0 {
			t.Fatalf("it is not deleted, or Kubernetes was set up: %q, runs %q", s.world.Log(), s.runs(uid, 20))
		}
		s.asBefore()
		changes, err := s.engine.store.ListChanges(t.Context(), uid)
		if err != nil || len(changes) != 2 || changes[1].Who != itself || !strings.Contains(changes[1].Summary, "is 31ms") || changes[0].State != store.Superseded {
			t.Errorf("the changes are %+v, %v", changes, err)
		}
	}
}

// TestFarNewSite adds a site that is too far away: its machines don't join, and what was there goes on.
func TestFarNewSite(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	only := strings.Replace(strings.Replace(smallFile, "    - {name: two, account: acc-gcp, region: us-east4}\n", "", 1), "site: two", "site: one", 1)
	uid := s.apply(only)
	s.ready(uid)
	s.world.RoundTrip = func(string, string) time.Duration { return 31 * time.Millisecond }
	both := strings.Replace(farFile("remove"), "count: 1}]", "count: 1}, {name: near, site: one, size: small, count: 1}]", 1)
	both = strings.NewReplacer("name: web, site: two", "name: web, site: one", "name: near, site: one", "name: far, site: two").Replace(both)
	s.apply(both)
	s.until(uid, "stopped", func(c store.Cluster) bool { return c.Phase == store.Degraded })
	if _, joined := s.world.Registered()["demo-far-1"]; joined || !strings.Contains(s.far(uid).Message, "The machines of the new site don't join") {
		t.Errorf("joined: %v; the condition is %+v", joined, s.far(uid))
	}
	if c, err := s.engine.store.GetClusterByUID(t.Context(), uid); err != nil || !c.DeleteRequested.IsZero() {
		t.Errorf("a cluster that was there is deleted: %v %v", c.DeleteRequested, err)
	}
	if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	if _, joined := s.world.Registered()["demo-far-1"]; !joined {
		t.Error("it didn't join")
	}
}

// TestUnmeasured has no probe come back: that is no round trip, and no reason to go on.
func TestUnmeasured(t *testing.T) {
	s := slow(t, 0)
	s.tune = func(_ *Options, p *patience) { p.step = 50 * time.Millisecond }
	s.start()
	uid := s.stopped(smallFile)
	if did := s.world.Log(); len(did) > 0 {
		t.Errorf("done all the same: %q", did)
	}
	if told := s.events(uid, "StepFailed"); len(told) == 0 || !strings.Contains(told[0], "of 50 probes 0 came back") {
		t.Errorf("told: %q", told)
	}
	s.world.RoundTrip = nil
	s.ready(uid)
}
