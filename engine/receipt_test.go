package engine

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

func TestReceipt(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	open, err := s.engine.Receipt(t.Context(), "demo")
	if err != nil || open.State != ReceiptOpen || open.Signature != nil || len(open.Accounts) != 2 {
		t.Fatalf("while the cluster lives: %+v %v", open, err)
	}
	for i, p := range []cloud.Provider{cloud.AWS, cloud.GCP} {
		if a := open.Accounts[i]; a.Before == nil || a.After != nil {
			t.Errorf("account %s: before %v, after %v", a.Name, a.Before, a.After)
		} else if diff := cmp.Diff(s.before[p], a.Before.Items); diff != "" {
			t.Errorf("before, in account %s (-is +recorded):\n%s", a.Name, diff)
		}
	}
	// Somebody else goes about their own business meanwhile.
	mine := s.clouds[cloud.AWS].Foreign(cloudtest.KindNetwork, "us-east-1", &cloudtest.NetworkSpec{CIDR: "192.168.9.0/24"})
	s.clouds[cloud.AWS].Vanish(s.before[cloud.AWS][0].ID)
	s.delete(uid)
	r := s.receipt(uid, ReceiptClean, "acc-aws added others network", "acc-aws removed others network")
	if got := r.Accounts[0].Differences[0].Item.ID; got != mine {
		t.Errorf("added is %s, want %s", got, mine)
	}
	if r.Cluster.Name != "demo" || r.Cluster.UID != uid || r.Cluster.Deleted.IsZero() || !strings.Contains(r.Summary, "2 by others") {
		t.Errorf("the receipt is of %+v: %s", r.Cluster, r.Summary)
	}
	for _, name := range []string{"demo", uid} { // after the end, by name and by uid
		if again, err := s.engine.Receipt(t.Context(), name); err != nil || cmp.Diff(r, again) != "" {
			t.Errorf("by %s: %v\n%s", name, err, cmp.Diff(r, again))
		}
	}
	if deleted := s.events(uid, "Deleted"); len(deleted) != 1 || !strings.Contains(deleted[0], r.Summary) {
		t.Errorf("said at the end: %v", deleted)
	}
}

// TestNoCreationWithoutAnInventory keeps an account from being listed: nothing is made there, and the reason is said.
func TestNoCreationWithoutAnInventory(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	lift := s.clouds[cloud.GCP].Inject(cloudtest.Fault{Op: cloudtest.OpInventory, Class: cloud.Denied, Message: "not allowed to list disks"})
	uid := s.apply(smallFile)
	s.turn(uid)
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || c.Phase != store.Degraded || !strings.Contains(conditionOf(c, readyType).Message, "record account acc-gcp/us-east4 in site two (account acc-gcp): inventory: not allowed to list disks") {
		t.Errorf("the cluster is %s: %v %v", c.Phase, c.Conditions, err)
	}
	if made := s.clouds[cloud.GCP].Objects(uid); len(made) > 0 {
		t.Errorf("made without an inventory: %v", made)
	}
	if made := s.clouds[cloud.AWS].Objects(uid); len(made) == 0 {
		t.Error("the other account waits for it")
	}
	lift()
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
	s.receipt(uid, ReceiptClean)
}

// TestTwoClustersInOneAccount has two clusters live in the same accounts, overlapping in time: each receipt tells the other's
// things from strangers'.
func TestTwoClustersInOneAccount(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	first := s.apply(smallFile)
	s.ready(first)
	for _, c := range s.clouds { // of the second only the networks are made: the machines' side knows one cluster at a time
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindMachine, Class: cloud.Capacity})
	}
	second := s.apply(strings.Replace(smallFile, "name: demo", "name: other", 1))
	for range 3 {
		s.turn(second)
	}
	made := 0
	for _, c := range s.clouds {
		made += len(c.Objects(second))
		c.Heal()
	}
	if made == 0 {
		var refused []string
		refused = append(refused, s.events(second, "")...)
		t.Fatalf("nothing of the second cluster was made: %v", refused)
	}
	s.uid.Store(first)
	s.askDelete()
	s.until(first, "Deleted", func(c store.Cluster) bool { return c.Phase == store.Deleted })
	kept, err := s.engine.store.GetReceipt(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	wantOnly(t, kept, Added, made)
	if _, err := s.engine.Delete(t.Context(), "other", "tester"); err != nil {
		t.Fatal(err)
	}
	s.gone(second)
	if kept, err = s.engine.store.GetReceipt(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, kept, Removed, 0)
	s.asBefore()
}

// wantOnly wants all differences of a receipt to be another cluster's, of one sort, and so many (0 for some).
func wantOnly(t *testing.T, kept store.Receipt, change Change, n int) {
	t.Helper()
	var r Receipt
	if err := json.Unmarshal([]byte(kept.Document), &r); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, a := range r.Accounts {
		for _, d := range a.Differences {
			found++
			if d.By != ByOther || d.Change != change {
				t.Errorf("cluster %s: %s %s by %s: %+v", kept.Name, d.Item.Kind, d.Change, d.By, d)
			}
		}
	}
	if found == 0 || n > 0 && found != n {
		t.Errorf("cluster %s: %d differences, want %d", kept.Name, found, n)
	}
}

func TestAttribution(t *testing.T) {
	const ours, theirs = "0123456789abcdef", "fedcba9876543210"
	item := func(kind cloud.Kind, id, name, cluster, detail string) cloud.Item {
		return cloud.Item{Kind: kind, Region: "r", ID: id, Name: name, Cluster: cluster, Detail: detail}
	}
	a := attribution{uid: ours, name: "demo", account: "acc", made: map[identity]bool{{"acc", "vpc", "vpc-1"}: true, {"acc", "disk", "disk-1"}: true},
		kubernetes: []kube.Leftover{{Object: "persistentvolume a", Handle: "vol-7", Why: "Retain"}, {Object: "persistentvolume b", Handle: "projects/p/zones/z/disks/b"}}}
	watched := item("security-group", "sg-k", "", "", "vpc-9 x")
	watched.Controller = "demo"
	before := []cloud.Item{
		item("vpc", "vpc-9", "", "", "10.0.0.0/16"), item("vpc", "vpc-7", "", theirs, ""), item("route-table", "rtb-7", "", "", "vpc-7 routes=1"),
		item("disk", "gone", "", "", ""), item("network-watcher", "w-0", "", "", ""),
	}
	after := []cloud.Item{
		item("vpc", "vpc-9", "", "", "10.0.0.0/8"), // changed
		item("disk", "disk-1", "", "", ""),         // ours, without its mark
		item("volume", "vol-c", "", ours, ""),      // a copy
		item("vpc", "vpc-8", "sw-fedcba98-aws-vpc", theirs, ""),
		item("security-group", "sg-8", "", "", "vpc-8 default"),
		item("route", "rt-8", "", "", "sw-fedcba98-aws-vpc 0.0.0.0/0"),
		item("volume", "vol-7", "", "", ""), item("disk", "projects/p/zones/z/disks/b#12", "b", "", ""), item("volume", "x", "pvc-1234", "", ""), watched,
		item("network-watcher", "w-1", "", "", ""), item("resource-group", "g", "NetworkWatcherRG", "", ""),
		item("vpc", "vpc-x", "", "", ""),
	}
	var got []string
	for _, d := range a.differences(before, after) {
		got = append(got, fmt.Sprintf("%s %s %s", d.Change, d.By, d.Item.ID))
	}
	slices.Sort(got)
	want := []string{
		"added cloud g", "added cloud w-1", "added copy vol-c", "added kubernetes projects/p/zones/z/disks/b#12", "added kubernetes sg-k", "added kubernetes vol-7",
		"added kubernetes x", "added other-cluster rt-8", "added other-cluster sg-8", "added other-cluster vpc-8", "added others vpc-x", "added this-cluster disk-1",
		"changed others vpc-9", "removed cloud w-0", "removed other-cluster rtb-7", "removed other-cluster vpc-7", "removed others gone",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVerifyReceipt(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	public := func(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
	r := Receipt{APIVersion: "skyweld.dev/v1alpha1", Kind: receiptKind, State: ReceiptClean, Cluster: ReceiptCluster{Name: "demo"},
		Summary: "quotes \" and \\, <html> & \u2028 lines\nand bells\a, ünïcode", Accounts: []ReceiptAccount{}}
	signed, err := r.sign(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyReceipt(signed, public(key)); err != nil {
		t.Error(err)
	}
	var loose any
	if err := json.Unmarshal(signed, &loose); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(loose, "  ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyReceipt(pretty, public(key)); err != nil || got.Summary != r.Summary {
		t.Errorf("in another layout: %v", err)
	}
	for name, c := range map[string]struct {
		document []byte
		key      ed25519.PrivateKey
		want     string
	}{
		"another engine's": {signed, other, "which is not this engine's"},
		"a changed word":   {[]byte(strings.Replace(string(signed), `"nothing-left"`, `"abandoned"`, 1)), key, "was changed after it was signed"},
		"an added field":   {[]byte(strings.Replace(string(signed), `{`, `{"more":"x",`, 1)), key, "was changed after it was signed"},
		"an added number":  {[]byte(strings.Replace(string(signed), `{`, `{"more":1,`, 1)), key, "no numbers"},
		"no signature":     {[]byte(`{"kind":"Receipt"}`), key, "is not signed"},
		"something else":   {[]byte(`{"kind":"Cluster"}`), key, "no receipt"},
		"no JSON":          {[]byte("kind: Receipt"), key, "no JSON"},
	} {
		if _, err := VerifyReceipt(c.document, public(c.key)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	text, _, err := canonicalReceipt([]byte(`{"b": ["x", null, true], "a": {"d": "\u0007<\u00e9>", "c": ""}, "signature": {"value": ""}}`))
	if want := `{"a":{"c":"","d":"\u0007<é>"},"b":["x",null,true]}`; err != nil || string(text) != want {
		t.Errorf("canonical is %s, want %s; %v", text, want, err)
	}
}

// sweep sweeps an account and waits for the end.
func (s *scene) sweep(account, uid string, regions ...string) {
	s.t.Helper()
	p, err := s.engine.PlanSweep(context.Background(), account, uid, regions)
	if err != nil {
		s.t.Fatal(err)
	}
	sw, err := s.engine.StartSweep(context.Background(), account, uid, regions, idsOf(p.Graph))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cloudtest.Await(s.t.Context(), func() bool {
		r, _, _ := sw.Progress()
		return !r.Ended.IsZero()
	}); err != nil {
		s.t.Fatal(err)
	}
	if r, _, left := sw.Progress(); r.Outcome != OutcomeSucceeded || len(left) > 0 {
		s.t.Fatalf("the sweep %s: %s; left: %v", r.Outcome, r.Error, left)
	}
}

func idsOf(g plan.Graph) (ids []string) {
	for _, st := range g.Steps {
		ids = append(ids, st.Got.ID)
	}
	return ids
}

// TestSweep loses the database of a whole cluster, and of one that shares its accounts.
func TestSweep(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	if _, err := s.engine.PlanSweep(t.Context(), "acc-aws", uid, nil); err == nil || !strings.Contains(err.Error(), "use 'skyweld delete demo'") {
		t.Errorf("a cluster that is known is swept: %v", err)
	}
	const neighbour = "fedcba9876543210"
	aws := s.clouds[cloud.AWS]
	if _, err := aws.Create(t.Context(), cloud.CreateRequest{Owner: cloud.Owner{UID: neighbour}, Token: strings.Repeat("ab", 16), Resource: cloud.Resource{
		Key: "one-net", Kind: cloudtest.KindNetwork, Site: "one", Region: "us-east-1", Spec: &cloudtest.NetworkSpec{CIDR: "10.200.0.0/16"},
	}}); err != nil {
		t.Fatal(err)
	}
	accounts, err := s.engine.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.crash()
	for _, name := range []string{"skyweld.db", "skyweld.db-wal", "skyweld.db-shm"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	s.start()
	for _, a := range accounts {
		if err := s.engine.store.PutAccount(t.Context(), a.Account); err != nil {
			t.Fatal(err)
		}
	}
	for field, c := range map[string]struct {
		uid     string
		regions []string
	}{"cluster: found": {"demo", nil}, "region: found": {uid, []string{"mars-1"}}} {
		if _, err := s.engine.PlanSweep(t.Context(), "acc-aws", c.uid, c.regions); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v: %v", c, err)
		}
	}
	p, err := s.engine.PlanSweep(t.Context(), "acc-aws", uid, nil)
	if err != nil || len(p.Graph.Steps) != len(aws.Objects(uid)) {
		t.Fatalf("%d steps for %d things: %v", len(p.Graph.Steps), len(aws.Objects(uid)), err)
	}
	if _, err := s.engine.StartSweep(t.Context(), "acc-aws", uid, nil, idsOf(p.Graph)[1:]); err == nil || !strings.Contains(err.Error(), "has appeared since the list was shown") {
		t.Errorf("what was not shown is swept: %v", err)
	}
	s.sweep("acc-aws", uid)
	s.sweep("acc-gcp", uid, "us-east4")
	if left := aws.Objects(neighbour); len(left) != 1 {
		t.Errorf("left of another cluster: %v", left)
	}
	s.sweep("acc-aws", neighbour)
	s.asBefore()
	s.sweep("acc-aws", uid) // nothing is left
}

// TestSummary wants a receipt to claim of no account that it holds the same as before when that isn't known.
func TestSummary(t *testing.T) {
	held := func(n int) *ReceiptInventory { return &ReceiptInventory{Items: make([]cloud.Item, n)} }
	for _, c := range []struct {
		receipt Receipt
		want    string
	}{
		{Receipt{State: ReceiptClean, Accounts: []ReceiptAccount{{Name: "a", Before: held(3), After: held(3)}}},
			"nothing of the cluster is left, and the accounts hold the same 3 things as before it"},
		{Receipt{State: ReceiptClean, Accounts: []ReceiptAccount{{Name: "a", Before: held(3), After: held(3)}, {Name: "b"}}},
			"nothing of the cluster is left, and the accounts hold the same 3 things as before it; from before it there is no inventory of b to compare with"},
		{Receipt{State: ReceiptClean, Accounts: []ReceiptAccount{{Name: "a"}}},
			"nothing of the cluster is left; from before it there is no inventory of a to compare with"},
		{Receipt{State: ReceiptAbandoned, Accounts: []ReceiptAccount{{Name: "a", Before: held(3), After: held(3)}, {Name: "b", Before: held(5)}}, Abandoned: []AbandonedSite{{Site: "two", Items: make([]LeftItem, 2)}}},
			"2 things are left at what was abandoned (two); elsewhere nothing of the cluster is left, and the accounts hold the same 3 things as before it"},
		{Receipt{State: ReceiptAbandoned, Accounts: []ReceiptAccount{{Name: "b", Before: held(5)}}, Abandoned: []AbandonedSite{{Site: "two", Items: make([]LeftItem, 2)}}},
			"2 things are left at what was abandoned (two); elsewhere nothing of the cluster is left"},
		{Receipt{State: ReceiptOpen, Accounts: []ReceiptAccount{{Name: "a", Before: held(3)}, {Name: "b", Before: held(4)}}},
			"the accounts held 7 things before the cluster; what they hold after it is added when it is deleted"},
	} {
		if got := c.receipt.summary(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
