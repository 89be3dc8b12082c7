package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/engine/paths"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/store"
)

// lookAt looks after the cluster at a moment of the test's own clock.
func (s *scene) lookAt(uid string, at time.Time) {
	s.t.Helper()
	claim, err := s.engine.store.ClaimCareOf(s.t.Context(), uid, s.engine.carePause)
	if err != nil {
		s.t.Fatal(err)
	}
	claim.Now = at
	s.world.Now = func() time.Time { return at.Add(-2 * time.Second) } // it takes a moment to be told
	s.engine.lookAfter(s.engine.ctx, claim, false)
}

// looksUntil looks every half minute until a condition is there, or gone, and returns how long that took.
func (s *scene) looksUntil(uid, kind string, there bool, at *time.Time) time.Duration {
	s.t.Helper()
	begin := *at
	for at.Sub(begin) < 15*time.Minute {
		*at = at.Add(30 * time.Second)
		s.lookAt(uid, *at)
		if _, got := s.health(uid); (got[kind] != "") == there {
			return at.Sub(begin)
		}
	}
	_, got := s.health(uid)
	s.t.Fatalf("%s there: %v not within %s: %v", kind, there, at.Sub(begin), got)
	return 0
}

func between(from, to string) bool {
	return strings.Contains(from, "one") != strings.Contains(to, "one")
}

// TestCareOfLatency: a path becomes slow and well again. It is told in time, it makes no cluster Degraded, and wakes no run.
func TestCareOfLatency(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	at := time.Now().Truncate(time.Minute).Add(time.Hour)
	took := 7 * time.Millisecond
	slow := time.Time{}
	s.world.Window = func(_ string, w *node.Window) {
		took := took
		if !slow.IsZero() && w.Start+30 >= slow.Unix() {
			took *= 2
		}
		w.Inside.P50, w.Inside.Min = took.Microseconds(), took.Microseconds()
		if start := time.Unix(w.Start, 0); !slow.IsZero() && start.Before(slow) {
			w.Inside.Min = 7000
		}
	}
	for range 10 {
		at = at.Add(30 * time.Second)
		s.lookAt(uid, at)
	}
	if _, got := s.health(uid); got[farType] != "" {
		t.Fatalf("well: %v", got)
	}
	slow = at.Add(10 * time.Second)
	if after := s.looksUntil(uid, farType, true, &at) - 10*time.Second; after < 5*time.Minute || after > 6*time.Minute {
		t.Errorf("it was told after %s", after)
	}
	phase, got := s.health(uid)
	if want := "True the round trip one–two is over the limit of 10ms (spec.network.maxRTT) since "; phase != store.Ready || !strings.HasPrefix(got[farType], want) || !strings.Contains(got[farType], "the median was 14.0 ms") {
		t.Errorf("%s: %v", phase, got)
	}
	if s.woken(uid) {
		t.Error("a run was woken, which can't make a path faster")
	}
	slow = time.Time{}
	took = 9500 * time.Microsecond
	for range 20 { // better, but not well
		at = at.Add(30 * time.Second)
		s.lookAt(uid, at)
	}
	if _, got := s.health(uid); got[farType] == "" {
		t.Errorf("at 9.5 ms: %v", got)
	}
	took = 7 * time.Millisecond
	s.looksUntil(uid, farType, false, &at)
	for _, reason := range []string{farType, "LatencyNormal"} {
		if got := s.events(uid, reason); len(got) != 1 {
			t.Errorf("events %s: %v", reason, got)
		}
	}
}

// TestCareOfTunnels: a tunnel lets nothing through. That makes a cluster Degraded and wakes a run; and it is told when it is
// up again.
func TestCareOfTunnels(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	at := time.Now().Truncate(time.Minute).Add(time.Hour)
	s.lookAt(uid, at)
	s.world.RoundTrip = func(from, to string) time.Duration {
		if between(from, to) {
			return 0
		}
		return time.Millisecond
	}
	s.looksUntil(uid, tunnelDown, true, &at)
	phase, got := s.health(uid)
	if want := "True the tunnel one–two lets nothing through: "; phase != store.Degraded || !strings.HasPrefix(got[tunnelDown], want) || !strings.HasPrefix(got[readyType], "False the tunnel one–two") {
		t.Errorf("%s: %v", phase, got)
	}
	if got := s.events(uid, tunnelDown); len(got) != 1 || !strings.Contains(got[0], "none of the last ") || !strings.Contains(got[0], "its last handshake was 10m0s before; beside it nothing passes either") {
		t.Errorf("events: %v", got)
	}
	if !s.woken(uid) {
		t.Error("no run was woken")
	}
	s.world.RoundTrip = nil
	if after := s.looksUntil(uid, tunnelDown, false, &at); after > 2*time.Minute {
		t.Errorf("it was seen to be up after %s", after)
	}
	if got := s.events(uid, "TunnelUp"); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
}

// TestCareOfDeadSites: machines that are gone are no tunnel that is down.
func TestCareOfDeadSites(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	at := time.Now().Truncate(time.Minute).Add(time.Hour)
	s.lookAt(uid, at)
	s.world.RoundTrip = func(from, to string) time.Duration { return 0 }
	gone := func(name string) bool { return strings.Contains(name, "two-cp") || strings.Contains(name, "batch") }
	for _, m := range s.machines() {
		s.sick(m.Name, gone(m.Name))
	}
	s.world.Reach = func(_ context.Context, m enginetest.Machine) error {
		if gone(m.Name) {
			return errors.New("no route to host")
		}
		return nil
	}
	for range 10 {
		at = at.Add(30 * time.Second)
		s.lookAt(uid, at)
	}
	if _, got := s.health(uid); got[tunnelDown] != "" {
		t.Errorf("%v", got)
	}
}

// TestCareCatchesUp: what was measured while no engine looked is asked of the nodes, once.
func TestCareCatchesUp(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	begin := time.Now().Truncate(time.Minute).Add(time.Hour)
	s.lookAt(uid, begin)
	windows := func() (n int, first, last time.Time) {
		all, err := s.engine.store.ListLatency(t.Context(), uid, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		pair := paths.Fold(all)[paths.Pair{A: "one", B: "two"}]
		return len(pair), pair[0].Start, pair[len(pair)-1].End()
	}
	if n, _, _ := windows(); n != node.PublishedWindows {
		t.Errorf("%d windows at first", n)
	}
	s.lookAt(uid, begin.Add(3*time.Hour))
	n, first, last := windows()
	if want := int(last.Sub(first) / time.Minute); n != want || want != node.PublishedWindows+180 {
		t.Errorf("%d windows, want one for each of %d minutes", n, want)
	}
	asked := 0
	s.world.Fail = func(_, command string) error {
		if strings.Contains(command, "latency") {
			asked++
		}
		return nil
	}
	s.lookAt(uid, begin.Add(3*time.Hour+30*time.Second))
	if asked > 0 {
		t.Errorf("nodes were asked %d times though nothing is missing", asked)
	}
}

// TestCareTellsOfMending: what an agent brought back by itself becomes one event.
func TestCareTellsOfMending(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	s.world.Mended = map[string][]node.Mended{"demo-one-cp-1": {{At: time.Now().Unix(), What: "created device skyweld0"}}}
	s.look(uid, 3)
	if got := s.events(uid, "NodeMended"); len(got) != 1 || !strings.Contains(got[0], "created device skyweld0") {
		t.Errorf("events: %v", got)
	}
}
