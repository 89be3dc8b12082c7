package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// ChangeKind says what was asked for.
type ChangeKind string

// The kinds of changes.
const (
	Apply      ChangeKind = "apply"
	NodeAdd    ChangeKind = "node-add"
	NodeRemove ChangeKind = "node-remove"
	Reconcile  ChangeKind = "reconcile"
	Delete     ChangeKind = "delete"
)

// ChangeState is how far a change is.
type ChangeState string

// The states of a change. The last four are final.
const (
	Queued     ChangeState = "queued"
	Applying   ChangeState = "applying"
	Applied    ChangeState = "applied"
	Failed     ChangeState = "failed"
	Superseded ChangeState = "superseded"
	Cancelled  ChangeState = "cancelled"
)

// Change is one thing asked for by a user.
type Change struct {
	ID int64
	// Cluster is the UID.
	Cluster string
	Kind    ChangeKind
	// Body is what was asked, in the engine's own form for the kind.
	Body  json.RawMessage
	State ChangeState
	Who   string
	// Created is when it was asked for, Ended when it got a final state.
	Created, Ended time.Time
	// Generation is that of the spec it led to, 0 until then.
	Generation int64
	Error      string
}

const changeColumns = "id, cluster, kind, body, state, who, created, ended, generation, error"

// AddChange queues a change and wakes the cluster; one of kind Delete marks the cluster for deletion in the same moment, so
// that no run takes the one without the other. Of the argument only Cluster, Kind, Body and Who are used.
func (s *Store) AddChange(ctx context.Context, c Change) (Change, error) {
	var out Change
	err := s.write(ctx, "queue a change of cluster "+c.Cluster, func(t *tx) (err error) {
		if err := t.lockCluster(c.Cluster); err != nil {
			return err
		}
		if c.Kind == Delete {
			if err := t.requestDelete(c.Cluster); err != nil {
				return err
			}
		}
		if out, err = t.addChange(c); err != nil {
			return err
		}
		return t.wake(c.Cluster)
	})
	if err != nil {
		return Change{}, err
	}
	s.hub.notify(c.Cluster, Changes)
	if c.Kind == Delete {
		s.hub.notify(c.Cluster, Clusters)
	}
	return out, nil
}

func (t *tx) addChange(c Change) (Change, error) {
	body, err := asJSON(c.Body)
	if err != nil {
		return Change{}, err
	}
	id, err := t.id()
	if err != nil {
		return Change{}, err
	}
	return first(t.ctx, t, scanChange, "INSERT INTO changes ("+changeColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, '') RETURNING "+changeColumns,
		id, c.Cluster, string(c.Kind), body, string(Queued), c.Who, t.now)
}

// GetChange returns a change.
func (s *Store) GetChange(ctx context.Context, id int64) (Change, error) {
	c, err := first(ctx, s.db, scanChange, "SELECT "+changeColumns+" FROM changes WHERE id = $1", id)
	if err != nil {
		return Change{}, fmt.Errorf("change %d: %w", id, err)
	}
	return c, nil
}

// ListChanges returns a cluster's changes in the order they were asked for, of the given states, or all.
func (s *Store) ListChanges(ctx context.Context, cluster string, states ...ChangeState) ([]Change, error) {
	text, args := "SELECT "+changeColumns+" FROM changes WHERE cluster = $1", []any{cluster}
	if len(states) > 0 {
		text += " AND state IN (" + placeholders(2, len(states)) + ")"
		for _, state := range states {
			args = append(args, string(state))
		}
	}
	all, err := query(ctx, s.db, scanChange, text+" ORDER BY id", args...)
	if err != nil {
		return nil, fmt.Errorf("list changes of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// SetChange moves a change on: queued to any state but cancelled, applying to any final one but cancelled. generation is
// the spec's that it led to, 0 for none yet. The error wraps ErrConflict when the change is final already.
func (s *Store) SetChange(ctx context.Context, fence Fence, id int64, state ChangeState, generation int64, failure string) error {
	err := s.fenced(ctx, fmt.Sprintf("set change %d to %s", id, state), fence, func(t *tx) error {
		was, err := first(ctx, t, scanChange, "SELECT "+changeColumns+" FROM changes WHERE id = $1 AND cluster = $2", id, fence.Cluster)
		if err != nil {
			return err
		}
		if was.State != Queued && was.State != Applying || state == Queued || state == Cancelled {
			return fmt.Errorf("%w: it is %s", ErrConflict, was.State)
		}
		ended := t.now
		if state == Applying {
			ended = 0
		}
		return t.one(`UPDATE changes SET state = $2, ended = $3, error = $4,
			generation = CASE WHEN CAST($5 AS BIGINT) = 0 THEN generation ELSE CAST($5 AS BIGINT) END WHERE id = $1`,
			id, string(state), ended, failure, generation)
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Changes)
	}
	return err
}

// CancelChange takes a change back that is still queued; else the error wraps ErrConflict.
func (s *Store) CancelChange(ctx context.Context, id int64) error {
	var cluster string
	err := s.write(ctx, fmt.Sprintf("cancel change %d", id), func(t *tx) error {
		was, err := first(ctx, t, scanChange, "SELECT "+changeColumns+" FROM changes WHERE id = $1", id)
		if err != nil {
			return err
		}
		cluster = was.Cluster
		// A run that is about to take it on holds the cluster's row.
		if err := t.lockCluster(cluster); err != nil {
			return err
		}
		n, err := t.exec("UPDATE changes SET state = $2, ended = $3 WHERE id = $1 AND state = $4", id, string(Cancelled), t.now, string(Queued))
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: it is %s, and only a queued change can be cancelled", ErrConflict, was.State)
		}
		return err
	})
	if err == nil {
		s.hub.notify(cluster, Changes)
	}
	return err
}

func scanChange(r row) (Change, error) {
	var c Change
	var body string
	var created, ended int64
	err := r.Scan(&c.ID, &c.Cluster, &c.Kind, &body, &c.State, &c.Who, &created, &ended, &c.Generation, &c.Error)
	c.Body, c.Created, c.Ended = raw(body), fromMicros(created), fromMicros(ended)
	return c, err
}
