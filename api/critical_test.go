package api

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCriticalPath(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1e9+int64(s), 0) }
	steps := []RunStep{
		{ID: "vpc", State: "done", Started: at(0), Ended: at(1)},
		{ID: "group", State: "done", Started: at(0), Ended: at(2)},
		{ID: "vm", State: "done", Started: at(2), Ended: at(60), After: []string{"group"}},
		{ID: "instance", State: "done", Started: at(1), Ended: at(20), After: []string{"vpc"}},
		{ID: "init", State: "done", Started: at(60), Ended: at(70), After: []string{"vm", "instance"}},
		{ID: "join", State: "failed", Started: at(70), Ended: at(99), After: []string{"init"}},
	}
	if got, want := CriticalPath(steps), []string{"group", "vm", "init"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := CriticalPath(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// TestCriticalPathEnds holds that any steps have one that ends, without a step twice.
func TestCriticalPathEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"a", "b", "c", "d", "e"}
		var steps []RunStep
		for _, id := range ids {
			steps = append(steps, RunStep{
				ID: id, State: "done", Ended: time.Unix(rapid.Int64Range(1, 4).Draw(t, "ended"), 0),
				After: rapid.SliceOf(rapid.SampledFrom(ids)).Draw(t, "after"),
			})
		}
		path := CriticalPath(steps)
		slices.Sort(path)
		if len(path) == 0 || len(slices.Compact(slices.Clone(path))) != len(path) {
			t.Fatalf("%v", path)
		}
	})
}
