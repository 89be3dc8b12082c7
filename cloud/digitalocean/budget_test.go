package digitalocean

import (
	"testing"
	"time"
)

// TestBudget keeps to 250 calls a minute of 5,000 an hour, and spreads what is left when that is little.
func TestBudget(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := &budget{now: func() time.Time { return now }}
	for range 1000 {
		if wait := b.take(); wait != 0 {
			t.Fatalf("held up for %v though nothing is known", wait)
		}
	}
	b = &budget{now: func() time.Time { return now }}
	b.learn(limits(4999, now.Add(time.Hour)))
	for i := range 250 {
		if wait := b.take(); wait != 0 {
			t.Fatalf("call %d waits %v", i, wait)
		}
	}
	if wait := b.take(); wait != mostPause {
		t.Errorf("the 251st call in a minute waits %v, want %v at most", wait, mostPause)
	}
	now = now.Add(2 * time.Minute)
	if wait := b.take(); wait != 0 {
		t.Errorf("a minute later it waits %v", wait)
	}
	b.learn(limits(50, now.Add(10*time.Minute)))
	if wait := b.take(); wait != 12*time.Second {
		t.Errorf("with 50 calls left for ten minutes it waits %v", wait)
	}
	b.learn(limits(0, now.Add(10*time.Minute)))
	if wait := b.take(); wait != mostPause {
		t.Errorf("with nothing left it waits %v, want %v", wait, mostPause)
	}
	now = now.Add(11 * time.Minute)
	if wait := b.take(); wait != 0 {
		t.Errorf("after the renewal it waits %v", wait)
	}
}
