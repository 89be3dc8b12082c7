// Package store remembers what users asked for and what the engine did: accounts, clusters, changes, runs, intents, the
// ledger, events, on SQLite or PostgreSQL with the same queries. It is a memory and never the proof that something exists
// in a cloud; that is what observing is for.
//
// Everything about a cluster is written under its lease: the Fence of the claim is checked in the same transaction, and a
// writer whose lease was taken over gets ErrFenced. What users ask for (accounts, new clusters, changes, deletion, wakes)
// and events need no lease.
//
// Each transaction also tells the feed what it changed, which streams are made of (feed.go). Times are those of the
// database's clock. The tables are described in migrations/, and package store/storetest is what both databases must pass.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skyweld/skyweld/internal/memo"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/spec"
)

// Errors that callers act upon. They are wrapped with what was being done.
var (
	ErrNotFound = errors.New("not found")
	// ErrExists means that the name is taken.
	ErrExists = errors.New("exists already")
	// ErrInUse means that something else still needs what was to be removed.
	ErrInUse = errors.New("in use")
	// ErrConflict means that the thing was changed since it was read, or is in a state that doesn't allow this.
	ErrConflict = errors.New("changed meanwhile")
	// ErrFenced means that the cluster's lease was lost: whoever gets it must stop.
	ErrFenced = errors.New("the cluster's lease is lost")
)

// Store is an open database. It may be used from many goroutines.
type Store struct {
	db  *sql.DB
	box *secret.Box
	dialect
	hub hub
	fed bell
	// around stands around every write.
	around func(ctx context.Context, what string, write func() error) error
	// specs and counts remember what lists of all clusters show again and again: specs, and the steps of runs that have ended.
	specs  memo.Memo[*spec.Cluster]
	counts memo.Memo[StepCount]
}

// dialect is all that differs between the databases in queries.
type dialect struct {
	name string
	// clock is an expression for the database's time in microseconds since 1970.
	clock string
	// tables lists all tables, and snapshot is how isolated a transaction is that reads all of them.
	tables   string
	snapshot sql.IsolationLevel
	// lock ends a SELECT whose rows must not change before the transaction ends; SQLite has one writer at a time anyway.
	lock string
	// closed counts whether the audit log can't be changed, and appendOnlyBy are the statements that see to it.
	closed       string
	appendOnlyBy []string
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Dialect returns "sqlite" or "postgres".
func (s *Store) Dialect() string { return s.name }

// Now returns the database's time, which leases and next runs go by.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.now(ctx, s.db)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the database for the time: %w", err)
	}
	return fromMicros(now), nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (s *Store) now(ctx context.Context, q querier) (int64, error) {
	var now int64
	err := q.QueryRowContext(ctx, "SELECT "+s.clock).Scan(&now)
	return now, err
}

// tx is a transaction with the database's time at its beginning.
type tx struct {
	*sql.Tx
	s   *Store
	ctx context.Context
	now int64
	// topics are what the feed is to say something of.
	topics []topic
}

// write runs f in a transaction, again from the start when the database gave up on it because of another one. what says
// what is being done, for errors.
func (s *Store) write(ctx context.Context, what string, f func(*tx) error) error {
	return s.around(ctx, what, func() error { return s.writeAgain(ctx, what, f) })
}

func (s *Store) writeAgain(ctx context.Context, what string, f func(*tx) error) error {
	for try := 1; ; try++ {
		err := s.writeOnce(ctx, f)
		if err == nil {
			return nil
		}
		if try < 10 && ctx.Err() == nil && s.transient(err) {
			continue
		}
		return fmt.Errorf("%s: %w", what, plainly(err))
	}
}

func (s *Store) writeOnce(ctx context.Context, f func(*tx) error) error {
	t, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback()
	now, err := s.now(ctx, t)
	if err != nil {
		return err
	}
	w := &tx{Tx: t, s: s, ctx: ctx, now: now}
	if err := f(w); err != nil {
		return err
	}
	if err := w.writeFeed(); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return err
	}
	if len(w.topics) > 0 {
		s.fed.ring()
	}
	return nil
}

// fenced is write for a cluster's data, under its lease.
func (s *Store) fenced(ctx context.Context, what string, fence Fence, f func(*tx) error) error {
	return s.write(ctx, what+" of cluster "+fence.Cluster, func(t *tx) error {
		if err := t.check(fence); err != nil {
			return err
		}
		return f(t)
	})
}

func (t *tx) exec(query string, args ...any) (int64, error) {
	r, err := t.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one runs a statement that must change exactly one row, and returns ErrNotFound when it changes none.
func (t *tx) one(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

func (t *tx) row(query string, args ...any) *sql.Row {
	return t.QueryRowContext(t.ctx, query, args...)
}

// id returns the next id. Ids rise in the order of commits, because the row stays locked until then; whoever has read up
// to an id never misses a smaller one.
func (t *tx) id() (int64, error) {
	var id int64
	err := t.row("UPDATE ids SET last = last + 1 WHERE one = 1 RETURNING last").Scan(&id)
	return id, err
}

// lockCluster locks a cluster's row that isn't deleted, for writes that need no lease.
func (t *tx) lockCluster(uid string) error {
	var deleted int64
	err := t.row("SELECT deleted FROM clusters WHERE uid = $1"+t.s.lock, uid).Scan(&deleted)
	if errors.Is(err, sql.ErrNoRows) || err == nil && deleted != 0 {
		return fmt.Errorf("cluster %s: %w", uid, ErrNotFound)
	}
	return err
}

// query collects the rows of a SELECT.
func query[T any](ctx context.Context, q querier, scan func(row) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, plainly(err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, plainly(rows.Err())
}

// first returns the only row of a SELECT, ErrNotFound when there is none.
func first[T any](ctx context.Context, q querier, scan func(row) (T, error), text string, args ...any) (T, error) {
	v, err := scan(q.QueryRowContext(ctx, text, args...))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return v, plainly(err)
}

type row interface{ Scan(dest ...any) error }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// asJSON encodes what always can be encoded.
func asJSON(v any) (string, error) {
	if raw, ok := v.(json.RawMessage); ok && len(raw) == 0 {
		return "null", nil
	}
	data, err := json.Marshal(v)
	return string(data), err
}

// raw is a document as it was put in; nil for none.
func raw(s string) json.RawMessage {
	if s == "" || s == "null" {
		return nil
	}
	return json.RawMessage(s)
}

// randomHex returns n random bytes as 2n of 0-9 a-f.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// placeholders returns "$from, ..." for n arguments.
func placeholders(from, n int) string {
	p := make([]string, n)
	for i := range p {
		p[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(p, ", ")
}
