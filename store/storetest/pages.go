package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/skyweld/skyweld/store"
)

// paged reads a list page by page, from behind the last of the page before, until one isn't full.
func paged[T any, K comparable](t *testing.T, limit int, read func(after K, limit int) ([]T, error), key func(T) K, next func(page []T) K) []K {
	t.Helper()
	var all []K
	var after K
	for {
		page := get[[]T](t)(read(after, limit))
		if len(page) > limit {
			t.Fatalf("a page of at most %d has %d", limit, len(page))
		}
		for _, v := range page {
			all = append(all, key(v))
		}
		if len(page) < limit {
			return all
		}
		after = next(page)
	}
}

func lastOf[T, K any](key func(T) K) func([]T) K {
	return func(page []T) K { return key(page[len(page)-1]) }
}

// testPages: lists come page by page, whole and in order, and of one cluster only; what is added or goes between two pages
// shifts nothing.
func testPages(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	other := get[store.Cluster](t)(s.CreateCluster(ctx, wanted("other", "acme"), "alice"))
	var changes, runs, events []int64
	var keys []string
	for i := range 7 {
		changes = append(changes, get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: fence.Cluster, Kind: store.Reconcile, Who: "ada", Summary: fmt.Sprint(i)})).ID)
		runs = append(runs, get[store.Run](t)(s.CreateRun(ctx, fence, "hourly", 1, nil)).ID)
		events = append(events, get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: fence.Cluster, Type: store.Normal, Reason: "Tick"})).ID)
		keys = append(keys, fmt.Sprintf("key-%d", i))
		must(t, s.PutResource(ctx, fence, store.Resource{Key: keys[i], Kind: "vpc", Site: "aws", Region: "us-east-1", ID: fmt.Sprint("vpc-", i)}))
		get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: other.UID, Type: store.Normal, Reason: "Tock"}))
	}
	get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: other.UID, Kind: store.Reconcile, Who: "bob", Summary: "another's"}))
	newest := slices.Clone(runs)
	slices.Reverse(newest)
	for _, limit := range []int{1, 2, 3, 7, 100} {
		what := func(list string) string { return fmt.Sprintf("%s by %d", list, limit) }
		changeID, runID, eventID := func(c store.Change) int64 { return c.ID }, func(r store.Run) int64 { return r.ID }, func(e store.Event) int64 { return e.ID }
		equal(t, what("changes"), paged(t, limit, func(id int64, n int) ([]store.Change, error) { return s.ChangesAfter(ctx, fence.Cluster, id, n) }, changeID, lastOf(changeID)), changes)
		equal(t, what("runs"), paged(t, limit, func(id int64, n int) ([]store.Run, error) { return s.RunsBefore(ctx, fence.Cluster, id, n) }, runID, lastOf(runID)), newest)
		key := func(r store.Resource) string { return r.Key }
		equal(t, what("resources"), paged(t, limit, func(k string, n int) ([]store.Resource, error) { return s.ResourcesAfter(ctx, fence.Cluster, k, n) }, key, lastOf(key)), keys)
		name := func(c store.Cluster) string { return c.Name }
		equal(t, what("clusters"), paged(t, limit, func(k string, n int) ([]store.Cluster, error) { return s.ClustersAfter(ctx, k, n) }, name, lastOf(name)), []string{"demo", "other"})
		// Pages of events are in order, and go back.
		var got []int64
		for before := int64(0); ; {
			page := get[[]store.Event](t)(s.EventsBefore(ctx, fence.Cluster, before, limit))
			var ids []int64
			for _, e := range page {
				ids = append(ids, eventID(e))
			}
			if got = append(ids, got...); len(page) < limit {
				break
			}
			before = page[0].ID
		}
		equal(t, what("events"), got, events)
	}

	first := get[[]store.Resource](t)(s.ResourcesAfter(ctx, fence.Cluster, "", 3))
	must(t, s.PutResource(ctx, fence, store.Resource{Key: "key-0-more", Kind: "vpc", Site: "aws", Region: "us-east-1", ID: "vpc-more"}))
	must(t, s.DeleteResource(ctx, fence, first[2].Key))
	second := get[[]store.Resource](t)(s.ResourcesAfter(ctx, fence.Cluster, first[2].Key, 3))
	if len(second) != 3 || second[0].Key != "key-3" {
		t.Errorf("behind one that has gone there is %+v", second)
	}
	all := get[[]store.Event](t)(s.EventsBefore(ctx, "", 0, 100))
	if n := len(all); n < 14 || !slices.IsSortedFunc(all, func(a, b store.Event) int { return int(a.ID - b.ID) }) {
		t.Errorf("of all clusters there are %d events, in order or not: %v", n, all)
	}
}
