package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/store"
)

// readyType is the condition that sums up all others.
const readyType = "Ready"

// Health is how a cluster is: as its last run left it, as it was seen since, and as people want it.
func (e *Engine) Health(ctx context.Context, c store.Cluster) (store.Phase, []store.Condition, error) {
	care, err := e.store.GetCare(ctx, c.UID)
	if err != nil {
		return c.Phase, nil, err
	}
	phase, conditions := HealthOf(c, care.Conditions)
	return phase, conditions, nil
}

// HealthOf sums up what a cluster's last run left and what was seen since: a cluster that its last run left as wanted is Degraded when something was seen to be wrong since. The
// condition Ready comes first.
func HealthOf(c store.Cluster, seen []store.Condition) (store.Phase, []store.Condition) {
	var wrong []string
	var since time.Time
	for _, cond := range seen {
		if !Well(cond.Type, cond.Status) && cond.Type != farType { // slow is no less than what was asked for can be
			wrong = append(wrong, cond.Message)
			if since.IsZero() || cond.Since.Before(since) {
				since = cond.Since
			}
		}
	}
	phase := c.Phase
	if phase == store.Ready && len(wrong) > 0 {
		phase = store.Degraded
	}
	var first, rest []store.Condition
	for _, cond := range c.Conditions {
		switch {
		case slices.ContainsFunc(seen, func(s store.Condition) bool { return s.Type == cond.Type }): // what was seen since is newer
		case cond.Type != readyType:
			rest = append(rest, cond)
		case cond.Status == conditionTrue && phase == store.Degraded:
			first = append(first, store.Condition{Type: readyType, Status: conditionFalse, Reason: "SeenBroken", Message: strings.Join(wrong, "; "), Since: since})
		default:
			first = append(first, cond)
		}
	}
	out := append(append(first, rest...), seen...)
	if c.Paused != nil {
		out = append(out, store.Condition{Type: "Paused", Status: conditionTrue, Reason: "Paused", Message: pausedText(c.Paused), Since: c.Paused.Since})
	}
	return phase, out
}

func pausedText(p *store.Pause) string {
	return fmt.Sprintf("paused since %s by %s: %s", p.Since.UTC().Format("2006-01-02 15:04 MST"), p.By, p.Reason)
}
