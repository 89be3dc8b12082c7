package cloudtest

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// Op is a method of a driver that talks to the cloud.
type Op string

// The operations.
const (
	OpObserve   Op = "observe"
	OpCreate    Op = "create"
	OpUpdate    Op = "update"
	OpDelete    Op = "delete"
	OpCheck     Op = "check"
	OpInventory Op = "inventory"
	OpConsole   Op = "console"
)

// Call is one call of a driver's method, as the cloud saw it.
type Call struct {
	// Seq numbers the calls from 1 in the order they arrived.
	Seq  int
	At   time.Time
	Op   Op
	Kind cloud.Kind
	// Key, Cluster, Region, ID, Token and Fields are those of the request, as far as the operation has them; ID is also
	// filled by a create.
	Key, Cluster, Region, ID, Token string
	Fields                          []string
	// Effect says that the call changed the cloud, whatever it answered.
	Effect bool
	// Done says that the call was answered, Err with what.
	Done bool
	Err  error
}

func (c Call) String() string {
	return fmt.Sprintf("#%d %s %s %s id=%s token=%s effect=%v err=%v", c.Seq, c.Op, c.Kind, c.Key, c.ID, c.Token, c.Effect, c.Err)
}

// Calls returns the log of all calls so far.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Call, len(c.calls))
	for i, call := range c.calls {
		out[i] = *call
	}
	return out
}

// ForgetCalls drops the answered calls from the log; the numbers go on.
func (c *Cloud) ForgetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = slices.DeleteFunc(c.calls, func(call *Call) bool { return call.Done })
}

// Hooks run around each call, with no lock held: they may panic, block, call the cloud or end the caller's goroutine.
type Hooks struct {
	// Before runs before anything happened. Its error ends the call without effect.
	Before func(ctx context.Context, call Call) error
	// After runs when the effect is there and the answer known. The error it returns is what the caller gets.
	After func(ctx context.Context, call Call, err error) error
}

// SetHooks replaces the hooks.
func (c *Cloud) SetHooks(h Hooks) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = h
}

// Fault is a rule for what goes wrong on purpose. It applies to the calls that match all of Op, Kind and Key that are
// set.
type Fault struct {
	Op   Op
	Kind cloud.Kind
	Key  string

	// Nth picks the nth matching call only, counted from 1. Zero picks by Rate, and with no Rate every call.
	Nth int
	// Rate is the share of matching calls that are hit, 0 to 1, decided by the cloud's seed.
	Rate float64
	// Times is how often the fault strikes at most; zero for no limit.
	Times int

	// AfterEffect lets the call do its work first: the caller sees a failure of something that happened.
	AfterEffect bool
	// Twice has the call do its work twice, as happens when something on the way repeats it; the caller sees the second answer.
	Twice bool
	// Delay is waited for first, then Until (when set) to be closed or receive.
	Delay time.Duration
	Until <-chan struct{}
	// Class, Code, Message and RetryAfter form the error. An empty class means that the call goes on after the delay.
	Class         cloud.Class
	Code, Message string
	RetryAfter    time.Duration
}

// rule is a fault in force.
type rule struct {
	Fault
	index, seen, struck int
}

// Inject puts a fault in force until the returned function is called.
func (c *Cloud) Inject(f Fault) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &rule{Fault: f, index: len(c.faults)}
	c.faults = append(c.faults, r)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.Op = "removed"
	}
}

// Heal removes every fault.
func (c *Cloud) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.faults {
		r.Op = "removed"
	}
}

// strikes picks the faults that hit a call. The caller holds the lock.
func (c *Cloud) strikes(call *Call) (before, after []Fault) {
	what := fmt.Sprintf("%s %s %s %s", call.Op, call.Kind, call.Key, call.Region)
	try := c.tries[what]
	c.tries[what]++
	for _, r := range c.faults {
		if (r.Op != "" && r.Op != call.Op) || (r.Kind != "" && r.Kind != call.Kind) || (r.Key != "" && r.Key != call.Key) {
			continue
		}
		r.seen++
		if (r.Times > 0 && r.struck >= r.Times) || (r.Nth > 0 && r.seen != r.Nth) {
			continue
		}
		if r.Nth == 0 && r.Rate > 0 && c.dice(r.index, what, try) >= r.Rate {
			continue
		}
		r.struck++
		if r.AfterEffect {
			after = append(after, r.Fault)
		} else {
			before = append(before, r.Fault)
		}
	}
	return before, after
}

// dice gives a number in [0,1) that depends on the seed, the rule, the call and its try, and not on the order in which
// parallel calls arrive.
func (c *Cloud) dice(rule int, what string, try int) float64 {
	h := fnv.New64a()
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], c.opts.Seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(rule))
	binary.LittleEndian.PutUint64(b[16:], uint64(try))
	h.Write(b[:])
	h.Write([]byte(what))
	x := h.Sum64()
	x ^= x >> 33 // FNV alone mixes the last bytes badly into the high bits
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// suffer waits as the faults say and returns the first error among them.
func suffer(ctx context.Context, faults []Fault) error {
	for _, f := range faults {
		if err := cloud.Pause(ctx, f.Delay); err != nil {
			return err
		}
		if f.Until != nil {
			select {
			case <-f.Until:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if f.Class != "" {
			msg := f.Message
			if msg == "" {
				msg = "fault on purpose"
			}
			return &cloud.Error{Class: f.Class, Code: f.Code, Message: msg, RetryAfter: f.RetryAfter}
		}
	}
	return nil
}

// call is the way of every call: log, hook, faults, effect under the lock, faults, hook.
func (c *Cloud) call(ctx context.Context, in Call, effect func(*Call) error) error {
	call := &in
	c.mu.Lock()
	c.seq++
	call.Seq, call.At = c.seq, time.Now()
	c.calls = append(c.calls, call)
	before, after := c.strikes(call)
	hooks, shown := c.hooks, *call
	c.mu.Unlock()

	err := ctx.Err()
	if err == nil && hooks.Before != nil {
		err = hooks.Before(ctx, shown)
	}
	if err == nil {
		err = suffer(ctx, before)
	}
	if err == nil {
		err = cloud.Pause(ctx, c.opts.Latency)
	}
	if err == nil && slices.ContainsFunc(before, func(f Fault) bool { return f.Twice }) {
		_ = c.locked(call, effect) // nobody hears of it
	}
	if err == nil {
		err = c.locked(call, effect)
	}
	if err == nil {
		err = suffer(ctx, after)
	}
	err = describe(err, call)
	if hooks.After != nil {
		c.mu.Lock()
		shown = *call
		c.mu.Unlock()
		err = hooks.After(ctx, shown, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	call.Done, call.Err = true, err
	return err
}

func (c *Cloud) locked(call *Call, effect func(*Call) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revoked {
		return &cloud.Error{Class: cloud.Denied, Code: "AuthFailure", Credentials: true, Message: "the credentials are not valid"}
	}
	return effect(call)
}
