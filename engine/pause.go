package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/skyweld/skyweld/store"
)

// longestReason is how many letters the reason of a pause may have: it is shown in tables.
const longestReason = 200

// Pause holds off all runs of a cluster but its deletion, until Resume. A run that is under way ends at its next step, with
// the steps it has begun done. Changes are still taken on, and wait.
func (e *Engine) Pause(ctx context.Context, name, who, reason string) (store.Cluster, error) {
	reason = strings.Join(strings.Fields(reason), " ")
	if n := utf8.RuneCountInString(reason); n == 0 || n > longestReason {
		return store.Cluster{}, Invalidf("reason", "it has %d letters; want 1 to %d that say to everybody why cluster %s is paused", n, longestReason, name)
	}
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return store.Cluster{}, err
	}
	c, err = e.store.Pause(ctx, c.UID, who, reason)
	switch {
	case errors.Is(err, store.ErrConflict):
		return store.Cluster{}, &Problem{Kind: NotNow, Message: fmt.Sprintf("cluster %s is being deleted: a deletion can't be paused", name)}
	case errors.Is(err, store.ErrNotFound):
		return store.Cluster{}, e.noCluster(ctx, name)
	case err != nil:
		return store.Cluster{}, err
	}
	e.event(ctx, c.UID, store.Warning, "Paused", "cluster "+name, fmt.Sprintf("by %s: %s; nothing is done or repaired until it is resumed", who, reason))
	return c, nil
}

// Resume ends a pause; what waits, and what was missed, is done at once. It returns the pause that ended, nil when there was
// none.
func (e *Engine) Resume(ctx context.Context, name, who string) (*store.Pause, error) {
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	was, err := e.store.Resume(ctx, c.UID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, e.noCluster(ctx, name)
	}
	if err == nil && was != nil {
		e.event(ctx, c.UID, store.Normal, "Resumed", "cluster "+name, fmt.Sprintf("by %s; %s", who, pausedText(was)))
	}
	return was, err
}

// Held says why nothing is done about a cluster for now, empty when something is: everybody who asks for a change is told.
func Held(c store.Cluster) string {
	if c.Paused == nil || !c.DeleteRequested.IsZero() {
		return ""
	}
	return fmt.Sprintf("cluster %s is %s. Nothing but a deletion is done before 'skyweld reconcile resume %s'", c.Name, pausedText(c.Paused), c.Name)
}
