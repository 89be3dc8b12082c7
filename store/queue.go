package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/skyweld/skyweld/spec"
)

// Queue is a cluster at one moment with what is asked of it and not done yet, in the order it was asked for. Each change's
// body is the spec after it and all before it, so what is made from a queue holds only as long as the queue is the same;
// the methods that take one make sure of that, and their errors wrap ErrConflict when it is not: look again then.
type Queue struct {
	Cluster  Cluster
	Applying []Change
	Waiting  []Change
}

// GetQueue returns a cluster's queue.
func (s *Store) GetQueue(ctx context.Context, uid string) (Queue, error) {
	// The changes are read first: one that is taken on in between is then both waiting and in force, which is the same spec.
	all, err := s.ListChanges(ctx, uid, Queued, Applying)
	if err != nil {
		return Queue{}, err
	}
	var q Queue
	for _, c := range all {
		if c.State == Queued {
			q.Waiting = append(q.Waiting, c)
		} else {
			q.Applying = append(q.Applying, c)
		}
	}
	q.Cluster, err = s.GetClusterByUID(ctx, uid)
	return q, err
}

// same makes sure that the spec in force and the waiting changes are those that were seen.
func (t *tx) same(seen Queue) error {
	c := seen.Cluster
	var generation int64
	if err := t.row("SELECT generation FROM clusters WHERE uid = $1", c.UID).Scan(&generation); err != nil {
		return err
	}
	if generation != c.Generation {
		return fmt.Errorf("%w: its generation was %d and is now %d", ErrConflict, c.Generation, generation)
	}
	ids, err := query(t.ctx, t, scanID, "SELECT id FROM changes WHERE cluster = $1 AND state = $2 ORDER BY id", c.UID, string(Queued))
	if err != nil {
		return err
	}
	if !slices.EqualFunc(ids, seen.Waiting, func(id int64, w Change) bool { return id == w.ID }) {
		return fmt.Errorf("%w: other changes are queued now than were before", ErrConflict)
	}
	return nil
}

func scanID(r row) (int64, error) {
	var id int64
	err := r.Scan(&id)
	return id, err
}

// QueueChange is AddChange for one whose body was made from what was seen.
func (s *Store) QueueChange(ctx context.Context, seen Queue, c Change) (Change, error) {
	return s.queueChange(ctx, c, func(t *tx) error { return t.same(seen) })
}

// Move is what becomes of one waiting or applying change.
type Move struct {
	ID int64
	// State is the new one. Queued leaves it where it is, with another body.
	State ChangeState
	// Spec becomes the one in force, as the next generation; nil leaves what is in force.
	Spec *spec.Cluster
	// Body takes the place of a waiting change's, where one before it in the queue is gone.
	Body json.RawMessage
	// Successor is the change in its place, of one that is superseded.
	Successor int64
	Error     string
}

// TakeChanges makes all moves, in their order, or none of them, and returns the queue after it.
func (s *Store) TakeChanges(ctx context.Context, fence Fence, seen Queue, moves []Move) (Queue, error) {
	err := s.fenced(ctx, "take changes on", fence, func(t *tx) error {
		if err := t.same(seen); err != nil {
			return err
		}
		return t.move(fence.Cluster, moves)
	})
	if err != nil {
		return Queue{}, err
	}
	s.hub.notify(fence.Cluster, Changes)
	s.hub.notify(fence.Cluster, Clusters)
	return s.GetQueue(ctx, fence.Cluster)
}

func (t *tx) move(cluster string, moves []Move) error {
	for _, m := range moves {
		was, err := t.change(cluster, m.ID)
		if err != nil {
			return err
		}
		if was.final() || was.State == Applying && m.State == Queued {
			return fmt.Errorf("%w: change %d is %s", ErrConflict, m.ID, was.State)
		}
		if m.Body != nil {
			if err := t.one("UPDATE changes SET body = $2 WHERE id = $1", m.ID, string(m.Body)); err != nil {
				return err
			}
		}
		if m.State == Queued {
			continue
		}
		generation := int64(0)
		if m.Spec != nil {
			if generation, err = t.updateSpec(cluster, m.Spec, was.Who); err != nil {
				return err
			}
		} else if m.State == Applying && was.State == Queued {
			if err := t.row("SELECT generation FROM clusters WHERE uid = $1", cluster).Scan(&generation); err != nil {
				return err
			}
		}
		if err := t.setChange(cluster, m.ID, m.State, generation, m.Successor, m.Error); err != nil {
			return err
		}
	}
	return nil
}

// CancelChange takes a change back that is still queued; what it says of those after it is moved with it. Only Queued moves
// are for it. The error wraps ErrConflict when it is no longer queued, too.
func (s *Store) CancelChange(ctx context.Context, seen Queue, id int64, who string, moves []Move) (Change, error) {
	cluster := seen.Cluster.UID
	var out Change
	err := s.write(ctx, fmt.Sprintf("cancel change %d", id), func(t *tx) error {
		// A run that is about to take it on holds the cluster's row.
		if err := t.lockCluster(cluster); err != nil {
			return err
		}
		was, err := t.change(cluster, id)
		if err != nil {
			return err
		}
		if was.Kind == Delete {
			return fmt.Errorf("%w: a deletion that was asked for can't be called back", ErrConflict)
		}
		if was.State != Queued {
			return fmt.Errorf("%w: it is %s, and only a queued change can be cancelled", ErrConflict, was.State)
		}
		if err := t.same(seen); err != nil {
			return err
		}
		if slices.ContainsFunc(moves, func(m Move) bool { return m.State != Queued }) {
			return errors.New("those after it stay queued")
		}
		if err := t.move(cluster, moves); err != nil {
			return err
		}
		if err := t.setChange(cluster, id, Cancelled, 0, 0, "by "+who); err != nil {
			return err
		}
		if err := t.noteKeyed(id); err != nil {
			return err
		}
		out, err = t.change(cluster, id)
		return err
	})
	if err == nil {
		s.hub.notify(cluster, Changes)
	}
	return out, err
}
