package storetest

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
)

func testInventories(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	put := func(account, region string, m store.Moment, items string) {
		t.Helper()
		must(t, s.PutInventory(ctx, fence, store.Inventory{Account: account, Region: region, Moment: m, Items: json.RawMessage(items)}))
	}
	put("b", "r1", store.Before, `["first"]`)
	put("b", "r1", store.Before, `["second"]`)
	put("b", "r1", store.After, `["first"]`)
	put("b", "r1", store.After, `["second"]`)
	put("a", "r2", store.Before, `[]`)
	var got []string
	for _, v := range get[[]store.Inventory](t)(open(t, d).ListInventories(ctx, fence.Cluster)) {
		if v.Taken.IsZero() || v.Cluster != fence.Cluster {
			t.Errorf("inventory %+v", v)
		}
		got = append(got, v.Account+" "+v.Region+" "+string(v.Moment)+" "+string(v.Items))
	}
	equal(t, "inventories", got, []string{"a r2 before []", `b r1 after ["second"]`, `b r1 before ["first"]`})
	if other := get[[]store.Inventory](t)(s.ListInventories(ctx, "another")); len(other) != 0 {
		t.Errorf("of another cluster %+v", other)
	}
}

func testMade(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	if last := get[map[string]time.Time](t)(s.LastRemovals(ctx, fence.Cluster)); len(last) > 0 {
		t.Errorf("removed last %v", last)
	}
	for _, a := range []struct{ action, id string }{{"create", "v-1"}, {"delete", "v-1"}, {"create", "v-2"}} {
		i := get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "r", Action: a.action}))
		must(t, s.ResolveIntent(ctx, fence, i.ID, store.Resolution{State: store.IntentDone, ObjectID: a.id, Remove: a.action == "delete"}))
	}
	get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "aws-subnet", Kind: "subnet", Site: "aws", Region: "r", Action: "create"}))
	must(t, s.PutResource(ctx, fence, store.Resource{Key: "aws-igw", Kind: "internet-gateway", Site: "aws", Region: "r", ID: "g-1"}))
	must(t, s.PruneIntents(ctx, fence.Cluster, 0))
	equal(t, "made", get[[]store.Made](t)(s.ListMade(ctx, fence.Cluster)), []store.Made{{Site: "aws", Kind: "internet-gateway", ID: "g-1"}, {Site: "aws", Kind: "vpc", ID: "v-1"}, {Site: "aws", Kind: "vpc", ID: "v-2"}})
	i := get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "r", Action: "delete"}))
	before := get[time.Time](t)(s.Now(ctx))
	must(t, s.ResolveIntent(ctx, fence, i.ID, store.Resolution{State: store.IntentDone, ObjectID: "v-2", Remove: true}))
	if last := get[map[string]time.Time](t)(s.LastRemovals(ctx, fence.Cluster)); len(last) != 1 || last["aws"].Before(before) {
		t.Errorf("removed last at %v, and that was after %v", last, before)
	}
}

func testAbandon(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	for _, site := range []string{"aws", "gcp"} {
		must(t, s.PutResource(ctx, fence, store.Resource{Key: site + "-net", Kind: "network", Site: site, Region: "r", ID: "n-" + site}))
		get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: site + "-disk", Kind: "disk", Site: site, Region: "r", Action: "create"}))
	}
	wantError(t, s.SettleAbandoned(ctx, fence, "aws", nil), store.ErrNotFound)
	ask := store.Abandonment{Cluster: fence.Cluster, Site: "aws", Account: "acc", Region: "r", Who: "ann", Reason: "lost"}
	must(t, s.AbandonSite(ctx, ask))
	again := ask
	again.Who = "bob"
	must(t, s.AbandonSite(ctx, again))
	must(t, s.SettleAbandoned(ctx, fence, "aws", json.RawMessage(`["n-aws"]`)))
	wantError(t, s.SettleAbandoned(ctx, fence, "aws", json.RawMessage(`["more"]`)), store.ErrNotFound)
	all := get[[]store.Abandonment](t)(open(t, d).ListAbandoned(ctx, fence.Cluster))
	if len(all) != 1 || all[0].Who != "ann" || all[0].Reason != "lost" || all[0].Account != "acc" || all[0].Region != "r" || all[0].Asked.IsZero() || all[0].Settled.IsZero() || string(all[0].Items) != `["n-aws"]` {
		t.Errorf("abandoned %+v", all)
	}
	if left := get[[]store.Resource](t)(s.ListResources(ctx, fence.Cluster)); len(left) != 1 || left[0].Site != "gcp" {
		t.Errorf("ledger %+v", left)
	}
	if left := get[[]store.Intent](t)(s.ListOpenIntents(ctx, fence.Cluster)); len(left) != 1 || left[0].Site != "gcp" {
		t.Errorf("intents %+v", left)
	}
	wantError(t, s.AbandonSite(ctx, store.Abandonment{Cluster: "no-such", Site: "aws"}), store.ErrNotFound)
}

func testReceipts(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	_, err := s.GetReceipt(ctx, "demo")
	wantError(t, err, store.ErrNotFound, "demo")
	var uids []string
	for _, document := range []string{`{"n":"one"}`, `{"n":"two"}`} {
		fence := claimed(t, s, "demo")
		uids = append(uids, fence.Cluster)
		must(t, s.MarkDeleted(ctx, fence, store.Receipt{Name: "demo", Summary: "nothing left", Document: document}))
	}
	s = open(t, d)
	for name, want := range map[string]string{"demo": `{"n":"two"}`, uids[0]: `{"n":"one"}`, uids[1]: `{"n":"two"}`} {
		r := get[store.Receipt](t)(s.GetReceipt(ctx, name))
		if r.Document != want || r.Name != "demo" || r.Summary != "nothing left" || r.Closed.IsZero() {
			t.Errorf("receipt of %s: %+v", name, r)
		}
	}
	all := get[[]store.Receipt](t)(s.ListReceipts(ctx))
	if len(all) != 2 || all[0].Cluster != uids[1] || all[1].Cluster != uids[0] || all[0].Document != "" {
		t.Errorf("receipts %+v", all)
	}
}

func testEngineKey(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	made := 0
	fresh := func() ([]byte, error) { made++; return []byte{byte(made), 0, 255}, nil }
	one := get[[]byte](t)(s.EngineKey(ctx, "receipts", fresh))
	equal(t, "the key of another engine", get[[]byte](t)(open(t, d).EngineKey(ctx, "receipts", fresh)), one)
	if other := get[[]byte](t)(s.EngineKey(ctx, "other", fresh)); other[0] == one[0] || made != 2 {
		t.Errorf("another key is %v after %v, %d were made", other, one, made)
	}
	_, err := s.EngineKey(ctx, "third", func() ([]byte, error) { return nil, errors.New("no entropy") })
	if err == nil {
		t.Error("a key that could not be made was")
	}
}
