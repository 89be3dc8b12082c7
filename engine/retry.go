package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/store"
)

// retryLimit is how long one step tries on each class of error. Classes that are not here fail at once: only a person
// can mend them.
var retryLimit = map[cloud.Class]time.Duration{
	cloud.Throttled:   10 * time.Minute,
	cloud.Unavailable: 5 * time.Minute,
	cloud.Conflict:    5 * time.Minute,
	cloud.NotFound:    90 * time.Second,
	cloud.Unknown:     time.Minute,
}

// mostPause is the longest pause between two tries, unless the cloud asks for a longer one.
const mostPause = 15 * time.Second

// retry calls do until it succeeds, fails for good, or has failed for too long for its class of error.
func retry[T any](ctx context.Context, p patience, do func(context.Context) (T, error)) (T, error) {
	return retryPausing(ctx, ctx, p, do)
}

// retryPausing is retry whose pauses end with a context of their own: the next try follows at once then. It gives up
// where the cloud wants to be left alone for longer than it would be tried.
func retryPausing[T any](ctx, pausing context.Context, p patience, do func(context.Context) (T, error)) (T, error) {
	pauses := cloud.Backoff{First: p.retry, Most: mostPause}
	for start := time.Now(); ; {
		v, err := do(ctx)
		if err == nil {
			return v, nil
		}
		limit, again := retryLimit[cloud.ClassOf(err)]
		e, ok := errors.AsType[*cloud.Error](err)
		if !again || ok && e.Held || ctx.Err() != nil || errors.Is(err, store.ErrFenced) || halted(err) != nil {
			return v, err
		}
		asked := time.Duration(0)
		if ok {
			asked = e.RetryAfter
		}
		pause := pauses.Next(asked)
		end := start.Add(min(limit, p.step))
		if deadline, limited := ctx.Deadline(); limited && deadline.Before(end) {
			end = deadline
		}
		if time.Now().Add(pause).After(end) {
			return v, err
		}
		if cloud.Pause(pausing, pause) != nil && ctx.Err() != nil {
			return v, err
		}
	}
}

// call is retry for a call that changes something in a cloud: the lease is checked before every try, and a pause ends when
// the run is to stop. An operation that never ends is given up some time: what has come of it is seen by the next run.
func call[T any](ctx context.Context, r *run, do func(context.Context) (T, error)) (T, error) {
	pausing, cancel := r.haltable(ctx)
	defer cancel()
	return retryPausing(ctx, pausing, r.e.patience, func(ctx context.Context) (T, error) {
		if err := r.mayGoOn(ctx); err != nil {
			var none T
			return none, err
		}
		return atMost(ctx, r.e.patience.call, do)
	})
}

// atMost lets one call of a driver take a time at most; 0 is no limit.
func atMost[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	if limit <= 0 {
		return do(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := do(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = &cloud.Error{
			Class: cloud.Unavailable, Err: err,
			Message: fmt.Sprintf("the cloud has not finished it in %s and may still do so; the next run looks what has come of it (%v)", limit, err),
		}
	}
	return v, err
}

// readPatience is how long reading is tried again by a run, hurry how long while somebody waits for a plan.
const (
	readPatience = time.Minute
	hurry        = 15 * time.Second
)

type hurryKey struct{}

// hurried returns a context for what somebody waits for.
func hurried(ctx context.Context) context.Context {
	return context.WithValue(traffic.Eager(ctx), hurryKey{}, true)
}

// retryBriefly is retry for reading: a minute at most, and only while the cloud itself is in trouble.
func retryBriefly[T any](ctx context.Context, p patience, do func(context.Context) (T, error)) (T, error) {
	limit := readPatience
	if ctx.Value(hurryKey{}) != nil {
		limit = hurry
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	v, err := retry(ctx, p, func(ctx context.Context) (T, error) {
		v, err := do(ctx)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return v, err
	})
	if err != nil && last != nil {
		err = last
	}
	return v, err
}

// retryPlain calls do, which is no cloud's API, every second until it succeeds or patience ends; the error is the last.
func retryPlain[T any](ctx context.Context, patience time.Duration, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for pause := 200 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		v, err := do(ctx)
		if err == nil {
			return v, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return v, last
		case <-time.After(pause):
		}
	}
}
