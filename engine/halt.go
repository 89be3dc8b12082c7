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
				if why, err := e.toHalt(halt, uid); err == nil && why != nil {
					cancel(why)
				}
			}
		}
	}()
	return halt, func() { cancel(nil) }
}

// toHalt is why runs about a cluster are to stop, nil when they aren't.
func (e *Engine) toHalt(ctx context.Context, uid string) (why, err error) {
	c, err := e.store.GetClusterByUID(ctx, uid)
	switch {
	case err != nil:
		return nil, err
	case !c.DeleteRequested.IsZero():
		return errDeleteAsked, nil
	case c.Paused != nil:
		return errPaused, nil
	}
	return nil, nil
}

// mayGoOn is asked before everything that changes something: the lease must be ours still, and the run not be stopped. What
// was asked a moment ago counts, whenever untilHalted looks next: after it no step begins.
func (r *run) mayGoOn(ctx context.Context) error {
	if err := r.e.store.Check(ctx, r.fence); err != nil || r.halt == nil {
		return err
	}
	if why := halted(context.Cause(r.halt)); why != nil {
		return why
	}
	why, err := r.e.toHalt(ctx, r.cluster.UID)
	if err != nil {
		return err
	}
	return why
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
		if why := context.Cause(r.halt); errors.Is(why, errDeleteAsked) {
			cancel(why)
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}
