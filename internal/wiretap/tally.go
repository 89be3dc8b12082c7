package wiretap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Tally counts calls by action and refusals by code. Its methods may be called from several goroutines.
type Tally struct {
	mu       sync.Mutex
	calls    map[string]int
	refusals map[string]int
}

// NewTally returns a tally of nothing.
func NewTally() *Tally { return &Tally{calls: map[string]int{}, refusals: map[string]int{}} }

// Call counts a call.
func (t *Tally) Call(action string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[action]++
}

// Refusal counts a refusal.
func (t *Tally) Refusal(code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusals[code]++
}

// Calls returns how often each action was called.
func (t *Tally) Calls() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.calls)
}

// Refusals returns how often calls were refused with each code.
func (t *Tally) Refusals() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.refusals)
}

// Total is the sum of counts.
func Total(counts map[string]int) int {
	n := 0
	for _, v := range counts {
		n += v
	}
	return n
}

// String tells how many calls there were, of how many actions, and how many of them were refused.
func (t *Tally) String() string {
	calls, refusals := t.Calls(), t.Refusals()
	return fmt.Sprintf("%d calls of %d actions, %d of them refused with %d codes", Total(calls), len(calls), Total(refusals), len(refusals))
}

// Detail lists each action with its count, and each code of a refusal, the most frequent first.
func (t *Tally) Detail() string {
	return fmt.Sprintf("calls: %s\nrefusals: %s", list(t.Calls()), list(t.Refusals()))
}

func list(counts map[string]int) string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	return strings.Join(names, ", ")
}
