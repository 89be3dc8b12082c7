package store

import (
	"context"
	"fmt"
	"time"
)

// Pause says that nothing but a deletion is done about a cluster, and who wanted that.
type Pause struct {
	// Since is when it was paused first, By and Reason are of who said so last.
	Since      time.Time
	By, Reason string
}

// Pause holds off runs of a cluster until Resume; one that is under way sees it in the cluster. Pausing again changes who and
// why. The error wraps ErrConflict when the cluster is being deleted.
func (s *Store) Pause(ctx context.Context, uid, who, reason string) (Cluster, error) {
	var out Cluster
	err := s.write(ctx, "pause cluster "+uid, func(t *tx) error {
		if err := t.lockCluster(uid); err != nil {
			return err
		}
		t.tellCluster(uid)
		n, err := t.exec(`UPDATE clusters SET paused = CASE WHEN paused = 0 THEN $2 ELSE paused END, paused_by = $3, pause_reason = $4
			WHERE uid = $1 AND delete_requested = 0`, uid, t.now, who, reason)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: it is being deleted", ErrConflict)
		}
		if err != nil {
			return err
		}
		out, err = first(ctx, t, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", uid)
		return err
	})
	if err == nil {
		s.hub.notify(uid, Clusters)
	}
	return out, err
}

// Resume ends a pause and makes the cluster due now. It returns the pause that ended, nil when there was none; then nothing
// is woken.
func (s *Store) Resume(ctx context.Context, uid string) (*Pause, error) {
	var was *Pause
	err := s.write(ctx, "resume cluster "+uid, func(t *tx) error {
		if err := t.lockCluster(uid); err != nil {
			return err
		}
		c, err := first(ctx, t, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", uid)
		if was = c.Paused; err != nil || was == nil {
			return err
		}
		t.tellCluster(uid)
		if err := t.one("UPDATE clusters SET paused = 0, paused_by = '', pause_reason = '' WHERE uid = $1", uid); err != nil {
			return err
		}
		return t.wake(uid)
	})
	if err == nil && was != nil {
		s.hub.notify(uid, Clusters)
	}
	return was, err
}
