package store

import (
	"slices"
	"sync"
)

// What says which kind of thing changed.
type What string

// The kinds of things that are watched.
const (
	Accounts  What = "accounts"
	Clusters  What = "clusters"
	Changes   What = "changes"
	Runs      What = "runs"
	Resources What = "resources"
	Nodes     What = "nodes"
	Events    What = "events"
)

// Note says that something changed, not what it is now: whoever gets one reads again.
type Note struct {
	// Cluster is the UID, empty for accounts.
	Cluster string
	What    What
}

// Watcher collects notes about what is written through one Store; writes of other engines are not seen.
type Watcher struct {
	hub   *hub
	ready chan struct{}

	mu      sync.Mutex
	pending []Note
}

// Watch begins to collect notes. Close ends it.
func (s *Store) Watch() *Watcher {
	w := &Watcher{hub: &s.hub, ready: make(chan struct{}, 1)}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.watchers = append(s.hub.watchers, w)
	return w
}

// Ready gets a value when there are notes to Take.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take returns the notes since the last time, each once, in the order of their first writing.
func (w *Watcher) Take() []Note {
	w.mu.Lock()
	defer w.mu.Unlock()
	notes := w.pending
	w.pending = nil
	return notes
}

// Close ends the watching.
func (w *Watcher) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.watchers = slices.DeleteFunc(w.hub.watchers, func(o *Watcher) bool { return o == w })
}

// hub hands notes to watchers. It never waits for one: equal notes become one, so what is pending stays small.
type hub struct {
	mu       sync.Mutex
	watchers []*Watcher
}

func (h *hub) notify(cluster string, what What) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := Note{cluster, what}
	for _, w := range h.watchers {
		w.mu.Lock()
		if !slices.Contains(w.pending, n) {
			w.pending = append(w.pending, n)
		}
		w.mu.Unlock()
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
}
