package store

import (
	"context"
	"fmt"
	"time"
)

// APIToken lets a program ask. Its times are the caller's.
type APIToken struct {
	Name string
	// Hash is that of the token.
	Hash string
	Role string
	// Person is the user it belongs to and ends with; empty for one that was made with the engine's own token.
	Person string
	// Maker is who made it, for people to see.
	Maker   string
	Created time.Time
	// Expires is zero for one that doesn't.
	Expires time.Time
	// Used is when it was used last, to about a minute.
	Used time.Time
}

const tokenColumns = "name, hash, role, person, maker, created, expires, used"

// AddAPIToken adds a token. The error wraps ErrExists when the name is taken.
func (s *Store) AddAPIToken(ctx context.Context, k APIToken) error {
	return s.write(ctx, "add token "+k.Name, func(t *tx) error {
		_, err := t.exec("INSERT INTO api_tokens ("+tokenColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
			k.Name, k.Hash, k.Role, k.Person, k.Maker, micros(k.Created), micros(k.Expires))
		if unique, _ := violates(err); unique {
			return ErrExists
		}
		return err
	})
}

// GetAPIToken returns the token with a hash.
func (s *Store) GetAPIToken(ctx context.Context, hash string) (APIToken, error) {
	k, err := first(ctx, s.db, scanAPIToken, "SELECT "+tokenColumns+" FROM api_tokens WHERE hash = $1", hash)
	if err != nil {
		return APIToken{}, fmt.Errorf("token: %w", err)
	}
	return k, nil
}

// ListAPITokens returns all tokens by name.
func (s *Store) ListAPITokens(ctx context.Context) ([]APIToken, error) {
	all, err := query(ctx, s.db, scanAPIToken, "SELECT "+tokenColumns+" FROM api_tokens ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return all, nil
}

// TouchAPIToken notes that a token is used.
func (s *Store) TouchAPIToken(ctx context.Context, hash string, at time.Time) error {
	return s.write(ctx, "note that a token is used", func(t *tx) error {
		_, err := t.exec("UPDATE api_tokens SET used = $1 WHERE hash = $2 AND used < $1", micros(at), hash)
		return err
	})
}

// DeleteAPIToken revokes a token, and returns what it was.
func (s *Store) DeleteAPIToken(ctx context.Context, name string) (was APIToken, err error) {
	err = s.write(ctx, "revoke token "+name, func(t *tx) error {
		was, err = first(t.ctx, t, scanAPIToken, "DELETE FROM api_tokens WHERE name = $1 RETURNING "+tokenColumns, name)
		return err
	})
	return was, err
}

func scanAPIToken(r row) (APIToken, error) {
	var k APIToken
	var created, expires, used int64
	err := r.Scan(&k.Name, &k.Hash, &k.Role, &k.Person, &k.Maker, &created, &expires, &used)
	k.Created, k.Expires, k.Used = fromMicros(created), fromMicros(expires), fromMicros(used)
	return k, err
}

// LoginFailures is how often somebody failed to sign in, or somewhere. Its times are the caller's.
type LoginFailures struct {
	Count int64
	Last  time.Time
	// PausedUntil is until when no further try is let in.
	PausedUntil time.Time
}

// ChangeLoginFailures reads what is known of some subjects, and writes what a function makes of it: an entry that counts
// none is removed. When the function returns an error nothing is written. Entries of others that are older than stale are forgotten.
func (s *Store) ChangeLoginFailures(ctx context.Context, subjects []string, stale time.Time, change func(map[string]LoginFailures) error) error {
	return s.write(ctx, "count a login", func(t *tx) error {
		if _, err := t.exec("DELETE FROM login_failures WHERE last < $1", micros(stale)); err != nil {
			return err
		}
		known := map[string]LoginFailures{}
		for _, subject := range subjects {
			// The row is there before it is read, so that of two tries at once the second waits for the first.
			if _, err := t.exec("INSERT INTO login_failures (subject, failures, last, paused_until) VALUES ($1, 0, 0, 0) ON CONFLICT DO NOTHING", subject); err != nil {
				return err
			}
			var f LoginFailures
			var last, until int64
			if err := t.row("SELECT failures, last, paused_until FROM login_failures WHERE subject = $1"+t.s.lock, subject).Scan(&f.Count, &last, &until); err != nil {
				return err
			}
			f.Last, f.PausedUntil = fromMicros(last), fromMicros(until)
			known[subject] = f
		}
		if err := change(known); err != nil {
			return err
		}
		for _, subject := range subjects {
			f := known[subject]
			statement, args := "DELETE FROM login_failures WHERE subject = $1", []any{subject}
			if f.Count > 0 {
				statement, args = "UPDATE login_failures SET failures = $2, last = $3, paused_until = $4 WHERE subject = $1", append(args, f.Count, micros(f.Last), micros(f.PausedUntil))
			}
			if _, err := t.exec(statement, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
