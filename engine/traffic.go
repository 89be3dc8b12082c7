package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/store"
)

// AccountState is an account with what this engine knows of its calls.
type AccountState struct {
	store.Account
	traffic.State
	// Clusters are the names of those that use it.
	Clusters []string
}

// trafficOf is the traffic of a stored account, for as long as the engine runs.
func (e *Engine) trafficOf(name string) *traffic.Account {
	e.driverMu.Lock()
	defer e.driverMu.Unlock()
	return e.trafficLocked(name)
}

func (e *Engine) trafficLocked(name string) *traffic.Account {
	t := e.traffics[name]
	if t == nil {
		t = traffic.New()
		e.traffics[name] = t
	}
	return t
}

// AccountStates lists the accounts with how their calls fare; their secrets are in them, redacted by their type.
func (e *Engine) AccountStates(ctx context.Context) ([]AccountState, error) {
	accounts, err := e.store.ListAccounts(ctx)
	if err != nil {
		return nil, err
	}
	clusters, err := e.store.ListClusters(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []AccountState
	for _, a := range accounts {
		s := AccountState{Account: a, State: e.trafficOf(a.Name).State()}
		var clean scrubber
		clean.addAccount(a.Account)
		s.Message, s.LastError = clean.clean(s.Message), clean.clean(s.LastError)
		for i := range s.Lanes {
			s.Lanes[i].Message = clean.clean(s.Lanes[i].Message)
		}
		for _, c := range clusters {
			for _, site := range c.Spec.Spec.Sites {
				if site.Account == a.Name && !slices.Contains(s.Clusters, c.Name) {
					s.Clusters = append(s.Clusters, c.Name)
				}
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// tellAccounts writes an event for a cluster when the calls of one of its accounts begin to fail as a whole, and when they
// are good again. That a cloud throttles them is no news: they only take longer.
func (e *Engine) tellAccounts(ctx context.Context, c store.Cluster) {
	told := map[string]bool{}
	defer func() { // of sites that it has no more nobody is told
		e.driverMu.Lock()
		defer e.driverMu.Unlock()
		maps.DeleteFunc(e.told, func(k tellKey, _ string) bool { return k.cluster == c.UID && !told[k.account] })
	}()
	for _, site := range c.Spec.Spec.Sites {
		if told[site.Account] {
			continue
		}
		told[site.Account] = true
		now := e.trafficOf(site.Account).State()
		bad := now.Failing()
		key := tellKey{c.UID, site.Account}
		e.driverMu.Lock()
		was := e.told[key]
		if bad {
			e.told[key] = now.Condition.State
		} else {
			delete(e.told, key)
		}
		e.driverMu.Unlock()
		var clean scrubber
		if a, err := e.store.GetAccount(ctx, site.Account); err == nil {
			clean.addAccount(a.Account)
		}
		switch {
		case bad && was != now.Condition.State:
			e.event(ctx, c.UID, store.Warning, now.Condition.State, "account "+site.Account, clean.clean(now.Message))
		case !bad && was != "":
			e.event(ctx, c.UID, store.Normal, "AccountReady", "account "+site.Account, "its calls are answered again")
		}
	}
}

// tellKey is a cluster and one of its accounts.
type tellKey struct{ cluster, account string }
