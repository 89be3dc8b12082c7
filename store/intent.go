package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// IntentState is what became of an intent.
type IntentState string

// The states of an intent. While it is open nobody knows whether the call had an effect.
const (
	IntentOpen   IntentState = "open"
	IntentDone   IntentState = "done"
	IntentFailed IntentState = "failed" // the call certainly had no effect
)

// Intent is written before a call that changes something in a cloud.
type Intent struct {
	ID      int64
	Cluster string
	// Key and Action ("create", "update", "delete") are what it is about.
	Key, Kind, Site, Region, Action string
	// Token is the same in every try: 32 of 0-9 a-f.
	Token             string
	State             IntentState
	Created, Resolved time.Time
	// ObjectID is the cloud's id of what came of it.
	ObjectID string
}

// Resource is a line of the ledger: something in a cloud that we made.
type Resource struct {
	Cluster                 string
	Key, Kind, Site, Region string
	// ID is the cloud's own id.
	ID string
	// Made is when the line was first written.
	Made time.Time
	// Object is the object as it was last seen, in the engine's form.
	Object json.RawMessage
}

// Resolution ends an intent.
type Resolution struct {
	State    IntentState
	ObjectID string
	// Put is a line that the ledger gets in the same transaction.
	Put *Resource
	// Remove takes the line of the intent's key out of the ledger, when it has the id ObjectID or that is empty.
	Remove bool
	// Reopen leaves another open intent of the same kind behind, which explains what an earlier try may still make: its
	// call may be on its way though its engine is dead.
	Reopen bool
}

const (
	intentColumns   = "id, cluster, key, kind, site, region, action, token, state, created, resolved, object_id"
	resourceColumns = "cluster, key, kind, site, region, id, made, object"
)

// OpenIntent writes an intent, or returns the open one of the same cluster, key and action with its token. Of the argument
// Key, Kind, Site, Region and Action are used.
func (s *Store) OpenIntent(ctx context.Context, fence Fence, i Intent) (Intent, error) {
	var out Intent
	err := s.fenced(ctx, "open an intent to "+i.Action+" "+i.Key, fence, func(t *tx) error {
		var err error
		out, err = first(ctx, t, scanIntent, "SELECT "+intentColumns+" FROM intents WHERE cluster = $1 AND key = $2 AND action = $3 AND state = 'open'",
			fence.Cluster, i.Key, i.Action)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return err
		}
		id, err := t.id()
		if err != nil {
			return err
		}
		out, err = first(ctx, t, scanIntent, "INSERT INTO intents ("+intentColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9, 0, '') RETURNING "+intentColumns,
			id, fence.Cluster, i.Key, i.Kind, i.Site, i.Region, i.Action, randomHex(16), t.now)
		return err
	})
	if err != nil {
		return Intent{}, err
	}
	return out, nil
}

// ResolveIntent ends an open intent and writes the ledger in the same transaction. The error wraps ErrConflict when it is
// resolved already.
func (s *Store) ResolveIntent(ctx context.Context, fence Fence, id int64, r Resolution) error {
	if r.State != IntentDone && r.State != IntentFailed {
		return fmt.Errorf("resolve intent %d: state %q; want done or failed", id, r.State)
	}
	err := s.fenced(ctx, fmt.Sprintf("resolve intent %d", id), fence, func(t *tx) error {
		i, err := first(ctx, t, scanIntent, "SELECT "+intentColumns+" FROM intents WHERE id = $1 AND cluster = $2", id, fence.Cluster)
		if err != nil {
			return err
		}
		if i.State != IntentOpen {
			return fmt.Errorf("%w: it is %s", ErrConflict, i.State)
		}
		if err := t.one("UPDATE intents SET state = $2, resolved = $3, object_id = $4 WHERE id = $1", id, string(r.State), t.now, r.ObjectID); err != nil {
			return err
		}
		if r.Remove {
			if _, err := t.exec("DELETE FROM resources WHERE cluster = $1 AND key = $2 AND (id = $3 OR CAST($3 AS TEXT) = '')", fence.Cluster, i.Key, r.ObjectID); err != nil {
				return err
			}
		}
		if r.Reopen {
			if err := t.reopen(i); err != nil {
				return err
			}
		}
		if r.Put != nil {
			return t.putResource(fence.Cluster, *r.Put)
		}
		return nil
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Resources)
	}
	return err
}

// ListOpenIntents returns a cluster's open intents in the order they were opened.
func (s *Store) ListOpenIntents(ctx context.Context, cluster string) ([]Intent, error) {
	all, err := query(ctx, s.db, scanIntent, "SELECT "+intentColumns+" FROM intents WHERE cluster = $1 AND state = 'open' ORDER BY id", cluster)
	if err != nil {
		return nil, fmt.Errorf("list open intents of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// PruneIntents forgets all but the last keep resolved intents of a cluster, and those that made something: receipts go by
// them.
func (s *Store) PruneIntents(ctx context.Context, cluster string, keep int) error {
	return s.prune(ctx, oldIntents, cluster, keep)
}

// PutResource writes a line of the ledger in place of one with the same key.
func (s *Store) PutResource(ctx context.Context, fence Fence, r Resource) error {
	err := s.fenced(ctx, "write resource "+r.Key, fence, func(t *tx) error { return t.putResource(fence.Cluster, r) })
	if err == nil {
		s.hub.notify(fence.Cluster, Resources)
	}
	return err
}

func (t *tx) putResource(cluster string, r Resource) error {
	object, err := asJSON(r.Object)
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO resources ("+resourceColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (cluster, key) DO UPDATE SET kind = excluded.kind, site = excluded.site, region = excluded.region,
		made = CASE WHEN resources.id = excluded.id THEN resources.made ELSE excluded.made END,
		id = excluded.id, object = excluded.object`,
		cluster, r.Key, r.Kind, r.Site, r.Region, r.ID, t.now, object)
	return err
}

// DeleteResource removes a line of the ledger. Removing one that isn't there is success.
func (s *Store) DeleteResource(ctx context.Context, fence Fence, key string) error {
	err := s.fenced(ctx, "forget resource "+key, fence, func(t *tx) error {
		_, err := t.exec("DELETE FROM resources WHERE cluster = $1 AND key = $2", fence.Cluster, key)
		return err
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Resources)
	}
	return err
}

// ListResources returns a cluster's ledger by key.
func (s *Store) ListResources(ctx context.Context, cluster string) ([]Resource, error) {
	all, err := query(ctx, s.db, scanResource, "SELECT "+resourceColumns+" FROM resources WHERE cluster = $1 ORDER BY key", cluster)
	if err != nil {
		return nil, fmt.Errorf("list resources of cluster %s: %w", cluster, err)
	}
	return all, nil
}

func scanIntent(r row) (Intent, error) {
	var v Intent
	var created, resolved int64
	err := r.Scan(&v.ID, &v.Cluster, &v.Key, &v.Kind, &v.Site, &v.Region, &v.Action, &v.Token, &v.State, &created, &resolved, &v.ObjectID)
	v.Created, v.Resolved = fromMicros(created), fromMicros(resolved)
	return v, err
}

func scanResource(r row) (Resource, error) {
	var v Resource
	var made int64
	var object string
	err := r.Scan(&v.Cluster, &v.Key, &v.Kind, &v.Site, &v.Region, &v.ID, &made, &object)
	v.Made, v.Object = fromMicros(made), raw(object)
	return v, err
}
