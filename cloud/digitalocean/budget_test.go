package digitalocean

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// TestBudget keeps to 250 calls a minute of 5,000 an hour, and spreads what is left when that is little.
func TestBudget(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := &budget{now: func() time.Time { return now }}
	waits := func(what string, want time.Duration) {
		t.Helper()
		if wait, ok := b.take(t.Context()); wait != want || !ok {
			t.Fatalf("%s: waits %v (%v), want %v", what, wait, ok, want)
		}
	}
	for range 1000 {
		waits("nothing is known", 0)
	}
	b = &budget{now: func() time.Time { return now }}
	b.learn(http.StatusOK, limits(4999, now.Add(time.Hour)))
	for range 250 {
		waits("one of 250 in a minute", 0)
	}
	waits("the 251st", time.Minute)
	short, cancel := context.WithDeadline(t.Context(), now.Add(20*time.Second))
	defer cancel()
	if wait, ok := b.take(short); ok || wait != time.Minute {
		t.Errorf("one that can't wait so long: waits %v (%v)", wait, ok)
	}
	now = now.Add(2 * time.Minute)
	waits("a minute later", 0)
	b.learn(http.StatusOK, limits(50, now.Add(10*time.Minute)))
	waits("the first of 50 for ten minutes", 0)
	waits("the second", 12*time.Second)
	waits("the third", 12*time.Second+10*time.Minute/49.)
	now = now.Add(11 * time.Minute)
	waits("when the oldest are forgotten", 0)
}

// TestHeld: an answer that there were too many calls holds up all that follow, for as long as it says and no longer; that
// nothing is left of the hour isn't believed when only the minute is used up.
func TestHeld(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := &budget{now: func() time.Time { return now }}
	b.learn(http.StatusOK, limits(3000, now.Add(time.Hour)))
	burst := limits(0, now.Add(time.Hour))
	burst.Set("Retry-After", "29")
	b.learn(http.StatusTooManyRequests, burst)
	for range 3 {
		if wait, ok := b.take(t.Context()); wait != 29*time.Second || !ok {
			t.Errorf("after a burst: waits %v (%v)", wait, ok)
		}
	}
	now = now.Add(30 * time.Second)
	if wait, ok := b.take(t.Context()); wait != 0 || !ok {
		t.Errorf("after the pause: waits %v (%v)", wait, ok)
	}
	b.learn(http.StatusTooManyRequests, limits(0, now.Add(20*time.Minute)))
	if wait, ok := b.take(t.Context()); wait != 20*time.Minute || ok {
		t.Errorf("with the hour used up: waits %v (%v), want a refusal", wait, ok)
	}
	now = now.Add(20 * time.Minute)
	if wait, ok := b.take(t.Context()); wait != 0 || !ok {
		t.Errorf("when the oldest call is forgotten: waits %v (%v)", wait, ok)
	}
}
