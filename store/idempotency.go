package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Keyed is a write that was sent with a key: whoever sends it again, because the answer was lost, means the same one.
type Keyed struct {
	// Principal is who sent it: keys of others are others.
	Principal, Key string
	// Digest is of all that the write asks for.
	Digest string
}

// Try is a keyed write that is being done.
type Try struct {
	Keyed
	// Token tells it from other tries.
	Token string
}

// Recorded is what is known of a keyed write that was sent before.
type Recorded struct {
	Begun time.Time
	// Change is what it queued, 0 for nothing.
	Change int64
	// Status and Answer are what it was answered with, 0 and nothing where that is not on record: its engine was stopped.
	Status int
	Answer string
}

var (
	// ErrKeyUsed means that the key was sent with another write.
	ErrKeyUsed = errors.New("the key belongs to another request")
	// ErrKeyBusy means that the same write is being done.
	ErrKeyBusy = errors.New("the same request is being answered")
	// ErrKeyLost means that a try took so long that another has begun.
	ErrKeyLost = errors.New("the same request was begun again meanwhile")
)

// BeginKeyed begins a keyed write. Where it was done already, the record says what came of it. A try is taken for dead when
// nobody has renewed it for the time of patience: then, if it queued nothing, it is begun again. Writes older than age are
// forgotten.
func (s *Store) BeginKeyed(ctx context.Context, k Keyed, patience, age time.Duration) (Try, *Recorded, error) {
	try := Try{Keyed: k, Token: randomHex(8)}
	var done *Recorded
	err := s.write(ctx, "begin a keyed write", func(t *tx) error {
		done = nil
		if _, err := t.exec("DELETE FROM idempotency WHERE principal = $1 AND key = $2 AND begun < $3 AND until < $4", k.Principal, k.Key, t.now-age.Microseconds(), t.now); err != nil {
			return err
		}
		n, err := t.exec(`INSERT INTO idempotency (principal, key, digest, begun, token, until, change, status, answer) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, '')
			ON CONFLICT (principal, key) DO NOTHING`, k.Principal, k.Key, k.Digest, t.now, try.Token, t.now+patience.Microseconds())
		if err != nil || n == 1 {
			return err
		}
		var digest, answer string
		var begun, until, change, status int64
		if err := t.row("SELECT digest, begun, until, change, status, answer FROM idempotency WHERE principal = $1 AND key = $2"+t.s.lock, k.Principal, k.Key).
			Scan(&digest, &begun, &until, &change, &status, &answer); err != nil {
			return err
		}
		switch {
		case digest != k.Digest:
			return ErrKeyUsed
		case status == 0 && until >= t.now:
			return ErrKeyBusy
		case status != 0 || change != 0:
			done = &Recorded{Begun: fromMicros(begun), Change: change, Status: int(status), Answer: answer}
			return nil
		}
		return t.one("UPDATE idempotency SET token = $3, until = $4, begun = $5 WHERE principal = $1 AND key = $2", k.Principal, k.Key, try.Token, t.now+patience.Microseconds(), t.now)
	})
	return try, done, err
}

// RenewKeyed says that a try is alive.
func (s *Store) RenewKeyed(ctx context.Context, try Try, patience time.Duration) error {
	return s.write(ctx, "go on with a keyed write", func(t *tx) error {
		n, err := t.exec("UPDATE idempotency SET until = $4 WHERE principal = $1 AND key = $2 AND token = $3", try.Principal, try.Key, try.Token, t.now+patience.Microseconds())
		if err == nil && n == 0 {
			err = ErrKeyLost
		}
		return err
	})
}

// EndKeyed records how a write was answered. With status 0 it was not done, and the key is free again, unless it queued
// something.
func (s *Store) EndKeyed(ctx context.Context, try Try, status int, answer string) error {
	return s.write(ctx, "end a keyed write", func(t *tx) error {
		if status == 0 {
			if _, err := t.exec("DELETE FROM idempotency WHERE principal = $1 AND key = $2 AND token = $3 AND change = 0", try.Principal, try.Key, try.Token); err != nil {
				return err
			}
		}
		_, err := t.exec("UPDATE idempotency SET status = $4, answer = $5, until = 0 WHERE principal = $1 AND key = $2 AND token = $3", try.Principal, try.Key, try.Token, status, answer)
		return err
	})
}

// noteKeyed notes in the transaction that queues a change, or takes one back, that a keyed write did it.
func (t *tx) noteKeyed(change int64) error {
	try := TermsOf(t.ctx).Try
	if try == nil {
		return nil
	}
	n, err := t.exec("UPDATE idempotency SET change = $4 WHERE principal = $1 AND key = $2 AND token = $3", try.Principal, try.Key, try.Token, change)
	if err == nil && n == 0 {
		err = ErrKeyLost
	}
	return err
}

// PruneKeyed forgets keyed writes older than age.
func (s *Store) PruneKeyed(ctx context.Context, age time.Duration) error {
	return s.write(ctx, fmt.Sprintf("forget keyed writes older than %s", age), func(t *tx) error {
		_, err := t.exec("DELETE FROM idempotency WHERE begun < $1 AND until < $2", t.now-age.Microseconds(), t.now)
		return err
	})
}
