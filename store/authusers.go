package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The role that one enabled user must keep.
const adminRole = "admin"

// ErrLastAdmin means that nobody would be left who may manage users.
var ErrLastAdmin = errors.New("the last enabled admin stays one")

// User is a person who may sign in.
type User struct {
	Name string
	// Role is one of package auth's.
	Role string
	// Password is a hash with its parameters, empty for who can't sign in by password.
	Password string
	// Issuer and Subject are who this is at an OIDC server, empty for a local user.
	Issuer, Subject string
	// Disabled is since when the user may not sign in, zero for who may.
	Disabled  time.Time
	Created   time.Time
	Updated   time.Time
	LastLogin time.Time
}

const userColumns = "name, role, password, issuer, subject, disabled, created, updated, last_login"

// AddUser adds a user. The error wraps ErrExists when the name, or the person at the OIDC server, is there already.
func (s *Store) AddUser(ctx context.Context, u User) (User, error) {
	err := s.write(ctx, "add user "+u.Name, func(t *tx) error {
		u.Created, u.Updated, u.LastLogin = fromMicros(t.now), fromMicros(t.now), time.Time{}
		_, err := t.exec("INSERT INTO users ("+userColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0)", u.Name, u.Role, u.Password, u.Issuer, u.Subject, micros(u.Disabled), t.now)
		if unique, _ := violates(err); unique {
			return ErrExists
		}
		return err
	})
	if err != nil {
		return User{}, err
	}
	return u, nil
}

// GetUser returns a user.
func (s *Store) GetUser(ctx context.Context, name string) (User, error) {
	u, err := first(ctx, s.db, scanUser, "SELECT "+userColumns+" FROM users WHERE name = $1", name)
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", name, err)
	}
	return u, nil
}

// GetUserBySubject returns the user who is somebody at an OIDC server.
func (s *Store) GetUserBySubject(ctx context.Context, issuer, subject string) (User, error) {
	u, err := first(ctx, s.db, scanUser, "SELECT "+userColumns+" FROM users WHERE issuer = $1 AND subject = $2 AND issuer <> ''", issuer, subject)
	if err != nil {
		return User{}, fmt.Errorf("the user who is %s at %s: %w", subject, issuer, err)
	}
	return u, nil
}

// ListUsers returns all users by name.
func (s *Store) ListUsers(ctx context.Context) ([]User, error) {
	all, err := query(ctx, s.db, scanUser, "SELECT "+userColumns+" FROM users ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return all, nil
}

// ChangeUser changes role, password, person at an OIDC server or disabling of a user. A new password or a disabling ends the
// user's sessions, but the one whose hash is keep. The error wraps ErrLastAdmin when no enabled admin would be left.
func (s *Store) ChangeUser(ctx context.Context, name, keep string, change func(*User) error) (before, after User, err error) {
	err = s.write(ctx, "change user "+name, func(t *tx) error {
		if before, err = t.lockUser(name); err != nil {
			return err
		}
		after = before
		if err := change(&after); err != nil {
			return err
		}
		if err := t.adminStays(before, after.Role == adminRole && after.Disabled.IsZero()); err != nil {
			return err
		}
		after.Updated = fromMicros(t.now)
		if err := t.one("UPDATE users SET role = $1, password = $2, issuer = $3, subject = $4, disabled = $5, updated = $6 WHERE name = $7",
			after.Role, after.Password, after.Issuer, after.Subject, micros(after.Disabled), t.now, name); err != nil {
			return err
		}
		if after.Password == before.Password && after.Disabled.IsZero() {
			return nil
		}
		_, err := t.exec("DELETE FROM sessions WHERE person = $1 AND hash <> $2", name, keep)
		return err
	})
	return before, after, err
}

// RehashPassword puts a new hash of the same password in the place of an old one, if that is still there. Sessions go on.
func (s *Store) RehashPassword(ctx context.Context, name, old, hash string) error {
	return s.write(ctx, "hash the password of user "+name+" anew", func(t *tx) error {
		_, err := t.exec("UPDATE users SET password = $1 WHERE name = $2 AND password = $3", hash, name, old)
		return err
	})
}

// DeleteUser removes a user with all sessions and tokens, and returns who it was.
func (s *Store) DeleteUser(ctx context.Context, name string) (was User, err error) {
	err = s.write(ctx, "remove user "+name, func(t *tx) error {
		if was, err = t.lockUser(name); err != nil {
			return err
		}
		if err := t.adminStays(was, false); err != nil {
			return err
		}
		for _, statement := range []string{"DELETE FROM sessions WHERE person = $1", "DELETE FROM api_tokens WHERE person = $1", "DELETE FROM users WHERE name = $1"} {
			if _, err := t.exec(statement, name); err != nil {
				return err
			}
		}
		return nil
	})
	return was, err
}

// lockUser returns a user whom nobody else changes meanwhile.
func (t *tx) lockUser(name string) (User, error) {
	// All admins at once, in one order: of two changes that each leave one admin, the second must see the first.
	if _, err := query(t.ctx, t, scanString, "SELECT name FROM users WHERE role = $1 ORDER BY name"+t.s.lock, adminRole); err != nil {
		return User{}, err
	}
	return first(t.ctx, t, scanUser, "SELECT "+userColumns+" FROM users WHERE name = $1"+t.s.lock, name)
}

// adminStays makes sure that there is an enabled admin after a change of a user, who is one then or not.
func (t *tx) adminStays(before User, isAdmin bool) error {
	if isAdmin || before.Role != adminRole || !before.Disabled.IsZero() {
		return nil
	}
	var others int64
	if err := t.row("SELECT COUNT(*) FROM users WHERE role = $1 AND disabled = 0 AND name <> $2", adminRole, before.Name).Scan(&others); err != nil {
		return err
	}
	if others == 0 {
		return ErrLastAdmin
	}
	return nil
}

func scanUser(r row) (User, error) {
	var u User
	var disabled, created, updated, login int64
	err := r.Scan(&u.Name, &u.Role, &u.Password, &u.Issuer, &u.Subject, &disabled, &created, &updated, &login)
	u.Disabled, u.Created, u.Updated, u.LastLogin = fromMicros(disabled), fromMicros(created), fromMicros(updated), fromMicros(login)
	return u, err
}
