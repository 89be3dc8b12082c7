package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Waiting is a cluster that may run and that nobody works on.
type Waiting struct {
	// Cluster is the UID.
	Cluster string
	// Next is when its next run is due, Set when that was laid down, both by the database's clock. A Set that lies in the
	// future says that the clock was set back since.
	Next, Set time.Time
	// Asked says that somebody waits for the run.
	Asked bool
}

// leaseSlack is how far the clock must have been set back until leases are held against that.
const leaseSlack = time.Minute

// Reschedule lets f say which of the waiting clusters are to run at another time, and moves these: a cluster that was
// claimed, woken or moved by another engine meanwhile stays as it is. It returns how many were moved.
//
// Leases that were taken by a later clock than the present one's get the rest of their time anew: else a dead engine would
// hold its clusters for as long as the clock was set back. What was made by a later clock counts as made now: else it would
// be taken to be there for as long, whatever lists show.
func (s *Store) Reschedule(ctx context.Context, f func(now time.Time, all []Waiting) map[string]time.Time) (moved int, err error) {
	now, err := s.now(ctx, s.db)
	if err != nil {
		return 0, fmt.Errorf("reschedule: %w", err)
	}
	if err := errors.Join(s.mendLeases(ctx, now), s.mendLedger(ctx, now)); err != nil {
		return 0, err
	}
	all, err := query(ctx, s.db, func(r row) (Waiting, error) {
		var w Waiting
		var next, set int64
		var first int
		err := r.Scan(&w.Cluster, &next, &set, &first)
		w.Next, w.Set, w.Asked = fromMicros(next), fromMicros(set), first == 1
		return w, err
	}, "SELECT uid, next_run_at, scheduled, CASE WHEN "+asked+" THEN 1 ELSE 0 END FROM clusters WHERE "+mayRun+" AND lease_until < $1 ORDER BY next_run_at, uid", now)
	if err != nil {
		return 0, fmt.Errorf("reschedule: %w", err)
	}
	to := f(fromMicros(now), all)
	if len(to) == 0 {
		return 0, nil
	}
	err = s.write(ctx, "reschedule", func(t *tx) error {
		moved = 0
		for _, w := range all { // in one order, so that two engines don't wait for each other
			next, ok := to[w.Cluster]
			if !ok {
				continue
			}
			n, err := t.exec(`UPDATE clusters SET next_run_at = $2, scheduled = $3
				WHERE uid = $1 AND next_run_at = $4 AND scheduled = $5 AND lease_until < $3 AND deleted = 0`,
				w.Cluster, micros(next), t.now, micros(w.Next), micros(w.Set))
			if err != nil {
				return err
			}
			moved += int(n)
		}
		return nil
	})
	return moved, err
}

func (s *Store) mendLeases(ctx context.Context, now int64) error {
	const later = "deleted = 0 AND lease_until > 0 AND scheduled > $1"
	var n int
	err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM clusters WHERE "+later, now+leaseSlack.Microseconds()).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	return s.write(ctx, "mend the leases of a clock that was set back", func(t *tx) error {
		_, err := t.exec("UPDATE clusters SET lease_until = $2 + lease_until - scheduled, scheduled = $2 WHERE "+later, t.now+leaseSlack.Microseconds(), t.now)
		return err
	})
}

func (s *Store) mendLedger(ctx context.Context, now int64) error {
	const later = "made > $1"
	var n int
	err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM resources WHERE "+later, now+leaseSlack.Microseconds()).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	return s.write(ctx, "mend the ledger of a clock that was set back", func(t *tx) error {
		_, err := t.exec("UPDATE resources SET made = $2 WHERE "+later, t.now+leaseSlack.Microseconds(), t.now)
		return err
	})
}
