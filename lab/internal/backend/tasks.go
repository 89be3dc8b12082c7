// Package backend is what the lab's clouds have in common behind their APIs: work that goes on when a request is answered,
// turns at one machine or network, networks that follow the records, and the records' file. It knows no cloud's vocabulary.
package backend

import (
	"context"
	"sync"
	"time"
)

// Tasks are goroutines that Close waits for. The zero value is ready.
type Tasks struct {
	mu     sync.Mutex
	closed bool
	group  sync.WaitGroup
}

// Start runs f, unless the tasks are closed.
func (t *Tasks) Start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.group.Go(f)
	}
	return !t.closed
}

// Close lets no more tasks start and waits for those that run.
func (t *Tasks) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.group.Wait()
}

// Locks are mutexes by name. They stay once made: there are as many as networks and machines ever were. The zero value is
// ready.
type Locks struct {
	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

// Lock locks a name and returns what unlocks it.
func (k *Locks) Lock(name string) func() {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*sync.Mutex{}
	}
	l := k.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		k.locks[name] = l
	}
	k.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Pause waits, cut short by done; it returns false when that is what ended it.
func Pause(done <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return false
	case <-t.C:
		return true
	}
}

// How long to wait before an attempt that failed is repeated.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Insist repeats what must succeed in the end, with growing pauses; failed hears of each attempt that didn't and of the
// pause after it. It returns an error only when the context has ended.
func Insist(ctx context.Context, do func(context.Context) error, failed func(err error, after time.Duration)) error {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		failed(err, retry)
		if !Pause(ctx.Done(), retry) {
			return ctx.Err()
		}
	}
}
