package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// FeedKind says what a line of the feed is about.
type FeedKind string

// The kinds of lines, each with what its data holds.
const (
	FeedChange  FeedKind = "change"  // a Change without its body
	FeedRun     FeedKind = "run"     // a FeedOfRun
	FeedStep    FeedKind = "step"    // a Step
	FeedEvent   FeedKind = "event"   // an Event
	FeedCluster FeedKind = "cluster" // a FeedOfCluster
	FeedDeleted FeedKind = "deleted" // a FeedOfCluster, the last of it
)

// FeedLine is one thing that changed, as it was when it did. It is written in the transaction that changed it: there is one
// line for every state that could be seen, in the order in which they could.
type FeedLine struct {
	// ID rises in the order in which lines can be seen: who has read up to an id never misses a smaller one.
	ID   int64
	Time time.Time
	// Cluster is the UID, Name the cluster's; both are empty for what is about no cluster.
	Cluster, Name string
	Kind          FeedKind
	Data          json.RawMessage
}

// FeedOfRun is a run and how many steps it has.
type FeedOfRun struct {
	Run
	Total, Done int
}

// FeedOfCluster is how a cluster is: what its last run left, and what was seen since.
type FeedOfCluster struct {
	Generation               int64
	Phase                    Phase
	Conditions, Seen         []Condition
	Created                  time.Time
	DeleteRequested, Deleted time.Time
	NextRun                  time.Time
	Paused                   *Pause
}

// topic is something that a transaction changes.
type topic struct {
	kind FeedKind
	// cluster is the UID; id and step are the thing's own, as far as it has them.
	cluster string
	id      int64
	step    string
}

// tell notes that the feed is to say what becomes of something in this transaction. It is read at the end: nobody could have
// seen what it was in between.
func (t *tx) tell(which topic) {
	if !slices.Contains(t.topics, which) {
		t.topics = append(t.topics, which)
	}
}

func (t *tx) tellChange(cluster string, id int64) {
	t.tell(topic{kind: FeedChange, cluster: cluster, id: id})
}

func (t *tx) tellRun(cluster string, id int64) {
	t.tell(topic{kind: FeedRun, cluster: cluster, id: id})
}

func (t *tx) tellStep(cluster string, run int64, step string) {
	t.tell(topic{kind: FeedStep, cluster: cluster, id: run, step: step})
}

func (t *tx) tellCluster(uid string) { t.tell(topic{kind: FeedCluster, cluster: uid}) }

// changedIDs runs an UPDATE that ends with "RETURNING id" and tells of each row.
func (t *tx) changedIDs(tell func(id int64), text string, args ...any) error {
	ids, err := query(t.ctx, t, scanID, text, args...)
	slices.Sort(ids)
	for _, id := range ids {
		tell(id)
	}
	return err
}

// writeFeed writes what was told. It is the last thing in a transaction, because the row of ids stays locked from then on:
// who takes its locks in this order is in nobody's way.
func (t *tx) writeFeed() error {
	if len(t.topics) == 0 {
		return nil
	}
	var last int64
	if err := t.row("UPDATE ids SET last = last + $1 WHERE one = 1 RETURNING last", len(t.topics)).Scan(&last); err != nil {
		return err
	}
	names := map[string]string{"": ""}
	for i, which := range t.topics {
		name, known := names[which.cluster]
		if !known {
			err := t.row("SELECT name FROM clusters WHERE uid = $1", which.cluster).Scan(&name)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			names[which.cluster] = name
		}
		v, err := t.stateOf(which)
		if err != nil {
			return fmt.Errorf("the feed's line of %s %d%s: %w", which.kind, which.id, which.step, err)
		}
		data, err := asJSON(v)
		if err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO feed ("+feedColumns+") VALUES ($1, $2, $3, $4, $5, $6)",
			last-int64(len(t.topics)-1-i), t.now, which.cluster, name, string(which.kind), data); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) stateOf(which topic) (any, error) {
	switch which.kind {
	case FeedChange:
		c, err := first(t.ctx, t, scanChange, "SELECT "+changeColumns+" FROM changes WHERE id = $1", which.id)
		c.Body = nil
		return c, err
	case FeedRun:
		var out FeedOfRun
		var err error
		if out.Run, err = first(t.ctx, t, scanRun, "SELECT "+runColumns+" FROM runs WHERE id = $1", which.id); err != nil {
			return nil, err
		}
		err = t.row("SELECT COUNT(*), COUNT(CASE WHEN state = 'done' THEN 1 END) FROM steps WHERE run = $1", which.id).Scan(&out.Total, &out.Done)
		return out, err
	case FeedStep:
		return first(t.ctx, t, scanStep, "SELECT "+stepColumns+" FROM steps WHERE run = $1 AND id = $2", which.id, which.step)
	case FeedEvent:
		return first(t.ctx, t, scanEvent, "SELECT "+eventColumns+" FROM events WHERE id = $1", which.id)
	}
	c, err := first(t.ctx, t, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", which.cluster)
	if err != nil {
		return nil, err
	}
	care, err := first(t.ctx, t, scanCare, "SELECT "+careColumns+" FROM care WHERE cluster = $1", which.cluster)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return FeedOfCluster{
		Generation: c.Generation, Phase: c.Phase, Conditions: c.Conditions, Seen: care.Conditions, Created: c.Created,
		DeleteRequested: c.DeleteRequested, Deleted: c.Deleted, NextRun: c.NextRun, Paused: c.Paused,
	}, nil
}

const feedColumns = "id, time, cluster, name, kind, data"

// ReadFeed returns up to limit lines with ids above since, in their order, of clusters of that name; of all when it is empty.
// The error wraps ErrPruned when lines after since were pruned, or since is an id that there has not been yet.
func (s *Store) ReadFeed(ctx context.Context, name string, since int64, limit int) ([]FeedLine, error) {
	lines, err := query(ctx, s.db, func(r row) (FeedLine, error) {
		var l FeedLine
		var at int64
		var data string
		err := r.Scan(&l.ID, &at, &l.Cluster, &l.Name, &l.Kind, &data)
		l.Time, l.Data = fromMicros(at), raw(data)
		return l, err
	}, "SELECT "+feedColumns+" FROM feed WHERE id > $1 AND (name = $2 OR CAST($2 AS TEXT) = '') ORDER BY id LIMIT $3", since, name, limit)
	if err != nil {
		return nil, fmt.Errorf("read the feed: %w", err)
	}
	// Asked afterwards: what was pruned in between is missed no less.
	var pruned sql.NullInt64
	var last int64
	if err := s.db.QueryRowContext(ctx, "SELECT ids.last, (SELECT feed_pruned.last FROM feed_pruned) FROM ids").Scan(&last, &pruned); err != nil {
		return nil, fmt.Errorf("read the feed: %w", plainly(err))
	}
	if since < pruned.Int64 || since > last {
		return nil, fmt.Errorf("read the feed after %d: %w", since, ErrPruned)
	}
	return lines, nil
}

// ErrPruned means that the feed can't be read on from there: whoever gets it loads all anew.
var ErrPruned = errors.New("the feed doesn't reach back that far")

// FeedEnd returns the id that the feed can be read on from now.
func (s *Store) FeedEnd(ctx context.Context) (int64, error) {
	var last int64
	if err := s.db.QueryRowContext(ctx, "SELECT last FROM ids").Scan(&last); err != nil {
		return 0, fmt.Errorf("ask for the end of the feed: %w", plainly(err))
	}
	return last, nil
}

// PruneFeed forgets what is that old or older.
func (s *Store) PruneFeed(ctx context.Context, age time.Duration) error {
	return s.write(ctx, "prune the feed", func(t *tx) error {
		var last sql.NullInt64
		if err := t.row("SELECT MAX(id) FROM feed WHERE time <= $1", t.now-age.Microseconds()).Scan(&last); err != nil || !last.Valid {
			return err
		}
		if _, err := t.exec("INSERT INTO feed_pruned (one, last) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET last = excluded.last", last.Int64); err != nil {
			return err
		}
		_, err := t.exec("DELETE FROM feed WHERE id <= $1", last.Int64)
		return err
	})
}

// bell rings for all who wait, and keeps nothing for them.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// FeedGrows returns a channel that is closed as soon as something is written to the feed through this Store. What other
// engines write isn't heard.
func (s *Store) FeedGrows() <-chan struct{} { return s.fed.wait() }
