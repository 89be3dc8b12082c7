package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMergeLatency(t *testing.T) {
	at := time.Unix(1e9, 0)
	trips := func(sent, lost int, p50, p99, jitter, least time.Duration) Trips {
		return Trips{Sent: sent, Lost: lost, P50: p50, P99: p99, Jitter: jitter, Min: least}
	}
	silent := trips(60, 60, 0, 0, 0, 0)
	for _, tt := range []struct {
		name      string
		parts     []Trips
		want      Trips
		ages      []time.Duration
		handshake time.Duration
	}{
		{"one", []Trips{trips(60, 1, 7, 9, 2, 5)}, trips(60, 1, 7, 9, 2, 5), []time.Duration{time.Minute}, time.Minute},
		{"none", nil, Trips{}, nil, 0},
		{"nothing came back", []Trips{silent, silent}, trips(120, 120, 0, 0, 0, 0), []time.Duration{time.Minute, NoHandshake}, NoHandshake},
		{"the silent say nothing", []Trips{silent, trips(60, 0, 7, 9, 2, 5)}, trips(120, 60, 7, 9, 2, 5), []time.Duration{time.Second, time.Minute}, time.Minute},
		{"the middle one", []Trips{trips(60, 0, 9, 30, 1, 8), trips(60, 0, 7, 9, 1, 5), trips(60, 0, 8, 10, 4, 6)}, trips(180, 0, 8, 30, 2, 5), nil, 0},
		{"by their weight", []Trips{trips(100, 0, 9, 12, 1, 8), trips(10, 0, 7, 9, 1, 5), trips(10, 0, 8, 10, 1, 6)}, trips(120, 0, 9, 12, 1, 5), nil, 0},
	} {
		var parts []Latency
		for i, p := range tt.parts {
			l := Latency{Inside: p, Outside: p}
			if tt.ages != nil {
				l.Handshake = tt.ages[i]
			}
			parts = append(parts, l)
		}
		want := Latency{Start: at, Step: time.Hour, Inside: tt.want, Outside: tt.want, Handshake: tt.handshake}
		if diff := cmp.Diff(want, MergeLatency(at, time.Hour, parts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestMergedPercentiles holds what MergeLatency promises of percentiles, for all answers of which the parts were made.
func TestMergedPercentiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var parts []Latency
		var all []time.Duration
		for range 1 + random.IntN(12) {
			one := make([]time.Duration, 1+random.IntN(80))
			base := time.Duration(1 + random.IntN(20))
			for i := range one {
				one[i] = base + time.Duration(random.ExpFloat64()*10)
			}
			slices.Sort(one)
			all = append(all, one...)
			parts = append(parts, Latency{Inside: Trips{Sent: len(one), P50: one[(len(one)+1)/2-1], P99: one[(len(one)*99+99)/100-1], Min: one[0]}})
		}
		got := MergeLatency(time.Time{}, time.Hour, parts).Inside
		below, above, over := 0, 0, 0
		for _, d := range all {
			if d <= got.P50 {
				below++
			}
			if d >= got.P50 {
				above++
			}
			if d > got.P99 {
				over++
			}
		}
		if below*4 < len(all) || above*4 < len(all) || over*100 > len(all) || got.Min != slices.Min(all) {
			t.Fatalf("of %d answers %d are up to the median %d, %d from it on, %d above the 99th percentile %d", len(all), below, got.P50, above, over, got.P99)
		}
	}
}
