package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
)

func testRuns(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	run := get[store.Run](t)(s.CreateRun(ctx, fence, "change 1", 1, []store.Step{
		{ID: "b", Key: "aws-vpc", Kind: "vpc", Site: "aws", Action: "create", Reason: "missing"},
		{ID: "a", Key: "aws-subnet", Kind: "subnet", Site: "aws", Action: "create", Reason: "missing", Depends: []string{"b"}},
	}))
	if run.Owner != "engine-1" || run.Started.IsZero() || !run.Ended.IsZero() || run.Reason != "change 1" || run.Generation != 1 {
		t.Errorf("run %+v", run)
	}
	must(t, s.AddSteps(ctx, fence, run.ID, []store.Step{{ID: "c", Kind: "node", Action: "join"}}))
	wantError(t, s.AddSteps(ctx, fence, run.ID, []store.Step{{ID: "c"}}), store.ErrExists, "step c")
	must(t, s.SetStep(ctx, fence, run.ID, "b", store.StepRunning, ""))
	must(t, s.SetStep(ctx, fence, run.ID, "b", store.StepDone, ""))
	must(t, s.SetStep(ctx, fence, run.ID, "a", store.StepRunning, ""))
	must(t, s.SetStep(ctx, fence, run.ID, "a", store.StepFailed, "quota"))
	must(t, s.SetStep(ctx, fence, run.ID, "c", store.StepSkipped, "a failed"))
	wantError(t, s.SetStep(ctx, fence, run.ID, "z", store.StepDone, ""), store.ErrNotFound, "step z")
	must(t, s.EndRun(ctx, fence, run.ID, "failed", "one step failed", map[string]int64{"aws ec2": 7}))
	wantError(t, s.EndRun(ctx, fence, run.ID, "done", "", nil), store.ErrConflict)
	wantError(t, s.SetStep(ctx, fence, run.ID, "a", store.StepDone, ""), store.ErrConflict)

	got, steps, err := open(t, d).GetRun(ctx, run.ID)
	must(t, err)
	if got.Outcome != "failed" || got.Error != "one step failed" || got.APICalls["aws ec2"] != 7 || got.Ended.Before(got.Started) {
		t.Errorf("ended %+v", got)
	}
	if len(steps) != 3 || steps[0].ID != "b" || steps[1].ID != "a" || steps[2].ID != "c" {
		t.Fatalf("steps %+v", steps)
	}
	if b := steps[0]; b.State != store.StepDone || b.Started.IsZero() || b.Ended.Before(b.Started) || b.Key != "aws-vpc" || b.Reason != "missing" {
		t.Errorf("step %+v", b)
	}
	if a := steps[1]; a.State != store.StepFailed || a.Error != "quota" || len(a.Depends) != 1 || a.Depends[0] != "b" {
		t.Errorf("step %+v", a)
	}
	for i := range 5 {
		r := get[store.Run](t)(s.CreateRun(ctx, fence, fmt.Sprint("run ", i), 1, []store.Step{{ID: "x"}}))
		must(t, s.EndRun(ctx, fence, r.ID, "done", "", nil))
	}
	must(t, s.PruneRuns(ctx, fence.Cluster, 2))
	left := get[[]store.Run](t)(s.ListRuns(ctx, fence.Cluster, 10))
	if len(left) != 2 || left[0].Reason != "run 4" || left[1].Reason != "run 3" {
		t.Errorf("left %+v", left)
	}
	_, _, err = s.GetRun(ctx, run.ID)
	wantError(t, err, store.ErrNotFound)
}

func testInterruptedRun(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	old := get[store.Run](t)(s.CreateRun(ctx, fence, "hourly", 1, []store.Step{{ID: "a"}, {ID: "b"}}))
	must(t, s.SetStep(ctx, fence, old.ID, "a", store.StepRunning, ""))
	get[store.Run](t)(s.CreateRun(ctx, fence, "again", 1, nil))
	got, steps, err := s.GetRun(ctx, old.ID)
	must(t, err)
	if got.Outcome != store.Interrupted || got.Ended.IsZero() || steps[0].State != store.StepFailed || steps[1].State != store.StepPending {
		t.Errorf("interrupted %+v, %+v", got, steps)
	}
	must(t, s.PruneRuns(ctx, fence.Cluster, 0))
	if left := get[[]store.Run](t)(s.ListRuns(ctx, fence.Cluster, 10)); len(left) != 1 {
		t.Errorf("%d runs left; want the one that goes on", len(left))
	}
}

func testIntents(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	ask := store.Intent{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "us-east-1", Action: "create"}
	one := get[store.Intent](t)(s.OpenIntent(ctx, fence, ask))
	if len(one.Token) != 32 || one.State != store.IntentOpen || one.Cluster != fence.Cluster || one.Region != "us-east-1" {
		t.Errorf("intent %+v", one)
	}
	equal(t, "the same intent", get[store.Intent](t)(s.OpenIntent(ctx, fence, ask)), one)
	gone := ask
	gone.Action = "delete"
	two := get[store.Intent](t)(s.OpenIntent(ctx, fence, gone))
	if two.Token == one.Token {
		t.Error("two actions have one token")
	}
	equal(t, "open", get[[]store.Intent](t)(open(t, d).ListOpenIntents(ctx, fence.Cluster)), []store.Intent{one, two})

	line := store.Resource{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "us-east-1", ID: "vpc-1", Object: json.RawMessage(`{"id":"vpc-1"}`)}
	must(t, s.ResolveIntent(ctx, fence, one.ID, store.Resolution{State: store.IntentDone, ObjectID: "vpc-1", Put: &line}))
	wantError(t, s.ResolveIntent(ctx, fence, one.ID, store.Resolution{State: store.IntentFailed}), store.ErrConflict, "done")
	if got := get[[]store.Resource](t)(s.ListResources(ctx, fence.Cluster)); len(got) != 1 || got[0].ID != "vpc-1" || got[0].Made.IsZero() || string(got[0].Object) != `{"id":"vpc-1"}` {
		t.Errorf("ledger %+v", got)
	}
	next := get[store.Intent](t)(s.OpenIntent(ctx, fence, ask))
	if next.Token == one.Token {
		t.Error("a token was used for two creations")
	}
	// Removing another object of the same key leaves the recorded one.
	must(t, s.ResolveIntent(ctx, fence, two.ID, store.Resolution{State: store.IntentDone, ObjectID: "vpc-other", Remove: true}))
	if got := get[[]store.Resource](t)(s.ListResources(ctx, fence.Cluster)); len(got) != 1 {
		t.Errorf("ledger %+v", got)
	}
	three := get[store.Intent](t)(s.OpenIntent(ctx, fence, gone))
	must(t, s.ResolveIntent(ctx, fence, three.ID, store.Resolution{State: store.IntentDone, ObjectID: "vpc-1", Remove: true}))
	if got := get[[]store.Resource](t)(s.ListResources(ctx, fence.Cluster)); len(got) != 0 {
		t.Errorf("ledger %+v", got)
	}
	wantError(t, s.ResolveIntent(ctx, fence, 1<<40, store.Resolution{State: store.IntentDone}), store.ErrNotFound)
	must(t, s.PruneIntents(ctx, fence.Cluster, 0))
	equal(t, "open after pruning", get[[]store.Intent](t)(s.ListOpenIntents(ctx, fence.Cluster)), []store.Intent{next})
}

// testOpenIntentMeanwhile: however many ask at once, there is one intent.
func testOpenIntentMeanwhile(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	tokens := make([]string, 8)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			v, err := s.OpenIntent(ctx, fence, store.Intent{Key: "k", Action: "create"})
			if err != nil {
				t.Error(err)
			}
			tokens[i] = v.Token
		})
	}
	wg.Wait()
	for _, token := range tokens {
		if token != tokens[0] {
			t.Fatalf("tokens %q", tokens)
		}
	}
}

func testLedger(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	put := func(id, object string) store.Resource {
		must(t, s.PutResource(ctx, fence, store.Resource{Key: "k", Kind: "vpc", Site: "aws", ID: id, Object: json.RawMessage(object)}))
		return get[[]store.Resource](t)(s.ListResources(ctx, fence.Cluster))[0]
	}
	first := put("vpc-1", `{"v":1}`)
	second := put("vpc-1", `{"v":2}`)
	if !second.Made.Equal(first.Made) || string(second.Object) != `{"v":2}` {
		t.Errorf("written again: %+v", second)
	}
	if third := put("vpc-2", ""); third.ID != "vpc-2" || third.Object != nil || third.Made.Before(first.Made) {
		t.Errorf("written with another id: %+v", third)
	}
	must(t, s.PutResource(ctx, fence, store.Resource{Key: "a", ID: "i-1"}))
	if all := get[[]store.Resource](t)(s.ListResources(ctx, fence.Cluster)); len(all) != 2 || all[0].Key != "a" {
		t.Errorf("ledger %+v", all)
	}
	must(t, s.DeleteResource(ctx, fence, "k"))
	must(t, s.DeleteResource(ctx, fence, "k"))
	if all := get[[]store.Resource](t)(s.ListResources(ctx, "another")); len(all) != 0 {
		t.Errorf("another cluster's ledger %+v", all)
	}
}

func testNodes(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	must(t, s.PutNode(ctx, fence, store.Node{Name: "b", Site: "aws", Role: "worker", Facts: json.RawMessage(`{"a":1}`)}))
	must(t, s.PutNode(ctx, fence, store.Node{Name: "a", Site: "gcp", Role: "control-plane"}))
	must(t, s.PutNode(ctx, fence, store.Node{Name: "b", Site: "aws", Role: "worker", Facts: json.RawMessage(`{"a":2}`)}))
	all := get[[]store.Node](t)(s.GetNodes(ctx, fence.Cluster))
	if len(all) != 2 || all[0].Name != "a" || all[0].Facts != nil || string(all[1].Facts) != `{"a":2}` || all[1].Updated.IsZero() || all[1].Cluster != fence.Cluster {
		t.Errorf("nodes %+v", all)
	}
	must(t, s.DeleteNode(ctx, fence, "a"))
	must(t, s.DeleteNode(ctx, fence, "a"))
	if all := get[[]store.Node](t)(s.GetNodes(ctx, fence.Cluster)); len(all) != 1 {
		t.Errorf("nodes %+v", all)
	}
}

func testSecrets(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	_, err := s.GetSecret(ctx, fence.Cluster, "ca")
	wantError(t, err, store.ErrNotFound, "ca")
	for _, v := range []string{"one", "", "two"} {
		must(t, s.PutSecret(ctx, fence, "ca", []byte(v)))
		if got := get[[]byte](t)(open(t, d).GetSecret(ctx, fence.Cluster, "ca")); string(got) != v {
			t.Errorf("secret %q; want %q", got, v)
		}
	}
	must(t, s.PutSecret(ctx, fence, "a", []byte{0, 255}))
	equal(t, "names", get[[]string](t)(s.ListSecretNames(ctx, fence.Cluster)), []string{"a", "ca"})
	must(t, s.DeleteSecrets(ctx, fence, "a", "nothing"))
	equal(t, "names", get[[]string](t)(s.ListSecretNames(ctx, fence.Cluster)), []string{"ca"})
	// A sealed value in another row's place doesn't open.
	must(t, s.PutSecret(ctx, fence, "other", []byte("x")))
	d.Exec(t, "UPDATE secrets SET value = (SELECT value FROM secrets WHERE name = 'ca') WHERE name = 'other'")
	if v, err := s.GetSecret(ctx, fence.Cluster, "other"); err == nil {
		t.Errorf("a moved secret opened as %q", v)
	}
}

func testEvents(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	add := func(cluster, reason string) store.Event {
		return get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: cluster, Type: store.Normal, Reason: reason, Object: "node a", Message: "joined"}))
	}
	a, b, c := add("one", "A"), add("two", "B"), add("one", "C")
	if a.ID >= b.ID || b.ID >= c.ID || a.Time.IsZero() {
		t.Errorf("events %+v %+v %+v", a, b, c)
	}
	list := func(cluster string, since int64, limit int) []store.Event {
		return get[[]store.Event](t)(s.ListEvents(ctx, cluster, since, limit))
	}
	equal(t, "of one", list("one", 0, 10), []store.Event{a, c})
	equal(t, "since a", list("one", a.ID, 10), []store.Event{c})
	equal(t, "all", list("", 0, 2), []store.Event{a, b})
	equal(t, "last", get[[]store.Event](t)(s.LastEvents(ctx, "", 2)), []store.Event{b, c})
	must(t, s.PruneEvents(ctx, "one", 1))
	equal(t, "after pruning", list("", 0, 10), []store.Event{b, c})
	if _, err := s.AddEvent(ctx, store.Event{Type: "Bad"}); err == nil {
		t.Error("an event of a bad type was taken")
	}
}

// testPrune: of every cluster only the end of its history is kept, however much there is, and all that receipts go by.
func testPrune(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	const old, keep = 1203, 3 // more than goes in one piece
	insert := func(n int, into, values string) {
		d.Exec(t, fmt.Sprintf("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) INSERT INTO %s SELECT %s FROM c", n, into, values))
	}
	const events = "events (id, cluster, time, type, reason, object, message)"
	insert(old, events, "n - 5000, '"+fence.Cluster+"', 0, 'Normal', 'R', '', ''")
	insert(keep, events, "n - 9000, 'short', 0, 'Normal', 'R', '', ''")
	insert(old, "runs (id, cluster, reason, generation, owner, started, ended, outcome, error, api_calls)", "n - 5000, '"+fence.Cluster+"', 'r', n, '', 1, 1, 'done', '', '{}'")
	// Of the changes one isn't done, one was worked on by a run that stays, and one was asked for by a write that may be sent again.
	insert(old, "changes (id, cluster, kind, body, state, who, created, ended, generation, error, run)", "n - 5000, '"+fence.Cluster+"', 'apply', '{}', 'applied', '', 1, 1, n, '', n - 90000")
	d.Exec(t, "UPDATE changes SET state = 'queued', generation = 0 WHERE id = 1000 - 5000")
	d.Exec(t, fmt.Sprintf("UPDATE changes SET run = %d WHERE id = 1100 - 5000", old-5000))
	d.Exec(t, "INSERT INTO idempotency (principal, key, digest, begun, token, until, change, status, answer) VALUES ('p', 'k', '', 1, '', 1, 1150 - 5000, 0, '')")
	insert(old, "revisions (cluster, generation, spec, who, made)", "'"+fence.Cluster+"', n + 1, '{}', '', 1")
	d.Exec(t, "INSERT INTO steps (run, seq, id, key, kind, site, action, reason, depends, state, started, ended, error) SELECT id, 1, 'x', '', '', '', '', '', '[]', 'done', 1, 1, '' FROM runs")
	const intents = "intents (id, cluster, key, kind, site, region, action, token, state, created, resolved, object_id)"
	insert(old, intents, "n - 9000, '"+fence.Cluster+"', 'k', 'k', 's', 'r', 'create', '', 'done', 1, 1, 'i' || n")
	insert(old, intents, "n - 7000, '"+fence.Cluster+"', 'k' || n, 'k', 's', 'r', 'create', '', 'open', 1, 0, ''")
	insert(old, intents, "n - 5000, '"+fence.Cluster+"', 'k', 'k', 's' || n, 'r', 'delete', '', 'done', 1, 1, ''")
	left := func() (out [8]int) {
		out[0] = len(get[[]store.Run](t)(s.ListRuns(ctx, fence.Cluster, 10000)))
		out[1] = len(get[[]store.Event](t)(s.ListEvents(ctx, fence.Cluster, -10000, 10000)))
		out[2] = len(get[[]store.Event](t)(s.ListEvents(ctx, "short", -10000, 10000)))
		out[3] = len(get[[]store.Made](t)(s.ListMade(ctx, fence.Cluster)))
		out[4] = len(get[[]store.Intent](t)(s.ListOpenIntents(ctx, fence.Cluster)))
		out[5] = len(get[map[string]time.Time](t)(s.LastRemovals(ctx, fence.Cluster)))
		out[6] = len(get[[]store.Change](t)(s.ListChanges(ctx, fence.Cluster)))
		out[7] = len(get[[]store.Revision](t)(s.ListRevisions(ctx, fence.Cluster)))
		return out
	}
	must(t, s.RequestDelete(ctx, fence.Cluster))
	all := store.Kept{Runs: keep, Events: keep, Intents: keep, Changes: keep, Revisions: keep}
	const changes, revisions = keep + 3, old + 1 - 1098 // the oldest change that stays made the revision 1100
	must(t, s.Prune(ctx, all))
	equal(t, "left of a cluster that is being deleted", left(), [8]int{keep, keep, keep, old, old, old, changes, revisions})
	d.Exec(t, "UPDATE clusters SET delete_requested = 0")
	d.Exec(t, "DELETE FROM idempotency")
	must(t, s.Prune(ctx, all))
	equal(t, "left", left(), [8]int{keep, keep, keep, old, old, keep, changes - 1, revisions})
	if r, err := s.GetRevision(ctx, fence.Cluster, 1099); err != nil {
		t.Errorf("what the oldest change was made from: %+v, %v", r, err)
	}
	if runs := get[[]store.Run](t)(s.ListRuns(ctx, fence.Cluster, 10)); runs[0].ID != old-5000 {
		t.Errorf("the newest run is %d", runs[0].ID)
	}
}

// testEventOrder: whoever has seen an id has seen all smaller ones.
func testEventOrder(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	const writers, each = 4, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				if _, err := s.AddEvent(ctx, store.Event{Cluster: fmt.Sprint("c", w), Type: store.Normal, Reason: "R"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	other := open(t, d)
	seen, last := 0, int64(0)
	for deadline := time.Now().Add(time.Minute); seen < writers*each && time.Now().Before(deadline) && !t.Failed(); {
		for _, e := range get[[]store.Event](t)(other.ListEvents(ctx, "", last, 7)) {
			seen, last = seen+1, e.ID
		}
	}
	wg.Wait()
	if seen != writers*each {
		t.Errorf("a reader that followed the ids saw %d of %d events", seen, writers*each)
	}
}

func testWatch(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	w := s.Watch()
	fence := claimed(t, s, "demo")
	get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: fence.Cluster, Type: store.Normal, Reason: "A"}))
	get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: fence.Cluster, Type: store.Normal, Reason: "B"}))
	select {
	case <-w.Ready():
	default:
		t.Fatal("not ready after writes")
	}
	equal(t, "notes", w.Take(), []store.Note{{What: store.Accounts}, {Cluster: fence.Cluster, What: store.Clusters}, {Cluster: fence.Cluster, What: store.Events}})
	equal(t, "taken", w.Take(), []store.Note(nil))
	must(t, s.Wake(ctx, fence.Cluster))
	<-w.Ready()
	w.Close()
	w.Take()
	must(t, s.Wake(ctx, fence.Cluster))
	equal(t, "after closing", w.Take(), []store.Note(nil))
	// What fails tells nobody.
	w = s.Watch()
	defer w.Close()
	wantError(t, s.Wake(ctx, "nobody"), store.ErrNotFound)
	equal(t, "after a failure", w.Take(), []store.Note(nil))
}
