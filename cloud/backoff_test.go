package cloud_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
)

// TestBackoff holds for any pauses and anything that a cloud asks for: a pause is never longer than it may be nor shorter
// than half of what is due, it grows, and it is never shorter than what the cloud asked for.
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "first"))
		most := first + time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "more"))
		b := cloud.Backoff{First: first, Most: most}
		due := first
		for range rapid.IntRange(1, 80).Draw(t, "tries") {
			asked := time.Duration(0)
			if rapid.Bool().Draw(t, "asks") {
				asked = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "asked"))
			}
			pause := b.Next(asked)
			if pause < asked || pause < due-due/2 {
				t.Fatalf("a pause of %s where %s is due and %s asked for", pause, due, asked)
			}
			if limit := max(due, asked+min(asked/4, 15*time.Second)); pause > limit {
				t.Fatalf("a pause of %s where %s is due and %s asked for", pause, due, asked)
			}
			due = min(2*due, most)
		}
	})
}

// TestBackoffSpreads begins a hundred rows of pauses together: they don't stay together.
func TestBackoffSpreads(t *testing.T) {
	for _, asked := range []time.Duration{0, time.Minute} {
		tenths := map[time.Duration]int{}
		for range 100 {
			b := cloud.Backoff{First: 10 * time.Second, Most: time.Minute}
			pause := b.Next(asked)
			tenths[pause/(500*time.Millisecond)]++
		}
		for at, n := range tenths {
			if n > 40 {
				t.Errorf("%d of 100 come back within the half second after %s", n, at*500*time.Millisecond)
			}
		}
	}
}
