// Package storetest is the suite that every database under store must pass. It is for tests only.
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Database is one empty database.
type Database struct {
	// Where is what store.Open takes.
	Where string
	// Exec runs a statement behind the store's back.
	Exec func(t *testing.T, statement string)
	// Try does so too, and returns the error.
	Try func(t *testing.T, statement string) error
	// Dump returns all that is stored, as bytes of any form in which text can be found.
	Dump func(t *testing.T) string
}

// Box returns the box of all databases in tests.
func Box() *secret.Box {
	b, err := secret.New([]byte("0123456789abcdef0123456789abcdef"), "the test")
	if err != nil {
		panic(err)
	}
	return b
}

// Run runs the suite; fresh makes an empty database.
func Run(t *testing.T, fresh func(t *testing.T) Database) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Database)
	}{
		{"Accounts", testAccounts},
		{"AccountInUse", testAccountInUse},
		{"Clusters", testClusters},
		{"CreateClusterBy", testCreateClusterBy},
		{"UpdateSpec", testUpdateSpec},
		{"DeleteCluster", testDeleteCluster},
		{"Changes", testChanges},
		{"ChangesMeanwhile", testChangesMeanwhile},
		{"TakeChanges", testTakeChanges},
		{"CancelChange", testCancelChange},
		{"DeleteOvertakes", testDeleteOvertakes},
		{"Runs", testRuns},
		{"Glances", testGlances},
		{"Pages", testPages},
		{"InterruptedRun", testInterruptedRun},
		{"Intents", testIntents},
		{"OpenIntentMeanwhile", testOpenIntentMeanwhile},
		{"LandedLate", testLandedLate},
		{"Reopen", testReopen},
		{"Around", testAround},
		{"Ledger", testLedger},
		{"Nodes", testNodes},
		{"Secrets", testSecrets},
		{"Snapshots", testSnapshots},
		{"Latency", testLatency},
		{"LatencyGrowsCoarse", testLatencyGrowsCoarse},
		{"Measurements", testMeasurements},
		{"Inventories", testInventories},
		{"Made", testMade},
		{"Abandon", testAbandon},
		{"Receipts", testReceipts},
		{"EngineKey", testEngineKey},
		{"Users", testUsers},
		{"LastAdmin", testLastAdmin},
		{"Sessions", testSessions},
		{"Links", testLinks},
		{"APITokens", testAPITokens},
		{"LoginFailures", testLoginFailures},
		{"Audit", testAudit},
		{"AuditStays", testAuditStays},
		{"Events", testEvents},
		{"EventOrder", testEventOrder},
		{"Prune", testPrune},
		{"Watch", testWatch},
		{"Feed", testFeed},
		{"FeedOrder", testFeedOrder},
		{"Terms", testTerms},
		{"Keyed", testKeyed},
		{"Lease", testLease},
		{"LeaseRunsOut", testLeaseRunsOut},
		{"Wake", testWake},
		{"AskedFirst", testAskedFirst},
		{"Pause", testPause},
		{"Reschedule", testReschedule},
		{"ClockSetBack", testClockSetBack},
		{"Care", testCare},
		{"CareWakes", testCareWakes},
		{"CareBesideRuns", testCareBesideRuns},
		{"Fencing", testFencing},
		{"Contention", testContention},
		{"Killed", testKilled},
		{"OpenMeanwhile", testOpenMeanwhile},
		{"NewerSchema", testNewerSchema},
		{"OtherKey", testOtherKey},
		{"NothingReadable", testNothingReadable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, fresh(t))
		})
	}
	for name, test := range map[string]func(t *testing.T, d, other Database){"Backup": testBackup, "DamagedBackup": testDamagedBackup, "BackupMeanwhile": testBackupMeanwhile, "OldBackup": testOldBackup} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t), fresh(t))
		})
	}
}

const ttl = time.Minute

func open(t *testing.T, d Database) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), d.Where, Box())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// must stops the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// wantError checks what an error wraps and says.
func wantError(t *testing.T, err, is error, says ...string) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Fatalf("error %v; want one that is %q", err, is)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q; want one that says %q", err, s)
		}
	}
}

func equal(t *testing.T, what string, got, want any, options ...cmp.Option) {
	t.Helper()
	options = append(options, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}))
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func account(name string) cloud.Account {
	return cloud.Account{
		Name: name, Provider: cloud.AWS, Settings: map[string]string{"endpoint": "https://ec2.example"},
		Secrets: map[string]cloud.Secret{"secretAccessKey": "hush-hush-" + cloud.Secret(name)}, CA: "PEM", Proxy: "socks5://user:hush-proxy@127.0.0.1:1080",
	}
}

func wanted(name string, accounts ...string) *spec.Cluster {
	c := &spec.Cluster{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: name}}
	for i, a := range accounts {
		c.Spec.Sites = append(c.Spec.Sites, spec.Site{Name: fmt.Sprintf("site%d", i), Account: a, Region: "us-east-1"})
	}
	spec.Default(c)
	return c
}

// claimed returns a new cluster with its lease.
func claimed(t *testing.T, s *store.Store, name string) store.Fence {
	t.Helper()
	ctx := t.Context()
	must(t, s.PutAccount(ctx, account("acme")))
	created := get[store.Cluster](t)(s.CreateCluster(ctx, wanted(name, "acme"), "alice"))
	claim := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if claim == nil || claim.Cluster != created.UID {
		t.Fatalf("claim %+v; want one of the new cluster", claim)
	}
	return claim.Fence
}

func testAccounts(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	_, err := s.GetAccount(ctx, "b")
	wantError(t, err, store.ErrNotFound, "account b")
	must(t, s.PutAccount(ctx, account("b")))
	must(t, s.PutAccount(ctx, account("a")))
	got := get[store.Account](t)(s.GetAccount(ctx, "b"))
	equal(t, "account", got.Account, account("b"))
	if age := time.Since(got.Created); age < -time.Second || age > time.Minute {
		t.Errorf("created %v ago", age)
	}
	changed := account("b")
	changed.Provider, changed.Secrets = cloud.GCP, map[string]cloud.Secret{"key": "new"}
	must(t, s.PutAccount(ctx, changed))
	after := get[store.Account](t)(open(t, d).GetAccount(ctx, "b"))
	equal(t, "changed account", after.Account, changed)
	if !after.Created.Equal(got.Created) || after.Updated.Before(got.Updated) {
		t.Errorf("created %v, updated %v; before %v, %v", after.Created, after.Updated, got.Created, got.Updated)
	}
	var names []string
	for _, a := range get[[]store.Account](t)(s.ListAccounts(ctx)) {
		names = append(names, a.Name)
	}
	equal(t, "names", names, []string{"a", "b"})
	must(t, s.DeleteAccount(ctx, "a"))
	wantError(t, s.DeleteAccount(ctx, "a"), store.ErrNotFound, "account a")
}

func testAccountInUse(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	wantError(t, s.DeleteAccount(ctx, "acme"), store.ErrInUse, "acme", "demo")
	other := account("acme")
	other.Provider = cloud.GCP
	wantError(t, s.PutAccount(ctx, other), store.ErrInUse, "aws", "demo")
	must(t, s.PutAccount(ctx, account("acme")))
	must(t, s.PutAccount(ctx, account("second")))
	putSpec(t, s, fence, wanted("demo", "acme", "second"), "bob")
	wantError(t, s.DeleteAccount(ctx, "second"), store.ErrInUse, "demo")
	must(t, s.MarkDeleted(ctx, fence))
	must(t, s.DeleteAccount(ctx, "acme"))
	must(t, s.DeleteAccount(ctx, "second"))
}

func testClusters(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	_, err := s.CreateCluster(ctx, wanted("demo", "acme"), "alice")
	wantError(t, err, store.ErrNotFound, "account acme", "demo")
	must(t, s.PutAccount(ctx, account("acme")))
	c := get[store.Cluster](t)(s.CreateCluster(ctx, wanted("demo", "acme"), "alice"))
	must(t, cloud.CheckUID(c.UID))
	if c.Generation != 1 || c.Phase != store.Pending || c.Spec.Metadata.UID != c.UID || c.Spec.Metadata.Generation != 1 || c.NextRun.After(c.Created) {
		t.Errorf("created %+v", c)
	}
	_, err = s.CreateCluster(ctx, wanted("demo", "acme"), "alice")
	wantError(t, err, store.ErrExists, "demo")
	get[store.Cluster](t)(s.CreateCluster(ctx, wanted("another", "acme"), "alice"))

	equal(t, "by name", get[store.Cluster](t)(open(t, d).GetCluster(ctx, "demo")), c)
	equal(t, "by uid", get[store.Cluster](t)(s.GetClusterByUID(ctx, c.UID)), c)
	_, err = s.GetCluster(ctx, "nobody")
	wantError(t, err, store.ErrNotFound, "nobody")
	all := get[[]store.Cluster](t)(s.ListClusters(ctx, false))
	if len(all) != 2 || all[0].Name != "another" || all[1].Name != "demo" {
		t.Errorf("list %+v", all)
	}
}

// testCreateClusterBy makes sure that there is never a cluster without the change that asks for it, and one run for both.
func testCreateClusterBy(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	by := store.Change{Kind: store.Apply, Body: json.RawMessage(`{"n":1}`), Who: "alice"}
	_, _, err := s.CreateClusterBy(ctx, wanted("demo", "acme"), by)
	wantError(t, err, store.ErrNotFound, "account acme", "demo")
	must(t, s.PutAccount(ctx, account("acme")))
	c, change, err := s.CreateClusterBy(ctx, wanted("demo", "acme"), by)
	must(t, err)
	equal(t, "cluster", get[store.Cluster](t)(s.GetCluster(ctx, "demo")), c)
	equal(t, "changes", get[[]store.Change](t)(s.ListChanges(ctx, c.UID)), []store.Change{change})
	if change.State != store.Queued || string(change.Body) != `{"n":1}` || change.Who != "alice" {
		t.Errorf("change %+v", change)
	}
	_, _, err = s.CreateClusterBy(ctx, wanted("demo", "acme"), by)
	wantError(t, err, store.ErrExists, "demo")
	if got := get[[]store.Change](t)(s.ListChanges(ctx, c.UID)); len(got) != 1 {
		t.Errorf("changes after a name that is taken: %+v", got)
	}
	claim := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl))
	if claim == nil || claim.Cluster != c.UID {
		t.Fatalf("claim %+v; want one of the new cluster", claim)
	}
	must(t, s.Release(ctx, claim.Fence, time.Hour))
	if again := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); again != nil {
		t.Error("a second run is due at once")
	}
}

// putSpec makes a spec the one in force, by a change.
func putSpec(t *testing.T, s *store.Store, fence store.Fence, c *spec.Cluster, who string) store.Change {
	t.Helper()
	ctx := t.Context()
	change := get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: fence.Cluster, Kind: store.Apply, Who: who}))
	seen := get[store.Queue](t)(s.GetQueue(ctx, fence.Cluster))
	get[store.Queue](t)(s.TakeChanges(ctx, fence, seen, []store.Move{{ID: change.ID, State: store.Applying, Spec: c}}))
	return get[store.Change](t)(s.GetChange(ctx, change.ID))
}

func testUpdateSpec(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	next := wanted("demo", "acme")
	next.Spec.Workers = []spec.Workers{{Name: "web", Site: "site0", Size: "small", Count: new(2)}}
	putSpec(t, s, fence, next, "bob")
	c := get[store.Cluster](t)(s.GetCluster(ctx, "demo"))
	if c.Generation != 2 || c.Spec.Metadata.Generation != 2 || c.Spec.Metadata.UID != c.UID || len(c.Spec.Spec.Workers) != 1 {
		t.Errorf("updated %+v", c.Spec)
	}
	revisions := get[[]store.Revision](t)(s.ListRevisions(ctx, c.UID))
	if len(revisions) != 2 || revisions[0].Generation != 2 || revisions[0].Who != "bob" || revisions[1].Who != "alice" || len(revisions[1].Spec.Spec.Workers) != 0 {
		t.Errorf("revisions %+v", revisions)
	}
	conditions := []store.Condition{{Type: "Ready", Status: "True", Since: time.Unix(1, 0).UTC()}}
	must(t, s.SetStatus(ctx, fence, store.Ready, conditions, json.RawMessage(`{"a": 1}`)))
	c = get[store.Cluster](t)(s.GetCluster(ctx, "demo"))
	equal(t, "conditions", c.Conditions, conditions)
	if c.Phase != store.Ready || string(c.Status) != `{"a":1}` {
		t.Errorf("phase %s, status %s", c.Phase, c.Status)
	}
	must(t, s.SetStatus(ctx, fence, store.Degraded, nil, nil))
	if c = get[store.Cluster](t)(s.GetCluster(ctx, "demo")); c.Phase != store.Degraded || string(c.Status) != `{"a":1}` {
		t.Errorf("without a document: phase %s, status %s", c.Phase, c.Status)
	}
}

func testDeleteCluster(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	uid := fence.Cluster
	must(t, s.RequestDelete(ctx, uid))
	first := get[store.Cluster](t)(s.GetCluster(ctx, "demo"))
	must(t, s.RequestDelete(ctx, uid))
	must(t, s.SetStatus(ctx, fence, store.Ready, nil, nil))
	c := get[store.Cluster](t)(s.GetCluster(ctx, "demo"))
	if c.Phase != store.Deleting || c.DeleteRequested.IsZero() || !c.DeleteRequested.Equal(first.DeleteRequested) {
		t.Errorf("after the request: %s, %v, %v", c.Phase, c.DeleteRequested, first.DeleteRequested)
	}
	must(t, s.PutResource(ctx, fence, store.Resource{Key: "k", Kind: "vpc", ID: "vpc-1"}))
	wantError(t, s.MarkDeleted(ctx, fence), store.ErrInUse)
	must(t, s.DeleteResource(ctx, fence, "k"))
	intent := get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "k", Action: "create"}))
	wantError(t, s.MarkDeleted(ctx, fence), store.ErrInUse)
	must(t, s.ResolveIntent(ctx, fence, intent.ID, store.Resolution{State: store.IntentFailed}))
	must(t, s.PutNode(ctx, fence, store.Node{Name: "n"}))
	must(t, s.PutSecret(ctx, fence, "ca", []byte("key")))
	must(t, s.MarkDeleted(ctx, fence))

	gone := get[store.Cluster](t)(s.GetClusterByUID(ctx, uid))
	if gone.Phase != store.Deleted || gone.Deleted.IsZero() {
		t.Errorf("deleted %+v", gone)
	}
	if n := get[[]store.Node](t)(s.GetNodes(ctx, uid)); len(n) != 0 {
		t.Errorf("nodes left: %+v", n)
	}
	if n := get[[]string](t)(s.ListSecretNames(ctx, uid)); len(n) != 0 {
		t.Errorf("secrets left: %q", n)
	}
	wantError(t, s.SetStatus(ctx, fence, store.Ready, nil, nil), store.ErrFenced)
	wantError(t, s.Wake(ctx, uid), store.ErrNotFound)
	_, err := s.AddChange(ctx, store.Change{Cluster: uid, Kind: store.Apply})
	wantError(t, err, store.ErrNotFound)
	if c := get[*store.Claim](t)(s.ClaimCluster(ctx, "engine-1", ttl)); c != nil {
		t.Errorf("a deleted cluster was claimed")
	}
	again := get[store.Cluster](t)(s.CreateCluster(ctx, wanted("demo", "acme"), "alice"))
	if again.UID == uid {
		t.Error("the uid was used again")
	}
	if all := get[[]store.Cluster](t)(s.ListClusters(ctx, true)); len(all) != 2 {
		t.Errorf("%d clusters with the deleted one; want 2", len(all))
	}
}

func testChanges(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	add := func(kind store.ChangeKind) store.Change {
		return get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: fence.Cluster, Kind: kind, Body: json.RawMessage(`{"n":1}`), Who: "alice"}))
	}
	a, b := add(store.Apply), add(store.NodeAdd)
	if a.State != store.Queued || string(a.Body) != `{"n":1}` || a.Who != "alice" || a.Created.IsZero() || a.ID >= b.ID {
		t.Errorf("changes %+v, %+v", a, b)
	}
	must(t, s.SetChange(ctx, fence, a.ID, store.Applying, 2, ""))
	must(t, s.SetChange(ctx, fence, a.ID, store.Applied, 0, ""))
	wantError(t, s.SetChange(ctx, fence, a.ID, store.Failed, 0, "x"), store.ErrConflict, "applied")
	if got := get[store.Change](t)(s.GetChange(ctx, a.ID)); got.State != store.Applied || got.Generation != 2 || got.Ended.IsZero() {
		t.Errorf("applied %+v", got)
	}
	must(t, s.SetChange(ctx, fence, b.ID, store.Failed, 0, "no such node"))
	if got := get[store.Change](t)(s.GetChange(ctx, b.ID)); got.Error != "no such node" || !got.Begun.IsZero() {
		t.Errorf("failed %+v", got)
	}
	reconcile, c := add(store.Reconcile), add(store.Delete)
	if got := get[store.Cluster](t)(s.GetCluster(ctx, "demo")); got.Phase != store.Deleting || got.DeleteRequested.IsZero() {
		t.Errorf("after a change that deletes: %s, %v", got.Phase, got.DeleteRequested)
	}
	if got := get[[]store.Change](t)(s.ListChanges(ctx, fence.Cluster, store.Queued, store.Applying)); len(got) != 1 || got[0].ID != c.ID {
		t.Errorf("queued %+v", got)
	}
	if got := get[store.Change](t)(s.GetChange(ctx, reconcile.ID)); got.State != store.Superseded || got.Successor != c.ID || got.Ended.IsZero() {
		t.Errorf("queued when a deletion came: %+v", got)
	}
	if got := get[[]store.Change](t)(s.ListChanges(ctx, fence.Cluster)); len(got) != 4 || got[0].ID != a.ID {
		t.Errorf("all %+v", got)
	}
	_, err := s.GetChange(ctx, 1<<40)
	wantError(t, err, store.ErrNotFound)
}
