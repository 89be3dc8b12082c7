package store

import (
	"context"
	"fmt"
)

// pruned is a table of which only the last rows of each cluster are kept.
type pruned struct {
	table string
	// counts holds for the rows that are counted, goes for those of them that may go.
	counts, goes string
}

var (
	oldRuns    = pruned{"runs", "1 = 1", "ended > 0"}
	oldEvents  = pruned{"events", "1 = 1", "1 = 1"}
	oldIntents = pruned{"intents", "state <> 'open'", "state <> 'open' AND NOT (action = 'create' AND state = 'done')"}
)

// pruneBatch is how many rows are deleted in one transaction: nobody is to wait long for it.
const pruneBatch = 500

// prune deletes what of a cluster is older than the last keep rows and may go.
func (s *Store) prune(ctx context.Context, p pruned, cluster string, keep int) error {
	for {
		var n int64
		err := s.write(ctx, "prune "+p.table+" of cluster "+cluster, func(t *tx) (err error) {
			n, err = t.exec(fmt.Sprintf(`DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s WHERE cluster = $1 AND %[3]s AND id NOT IN
				(SELECT id FROM %[1]s WHERE cluster = $1 AND %[2]s ORDER BY id DESC LIMIT $2) ORDER BY id LIMIT $3)`, p.table, p.counts, p.goes), cluster, keep, pruneBatch)
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
}

// Prune forgets the history of every cluster but for its last runs, events and resolved intents, of each so many. Intents of
// a cluster that is being deleted stay until it is gone: its receipt goes by them. What was measured becomes coarser.
func (s *Store) Prune(ctx context.Context, runs, events, intents int) error {
	for _, x := range []struct {
		pruned
		keep  int
		which string
	}{
		{oldRuns, runs, oldRuns.goes},
		{oldEvents, events, oldEvents.goes},
		{oldIntents, intents, oldIntents.goes + " AND cluster IN (SELECT uid FROM clusters WHERE delete_requested = 0 OR deleted > 0)"},
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
