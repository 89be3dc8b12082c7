package engine

import (
	"context"
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

// A sweep deletes what bears a cluster's mark in an account, for a cluster that no engine remembers. There is no ledger to
// tell what was really made from a copy of its mark: that is for the person to judge who is shown the list.

// Sweep is one sweep of an account.
type Sweep struct {
	ID      int64
	Account string
	// Cluster is the uid in the marks.
	Cluster string
	Regions []string
	Graph   plan.Graph

	e      *Engine
	driver cloud.Driver
	clean  scrubber

	mu      sync.Mutex
	started time.Time
	ended   time.Time
	steps   []store.Step
	failure string
	left    []string
}

// sweepSite stands for the account in a sweep's plan: order counts across all regions there, for some things are in none.
const sweepSite = "account"

// PlanSweep finds what bears a cluster's mark in an account, in the given regions or all of it, and plans its deletion.
func (e *Engine) PlanSweep(ctx context.Context, account, cluster string, regions []string) (*Sweep, error) {
	if err := cloud.CheckUID(cluster); err != nil {
		return nil, Invalidf("cluster", "found %q: want the uid of a cluster, 16 of 0-9 a-f, as 'skyweld inventory %s -o wide' shows it", cluster, account)
	}
	switch c, err := e.store.GetClusterByUID(ctx, cluster); {
	case err == nil && c.Deleted.IsZero():
		return nil, &Problem{Kind: NotNow, Field: "cluster", Message: fmt.Sprintf("%s is cluster %s of this engine, which knows better than marks what belongs to it: use 'skyweld delete %s'", cluster, c.Name, c.Name)}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	a, d, err := e.driver(ctx, account)
	if err != nil {
		return nil, e.noAccount(ctx, account, err)
	}
	if err := checkRegions(a.Provider, regions); err != nil {
		return nil, err
	}
	s := &Sweep{Account: account, Cluster: cluster, e: e, driver: d}
	s.clean.addAccount(a)
	got, err := s.find(ctx, regions)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", account, withAdvice(err, account))
	}
	s.Graph, err = plan.Make(plan.Input{Kinds: map[string][]cloud.KindInfo{sweepSite: d.Kinds()}, Got: got, Deleting: true})
	if err != nil {
		return nil, err
	}
	for i := range s.Graph.Steps {
		st := &s.Graph.Steps[i]
		st.Reason = fmt.Sprintf("%s in %s bears the cluster's mark", st.Got.ID, st.Got.Region)
	}
	return s, nil
}

// find observes every region in which the account's inventory shows the mark.
func (s *Sweep) find(ctx context.Context, regions []string) ([]plan.Observed, error) {
	items, err := s.inventory(ctx, regions)
	if err != nil {
		return nil, err
	}
	anywhere := false
	for _, i := range items {
		if i.Region == "" || i.Region == "global" {
			anywhere = true
		} else if !slices.Contains(s.Regions, i.Region) {
			s.Regions = append(s.Regions, i.Region)
		}
	}
	if anywhere && len(s.Regions) == 0 { // what is in no region is shown in all
		if s.Regions = regions; len(s.Regions) == 0 {
			report, err := retryBriefly(hurried(ctx), s.e.patience, func(ctx context.Context) (cloud.Report, error) { return s.driver.Check(ctx) })
			if err != nil {
				return nil, err
			}
			s.Regions = report.Regions[:min(1, len(report.Regions))]
		}
	}
	slices.Sort(s.Regions)
	var out []plan.Observed
	seen := map[identity]bool{}
	for _, region := range s.Regions {
		objects, err := retryBriefly(hurried(ctx), s.e.patience, func(ctx context.Context) ([]cloud.Object, error) { return s.driver.Observe(ctx, s.Cluster, region) })
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if id := (identity{s.Account, o.Kind, o.ID}); !seen[id] && o.State != cloud.Gone {
				seen[id] = true
				out = append(out, plan.Observed{Object: o, Site: sweepSite, Recorded: true})
			}
		}
	}
	return out, nil
}

// inventory is what of the account's inventory bears the mark.
func (s *Sweep) inventory(ctx context.Context, regions []string) ([]cloud.Item, error) {
	items, err := retryBriefly(hurried(ctx), s.e.patience, func(ctx context.Context) ([]cloud.Item, error) { return s.driver.Inventory(ctx, regions...) })
	return slices.DeleteFunc(items, func(i cloud.Item) bool { return i.Cluster != s.Cluster }), err
}

// StartSweep plans a sweep anew and begins it; SweepOf tells how far it is. only are the ids that whoever asked was shown: what
// isn't among them is left alone.
func (e *Engine) StartSweep(ctx context.Context, account, cluster string, regions, only []string) (*Sweep, error) {
	s, err := e.PlanSweep(ctx, account, cluster, regions)
	if err != nil {
		return nil, err
	}
	for _, st := range s.Graph.Steps {
		if !slices.Contains(only, st.Got.ID) {
			return nil, &Problem{Kind: NotNow, Message: fmt.Sprintf("%s %s has appeared since the list was shown: nothing was done; look at the list again", st.Kind, st.Got.ID)}
		}
	}
	s.steps = storeSteps(s.Graph)
	for i := range s.steps {
		s.steps[i].State = store.StepPending
	}
	s.started = time.Now().UTC()
	e.keepSweep(s)
	// Whoever asked may go away: what has begun goes on.
	go s.run(context.WithoutCancel(ctx), regions)
	return s, nil
}

// keptSweeps is how many sweeps an engine remembers; those that go on it does in any case.
const keptSweeps = 100

// keepSweep remembers a sweep under the next number.
func (e *Engine) keepSweep(s *Sweep) {
	e.sweepMu.Lock()
	defer e.sweepMu.Unlock()
	e.swept++
	s.ID = e.swept
	e.sweeps = append(e.sweeps, s)
	more := len(e.sweeps) - keptSweeps
	e.sweeps = slices.DeleteFunc(e.sweeps, func(s *Sweep) bool {
		if more--; more < 0 {
			return false
		}
		return s.over()
	})
}

func (s *Sweep) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended.IsZero()
}

// SweepOf returns one of the last sweeps that were begun by this engine since it was started.
func (e *Engine) SweepOf(id int64) (*Sweep, error) {
	e.sweepMu.Lock()
	defer e.sweepMu.Unlock()
	i := slices.IndexFunc(e.sweeps, func(s *Sweep) bool { return s.ID == id })
	if i < 0 {
		return nil, &Problem{Kind: Missing, Message: fmt.Sprintf("there is no sweep %d: the engine was started anew since, which ended it, or it ended long ago; begin it again", id)}
	}
	return e.sweeps[i], nil
}

// Progress is how far a sweep is, as a run with its steps, and what of the mark is left when it has ended.
func (s *Sweep) Progress() (store.Run, []store.Step, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := store.Run{ID: s.ID, Cluster: s.Cluster, Reason: "sweep", Started: s.started, Ended: s.ended, Error: s.failure}
	switch {
	case s.ended.IsZero():
	case s.failure != "":
		r.Outcome = OutcomeFailed
	default:
		r.Outcome = OutcomeSucceeded
	}
	return r, slices.Clone(s.steps), s.left
}

func (s *Sweep) run(ctx context.Context, regions []string) {
	err := plan.Walk(ctx, s.Graph, s.e.opts.Parallel, s.step, s.record)
	items, lookErr := s.await(ctx, regions, err == nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range items {
		s.left = append(s.left, fmt.Sprintf("%s %s in %s", i.Kind, i.ID, i.Region))
	}
	if err = errors.Join(err, lookErr); err != nil {
		s.failure = s.clean.clean(err.Error())
	} else if len(s.left) > 0 {
		s.failure = "the account still shows the mark on " + strings.Join(s.left, ", ")
	}
	s.ended = time.Now().UTC()
	s.e.log.Info("sweep ended", "account", s.Account, "cluster", s.Cluster, "steps", len(s.steps), "left", len(s.left), "err", s.failure)
}

// await looks what the mark is still on. After a sweep in which all went well lists may lag behind for a while.
func (s *Sweep) await(ctx context.Context, regions []string, patient bool) ([]cloud.Item, error) {
	pauses := cloud.Backoff{First: 3 * s.e.patience.retry, Most: mostPause}
	for end := time.Now().Add(s.e.patience.listLag); ; {
		items, err := s.inventory(ctx, regions)
		if err != nil || len(items) == 0 || !patient || time.Now().After(end) {
			return items, err
		}
		if err := cloud.Pause(ctx, pauses.Next(0)); err != nil {
			return items, err
		}
	}
}

// step deletes one thing.
func (s *Sweep) step(ctx context.Context, st plan.Step) error {
	_, err := retry(ctx, s.e.patience, func(ctx context.Context) (struct{}, error) {
		return atMost(ctx, s.e.patience.call, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.driver.Delete(ctx, cloud.Owner{UID: s.Cluster}, *st.Got)
		})
	})
	return s.clean.error(explain(st, s.Account, err))
}

func (s *Sweep) record(st plan.Step, state plan.State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.steps, func(x store.Step) bool { return x.ID == st.ID })
	now := time.Now().UTC()
	switch s.steps[i].State = store.StepState(state); state {
	case plan.Running:
		s.steps[i].Started = now
	default:
		s.steps[i].Ended = now
	}
	if err != nil {
		s.steps[i].Error = s.clean.clean(err.Error())
	}
}
