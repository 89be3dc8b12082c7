package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// LeftItem is one thing that was left at a site which a user gave up.
type LeftItem struct {
	Kind   string `json:"kind"`
	Key    string `json:"key"`
	Region string `json:"region"`
	// ID is the cloud's own, empty for what may or may not have been made.
	ID   string `json:"id,omitempty"`
	Note string `json:"note,omitempty"`
}

// abandonable checks the sites that are to be given up in a deletion, and says of each why the engine can't empty it.
func (e *Engine) abandonable(ctx context.Context, c store.Cluster, sites []string) ([]store.Abandonment, error) {
	done, err := e.store.ListAbandoned(ctx, c.UID)
	if err != nil {
		return nil, err
	}
	var out []store.Abandonment
	for _, name := range sites {
		i := slices.IndexFunc(c.Spec.Spec.Sites, func(s spec.Site) bool { return s.Name == name })
		if i < 0 {
			var names []string
			for _, s := range c.Spec.Spec.Sites {
				names = append(names, s.Name)
			}
			return nil, Invalidf("abandon", "found %q: cluster %s has no such site; %s", name, c.Name, thereAre(names)+spec.DidYouMean(name, names))
		}
		if slices.ContainsFunc(done, func(a store.Abandonment) bool { return a.Site == name }) {
			continue
		}
		why, err := e.lost(ctx, c, c.Spec.Spec.Sites[i])
		if err != nil {
			return nil, err
		}
		out = append(out, store.Abandonment{Cluster: c.UID, Site: name, Account: c.Spec.Spec.Sites[i].Account, Region: c.Spec.Spec.Sites[i].Region, Reason: why})
	}
	return out, nil
}

// lost says why the engine can't delete what is at a site: it can't be asked now, or the last run of the deletion failed
// there. That it can is a problem: what can be deleted isn't left behind.
func (e *Engine) lost(ctx context.Context, c store.Cluster, sp spec.Site) (string, error) {
	st, err := e.site(ctx, sp)
	if err != nil {
		return "", err
	}
	s := survey{e: e, cluster: c, sites: map[string]*site{sp.Name: st}}
	s.scrubber.addAccount(st.account)
	if _, err := s.observeSite(hurried(ctx), st); err != nil {
		return s.scrubber.clean(withAdvice(err, st.account.Name).Error()), nil
	}
	runs, err := e.store.ListRuns(ctx, c.UID, 5)
	if err != nil {
		return "", err
	}
	for _, r := range runs { // the newest first
		if r.Ended.IsZero() {
			continue
		}
		if c.DeleteRequested.IsZero() || r.Started.Before(c.DeleteRequested) {
			break
		}
		_, steps, err := e.store.GetRun(ctx, r.ID)
		if err != nil {
			return "", err
		}
		for _, step := range steps {
			if step.Site == sp.Name && step.State == store.StepFailed {
				return step.Error, nil
			}
		}
		break
	}
	return "", &Problem{Kind: NotNow, Field: "abandon", Message: fmt.Sprintf(
		"site %s can be reached (account %s, %s), so what is there can be deleted, and nothing was abandoned: leave --abandon out. "+
			"A site can be abandoned while its account can't be asked, or after a deletion has failed there", sp.Name, sp.Account, sp.Region)}
}

// forsake leaves the sites out of a cluster's spec that were given up, and remembers them.
func (s *survey) forsake(ctx context.Context) error {
	all, err := s.e.store.ListAbandoned(ctx, s.cluster.UID)
	if err != nil {
		return err
	}
	if s.abandoned = all; len(all) == 0 {
		return nil
	}
	s.spec = s.spec.Clone()
	s.spec.Spec.Sites = slices.DeleteFunc(s.spec.Spec.Sites, func(sp spec.Site) bool { return s.forsaken(sp.Name) })
	return nil
}

func (s *survey) forsaken(site string) bool {
	return slices.ContainsFunc(s.abandoned, func(a store.Abandonment) bool { return a.Site == site })
}

// dropForsaken takes out of what was observed what belongs to a site that was given up: lists of another site in the same
// account may show it.
func (s *survey) dropForsaken() {
	s.got = slices.DeleteFunc(s.got, func(o plan.Observed) bool {
		return o.Site == "" && slices.ContainsFunc(s.abandoned, func(a store.Abandonment) bool { return strings.HasPrefix(o.Key, a.Site+"-") })
	})
}

// settleAbandoned writes down what is left at the sites that were given up, and takes it out of the ledger.
func (e *Engine) settleAbandoned(ctx context.Context, fence store.Fence, s *survey) error {
	for _, a := range s.abandoned {
		if !a.Settled.IsZero() {
			continue
		}
		items := []LeftItem{}
		for _, line := range s.ledger.lines {
			if line.Site == a.Site {
				items = append(items, LeftItem{Kind: line.Kind, Key: line.Key, Region: line.Region, ID: line.ID})
			}
		}
		for _, i := range s.ledger.intents {
			if i.Site == a.Site && i.Action == string(plan.Create) {
				items = append(items, LeftItem{Kind: i.Kind, Key: i.Key, Region: i.Region, Note: "its creation was begun, and nobody knows what came of it"})
			}
		}
		data, err := json.Marshal(items)
		if err != nil {
			return fmt.Errorf("what is left at site %s: %w", a.Site, err)
		}
		if err := e.store.SettleAbandoned(ctx, fence, a.Site, data); err != nil {
			return err
		}
		e.event(ctx, s.cluster.UID, store.Warning, "Abandoned", "site "+a.Site, fmt.Sprintf("%d things are left in account %s, %s, because %s gave the site up: the receipt lists them", len(items), a.Account, a.Region, a.Who))
	}
	return nil
}
