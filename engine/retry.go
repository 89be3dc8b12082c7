package engine

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/skyweld/skyweld/cloud"
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

// retry calls do until it succeeds, fails for good, or has failed for too long for its class of error.
func retry[T any](ctx context.Context, p patience, do func(context.Context) (T, error)) (T, error) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = p.retry, 15*time.Second
	start := time.Now()
	return backoff.Retry(ctx, func() (T, error) {
		v, err := do(ctx)
		if err == nil {
			return v, nil
		}
		limit, again := retryLimit[cloud.ClassOf(err)]
		e, ok := errors.AsType[*cloud.Error](err)
		if !again || ok && e.Held || time.Since(start) > min(limit, p.step) || ctx.Err() != nil || errors.Is(err, store.ErrFenced) || errors.Is(err, errDeleteAsked) {
			return v, backoff.Permanent(err)
		}
		if ok && e.RetryAfter > 0 {
			return v, errors.Join(err, backoff.RetryAfter(int(e.RetryAfter/time.Second)+1))
		}
		return v, err
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
}

// call is retry for a call that changes something in a cloud: the lease is checked before every try.
func call[T any](ctx context.Context, r *run, do func(context.Context) (T, error)) (T, error) {
	return retry(ctx, r.e.patience, func(ctx context.Context) (T, error) {
		if err := r.mayGoOn(ctx); err != nil {
			var none T
			return none, err
		}
		return do(ctx)
	})
}

// readPatience is how long reading is tried again by a run, hurry how long while somebody waits for a plan.
const (
	readPatience = time.Minute
	hurry        = 15 * time.Second
)

type hurryKey struct{}

// hurried returns a context for what somebody waits for.
func hurried(ctx context.Context) context.Context { return context.WithValue(ctx, hurryKey{}, true) }

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
