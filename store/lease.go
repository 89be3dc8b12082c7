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
	// Asked says that somebody waits for the run; else it was merely due.
	Asked bool
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

// mayRun holds for clusters that runs may be about: a pause holds off everything but a deletion.
const mayRun = "deleted = 0 AND (paused = 0 OR delete_requested > 0)"

// asked holds for clusters whose run somebody waits for: one that asked for something since the last claim, for a change whose
// first try was broken off, or for the deletion. The others are merely due.
const asked = `(wakes > wakes_seen OR delete_requested > 0 OR
	EXISTS (SELECT 1 FROM changes WHERE changes.cluster = clusters.uid AND changes.state = 'applying' AND changes.tries = 0))`

// ClaimCluster takes the lease of a cluster that is due and has none: first those of which something is asked, then those
// that are merely due, and of either the one that is due for the longest time. It returns nil when there is no such cluster.
// owner names the engine.
func (s *Store) ClaimCluster(ctx context.Context, owner string, ttl time.Duration) (*Claim, error) {
	return s.claim(ctx, owner, ttl, mayRun)
}

// ClaimAsked is ClaimCluster for clusters of which something is asked, and for no others.
func (s *Store) ClaimAsked(ctx context.Context, owner string, ttl time.Duration) (*Claim, error) {
	return s.claim(ctx, owner, ttl, mayRun+" AND "+asked)
}

func (s *Store) claim(ctx context.Context, owner string, ttl time.Duration, which string) (*Claim, error) {
	if owner == "" {
		return nil, errors.New("claim a cluster: the owner has no name")
	}
	now, err := s.now(ctx, s.db)
	if err != nil {
		return nil, fmt.Errorf("claim a cluster: %w", err)
	}
	due, err := query(ctx, s.db, scanCandidate, "SELECT uid, CASE WHEN "+asked+" THEN 1 ELSE 0 END AS first FROM clusters WHERE "+which+
		" AND next_run_at <= $1 AND lease_until < $1 ORDER BY first DESC, next_run_at, uid LIMIT 16", now)
	if err != nil {
		return nil, fmt.Errorf("claim a cluster: %w", err)
	}
	// Several engines may see the same row; the statement that changes it is where one of them wins. One that can't be read
	// keeps nobody from the others.
	var failed error
	for _, d := range due {
		var claim *Claim
		err := s.write(ctx, "claim cluster "+d.uid, func(t *tx) error {
			c, err := first(ctx, t, scanCluster, `UPDATE clusters SET lease_owner = $2, lease_until = $3, lease_epoch = lease_epoch + 1, wakes_seen = wakes, scheduled = $4
				WHERE uid = $1 AND `+which+` AND next_run_at <= $4 AND lease_until < $4 RETURNING `+clusterColumns,
				d.uid, owner, t.now+ttl.Microseconds(), t.now)
			if err == nil {
				claim = &Claim{Fence: Fence{Cluster: d.uid, Epoch: c.Lease.Epoch}, Current: c, Until: c.Lease.Until, Asked: d.asked}
			}
			return err
		})
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		s.hub.notify(d.uid, Clusters)
		return claim, nil
	}
	return nil, failed
}

type candidate struct {
	uid   string
	asked bool
}

func scanCandidate(r row) (candidate, error) {
	var c candidate
	var first int
	err := r.Scan(&c.uid, &first)
	c.asked = first == 1
	return c, err
}

// NextDue returns how long it is until the next cluster can be claimed, by the database's clock; it is negative for one that
// can be already. ok is false when none is waiting.
func (s *Store) NextDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	in, ok, err = s.until(ctx, "SELECT MIN(CASE WHEN lease_until >= next_run_at THEN lease_until + 1 ELSE next_run_at END) - "+s.clock+" FROM clusters WHERE "+mayRun)
	if err != nil {
		err = fmt.Errorf("ask when the next cluster is due: %w", err)
	}
	return in, ok, err
}

// until returns the number of microseconds that a query gives, as a time; ok is false for none.
func (s *Store) until(ctx context.Context, text string) (in time.Duration, ok bool, err error) {
	var left sql.NullInt64
	err = s.db.QueryRowContext(ctx, text).Scan(&left)
	return time.Duration(left.Int64) * time.Microsecond, left.Valid, err
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
		err := t.row("UPDATE clusters SET lease_until = $2, scheduled = $3 WHERE uid = $1 RETURNING lease_until, wakes, wakes_seen",
			fence.Cluster, t.now+ttl.Microseconds(), t.now).Scan(&end, &wakes, &seen)
		until, woken = fromMicros(end), wakes > seen
		return err
	})
	return until, woken, err
}

// Release gives the lease back. The next run is after the given time, or at once when somebody woke the cluster since the
// claim.
func (s *Store) Release(ctx context.Context, fence Fence, in time.Duration) error {
	err := s.fenced(ctx, "release the lease", fence, func(t *tx) error {
		t.tellCluster(fence.Cluster) // its next run
		return t.one(`UPDATE clusters SET lease_owner = '', lease_until = 0, scheduled = $2,
			next_run_at = CASE WHEN wakes > wakes_seen THEN CAST($2 AS BIGINT) ELSE CAST($3 AS BIGINT) END WHERE uid = $1`, fence.Cluster, t.now, t.now+in.Microseconds())
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

// wake leaves what tells that a lease was taken by a later clock.
func (t *tx) wake(uid string) error {
	return t.one(`UPDATE clusters SET wakes = wakes + 1, scheduled = CASE WHEN lease_until > 0 AND scheduled > $2 THEN scheduled ELSE $2 END,
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
