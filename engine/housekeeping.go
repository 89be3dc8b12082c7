package engine

import (
	"context"
	"maps"
	"time"

	"github.com/skyweld/skyweld/engine/traffic"
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

// forgetGone forgets what this engine remembers of clusters and accounts that are no more, whoever deleted them.
func (e *Engine) forgetGone(ctx context.Context) error {
	clusters, err := e.store.ListClusters(ctx, false)
	if err != nil {
		return err
	}
	accounts, err := e.store.ListAccounts(ctx)
	if err != nil {
		return err
	}
	living, known := map[string]bool{}, map[string]bool{}
	for _, c := range clusters {
		living[c.UID] = true
	}
	for _, a := range accounts {
		known[a.Name] = true
	}
	e.sightings.keep(living)
	e.creations.keep(living)
	e.driverMu.Lock()
	defer e.driverMu.Unlock()
	maps.DeleteFunc(e.told, func(k tellKey, _ string) bool { return !living[k.cluster] || !known[k.account] })
	maps.DeleteFunc(e.drivers, func(name string, _ cachedDriver) bool { return !known[name] })
	maps.DeleteFunc(e.traffics, func(name string, _ *traffic.Account) bool { return !known[name] })
	return nil
}
