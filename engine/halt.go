package engine

import (
	"context"
	"errors"
	"time"
)

// Why a run stops before its end, at the next step: nobody should wait for a machine to boot, only to see it deleted, nor
// for a long run while somebody holds the engine off.
var (
	errDeleteAsked = errors.New("the cluster is to be deleted")
	errPaused      = errors.New("the cluster was paused")
)

// halted is the one of these that an error is about, nil for none.
func halted(err error) error {
	for _, why := range []error{errDeleteAsked, errPaused} {
		if errors.Is(err, why) {
			return why
		}
	}
	return nil
}

// untilHalted returns a context that ends when the cluster's deletion is asked for, or when it is paused; the cause says
// which.
func (e *Engine) untilHalted(ctx context.Context, uid string) (context.Context, context.CancelFunc) {
	halt, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(e.patience.look)
		defer tick.Stop()
		for {
			select {
			case <-halt.Done():
				return
			case <-tick.C:
				c, err := e.store.GetClusterByUID(halt, uid)
				switch {
				case err != nil:
				case !c.DeleteRequested.IsZero():
					cancel(errDeleteAsked)
				case c.Paused != nil:
					cancel(errPaused)
				}
			}
		}
	}()
	return halt, func() { cancel(nil) }
}

// mayGoOn is asked before everything that changes something: the lease must be ours still, and the run not be stopped.
func (r *run) mayGoOn(ctx context.Context) error {
	if r.halt != nil {
		if why := halted(context.Cause(r.halt)); why != nil {
			return why
		}
	}
	return r.e.store.Check(ctx, r.fence)
}

// haltable returns a context for work on nodes, which a deletion may break off at any point. What is going on at a cloud is
// finished instead, so that it is known what came of it; and a pause lets every step that has begun come to its end, for no
// node should stay half drained or half joined for as long as it lasts.
func (r *run) haltable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if r.halt == nil {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(r.halt, func() {
		if why := context.Cause(r.halt); !errors.Is(why, errPaused) {
			cancel(why)
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}
