package probe

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/node"
)

func TestSumUp(t *testing.T) {
	hundred := make([]int64, 100)
	for i := range hundred {
		hundred[i] = int64(100-i) * 10
	}
	for _, c := range []struct {
		name  string
		sent  int
		trips []int64
		want  node.Trips
	}{
		{"nothing", 0, nil, node.Trips{}},
		{"all lost", 7, nil, node.Trips{Sent: 7, Lost: 7}},
		{"one", 2, []int64{5000}, node.Trips{Sent: 2, Lost: 1, Min: 5000, P50: 5000, P99: 5000}},
		{"there and back", 3, []int64{100, 300, 200}, node.Trips{Sent: 3, Min: 100, P50: 200, P99: 300, Jitter: 150}},
		{"a hundred", 100, hundred, node.Trips{Sent: 100, Min: 10, P50: 500, P99: 990, Jitter: 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sumUp(c.sent, c.trips); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSumUpAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trips := rapid.SliceOf(rapid.Int64Range(1, 1_000_000)).Draw(t, "trips")
		sent := len(trips) + rapid.IntRange(0, 10).Draw(t, "lost")
		before := slices.Clone(trips)
		got := sumUp(sent, trips)
		if !slices.Equal(before, trips) {
			t.Fatal("the input was changed")
		}
		if got.Sent != sent || got.Lost != sent-len(trips) || got.Min > got.P50 || got.P50 > got.P99 || got.Jitter < 0 {
			t.Fatalf("%+v", got)
		}
		if len(trips) > 0 && (got.Min != slices.Min(trips) || got.P99 > slices.Max(trips) || got.Jitter > slices.Max(trips)-got.Min || !slices.Contains(trips, got.P50)) {
			t.Fatalf("%+v of %v", got, trips)
		}
	})
}
