package backend

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
)

// Follower brings something to the state that was last wanted of it, in the background and one attempt at a time. States
// that were overtaken are skipped; an attempt that failed is repeated, at once when another state is wanted.
type Follower[T any] struct {
	ctx    context.Context
	work   *Tasks
	apply  func(context.Context, T) error
	failed func(err error, after time.Duration)

	mu      sync.Mutex
	want    T
	version int64         // of want
	tried   int64         // the version that was last attempted
	err     error         // of that attempt
	busy    bool          // a task works on it
	news    chan struct{} // closed when tried moves
	changed chan struct{} // closed when version moves
}

// NewFollower returns one that nothing is wanted of yet. Its attempts are tasks of work and end with the context; failed
// hears of those that are to be repeated.
func NewFollower[T any](ctx context.Context, work *Tasks, apply func(context.Context, T) error, failed func(err error, after time.Duration)) *Follower[T] {
	return &Follower[T]{ctx: ctx, work: work, apply: apply, failed: failed, news: make(chan struct{}), changed: make(chan struct{})}
}

// Set says what is wanted from now on. It returns at once, with a version to wait for.
func (f *Follower[T]) Set(want T) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.version > 0 && reflect.DeepEqual(f.want, want) {
		return f.version
	}
	f.want = want
	f.version++
	close(f.changed)
	f.changed = make(chan struct{})
	if !f.busy {
		f.busy = f.work.Start(f.run)
	}
	return f.version
}

// Wanted is the state that was last wanted, with its version; idle says that it is there and nothing more is being done.
func (f *Follower[T]) Wanted() (want T, version int64, idle bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.want, f.version, !f.busy && f.tried == f.version && f.err == nil
}

// run works until all is as wanted.
func (f *Follower[T]) run() {
	retry := firstRetry
	for {
		f.mu.Lock()
		want, version := f.want, f.version
		f.mu.Unlock()
		err := f.apply(f.ctx, want)
		f.mu.Lock()
		f.tried, f.err = version, err
		close(f.news)
		f.news = make(chan struct{})
		current := f.version == version
		if current && err == nil || f.ctx.Err() != nil {
			f.busy = false
			f.mu.Unlock()
			return
		}
		changed := f.changed
		f.mu.Unlock()
		if !current {
			retry = firstRetry
			continue
		}
		f.failed(err, retry)
		select {
		case <-f.ctx.Done():
		case <-changed:
		case <-time.After(retry):
		}
		retry = min(2*retry, lastRetry)
	}
}

// Wait returns when a version, or one after it, was attempted: with the error of the last attempt.
func (f *Follower[T]) Wait(ctx context.Context, version int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.tried < version {
		news := f.news
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-f.ctx.Done():
		case <-news:
		}
		f.mu.Lock()
		if err := errors.Join(ctx.Err(), f.ctx.Err()); err != nil {
			return err
		}
	}
	return f.err
}
