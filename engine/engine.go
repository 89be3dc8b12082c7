// Package engine brings clusters to what was asked for: it claims a cluster, surveys it, plans, walks the plan, verifies,
// and does the same again every hour. A dry run, a creation, a change, a repair and a delete are all this one way. It
// speaks to clouds only through cloud.Driver and serves no requests; that is package api's work.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Factory makes the driver of an account.
type Factory func(ctx context.Context, account cloud.Account, transport cloud.Transport) (cloud.Driver, error)

// Options are what an engine is made with.
type Options struct {
	Store *store.Store
	// Drivers are the clouds it can speak to.
	Drivers map[cloud.Provider]Factory
	// Agent is the path of the program that is put on machines.
	Agent string
	// Bundle is what machines install.
	Bundle node.Bundle
	// Egress is the address the engine reaches the internet from, for accounts that don't say; empty means that it is
	// found out.
	Egress []netip.Prefix
	// Every is how often a cluster is reconciled when nothing is asked.
	Every time.Duration
	// Parallel is how many steps of one run are done at once.
	Parallel int
	// Clusters is how many clusters are worked on at once.
	Clusters int
	// Name tells this engine from others that share the store.
	Name string
	Log  *slog.Logger
}

// The lease on a cluster is renewed at a third of its time.
const leaseTime = 15 * time.Second

// Engine is one engine.
type Engine struct {
	opts  Options
	store *store.Store
	log   *slog.Logger

	driverMu sync.Mutex
	drivers  map[string]cachedDriver

	agentOnce sync.Once
	agentSum  string
	agentErr  error
}

// New makes an engine; Run starts it.
func New(opts Options) *Engine {
	return &Engine{opts: opts, store: opts.Store, log: opts.Log, drivers: map[string]cachedDriver{}}
}

// Status is the engine's own document about a cluster.
type Status struct {
	// Initialized says that kubeadm init has succeeded once.
	Initialized bool `json:"initialized"`
	// Failures counts the failed runs since the last good one.
	Failures int `json:"failures,omitempty"`
}

// Run works on clusters that are due until ctx is done; it returns when the runs under way have stopped at the next step.
func (e *Engine) Run(ctx context.Context) error {
	watch := e.store.Watch()
	defer watch.Close()
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, max(1, e.opts.Clusters))
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		claim, err := e.store.ClaimCluster(ctx, e.opts.Name, leaseTime)
		if claim != nil {
			group.Go(func() {
				defer func() { <-slots }()
				e.work(ctx, claim)
			})
			continue
		}
		<-slots
		if err != nil && ctx.Err() == nil {
			e.log.Error("no cluster could be claimed", "err", err)
		}
		e.idle(ctx, watch)
	}
	return nil
}

// idle waits until something may be due.
func (e *Engine) idle(ctx context.Context, watch *store.Watcher) {
	wait := 5 * time.Second
	if at, ok, err := e.store.NextDue(ctx); err == nil && ok {
		wait = min(wait, max(50*time.Millisecond, time.Until(at)))
	}
	select {
	case <-ctx.Done():
	case <-watch.Ready():
		watch.Take()
	case <-time.After(wait):
	}
}

// work does one run of a claimed cluster and gives it back with the time of the next.
func (e *Engine) work(ctx context.Context, claim *store.Claim) {
	name := claim.Current.Name
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.keepLease(ctx, cancel, claim.Fence)
	}()
	next, err := e.reconcile(ctx, claim)
	cancel()
	<-done
	switch {
	case errors.Is(err, store.ErrFenced):
		e.log.Warn("the lease was lost", "cluster", name, "err", err)
		return
	case err != nil && !errors.Is(err, context.Canceled):
		e.log.Warn("a run failed", "cluster", name, "err", err)
	}
	if next.IsZero() {
		return // deleted
	}
	if err := e.store.Release(context.WithoutCancel(ctx), claim.Fence, next); err != nil {
		e.log.Warn("the lease could not be given back", "cluster", name, "err", err)
	}
}

func (e *Engine) keepLease(ctx context.Context, stop context.CancelFunc, fence store.Fence) {
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, _, err := e.store.Renew(ctx, fence, leaseTime); errors.Is(err, store.ErrFenced) {
				stop()
				return
			}
		}
	}
}

// reconcile takes on what was asked, and brings the cluster to it. It returns when the next run is due, the zero time when
// the cluster is no more.
func (e *Engine) reconcile(ctx context.Context, claim *store.Claim) (time.Time, error) {
	fence, c := claim.Fence, claim.Current
	soon := time.Now().Add(10 * time.Second)
	changes, c, err := e.takeChanges(ctx, fence, c)
	if err != nil {
		return soon, err
	}
	if _, err := e.ensureKeys(ctx, fence, c.Name); err != nil {
		return soon, err
	}
	deleting := !c.DeleteRequested.IsZero() || slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Kind == store.Delete })
	reason := runReason(changes, deleting, c)
	s, err := e.pass(ctx, fence, c, deleting, reason)
	// What the first pass could not foresee (a resource that changed meanwhile) is met by one more.
	if err == nil && len(s.graph.Steps) > 0 {
		if c, err = e.store.GetClusterByUID(ctx, c.UID); err != nil {
			return soon, err
		}
		if s, err = e.look(ctx, c, c.Spec, deleting); err == nil && len(s.graph.Steps) > 0 {
			s, err = e.pass(ctx, fence, c, deleting, "verify: "+s.graph.Steps[0].ID)
		}
	}
	if ctx.Err() != nil {
		return time.Now(), ctx.Err()
	}
	end := context.WithoutCancel(ctx)
	if deleting && err == nil {
		if err = e.bury(end, fence, c, s, changes); err == nil {
			return time.Time{}, nil
		}
	}
	return e.conclude(end, fence, c, s, changes, err)
}

// pass looks and does what the plan says.
func (e *Engine) pass(ctx context.Context, fence store.Fence, c store.Cluster, deleting bool, reason string) (*survey, error) {
	s, err := e.look(ctx, c, c.Spec, deleting)
	if err != nil {
		return s, err
	}
	if err := e.saveStatus(ctx, fence, store.Reconciling, s); err != nil {
		return s, err
	}
	return s, newRun(s, fence).execute(ctx, reason)
}

// takeChanges makes the newest queued spec the one in force.
func (e *Engine) takeChanges(ctx context.Context, fence store.Fence, c store.Cluster) ([]store.Change, store.Cluster, error) {
	changes, err := e.store.ListChanges(ctx, c.UID, store.Queued, store.Applying)
	if err != nil {
		return nil, c, err
	}
	for _, ch := range changes {
		generation := c.Generation
		if len(ch.Body) > 0 && ch.State == store.Queued && ch.Generation == 0 {
			var wanted spec.Cluster
			if err := json.Unmarshal(ch.Body, &wanted); err != nil {
				return nil, c, fmt.Errorf("change %d: %w", ch.ID, err)
			}
			if !sameSpec(&wanted, c.Spec) {
				if generation, err = e.store.UpdateSpec(ctx, fence, c.Generation, &wanted, ch.Who); err != nil {
					return nil, c, err
				}
				if c, err = e.store.GetClusterByUID(ctx, c.UID); err != nil {
					return nil, c, err
				}
			}
		}
		if ch.State == store.Queued {
			if err := e.store.SetChange(ctx, fence, ch.ID, store.Applying, generation, ""); err != nil {
				return nil, c, err
			}
		}
	}
	return changes, c, nil
}

func sameSpec(a, b *spec.Cluster) bool {
	x, errX := json.Marshal(a.Spec)
	y, errY := json.Marshal(b.Spec)
	return errX == nil && errY == nil && string(x) == string(y)
}

func runReason(changes []store.Change, deleting bool, c store.Cluster) string {
	switch {
	case deleting:
		return "delete"
	case len(changes) > 0:
		return fmt.Sprintf("change %d: %s", changes[len(changes)-1].ID, changes[len(changes)-1].Kind)
	case c.Phase == store.Degraded || c.Phase == store.Reconciling:
		return "another try"
	}
	return "scheduled"
}

// conclude records how a run ended and says when the next one is due.
func (e *Engine) conclude(ctx context.Context, fence store.Fence, c store.Cluster, s *survey, changes []store.Change, runErr error) (time.Time, error) {
	if s == nil {
		_, status, _, err := e.recall(ctx, c)
		if err != nil {
			return time.Now().Add(10 * time.Second), errors.Join(runErr, err)
		}
		s = &survey{status: status}
	}
	phase, state, text := store.Ready, store.Applied, ""
	next := time.Now().Add(time.Duration(float64(e.opts.Every) * (0.9 + 0.2*rand.Float64())))
	s.status.Failures = 0
	if runErr != nil {
		phase, state, text = store.Degraded, store.Failed, runErr.Error()
		fresh, err := e.store.GetClusterByUID(ctx, c.UID)
		if err == nil {
			var was Status
			if json.Unmarshal(fresh.Status, &was) == nil {
				s.status.Failures = was.Failures + 1
			}
		}
		next = time.Now().Add(min(5*time.Minute, e.opts.Every, 5*time.Second<<min(10, s.status.Failures)))
		e.event(ctx, c.UID, store.Warning, "RunFailed", "cluster "+c.Name, text)
	}
	for _, ch := range changes {
		if err := e.store.SetChange(ctx, fence, ch.ID, state, 0, text); err != nil {
			return next, errors.Join(runErr, err)
		}
	}
	return next, errors.Join(runErr, e.saveStatus(ctx, fence, phase, s, readyCondition(runErr)))
}

func readyCondition(err error) store.Condition {
	c := store.Condition{Type: "Ready", Status: "True", Reason: "AsWanted", Message: "everything is as it was asked for"}
	if err != nil {
		c = store.Condition{Type: "Ready", Status: "False", Reason: "RunFailed", Message: err.Error()}
	}
	c.Since = time.Now().UTC()
	return c
}

// bury ends a cluster's life once nothing of it is left in any cloud.
func (e *Engine) bury(ctx context.Context, fence store.Fence, c store.Cluster, s *survey, changes []store.Change) error {
	for _, o := range s.got {
		if o.State != cloud.Gone && (o.Recorded || o.Intended) {
			return fmt.Errorf("%s %s (%s) is still there", o.Kind, o.Key, o.ID)
		}
	}
	if err := newRun(s, fence).settle(ctx); err != nil {
		return err
	}
	intents, err := e.store.ListOpenIntents(ctx, c.UID)
	if err != nil {
		return err
	}
	for _, i := range intents {
		if err := e.store.ResolveIntent(ctx, fence, i.ID, store.Resolution{State: store.IntentFailed}); err != nil {
			return err
		}
	}
	e.event(ctx, c.UID, store.Normal, "Deleted", "cluster "+c.Name, "nothing of it is left in any account")
	for _, ch := range changes {
		if err := e.store.SetChange(ctx, fence, ch.ID, store.Applied, 0, ""); err != nil {
			return err
		}
	}
	return e.store.MarkDeleted(ctx, fence)
}

// saveStatus stores phase, conditions and status; conditions that aren't given stay.
func (e *Engine) saveStatus(ctx context.Context, fence store.Fence, phase store.Phase, s *survey, conditions ...store.Condition) error {
	data, err := json.Marshal(s.status)
	if err != nil {
		return fmt.Errorf("status of cluster %s: %w", fence.Cluster, err)
	}
	old, err := e.store.GetClusterByUID(ctx, fence.Cluster)
	if err != nil {
		return err
	}
	merged := map[string]store.Condition{}
	for _, c := range old.Conditions {
		merged[c.Type] = c
	}
	for _, c := range conditions {
		if was, ok := merged[c.Type]; ok && was.Status == c.Status {
			c.Since = was.Since
		}
		merged[c.Type] = c
	}
	var list []store.Condition
	for _, t := range sortedKeys(merged) {
		list = append(list, merged[t])
	}
	return e.store.SetStatus(ctx, fence, phase, list, data)
}

// recall reads what the engine remembers of a cluster.
func (e *Engine) recall(ctx context.Context, c store.Cluster) (*factsMap, Status, *keys, error) {
	facts := &factsMap{m: map[string]*Facts{}}
	var status Status
	if len(c.Status) > 0 {
		if err := json.Unmarshal(c.Status, &status); err != nil {
			return nil, status, nil, fmt.Errorf("status of cluster %s: %w", c.Name, err)
		}
	}
	nodes, err := e.store.GetNodes(ctx, c.UID)
	if err != nil {
		return nil, status, nil, err
	}
	for _, n := range nodes {
		var f Facts
		if err := json.Unmarshal(n.Facts, &f); err != nil {
			return nil, status, nil, fmt.Errorf("facts of node %s: %w", n.Name, err)
		}
		facts.put(&f)
	}
	k, err := e.loadKeys(ctx, c.UID)
	return facts, status, k, err
}

// event tells people what happened. One that can't be written is logged: nothing else depends on it.
func (e *Engine) event(ctx context.Context, cluster, kind, reason, object, message string) {
	if _, err := e.store.AddEvent(context.WithoutCancel(ctx), store.Event{Cluster: cluster, Type: kind, Reason: reason, Object: object, Message: message}); err != nil {
		e.log.Warn("an event could not be written", "reason", reason, "object", object, "err", err)
	}
}
