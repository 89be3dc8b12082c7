package store

import (
	"context"
	"fmt"
	"time"
)

// Session is somebody signed in. Its times are the caller's.
type Session struct {
	// Hash is that of the session's secret.
	Hash string
	// Person is the user it belongs to; empty for one that a link of the engine's own began, which has name and role itself.
	Person     string
	Name, Role string
	// Via says how it began.
	Via     string
	Address string
	Created time.Time
	Seen    time.Time
}

const sessionColumns = "hash, person, name, role, via, address, created, seen"

// AddSession begins a session, notes the user's login, and forgets sessions that weren't seen since idle, or began before
// oldest.
func (s *Store) AddSession(ctx context.Context, v Session, idle, oldest time.Time) error {
	return s.write(ctx, "begin a session of "+v.Name, func(t *tx) error {
		if _, err := t.exec("DELETE FROM sessions WHERE seen < $1 OR created < $2", micros(idle), micros(oldest)); err != nil {
			return err
		}
		if v.Person != "" {
			if err := t.one("UPDATE users SET last_login = $1 WHERE name = $2 AND disabled = 0", micros(v.Created), v.Person); err != nil {
				return err // removed or disabled this moment
			}
		}
		_, err := t.exec("INSERT INTO sessions ("+sessionColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			v.Hash, v.Person, v.Name, v.Role, v.Via, v.Address, micros(v.Created), micros(v.Seen))
		return err
	})
}

// GetSession returns a session.
func (s *Store) GetSession(ctx context.Context, hash string) (Session, error) {
	v, err := first(ctx, s.db, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE hash = $1", hash)
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return v, nil
}

// TouchSession notes that a session is used.
func (s *Store) TouchSession(ctx context.Context, hash string, at time.Time) error {
	return s.write(ctx, "note that a session is used", func(t *tx) error {
		_, err := t.exec("UPDATE sessions SET seen = $1 WHERE hash = $2 AND seen < $1", micros(at), hash)
		return err
	})
}

// DeleteSession ends a session. It is no error when there is none.
func (s *Store) DeleteSession(ctx context.Context, hash string) error {
	return s.write(ctx, "end a session", func(t *tx) error {
		_, err := t.exec("DELETE FROM sessions WHERE hash = $1", hash)
		return err
	})
}

func scanSession(r row) (Session, error) {
	var v Session
	var created, seen int64
	err := r.Scan(&v.Hash, &v.Person, &v.Name, &v.Role, &v.Via, &v.Address, &created, &seen)
	v.Created, v.Seen = fromMicros(created), fromMicros(seen)
	return v, err
}

// Link signs in once whoever has its secret. Its times are the caller's.
type Link struct {
	Hash             string
	Name, Role       string
	Created, Expires time.Time
}

// AddLink makes a link, and forgets those whose time is over.
func (s *Store) AddLink(ctx context.Context, l Link) error {
	return s.write(ctx, "make a link to sign in with", func(t *tx) error {
		if _, err := t.exec("DELETE FROM links WHERE expires <= $1", micros(l.Created)); err != nil {
			return err
		}
		_, err := t.exec("INSERT INTO links (hash, name, role, created, expires) VALUES ($1, $2, $3, $4, $5)", l.Hash, l.Name, l.Role, micros(l.Created), micros(l.Expires))
		return err
	})
}

// TakeLink returns a link and forgets it, so that of several who use it at once one gets it.
func (s *Store) TakeLink(ctx context.Context, hash string) (l Link, err error) {
	err = s.write(ctx, "use a link", func(t *tx) error {
		var created, expires int64
		l, err = first(t.ctx, t, func(r row) (Link, error) {
			err := r.Scan(&l.Hash, &l.Name, &l.Role, &created, &expires)
			return l, err
		}, "DELETE FROM links WHERE hash = $1 RETURNING hash, name, role, created, expires", hash)
		l.Created, l.Expires = fromMicros(created), fromMicros(expires)
		return err
	})
	return l, err
}
