package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// conclude records how a run ended and says when the next one is due.
func (e *Engine) conclude(ctx context.Context, fence store.Fence, c store.Cluster, s *survey, runErr error) (time.Time, error) {
	if errors.Is(runErr, store.ErrFenced) { // whoever has the lease has the word
		return time.Now(), runErr
	}
	fresh, err := e.store.GetClusterByUID(ctx, c.UID)
	if err != nil {
		return time.Now().Add(e.patience.again), errors.Join(runErr, err)
	}
	_, was, _, err := e.recall(ctx, fresh)
	if err != nil {
		return e.concludeBlind(ctx, fence, fresh, err)
	}
	if s == nil { // nothing was looked at: what was in the way is so still
		s = &survey{status: was, obstacles: was.Obstacles}
	}
	s.status.Failures = 0
	phase, text := store.Ready, ""
	next := time.Now().Add(jittered(e.opts.Every))
	switch {
	case runErr != nil:
		phase, text = store.Degraded, s.scrubber.clean(runErr.Error())
		s.status.Failures = was.Failures + 1
		pause := e.patience.failurePause(s.status.Failures)
		if !fresh.DeleteRequested.IsZero() {
			pause = e.patience.deletionPause(s.status.Failures)
		}
		next = time.Now().Add(spread(pause, e.opts.Every))
		if fresh.DeleteRequested.IsZero() || !saidAlready(fresh, text) {
			e.event(ctx, c.UID, store.Warning, "RunFailed", "cluster "+c.Name, text)
		}
	case was.Failures > 0:
		e.event(ctx, c.UID, store.Normal, "Recovered", "cluster "+c.Name, fmt.Sprintf("everything is as it was asked for again, after %d failed runs", was.Failures))
	}
	if runErr == nil { // before anybody who waits is told that all is done
		e.confirm(ctx, c)
	}
	conditions := append(s.planeCondition(fresh.Conditions), readyCondition(runErr != nil, text))
	conditions = append(conditions, s.farCondition()...)
	if !fresh.DeleteRequested.IsZero() {
		conditions = append(conditions, e.tellObstacles(ctx, c, s, was))
		if err := e.store.PruneRuns(ctx, c.UID, keptRuns); err != nil {
			return next, errors.Join(runErr, err)
		}
	}
	// The status comes first: who waits for a change looks there when it has ended, or a try of it has.
	if err := e.saveStatus(ctx, fence, phase, s, conditions...); err != nil {
		return next, errors.Join(runErr, err)
	}
	return next, errors.Join(runErr, e.endChanges(ctx, fence, c, text))
}

// concludeBlind concludes a run for which what is on record of the cluster could not be read. The record stays as it is, for
// somebody to mend or for an engine that understands it. It can't count the runs that failed, so the pause before the next one
// is as long as that has been so.
func (e *Engine) concludeBlind(ctx context.Context, fence store.Fence, c store.Cluster, err error) (time.Time, error) {
	text := new(scrubber).clean(fmt.Sprintf("what is on record of the cluster can't be read, so nothing is done: %s", err))
	now := readyCondition(true, text)
	now.Reason = "RecordUnreadable"
	since := now.Since
	for _, was := range c.Conditions {
		if was.Type == now.Type && was.Status == now.Status && was.Since.Before(since) {
			since = was.Since
		}
	}
	next := time.Now().Add(spread(min(longestFailurePause, e.patience.again+now.Since.Sub(since)), e.opts.Every))
	if !saidAlready(c, text) {
		e.event(ctx, c.UID, store.Warning, now.Reason, "cluster "+c.Name, text)
	}
	if err := e.store.SetStatus(ctx, fence, store.Degraded, withConditions(c.Conditions, now), nil); err != nil {
		return next, errors.Join(errors.New(text), err)
	}
	return next, errors.Join(errors.New(text), e.endChanges(ctx, fence, c, text))
}

// saidAlready says that the last run failed with the same words.
func saidAlready(c store.Cluster, text string) bool {
	return slices.ContainsFunc(c.Conditions, func(x store.Condition) bool { return x.Type == "Ready" && x.Status == "False" && x.Message == text })
}

func readyCondition(failed bool, text string) store.Condition {
	c := store.Condition{Type: "Ready", Status: "True", Reason: "AsWanted", Message: "everything is as it was asked for"}
	if failed {
		c = store.Condition{Type: "Ready", Status: "False", Reason: "RunFailed", Message: text}
	}
	c.Since = time.Now().UTC()
	return c
}

// notYet is a deletion that only has to wait: nothing is seen any more, and it is too early to believe that.
type notYet struct {
	left time.Duration
	keys []string
}

func (n *notYet) Error() string {
	return fmt.Sprintf("nothing is left to be seen; another look is taken at %s, as calls to make %s may still show an effect", time.Now().Add(n.left).UTC().Format("15:04:05 UTC"), strings.Join(n.keys, ", "))
}

func (n *notYet) condition() store.Condition {
	return store.Condition{Type: "Ready", Status: "False", Reason: "Settling", Message: n.Error(), Since: time.Now().UTC()}
}

// bury ends a cluster's life once nothing of it is left in any cloud. While it isn't known what came of a call to make
// something, lists have to show nothing for as long as they may lag behind; quiet says that this run found nothing to do.
func (e *Engine) bury(ctx context.Context, fence store.Fence, c store.Cluster, s *survey, quiet bool) error {
	for _, o := range s.got {
		if o.State != cloud.Gone && (o.Recorded || o.Intended) {
			return fmt.Errorf("%s %s (%s) is still there", o.Kind, o.Key, o.ID)
		}
	}
	if err := newRun(s, fence).settle(ctx); err != nil {
		return err
	}
	if err := e.settleAbandoned(ctx, fence, s); err != nil {
		return err
	}
	intents, err := e.store.ListOpenIntents(ctx, c.UID)
	if err != nil {
		return err
	}
	if !quiet || s.status.EmptySince.IsZero() || s.status.EmptySince.After(s.now) { // or the clock was set back since
		s.status.EmptySince = s.now
	}
	wait := notYet{left: s.status.EmptySince.Add(e.patience.listLag).Sub(s.now)}
	for _, i := range intents {
		if i.Action == string(plan.Create) {
			wait.keys = append(wait.keys, i.Key)
		}
	}
	if len(wait.keys) > 0 && wait.left > 0 {
		return &wait
	}
	for _, i := range intents {
		if err := e.store.ResolveIntent(ctx, fence, i.ID, store.Resolution{State: store.IntentFailed}); err != nil {
			return err
		}
	}
	receipt, err := e.closeReceipt(ctx, s)
	if err != nil {
		return err
	}
	if err := e.store.MarkDeleted(ctx, fence, receipt); err != nil {
		return err
	}
	e.event(ctx, c.UID, store.Normal, "Deleted", "cluster "+c.Name, receipt.Summary)
	return nil
}

// saveStatus stores phase, conditions and status; conditions that aren't given stay.
func (e *Engine) saveStatus(ctx context.Context, fence store.Fence, phase store.Phase, s *survey, conditions ...store.Condition) error {
	data, err := json.Marshal(s.status)
	if err != nil {
		return fmt.Errorf("status of cluster %s: %w", fence.Cluster, err)
	}
	old, err := e.store.GetClusterByUID(ctx, fence.Cluster)
	if err != nil {
		return err
	}
	return e.store.SetStatus(ctx, fence, phase, withConditions(old.Conditions, conditions...), data)
}

// withConditions are those that were, with some anew.
func withConditions(old []store.Condition, conditions ...store.Condition) []store.Condition {
	merged := map[string]store.Condition{}
	for _, c := range old {
		merged[c.Type] = c
	}
	for _, c := range conditions {
		if was, ok := merged[c.Type]; ok && was.Status == c.Status {
			c.Since = was.Since
		}
		merged[c.Type] = c
		if c.Status == "" { // it doesn't hold any more
			delete(merged, c.Type)
		}
	}
	var list []store.Condition
	for _, t := range sortedKeys(merged) {
		list = append(list, merged[t])
	}
	return list
}
