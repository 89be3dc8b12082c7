package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// keptRuns is how many runs of a deletion are kept. One that is blocked for weeks looks again every minute.
const keptRuns = 200

// longestPause is the longest between two looks of a deletion that something is in the way of: it goes on by itself soon
// after that is gone.
const longestPause = time.Minute

// deletionPause is the pause after so many failed runs of a deletion in a row.
func (p patience) deletionPause(failures int) time.Duration {
	return min(longestPause, p.again/2<<min(10, max(0, failures-1)))
}

// Obstacle is what keeps one resource of a cluster from being deleted and does not pass by itself.
type Obstacle struct {
	Site string     `json:"site"`
	Kind cloud.Kind `json:"kind"`
	Key  string     `json:"key"`
	ID   string     `json:"id,omitempty"`
	// Message is the cloud's refusal, in one line.
	Message string `json:"message"`
	// Blockers are what is in its way, as far as that can be named.
	Blockers []cloud.Blocker `json:"blockers,omitempty"`
}

// obstacle notes that a step of a deletion failed because of something that stays. fresh is false where the run before met
// the same: it has been said then.
func (r *run) obstacle(s plan.Step, err error, text string) (fresh bool) {
	blockers, held := cloud.BlockersOf(err)
	if !r.deleting || !held || s.Got == nil {
		return true
	}
	o := Obstacle{Site: s.Site, Kind: s.Kind, Key: s.Key, ID: s.Got.ID, Message: text, Blockers: blockers}
	r.obstacles = append(r.obstacles, o)
	return !slices.ContainsFunc(r.status.Obstacles, func(was Obstacle) bool { return was.Key == o.Key && was.Message == o.Message })
}

// blockedCondition is the condition of a cluster whose deletion something is in the way of; without a status, which takes
// the condition away, when there is nothing.
func blockedCondition(obstacles []Obstacle) store.Condition {
	c := store.Condition{Type: conditionBlocked, Since: time.Now().UTC()}
	if len(obstacles) == 0 {
		return c
	}
	c.Status, c.Reason = "True", "SomethingInTheWay"
	var texts []string
	for _, o := range obstacles {
		var names []string
		for _, b := range o.Blockers {
			names = append(names, b.String())
		}
		text := fmt.Sprintf("%s %s (%s) in site %s", o.Kind, o.Key, o.ID, o.Site)
		if len(names) > 0 {
			text += " is kept by " + strings.Join(names, ", ")
		} else {
			text += ": " + firstOf(o.Message)
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	c.Message = "the deletion waits, and goes on by itself when this is gone: " + strings.Join(texts, "; ")
	return c
}

// conditionBlocked is the type of that condition.
const conditionBlocked = "Blocked"

// firstOf is a text's first line.
func firstOf(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// tellObstacles says when what was in the way has changed, and sums it up in the status.
func (e *Engine) tellObstacles(ctx context.Context, c store.Cluster, s *survey, was Status) store.Condition {
	s.status.Obstacles = s.obstacles
	now, before := blockedCondition(s.obstacles), blockedCondition(was.Obstacles)
	switch {
	case now.Message == before.Message:
	case now.Status == "":
		e.event(ctx, c.UID, store.Normal, "Unblocked", "cluster "+c.Name, "nothing is in the way of the deletion any more: it goes on")
	default:
		e.event(ctx, c.UID, store.Warning, "Blocked", "cluster "+c.Name, s.scrubber.clean(now.Message))
	}
	now.Message = s.scrubber.clean(now.Message)
	return now
}

// clearable says that a cluster which is being deleted has a Kubernetes that may still have to remove what it made: it was
// there once, has not said yet that it is done, and a machine of its control plane is left.
func (s *survey) clearable() bool {
	if !s.deleting || !s.status.Initialized || s.status.Cleared || s.keys == nil {
		return false
	}
	return slices.ContainsFunc(s.facts.all(), func(f *Facts) bool {
		return f.Role == spec.RoleControlPlane && f.Public.IsValid() && s.there(s.machines[f.Name])
	})
}

// kubernetesStep does one step about the whole of a cluster's Kubernetes. That its API is gone is no failure of a deletion:
// it is waited for, for a while, and said.
func (r *run) kubernetesStep(ctx context.Context, s plan.Step) error {
	switch s.Action {
	case plan.Freeze:
		return r.freeze(ctx)
	case plan.Spread:
		return r.spreadDNS(ctx)
	}
	return r.clearKubernetes(ctx)
}

// freezePatience and clearPatience are how long a deletion waits for Kubernetes' API, and for its controllers.
func (p patience) freezePatience() time.Duration { return p.step / 20 }
func (p patience) clearPatience() time.Duration  { return p.step * 3 / 10 }

func (r *run) freeze(ctx context.Context) error {
	client, err := r.kubeClient()
	if err == nil {
		_, err = retryPlain(ctx, r.e.patience.freezePatience(), func(ctx context.Context) (struct{}, error) { return struct{}{}, client.Freeze(ctx) })
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.kubeErr = err; err != nil {
		r.warn(ctx, "KubernetesGone", "cluster "+r.cluster.Name, fmt.Sprintf(
			"its Kubernetes could not be asked for %s, and the deletion goes on without it; load balancers and volumes that it made in the clouds may be left, "+
				"and the receipt shows those of the types that Skyweld knows: %s", r.e.patience.freezePatience(), err))
	}
	return nil
}

func (r *run) clearKubernetes(ctx context.Context) error {
	if r.kubeErr != nil {
		return nil
	}
	client, err := r.kubeClient()
	if err != nil {
		return nil //nolint:nilerr // it was there a moment ago; what it made is in the receipt
	}
	wait, cancel := context.WithTimeout(ctx, r.e.patience.clearPatience())
	defer cancel()
	left, err := client.Clear(wait)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, l := range left {
		r.warn(ctx, "LeftByKubernetes", l.Object, strings.TrimSpace(l.Handle+" is left in its cloud: "+l.Why))
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.warn(ctx, "KubernetesGone", "cluster "+r.cluster.Name, "its Kubernetes stopped answering while it removed what it had made: "+err.Error())
	}
	if r.status.Cleared = err == nil; !r.status.Cleared {
		left = merged(r.status.Leftovers, left) // what it didn't come to tell of may still be there
	}
	r.status.Leftovers = left
	return r.e.saveStatus(ctx, r.fence, store.Deleting, r.survey)
}

// merged adds what isn't known yet.
func merged(known, more []kube.Leftover) []kube.Leftover {
	for _, l := range more {
		if !slices.ContainsFunc(known, func(k kube.Leftover) bool { return k.Object == l.Object }) {
			known = append(known, l)
		}
	}
	return known
}
