package engine

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skyweld/skyweld/store"
)

// A cluster's next run is laid down by the run before it, in the store and by the database's clock, so that engines and
// restarts change nothing about it. What goes wrong with that (all engines were away, the database's clock jumped, the
// interval was made shorter) is put right by reschedule, which any engine may do at any time.

// jittered is the interval between two runs, give or take a tenth, so that clusters that began together drift apart.
func jittered(every time.Duration) time.Duration { return giveOrTake(every, 0.1) }

// longestFailurePause is the longest pause after a failed run.
const longestFailurePause = 5 * time.Minute

// failurePause is the pause after so many failed runs in a row.
func (p patience) failurePause(failures int) time.Duration {
	return min(longestFailurePause, p.again/2<<min(10, failures))
}

// spread is the pause after a failed run, give or take a fifth: what one outage has stopped should not all come back at the same
// moment, again and again. It is never longer than the interval between two runs.
func spread(pause, every time.Duration) time.Duration { return min(every, giveOrTake(pause, 0.2)) }

func giveOrTake(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 - part + 2*part*rand.Float64()))
}

// How runs that were missed are made up. The windows are parts of the interval between two runs.
const (
	// lateAfter is how long a run must be overdue to count as missed: an engine that has much to do is often a little late.
	lateAfter = 20
	// catchUp is in how long all are made up, and catchUpPace how long to wait between two at most.
	catchUp     = 10
	catchUpPace = 2 * time.Second
)

// reschedule says which of the waiting clusters get another time for their next run:
//
//   - Those that are overdue, because no engine was there or the clock jumped ahead, follow one another in the order in which
//     they were due, all within a part of the interval: hundreds at the same instant would only be in each other's way, and in
//     that of clouds and of people who ask for something.
//   - Those whose time was laid down by a clock that was set back since count as overdue: nobody knows how long ago it was.
//   - Those due later than any run of this engine would be were laid down by one with a longer interval; the shorter counts.
//
// A cluster of which something is asked keeps its time, and what is found in order stays as it is.
func reschedule(now time.Time, every time.Duration, all []store.Waiting) map[string]time.Time {
	var late, far []store.Waiting
	for _, w := range all {
		switch {
		case w.Asked:
		case w.Set.After(now.Add(clockSkew)), w.Next.Before(now.Add(-every / lateAfter)):
			late = append(late, w)
		case w.Next.After(now.Add(every + every/10)):
			far = append(far, w)
		}
	}
	to := map[string]time.Time{}
	inOrder(late)
	for i, w := range late {
		to[w.Cluster] = now.Add(time.Duration(i) * min(catchUpPace, every/catchUp/time.Duration(len(late))))
	}
	inOrder(far)
	for i, w := range far {
		to[w.Cluster] = now.Add(every * time.Duration(i+1) / time.Duration(len(far)))
	}
	return to
}

func inOrder(list []store.Waiting) {
	slices.SortFunc(list, func(a, b store.Waiting) int {
		return cmp.Or(a.Next.Compare(b.Next), cmp.Compare(a.Cluster, b.Cluster))
	})
}

// How much of its history is kept of a cluster: a run an hour are six weeks of it, and one that fails for long makes a dozen
// an hour. Of all clusters what is older goes some minutes after the engine's start, and every hour.
var history = store.Kept{Runs: 1000, Events: 10000, Intents: 1000, Changes: 1000, Revisions: 200}

const (
	forgetFirst = 10 * time.Minute
	forgetEvery = time.Hour
)

// keepSchedule brings the schedule in order, now and then, until ctx is done, and forgets what is old.
func (e *Engine) keepSchedule(ctx context.Context) {
	tick := time.NewTicker(min(time.Minute, max(time.Second, e.opts.Every/lateAfter)))
	defer tick.Stop()
	forget := time.Now().Add(forgetFirst)
	for {
		e.putInOrder(ctx)
		if time.Now().After(forget) {
			forget = time.Now().Add(forgetEvery)
			e.forgetHistory(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) putInOrder(ctx context.Context) {
	moved, err := e.store.Reschedule(ctx, func(now time.Time, all []store.Waiting) map[string]time.Time {
		return reschedule(now, e.opts.Every, all)
	})
	switch {
	case err != nil && ctx.Err() == nil:
		e.log.Error("the schedule could not be looked through", "err", err)
	case moved > 1:
		e.log.Info("runs were missed, or laid down by another clock or interval: they follow one after another", "clusters", moved)
	}
}

func (e *Engine) forgetHistory(ctx context.Context) {
	if err := errors.Join(e.store.Prune(ctx, history), e.forgetGone(ctx)); err != nil && ctx.Err() == nil {
		e.log.Error("old history could not be forgotten", "err", err)
	}
}

// slots are how many clusters an engine works on at once. One of several is kept for what somebody waits for: those that are
// merely due can't take it.
type slots struct {
	all chan struct{}
	due atomic.Int32
}

func newSlots(n int) *slots { return &slots{all: make(chan struct{}, max(1, n))} }

// take waits for a free slot; it returns false when ctx is done before.
func (s *slots) take(ctx context.Context) bool {
	select {
	case s.all <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// onlyAsked says that what is merely due has all that it may have.
func (s *slots) onlyAsked() bool { return int(s.due.Load()) >= max(1, cap(s.all)-1) }

// use says what a taken slot is used for, and returns how to give it back.
func (s *slots) use(claim *store.Claim) (release func()) {
	if claim.Asked {
		return func() { <-s.all }
	}
	s.due.Add(1)
	return func() {
		s.due.Add(-1)
		<-s.all
	}
}

// Run works on clusters that are due, and looks after all, until ctx is done; it returns when the steps under way have come to
// their end, or the engine's grace has, and gives back the clusters it worked on.
func (e *Engine) Run(ctx context.Context) error {
	watch := e.store.Watch()
	defer watch.Close()
	defer context.AfterFunc(ctx, func() { e.life.stopping.Store(true) })()
	var group sync.WaitGroup
	defer group.Wait()
	e.putInOrder(ctx) // before the first claim: what was missed must not all begin now
	group.Go(func() { e.keepSchedule(ctx) })
	group.Go(func() { e.care(ctx) })
	group.Go(func() { e.keepHouse(ctx) })
	e.life.running.Store(true)
	free := newSlots(e.opts.Clusters)
	for free.take(ctx) {
		onlyAsked := free.onlyAsked()
		claim, err := e.claim(ctx, onlyAsked)
		if ctx.Err() == nil {
			e.life.claimed(err)
		}
		if claim != nil {
			release := free.use(claim)
			group.Go(func() {
				defer release()
				e.work(ctx, claim)
			})
			continue
		}
		<-free.all
		if err != nil && ctx.Err() == nil {
			e.log.Error("no cluster could be claimed", "err", err)
		}
		e.idle(ctx, watch, onlyAsked)
	}
	return nil
}

func (e *Engine) claim(ctx context.Context, onlyAsked bool) (*store.Claim, error) {
	if onlyAsked {
		return e.store.ClaimAsked(ctx, e.opts.Name, e.patience.lease)
	}
	return e.store.ClaimCluster(ctx, e.opts.Name, e.patience.lease)
}

// idle waits until something may be there to do.
func (e *Engine) idle(ctx context.Context, watch *store.Watcher, onlyAsked bool) {
	wait := 5 * time.Second // what is asked at another engine isn't heard of
	if onlyAsked {
		wait = time.Second // until a slot is free
	} else if in, ok, err := e.store.NextDue(ctx); err == nil && ok {
		wait = min(wait, max(50*time.Millisecond, in))
	}
	select {
	case <-ctx.Done():
	case <-watch.Ready():
		watch.Take()
	case <-time.After(wait):
	}
}
