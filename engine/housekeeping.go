package engine

import (
	"context"
	"time"
)

const (
	// feedAge is how long what streams are made of is kept: who comes back later loads anew.
	feedAge = 24 * time.Hour
	// KeyAge is how long a write that was sent with a key is known by it.
	KeyAge = 24 * time.Hour
	// sweepEvery is how often what is old is forgotten.
	sweepEvery = 10 * time.Minute
)

// keepHouse forgets what is old and no cluster's, now and then, until ctx is done. Several engines may do it at once.
func (e *Engine) keepHouse(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := e.store.PruneFeed(ctx, feedAge); err != nil && ctx.Err() == nil {
			e.log.Warn("old lines of the feed could not be forgotten", "err", err)
		}
		if err := e.store.PruneKeyed(ctx, KeyAge); err != nil && ctx.Err() == nil {
			e.log.Warn("old keys of writes could not be forgotten", "err", err)
		}
	}
}
