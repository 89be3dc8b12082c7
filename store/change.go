package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	// Approve is a Reconcile that may do what only people decide, such as making a lost control plane again of what is left; it is
	// over with its run.
	Approve ChangeKind = "approve"
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
	// Summary says in words what is asked for.
	Summary string
	// Created is when it was asked for, Begun when it was taken on, Ended when it got a final state.
	Created, Begun, Ended time.Time
	// Generation is that of the spec it led to, 0 until then.
	Generation int64
	// Run is the last run that worked on it, Tries how many have failed.
	Run, Tries int64
	// Successor is the change that took its place, of one that is superseded.
	Successor int64
	// Error is why the last try failed, or why it ended without being applied.
	Error string
}

// final says that nothing more becomes of it.
func (c Change) final() bool { return c.State != Queued && c.State != Applying }

const changeColumns = "id, cluster, kind, body, state, who, summary, created, begun, ended, generation, run, tries, successor, error"

// AddChange queues a change and wakes the cluster. One of kind Delete marks the cluster for deletion in the same moment, so
// that no run takes the one without the other, and takes the place of all that are queued; where one is under way already
// that is what it returns. Nothing else can be asked of a cluster that is to be deleted: the error wraps ErrConflict. Of
// the argument only Cluster, Kind, Body, Who and Summary are used. The Terms of the context hold.
func (s *Store) AddChange(ctx context.Context, c Change) (Change, error) {
	return s.queueChange(ctx, c, func(*tx) error { return nil })
}

// queueChange is AddChange that may be refused once the cluster is locked.
func (s *Store) queueChange(ctx context.Context, c Change, may func(*tx) error) (Change, error) {
	var out Change
	err := s.write(ctx, "queue a change of cluster "+c.Cluster, func(t *tx) (err error) {
		if err := t.lockCluster(c.Cluster); err != nil {
			return err
		}
		if err := t.holds(c.Cluster); err != nil {
			return err
		}
		if err := may(t); err != nil {
			return err
		}
		if out, err = t.underWay(c); err != nil {
			return err
		}
		if out.ID != 0 {
			return t.noteKeyed(out.ID)
		}
		if out, err = t.addChange(c); err != nil {
			return err
		}
		if err := t.noteKeyed(out.ID); err != nil {
			return err
		}
		if c.Kind == Delete {
			if err := t.requestDelete(c.Cluster); err != nil {
				return err
			}
			if err := t.supersedeQueued(out); err != nil {
				return err
			}
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

// underWay returns the deletion that is under way already where the same is asked for again, and refuses all else beside a
// deletion.
func (t *tx) underWay(c Change) (Change, error) {
	var requested int64
	if err := t.row("SELECT delete_requested FROM clusters WHERE uid = $1", c.Cluster).Scan(&requested); err != nil || requested == 0 {
		return Change{}, err
	}
	if c.Kind != Delete {
		return Change{}, fmt.Errorf("%w: the cluster is being deleted", ErrConflict)
	}
	if len(c.Body) > 0 { // it says more than that
		return Change{}, nil
	}
	was, err := first(t.ctx, t, scanChange, "SELECT "+changeColumns+` FROM changes WHERE cluster = $1 AND kind = $2
		AND state IN ($3, $4) ORDER BY id LIMIT 1`, c.Cluster, string(Delete), string(Queued), string(Applying))
	if errors.Is(err, ErrNotFound) {
		return Change{}, nil
	}
	return was, err
}

// supersedeQueued ends all queued changes but deletions in favour of a deletion.
func (t *tx) supersedeQueued(by Change) error {
	return t.changedIDs(func(id int64) { t.tellChange(by.Cluster, id) },
		"UPDATE changes SET state = $3, ended = $4, successor = $5, error = $6 WHERE cluster = $1 AND state = $2 AND kind <> $7 RETURNING id",
		by.Cluster, string(Queued), string(Superseded), t.now, by.ID, supersededByDelete(by.ID), string(Delete))
}

func supersededByDelete(id int64) string {
	return fmt.Sprintf("the cluster is being deleted by change %d", id)
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
	t.tellChange(c.Cluster, id)
	return first(t.ctx, t, scanChange, "INSERT INTO changes ("+changeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, 0, 0, '')
		RETURNING `+changeColumns, id, c.Cluster, string(c.Kind), body, string(Queued), c.Who, c.Summary, t.now)
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
		was, err := t.change(fence.Cluster, id)
		if err != nil {
			return err
		}
		if was.final() || state == Queued || state == Cancelled {
			return fmt.Errorf("%w: it is %s", ErrConflict, was.State)
		}
		return t.setChange(fence.Cluster, id, state, generation, 0, failure)
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Changes)
	}
	return err
}

// EndTry records how a run ended for all changes that are being applied: all are applied, or, where failure says why not,
// stay as they are until the next try. It returns them as they are then.
func (s *Store) EndTry(ctx context.Context, fence Fence, failure string) ([]Change, error) {
	var out []Change
	err := s.fenced(ctx, "end a try of the changes", fence, func(t *tx) error {
		state, ended, failed := Applied, t.now, 0
		if failure != "" {
			state, ended, failed = Applying, 0, 1
		}
		changed, err := query(ctx, t, scanChange, `UPDATE changes SET state = $3, ended = $4, tries = tries + CAST($5 AS BIGINT), error = $6
			WHERE cluster = $1 AND state = $2 RETURNING `+changeColumns, fence.Cluster, string(Applying), string(state), ended, failed, failure)
		slices.SortFunc(changed, func(a, b Change) int { return cmp.Compare(a.ID, b.ID) })
		for _, c := range changed {
			t.tellChange(fence.Cluster, c.ID)
		}
		out = changed
		if err != nil || failure != "" { // the next try comes by itself
			return err
		}
		var waiting bool
		if err := t.row("SELECT EXISTS (SELECT 1 FROM changes WHERE cluster = $1 AND state = $2)", fence.Cluster, string(Queued)).Scan(&waiting); err != nil || !waiting {
			return err
		}
		return t.wake(fence.Cluster)
	})
	if err != nil {
		return nil, err
	}
	if len(out) > 0 {
		s.hub.notify(fence.Cluster, Changes)
	}
	return out, nil
}

func (t *tx) change(cluster string, id int64) (Change, error) {
	return first(t.ctx, t, scanChange, "SELECT "+changeColumns+" FROM changes WHERE id = $1 AND cluster = $2", id, cluster)
}

// setChange writes a change's state; generation and successor stay as they are where 0 is given.
func (t *tx) setChange(cluster string, id int64, state ChangeState, generation, successor int64, failure string) error {
	t.tellChange(cluster, id)
	begun, ended := int64(0), t.now
	if state == Applying {
		begun, ended = t.now, 0
	}
	return t.one(`UPDATE changes SET state = $2, ended = $3, error = $4,
		generation = CASE WHEN CAST($5 AS BIGINT) = 0 THEN generation ELSE CAST($5 AS BIGINT) END,
		begun = CASE WHEN begun = 0 THEN CAST($6 AS BIGINT) ELSE begun END,
		successor = CASE WHEN CAST($7 AS BIGINT) = 0 THEN successor ELSE CAST($7 AS BIGINT) END WHERE id = $1`,
		id, string(state), ended, failure, generation, begun, successor)
}

func scanChange(r row) (Change, error) {
	var c Change
	var body string
	var created, begun, ended int64
	err := r.Scan(&c.ID, &c.Cluster, &c.Kind, &body, &c.State, &c.Who, &c.Summary, &created, &begun, &ended, &c.Generation, &c.Run, &c.Tries, &c.Successor, &c.Error)
	c.Body, c.Created, c.Begun, c.Ended = raw(body), fromMicros(created), fromMicros(begun), fromMicros(ended)
	return c, err
}
