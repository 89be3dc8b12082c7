package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// run is one pass over one cluster: a survey, and the walk over its plan.
type run struct {
	*survey
	id    int64
	fence store.Fence

	objMu   sync.Mutex
	objects map[string]cloud.Object // by key: observed, then made

	tokenMu sync.Mutex
	token   string

	watch map[string]*siteWatch
}

// How a run ended.
const (
	OutcomeSucceeded = "succeeded"
	OutcomeFailed    = "failed"
	OutcomeStopped   = "stopped"
)

// newRun readies a survey for being carried out.
func newRun(s *survey, fence store.Fence) *run {
	r := &run{survey: s, fence: fence, objects: map[string]cloud.Object{}, watch: map[string]*siteWatch{}}
	for _, o := range s.got {
		if o.State != cloud.Gone && (o.Recorded || o.Intended) {
			if old, ok := r.objects[o.Key]; !ok || old.State == cloud.Gone {
				r.objects[o.Key] = o.Object
			}
		}
	}
	for name := range s.sites {
		r.watch[name] = &siteWatch{}
	}
	return r
}

// execute records the plan as a run, walks it and records how it ended.
func (r *run) execute(ctx context.Context, reason string) error {
	for _, n := range r.nodes { // addresses are promised before anything is made with them
		if r.facts.get(n.Name) == nil {
			f := &Facts{Assigned: n.Assigned, Role: n.Role, Group: n.Group}
			if err := r.saveFacts(ctx, f); err != nil {
				return err
			}
		}
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	recorded, err := r.e.store.CreateRun(ctx, r.fence, reason, r.cluster.Generation, storeSteps(r.graph))
	if err != nil {
		return err
	}
	r.id = recorded.ID
	for _, n := range r.graph.Notes {
		r.warn(ctx, "Noted", r.spec.Metadata.Name, n)
	}
	ctx, calls := countCalls(ctx)
	started := time.Now()
	err = plan.Walk(ctx, r.graph, r.e.opts.Parallel, r.step, func(s plan.Step, st plan.State, stepErr error) { r.record(ctx, s, st, stepErr) })
	end := context.WithoutCancel(ctx)
	outcome, text := OutcomeSucceeded, ""
	switch {
	case err != nil && ctx.Err() != nil:
		outcome, text = OutcomeStopped, "the engine stopped"
	case err != nil:
		outcome, text = OutcomeFailed, err.Error()
	case len(r.unknown) > 0:
		outcome, text = OutcomeFailed, r.unknownText()
		err = errors.New(text)
	}
	r.e.log.Info("run ended", "cluster", r.spec.Metadata.Name, "run", r.id, "outcome", outcome, "steps", len(r.graph.Steps), "calls", calls.Load(), "took", time.Since(started).Round(time.Millisecond))
	if e := r.e.store.EndRun(end, r.fence, r.id, outcome, text, map[string]int64{"cloud": calls.Load()}); e != nil {
		return errors.Join(err, e)
	}
	if err == nil {
		err = r.tidy(end)
	}
	return err
}

// record writes a step's new state and says so to people.
func (r *run) record(ctx context.Context, s plan.Step, st plan.State, stepErr error) {
	ctx = context.WithoutCancel(ctx)
	text := ""
	if stepErr != nil {
		text = stepErr.Error()
	}
	if err := r.e.store.SetStep(ctx, r.fence, r.id, s.ID, store.StepState(st), text); err != nil {
		r.e.log.Warn("a step's state could not be recorded", "run", r.id, "step", s.ID, "err", err)
	}
	if st == plan.Failed {
		r.warn(ctx, "StepFailed", s.Key, fmt.Sprintf("%s %s %s: %s", s.Action, s.Kind, s.Key, text))
	}
	r.e.log.Debug("step", "cluster", r.spec.Metadata.Name, "run", r.id, "step", s.ID, "state", st, "err", text)
}

// step does one step, whatever it is about.
func (r *run) step(ctx context.Context, s plan.Step) error {
	if err := r.e.store.Check(ctx, r.fence); err != nil {
		return err
	}
	if s.Kind == plan.NodeKind {
		return r.nodeStep(ctx, s)
	}
	return r.cloudStep(ctx, s)
}

// tidy forgets the facts of nodes that are neither wanted nor there any more, so that their addresses are free again.
func (r *run) tidy(ctx context.Context) error {
	left := map[string]bool{}
	for _, n := range r.planNodes() {
		left[n.Name] = n.Wanted
	}
	deleted := map[string]bool{}
	for _, s := range r.graph.Steps {
		if s.Action == plan.Delete {
			deleted[s.Key] = true
		}
	}
	for _, n := range r.planNodes() {
		if !n.Wanted && (n.Machine == "" || deleted[n.Machine]) {
			delete(left, n.Name)
		}
	}
	for _, f := range r.facts.all() {
		if _, stays := left[f.Name]; stays {
			continue
		}
		if err := r.e.store.DeleteNode(ctx, r.fence, f.Name); err != nil {
			return err
		}
		r.facts.drop(f.Name)
	}
	return nil
}

// saveFacts records what is known of a node, in the store first.
func (r *run) saveFacts(ctx context.Context, f *Facts) error {
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("facts of node %s: %w", f.Name, err)
	}
	if err := r.e.store.PutNode(ctx, r.fence, store.Node{Name: f.Name, Site: f.Site, Role: f.Role, Facts: data}); err != nil {
		return err
	}
	r.facts.put(f)
	return nil
}

func (r *run) unknownText() string {
	text := ""
	for _, sp := range r.spec.Spec.Sites {
		if why := r.unknown[sp.Name]; why != "" {
			text += fmt.Sprintf("site %s could not be observed: %s. ", sp.Name, why)
		}
	}
	return text
}

func (r *run) note(ctx context.Context, reason, object, message string) {
	r.e.event(ctx, r.cluster.UID, store.Normal, reason, object, message)
}

func (r *run) warn(ctx context.Context, reason, object, message string) {
	r.e.event(ctx, r.cluster.UID, store.Warning, reason, object, message)
}

func storeSteps(g plan.Graph) []store.Step {
	var out []store.Step
	for _, s := range g.Steps {
		out = append(out, store.Step{ID: s.ID, Key: s.Key, Kind: string(s.Kind), Site: s.Site, Action: string(s.Action), Reason: s.Reason, Depends: s.DependsOn})
	}
	return out
}
