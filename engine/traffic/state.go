package traffic

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The states of an account's traffic, the worst that holds.
const (
	Ready       = "Ready"
	Throttled   = "Throttled"
	CircuitOpen = "CircuitOpen"
	Refused     = "CredentialsRefused"
)

// Condition is how an account's calls fare, in this engine.
type Condition struct {
	State string
	// Since is when that began; zero while it was never otherwise.
	Since time.Time
	// Message says in words what is wrong; empty while nothing is.
	Message string
}

// State is what is known of an account's calls.
type State struct {
	Condition
	// Calls is how many were made in the last minute.
	Calls int64
	// LastError is the last answer, or lack of one, that was about the cloud or the credentials themselves.
	LastError string
	LastAt    time.Time
	// Lanes are in the order of their regions and families.
	Lanes []Lane
}

// Lane is one region and family of an account's calls.
type Lane struct {
	Region, Family, State string
	// Tokens is how many calls may be made at once, Rate how many a second after them, Limit the usual rate.
	Tokens      int
	Rate, Limit float64
	// Until is when the next call may be made, where none is made now.
	Until   time.Time
	Message string
}

// state is how one lane fares now, with when that began.
func (l *lane) state(now time.Time) (s Lane, since time.Time) {
	tokens, rate, held, cut := l.bucket.state(now)
	s = Lane{Region: l.scope.Region, Family: l.scope.Family, State: Ready, Tokens: tokens, Rate: rate, Limit: l.scope.Rate}
	from, until, last, open := l.circuit.open()
	switch {
	case open:
		s.State, s.Until = CircuitOpen, until
		s.Message = fmt.Sprintf("%s has failed since %s, and is not asked again until %s: %s", l, clock(from), clock(until), words(last))
		return s, from
	case held.After(now):
		s.Until = held
		fallthrough
	case rate < l.scope.Rate:
		s.State, s.Message = Throttled, fmt.Sprintf("the cloud throttled %s at %s: %.1f instead of %g calls a second are made", l, clock(cut), rate, l.scope.Rate)
		return s, cut
	}
	return s, time.Time{}
}

// Failing says that calls of the account fail as a whole: none is made for now.
func (c Condition) Failing() bool { return severity[c.State] > severity[Throttled] }

// severity orders the states of lanes.
var severity = map[string]int{Ready: 0, Throttled: 1, CircuitOpen: 2, Refused: 3}

// State says how the account's calls fare now.
func (t *Account) State() State {
	now := time.Now()
	out := State{Calls: t.lastMinute(now)}
	out.Condition, out.Lanes = t.condition(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil {
		out.LastError, out.LastAt = words(t.last), t.lastAt
	}
	return out
}

// condition is how the account fares now, and its lanes.
func (t *Account) condition(now time.Time) (Condition, []Lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Condition{State: Ready}
	var lanes []Lane
	for _, l := range t.lanes {
		s, since := l.state(now)
		lanes = append(lanes, s)
		if severity[s.State] > severity[c.State] {
			c = Condition{State: s.State, Since: since, Message: s.Message}
		}
	}
	if since, until, last, open := t.refused.open(); open {
		c = Condition{State: Refused, Since: since, Message: fmt.Sprintf("the credentials have been refused since %s, and are not tried again until %s: %s", clock(since), clock(until), words(last))}
	}
	switch {
	case c.State == t.shown.State:
		c.Since = t.shown.Since
	case c.State == Ready && t.shown.State != "":
		c.Since = now
	}
	t.shown = c
	slices.SortFunc(lanes, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Family, b.Family))
	})
	return c, lanes
}
