package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// withWorkers is a spec with one group of workers.
func withWorkers(count int) *spec.Cluster {
	c := wanted("demo", "acme")
	c.Spec.Workers = []spec.Workers{{Name: "web", Site: "site0", Size: "small", Count: new(count)}}
	return c
}

func queued(t *testing.T, s *store.Store, uid, who string, kind store.ChangeKind, c *spec.Cluster) store.Change {
	t.Helper()
	change := store.Change{Cluster: uid, Kind: kind, Who: who, Summary: "words of " + who}
	if c != nil {
		body, err := json.Marshal(c)
		must(t, err)
		change.Body = body
	}
	return get[store.Change](t)(s.QueueChange(t.Context(), get[store.Queue](t)(s.GetQueue(t.Context(), uid)), change))
}

// testChangesMeanwhile: of many who build upon the same queue none overwrites another.
func testChangesMeanwhile(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	stale := get[store.Queue](t)(s.GetQueue(ctx, fence.Cluster))
	const writers, each = 4, 3
	var wg sync.WaitGroup
	for w := range writers {
		mine := s
		if w%2 == 1 {
			mine = open(t, d)
		}
		wg.Go(func() {
			for range each {
				for {
					seen, err := mine.GetQueue(ctx, fence.Cluster)
					if err != nil {
						t.Error(err)
						return
					}
					n := 0
					if len(seen.Waiting) > 0 {
						if err := json.Unmarshal(seen.Waiting[len(seen.Waiting)-1].Body, &n); err != nil {
							t.Error(err)
						}
					}
					_, err = mine.QueueChange(ctx, seen, store.Change{Cluster: fence.Cluster, Kind: store.Apply, Body: json.RawMessage(fmt.Sprint(n + 1))})
					if errors.Is(err, store.ErrConflict) {
						continue
					}
					if err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	q := get[store.Queue](t)(s.GetQueue(ctx, fence.Cluster))
	for i, c := range q.Waiting {
		if string(c.Body) != fmt.Sprint(i+1) {
			t.Errorf("change %d is %s", i, c.Body)
		}
	}
	if len(q.Waiting) != writers*each {
		t.Errorf("%d changes are queued; want %d", len(q.Waiting), writers*each)
	}
	_, err := s.QueueChange(ctx, stale, store.Change{Cluster: fence.Cluster, Kind: store.Apply})
	wantError(t, err, store.ErrConflict, "queued now")
}

func testTakeChanges(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	uid := fence.Cluster
	a, b, c := queued(t, s, uid, "alice", store.Apply, withWorkers(1)), queued(t, s, uid, "bob", store.NodeAdd, withWorkers(2)), queued(t, s, uid, "carol", store.Reconcile, nil)
	if a.Summary != "words of alice" || !a.Begun.IsZero() {
		t.Errorf("queued %+v", a)
	}
	seen := get[store.Queue](t)(s.GetQueue(ctx, uid))
	equal(t, "queue", seen.Waiting, []store.Change{a, b, c})
	// All or nothing: the last move can't be made.
	_, err := s.TakeChanges(ctx, fence, seen, []store.Move{{ID: a.ID, State: store.Superseded, Spec: withWorkers(1), Successor: b.ID}, {ID: b.ID, State: store.Applying, Spec: wanted("demo", "nobody")}})
	wantError(t, err, store.ErrNotFound, "account nobody")
	equal(t, "queue after a failure", get[store.Queue](t)(s.GetQueue(ctx, uid)), seen)

	got := get[store.Queue](t)(s.TakeChanges(ctx, fence, seen, []store.Move{
		{ID: a.ID, State: store.Superseded, Spec: withWorkers(1), Successor: b.ID},
		{ID: b.ID, State: store.Applying, Spec: withWorkers(2)},
		{ID: c.ID, State: store.Queued, Body: json.RawMessage(`{"moved":true}`)},
	}))
	if got.Cluster.Generation != 3 || got.Cluster.Spec.Spec.Workers[0].Nodes() != 2 || len(got.Applying) != 1 || len(got.Waiting) != 1 || string(got.Waiting[0].Body) != `{"moved":true}` {
		t.Errorf("taken %+v", got)
	}
	if x := get[store.Change](t)(s.GetChange(ctx, a.ID)); x.State != store.Superseded || x.Successor != b.ID || x.Generation != 2 || x.Ended.IsZero() {
		t.Errorf("superseded %+v", x)
	}
	if x := got.Applying[0]; x.ID != b.ID || x.Generation != 3 || x.Begun.IsZero() || !x.Ended.IsZero() {
		t.Errorf("applying %+v", x)
	}
	revisions := get[[]store.Revision](t)(s.ListRevisions(ctx, uid))
	if len(revisions) != 3 || revisions[0].Who != "bob" || revisions[1].Who != "alice" || revisions[1].Spec.Spec.Workers[0].Nodes() != 1 {
		t.Errorf("revisions %+v", revisions)
	}
	_, err = s.TakeChanges(ctx, fence, seen, nil)
	wantError(t, err, store.ErrConflict, "generation")

	run := get[store.Run](t)(s.CreateRun(ctx, fence, "r", 3, nil))
	tried := get[[]store.Change](t)(s.EndTry(ctx, fence, "the cloud is away"))
	if len(tried) != 1 || tried[0].State != store.Applying || tried[0].Run != run.ID || tried[0].Tries != 1 || tried[0].Error != "the cloud is away" || !tried[0].Ended.IsZero() {
		t.Errorf("after a failed try %+v", tried)
	}
	_, err = s.TakeChanges(ctx, fence, get[store.Queue](t)(s.GetQueue(ctx, uid)), []store.Move{{ID: b.ID, State: store.Queued}})
	wantError(t, err, store.ErrConflict, "applying")
	tried = get[[]store.Change](t)(s.EndTry(ctx, fence, ""))
	if len(tried) != 1 || tried[0].State != store.Applied || tried[0].Tries != 1 || tried[0].Error != "" || tried[0].Ended.IsZero() {
		t.Errorf("after a good try %+v", tried)
	}
	if tried = get[[]store.Change](t)(s.EndTry(ctx, fence, "")); len(tried) != 0 {
		t.Errorf("ended twice: %+v", tried)
	}
	// What waits for the next run is due when this one has ended well, though nobody asks for anything more.
	must(t, s.Release(ctx, fence, -time.Minute))
	for _, end := range []string{"", "the cloud is away"} {
		next := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl)) // it has seen all that was asked
		if next == nil {
			t.Fatal("a change waits, and nobody does anything about it")
		}
		get[[]store.Change](t)(s.EndTry(ctx, next.Fence, end))
		must(t, s.Release(ctx, next.Fence, time.Hour))
	}
	if next := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl)); next != nil {
		t.Error("a run that failed isn't followed by its pause")
	}
}

func testCancelChange(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	uid := fence.Cluster
	a, b := queued(t, s, uid, "alice", store.Apply, withWorkers(1)), queued(t, s, uid, "bob", store.NodeAdd, withWorkers(2))
	seen := get[store.Queue](t)(s.GetQueue(ctx, uid))
	late := queued(t, s, uid, "carol", store.NodeAdd, withWorkers(3))
	_, err := s.CancelChange(ctx, seen, a.ID, "dave", nil)
	wantError(t, err, store.ErrConflict, "queued now")
	seen = get[store.Queue](t)(s.GetQueue(ctx, uid))
	_, err = s.CancelChange(ctx, seen, a.ID, "dave", []store.Move{{ID: b.ID, State: store.Applied}})
	if err == nil {
		t.Error("a change was applied by cancelling another")
	}
	got := get[store.Change](t)(s.CancelChange(ctx, seen, a.ID, "dave", []store.Move{{ID: b.ID, State: store.Queued, Body: json.RawMessage(`{"moved":1}`)}}))
	if got.State != store.Cancelled || got.Error != "by dave" || got.Ended.IsZero() {
		t.Errorf("cancelled %+v", got)
	}
	left := get[store.Queue](t)(s.GetQueue(ctx, uid))
	b.Body = json.RawMessage(`{"moved":1}`)
	equal(t, "what is left", left.Waiting, []store.Change{b, late})
	for _, id := range []int64{a.ID, b.ID} {
		if id == b.ID {
			must(t, s.SetChange(ctx, fence, b.ID, store.Applied, 0, ""))
		}
		_, err := s.CancelChange(ctx, get[store.Queue](t)(s.GetQueue(ctx, uid)), id, "dave", nil)
		wantError(t, err, store.ErrConflict, "only a queued change can be cancelled")
	}
	_, err = s.CancelChange(ctx, left, 1<<40, "dave", nil)
	wantError(t, err, store.ErrNotFound)
}

// testDeleteOvertakes: a deletion takes the place of all that is queued, is there once, and stands.
func testDeleteOvertakes(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	uid := fence.Cluster
	a, b := queued(t, s, uid, "alice", store.Apply, withWorkers(1)), queued(t, s, uid, "bob", store.Reconcile, nil)
	seen := get[store.Queue](t)(s.GetQueue(ctx, uid))
	get[store.Queue](t)(s.TakeChanges(ctx, fence, seen, []store.Move{{ID: a.ID, State: store.Applying, Spec: withWorkers(1)}}))
	del := get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: uid, Kind: store.Delete, Who: "carol"}))
	equal(t, "asked twice", get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: uid, Kind: store.Delete, Who: "dave"})), del)
	more := get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: uid, Kind: store.Delete, Who: "dave", Body: json.RawMessage(`{"more":1}`)}))
	if more.ID == del.ID {
		t.Error("a deletion that says more was taken for the same")
	}
	for id, want := range map[int64]store.ChangeState{a.ID: store.Applying, b.ID: store.Superseded, del.ID: store.Queued} {
		if got := get[store.Change](t)(s.GetChange(ctx, id)); got.State != want {
			t.Errorf("change %d (%s) is %s; want %s", id, got.Kind, got.State, want)
		}
	}
	_, err := s.AddChange(ctx, store.Change{Cluster: uid, Kind: store.Apply})
	wantError(t, err, store.ErrConflict, "being deleted")
	_, err = s.QueueChange(ctx, get[store.Queue](t)(s.GetQueue(ctx, uid)), store.Change{Cluster: uid, Kind: store.NodeAdd})
	wantError(t, err, store.ErrConflict, "being deleted")
	_, err = s.CancelChange(ctx, get[store.Queue](t)(s.GetQueue(ctx, uid)), del.ID, "dave", nil)
	wantError(t, err, store.ErrConflict, "can't be called back")
	if got := get[store.Cluster](t)(s.GetCluster(ctx, "demo")); got.Phase != store.Deleting {
		t.Errorf("the cluster is %s", got.Phase)
	}
	must(t, s.MarkDeleted(ctx, fence))
	equal(t, "after its end", get[[]store.Change](t)(s.ListChanges(ctx, uid, store.Queued)), []store.Change{})
}
