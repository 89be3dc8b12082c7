package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Care is what is seen of a cluster between runs. It is no part of what runs write: neither overwrites the other, and
// whoever cares needs no lease of the cluster but a claim of this alone.
type Care struct {
	// Cluster is the UID.
	Cluster    string
	Conditions []Condition
	// Memory is the engine's own document.
	Memory json.RawMessage
}

// CareClaim is a cluster to look after.
type CareClaim struct {
	Care
	// Epoch rises with every claim; a later one makes this one's outcome void.
	Epoch int64
	// Current is the cluster at the moment of the claim, Now the database's time then.
	Current Cluster
	Now     time.Time
}

// careHorizon is far longer than any pause between two looks: what is due later than that was laid down by a clock that was
// set back since.
const careHorizon = time.Hour

// ClaimCare takes up to limit clusters that are due to be looked after, those that waited longest first. Each is due again
// after the time that pause gives, whoever looks then: one engine looks after a cluster at a time, and one that dies loses
// one look. Clusters that are being deleted are left out.
func (s *Store) ClaimCare(ctx context.Context, limit int, pause func() time.Duration) ([]CareClaim, error) {
	now, err := s.now(ctx, s.db)
	if err != nil {
		return nil, fmt.Errorf("look for clusters to care for: %w", err)
	}
	uids, err := query(ctx, s.db, scanString, "SELECT cluster FROM care WHERE (due <= $1 OR due > $2) AND cluster IN (SELECT uid FROM clusters WHERE delete_requested = 0 AND deleted = 0) ORDER BY due, cluster LIMIT $3", now, now+careHorizon.Microseconds(), limit)
	if err != nil || len(uids) == 0 {
		return nil, err
	}
	var out []CareClaim
	err = s.write(ctx, "take clusters to care for", func(t *tx) error {
		out = nil
		for _, uid := range uids {
			claim, err := t.claimCare(uid, t.now+careHorizon.Microseconds(), pause())
			if errors.Is(err, ErrNotFound) { // another engine was quicker
				continue
			}
			if err != nil {
				return err
			}
			out = append(out, claim)
		}
		return nil
	})
	return out, err
}

// ClaimCareOf takes one cluster to look after now, whoever looked last.
func (s *Store) ClaimCareOf(ctx context.Context, uid string, pause func() time.Duration) (CareClaim, error) {
	var out CareClaim
	err := s.write(ctx, "take cluster "+uid+" to care for", func(t *tx) (err error) {
		out, err = t.claimCare(uid, -1, pause())
		return err
	})
	return out, err
}

// claimCare takes a cluster that is due now, or later than a horizon.
func (t *tx) claimCare(uid string, horizon int64, pause time.Duration) (CareClaim, error) {
	claim, err := first(t.ctx, t, scanCareClaim, "UPDATE care SET due = $3, epoch = epoch + 1 WHERE (due <= $1 OR due > $2) AND cluster = $4 RETURNING "+careColumns+", epoch",
		t.now, horizon, t.now+pause.Microseconds(), uid)
	if err != nil {
		return claim, err
	}
	claim.Now = fromMicros(t.now)
	claim.Current, err = first(t.ctx, t, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", uid)
	return claim, err
}

// CareDue returns how long it is until the next cluster is to be looked after; ok is false when there is none.
func (s *Store) CareDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	in, ok, err = s.until(ctx, "SELECT MIN(due) - "+s.clock+" FROM care WHERE cluster IN (SELECT uid FROM clusters WHERE delete_requested = 0 AND deleted = 0)")
	if err != nil {
		err = fmt.Errorf("ask when the next cluster is to be cared for: %w", err)
	}
	return in, ok, err
}

// SetCare stores what was seen under a claim; the error wraps ErrFenced when somebody else looks after the cluster since.
// With wake the cluster becomes due now, unless it is paused, or a run is on or has begun since the claim: what that finds
// is newer. It is merely due: when a hundred clusters are in trouble at once, what people ask for still comes first. woken
// says whether it did.
func (s *Store) SetCare(ctx context.Context, claim CareClaim, conditions []Condition, memory json.RawMessage, wake bool) (woken bool, err error) {
	list, err := conditionList(conditions)
	if err != nil {
		return false, fmt.Errorf("care for cluster %s: %w", claim.Cluster, err)
	}
	document, err := asJSON(memory)
	if err != nil {
		return false, fmt.Errorf("care for cluster %s: %w", claim.Cluster, err)
	}
	err = s.write(ctx, "care for cluster "+claim.Cluster, func(t *tx) error {
		woken = false
		was, err := first(t.ctx, t, scanString, "SELECT conditions FROM care WHERE cluster = $1", claim.Cluster)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if was != list { // it is written twice a minute
			t.tellCluster(claim.Cluster)
		}
		n, err := t.exec("UPDATE care SET conditions = $3, memory = $4 WHERE cluster = $1 AND epoch = $2", claim.Cluster, claim.Epoch, list, document)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: another look at it has begun", ErrFenced)
		}
		if err != nil || !wake {
			return err
		}
		n, err = t.exec(`UPDATE clusters SET scheduled = $3, next_run_at = CASE WHEN next_run_at < $3 THEN next_run_at ELSE $3 END
			WHERE uid = $1 AND lease_epoch = $2 AND lease_owner = '' AND paused = 0 AND deleted = 0`, claim.Cluster, claim.Current.Lease.Epoch, t.now)
		woken = n == 1
		return err
	})
	if err == nil {
		s.hub.notify(claim.Cluster, Clusters)
	}
	return woken, err
}

// GetCare returns what was seen of a cluster, nothing of one that wasn't looked at yet or is deleted.
func (s *Store) GetCare(ctx context.Context, uid string) (Care, error) {
	c, err := first(ctx, s.db, scanCare, "SELECT "+careColumns+" FROM care WHERE cluster = $1", uid)
	if errors.Is(err, ErrNotFound) {
		return Care{Cluster: uid}, nil
	}
	if err != nil {
		return Care{}, fmt.Errorf("what is seen of cluster %s: %w", uid, err)
	}
	return c, nil
}

const careColumns = "cluster, conditions, memory"

func scanCare(r row) (Care, error) { return readCare(r) }

func scanCareClaim(r row) (c CareClaim, err error) {
	c.Care, err = readCare(r, &c.Epoch)
	return c, err
}

func readCare(r row, more ...any) (Care, error) {
	var c Care
	var conditions, memory string
	if err := r.Scan(append([]any{&c.Cluster, &conditions, &memory}, more...)...); err != nil {
		return c, err
	}
	c.Memory = raw(memory)
	if err := json.Unmarshal([]byte(conditions), &c.Conditions); err != nil {
		return c, fmt.Errorf("conditions of cluster %s: %w", c.Cluster, err)
	}
	return c, nil
}
