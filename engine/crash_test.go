package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// crashPoints is how many of all points a test run tries; which ones is up to the seed.
const crashPoints = 36

// TestCrash stops the engine before and after calls to the clouds, once during a creation and once during the deletion
// that follows, and lets another engine go on from what is in the database. Nothing may be there twice, and nothing left.
func TestCrash(t *testing.T) {
	creating, deleting := countedCalls(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d: %d calls to create, %d to delete", seed, creating, deleting)
	rnd := rand.New(rand.NewPCG(seed, 0))
	starts, ends := rnd.Perm(2*creating), rnd.Perm(2*deleting)
	n := min(crashPoints, max(len(starts), len(ends)))
	if testing.Short() {
		n = 6
	}
	for i := range n {
		create, remove := starts[i%len(starts)], ends[i%len(ends)]
		t.Run(fmt.Sprintf("create%d-delete%d", create, remove), func(t *testing.T) {
			t.Parallel()
			crashTwice(t, create, remove)
		})
	}
}

// countedCalls counts the calls of an undisturbed life.
func countedCalls(t *testing.T) (creating, deleting int) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	creating = s.calls
	s.delete(uid)
	s.asBefore()
	return creating, s.calls - creating - len(s.clouds)
}

// crashTwice crashes at two points; the number of a point is that of its call, doubled, and odd after the call.
func crashTwice(t *testing.T, create, remove int) {
	s := newScene(t, cloudtest.Options{})
	crashAt := func(point int) {
		s.hookMu.Lock()
		defer s.hookMu.Unlock()
		s.calls = 0
		s.point = func(n int, after bool, _ cloudtest.Call) bool {
			return n == point/2+1 && after == (point%2 == 1)
		}
	}
	again := func() {
		s.hookMu.Lock()
		s.point = nil
		s.hookMu.Unlock()
		if s.engine.dead.Load() {
			s.start()
		}
	}
	crashAt(create)
	uid := s.apply(smallFile)
	s.ready(uid)
	again()
	s.ready(uid)
	crashAt(remove)
	s.delete(uid)
	again()
	s.gone(uid)
	s.asBefore()
}

// TestLag lets lists show new things late and deleted ones for longer, through a whole life with a crash in it.
func TestLag(t *testing.T) {
	for _, point := range []int{9, 17, 25, 33} {
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, cloudtest.Options{ListLag: 300 * time.Millisecond})
			s.patient = 3 * time.Second
			s.engine.patience.listLag = s.patient
			s.point = func(n int, after bool, _ cloudtest.Call) bool { return n == point && after }
			uid := s.apply(smallFile)
			s.ready(uid)
			s.point = nil
			if s.engine.dead.Load() {
				s.start()
			}
			s.ready(uid)
			s.apply(smallFile)
			s.ready(uid)
			if _, _, err := s.engine.AddNodes(t.Context(), "demo", "web", 1, "tester"); err != nil {
				t.Fatal(err)
			}
			s.ready(uid)
			s.delete(uid)
			s.settled()
			s.asBefore()
			if noted := s.events(uid, "Noted"); len(noted) > 0 {
				t.Errorf("what lingers in a list was reported: %v", noted)
			}
		})
	}
}

// TestFaults lets many calls fail, before they have an effect and after.
func TestFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i := range uint64(4) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, cloudtest.Options{Seed: seed + i})
			for _, c := range s.clouds {
				for _, f := range []cloudtest.Fault{
					{Rate: 0.15, Class: "throttled"},
					{Rate: 0.1, Class: "unavailable", AfterEffect: true},
					{Rate: 0.1, Class: "unknown", AfterEffect: true},
					{Rate: 0.1, Class: "unknown"},
					{Op: cloudtest.OpCreate, Rate: 0.1, Class: "denied"},
					{Op: cloudtest.OpCreate, Rate: 0.05, Class: "quota"},
				} {
					c.Inject(f)
				}
			}
			uid := s.apply(smallFile)
			s.ready(uid)
			s.delete(uid)
			for _, c := range s.clouds {
				c.Heal()
			}
			s.asBefore()
		})
	}
}
