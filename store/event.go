package store

import (
	"context"
	"fmt"
	"time"
)

// The types of events, as in Kubernetes.
const (
	Normal  = "Normal"
	Warning = "Warning"
)

// Event is one line for people about what happened.
type Event struct {
	// ID rises in the order in which events can be seen.
	ID int64
	// Cluster is the UID, empty for what is about no cluster.
	Cluster string
	Time    time.Time
	// Type is Normal or Warning.
	Type string
	// Reason is one word like "NodeJoined".
	Reason string
	// Object is what it is about: "node demo-web-1".
	Object  string
	Message string
}

const eventColumns = "id, cluster, time, type, reason, object, message"

// AddEvent writes an event. It needs no lease: what a late writer saw happened all the same.
func (s *Store) AddEvent(ctx context.Context, e Event) (Event, error) {
	if e.Type != Normal && e.Type != Warning {
		return Event{}, fmt.Errorf("add event %s: type %q; want Normal or Warning", e.Reason, e.Type)
	}
	err := s.write(ctx, "add event "+e.Reason, func(t *tx) error {
		var err error
		if e.ID, err = t.id(); err != nil {
			return err
		}
		e.Time = fromMicros(t.now)
		_, err = t.exec("INSERT INTO events ("+eventColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7)", e.ID, e.Cluster, t.now, e.Type, e.Reason, e.Object, e.Message)
		t.tell(topic{kind: FeedEvent, cluster: e.Cluster, id: e.ID})
		return err
	})
	if err != nil {
		return Event{}, err
	}
	s.hub.notify(e.Cluster, Events)
	return e, nil
}

// ListEvents returns up to limit events with ids above since, the oldest first. An empty cluster means all.
func (s *Store) ListEvents(ctx context.Context, cluster string, since int64, limit int) ([]Event, error) {
	return s.events(ctx, "SELECT "+eventColumns+" FROM events WHERE (cluster = $1 OR CAST($1 AS TEXT) = '') AND id > $2 ORDER BY id LIMIT $3", cluster, since, limit)
}

// LastEvents returns the last events, the oldest first. An empty cluster means all.
func (s *Store) LastEvents(ctx context.Context, cluster string, limit int) ([]Event, error) {
	return s.events(ctx, "SELECT * FROM (SELECT "+eventColumns+` FROM events WHERE cluster = $1 OR CAST($1 AS TEXT) = ''
		ORDER BY id DESC LIMIT $2) AS newest ORDER BY id`, cluster, limit)
}

func (s *Store) events(ctx context.Context, text string, args ...any) ([]Event, error) {
	all, err := query(ctx, s.db, scanEvent, text, args...)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return all, nil
}

func scanEvent(r row) (Event, error) {
	var e Event
	var at int64
	err := r.Scan(&e.ID, &e.Cluster, &at, &e.Type, &e.Reason, &e.Object, &e.Message)
	e.Time = fromMicros(at)
	return e, err
}

// PruneEvents forgets all but the last keep events of a cluster, or of those about no cluster when it is empty.
func (s *Store) PruneEvents(ctx context.Context, cluster string, keep int) error {
	return s.prune(ctx, oldEvents, cluster, keep)
}
