package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// meter notes what an engine tells.
type meter struct {
	unmetered
	mu          sync.Mutex
	runs, steps []string
}

func (m *meter) Run(outcome string, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs = append(m.runs, outcome)
}

func (m *meter) Step(action, kind, outcome string, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = append(m.steps, action+" "+kind+": "+outcome)
}

// TestGracefulStop stops an engine while a cloud takes its time with a call: the call's step comes to its end and is on record,
// no other begins, and the cluster is given back for whoever is next.
func TestGracefulStop(t *testing.T) {
	for _, c := range []struct {
		name    string
		grace   time.Duration
		outcome store.StepState
	}{{"in time", 10 * time.Second, store.StepDone}, {"too late", 50 * time.Millisecond, store.StepFailed}} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, cloudtest.Options{})
			m := &meter{}
			s.engine.opts.Grace, s.engine.opts.Meter = c.grace, m
			slow := make(chan struct{})
			began := make(chan struct{})
			var once sync.Once
			s.point = func(_ int, after bool, call cloudtest.Call) bool {
				if !after && call.Op == cloudtest.OpCreate && call.Kind == cloudtest.KindNetwork {
					once.Do(func() { close(began) })
				}
				return false
			}
			s.clouds[cloud.AWS].Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindNetwork, Until: slow, Times: 1})
			uid := s.apply(smallFile)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.engine.Run(ctx) }()
			<-began
			for watch := s.engine.store.Watch(); ; {
				if slices.Contains(s.stepStates(uid, "create/one-net"), store.StepRunning) {
					watch.Close()
					break
				}
				<-watch.Ready()
				watch.Take()
			}
			stop()
			if c.outcome == store.StepDone {
				select {
				case <-ended:
					t.Fatal("the engine ended before its step")
				case <-time.After(50 * time.Millisecond): // it goes on after it was told to stop
				}
				close(slow)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if got := s.stepStates(uid, "create/one-net"); !slices.Equal(got, []store.StepState{c.outcome}) {
				t.Errorf("the step is %v, want %s", got, c.outcome)
			}
			if got := s.stepStates(uid, "create/one-subnet"); !slices.Equal(got, []store.StepState{store.StepSkipped}) {
				t.Errorf("the one after it is %v", got)
			}
			at, err := s.engine.store.GetClusterByUID(t.Context(), uid)
			if err != nil {
				t.Fatal(err)
			}
			if at.Lease.Owner != "" || at.NextRun.After(time.Now().Add(time.Second)) {
				t.Errorf("the cluster has the lease %+v and is due at %s", at.Lease, at.NextRun)
			}
			if got := s.runs(uid, 1)[0]; !strings.Contains(got, "stopped") || !slices.Contains(m.runs, OutcomeStopped) {
				t.Errorf("the run: %s; told: %v", got, m.runs)
			}
			if why := s.engine.NotReady(t.Context()); !slices.Equal(why, []string{"the engine is stopping"}) {
				t.Errorf("it isn't ready because %q", why)
			}
			if c.outcome != store.StepDone {
				close(slow)
			}
			s.engine.life.stopping.Store(false)
			s.clouds[cloud.AWS].Heal()
			s.ready(uid)
			s.delete(uid)
			s.asBefore()
		})
	}
}

// stepStates are the states of a step in the last run that has it, none where no run does.
func (s *scene) stepStates(uid, step string) (out []store.StepState) {
	runs, err := s.engine.store.ListRuns(s.t.Context(), uid, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range runs {
		_, steps, err := s.engine.store.GetRun(s.t.Context(), r.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, st := range steps {
			if st.ID == step {
				out = append(out, st.State)
			}
		}
	}
	return out
}

// TestFigures counts what there is before, and after a cluster is made.
func TestFigures(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	m := &meter{}
	s.engine.opts.Meter = m
	uid := s.apply(smallFile)
	f, err := s.engine.Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Clusters[store.Pending] != 1 || f.Changes[store.Queued] != 1 || f.Leases != 0 {
		t.Errorf("before: %+v", f)
	}
	s.ready(uid)
	claims, err := s.engine.store.ClaimCare(t.Context(), 1, func() time.Duration { return time.Minute })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		s.engine.lookAfter(t.Context(), c, false)
	}
	if f, err = s.engine.Figures(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Clusters[store.Ready] != 1 || f.Changes[store.Queued]+f.Changes[store.Applying] != 0 || f.Due != 0 || f.Nodes != (NodeCount{Ready: 2}) {
		t.Errorf("after: %+v", f)
	}
	if !slices.Contains(m.steps, "create machine: done") || !slices.Contains(m.runs, OutcomeSucceeded) {
		t.Errorf("told were %v, %v", m.runs, m.steps)
	}
	if why := s.engine.NotReady(t.Context()); !slices.Equal(why, []string{"the engine isn't running yet"}) {
		t.Errorf("it isn't ready because %q", why)
	}
	s.engine.life.running.Store(true)
	s.engine.life.claimed(context.DeadlineExceeded)
	if why := s.engine.NotReady(t.Context()); !slices.Equal(why, []string{"no cluster can be claimed"}) {
		t.Errorf("it isn't ready because %q", why)
	}
	s.engine.life.claimed(nil)
	if why := s.engine.NotReady(t.Context()); len(why) > 0 {
		t.Errorf("it isn't ready because %q", why)
	}
	s.engine.store.Close()
	if why := s.engine.NotReady(t.Context()); !slices.Equal(why, []string{"the database doesn't answer"}) {
		t.Errorf("it isn't ready because %q", why)
	}
}
