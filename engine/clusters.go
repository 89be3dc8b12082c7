package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Planned is a dry run's outcome.
type Planned struct {
	Spec  *spec.Cluster
	New   bool
	Graph plan.Graph
	// Cost is what the cluster costs once all of it is done, beside what it costs now.
	Cost price.Comparison
}

// Plan says what applying a file would do.
func (e *Engine) Plan(ctx context.Context, file []byte) (Planned, error) {
	c, old, err := e.read(ctx, file)
	if err != nil {
		return Planned{}, err
	}
	at := store.Cluster{Name: c.Metadata.Name, Spec: c}
	if old != nil {
		at = old.Cluster
	} else if at.UID, err = randomHex(8); err != nil {
		return Planned{}, err
	}
	p, err := e.dryRun(ctx, at, c, false)
	p.New = old == nil
	return p, err
}

// Apply takes a cluster file on. The change it returns tells when it is done.
func (e *Engine) Apply(ctx context.Context, file []byte, who string) (store.Change, error) {
	return queueUp(ctx, func() (store.Change, error) {
		c, old, err := e.read(ctx, file)
		if err != nil {
			return store.Change{}, err
		}
		body, err := json.Marshal(c)
		if err != nil {
			return store.Change{}, fmt.Errorf("cluster %s: %w", c.Metadata.Name, err)
		}
		if old == nil && store.TermsOf(ctx).Exists {
			return store.Change{}, &store.Stale{Asked: store.TermsOf(ctx).Match}
		}
		change := store.Change{Kind: store.Apply, Body: body, Who: who, Summary: spec.Summary(nil, c)}
		if old != nil {
			change.Cluster, change.Summary = old.UID, spec.Summary(old.Spec, c)
			return e.store.QueueChange(ctx, old.queue, change)
		}
		_, change, err = e.store.CreateClusterBy(ctx, c, change)
		if errors.Is(err, store.ErrExists) {
			return store.Change{}, &Problem{Kind: Taken, Field: "metadata.name", Message: fmt.Sprintf("a cluster named %s was just made by somebody else", c.Metadata.Name)}
		}
		return change, err
	})
}

// altered is an existing cluster, and its latest spec with something altered in it.
func (e *Engine) altered(ctx context.Context, name string, alter func(*spec.Cluster) error) (*asked, *spec.Cluster, error) {
	old, err := e.existing(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if old == nil {
		return nil, nil, e.noCluster(ctx, name)
	}
	if !old.DeleteRequested.IsZero() {
		return nil, nil, &Problem{Kind: NotNow, Message: fmt.Sprintf("cluster %s is being deleted", name)}
	}
	if err := e.installable(); err != nil {
		return nil, nil, err
	}
	next := old.Spec.Clone()
	if alter != nil {
		if err := alter(next); err != nil {
			return nil, nil, &Problem{Kind: BadInput, Message: err.Error()}
		}
		if err := spec.Validate(next).Err(); err != nil {
			return nil, nil, err
		}
	}
	return old, next, nil
}

// alter queues a change that is made from the cluster's latest spec.
func (e *Engine) alter(ctx context.Context, name, who string, kind store.ChangeKind, alter func(*spec.Cluster) error) (store.Change, error) {
	return queueUp(ctx, func() (store.Change, error) {
		old, next, err := e.altered(ctx, name, alter)
		if err != nil {
			return store.Change{}, err
		}
		c := store.Change{Cluster: old.UID, Kind: kind, Who: who, Summary: summaries[kind]}
		if alter == nil {
			return e.store.AddChange(ctx, c)
		}
		c.Summary = spec.Summary(old.Spec, next)
		if c.Body, err = json.Marshal(nodesBody{next, spec.MovesOf(old.Spec, next)}); err != nil {
			return store.Change{}, fmt.Errorf("cluster %s: %w", name, err)
		}
		return e.store.QueueChange(ctx, old.queue, c)
	})
}

// summaries are what changes ask for that carry no spec.
var summaries = map[store.ChangeKind]string{store.Reconcile: "check and repair now", store.Delete: "delete the cluster and all it has",
	store.Approve: "check and repair now, and make a lost control plane again of what is left of it, or go on with sites that are too far apart"}

// AddNodes makes a group of workers larger and returns the names of the new nodes.
func (e *Engine) AddNodes(ctx context.Context, name, group string, count int, who string) (store.Change, []string, error) {
	var names []string
	c, err := e.alter(ctx, name, who, store.NodeAdd, func(s *spec.Cluster) error {
		var err error
		names, err = spec.AddWorkers(s, group, count)
		return err
	})
	return c, names, err
}

// RemoveNode takes one worker out.
func (e *Engine) RemoveNode(ctx context.Context, name, node, who string) (store.Change, error) {
	return e.alter(ctx, name, who, store.NodeRemove, func(s *spec.Cluster) error { return spec.RemoveWorker(s, node) })
}

// Reconcile asks for a run now.
func (e *Engine) Reconcile(ctx context.Context, name, who string) (store.Change, error) {
	return e.alter(ctx, name, who, store.Reconcile, nil)
}

// Delete asks for the end of a cluster. Sites whose accounts are lost can be given up: what is there is left there.
func (e *Engine) Delete(ctx context.Context, name, who string, abandon ...string) (store.Change, error) {
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return store.Change{}, err
	}
	given, err := e.abandonable(ctx, c, abandon)
	if err != nil {
		return store.Change{}, err
	}
	change, err := e.store.AddChange(ctx, store.Change{Cluster: c.UID, Kind: store.Delete, Who: who, Summary: summaries[store.Delete]})
	for _, a := range given { // not before: who didn't ask for the deletion gave nothing up
		if a.Who = who; err == nil {
			err = e.store.AbandonSite(ctx, a)
		}
	}
	return change, err
}

// noCluster is the problem of a name that no cluster has.
func (e *Engine) noCluster(ctx context.Context, name string) error {
	all, err := e.store.ListClusters(ctx, false)
	msg := fmt.Sprintf("there is no cluster named %q", name)
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	if err == nil {
		msg += "; " + thereAre(names) + spec.DidYouMean(name, names)
	}
	return &Problem{Kind: Missing, Message: msg}
}

// Cluster returns a cluster by name.
func (e *Engine) Cluster(ctx context.Context, name string) (store.Cluster, error) {
	c, err := e.store.GetCluster(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return c, e.noCluster(ctx, name)
	}
	return c, err
}

// Latest returns what was asked for last of a cluster, which may not be in force yet, and the cluster as it is.
func (e *Engine) Latest(ctx context.Context, name string) (*spec.Cluster, store.Cluster, error) {
	a, err := e.existing(ctx, name)
	if err != nil {
		return nil, store.Cluster{}, err
	}
	if a == nil {
		return nil, store.Cluster{}, e.noCluster(ctx, name)
	}
	return a.Spec, a.queue.Cluster, nil
}

// Asked is what is asked of a cluster at one moment, with its version, which everything that brings another spec changes, and
// the latest spec.
func (e *Engine) Asked(ctx context.Context, uid string) (store.Queue, store.Version, *spec.Cluster, error) {
	q, err := e.store.GetQueue(ctx, uid)
	if err != nil {
		return q, store.Version{}, nil, err
	}
	latest, err := latestSpec(q)
	return q, versionOf(q), latest, err
}

// versionOf is the version of a cluster that a queue shows.
func versionOf(q store.Queue) store.Version {
	v := store.Version{Generation: q.Cluster.Generation}
	for _, ch := range q.Waiting {
		if carriesSpec(ch) {
			v.Change = ch.ID
		}
	}
	return v
}

// Edit is one thing that was asked of a cluster since a version of it.
type Edit struct {
	// Generation is the spec's that it led to, 0 for one that waits; Change is the one that waits.
	Generation, Change int64
	Who                string
	When               time.Time
	Summary            string
	Before, After      *spec.Cluster
}

// EditsSince lists what was asked of a cluster after a version, the newest last.
func (e *Engine) EditsSince(ctx context.Context, uid string, v store.Version) ([]Edit, error) {
	q, err := e.store.GetQueue(ctx, uid)
	if err != nil {
		return nil, err
	}
	before, err := e.store.GetRevision(ctx, uid, v.Generation)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // of one that never was, nothing can be compared with
		return nil, err
	}
	var out []Edit
	last := before.Spec
	for g := v.Generation + 1; last != nil && g <= q.Cluster.Generation; g++ {
		r, err := e.store.GetRevision(ctx, uid, g)
		if err != nil {
			return nil, err
		}
		out = append(out, Edit{Generation: g, Who: r.Who, When: r.Made, Summary: spec.Summary(last, r.Spec), Before: last, After: r.Spec})
		last = r.Spec
	}
	if last == nil {
		last = q.Cluster.Spec
	}
	for _, ch := range q.Waiting {
		next, err := bodyOf(ch)
		if err != nil {
			return nil, err
		}
		if next == nil {
			continue
		}
		if ch.ID != v.Change {
			out = append(out, Edit{Change: ch.ID, Who: ch.Who, When: ch.Created, Summary: ch.Summary, Before: last, After: next})
		}
		last = next
	}
	return out, nil
}

// Clusters lists the clusters that aren't deleted.
func (e *Engine) Clusters(ctx context.Context) ([]store.Cluster, error) {
	return e.store.ListClusters(ctx, false)
}

// Store is where everything else that is only read is found.
func (e *Engine) Store() *store.Store { return e.store }

// NodeStatus is a node as the engine and Kubernetes know it.
type NodeStatus struct {
	Facts
	Status, Version string
	// Created is when Kubernetes first had it, zero before.
	Created time.Time
}

// Nodes lists a cluster's nodes, with what Kubernetes says of each.
func (e *Engine) Nodes(ctx context.Context, name string) ([]NodeStatus, error) {
	s, err := e.known(ctx, name)
	if err != nil {
		return nil, err
	}
	if s.status.Initialized {
		s.askKubernetes(ctx)
	}
	var out []NodeStatus
	for _, f := range s.facts.all() {
		out = append(out, statusOf(f, s.status.Initialized, sighting{members: s.members, err: s.kubeErr}))
	}
	return out, nil
}

// known is what the engine remembers of a cluster, without asking a cloud.
func (e *Engine) known(ctx context.Context, name string) (*survey, error) {
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	return e.knownOf(ctx, c)
}

func (e *Engine) knownOf(ctx context.Context, c store.Cluster) (*survey, error) {
	var err error
	s := &survey{e: e, cluster: c, spec: c.Spec, owner: cloud.Owner{UID: c.UID, Name: c.Name}, sites: map[string]*site{}, unknown: map[string]string{}, members: map[string]kube.NodeInfo{}}
	if s.facts, s.status, s.keys, err = e.recall(ctx, c); err != nil {
		return nil, err
	}
	zones := map[string]int{}
	for _, sp := range c.Spec.Spec.Sites {
		st, err := e.site(ctx, sp)
		if err != nil {
			return nil, err
		}
		s.sites[sp.Name], zones[sp.Name] = st, len(st.zones)
	}
	s.nodes, err = spec.Nodes(c.Spec, zones, s.facts.assigned())
	return s, err
}

// Kubeconfig writes a kubeconfig for a cluster's administrator that is good for the given time.
func (e *Engine) Kubeconfig(ctx context.Context, name string, life time.Duration) ([]byte, error) {
	s, err := e.known(ctx, name)
	if err != nil {
		return nil, err
	}
	if !s.status.Initialized || s.keys == nil {
		return nil, &Problem{Kind: NotNow, Message: fmt.Sprintf("cluster %s has no control plane yet: wait for it with 'skyweld get clusters %s'", name, name)}
	}
	pair, err := s.keys.PKI.CA.Client("skyweld-admin", []string{"system:masters"}, time.Now(), life)
	if err != nil {
		return nil, err
	}
	var servers []kube.Server
	for _, n := range s.nodes {
		f := s.facts.get(n.Name)
		if n.Role != spec.RoleControlPlane || f == nil || !f.Public.IsValid() {
			continue
		}
		entry := name
		if len(servers) > 0 {
			entry = n.Name
		}
		servers = append(servers, kube.Server{Name: entry, URL: "https://" + netip.AddrPortFrom(f.Public, kube.APIPort).String(), Proxy: s.sites[n.Site].account.Proxy})
	}
	return kube.Kubeconfig(name, s.keys.PKI.CA.Cert, pair, servers)
}
