package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// State is how far a step is.
type State string

// The states of a step.
const (
	Pending State = "pending"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
	Skipped State = "skipped" // a step it depends on failed, or the walk was stopped before
)

// ErrStopped is why steps are skipped when a walk is stopped.
var ErrStopped = errors.New("the run was stopped before this step")

// Walk does the steps of a graph, each after those it depends on and those it only comes after, at most limit at once. A
// failed step stops only what depends on it. When ctx is done no further step begins, and those running see it. The report is called for every
// change of a step's state, never concurrently. Walk returns the joined errors of the failed steps.
func Walk(ctx context.Context, g Graph, limit int, do func(context.Context, Step) error, report func(Step, State, error)) error {
	w := walker{waiting: map[string]int{}, dependents: map[string][]int{}, followers: map[string][]int{}, state: make([]State, len(g.Steps)), report: report, g: g}
	for i, s := range g.Steps {
		w.state[i], w.waiting[s.ID] = Pending, len(s.DependsOn)+len(s.After)
		for _, d := range s.DependsOn {
			w.dependents[d] = append(w.dependents[d], i)
		}
		for _, d := range s.After {
			w.followers[d] = append(w.followers[d], i)
		}
	}
	type result struct {
		i   int
		err error
	}
	results := make(chan result)
	var errs []error
	for i, s := range g.Steps {
		if w.waiting[s.ID] == 0 {
			w.ready = append(w.ready, i)
		}
	}
	running := 0
	var group sync.WaitGroup
	for len(w.ready) > 0 || running > 0 {
		for len(w.ready) > 0 && running < max(1, limit) {
			i := w.ready[0]
			w.ready = w.ready[1:]
			if ctx.Err() != nil {
				w.skip(i, ErrStopped)
				continue
			}
			w.set(i, Running, nil)
			running++
			group.Go(func() { results <- result{i, do(ctx, g.Steps[i])} })
		}
		if running == 0 {
			break
		}
		r := <-results
		running--
		if r.err != nil {
			w.set(r.i, Failed, r.err)
			errs = append(errs, fmt.Errorf("%s: %w", g.Steps[r.i].ID, r.err))
			for _, d := range w.dependents[g.Steps[r.i].ID] {
				w.skip(d, fmt.Errorf("%s failed", g.Steps[r.i].ID))
			}
		} else {
			w.set(r.i, Done, nil)
			w.release(w.dependents[g.Steps[r.i].ID])
		}
		w.release(w.followers[g.Steps[r.i].ID])
	}
	group.Wait()
	if ctx.Err() != nil {
		for i := range g.Steps {
			w.skip(i, ErrStopped)
		}
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}

type walker struct {
	g          Graph
	waiting    map[string]int
	dependents map[string][]int // who depends on a step
	followers  map[string][]int // who only comes after it
	ready      []int
	state      []State
	report     func(Step, State, error)
}

func (w *walker) set(i int, s State, err error) {
	w.state[i] = s
	if w.report != nil {
		w.report(w.g.Steps[i], s, err)
	}
}

// release lets steps wait for one less.
func (w *walker) release(steps []int) {
	for _, i := range steps {
		id := w.g.Steps[i].ID
		if w.waiting[id]--; w.waiting[id] == 0 && w.state[i] == Pending {
			w.ready = append(w.ready, i)
		}
	}
}

// skip marks a pending step and all that depend on it.
func (w *walker) skip(i int, why error) {
	if w.state[i] != Pending {
		return
	}
	w.set(i, Skipped, why)
	for _, d := range w.dependents[w.g.Steps[i].ID] {
		w.skip(d, why)
	}
	w.release(w.followers[w.g.Steps[i].ID])
}
