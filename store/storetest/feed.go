package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
)

// told is the feed after a line, one word for each line.
func told(t *testing.T, s *store.Store, since int64) (words []string, last int64) {
	t.Helper()
	last = since
	for _, l := range get[[]store.FeedLine](t)(s.ReadFeed(t.Context(), "", since, 1000)) {
		if l.ID <= last || l.Time.IsZero() {
			t.Errorf("line %d of %v comes after %d", l.ID, l.Time, last)
		}
		last = l.ID
		var v struct {
			ID, Reason, Outcome, Phase, Error string
			State                             string
			Total, Done                       int
			Body                              json.RawMessage
		}
		_ = json.Unmarshal(l.Data, &v) // an id may be a number
		word := string(l.Kind) + " " + l.Name
		switch l.Kind {
		case store.FeedChange:
			word += " " + v.State
			if string(v.Body) != "null" {
				t.Errorf("the feed holds the body of a change: %s", l.Data)
			}
		case store.FeedRun:
			word += fmt.Sprintf(" %s %d/%d", v.Outcome, v.Done, v.Total)
		case store.FeedStep:
			word += " " + v.ID + " " + v.State
		case store.FeedEvent:
			word += " " + v.Reason
		default:
			word += " " + v.Phase
		}
		words = append(words, word)
	}
	return words, last
}

// testFeed: everything that a transaction changes is told once, as it is after it, and nothing of what fails.
func testFeed(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	must(t, s.PutAccount(ctx, account("acme")))
	grows := s.FeedGrows()
	c, ch, err := s.CreateClusterBy(ctx, withWorkers(1), store.Change{Kind: store.Apply, Body: json.RawMessage("{}"), Who: "ada"})
	must(t, err)
	select {
	case <-grows:
	default:
		t.Error("nobody hears that the feed grew")
	}
	grows = s.FeedGrows()
	at := int64(0)
	want := func(what string, lines ...string) {
		t.Helper()
		var got []string
		got, at = told(t, s, at)
		equal(t, what, strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
	want("a new cluster", "cluster demo Pending", "change demo queued")
	claim := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	fence := claim.Fence
	q := get[store.Queue](t)(s.GetQueue(ctx, c.UID))
	get[store.Queue](t)(s.TakeChanges(ctx, fence, q, []store.Move{{ID: ch.ID, State: store.Applying, Spec: withWorkers(2)}}))
	run := get[store.Run](t)(s.CreateRun(ctx, fence, "a change", 1, []store.Step{{ID: "a"}, {ID: "b"}}))
	want("a run", "cluster demo Pending", "change demo applying", "run demo  0/2", "change demo applying")
	must(t, s.SetStep(ctx, fence, run.ID, "a", store.StepRunning, ""))
	must(t, s.SetStep(ctx, fence, run.ID, "a", store.StepDone, ""))
	must(t, s.AddSteps(ctx, fence, run.ID, []store.Step{{ID: "c"}}))
	must(t, s.SetStep(ctx, fence, run.ID, "b", store.StepRunning, ""))
	want("its steps", "step demo a running", "step demo a done", "run demo  1/3", "step demo b running")
	again := get[store.Run](t)(s.CreateRun(ctx, fence, "another", 1, nil))
	want("an interruption", "step demo b failed", "run demo interrupted 1/3", "run demo  0/0", "change demo applying")
	must(t, s.EndRun(ctx, fence, again.ID, "succeeded", "", nil))
	get[[]store.Change](t)(s.EndTry(ctx, fence, ""))
	want("its end", "run demo succeeded 0/0", "change demo applied")
	for range 2 { // the second changes nothing
		must(t, s.SetStatus(ctx, fence, store.Ready, []store.Condition{{Type: "Ready", Status: "True"}}, nil))
	}
	must(t, s.Release(ctx, fence, time.Hour))
	want("a status", "cluster demo Ready", "cluster demo Ready")
	wantError(t, s.SetStep(ctx, store.Fence{Cluster: c.UID, Epoch: 99}, run.ID, "a", store.StepFailed, ""), store.ErrFenced)
	want("nothing")
	care := get[store.CareClaim](t)(s.ClaimCareOf(ctx, c.UID, func() time.Duration { return time.Minute }))
	for range 2 {
		get[bool](t)(s.SetCare(ctx, care, []store.Condition{{Type: "NodesReady", Status: "False"}}, nil, false))
	}
	get[store.Cluster](t)(s.Pause(ctx, c.UID, "ada", "tea"))
	get[*store.Pause](t)(s.Resume(ctx, c.UID))
	want("what is seen, and a pause", "cluster demo Ready", "cluster demo Ready", "cluster demo Ready")
	get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: c.UID, Type: store.Normal, Reason: "Hello"}))
	get[store.Event](t)(s.AddEvent(ctx, store.Event{Type: store.Normal, Reason: "World"}))
	want("events", "event demo Hello", "event  World")
	get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: c.UID, Kind: store.Reconcile}))
	get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: c.UID, Kind: store.Delete}))
	want("a deletion", "change demo queued", "change demo queued", "cluster demo Deleting", "change demo superseded")
	claim = get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	must(t, s.MarkDeleted(ctx, claim.Fence))
	want("the end", "change demo cancelled", "deleted demo Deleted")

	lines := get[[]store.FeedLine](t)(s.ReadFeed(ctx, "demo", 0, 3))
	if len(lines) != 3 || lines[0].Cluster != c.UID {
		t.Errorf("of demo there is %+v", lines)
	}
	end := get[int64](t)(s.FeedEnd(ctx))
	_, err = s.ReadFeed(ctx, "", end+1, 1)
	wantError(t, err, store.ErrPruned)
	must(t, s.PruneFeed(ctx, time.Hour))
	want("nothing after nothing is pruned")
	if n := len(get[[]store.FeedLine](t)(s.ReadFeed(ctx, "", 0, 1000))); n < 20 {
		t.Errorf("%d lines are left of an hour", n)
	}
	must(t, s.PruneFeed(ctx, 0))
	_, err = s.ReadFeed(ctx, "", 0, 1)
	wantError(t, err, store.ErrPruned)
	want("nothing")
}

// testFeedOrder: whoever has read up to an id has read all smaller ones, whoever writes.
func testFeedOrder(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	const writers, each = 4, 15
	start := get[int64](t)(s.FeedEnd(ctx))
	var wg sync.WaitGroup
	for w := range writers {
		mine := s
		if w == 0 {
			mine = open(t, d)
		}
		wg.Go(func() {
			for i := range each {
				var err error
				if i%2 == 0 {
					_, err = mine.AddEvent(ctx, store.Event{Cluster: fence.Cluster, Type: store.Normal, Reason: "R"})
				} else {
					_, err = mine.AddChange(ctx, store.Change{Cluster: fence.Cluster, Kind: store.Reconcile})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen, last := 0, start
	for deadline := time.Now().Add(time.Minute); seen < writers*each && time.Now().Before(deadline) && !t.Failed(); {
		for _, l := range get[[]store.FeedLine](t)(s.ReadFeed(ctx, "demo", last, 7)) {
			seen, last = seen+1, l.ID
		}
	}
	wg.Wait()
	if seen != writers*each {
		t.Errorf("a reader that followed the ids saw %d of %d lines", seen, writers*each)
	}
}

// testTerms: what a write is bound to is looked at in the transaction that takes it on.
func testTerms(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	bound := func(terms store.Terms) error {
		_, err := s.AddChange(store.WithTerms(ctx, terms), store.Change{Cluster: fence.Cluster, Kind: store.Reconcile})
		return err
	}
	is := func(vs ...store.Version) store.Terms { return store.Terms{Match: vs} }
	must(t, bound(store.Terms{}))
	must(t, bound(store.Terms{Exists: true}))
	must(t, bound(is(store.Version{Generation: 1})))
	wantError(t, bound(is(store.Version{Generation: 2})), store.ErrStale, "generation 1")
	wantError(t, bound(store.Terms{New: true}), store.ErrStale)
	ch := queued(t, s, fence.Cluster, "ada", store.Apply, withWorkers(2))
	with := store.Version{Generation: 1, Change: ch.ID}
	wantError(t, bound(is(store.Version{Generation: 1})), store.ErrStale)
	must(t, bound(is(with)))
	must(t, bound(is(store.Version{Generation: 9}, with)))
	get[store.Queue](t)(s.TakeChanges(ctx, fence, get[store.Queue](t)(s.GetQueue(ctx, fence.Cluster)), []store.Move{{ID: ch.ID, State: store.Applying, Spec: withWorkers(2)}}))
	must(t, bound(is(with)))
	must(t, bound(is(store.Version{Generation: 2})))
	wantError(t, bound(is(store.Version{Generation: 1})), store.ErrStale)
	second := queued(t, s, fence.Cluster, "ada", store.Apply, withWorkers(3))
	q := get[store.Queue](t)(s.GetQueue(ctx, fence.Cluster))
	get[store.Change](t)(s.CancelChange(ctx, q, second.ID, "ada", nil))
	wantError(t, bound(is(store.Version{Generation: 2, Change: second.ID})), store.ErrStale)
	_, _, err := s.CreateClusterBy(store.WithTerms(ctx, store.Terms{Exists: true}), wanted("other", "acme"), store.Change{Kind: store.Apply})
	wantError(t, err, store.ErrStale)
	_, _, err = s.CreateClusterBy(store.WithTerms(ctx, store.Terms{New: true}), wanted("other", "acme"), store.Change{Kind: store.Apply})
	must(t, err)
}

// testKeyed: a keyed write is done once.
func testKeyed(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	k := store.Keyed{Principal: "ada", Key: "k", Digest: "d"}
	begin := func(k store.Keyed, patience time.Duration) (store.Try, *store.Recorded, error) {
		return s.BeginKeyed(ctx, k, patience, time.Hour)
	}
	try, done, err := begin(k, time.Minute)
	must(t, err)
	if done != nil {
		t.Fatalf("it was done: %+v", done)
	}
	_, _, err = begin(k, time.Minute)
	wantError(t, err, store.ErrKeyBusy)
	_, _, err = begin(store.Keyed{Principal: "ada", Key: "k", Digest: "other"}, time.Minute)
	wantError(t, err, store.ErrKeyUsed)
	_, _, err = begin(store.Keyed{Principal: "bob", Key: "k", Digest: "other"}, time.Minute)
	must(t, err)
	must(t, s.EndKeyed(ctx, try, 0, "")) // it was refused
	try, done, err = begin(k, -time.Minute)
	must(t, err)
	if done != nil {
		t.Errorf("what was refused is on record: %+v", done)
	}
	// Its engine is gone, as far as anybody knows; the next try is what counts.
	late := try
	try, done, err = begin(k, time.Minute)
	must(t, err)
	if done != nil || try.Token == late.Token {
		t.Errorf("%+v, %+v", try, done)
	}
	ask := func(try store.Try) (store.Change, error) {
		return s.AddChange(store.WithTerms(ctx, store.Terms{Try: &try}), store.Change{Cluster: fence.Cluster, Kind: store.Reconcile})
	}
	_, err = ask(late)
	wantError(t, err, store.ErrKeyLost)
	wantError(t, s.RenewKeyed(ctx, late, time.Minute), store.ErrKeyLost)
	must(t, s.RenewKeyed(ctx, try, -time.Minute))
	ch := get[store.Change](t)(ask(try))
	_, done, err = begin(k, time.Minute)
	must(t, err)
	if done == nil || done.Change != ch.ID || done.Status != 0 {
		t.Errorf("after a stop: %+v", done)
	}
	must(t, s.EndKeyed(ctx, try, 0, "")) // its answer failed
	must(t, s.EndKeyed(ctx, late, 500, "late"))
	_, done, err = begin(k, time.Minute)
	must(t, err)
	if done == nil || done.Change != ch.ID {
		t.Errorf("what queued a change is forgotten: %+v", done)
	}
	must(t, s.EndKeyed(ctx, try, 202, "answer"))
	_, done, err = begin(k, time.Minute)
	must(t, err)
	if done == nil || done.Status != 202 || done.Answer != "answer" {
		t.Errorf("on record is %+v", done)
	}
	if n := len(get[[]store.Change](t)(s.ListChanges(ctx, fence.Cluster))); n != 1 {
		t.Errorf("%d changes were queued", n)
	}
	must(t, s.PruneKeyed(ctx, time.Hour))
	_, done, err = begin(k, time.Minute)
	must(t, err)
	if done == nil {
		t.Error("what is young was forgotten")
	}
	must(t, s.PruneKeyed(ctx, -time.Second))
	_, done, err = begin(k, time.Minute)
	must(t, err)
	if done != nil {
		t.Errorf("what is old is on record: %+v", done)
	}
}
