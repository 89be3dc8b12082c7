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

// Walk does the steps of a graph, each after those it depends on, at most limit at once. A failed step stops only what
// depends on it. When ctx is done no further step begins, and those running see it. The report is called for every
// change of a step's state, never concurrently. Walk returns the joined errors of the failed steps.
func Walk(ctx context.Context, g Graph, limit int, do func(context.Context, Step) error, report func(Step, State, error)) error {
	w := walker{waiting: map[string]int{}, dependents: map[string][]int{}, state: make([]State, len(g.Steps)), report: report, g: g}
	for i, s := range g.Steps {
		w.state[i], w.waiting[s.ID] = Pending, len(s.DependsOn)
		for _, d := range s.DependsOn {
			w.dependents[d] = append(w.dependents[d], i)
		}
	}
	type result struct {
		i   int
		err error
	}
	results := make(chan result)
	var errs []error
	var ready []int
	for i, s := range g.Steps {
		if len(s.DependsOn) == 0 {
			ready = append(ready, i)
		}
	}
	running := 0
	var group sync.WaitGroup
	for len(ready) > 0 || running > 0 {
		for len(ready) > 0 && running < max(1, limit) {
			i := ready[0]
			ready = ready[1:]
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
			continue
		}
		w.set(r.i, Done, nil)
		for _, d := range w.dependents[g.Steps[r.i].ID] {
			w.waiting[g.Steps[d].ID]--
			if w.waiting[g.Steps[d].ID] == 0 && w.state[d] == Pending {
				ready = append(ready, d)
			}
		}
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
	dependents map[string][]int
	state      []State
	report     func(Step, State, error)
}

func (w *walker) set(i int, s State, err error) {
	w.state[i] = s
	if w.report != nil {
		w.report(w.g.Steps[i], s, err)
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
}
