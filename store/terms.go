package store

import (
	"context"
	"errors"
	"fmt"
)

// Terms are what a write is bound to besides what it asks for. The transaction that takes it on sees to them: nothing can
// come in between.
type Terms struct {
	// Match are versions of the cluster, one of which it must still have; none for any.
	Match []Version
	// Exists says that the cluster must be there, New that it must not.
	Exists, New bool
	// Try is the write's, of one that has a key: what it queues is noted there.
	Try *Try
}

type termsKey struct{}

// WithTerms binds the writes that are made with a context.
func WithTerms(ctx context.Context, t Terms) context.Context {
	return context.WithValue(ctx, termsKey{}, t)
}

// TermsOf are what writes with a context are bound to.
func TermsOf(ctx context.Context) Terms {
	t, _ := ctx.Value(termsKey{}).(Terms)
	return t
}

// Version tells what is asked of a cluster from what was asked before.
type Version struct {
	// Generation is that of the spec in force.
	Generation int64
	// Change is the last queued change that brings another, 0 where none is queued.
	Change int64
}

// ErrStale means that a cluster isn't as it must be by the terms.
var ErrStale = errors.New("it isn't as it was")

// Stale is the error of terms that don't hold; it wraps ErrStale.
type Stale struct {
	// Cluster is the UID, empty where there is none.
	Cluster string
	// Asked are the versions that would do, Now is the cluster's.
	Asked []Version
	Now   Version
}

func (s *Stale) Error() string {
	if s.Cluster == "" {
		return "there is no such cluster: " + ErrStale.Error()
	}
	return fmt.Sprintf("the cluster is at generation %d: %s", s.Now.Generation, ErrStale)
}

// Unwrap makes it an ErrStale.
func (s *Stale) Unwrap() error { return ErrStale }

// withSpecs are the kinds of changes that bring another spec, as a list in SQL.
const withSpecs = "('apply', 'node-add', 'node-remove')"

// version is a cluster's; its row is locked.
func (t *tx) version(uid string) (v Version, err error) {
	err = t.row("SELECT generation, (SELECT COALESCE(MAX(id), 0) FROM changes WHERE cluster = $1 AND state = 'queued' AND kind IN "+withSpecs+") FROM clusters WHERE uid = $1", uid).
		Scan(&v.Generation, &v.Change)
	return v, err
}

// holds makes sure that the terms hold for a cluster that is there.
func (t *tx) holds(uid string) error {
	terms := TermsOf(t.ctx)
	if len(terms.Match) == 0 && !terms.New {
		return nil
	}
	now, err := t.version(uid)
	if err != nil {
		return err
	}
	for _, v := range terms.Match {
		if same, err := t.sameVersion(uid, v, now); same || err != nil {
			return err
		}
	}
	return &Stale{Cluster: uid, Asked: terms.Match, Now: now}
}

// sameVersion says that a version is the cluster's still: the last change in it may have come into force meanwhile.
func (t *tx) sameVersion(uid string, v, now Version) (bool, error) {
	if v == now || v.Change == 0 || now.Change != 0 {
		return v == now, nil
	}
	c, err := t.change(uid, v.Change)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && c.Generation == now.Generation, err
}

// holdsWithout makes sure that the terms hold where there is no cluster.
func (t *tx) holdsWithout() error {
	if terms := TermsOf(t.ctx); len(terms.Match) > 0 || terms.Exists {
		return &Stale{Asked: terms.Match}
	}
	return nil
}
