package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
)

// AccountTraffic is how an account's calls fare, as the engine that answers sees it.
type AccountTraffic struct {
	State string `json:"state" enum:"Ready,Throttled,CircuitOpen,CredentialsRefused" doc:"the worst that holds: the cloud throttles calls; a part of it failed so often that it isn't asked for now; it refuses the credentials"`
	// Since is when the state began; none while it was never another.
	Since *time.Time `json:"since,omitempty"`
	// Message says in words what is wrong.
	Message string `json:"message,omitempty"`
	// Calls is how many were made in the last minute.
	Calls       int64      `json:"callsLastMinute"`
	LastError   string     `json:"lastError,omitempty"`
	LastErrorAt *time.Time `json:"lastErrorAt,omitempty"`
	Buckets     []Bucket   `json:"buckets,omitempty"`
	Clusters    []string   `json:"clusters,omitempty"`
}

// Bucket is one region and family of an account's calls.
type Bucket struct {
	Region string `json:"region"`
	Family string `json:"family"`
	State  string `json:"state"`
	// Tokens is how many calls may be made at once, Rate how many a second after them, and Limit the usual rate.
	Tokens int     `json:"tokens"`
	Rate   float64 `json:"rate"`
	Limit  float64 `json:"limit"`
	// Until is when the next call is made, where none is made now.
	Until   *time.Time `json:"until,omitempty"`
	Message string     `json:"message,omitempty"`
}

// listAccounts registers the list of accounts.
func (s *Server) listAccounts(api huma.API) {
	get(api, "/accounts", "List accounts, and how their calls fare", func(ctx context.Context, _ *struct{}) (*list[Account], error) {
		all, err := s.engine.AccountStates(ctx)
		var out []Account
		for _, a := range all {
			out = append(out, Account{
				Name: a.Name, Provider: string(a.Provider), Settings: a.Settings, Proxy: shown(a.Proxy), Created: a.Created, AccountTraffic: trafficOf(a),
			})
		}
		return listOf(out), err
	})
}

func trafficOf(a engine.AccountState) AccountTraffic {
	out := AccountTraffic{
		State: a.Condition.State, Since: given(a.Since), Message: a.Message, Calls: a.Calls, LastError: a.LastError, LastErrorAt: given(a.LastAt), Clusters: a.Clusters,
	}
	for _, l := range a.Lanes {
		out.Buckets = append(out.Buckets, Bucket{Region: l.Region, Family: l.Family, State: l.State, Tokens: l.Tokens, Rate: l.Rate, Limit: l.Limit, Until: given(l.Until), Message: l.Message})
	}
	return out
}

// given is a time in UTC, nil for none.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(0)
	return &t
}
