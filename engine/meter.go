package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/store"
)

// Meter is told what an engine does, as it does it. None of it names a cluster, a node or a thing in a cloud: what is counted
// has no more values than there are clouds, kinds and outcomes.
type Meter interface {
	// Run is one that ended, with one of the outcomes of runs.
	Run(outcome string, took time.Duration)
	// Step is one that ended: done, failed or stopped.
	Step(action, kind, outcome string, took time.Duration)
	// Call is one to a cloud that was made, of a family of its calls: "ok", or the class of what came of it.
	Call(provider cloud.Provider, family, outcome string)
	// RoundTrip is the middle one of those measured between two sites, by their clouds and regions ("aws us-east-1").
	RoundTrip(from, to string, p50 time.Duration)
}

// unmetered is the meter of an engine that has none.
type unmetered struct{}

func (unmetered) Run(string, time.Duration)                  {}
func (unmetered) Step(string, string, string, time.Duration) {}
func (unmetered) Call(cloud.Provider, string, string)        {}
func (unmetered) RoundTrip(string, string, time.Duration)    {}

// Figures is how much there is of everything at one moment.
type Figures struct {
	// Clusters counts those that aren't deleted by their phase, Paused those among them that are held.
	Clusters map[store.Phase]int
	Paused   int
	// Due is how many runs should have begun, Late how long the oldest of them has been waiting.
	Due  int
	Late time.Duration
	// Leases are the clusters that are worked on, Own those among them that this engine works on.
	Leases, Own int
	// Changes counts what is asked for and not done yet by its state.
	Changes map[store.ChangeState]int
	// Nodes are as the last look found them.
	Nodes NodeCount
	// Ways are the newest measurements between sites, by the names of clusters.
	Ways map[string][]store.Latency
	// Circuits counts the ways of calls to each cloud by their state, as this engine has found them; a way is a family of an
	// account's calls in a region.
	Circuits map[cloud.Provider]map[string]int
}

// NodeCount is how a cluster's nodes are.
type NodeCount struct {
	Ready    int `json:"ready,omitempty"`
	NotReady int `json:"notReady,omitempty"`
	// Unknown are those of clusters whose Kubernetes couldn't be asked.
	Unknown int `json:"unknown,omitempty"`
}

// Figures counts. It asks the store and nobody else.
func (e *Engine) Figures(ctx context.Context) (Figures, error) {
	f := Figures{Clusters: map[store.Phase]int{}, Changes: map[store.ChangeState]int{}, Ways: map[string][]store.Latency{}, Circuits: map[cloud.Provider]map[string]int{}}
	now, err := e.store.Now(ctx)
	if err != nil {
		return f, err
	}
	clusters, err := e.store.ListClusters(ctx, false)
	if err != nil {
		return f, err
	}
	ways, err := e.lastWays(ctx, now)
	if err != nil {
		return f, err
	}
	for _, c := range clusters {
		if list := ways[c.UID]; len(list) > 0 {
			f.Ways[c.Name] = list
		}
		if err := e.figure(ctx, &f, c, now); err != nil {
			return f, err
		}
	}
	accounts, err := e.store.ListAccounts(ctx)
	if err != nil {
		return f, err
	}
	for _, a := range accounts {
		s := e.trafficOf(a.Name).State()
		states := f.Circuits[a.Provider]
		if states == nil {
			states = map[string]int{}
			f.Circuits[a.Provider] = states
		}
		for _, l := range s.Lanes {
			if s.Condition.State == traffic.Refused {
				l.State = traffic.Refused
			}
			states[l.State]++
		}
	}
	return f, nil
}

// figure counts one cluster.
func (e *Engine) figure(ctx context.Context, f *Figures, c store.Cluster, now time.Time) error {
	care, err := e.store.GetCare(ctx, c.UID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	phase, _ := HealthOf(c, care.Conditions)
	f.Clusters[phase]++
	leased := c.Lease.Owner != "" && c.Lease.Until.After(now)
	switch {
	case c.Paused != nil && c.DeleteRequested.IsZero():
		f.Paused++
	case leased:
		f.Leases++
		if c.Lease.Owner == e.opts.Name {
			f.Own++
		}
	case !c.NextRun.After(now):
		f.Due++
		f.Late = max(f.Late, now.Sub(c.NextRun))
	}
	var m careMemory
	if len(care.Memory) > 0 && json.Unmarshal(care.Memory, &m) == nil {
		f.Nodes.Ready += m.Nodes.Ready
		f.Nodes.NotReady += m.Nodes.NotReady
		f.Nodes.Unknown += m.Nodes.Unknown
	}
	changes, err := e.store.ListChanges(ctx, c.UID, store.Queued, store.Applying)
	if err != nil {
		return err
	}
	for _, ch := range changes {
		f.Changes[ch.State]++
	}
	return nil
}

// liveness is how far an engine is, for who wants to know whether it works.
type liveness struct {
	running  atomic.Bool
	stopping atomic.Bool
	// trouble is why the last try to claim a cluster failed; nil when it didn't.
	trouble atomic.Pointer[error]
}

// storePatience is how long the store may take to answer.
const storePatience = 2 * time.Second

// NotReady says why the engine isn't at work, in words without secrets; none when it is.
func (e *Engine) NotReady(ctx context.Context) []string {
	var out []string
	switch {
	case e.life.stopping.Load():
		out = append(out, "the engine is stopping")
	case !e.life.running.Load():
		out = append(out, "the engine isn't running yet")
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if _, err := e.store.Now(ctx); err != nil {
		e.log.Warn("the database doesn't answer", "err", err)
		out = append(out, "the database doesn't answer")
	} else if why := e.life.trouble.Load(); why != nil {
		out = append(out, "no cluster can be claimed")
	}
	return out
}

// claimed notes how a try to claim a cluster went.
func (l *liveness) claimed(err error) {
	if err != nil {
		l.trouble.Store(&err)
	} else {
		l.trouble.Store(nil)
	}
}
