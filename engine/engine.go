// Package engine brings clusters to what was asked for: it claims a cluster, surveys it, plans, walks the plan, verifies,
// and does the same again every hour. A dry run, a creation, a change, a repair and a delete are all this one way. It
// speaks to clouds only through cloud.Driver and serves no requests; that is package api's work.
//
// # Where to find what
//
// The one way, in its order:
//
//   - engine.go and run.go: what becomes of a claimed cluster
//   - survey.go, observe.go, recovery_look.go: what is wanted, and what there is
//   - preflight.go: would the accounts refuse it? The plan itself is package plan's, and ends a dry run (dryrun.go)
//   - cloudsteps.go, retry.go, late.go: a step on a cloud's resource, with intent and ledger
//   - nodesteps.go, machines.go: a step on a node
//   - outcome.go, health.go, receipt.go: what is left of a run
//
// What leads to it: clusters.go and changes.go (somebody asks), schedule.go (it is time), care.go (something looks wrong).
// What stops it: halt.go, pause.go. Beside it: accounts.go, regions.go, cost.go, seen.go and access.go answer questions,
// deletion.go, abandon.go and sweep.go remove, recovery.go and its neighbours bring a lost control plane back.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
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
	// FindEgress finds that out, through an account's proxy (a URL, empty for none); nil for the function of that name.
	FindEgress func(ctx context.Context, proxy string) ([]netip.Prefix, error)
	// FirstContact is how long a new machine may take until it answers SSH; 0 means 10 minutes.
	FirstContact time.Duration
	// ListLag is how long a cloud's lists may leave out what was just made, and show what was just deleted; 0 means 2 minutes.
	ListLag time.Duration
	// LatencyWindow is the stretch of time, in whole seconds, of which nodes make one measurement of the ways to other sites;
	// 0 means a minute.
	LatencyWindow time.Duration
	// Every is how often a cluster is reconciled when nothing is asked.
	Every time.Duration
	// Parallel is how many steps of one run are done at once.
	Parallel int
	// Clusters is how many clusters are worked on at once.
	Clusters int
	// Name tells this engine from others that share the store.
	Name string
	Log  *slog.Logger
	// Meter is told what the engine does; nil for nobody.
	Meter Meter
	// Grace is how long steps that are going on may take to come to their end when the engine stops; 0 breaks them off.
	Grace time.Duration
	// Nodeside is how what runs on machines is reached; the zero value is SSH and HTTPS.
	Nodeside Nodeside
}

// Engine is one engine.
type Engine struct {
	opts  Options
	store *store.Store
	log   *slog.Logger

	life      liveness
	patience  patience
	sightings sightings
	deletions deletions
	creations creations

	sweepMu sync.Mutex
	sweeps  []*Sweep // the last
	swept   int64    // how many there were

	driverMu sync.Mutex
	drivers  map[string]cachedDriver
	traffics map[string]*traffic.Account // by account
	told     map[tellKey]string          // the bad states of accounts that clusters have an event of

	agentOnce sync.Once
	agentSum  string
	agentErr  error
}

// New makes an engine; Run starts it.
func New(opts Options) *Engine {
	opts.Nodeside = opts.Nodeside.orReal()
	if opts.Meter == nil {
		opts.Meter = unmetered{}
	}
	if opts.FindEgress == nil {
		opts.FindEgress = FindEgress
	}
	e := &Engine{opts: opts, store: opts.Store, log: opts.Log, patience: usualPatience, drivers: map[string]cachedDriver{}, traffics: map[string]*traffic.Account{}, told: map[tellKey]string{}}
	if opts.FirstContact > 0 {
		e.patience.ssh = opts.FirstContact
	}
	if opts.ListLag > 0 {
		e.patience.listLag = opts.ListLag
	}
	return e
}

// Status is the engine's own document about a cluster.
type Status struct {
	// Initialized says that kubeadm init has succeeded once.
	Initialized bool `json:"initialized"`
	// Failures counts the failed runs since the last good one.
	Failures int `json:"failures,omitempty"`
	// Egress is where the engine was found to come from last, by account; none where that is said by a setting.
	Egress map[string][]netip.Prefix `json:"egress,omitempty"`
	// Ways are the round trips that machines measured before Kubernetes was set up, by the keys of plan.Way.
	Ways map[string]Way `json:"ways,omitempty"`
	// Etcd is the id of the cluster that etcd's members form, empty when it isn't known.
	Etcd string `json:"etcd,omitempty"`
	// PathMTU is the largest packet that the ways between all sites carry, in bytes, as it was found last; 0 where nothing is known.
	PathMTU int `json:"pathMTU,omitempty"`
	// Identity is that of its Kubernetes, empty when it isn't known.
	Identity string `json:"identity,omitempty"`
	// EmptySince is, of a cluster that is being deleted, since when no list has shown anything of it.
	EmptySince time.Time `json:"emptySince,omitzero"`
	// Cleared says, of one that is being deleted, that its Kubernetes has been asked to remove what it had made in the clouds;
	// Leftovers are what stayed, Obstacles what kept the last run from finishing.
	Cleared   bool            `json:"cleared,omitempty"`
	Leftovers []kube.Leftover `json:"leftovers,omitempty"`
	Obstacles []Obstacle      `json:"obstacles,omitempty"`
}

// work does one run of a claimed cluster and gives it back with the time of the next.
func (e *Engine) work(ctx context.Context, claim *store.Claim) {
	name, engine := claim.Current.Name, ctx
	ctx, cancel := context.WithCancelCause(inEngine(ctx))
	defer cancel(nil)
	// The lease is held for as long as there is work, be it what an engine that is stopping brings to its end.
	held, letGo := context.WithCancel(context.WithoutCancel(ctx))
	defer letGo()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.keepLease(held, func() { cancel(store.ErrFenced) }, claim.Fence)
	}()
	next, err := e.reconcile(ctx, claim)
	e.tellAccounts(context.WithoutCancel(ctx), claim.Current)
	letGo()
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
	if engine.Err() != nil { // stopped in the middle: whoever is there takes it up at once
		next = time.Now()
	}
	if err := e.store.Release(context.WithoutCancel(ctx), claim.Fence, time.Until(next)); err != nil {
		e.log.Warn("the lease could not be given back", "cluster", name, "err", err)
	}
}

// firmly returns a context for what has begun when ctx ends: it may come to its end, for as long as the engine's grace lasts. A
// lease that was lost ends it at once.
func (e *Engine) firmly(ctx context.Context) (context.Context, context.CancelFunc) {
	firm, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		why := context.Cause(ctx)
		if e.opts.Grace <= 0 || errors.Is(why, store.ErrFenced) {
			cancel(why)
			return
		}
		patient := time.AfterFunc(e.opts.Grace, func() { cancel(why) })
		context.AfterFunc(firm, func() { patient.Stop() })
	})
	return firm, func() { stop(); cancel(nil) }
}

func (e *Engine) keepLease(ctx context.Context, stop context.CancelFunc, fence store.Fence) {
	tick := time.NewTicker(e.patience.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, _, err := e.store.Renew(ctx, fence, e.patience.lease); errors.Is(err, store.ErrFenced) {
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
	end := context.WithoutCancel(ctx)
	changes, c, err := e.takeChanges(ctx, fence, c)
	if err != nil && ctx.Err() != nil {
		return time.Now(), err
	} else if err != nil {
		return e.conclude(end, fence, c, nil, err)
	}
	deleting := !c.DeleteRequested.IsZero() || slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Kind == store.Delete })
	if !deleting {
		if _, err := e.ensureKeys(ctx, fence, c.Name); err != nil && ctx.Err() == nil {
			return e.conclude(end, fence, c, nil, err)
		}
	}
	if slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Tries == 0 }) {
		ctx = traffic.Eager(ctx) // whoever has asked may know that a cloud is back
	}
	reason := runReason(changes, deleting, c)
	if reason == scheduled {
		reason = e.wokenFor(ctx, c)
	}
	s, quiet, err := e.passes(ctx, fence, c, deleting, reason)
	if ctx.Err() != nil {
		return time.Now(), errors.Join(ctx.Err(), err)
	}
	if halted(err) != nil { // the next run goes on, with the deletion or after the pause
		return time.Now(), nil
	}
	if deleting && err == nil {
		if err = e.bury(end, fence, c, s, quiet); err == nil {
			return time.Time{}, nil
		}
		if wait, ok := errors.AsType[*notYet](err); ok {
			return time.Now().Add(wait.left), e.saveStatus(end, fence, store.Deleting, s, wait.condition(), e.tellObstacles(end, c, s, s.status))
		}
	}
	if c.Spec.Measures() && !deleting {
		err = errors.Join(err, e.endMeasuring(end, fence, c, s, err))
	}
	next, concluded := e.conclude(end, fence, c, s, err)
	if err == nil && !deleting {
		approved := slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Kind == store.Approve })
		e.keepSnapshot(ctx, fence, s, approved)
	}
	return next, concluded
}

// morePasses is how often a run looks again after it did something. What a plan could not foresee (a resource that
// changed meanwhile) is met by the next.
const morePasses = 3

// passes looks and does what the plan says until there is nothing left to do. quiet says that there was nothing from the
// beginning.
func (e *Engine) passes(ctx context.Context, fence store.Fence, c store.Cluster, deleting bool, reason string) (s *survey, quiet bool, err error) {
	for pass, limit := 0, morePasses; ; pass++ {
		if s, err = e.look(ctx, c, c.Spec, deleting); err != nil {
			return s, false, err
		}
		e.creations.looked(s)
		if pass > 0 && len(s.graph.Steps) == 0 {
			return s, false, s.unmended()
		}
		if pass > 0 {
			reason = "verify: " + s.graph.Steps[0].ID
		}
		if pass > limit {
			return s, false, fmt.Errorf("after %d passes there is still something to do: %s, because %s", pass, s.graph.Steps[0].ID, s.graph.Steps[0].Reason)
		}
		if len(s.graph.Steps) > 0 || c.Phase == store.Pending {
			if err = e.saveStatus(ctx, fence, store.Reconciling, s); err != nil {
				return s, false, err
			}
		}
		if s.graph.More {
			limit++
		}
		if err = e.carryOut(ctx, s, fence, reason, deleting); err != nil || len(s.graph.Steps) == 0 {
			return s, true, err
		}
		if c, err = e.store.GetClusterByUID(ctx, c.UID); err != nil {
			return s, false, err
		}
	}
}

// carryOut does what a survey planned. A deletion that is asked for meanwhile, or a pause, breaks it off.
func (e *Engine) carryOut(ctx context.Context, s *survey, fence store.Fence, reason string, deleting bool) error {
	r := newRun(s, fence)
	if !deleting {
		var cancel context.CancelFunc
		r.halt, cancel = e.untilHalted(ctx, s.cluster.UID)
		defer cancel()
		r.tellTunnels(ctx)
	}
	return r.execute(ctx, reason)
}

func runReason(changes []store.Change, deleting bool, c store.Cluster) string {
	switch {
	case deleting:
		return "delete"
	case len(changes) > 0:
		last := changes[len(changes)-1]
		text := fmt.Sprintf("change %d: %s", last.ID, last.Kind)
		if last.Tries > 0 {
			text += fmt.Sprintf(", try %d", last.Tries+1)
		}
		return text
	case c.Phase == store.Degraded || c.Phase == store.Reconciling:
		return "another try"
	}
	return scheduled
}

// scheduled is the reason of a run whose time has come, and nothing else.
const scheduled = "scheduled"

// wokenFor is the reason of a run for which nobody asked: what was seen since the last one, if anything.
func (e *Engine) wokenFor(ctx context.Context, c store.Cluster) string {
	care, err := e.store.GetCare(ctx, c.UID)
	if err != nil {
		return scheduled // to know better isn't worth a run
	}
	for _, cond := range care.Conditions {
		if !Well(cond.Type, cond.Status) && cond.Type != farType {
			return "seen: " + cond.Message
		}
	}
	return scheduled
}

// recall reads what the engine remembers of a cluster. What of it can't be read is no reason not to delete the cluster.
func (e *Engine) recall(ctx context.Context, c store.Cluster) (*factsMap, Status, *keys, error) {
	facts := &factsMap{m: map[string]*Facts{}}
	var status Status
	readable := func(err error) bool { return err == nil || !c.DeleteRequested.IsZero() }
	if len(c.Status) > 0 {
		if err := json.Unmarshal(c.Status, &status); !readable(err) {
			return nil, status, nil, fmt.Errorf("status of cluster %s: %w", c.Name, err)
		}
	}
	nodes, err := e.store.GetNodes(ctx, c.UID)
	if err != nil {
		return nil, status, nil, err
	}
	for _, n := range nodes {
		f, err := readFacts(n)
		if !readable(err) {
			return nil, status, nil, err
		}
		if err == nil {
			facts.put(&f)
		}
	}
	k, err := e.loadKeys(ctx, c.UID)
	if !c.DeleteRequested.IsZero() && err != nil && ctx.Err() == nil {
		e.log.Warn("the keys of a cluster that is being deleted can't be read", "cluster", c.Name, "err", err)
		k, err = nil, nil
	}
	return facts, status, k, err
}

// event tells people what happened. One that can't be written is logged: nothing else depends on it.
func (e *Engine) event(ctx context.Context, cluster, kind, reason, object, message string) {
	if _, err := e.store.AddEvent(context.WithoutCancel(ctx), store.Event{Cluster: cluster, Type: kind, Reason: reason, Object: object, Message: message}); err != nil {
		e.log.Warn("an event could not be written", "cluster", cluster, "reason", reason, "object", object, "err", err)
	}
}
