package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Lease says who works on a cluster.
type Lease struct {
	// Owner is empty when nobody does.
	Owner string
	// Until is when others may take it, by the database's clock.
	Until time.Time
	// Epoch rises with every claim.
	Epoch int64
}

// Fence is what a writer of a cluster's data shows: the epoch of its claim.
type Fence struct {
	// Cluster is the UID.
	Cluster string
	Epoch   int64
}

// Claim is a cluster to work on.
type Claim struct {
	Fence
	// Current is the cluster at the moment of the claim.
	Current Cluster
	Until   time.Time
}

// check locks the cluster's row and compares the epoch. A lease that ran out still counts as long as nobody took it.
func (t *tx) check(fence Fence) error {
	var epoch int64
	var owner string
	err := t.row("SELECT lease_epoch, lease_owner FROM clusters WHERE uid = $1"+t.s.lock, fence.Cluster).Scan(&epoch, &owner)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	if epoch != fence.Epoch || owner == "" {
		return fmt.Errorf("%w: it was at epoch %d and is now at %d", ErrFenced, fence.Epoch, epoch)
	}
	return nil
}

// ClaimCluster takes the lease of the cluster that is due for the longest time and has none, and returns nil when there is
// no such cluster. owner names the engine.
func (s *Store) ClaimCluster(ctx context.Context, owner string, ttl time.Duration) (*Claim, error) {
	if owner == "" {
		return nil, errors.New("claim a cluster: the owner has no name")
	}
	now, err := s.now(ctx, s.db)
	if err != nil {
		return nil, fmt.Errorf("claim a cluster: %w", err)
	}
	due, err := query(ctx, s.db, scanString, `SELECT uid FROM clusters WHERE deleted = 0 AND next_run_at <= $1 AND lease_until < $1
		ORDER BY next_run_at, uid LIMIT 16`, now)
	if err != nil {
		return nil, fmt.Errorf("claim a cluster: %w", err)
	}
	// Several engines may see the same row; the statement that changes it is where one of them wins.
	for _, uid := range due {
		var claim *Claim
		err := s.write(ctx, "claim cluster "+uid, func(t *tx) error {
			c, err := first(ctx, t, scanCluster, `UPDATE clusters SET lease_owner = $2, lease_until = $3, lease_epoch = lease_epoch + 1, wakes_seen = wakes
				WHERE uid = $1 AND deleted = 0 AND next_run_at <= $4 AND lease_until < $4 RETURNING `+clusterColumns,
				uid, owner, t.now+ttl.Microseconds(), t.now)
			if err == nil {
				claim = &Claim{Fence: Fence{Cluster: uid, Epoch: c.Lease.Epoch}, Current: c, Until: c.Lease.Until}
			}
			return err
		})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.hub.notify(uid, Clusters)
		return claim, nil
	}
	return nil, nil
}

// NextDue returns when the next cluster can be claimed; ok is false when none is waiting.
func (s *Store) NextDue(ctx context.Context) (at time.Time, ok bool, err error) {
	var due sql.NullInt64
	err = s.db.QueryRowContext(ctx, `SELECT MIN(CASE WHEN lease_until >= next_run_at THEN lease_until + 1 ELSE next_run_at END)
		FROM clusters WHERE deleted = 0`).Scan(&due)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("ask when the next cluster is due: %w", err)
	}
	return fromMicros(due.Int64), due.Valid, nil
}

// Check returns an error that wraps ErrFenced when the lease is lost. It is asked before every cloud call.
func (s *Store) Check(ctx context.Context, fence Fence) error {
	var epoch int64
	err := s.db.QueryRowContext(ctx, "SELECT lease_epoch FROM clusters WHERE uid = $1 AND lease_owner <> ''", fence.Cluster).Scan(&epoch)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("check the lease of cluster %s: %w", fence.Cluster, ErrFenced)
	case err != nil:
		return fmt.Errorf("check the lease of cluster %s: %w", fence.Cluster, err)
	case epoch != fence.Epoch:
		return fmt.Errorf("check the lease of cluster %s: %w: it was at epoch %d and is now at %d", fence.Cluster, ErrFenced, fence.Epoch, epoch)
	}
	return nil
}

// Renew makes the lease last ttl from now and returns its end. woken says whether somebody woke the cluster since the
// claim.
func (s *Store) Renew(ctx context.Context, fence Fence, ttl time.Duration) (until time.Time, woken bool, err error) {
	err = s.fenced(ctx, "renew the lease", fence, func(t *tx) error {
		var end, wakes, seen int64
		err := t.row("UPDATE clusters SET lease_until = $2 WHERE uid = $1 RETURNING lease_until, wakes, wakes_seen",
			fence.Cluster, t.now+ttl.Microseconds()).Scan(&end, &wakes, &seen)
		until, woken = fromMicros(end), wakes > seen
		return err
	})
	return until, woken, err
}

// Release gives the lease back. The next run is at the given time, or at once when somebody woke the cluster since the
// claim.
func (s *Store) Release(ctx context.Context, fence Fence, next time.Time) error {
	err := s.fenced(ctx, "release the lease", fence, func(t *tx) error {
		return t.one(`UPDATE clusters SET lease_owner = '', lease_until = 0,
			next_run_at = CASE WHEN wakes > wakes_seen THEN CAST($2 AS BIGINT) ELSE CAST($3 AS BIGINT) END WHERE uid = $1`, fence.Cluster, t.now, micros(next))
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Clusters)
	}
	return err
}

// Wake makes a cluster due now. During a run it is remembered until the run's end.
func (s *Store) Wake(ctx context.Context, uid string) error {
	err := s.write(ctx, "wake cluster "+uid, func(t *tx) error {
		if err := t.lockCluster(uid); err != nil {
			return err
		}
		return t.wake(uid)
	})
	if err == nil {
		s.hub.notify(uid, Clusters)
	}
	return err
}

func (t *tx) wake(uid string) error {
	return t.one(`UPDATE clusters SET wakes = wakes + 1,
		next_run_at = CASE WHEN next_run_at < $2 THEN next_run_at ELSE $2 END WHERE uid = $1 AND deleted = 0`, uid, t.now)
}

// Abandon ends the leases of an engine of this name that is surely dead, so that its work can be taken up at once. They
// lose their epoch with the next claim as any other lease.
func (s *Store) Abandon(ctx context.Context, owner string) error {
	return s.write(ctx, "end the leases of "+owner, func(t *tx) error {
		_, err := t.exec("UPDATE clusters SET lease_until = 0 WHERE lease_owner = $1 AND deleted = 0", owner)
		return err
	})
}
