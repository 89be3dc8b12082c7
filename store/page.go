package store

import (
	"context"
	"fmt"
	"math"
)

// These read lists a page at a time, each from behind the last one of the page before: what is added or goes meanwhile
// shifts nothing.

// ClustersAfter returns up to limit clusters that aren't deleted, by name, those after a name.
func (s *Store) ClustersAfter(ctx context.Context, name string, limit int) ([]Cluster, error) {
	all, err := query(ctx, s.db, scanCluster, selectListed, name, limit)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	return all, nil
}

// ChangesAfter returns up to limit of a cluster's changes, the oldest first, those after an id.
func (s *Store) ChangesAfter(ctx context.Context, cluster string, id int64, limit int) ([]Change, error) {
	all, err := query(ctx, s.db, scanChange, "SELECT "+changeColumns+" FROM changes WHERE cluster = $1 AND id > $2 ORDER BY id LIMIT $3", cluster, id, limit)
	if err != nil {
		return nil, fmt.Errorf("list changes of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// RunsBefore returns up to limit of a cluster's runs, the newest first, those before an id; 0 is for the newest.
func (s *Store) RunsBefore(ctx context.Context, cluster string, id int64, limit int) ([]Run, error) {
	all, err := query(ctx, s.db, scanRun, "SELECT "+runColumns+" FROM runs WHERE cluster = $1 AND id < $2 ORDER BY id DESC LIMIT $3", cluster, before(id), limit)
	if err != nil {
		return nil, fmt.Errorf("list runs of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// EventsBefore returns the last events before an id, the oldest first; 0 is for the last ones of all. An empty cluster means
// all.
func (s *Store) EventsBefore(ctx context.Context, cluster string, id int64, limit int) ([]Event, error) {
	return s.events(ctx, "SELECT * FROM (SELECT "+eventColumns+` FROM events WHERE (cluster = $1 OR CAST($1 AS TEXT) = '') AND id < $2
		ORDER BY id DESC LIMIT $3) AS newest ORDER BY id`, cluster, before(id), limit)
}

func before(id int64) int64 {
	if id == 0 {
		return math.MaxInt64
	}
	return id
}

// ResourcesAfter returns up to limit lines of a cluster's ledger, by key, those after a key.
func (s *Store) ResourcesAfter(ctx context.Context, cluster, key string, limit int) ([]Resource, error) {
	all, err := query(ctx, s.db, scanResource, "SELECT "+resourceColumns+" FROM resources WHERE cluster = $1 AND key > $2 ORDER BY key LIMIT $3", cluster, key, limit)
	if err != nil {
		return nil, fmt.Errorf("list resources of cluster %s: %w", cluster, err)
	}
	return all, nil
}
