package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/skyweld/skyweld/store"
)

// errDeleteAsked is why a run stops early: nobody should wait for a machine to boot, only to see it deleted.
var errDeleteAsked = errors.New("the cluster is to be deleted")

// untilDelete returns a context that ends, with errDeleteAsked as its cause, when the cluster's deletion is asked for.
func (e *Engine) untilDelete(ctx context.Context, uid string) (context.Context, context.CancelFunc) {
	halt, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(e.patience.look)
		defer tick.Stop()
		for {
			select {
			case <-halt.Done():
				return
			case <-tick.C:
				changes, err := e.store.ListChanges(halt, uid, store.Queued)
				if err == nil && slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Kind == store.Delete }) {
					cancel(errDeleteAsked)
				}
			}
		}
	}()
	return halt, func() { cancel(nil) }
}

// mayGoOn is asked before everything that changes something: the lease must be ours still, and no deletion asked for.
func (r *run) mayGoOn(ctx context.Context) error {
	if r.halt != nil && errors.Is(context.Cause(r.halt), errDeleteAsked) {
		return errDeleteAsked
	}
	return r.e.store.Check(ctx, r.fence)
}

// haltable returns a context for work on nodes, which can be broken off at any point: it ends when a deletion is asked for.
// What is going on at a cloud is finished instead, so that it is known what came of it.
func (r *run) haltable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if r.halt == nil {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(r.halt, func() { cancel(context.Cause(r.halt)) })
	return ctx, func() { stop(); cancel(nil) }
}
