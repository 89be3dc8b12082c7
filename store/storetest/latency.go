package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
)

// minute is what was measured from aws to gcp in one minute.
func minute(start time.Time, p50 time.Duration, lost int) store.Latency {
	trips := store.Trips{Sent: 120, Lost: lost, P50: p50, P99: 2 * p50, Jitter: p50 / 10, Min: p50 / 2}
	return store.Latency{From: "aws", To: "gcp", Start: start, Step: time.Minute, Inside: trips, Outside: trips, Handshake: 30 * time.Second, MTU: 1500}
}

func testLatency(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	uid := fence.Cluster
	now := get[time.Time](t)(s.Now(ctx)).Truncate(time.Minute)
	a, b, c := minute(now.Add(-3*time.Minute), 7*time.Millisecond, 0), minute(now.Add(-2*time.Minute), 8*time.Millisecond, 3), minute(now.Add(-time.Minute), 0, 120)
	c.Handshake, c.MTU, c.Outside = store.NoHandshake, 0, store.Trips{}
	must(t, s.PutLatency(ctx, uid, []store.Latency{b, a}))
	must(t, s.PutLatency(ctx, uid, nil))
	again := b
	again.Inside.Lost = 4
	must(t, s.PutLatency(ctx, uid, []store.Latency{again, c}))
	equal(t, "all", get[[]store.Latency](t)(s.ListLatency(ctx, uid, time.Time{})), []store.Latency{a, again, c})
	equal(t, "since the first one's end", get[[]store.Latency](t)(s.ListLatency(ctx, uid, a.End())), []store.Latency{again, c})
	equal(t, "of another cluster", get[[]store.Latency](t)(s.ListLatency(ctx, "other", time.Time{})), []store.Latency{})
	equal(t, "of all clusters", get[map[string][]store.Latency](t)(s.AllLatency(ctx, a.Start)), map[string][]store.Latency{uid: {again, c}})
	wantError(t, s.PutLatency(ctx, "other", []store.Latency{a}), store.ErrNotFound)
	must(t, s.RequestDelete(ctx, uid))
	must(t, s.MarkDeleted(ctx, fence))
	equal(t, "of a cluster that is gone", get[[]store.Latency](t)(s.ListLatency(ctx, uid, time.Time{})), []store.Latency{})
	wantError(t, s.PutLatency(ctx, uid, []store.Latency{a}), store.ErrNotFound)
}

// testLatencyGrowsCoarse: what is old becomes ten minutes, then hours, and goes, with two engines at it at once.
func testLatencyGrowsCoarse(t *testing.T, d Database) {
	s, other, ctx := open(t, d), open(t, d), t.Context()
	uid := claimed(t, s, "demo").Cluster
	now := get[time.Time](t)(s.Now(ctx)).Truncate(time.Hour)
	var all []store.Latency
	put := func(ago, step time.Duration, n int) {
		for i := range n {
			l := minute(now.Add(-ago+time.Duration(i)*step), 7*time.Millisecond, 1)
			l.Step = step
			all = append(all, l)
		}
	}
	put(31*24*time.Hour, time.Hour, 3)      // goes
	put(8*24*time.Hour, 10*time.Minute, 18) // three hours
	put(8*24*time.Hour, time.Hour, 1)       // one of which was there before
	put(6*24*time.Hour, 10*time.Minute, 6)  // stays
	put(40*time.Hour, time.Minute, 300)     // 30 times ten minutes
	put(40*time.Hour, 10*time.Minute, 1)    // one of which was there before
	put(26*time.Hour, 2*time.Second, 300)   // ten minutes
	put(time.Hour, time.Minute, 59)         // stays
	must(t, s.PutLatency(ctx, uid, all))
	lines := func() map[string]int {
		out := map[string]int{}
		for _, l := range get[[]store.Latency](t)(s.ListLatency(ctx, uid, time.Time{})) {
			out[l.Step.String()]++
			out["answers"] += l.Inside.Answered()
		}
		return out
	}
	before := lines()
	want := map[string]int{"1h0m0s": 3, "10m0s": 6 + 30 + 1, "1m0s": 59, "answers": before["answers"] - 3*119}
	for range 2 {
		var both sync.WaitGroup
		for _, engine := range []*store.Store{s, other} {
			both.Go(func() {
				if err := engine.PruneLatency(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		equal(t, fmt.Sprintf("lines of %d", len(all)), lines(), want)
	}
}
