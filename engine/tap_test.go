package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// point is a moment of an engine: just before or just after one thing that it does to a cloud, to its database, to a machine
// or to Kubernetes. It is known by what that is and by for which time it happens, not by a number in a row: steps run in
// parallel, and what comes first is another one every time.
type point struct {
	what  string
	nth   int
	after bool
}

func (p point) String() string {
	when := "before"
	if p.after {
		when = "after"
	}
	return fmt.Sprintf("%s %s, time %d", when, p.what, p.nth)
}

// tap counts what one engine does, and stops the engine at a point.
type tap struct {
	w    *worker
	seen map[string]int
	// at is the point; nil for counting only.
	at *point
	// freeze stops the engine as SIGSTOP does instead of killing it; what it was about to do lands when it is woken, or
	// killed. lost keeps the answer to that call from it.
	freeze, lost bool
	reached      chan struct{}
	// calls is for which time each call under way is made.
	calls map[string]int
}

// listen taps the engine at work from now on.
func (s *scene) listen(at *point) *tap {
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	s.tap = &tap{w: s.engine, seen: map[string]int{}, at: at, reached: make(chan struct{}), calls: map[string]int{}}
	return s.tap
}

// is says whether the engine was stopped at a point.
func (t *tap) is(p point) bool {
	select {
	case <-t.reached:
		return t.at != nil && *t.at == p
	default:
		return false
	}
}

// unhook ends the listening and returns all points that there were, and whether that of the tap was reached.
func (s *scene) unhook() (points []point, reached bool) {
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	t := s.tap
	s.tap = nil
	for what, n := range t.seen {
		for i := range n {
			points = append(points, point{what, i + 1, false}, point{what, i + 1, true})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return strings.Compare(a.what+a.String(), b.what+b.String()) })
	select {
	case <-t.reached:
		reached = true
	default:
	}
	return points, reached
}

// arrive is where an engine is before it does something; it returns for which time it does that.
func (s *scene) arrive(w *worker, what string) (nth int, err error) {
	s.hookMu.Lock()
	if t := s.tap; t != nil && t.w == w && what != "" {
		t.seen[what]++
		nth = t.seen[what]
	}
	s.hookMu.Unlock()
	return nth, s.pass(w, point{what, nth, false})
}

// pass lets an engine go on past a point, unless it is dead or dies there. A frozen one waits.
func (s *scene) pass(w *worker, p point) error {
	s.hookMu.Lock()
	t := s.tap
	here := t != nil && t.w == w && t.at != nil && *t.at == p && !t.is(p)
	freeze := here && t.freeze
	if here {
		close(t.reached)
	}
	if freeze {
		w.ice = make(chan struct{})
	} else if here {
		w.dead.Store(true)
	}
	ice := w.ice
	s.hookMu.Unlock()
	if ice != nil {
		<-ice
	}
	if here && !freeze {
		w.store.Close()
	}
	if w.dead.Load() && !freeze {
		w.cancel()
		return errCrashed
	}
	return nil
}

// through does what an engine does.
func (s *scene) through(w *worker, what string, do func() error) error {
	nth, err := s.arrive(w, what)
	if err != nil {
		return err
	}
	err = do()
	if e := s.pass(w, point{what, nth, true}); e != nil {
		return e
	}
	return err
}

type workerKey struct{}

// worker is the engine that something is done by; what comes from outside is done by the one at work.
func (s *scene) worker(ctx context.Context) *worker {
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	return s.workerOf(ctx)
}

func (s *scene) workerOf(ctx context.Context) *worker {
	if w, ok := ctx.Value(workerKey{}).(*worker); ok {
		return w
	}
	return s.engine
}

// around is for what is done to machines, Kubernetes and etcd.
func (s *scene) around(ctx context.Context, what string, do func() error) error {
	return s.through(s.worker(ctx), what, do)
}

// hooks are for the calls to one cloud.
func (s *scene) hooks(p cloud.Provider) cloudtest.Hooks {
	name := func(c cloudtest.Call) string {
		return strings.TrimRight(fmt.Sprintf("%s: %s %s%s", p, c.Op, strings.TrimSpace(string(c.Kind)+" "+c.Key), map[bool]string{true: c.Region}[c.Key == ""]), " ")
	}
	id := func(c cloudtest.Call) string { return fmt.Sprint(p, c.Seq) }
	return cloudtest.Hooks{
		Before: func(ctx context.Context, c cloudtest.Call) error {
			if err := s.hook(false, c, nil); err != nil {
				return err
			}
			nth, err := s.arrive(s.worker(ctx), name(c))
			s.hookMu.Lock()
			defer s.hookMu.Unlock()
			if s.tap != nil {
				s.tap.calls[id(c)] = nth
			}
			return err
		},
		After: func(ctx context.Context, c cloudtest.Call, err error) error {
			nth := 0
			s.hookMu.Lock()
			if t := s.tap; t != nil {
				nth = t.calls[id(c)]
			}
			s.hookMu.Unlock()
			w := s.worker(ctx)
			if e := s.pass(w, point{name(c), nth, true}); e != nil {
				return e
			}
			return s.hook(true, c, s.answer(w, name(c), nth, err))
		},
	}
}

// answer is what an engine hears of a call.
func (s *scene) answer(w *worker, what string, nth int, err error) error {
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	if t := s.tap; t != nil && t.w == w && t.lost && (t.is(point{what, nth, false}) || t.is(point{what, nth, true})) {
		return &cloud.Error{Class: cloud.Unavailable, Op: what, Message: "the connection was closed"}
	}
	return err
}

// uncounted are writes that the scene causes itself, and that of the clock's: a lease may be renewed at any time.
var uncounted = regexp.MustCompile(`^(wake cluster|renew the lease|check the master key|end the leases) ?`)

var numbered = regexp.MustCompile(`\b(run|change|intent) ([0-9]+)`)

// writeName is what a write is in every life: without ids, and an intent by what it is about.
func (s *scene) writeName(w *worker, what string) string {
	s.hookMu.Lock()
	tapped := s.tap != nil && s.tap.w == w
	s.hookMu.Unlock()
	if !tapped || uncounted.MatchString(what) {
		return ""
	}
	uid, _ := s.uid.Load().(string)
	if m := numbered.FindStringSubmatch(what); m != nil && m[1] == "intent" {
		open, err := w.store.ListOpenIntents(context.Background(), uid)
		for _, i := range open {
			if err == nil && fmt.Sprint(i.ID) == m[2] {
				what = strings.ReplaceAll(what, "intent "+m[2], "the intent to "+i.Action+" "+i.Key)
			}
		}
	}
	if uid != "" {
		what = strings.ReplaceAll(what, uid, "UID")
	}
	return "store: " + numbered.ReplaceAllString(what, "$1")
}
