package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/skyweld/skyweld/internal/memo"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/store"
)

const (
	// seenLately is how old an answer of Kubernetes may be to be shown as how things are; the care loop asks more often.
	seenLately = 90 * time.Second
	// askPatience is how long a reader waits for Kubernetes where nothing is remembered.
	askPatience = 2 * time.Second
	// costsKept is how long what a cluster costs is believed while its ledger doesn't change: its accounts may. Then it is found
	// out anew.
	costsKept = 10 * time.Minute
)

// sighting is what Kubernetes last said of a cluster's nodes, to whoever asked it.
type sighting struct {
	members map[string]kube.NodeInfo
	err     error
	at      time.Time
}

// sightings remembers, so that a list of all clusters asks no Kubernetes: one that doesn't answer would keep everybody waiting.
type sightings struct {
	mu    sync.Mutex
	by    map[string]sighting // by the cluster's UID
	costs map[string]costed
	facts memo.Memo[*Facts] // by the cluster's UID and the node's name
}

// costed is what a cluster was found to cost when its ledger had a mark.
type costed struct {
	mark string
	sum  price.Sum
	at   time.Time
}

// note remembers an answer. Where none came, what was true last is taken to be true still, and said to be unknown.
func (s *sightings) note(uid string, members map[string]kube.NodeInfo, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]sighting{}
	}
	next := sighting{members: members, err: err, at: time.Now()}
	if err != nil {
		next.members = s.by[uid].members
	}
	s.by[uid] = next
}

// last is what is remembered; false where that is too old to be how things are, or nothing.
func (s *sightings) last(uid string) (sighting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.by[uid]
	return v, ok && time.Since(v.at) < seenLately
}

// keep forgets all clusters but some.
func (s *sightings) keep(uids map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid := range s.by {
		if !uids[uid] {
			delete(s.by, uid)
		}
	}
	for uid := range s.costs {
		if !uids[uid] {
			delete(s.costs, uid)
		}
	}
}

// statusOf is a node's in one word, as Kubernetes was seen to have it.
func statusOf(f *Facts, initialized bool, seen sighting) NodeStatus {
	n := NodeStatus{Facts: *f, Status: "Provisioning"}
	m, in := seen.members[f.Name]
	switch {
	case initialized && seen.err != nil:
		n.Status = "Unknown"
	case in && m.Ready:
		n.Status = "Ready"
	case in:
		n.Status = "NotReady"
	case f.Joined:
		n.Status = "Missing"
	case f.Failure != nil:
		n.Status = "Failed"
	case f.prepared():
		n.Status = "Joining"
	}
	n.Version, n.Created = m.Version, m.Created
	return n
}

// SeenNodes lists a cluster's nodes as they were seen last: by a run, by the look that is taken twice a minute, or by whoever
// asked. Kubernetes is asked only where that is too long ago, and not waited for.
func (e *Engine) SeenNodes(ctx context.Context, c store.Cluster) ([]NodeStatus, error) {
	var status Status
	if len(c.Status) > 0 {
		_ = json.Unmarshal(c.Status, &status) // what can't be read says nothing; the run tells of it
	}
	if _, ok := e.sightings.last(c.UID); !ok && status.Initialized {
		e.askBriefly(ctx, c)
	}
	nodes, err := e.store.GetNodes(ctx, c.UID)
	if err != nil {
		return nil, err
	}
	return e.seenNodes(c, status, nodes), nil
}

// askBriefly asks Kubernetes, and leaves it at that when it takes long: the answer is for the next reader then.
func (e *Engine) askBriefly(ctx context.Context, c store.Cluster) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*probePatience)
		defer cancel()
		if s, err := e.knownOf(ctx, c); err == nil {
			s.askKubernetes(ctx)
		}
	}()
	timer := time.NewTimer(askPatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (e *Engine) seenNodes(c store.Cluster, status Status, nodes []store.Node) []NodeStatus {
	seen, _ := e.sightings.last(c.UID)
	var out []NodeStatus
	for _, n := range nodes {
		f, err := e.factsOf(n)
		if err != nil {
			out = append(out, NodeStatus{Facts: *f, Status: "Unknown"})
			continue
		}
		v := statusOf(f, status.Initialized, seen)
		if _, in := seen.members[f.Name]; !in && f.Joined && (seen.members == nil || seen.err != nil) { // what was true last
			v.Status = map[bool]string{true: "Ready", false: "Unknown"}[seen.err == nil]
		}
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// factsOf are a node's facts for who only reads them: they are decoded once.
func (e *Engine) factsOf(n store.Node) (*Facts, error) {
	return e.sightings.facts.Of(n.Cluster+"/"+n.Name, n.Facts, func() (*Facts, error) {
		f, err := readFacts(n)
		return &f, err
	})
}

// Glance is a cluster as a list of all shows it.
type Glance struct {
	store.Glance
	// Version tells what is asked of it from what was asked before.
	Version store.Version
	// Seen is its phase as people want it, and Says the conditions, as Health gives them.
	Seen store.Phase
	Says []store.Condition
	// Members is how many nodes it has, Ready how many of them are.
	Members, Ready int
	Cost           price.Sum
}

// Glances lists up to limit clusters after a name, with what a list shows. It asks nobody but the store, and that the same
// number of times for a thousand clusters as for one.
func (e *Engine) Glances(ctx context.Context, after string, limit int) ([]Glance, error) {
	list, err := e.store.Glances(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	living := map[string]bool{}
	var stale []store.Glance
	out := make([]Glance, len(list))
	for i, g := range list {
		living[g.UID] = true
		queue := store.Queue{Cluster: g.Cluster}
		for _, ch := range g.Pending {
			if ch.State == store.Queued {
				queue.Waiting = append(queue.Waiting, ch)
			} else {
				queue.Applying = append(queue.Applying, ch)
			}
		}
		g.Pending = slices.Concat(queue.Applying, queue.Waiting)
		out[i].Glance, out[i].Version = g, versionOf(queue)
		out[i].Seen, out[i].Says = HealthOf(g.Cluster, g.Care.Conditions)
		var status Status
		if len(g.Status) > 0 {
			_ = json.Unmarshal(g.Status, &status) // what can't be read says nothing
		}
		nodes := e.seenNodes(g.Cluster, status, g.Nodes)
		out[i].Members = len(nodes)
		for _, n := range nodes {
			if n.Status == "Ready" {
				out[i].Ready++
			}
		}
		var old bool
		if out[i].Cost, old, err = e.costOf(ctx, g); err != nil {
			return nil, err
		}
		if old {
			stale = append(stale, g)
		}
	}
	if len(stale) > 0 {
		go func() { // whoever reads the list doesn't wait for it
			for _, g := range stale {
				_, _ = e.cost(context.WithoutCancel(ctx), g, costMark(g)) // what can't be found out now stays as it was
			}
		}()
	}
	if after == "" && len(list) < limit { // these are all
		e.sightings.keep(living)
	}
	return out, nil
}

// costMark changes with what of a cluster is paid for.
func costMark(g store.Glance) string {
	text := fmt.Append(nil, g.Generation, g.Resources, g.LastMade.UnixMicro(), len(g.Nodes))
	for _, n := range g.Nodes {
		text = strconv.AppendInt(append(text, ' '), n.Updated.UnixMicro(), 10)
	}
	return string(text)
}

// costOf is what a cluster costs: as it was found last, while its ledger is the same. old says that this was long ago, and is
// to be found out again; it says so once.
func (e *Engine) costOf(ctx context.Context, g store.Glance) (sum price.Sum, old bool, err error) {
	mark := costMark(g)
	s := &e.sightings
	s.mu.Lock()
	known, ok := s.costs[g.UID]
	if ok && known.mark == mark {
		if old = time.Since(known.at) >= costsKept; old {
			known.at = time.Now()
			s.costs[g.UID] = known
		}
		s.mu.Unlock()
		return known.sum, old, nil
	}
	s.mu.Unlock()
	sum, err = e.cost(ctx, g, mark)
	return sum, false, err
}

// cost finds out what a cluster costs, and remembers it.
func (e *Engine) cost(ctx context.Context, g store.Glance, mark string) (price.Sum, error) {
	costs, err := e.Costs(ctx, g.Cluster)
	if err != nil {
		return price.Sum{}, err
	}
	s := &e.sightings
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.costs == nil {
		s.costs = map[string]costed{}
	}
	s.costs[g.UID] = costed{mark: mark, sum: costs.Cluster.Total, at: time.Now()}
	return costs.Cluster.Total, nil
}
