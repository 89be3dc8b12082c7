package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// halt ends when the run is to stop at the next step (see untilHalted); nil for a deletion, which nothing stops.
	halt context.Context

	objMu   sync.Mutex
	objects map[string]cloud.Object // by key: observed, then made

	doneMu sync.Mutex
	done   map[string]bool // steps

	tokenLock lock
	token     string

	factsLock lock // held from reading a node's facts to writing them
	wayLock   lock // held from reading the measured ways to writing them
	flowLock  lock // held while machines send as much as they can

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
	r := &run{survey: s, fence: fence, objects: map[string]cloud.Object{}, done: map[string]bool{}, watch: map[string]*siteWatch{}, tokenLock: newLock(), factsLock: newLock(), wayLock: newLock(), flowLock: newLock()}
	recorded := map[string]bool{}
	for _, o := range s.got { // of two under one key the recorded one counts
		if _, ok := r.objects[o.Key]; o.State != cloud.Gone && (o.Recorded && !recorded[o.Key] || o.Intended && !ok) {
			r.objects[o.Key], recorded[o.Key] = o.Object, o.Recorded
		}
	}
	for name := range s.sites {
		r.watch[name] = &siteWatch{lock: newLock()}
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
	if err := r.rememberMembers(ctx); err != nil {
		return err
	}
	if err := r.rememberSilence(ctx); err != nil {
		return err
	}
	if err := r.rememberAccepted(ctx); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	recorded, err := r.e.store.CreateRun(ctx, r.fence, reason, r.cluster.Generation, storeSteps(r.graph))
	if err != nil {
		return err
	}
	r.id = recorded.ID
	if n := len(r.graph.Steps); n > 0 {
		r.note(ctx, "RunStarted", "cluster "+r.spec.Metadata.Name, fmt.Sprintf("run %d (%s): %d steps", r.id, reason, n))
	}
	for _, n := range r.graph.Notes {
		r.warn(ctx, "Noted", r.spec.Metadata.Name, n)
	}
	ctx = r.calls.Counted(ctx)
	started := time.Now()
	err = r.walk(ctx)
	end := context.WithoutCancel(ctx)
	outcome, text := OutcomeSucceeded, ""
	switch {
	case err != nil && ctx.Err() != nil:
		outcome, text = OutcomeStopped, "the engine stopped"
	case halted(err) != nil:
		err = halted(err)
		outcome, text = OutcomeStopped, err.Error()
	case err != nil:
		err = errors.Join(err, r.unmended())
		outcome, text = OutcomeFailed, r.scrubber.clean(err.Error())
	default:
		if err = r.unmended(); err != nil {
			outcome, text = OutcomeFailed, r.scrubber.clean(err.Error())
		}
	}
	r.e.opts.Meter.Run(outcome, time.Since(started))
	r.e.log.Info("run ended", "cluster", r.spec.Metadata.Name, "run", r.id, "outcome", outcome, "steps", len(r.graph.Steps), "calls", r.calls.Total(), "took", time.Since(started).Round(time.Millisecond))
	if e := r.e.store.EndRun(end, r.fence, r.id, outcome, text, r.calls.Counts()); e != nil {
		return errors.Join(err, e)
	}
	return errors.Join(err, r.tidy(end))
}

// waits are the actions that wait for a machine, for minutes, and have nothing half done: an engine that stops breaks them off.
var waits = map[plan.Action]bool{plan.Prepare: true}

// metered does a step and tells the meter.
func (r *run) metered(ctx context.Context, s plan.Step) error {
	started := time.Now()
	err := r.step(ctx, s)
	outcome := "done"
	switch {
	case err != nil && (ctx.Err() != nil || halted(err) != nil):
		outcome = "stopped"
	case err != nil:
		outcome = "failed"
	}
	r.e.opts.Meter.Step(string(s.Action), string(s.Kind), outcome, time.Since(started))
	return err
}

// errNotBegun is why steps are skipped when the accounts would refuse a part of the plan.
var errNotBegun = errors.New("not begun, because the accounts would refuse a part of the plan")

// walk does the plan's steps. Of a plan that the accounts would refuse in part only that is done which lets the engine and
// people in to what is there already.
func (r *run) walk(ctx context.Context) error {
	todo := r.graph
	if r.refused != nil {
		kinds := map[string][]cloud.KindInfo{}
		for name, st := range r.sites {
			kinds[name] = st.driver.Kinds()
		}
		todo = plan.Access(r.graph, kinds)
	}
	firm, cancel := r.e.firmly(ctx)
	defer cancel()
	err := plan.Walk(ctx, todo, r.e.opts.Parallel, func(ctx context.Context, s plan.Step) error {
		if !waits[s.Action] {
			ctx = firm
		}
		return r.metered(ctx, s)
	}, func(s plan.Step, st plan.State, stepErr error) { r.record(ctx, s, st, stepErr) })
	if r.refused == nil || ctx.Err() != nil {
		return err
	}
	for _, s := range r.graph.Steps {
		if !slices.ContainsFunc(todo.Steps, func(t plan.Step) bool { return t.ID == s.ID }) {
			r.record(ctx, s, plan.Skipped, errNotBegun)
		}
	}
	for _, p := range r.refused.problems {
		r.warn(ctx, "Refused", "site "+strings.Join(p.sites, ", "), p.Problem.String())
	}
	return errors.Join(err, r.refused)
}

// record writes a step's new state and says so to people.
func (r *run) record(ctx context.Context, s plan.Step, st plan.State, stepErr error) {
	brokenOff := ctx.Err() != nil || halted(stepErr) != nil
	ctx = context.WithoutCancel(ctx)
	text := ""
	if stepErr != nil {
		text = r.scrubber.clean(stepErr.Error())
	}
	if st == plan.Done {
		r.doneMu.Lock()
		r.done[s.ID] = true
		r.doneMu.Unlock()
	}
	if err := r.e.store.SetStep(ctx, r.fence, r.id, s.ID, store.StepState(st), text); err != nil {
		r.e.log.Warn("a step's state could not be recorded", "cluster", r.spec.Metadata.Name, "run", r.id, "step", s.ID, "err", err)
	}
	switch {
	case st == plan.Failed && !brokenOff && r.obstacle(s, stepErr, text):
		r.warn(ctx, "StepFailed", string(s.Kind)+" "+s.Key, text)
	case st == plan.Done && (s.Action == plan.Init || s.Action == plan.Join || s.Action == plan.Rejoin):
		r.note(ctx, "NodeJoined", "node "+s.Key, "it is a node of the cluster now")
	case st == plan.Done && s.Action == plan.Forget:
		r.note(ctx, "NodeRemoved", "node "+s.Key, "it is no node of the cluster any more: "+s.Reason)
	}
	r.e.log.Debug("step", "cluster", r.spec.Metadata.Name, "run", r.id, "step", s.ID, "state", st, "err", text)
}

// step does one step, whatever it is about.
func (r *run) step(ctx context.Context, s plan.Step) error {
	if err := r.mayGoOn(ctx); err != nil {
		return err
	}
	if s.Kind == plan.NodeKind || s.Kind == plan.RoundTripKind {
		ctx, cancel := r.haltable(ctx)
		defer cancel()
		err := r.nodeStep(ctx, s)
		if why := halted(context.Cause(ctx)); err != nil && why != nil {
			return why
		}
		return r.scrubber.error(explain(s, "", err))
	}
	account := ""
	if st := r.sites[s.Site]; st != nil {
		account = st.account.Name
	}
	var err error
	switch s.Kind {
	case plan.KubernetesKind:
		err = r.kubernetesStep(ctx, s)
	case plan.AccountKind:
		err = r.recordInventory(ctx, s)
	default:
		err = r.cloudStep(ctx, s)
	}
	if why := halted(err); why != nil {
		return why
	}
	return r.scrubber.error(explain(s, account, err))
}

// tidy forgets the facts of nodes that are neither wanted nor there any more, so that their addresses are free again.
func (r *run) tidy(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, n := range r.nodes {
		wanted[n.Name] = true
	}
	for _, f := range r.facts.all() {
		if _, unknown := r.unknown[f.Site]; wanted[f.Name] || unknown || r.sites[f.Site] == nil || !r.left(f) {
			continue
		}
		if err := r.e.store.DeleteNode(ctx, r.fence, f.Name); err != nil {
			return err
		}
		r.facts.drop(f.Name)
	}
	return nil
}

// left says that nothing of a node is there any more: its machine and what belongs to it weren't seen or are deleted,
// and Kubernetes doesn't know it.
func (r *run) left(f *Facts) bool {
	if registered, _ := r.membership(f.Name, f); registered && !r.isDone(plan.Forget, f.Name) {
		return false
	}
	for _, key := range append([]string{r.machines[f.Name]}, r.reach[f.Name]...) {
		if r.there(key) && !r.isDone(plan.Delete, key) {
			return false
		}
		for _, i := range r.ledger.intents { // one may still appear
			if i.Key == key && i.Action == string(plan.Create) && r.young(i.Created) {
				return false
			}
		}
	}
	return true
}

func (r *run) isDone(a plan.Action, key string) bool {
	r.doneMu.Lock()
	defer r.doneMu.Unlock()
	return r.done[string(a)+"/"+key]
}

// changeFacts changes what is known of a node, and what is on record. Steps about one node go on side by side (its new machine
// is prepared while etcd forgets the old one): none may write over what another has found out meanwhile.
func (r *run) changeFacts(ctx context.Context, name string, change func(*Facts)) error {
	give, err := r.factsLock.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	f := r.facts.get(name)
	if f == nil {
		return fmt.Errorf("nothing is known of node %s", name)
	}
	next := *f
	change(&next)
	return r.saveFacts(ctx, &next)
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

// unknownErr names the sites that could not be observed, nil when all could.
func (s *survey) unknownErr() error {
	var errs []error
	for _, sp := range s.spec.Spec.Sites {
		if why := s.unknown[sp.Name]; why != "" {
			errs = append(errs, fmt.Errorf("site %s (account %s, %s) could not be observed, so nothing is done there: %s", sp.Name, sp.Account, sp.Region, why))
		}
	}
	return errors.Join(errs...)
}

func (r *run) note(ctx context.Context, reason, object, message string) {
	r.e.event(ctx, r.cluster.UID, store.Normal, reason, object, r.scrubber.clean(message))
}

func (r *run) warn(ctx context.Context, reason, object, message string) {
	r.e.event(ctx, r.cluster.UID, store.Warning, reason, object, r.scrubber.clean(message))
}

func storeSteps(g plan.Graph) []store.Step {
	var out []store.Step
	for _, s := range g.Steps {
		out = append(out, store.Step{ID: s.ID, Key: s.Key, Kind: string(s.Kind), Site: s.Site, Action: string(s.Action), Reason: s.Reason, Phase: string(s.Phase), Depends: slices.Concat(s.DependsOn, s.After)})
	}
	return out
}
