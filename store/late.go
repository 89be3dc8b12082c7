package store

import (
	"context"
	"errors"
	"fmt"
)

// LandedLate is for an engine whose call to make something had an effect, or may have had, when its lease was lost: an
// intent of the same kind is opened anew, so that what landed is found and explained, and the cluster is woken. objectID is
// what came of the call, empty when that isn't known; where it is on record under the intent's key nothing is to be done.
// This needs no lease: what happened has happened. The error wraps ErrNotFound when the cluster's life has ended.
func (s *Store) LandedLate(ctx context.Context, id int64, objectID string) error {
	var cluster string
	err := s.write(ctx, fmt.Sprintf("open intent %d again", id), func(t *tx) error {
		i, err := first(ctx, t, scanIntent, "SELECT "+intentColumns+" FROM intents WHERE id = $1", id)
		if err != nil {
			return err
		}
		cluster = i.Cluster
		if err := t.lockCluster(cluster); err != nil {
			return err
		}
		var recorded int
		if err := t.row("SELECT COUNT(*) FROM resources WHERE cluster = $1 AND key = $2 AND id = $3", cluster, i.Key, objectID).Scan(&recorded); err != nil || recorded > 0 {
			return err
		}
		if err := t.reopen(i); err != nil {
			return err
		}
		return t.wake(cluster)
	})
	if err == nil {
		s.hub.notify(cluster, Clusters)
	}
	return err
}

// reopen opens another intent like one, unless there is an open one.
func (t *tx) reopen(i Intent) error {
	_, err := first(t.ctx, t, scanIntent, "SELECT "+intentColumns+" FROM intents WHERE cluster = $1 AND key = $2 AND action = $3 AND state = 'open'", i.Cluster, i.Key, i.Action)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	id, err := t.id()
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO intents ("+intentColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9, 0, '')",
		id, i.Cluster, i.Key, i.Kind, i.Site, i.Region, i.Action, randomHex(16), t.now)
	return err
}
