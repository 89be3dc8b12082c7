package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

func testLease(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); c != nil {
		t.Fatalf("claimed %+v of nothing", c)
	}
	if _, ok, err := s.NextDue(ctx); ok || err != nil {
		t.Errorf("something is due of nothing: %v", err)
	}
	must(t, s.PutAccount(ctx, account("acme")))
	created := get[store.Cluster](t)(s.CreateCluster(ctx, wanted("demo", "acme"), "alice"))
	claim := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if claim == nil || claim.Cluster != created.UID || claim.Epoch != 1 || claim.Current.Name != "demo" || claim.Current.Lease.Owner != "engine-1" {
		t.Fatalf("claim %+v", claim)
	}
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-2", ttl)); c != nil {
		t.Fatalf("claimed twice: %+v", c)
	}
	must(t, s.Check(ctx, claim.Fence))
	// Others may take it once its end is past, which is a microsecond later.
	if in, ok, err := s.NextDue(ctx); err != nil || !ok || in > ttl+time.Microsecond || in < ttl-30*time.Second {
		t.Errorf("due in %v, %v, %v; the lease lasts %v", in, ok, err, ttl)
	}
	until, woken, err := s.Renew(ctx, claim.Fence, 2*ttl)
	if err != nil || woken || !until.After(claim.Until) {
		t.Errorf("renewed until %v after %v, woken %v: %v", until, claim.Until, woken, err)
	}
	must(t, s.Release(ctx, claim.Fence, time.Hour))
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-2", ttl)); c != nil {
		t.Fatalf("claimed before it is due: %+v", c)
	}
	if in, ok, err := s.NextDue(ctx); in > time.Hour || in < time.Hour-30*time.Second || !ok || err != nil {
		t.Errorf("due in %v, %v, %v; want an hour", in, ok, err)
	}
	for what, err := range map[string]error{
		"check": s.Check(ctx, claim.Fence), "release": s.Release(ctx, claim.Fence, time.Hour), "write": s.SetStatus(ctx, claim.Fence, store.Ready, nil, nil),
	} {
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s after the release: %v", what, err)
		}
	}
	must(t, s.Wake(ctx, created.UID))
	claim = get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-2", ttl))
	if claim == nil || claim.Epoch != 2 {
		t.Fatalf("claim after a wake %+v", claim)
	}
}

// claimWhenDue asks again until there is something to claim.
func claimWhenDue(t *testing.T, s *store.Store, owner string) *store.Claim {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if c := get[*store.Claim](t)(s.ClaimCluster(t.Context(), owner, ttl)); c != nil {
			return c
		}
	}
	t.Fatal("nothing to claim for 30 s")
	return nil
}

func testLeaseRunsOut(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	must(t, s.PutAccount(ctx, account("acme")))
	get[store.Cluster](t)(s.CreateCluster(ctx, wanted("demo", "acme"), "alice"))
	frozen := get[*store.Claim](t)(s.ClaimCluster(ctx, "frozen", time.Millisecond))
	// Until somebody takes the lease over, its late owner may go on.
	must(t, s.SetStatus(ctx, frozen.Fence, store.Reconciling, nil, nil))
	taken := claimWhenDue(t, open(t, d), "engine-2")
	if taken.Epoch != frozen.Epoch+1 {
		t.Errorf("epoch %d after %d", taken.Epoch, frozen.Epoch)
	}
	wantError(t, s.Check(ctx, frozen.Fence), store.ErrFenced)
	_, _, err := s.Renew(ctx, frozen.Fence, ttl)
	wantError(t, err, store.ErrFenced)
	must(t, s.Check(ctx, taken.Fence))
}

func testWake(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	const far = time.Hour
	must(t, s.Wake(ctx, fence.Cluster))
	if _, woken, err := s.Renew(ctx, fence, ttl); !woken || err != nil {
		t.Errorf("woken %v, %v; want true", woken, err)
	}
	must(t, s.Release(ctx, fence, far))
	again := claimWhenDue(t, s, "engine-1") // the wake during the run was kept
	must(t, s.Release(ctx, again.Fence, far))
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); c != nil {
		t.Fatal("one wake led to two runs")
	}
	get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: fence.Cluster, Kind: store.Reconcile}))
	claimWhenDue(t, s, "engine-1")
	wantError(t, s.Wake(ctx, "nobody"), store.ErrNotFound)
}

// testFencing: no write of a cluster's data gets through under an old epoch.
func testFencing(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	good := claimed(t, s, "demo")
	run := get[store.Run](t)(s.CreateRun(ctx, good, "r", 1, []store.Step{{ID: "a"}}))
	intent := get[store.Intent](t)(s.OpenIntent(ctx, good, store.Intent{Key: "k", Action: "create"}))
	change := get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: good.Cluster, Kind: store.Apply}))
	queue := get[store.Queue](t)(s.GetQueue(ctx, good.Cluster))
	must(t, s.PutNode(ctx, good, store.Node{Name: "n"}))
	before := get[store.Cluster](t)(s.GetCluster(ctx, "demo"))

	for _, bad := range []store.Fence{{Cluster: good.Cluster, Epoch: good.Epoch - 1}, {Cluster: good.Cluster, Epoch: good.Epoch + 1}, {Cluster: good.Cluster}} {
		for what, write := range map[string]func() error{
			"TakeChanges": func() error {
				_, err := s.TakeChanges(ctx, bad, queue, []store.Move{{ID: change.ID, State: store.Applying, Spec: wanted("demo", "acme")}})
				return err
			},
			"EndTry":      func() error { _, err := s.EndTry(ctx, bad, ""); return err },
			"SetStatus":   func() error { return s.SetStatus(ctx, bad, store.Ready, nil, nil) },
			"MarkDeleted": func() error { return s.MarkDeleted(ctx, bad, store.Receipt{Name: "demo"}) },
			"PutInventory": func() error {
				return s.PutInventory(ctx, bad, store.Inventory{Account: "acme", Region: "r", Moment: store.After})
			},
			"SettleAbandoned": func() error { return s.SettleAbandoned(ctx, bad, "site0", nil) },
			"Renew":           func() error { _, _, err := s.Renew(ctx, bad, ttl); return err },
			"Release":         func() error { return s.Release(ctx, bad, 0) },
			"SetChange":       func() error { return s.SetChange(ctx, bad, change.ID, store.Applying, 0, "") },
			"CreateRun":       func() error { _, err := s.CreateRun(ctx, bad, "x", 1, nil); return err },
			"AddSteps":        func() error { return s.AddSteps(ctx, bad, run.ID, nil) },
			"SetStep":         func() error { return s.SetStep(ctx, bad, run.ID, "a", store.StepDone, "") },
			"EndRun":          func() error { return s.EndRun(ctx, bad, run.ID, "x", "", nil) },
			"OpenIntent":      func() error { _, err := s.OpenIntent(ctx, bad, store.Intent{Key: "k2", Action: "create"}); return err },
			"ResolveIntent":   func() error { return s.ResolveIntent(ctx, bad, intent.ID, store.Resolution{State: store.IntentDone}) },
			"PutResource":     func() error { return s.PutResource(ctx, bad, store.Resource{Key: "k"}) },
			"DeleteResource":  func() error { return s.DeleteResource(ctx, bad, "k") },
			"PutNode":         func() error { return s.PutNode(ctx, bad, store.Node{Name: "n2"}) },
			"DeleteNode":      func() error { return s.DeleteNode(ctx, bad, "n") },
			"PutSecret":       func() error { return s.PutSecret(ctx, bad, "s", nil) },
			"DeleteSecrets":   func() error { return s.DeleteSecrets(ctx, bad, "s") },
		} {
			if err := write(); !errors.Is(err, store.ErrFenced) || !strings.Contains(err.Error(), good.Cluster) {
				t.Errorf("%s with epoch %d of %d: %v", what, bad.Epoch, good.Epoch, err)
			}
		}
	}
	equal(t, "cluster", get[store.Cluster](t)(s.GetCluster(ctx, "demo")), before)
	if n := get[[]store.Node](t)(s.GetNodes(ctx, good.Cluster)); len(n) != 1 || n[0].Name != "n" {
		t.Errorf("nodes %+v", n)
	}
	if i := get[[]store.Intent](t)(s.ListOpenIntents(ctx, good.Cluster)); len(i) != 1 {
		t.Errorf("intents %+v", i)
	}
	wantError(t, s.SetStatus(ctx, store.Fence{Cluster: "nobody", Epoch: 1}, store.Ready, nil, nil), store.ErrNotFound)
}

// testContention lets engines with their own connections fight over few clusters: no two may hold one at a time, and each
// claim has its own epoch.
func testContention(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	must(t, s.PutAccount(ctx, account("acme")))
	holders := map[string]*atomic.Int32{}
	for i := range 3 {
		c := get[store.Cluster](t)(s.CreateCluster(ctx, wanted(fmt.Sprint("demo-", i), "acme"), "alice"))
		holders[c.UID] = &atomic.Int32{}
	}
	const engines, rounds = 6, 40
	var claims atomic.Int32
	var mu sync.Mutex
	epochs := map[store.Fence]bool{}
	var wg sync.WaitGroup
	for i := range engines {
		mine := s
		if i%2 == 1 {
			mine = open(t, d)
		}
		wg.Go(func() {
			for claims.Load() < rounds && !t.Failed() {
				c, err := mine.ClaimCluster(ctx, fmt.Sprint("engine-", i), ttl)
				if err != nil {
					t.Error(err)
					return
				}
				if c == nil {
					continue
				}
				if n := holders[c.Cluster].Add(1); n != 1 {
					t.Errorf("%d engines hold one cluster", n)
				}
				mu.Lock()
				if epochs[c.Fence] {
					t.Errorf("epoch %d was given twice", c.Epoch)
				}
				epochs[c.Fence] = true
				mu.Unlock()
				if err := mine.SetStatus(ctx, c.Fence, store.Ready, nil, nil); err != nil {
					t.Error(err)
				}
				claims.Add(1)
				holders[c.Cluster].Add(-1)
				if err := mine.Release(ctx, c.Fence, -time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

const childEnv = "SKYWELD_STORETEST_WRITE"

// Child is called at the beginning of TestMain: in the process that testKilled starts, it writes until it is killed.
func Child() {
	where := os.Getenv(childEnv)
	if where == "" {
		return
	}
	err := writeForever(context.Background(), where)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// writeForever opens and resolves intents and says which are resolved.
func writeForever(ctx context.Context, where string) error {
	s, err := store.Open(ctx, where, Box())
	if err != nil {
		return err
	}
	claim, err := s.ClaimCluster(ctx, "child", ttl)
	if err != nil {
		return err
	}
	if claim == nil {
		return errors.New("nothing to claim")
	}
	for i := 0; ; i++ {
		key := fmt.Sprint("k", i)
		intent, err := s.OpenIntent(ctx, claim.Fence, store.Intent{Key: key, Action: "create"})
		if err != nil {
			return err
		}
		err = s.ResolveIntent(ctx, claim.Fence, intent.ID, store.Resolution{State: store.IntentDone, ObjectID: intent.Token, Put: &store.Resource{Key: key, ID: intent.Token}})
		if err != nil {
			return err
		}
		fmt.Println(key)
	}
}

// testKilled kills a process in the middle of its writing: what it said is there, and no intent without its ledger line.
func testKilled(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	must(t, s.PutAccount(ctx, account("acme")))
	c := get[store.Cluster](t)(s.CreateCluster(ctx, wanted("demo", "acme"), "alice"))
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+d.Where)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	said := map[string]bool{}
	for lines.Scan() {
		said[lines.Text()] = true
		if len(said) == 20 {
			must(t, child.Process.Kill())
		}
	}
	child.Wait()
	if len(said) < 20 {
		t.Fatalf("the process wrote %d lines", len(said))
	}
	again := open(t, d)
	ledger := map[string]bool{}
	for _, r := range get[[]store.Resource](t)(again.ListResources(ctx, c.UID)) {
		ledger[r.Key] = true
	}
	for key := range said {
		if !ledger[key] {
			t.Errorf("%s was written and is lost", key)
		}
	}
	open := get[[]store.Intent](t)(again.ListOpenIntents(ctx, c.UID))
	if len(open) > 1 || len(open) == 1 && ledger[open[0].Key] {
		t.Errorf("open intents %+v", open)
	}
	got := get[store.Cluster](t)(again.GetCluster(ctx, "demo"))
	if got.Lease.Owner != "child" {
		t.Errorf("lease %+v", got.Lease)
	}
	must(t, again.Wake(ctx, c.UID))
	d.Exec(t, "UPDATE clusters SET lease_until = 0")
	taken := claimWhenDue(t, again, "engine-1")
	if taken.Epoch != got.Lease.Epoch+1 {
		t.Errorf("epoch %d after %d", taken.Epoch, got.Lease.Epoch)
	}
}

// testOpenMeanwhile: several engines may make one database at the same moment.
func testOpenMeanwhile(t *testing.T, d Database) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), d.Where, Box())
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.PutAccount(t.Context(), account("acme")); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func testNewerSchema(t *testing.T, d Database) {
	open(t, d)
	d.Exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, TRUE)")
	_, err := store.Open(t.Context(), d.Where, Box())
	if err == nil || !strings.Contains(err.Error(), "4711") || !strings.Contains(err.Error(), "newer version of Skyweld") {
		t.Errorf("opened a newer schema: %v", err)
	}
}

func testOtherKey(t *testing.T, d Database) {
	open(t, d)
	other, err := secret.New([]byte("another-key-another-key-another-"), "file /etc/other")
	must(t, err)
	_, err = store.Open(t.Context(), d.Where, other)
	wantError(t, err, secret.ErrKey, "file /etc/other", Box().ID(), other.ID())
	open(t, d)
}

// testNothingReadable: a whole copy of the database tells no secret.
func testNothingReadable(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	must(t, s.PutSecret(ctx, fence, "ca", []byte("hush-ca")))
	text := d.Dump(t)
	for _, word := range []string{"hush", "user:"} {
		if strings.Contains(text, word) {
			t.Errorf("%q stands in the database", word)
		}
	}
	a := get[store.Account](t)(s.GetAccount(ctx, "acme"))
	if shown := fmt.Sprintf("%v %+v %#v", a.Secrets, a.Secrets, a.Secrets); strings.Contains(shown, "hush") {
		t.Errorf("an account shows its secret: %s", shown)
	}
	if a.Secrets["secretAccessKey"] != cloud.Secret("hush-hush-acme") {
		t.Errorf("secret %q", a.Secrets["secretAccessKey"].Reveal())
	}
}
