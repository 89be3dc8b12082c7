// Package traffic is the way of all calls of one account to its cloud: a token bucket for each region and family of calls,
// which slows down when the cloud throttles it, and circuits that keep calls from being made which won't be answered. It
// learns from answers as the account's driver judges them, and says in words what it has learned.
package traffic

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// The token bucket of calls of which the driver doesn't say how many are allowed: calls a second, and how many at once after
// a pause.
const (
	callsPerSecond = 20
	callsBurst     = 60
)

// hung is how long a call has been under way at least when the caller's patience ends and the cloud is blamed for it.
const hung = 10 * time.Second

// Account is the way of all calls of one account, whichever cluster they are for: each region and family of calls has its
// token bucket and its circuit, and the account as a whole a circuit for credentials that are refused. Its methods are safe
// for concurrent use.
type Account struct {
	refused *circuit

	mu    sync.Mutex
	lanes map[laneID]*lane
	made  [60]struct{ second, calls int64 } // calls by second, of the last minute
	// last is the last error that was about the cloud or the account themselves.
	last   error
	lastAt time.Time
	shown  Condition
	tell   func(family, outcome string)
}

type laneID struct{ region, family string }

// lane is the way of one account's calls to one scope.
type lane struct {
	scope   cloud.Scope
	bucket  *bucket
	circuit *circuit
}

// New is the traffic of an account of which nothing is known.
func New() *Account {
	return &Account{refused: newCircuit(refusal), lanes: map[laneID]*lane{}}
}

// Tell has a function hear of every call that was made: "ok", or the class of what came of it.
func (t *Account) Tell(f func(family, outcome string)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell = f
}

// told says how a call ended.
func (t *Account) told(l *lane, outcome string) {
	t.mu.Lock()
	f := t.tell
	t.mu.Unlock()
	if f != nil {
		f(l.scope.Family, outcome)
	}
}

// Reset forgets what was learned of the account's credentials and of services that didn't answer: somebody has done
// something about it, or wants to know.
func (t *Account) Reset() {
	t.refused.good()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lanes {
		l.circuit.good()
	}
}

// Transport is the traffic as the driver's constructor wants it.
func (t *Account) Transport() cloud.Transport {
	return func(next http.RoundTripper) http.RoundTripper {
		wire, ok := next.(cloud.Wire)
		if !ok {
			wire = cloud.Wire{RoundTripper: next}
		}
		return roundTripper(func(req *http.Request) (*http.Response, error) { return t.send(wire, req) })
	}
}

// send makes a call when its turn has come, and learns from how it ends.
func (t *Account) send(wire cloud.Wire, req *http.Request) (*http.Response, error) {
	ctx, l := req.Context(), t.lane(wire, req)
	at, err := t.enter(ctx, l)
	if err == nil {
		err = l.bucket.take(ctx)
	}
	if err == nil && !at.probing() { // meanwhile others may have learned something
		err = t.shut(ctx, l)
	}
	if err != nil {
		t.leave(l, at)
		return cloud.NotSent(req, err)
	}
	if c, ok := ctx.Value(tallyKey{}).(*Tally); ok {
		c.add(l.String())
	}
	began := time.Now()
	t.count(began)
	answer, err := wire.RoundTripper.RoundTrip(req)
	at.began = began
	if err != nil {
		t.unanswered(ctx, l, at, err)
		return answer, err
	}
	verdict, err := wire.Verdict(answer)
	if err != nil { // the connection broke in the middle of the answer
		t.unanswered(ctx, l, at, err)
		return nil, err
	}
	t.answered(l, at, verdict)
	return answer, nil
}

// passage is a call that was let through: which circuits it is a probe of.
type passage struct {
	began               time.Time
	probeLane, probeAll bool
}

func (p passage) probing() bool { return p.probeLane || p.probeAll }

func (t *Account) lane(wire cloud.Wire, req *http.Request) *lane {
	scope := cloud.Scope{Region: cloud.Global, Family: req.URL.Host}
	if wire.Scope != nil {
		scope = wire.Scope(req)
	}
	if scope.Rate <= 0 || scope.Burst <= 0 {
		scope.Rate, scope.Burst = callsPerSecond, callsBurst
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id := laneID{scope.Region, scope.Family}
	l := t.lanes[id]
	if l == nil {
		l = &lane{scope: scope, bucket: newBucket(scope), circuit: newCircuit(outage)}
		t.lanes[id] = l
	}
	return l
}

// enter asks both circuits whether a call may be made now.
func (t *Account) enter(ctx context.Context, l *lane) (p passage, err error) {
	var ok bool
	if p.probeAll, ok, err = pass(ctx, t.refused); ok {
		p.probeLane, ok, err = pass(ctx, l.circuit)
	}
	if err == nil && !ok {
		err = t.shut(ctx, l)
	}
	return p, err
}

// pass asks a circuit, and where a probe is under way that says more, waits for it.
func pass(ctx context.Context, c *circuit) (probe, ok bool, err error) {
	for {
		var ends <-chan struct{}
		if probe, ok, ends = c.allow(time.Now(), eagerSince(ctx)); ends == nil {
			return probe, ok, nil
		}
		select {
		case <-ends:
		case <-ctx.Done():
			return false, false, ctx.Err()
		}
	}
}

type eagerKey struct{}

// Eager returns a context for what somebody has just asked for and waits for: what is not asked because it has failed is asked
// once more at once, as it may have been mended meanwhile.
func Eager(ctx context.Context) context.Context {
	return context.WithValue(ctx, eagerKey{}, time.Now())
}

// eagerSince is when the context became an eager one, the zero time when it isn't.
func eagerSince(ctx context.Context) time.Time {
	at, _ := ctx.Value(eagerKey{}).(time.Time)
	return at
}

// leave takes back what a call that was not made, or taught nothing, has been let through for.
func (t *Account) leave(l *lane, p passage) {
	t.refused.dropped(p.probeAll)
	l.circuit.dropped(p.probeLane)
}

// shut is the error of calls that an open circuit keeps from being made, nil while both are closed. That of an eager one doesn't
// say when the next is made: asking is enough.
func (t *Account) shut(ctx context.Context, l *lane) error {
	now, eager := time.Now(), !eagerSince(ctx).IsZero()
	if since, until, last, open := t.refused.open(); open {
		next := ""
		if !eager {
			next = ", so no call is made with them before " + clock(until)
		}
		return &cloud.Error{
			Class: cloud.Denied, Credentials: true, RetryAfter: max(until.Sub(now), time.Second),
			Message: fmt.Sprintf("the account's credentials have been refused since %s%s: %s", clock(since), next, words(last)),
		}
	}
	if since, until, last, open := l.circuit.open(); open {
		next := ""
		if !eager {
			next = ", so it is not asked again until " + clock(until)
		}
		return &cloud.Error{
			Class: cloud.Unavailable, RetryAfter: max(until.Sub(now), time.Second),
			Message: fmt.Sprintf("%s has failed since %s%s: %s", l, clock(since), next, words(last)),
		}
	}
	return nil
}

func (l *lane) String() string { return l.scope.Family + " in " + l.scope.Region }

// words are what an error says, without what was being done: that is another's call.
func words(err error) string {
	if e, ok := err.(*cloud.Error); ok { //nolint:errorlint // what is around it says what was being done
		plain := *e
		plain.Op = ""
		return plain.Error()
	}
	return err.Error()
}

// unanswered learns from a call that got no answer. Whose caller gave up early says nothing about the cloud.
func (t *Account) unanswered(ctx context.Context, l *lane, p passage, err error) {
	now := time.Now()
	why := cloud.Unanswered(err)
	t.told(l, "unanswered")
	if ctx.Err() != nil && (context.Cause(ctx) != context.DeadlineExceeded || now.Sub(p.began) < hung) || why.Class != cloud.Unavailable { //nolint:errorlint // the bare error is meant
		t.leave(l, p)
		return
	}
	if ctx.Err() != nil {
		why = &cloud.Error{Class: cloud.Unavailable, Message: fmt.Sprintf("no answer came within %s", now.Sub(p.began).Round(time.Second))}
	}
	t.refused.dropped(p.probeAll)
	l.circuit.bad(now, p.began, p.probeLane, why)
	t.remember(now, why)
}

// answered learns from an answer: verdict is what its driver makes of one that is no success.
func (t *Account) answered(l *lane, p passage, verdict *cloud.Error) {
	now := time.Now()
	if verdict == nil {
		t.told(l, "ok")
	} else {
		t.told(l, string(verdict.Class))
	}
	switch {
	case verdict != nil && verdict.NoRegion: // the account's other regions may be well
		t.refused.dropped(p.probeAll)
		t.back(now, l)
	case verdict != nil && verdict.Credentials:
		t.refused.bad(now, p.began, p.probeAll, verdict)
		l.circuit.dropped(p.probeLane)
	case verdict != nil && verdict.Class == cloud.Unavailable:
		t.refused.dropped(p.probeAll)
		l.circuit.bad(now, p.began, p.probeLane, verdict)
	case verdict != nil && verdict.Class == cloud.Throttled:
		t.refused.dropped(p.probeAll)
		t.back(now, l)
		l.bucket.throttled(now, verdict.RetryAfter)
	default:
		t.refused.good()
		t.back(now, l)
		return
	}
	t.remember(now, verdict)
}

// back is for a service that answers: after an outage what waits for it comes back slowly.
func (t *Account) back(now time.Time, l *lane) {
	if l.circuit.good() {
		l.bucket.ease(now)
	}
}

func (t *Account) remember(now time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.lastAt = err, now
}

// count notes a call for the count of the last minute.
func (t *Account) count(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	second := now.Unix()
	slot := &t.made[second%int64(len(t.made))]
	if slot.second != second {
		slot.second, slot.calls = second, 0
	}
	slot.calls++
}

// lastMinute is how many calls were made in the last minute.
func (t *Account) lastMinute(now time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int64(0)
	for _, slot := range t.made {
		if age := now.Unix() - slot.second; age >= 0 && age < int64(len(t.made)) {
			n += slot.calls
		}
	}
	return n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Tally counts the calls of one piece of work by their family and region. Its methods are safe for concurrent use.
type Tally struct {
	mu sync.Mutex
	by map[string]int64
}

type tallyKey struct{}

// Counted returns a context in which the calls to clouds are counted by the tally.
func (c *Tally) Counted(ctx context.Context) context.Context {
	return context.WithValue(ctx, tallyKey{}, c)
}

func (c *Tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int64{}
	}
	c.by[what]++
}

// Counts are the calls so far by what they were, as in "ec2 in us-east-1".
func (c *Tally) Counts() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

// Total is how many calls there were so far.
func (c *Tally) Total() (n int64) {
	for _, v := range c.Counts() {
		n += v
	}
	return n
}
