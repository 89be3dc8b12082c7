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

// idle makes clusters that are due at once and of which nothing is asked.
func idle(t *testing.T, s *store.Store, names ...string) map[string]string {
	t.Helper()
	must(t, s.PutAccount(t.Context(), account("acme")))
	uids := map[string]string{}
	for _, name := range names {
		uids[name] = get[store.Cluster](t)(s.CreateCluster(t.Context(), wanted(name, "acme"), "alice")).UID
	}
	for range names {
		must(t, s.Release(t.Context(), claimWhenDue(t, s, "setup").Fence, -time.Minute))
	}
	return uids
}

// testAskedFirst: what somebody waits for comes before what is merely due, however long that has been.
func testAskedFirst(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	uids := idle(t, s, "a", "b", "c", "d")
	if c := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl)); c != nil {
		t.Fatalf("%s was claimed, of which nothing is asked", c.Current.Name)
	}
	get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: uids["c"], Kind: store.Reconcile}))
	must(t, s.RequestDelete(ctx, uids["d"]))
	first := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl))
	second := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	third := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if first == nil || second == nil || third == nil || !first.Asked || !second.Asked || third.Asked {
		t.Fatalf("claims %+v, %+v, %+v", first, second, third)
	}
	if got := first.Current.Name + second.Current.Name; got != "cd" && got != "dc" {
		t.Errorf("claimed %s first; want c and d", got)
	}
	must(t, s.Release(ctx, first.Fence, -time.Minute))
	must(t, s.Release(ctx, second.Fence, -time.Minute))
	// A deletion is waited for until it is done, a change until its run.
	if c := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl)); c == nil || c.Current.Name != "d" {
		t.Errorf("claim %+v; want one of d", c)
	}
	if c := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl)); c != nil {
		t.Errorf("%s was claimed, of which nothing is asked any more", c.Current.Name)
	}
	// One that an engine had taken on when it died is still waited for; one that failed is tried again when it is due.
	must(t, s.Release(ctx, third.Fence, time.Hour))
	change := get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: third.Cluster, Kind: store.Reconcile}))
	dead := get[*store.Claim](t)(s.ClaimAsked(ctx, "dead", ttl))
	must(t, s.SetChange(ctx, dead.Fence, change.ID, store.Applying, 0, ""))
	must(t, s.Abandon(ctx, "dead"))
	again := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl))
	if again == nil || again.Cluster != third.Cluster {
		t.Fatalf("claim %+v; want one of the change that was broken off", again)
	}
	get[[]store.Change](t)(s.EndTry(ctx, again.Fence, "the disk is full"))
	must(t, s.Release(ctx, again.Fence, -time.Minute))
	if c := get[*store.Claim](t)(s.ClaimAsked(ctx, "engine-1", ttl)); c != nil {
		t.Errorf("%s was claimed for a change that failed", c.Current.Name)
	}
}

func testPause(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	uid := idle(t, s, "demo")["demo"]
	c := get[store.Cluster](t)(s.Pause(ctx, uid, "alice", "a move"))
	if c.Paused == nil || c.Paused.By != "alice" || c.Paused.Reason != "a move" || time.Since(c.Paused.Since).Abs() > time.Minute {
		t.Fatalf("paused %+v", c.Paused)
	}
	again := get[store.Cluster](t)(s.Pause(ctx, uid, "bob", "still"))
	if !again.Paused.Since.Equal(c.Paused.Since) || again.Paused.By != "bob" || again.Paused.Reason != "still" {
		t.Errorf("paused again %+v after %+v", again.Paused, c.Paused)
	}
	equal(t, "cluster", get[store.Cluster](t)(open(t, d).GetCluster(ctx, "demo")), again)
	get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: uid, Kind: store.Reconcile}))
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); c != nil {
		t.Fatal("a paused cluster was claimed")
	}
	if _, ok, err := s.NextDue(ctx); ok || err != nil {
		t.Errorf("a paused cluster is due: %v", err)
	}
	was := get[*store.Pause](t)(s.Resume(ctx, uid))
	equal(t, "the pause that ended", was, again.Paused)
	if p := get[*store.Pause](t)(s.Resume(ctx, uid)); p != nil {
		t.Errorf("resumed twice: %+v", p)
	}
	claim := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if claim == nil || !claim.Asked || claim.Current.Paused != nil {
		t.Fatalf("claim after the pause %+v", claim)
	}
	// One that comes during a run lets that write, and holds the next off.
	get[store.Cluster](t)(s.Pause(ctx, uid, "alice", "again"))
	must(t, s.SetStatus(ctx, claim.Fence, store.Ready, nil, nil))
	must(t, s.Release(ctx, claim.Fence, 0))
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); c != nil {
		t.Fatal("a paused cluster was claimed after its run")
	}
	// A deletion goes through.
	must(t, s.RequestDelete(ctx, uid))
	_, err := s.Pause(ctx, uid, "alice", "no")
	wantError(t, err, store.ErrConflict, "deleted")
	claim = get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if claim == nil {
		t.Fatal("the deletion of a paused cluster can't be claimed")
	}
	must(t, s.MarkDeleted(ctx, claim.Fence))
	if c := get[store.Cluster](t)(s.GetClusterByUID(ctx, uid)); c.Paused != nil {
		t.Errorf("a deleted cluster is paused: %+v", c.Paused)
	}
	_, err = s.Pause(ctx, uid, "alice", "gone")
	wantError(t, err, store.ErrNotFound)
	_, err = s.Resume(ctx, uid)
	wantError(t, err, store.ErrNotFound)
}

// testReschedule moves what waits, and only as it was read.
func testReschedule(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	uids := idle(t, s, "busy", "paused", "asked", "woken", "due")
	busy := claimOf(t, s, uids["busy"])
	get[store.Cluster](t)(s.Pause(ctx, uids["paused"], "alice", "x"))
	must(t, s.Wake(ctx, uids["asked"]))
	before := get[store.Cluster](t)(s.GetCluster(ctx, "busy"))
	moved := get[int](t)(s.Reschedule(ctx, func(now time.Time, all []store.Waiting) map[string]time.Time {
		to := map[string]time.Time{}
		for _, w := range all {
			if w.Asked != (w.Cluster == uids["asked"]) || w.Next.After(now) || w.Set.After(now) {
				t.Errorf("waiting %+v at %v", w, now)
			}
			to[w.Cluster] = now.Add(time.Hour)
		}
		if len(all) != 3 || to[uids["busy"]] != (time.Time{}) || to[uids["paused"]] != (time.Time{}) {
			t.Errorf("waiting: %+v", all)
		}
		must(t, s.Wake(ctx, uids["woken"])) // meanwhile
		to[uids["busy"]] = now.Add(time.Hour)
		return to
	}))
	if moved != 2 {
		t.Errorf("%d were moved; want 2", moved)
	}
	equal(t, "the busy one", get[store.Cluster](t)(s.GetCluster(ctx, "busy")), before)
	if c := claimWhenDue(t, s, "engine-1"); c.Current.Name != "woken" {
		t.Errorf("claimed %s; want woken", c.Current.Name)
	}
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); c != nil {
		t.Errorf("%s is due, though it was moved", c.Current.Name)
	}
	must(t, s.Check(ctx, busy))
}

// claimOf claims one cluster out of several that are due.
func claimOf(t *testing.T, s *store.Store, uid string) store.Fence {
	t.Helper()
	must(t, s.Wake(t.Context(), uid))
	c := get[*store.Claim](t)(s.ClaimAsked(t.Context(), "engine-1", ttl))
	if c == nil || c.Cluster != uid {
		t.Fatalf("claim %+v; want one of %s", c, uid)
	}
	return c.Fence
}

// testClockSetBack: a lease that was taken by a later clock ends all the same, and whoever renews it keeps it.
func testClockSetBack(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	uids := idle(t, s, "dead", "alive")
	dead, alive := claimOf(t, s, uids["dead"]), claimOf(t, s, uids["alive"])
	day := fmt.Sprint((24 * time.Hour).Microseconds())
	d.Exec(t, "UPDATE clusters SET next_run_at = next_run_at + "+day+", lease_until = lease_until + "+day+", scheduled = scheduled + "+day)
	_, _, err := s.Renew(ctx, alive, ttl)
	must(t, err)
	must(t, s.Wake(ctx, dead.Cluster)) // which says nothing of the lease
	get[int](t)(s.Reschedule(ctx, func(time.Time, []store.Waiting) map[string]time.Time { return nil }))
	for name, fence := range map[string]store.Fence{"dead": dead, "alive": alive} {
		c := get[store.Cluster](t)(s.GetCluster(ctx, name))
		if left := time.Until(c.Lease.Until); left > ttl+time.Second || left < ttl-30*time.Second {
			t.Errorf("the lease of %s lasts %v more; want %v", name, left, ttl)
		}
		must(t, s.Check(ctx, fence)) // it is whose it was
	}
	// What was made by it counts as made now: else lists that leave it out would not be believed for a day.
	made := func(key string) time.Time {
		for _, r := range get[[]store.Resource](t)(s.ListResources(ctx, alive.Cluster)) {
			if r.Key == key {
				return r.Made
			}
		}
		t.Fatalf("there is no %s", key)
		return time.Time{}
	}
	for _, key := range []string{"young", "old", "ahead"} {
		must(t, s.PutResource(ctx, alive, store.Resource{Key: key, Kind: "vpc", ID: key}))
	}
	hour := fmt.Sprint(time.Hour.Microseconds())
	d.Exec(t, "UPDATE resources SET made = made + "+day+" WHERE key = 'ahead'")
	d.Exec(t, "UPDATE resources SET made = made - "+hour+" WHERE key = 'old'")
	young, old := made("young"), made("old")
	get[int](t)(s.Reschedule(ctx, func(time.Time, []store.Waiting) map[string]time.Time { return nil }))
	if since := time.Since(made("ahead")); since < 0 || since > time.Minute || !made("young").Equal(young) || !made("old").Equal(old) {
		t.Errorf("made %s ago; the others %s and %s, which were %s and %s", since, made("young"), made("old"), young, old)
	}
	must(t, s.Release(ctx, alive, time.Hour))
	// What waits shows by which clock its time was laid down.
	d.Exec(t, "UPDATE clusters SET next_run_at = next_run_at + "+day+", scheduled = scheduled + "+day+" WHERE uid = '"+uids["alive"]+"'")
	moved := get[int](t)(s.Reschedule(ctx, func(now time.Time, all []store.Waiting) map[string]time.Time {
		if len(all) != 1 || all[0].Set.Sub(now) < 23*time.Hour {
			t.Errorf("waiting %+v", all)
		}
		return map[string]time.Time{uids["alive"]: now}
	}))
	if c := claimWhenDue(t, s, "engine-1"); moved != 1 || c.Current.Name != "alive" {
		t.Errorf("%d moved, claimed %s", moved, c.Current.Name)
	}
}

func half() time.Duration { return 30 * time.Second }

func testCare(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	uids := idle(t, s, "a", "b", "c")
	equal(t, "care of a new one", get[store.Care](t)(s.GetCare(ctx, uids["a"])), store.Care{Cluster: uids["a"]})
	claims := get[[]store.CareClaim](t)(s.ClaimCare(ctx, 2, half))
	rest := get[[]store.CareClaim](t)(open(t, d).ClaimCare(ctx, 2, half))
	if len(claims) != 2 || len(rest) != 1 {
		t.Fatalf("claimed %d and %d; want 2 and 1", len(claims), len(rest))
	}
	if more := get[[]store.CareClaim](t)(s.ClaimCare(ctx, 2, half)); len(more) != 0 {
		t.Errorf("claimed %+v before it is due", more)
	}
	if in, ok, err := s.CareDue(ctx); !ok || err != nil || in > 30*time.Second || in < time.Second {
		t.Errorf("due in %v, %v, %v", in, ok, err)
	}
	a := claims[0]
	if a.Current.UID != a.Cluster || time.Since(a.Now).Abs() > time.Minute {
		t.Errorf("claim %+v", a)
	}
	conditions := []store.Condition{{Type: "NodesReady", Status: "False", Message: "1 of 2", Since: time.Unix(7, 0).UTC()}}
	if woken := get[bool](t)(s.SetCare(ctx, a, conditions, json.RawMessage(`{"n":1}`), false)); woken {
		t.Error("it was woken")
	}
	got := get[store.Care](t)(open(t, d).GetCare(ctx, a.Cluster))
	equal(t, "care", got, store.Care{Cluster: a.Cluster, Conditions: conditions, Memory: json.RawMessage(`{"n":1}`)})

	later := get[store.CareClaim](t)(s.ClaimCareOf(ctx, a.Cluster, half))
	equal(t, "what a claim finds", later.Care, got)
	_, err := s.SetCare(ctx, a, nil, nil, false)
	wantError(t, err, store.ErrFenced, a.Cluster)
	get[bool](t)(s.SetCare(ctx, later, nil, nil, false))
	// A clock that is set back must not keep anybody from looking.
	d.Exec(t, fmt.Sprintf("UPDATE care SET due = due + %d", (24*time.Hour).Microseconds()))
	if claims := get[[]store.CareClaim](t)(s.ClaimCare(ctx, 9, half)); len(claims) != 3 {
		t.Errorf("claimed %d after the clock was set back; want 3", len(claims))
	}
	d.Exec(t, "UPDATE care SET due = 0")
	must(t, s.RequestDelete(ctx, uids["a"]))
	if claims := get[[]store.CareClaim](t)(s.ClaimCare(ctx, 9, half)); len(claims) != 2 {
		t.Errorf("claimed %d; want 2 without the one that is being deleted", len(claims))
	}
	gone := claimOf(t, s, uids["a"])
	must(t, s.MarkDeleted(ctx, gone))
	equal(t, "care of a deleted one", get[store.Care](t)(s.GetCare(ctx, uids["a"])), store.Care{Cluster: uids["a"]})
	_, err = s.ClaimCareOf(ctx, uids["a"], half)
	wantError(t, err, store.ErrNotFound)
}

// testCareWakes: a look wakes a cluster unless a run is on, has begun since, or is held off.
func testCareWakes(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	uid := idle(t, s, "demo")["demo"]
	look := func() store.CareClaim { return get[store.CareClaim](t)(s.ClaimCareOf(ctx, uid, half)) }
	wakes := func(what string, claim store.CareClaim, want bool) {
		t.Helper()
		if got := get[bool](t)(s.SetCare(ctx, claim, nil, nil, true)); got != want {
			t.Errorf("%s: woken is %v; want %v", what, got, want)
		}
	}
	before := look()
	run := claimWhenDue(t, s, "engine-1")
	wakes("a run that has begun since", before, false)
	wakes("a run that is on", look(), false)
	must(t, s.Release(ctx, run.Fence, time.Hour))
	wakes("a claim of an earlier look", look(), true)
	c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if c == nil || c.Asked {
		t.Fatalf("claim %+v; want one of the cluster that was woken, for which nobody asked", c)
	}
	must(t, s.Release(ctx, c.Fence, time.Hour))
	get[store.Cluster](t)(s.Pause(ctx, uid, "alice", "x"))
	wakes("a paused one", look(), false)
}

// testCareBesideRuns lets looks and a run write at the same time: nothing that either wrote is lost.
func testCareBesideRuns(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	const rounds = 25
	var wg sync.WaitGroup
	mine := open(t, d)
	wg.Go(func() {
		for i := range rounds {
			conditions := []store.Condition{{Type: "Ready", Status: "True", Message: fmt.Sprint("run ", i)}}
			if err := s.SetStatus(ctx, fence, store.Reconciling, conditions, json.RawMessage(fmt.Sprintf(`{"run":%d}`, i))); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range rounds {
			claim, err := mine.ClaimCareOf(ctx, fence.Cluster, half)
			if err == nil {
				_, err = mine.SetCare(ctx, claim, []store.Condition{{Type: "NodesReady", Status: "True", Message: fmt.Sprint("look ", i)}}, nil, true)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	c, care := get[store.Cluster](t)(s.GetCluster(ctx, "demo")), get[store.Care](t)(s.GetCare(ctx, fence.Cluster))
	last := fmt.Sprint(rounds - 1)
	if !strings.HasSuffix(c.Conditions[0].Message, "run "+last) || string(c.Status) != `{"run":`+last+`}` || !strings.HasSuffix(care.Conditions[0].Message, "look "+last) {
		t.Errorf("the run left %+v and %s, the looks %+v", c.Conditions, c.Status, care.Conditions)
	}
	must(t, s.Check(ctx, fence))
}
