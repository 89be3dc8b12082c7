package engine

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/skyweld/skyweld/store"
)

// Keeper says who can read a backup.
type Keeper = store.Keeper

// Backup writes all that the engine knows, as it is at one moment, encrypted; work on clusters goes on meanwhile. What is
// written is whole only when there is no error.
func (e *Engine) Backup(ctx context.Context, w io.Writer, keeper Keeper) error {
	err := e.store.Backup(ctx, w, keeper)
	if err != nil {
		e.log.Error("a backup could not be finished", "err", err)
	}
	return err
}

// revisionFloor is below the number of every config that this engine sends. One that was made from a backup counts on from
// the time of that, in milliseconds: that is more than the engine before it will ever have sent, so nodes, which take no
// lower number, and that engine, which sees it there, know which of two came later.
func (e *Engine) revisionFloor(ctx context.Context) (int64, error) {
	at, err := e.store.Restored(ctx)
	if err != nil || at.IsZero() {
		return 0, err
	}
	return at.UnixMilli(), nil
}

// strayConfigs is how far a node may be ahead of what is on record here: what is sent is recorded before.
const strayConfigs = 1000

// overtaken is the error of an engine that works on from before a backup which another was made from, when that has begun to
// work on the cluster: two that don't know of each other would undo each other's work.
func (s *survey) overtaken(ctx context.Context) error {
	floor, err := s.e.revisionFloor(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.sights)) {
		seen, f := s.sights[name], s.facts.get(name)
		if seen.status == nil || f == nil || seen.status.Revision <= max(floor, f.Revision)+strayConfigs {
			continue
		}
		return fmt.Errorf("node %s got its config %d from another engine, one that was made from a backup at about %s: that one works on cluster %s now, and this one leaves it alone; "+
			"stop this engine, or, if the other one is to go, stop that and restore a backup of this one in a new folder",
			name, seen.status.Revision, time.UnixMilli(seen.status.Revision).UTC().Format(time.RFC3339), s.cluster.Name)
	}
	return nil
}
