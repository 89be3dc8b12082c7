package traffic

import (
	"math/rand/v2"
	"sync"
	"time"
)

// limits say when a circuit opens and for how long.
type limits struct {
	// failures in a row, with no good answer between them, open it.
	failures int
	// first is how long it stays open at first. Each probe that fails doubles that, up to most.
	first, most time.Duration
}

var (
	// outage is for a service that doesn't answer, or answers that it is in trouble.
	outage = limits{failures: 5, first: 5 * time.Second, most: 5 * time.Minute}
	// refusal is for credentials that nobody is let in with: somebody has to do something, and a cloud may lock out who
	// goes on trying.
	refusal = limits{failures: 3, first: 15 * time.Second, most: time.Hour}
)

// circuit keeps calls from being made that won't be answered. While it is open none is; then one at a time is let through as a
// probe, and the first good answer closes it.
type circuit struct {
	limits

	mu     sync.Mutex
	row    int       // failures in a row
	since  time.Time // when the first of them was
	last   error     // the last of them
	opened time.Time // when it was opened, or opened again by a probe
	until  time.Time // the earliest time of the next probe; zero while it is closed
	pause  time.Duration
	probe  chan struct{} // closed when the probe ends that is under way; nil while none is
}

func newCircuit(l limits) *circuit { return &circuit{limits: l} }

// allow says whether a call may be made, and whether it is a probe; who gets one must say how it ended. A call of somebody who
// has begun to wait at a time (see Eager) needs no turn: it is a probe itself unless one has failed since then. Where one is
// under way, it is to ask again when that has ended.
func (c *circuit) allow(now, eager time.Time) (probe, ok bool, ends <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	early := !eager.IsZero() && c.opened.Before(eager)
	switch {
	case c.until.IsZero():
		return false, true, nil
	case c.probe != nil && early:
		return false, false, c.probe
	case c.probe != nil || now.Before(c.until) && !early:
		return false, false, nil
	}
	c.probe = make(chan struct{})
	return true, true, nil
}

// ended is for a probe. The caller holds the lock.
func (c *circuit) ended() {
	if c.probe != nil {
		close(c.probe)
		c.probe = nil
	}
}

// good closes the circuit, and says whether it was open.
func (c *circuit) good() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := !c.until.IsZero()
	c.row, c.since, c.last, c.opened, c.until, c.pause = 0, time.Time{}, nil, time.Time{}, time.Time{}, 0
	c.ended()
	return open
}

// bad counts a failed call that was begun at a time. Calls that were under way when the circuit opened tell nothing new; a
// probe before its time leaves that as it is.
func (c *circuit) bad(now, began time.Time, probe bool, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.until.IsZero() && !probe {
		return
	}
	if c.row++; c.row == 1 {
		c.since = began
	}
	c.last = why
	if c.row < c.failures {
		return
	}
	c.opened = now
	c.ended()
	if now.Before(c.until) {
		return
	}
	c.pause = min(max(2*c.pause, c.first), c.most)
	c.until = now.Add(c.pause - rand.N(c.pause/5+1))
}

// dropped takes back a probe of which nothing was learned.
func (c *circuit) dropped(probe bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if probe {
		c.ended()
	}
}

// open says since when the circuit is open, until when at least, and by what; ok is false while it is closed.
func (c *circuit) open() (since, until time.Time, last error, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, c.until, c.last, !c.until.IsZero()
}
