package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// wish is one change in the model of the queue: what it does to the set of nodes.
type wish struct {
	id    int64
	kind  store.ChangeKind
	adds  []string
	drops string
	count int // a file's
}

// queueModel is the queue as its users think of it: wishes in order, of which those that are taken on have come true.
type queueModel struct {
	s    *scene
	name string
	uid  string

	inForce   map[string]bool // the nodes in force
	waiting   []wish
	cancelled map[int64]bool
	all       []wish
	applying  bool // something that was taken on has not been done yet
}

func (m *queueModel) file(count int) []byte {
	text := strings.Replace(smallFile, "{name: demo}", "{name: "+m.name+"}", 1)
	return []byte(strings.Replace(text, "size: small, count: 1", fmt.Sprintf("size: small, count: %d", count), 1))
}

// workers are the nodes of a spec without the control plane.
func workers(c *spec.Cluster) map[string]bool {
	set := map[string]bool{}
	for name := range spec.NodeSites(c) {
		if !strings.Contains(name, "-cp-") {
			set[name] = true
		}
	}
	return set
}

// after is the set of nodes after some wishes. Which nodes a file's count means, its change says.
func (m *queueModel) after(t *rapid.T, set map[string]bool, wishes []wish) map[string]bool {
	set = maps.Clone(set)
	for _, w := range wishes {
		switch w.kind {
		case store.NodeAdd:
			for _, name := range w.adds {
				set[name] = true
			}
		case store.NodeRemove:
			delete(set, w.drops)
		case store.Apply:
			ch, err := m.s.engine.store.GetChange(t.Context(), w.id)
			if err != nil {
				t.Fatal(err)
			}
			c := new(spec.Cluster)
			if err := json.Unmarshal(ch.Body, c); err != nil {
				t.Fatal(err)
			}
			if set = workers(c); len(set) != w.count {
				t.Fatalf("a file that asks for %d workers leads to %v", w.count, set)
			}
		}
	}
	return set
}

func (m *queueModel) latest(t *rapid.T) map[string]bool { return m.after(t, m.inForce, m.waiting) }

func (m *queueModel) queued(t *rapid.T, ch store.Change, err error, w wish) {
	if err != nil {
		t.Fatalf("%s: %v", w.kind, err)
	}
	w.id, w.kind = ch.ID, ch.Kind
	m.waiting, m.all = append(m.waiting, w), append(m.all, w)
}

// run takes changes on as a run does at its beginning, and ends it.
func (m *queueModel) run(t *rapid.T, failure string) {
	e := m.s.engine
	if err := e.store.Wake(t.Context(), m.uid); err != nil {
		t.Fatal(err)
	}
	claim, err := e.store.ClaimCluster(t.Context(), "engine", time.Minute)
	if err != nil || claim == nil || claim.Cluster != m.uid {
		t.Fatalf("claim %v, error %v", claim, err)
	}
	before := m.inForce
	_, c, err := e.takeChanges(t.Context(), claim.Fence, claim.Current)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, w := range m.waiting {
		ch, err := e.store.GetChange(t.Context(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		if ch.State == store.Queued {
			break
		}
		taken++
	}
	if taken == 0 && len(m.waiting) > 0 && !m.applying {
		t.Fatalf("nothing was taken on, and nothing is being applied: %v", m.waiting)
	}
	batch := m.waiting[:taken]
	m.together(t, before, batch)
	m.inForce, m.waiting = m.after(t, before, batch), slices.Clone(m.waiting[taken:])
	if got := workers(c.Spec); !maps.Equal(got, m.inForce) {
		t.Fatalf("in force are %v; want %v", got, m.inForce)
	}
	if err := e.endChanges(t.Context(), claim.Fence, c, failure); err != nil {
		t.Fatal(err)
	}
	m.applying = failure != "" && (m.applying || taken > 0)
	if err := e.store.Release(t.Context(), claim.Fence, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// together makes sure that no node which was there goes and comes back within one run.
func (m *queueModel) together(t *rapid.T, before map[string]bool, batch []wish) {
	gone := map[string]bool{}
	for i := range batch {
		now := m.after(t, before, batch[:i+1])
		for name := range before {
			if !now[name] {
				gone[name] = true
			} else if gone[name] {
				t.Fatalf("%s goes and comes back in one run: %v", name, batch)
			}
		}
	}
}

// check holds all states against the model.
func (m *queueModel) check(t *rapid.T) {
	all, err := m.s.engine.store.ListChanges(t.Context(), m.uid)
	if err != nil {
		t.Fatal(err)
	}
	states := map[int64]store.Change{}
	for _, ch := range all {
		states[ch.ID] = ch
	}
	waiting := map[int64]bool{}
	for _, w := range m.waiting {
		waiting[w.id] = true
	}
	for _, w := range m.all {
		ch := states[w.id]
		switch {
		case waiting[w.id] != (ch.State == store.Queued), m.cancelled[w.id] != (ch.State == store.Cancelled), ch.State == store.Failed:
			t.Fatalf("change %d is %s; waiting %v, cancelled %v", w.id, ch.State, waiting[w.id], m.cancelled[w.id])
		case ch.State == store.Superseded && (ch.Successor <= ch.ID || states[ch.Successor].State == store.Queued || states[ch.Successor].State == store.Cancelled):
			t.Fatalf("change %d is superseded by %d, which is %s", w.id, ch.Successor, states[ch.Successor].State)
		case ch.State == store.Applying && !m.applying:
			t.Fatalf("change %d is still being applied", w.id)
		}
	}
	a, err := m.s.engine.existing(t.Context(), m.name)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := workers(a.Spec), m.latest(t); !maps.Equal(got, want) {
		t.Fatalf("the next change would be made from %v; want %v", got, want)
	}
}

// TestQueue makes changes, takes some back, and lets runs succeed and fail, in any order, beside a model of it.
func TestQueue(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	clusters := 0
	rapid.Check(t, func(t *rapid.T) {
		clusters++
		m := &queueModel{s: s, name: fmt.Sprintf("c%d", clusters), cancelled: map[int64]bool{}, inForce: map[string]bool{}}
		ch, err := s.engine.Apply(t.Context(), m.file(2), "tester")
		m.uid = ch.Cluster
		m.queued(t, ch, err, wish{count: 2})
		m.run(t, "")
		e := s.engine
		for range rapid.IntRange(1, 14).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "remove", "remove", "apply", "reconcile", "cancel", "cancel", "run", "fail"}).Draw(t, "step") {
			case "add":
				ch, names, err := e.AddNodes(t.Context(), m.name, "web", rapid.IntRange(1, 2).Draw(t, "count"), "tester")
				m.queued(t, ch, err, wish{adds: names})
			case "remove":
				if there := slices.Sorted(maps.Keys(m.latest(t))); len(there) > 0 {
					node := rapid.SampledFrom(there).Draw(t, "node")
					ch, err := e.RemoveNode(t.Context(), m.name, node, "tester")
					m.queued(t, ch, err, wish{drops: node})
				}
			case "apply":
				n := rapid.IntRange(0, 4).Draw(t, "workers")
				ch, err := e.Apply(t.Context(), m.file(n), "tester")
				m.queued(t, ch, err, wish{count: n})
			case "reconcile":
				ch, err := e.Reconcile(t.Context(), m.name, "tester")
				m.queued(t, ch, err, wish{})
			case "cancel":
				w := rapid.SampledFrom(m.all).Draw(t, "change")
				i := slices.IndexFunc(m.waiting, func(q wish) bool { return q.id == w.id })
				_, err := e.Cancel(t.Context(), w.id, "tester")
				if _, refused := errors.AsType[*Problem](err); refused != (i < 0) {
					t.Fatalf("cancel change %d, waiting %v: %v", w.id, i >= 0, err)
				}
				if i >= 0 {
					m.waiting, m.cancelled[w.id] = slices.Delete(m.waiting, i, i+1), true
				}
			case "run":
				m.run(t, "")
			case "fail":
				m.run(t, "the cloud is away")
			}
			m.check(t)
		}
		for len(m.waiting) > 0 || m.applying {
			m.run(t, "")
			m.check(t)
		}
		m.end(t)
	})
}

// end deletes the cluster, with something in the queue.
func (m *queueModel) end(t *rapid.T) {
	e := m.s.engine
	last, _, err := e.AddNodes(t.Context(), m.name, "web", 1, "tester")
	if err != nil {
		t.Fatal(err)
	}
	del, err := e.Delete(t.Context(), m.name, "tester")
	if err != nil {
		t.Fatal(err)
	}
	claim, err := e.store.ClaimCluster(t.Context(), "engine", time.Minute)
	if err != nil || claim == nil {
		t.Fatalf("claim %v, error %v", claim, err)
	}
	changes, c, err := e.takeChanges(t.Context(), claim.Fence, claim.Current)
	if err != nil || len(changes) != 1 || changes[0].ID != del.ID {
		t.Fatalf("taken %v, error %v", changes, err)
	}
	if ch, err := e.store.GetChange(t.Context(), last.ID); err != nil || ch.State != store.Superseded || ch.Successor != del.ID {
		t.Fatalf("what was queued is %+v, error %v", ch, err)
	}
	if err := errors.Join(e.endChanges(t.Context(), claim.Fence, c, ""), e.store.MarkDeleted(t.Context(), claim.Fence)); err != nil {
		t.Fatal(err)
	}
}
