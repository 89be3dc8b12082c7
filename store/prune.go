package store

import (
	"context"
	"fmt"
)

// pruned is a table of which only the last rows of each cluster are kept.
type pruned struct {
	// table is its name, key what its rows are counted by.
	table, key string
	// counts holds for the rows that are counted, goes for those of them that may go.
	counts, goes string
}

var (
	oldRuns    = pruned{"runs", "id", "1 = 1", "ended > 0"}
	oldEvents  = pruned{"events", "id", "1 = 1", "1 = 1"}
	oldIntents = pruned{"intents", "id", "state <> 'open'", "state <> 'open' AND NOT (action = 'create' AND state = 'done')"}
	// A run that is kept shows the changes that it worked on, and a write that is sent again the change that it made.
	oldChanges = pruned{"changes", "id", "1 = 1", `state NOT IN ('queued', 'applying') AND
		NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = changes.run) AND NOT EXISTS (SELECT 1 FROM idempotency i WHERE i.change = changes.id)`}
	// A run that is kept has the number of a revision; what a change made of the spec shows beside the one before.
	oldRevisions = pruned{"revisions", "generation", "1 = 1", `generation < (SELECT MIN(r.generation) FROM runs r WHERE r.cluster = revisions.cluster) AND
		generation + 1 < (SELECT MIN(c.generation) FROM changes c WHERE c.cluster = revisions.cluster AND c.generation > 0)`}
)

// pruneBatch is how many rows are deleted in one transaction: nobody is to wait long for it.
const pruneBatch = 500

// prune deletes what of a cluster is older than the last keep rows and may go.
func (s *Store) prune(ctx context.Context, p pruned, cluster string, keep int) error {
	for {
		var n int64
		err := s.write(ctx, "prune "+p.table+" of cluster "+cluster, func(t *tx) (err error) {
			n, err = t.exec(fmt.Sprintf(`DELETE FROM %[1]s WHERE cluster = $1 AND %[4]s IN (SELECT %[4]s FROM %[1]s WHERE cluster = $1 AND %[3]s AND %[4]s NOT IN
				(SELECT %[4]s FROM %[1]s WHERE cluster = $1 AND %[2]s ORDER BY %[4]s DESC LIMIT $2) ORDER BY %[4]s LIMIT $3)`, p.table, p.counts, p.goes, p.key), cluster, keep, pruneBatch)
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
}

// Kept is how much of its history is kept of a cluster: so many of its last.
type Kept struct{ Runs, Events, Intents, Changes, Revisions int }

// Prune forgets the history of every cluster but for what is kept, and what that refers to. Changes that aren't done stay, and
// intents of a cluster that is being deleted until it is gone: its receipt goes by them. What was measured becomes coarser.
func (s *Store) Prune(ctx context.Context, k Kept) error {
	for _, x := range []struct {
		pruned
		keep  int
		which string
	}{
		{oldRuns, k.Runs, oldRuns.goes},
		{oldEvents, k.Events, oldEvents.goes},
		{oldChanges, k.Changes, oldChanges.goes}, // after the runs, before the revisions: each keeps what it shows
		{oldRevisions, k.Revisions, oldRevisions.goes},
		{oldIntents, k.Intents, oldIntents.goes + " AND cluster IN (SELECT uid FROM clusters WHERE delete_requested = 0 OR deleted > 0)"},
	} {
		clusters, err := query(ctx, s.db, scanString, "SELECT cluster FROM "+x.table+" WHERE "+x.which+" GROUP BY cluster HAVING COUNT(*) > $1 ORDER BY cluster", x.keep)
		if err != nil {
			return fmt.Errorf("look for old %s: %w", x.table, err)
		}
		for _, cluster := range clusters {
			if err := s.prune(ctx, x.pruned, cluster, x.keep); err != nil {
				return err
			}
		}
	}
	return s.PruneLatency(ctx)
}
