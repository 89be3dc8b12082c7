package traffic

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// How a bucket follows what the cloud lets pass.
const (
	// slowest is which part of its usual rate a bucket keeps however often it is throttled.
	slowest = 1.0 / 20
	// cutEvery is how often a bucket gets slower at most: answers to calls that were under way together are one lesson.
	cutEvery = time.Second
	// recovery is how long it takes from no calls at all to the usual rate, while none is throttled. With half of the rate
	// lost by each throttled answer this lets more than a call a second pass through the worst storm.
	recovery = 30 * time.Second
	// longestTurn is the longest that a call waits for its turn once it is first in line. What a cloud wants to be left
	// alone with for longer is said to the caller, who may have something better to do.
	longestTurn = 30 * time.Second
)

// bucket is one token bucket, for the calls of one account to one scope. A throttled answer halves its rate and empties
// it; it is back at its usual rate some time after the last one.
type bucket struct {
	scope cloud.Scope
	// turn is held by the call that is first in line: the others wait in their order.
	turn chan struct{}

	mu     sync.Mutex
	tokens float64
	at     time.Time // when tokens was true
	rate   float64   // after the last cut
	cut    time.Time // when it was cut last; zero for never
	held   time.Time // until when the cloud wants no call
}

func newBucket(scope cloud.Scope) *bucket {
	return &bucket{scope: scope, turn: make(chan struct{}, 1), tokens: float64(scope.Burst), at: time.Now(), rate: scope.Rate}
}

// take waits for a call's turn. It gives up where that would be too long, or longer than the caller waits.
func (b *bucket) take(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		wait := b.next(time.Now())
		if wait <= 0 {
			return nil
		}
		if end, limited := ctx.Deadline(); wait > longestTurn || limited && time.Now().Add(wait).After(end) {
			return &cloud.Error{
				Class: cloud.Throttled, RetryAfter: wait,
				Message: fmt.Sprintf("too many calls (%s in %s): the next is not made before %s", b.scope.Family, b.scope.Region, clock(time.Now().Add(wait))),
			}
		}
		if err := cloud.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

// next takes a token, or says how long it is until there may be one.
func (b *bucket) next(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait := b.held.Sub(now); wait > 0 {
		return wait
	}
	b.fill(now)
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1-b.tokens)/b.pace(now)*float64(time.Second)) + time.Millisecond
}

// fill adds the tokens of the time that has passed; none while the cloud wants no calls. The caller holds the lock.
func (b *bucket) fill(now time.Time) {
	from := b.at
	if b.held.After(from) {
		from = b.held
	}
	if passed := now.Sub(from).Seconds(); passed > 0 {
		b.tokens = min(float64(b.scope.Burst), b.tokens+passed*b.pace(now))
	}
	if now.After(b.at) {
		b.at = now
	}
}

// pace is how many calls a second it lets pass now. The caller holds the lock.
func (b *bucket) pace(now time.Time) float64 {
	if b.cut.IsZero() {
		return b.scope.Rate
	}
	since := b.cut
	if b.held.After(since) {
		since = b.held
	}
	better := max(0, now.Sub(since)).Seconds() / recovery.Seconds()
	return min(b.scope.Rate, b.rate+b.scope.Rate*better)
}

// throttled slows the bucket down, and holds all calls for as long as the cloud asked.
func (b *bucket) throttled(now time.Time, asked time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := now.Add(asked); until.After(b.held) {
		b.held = until
	}
	if !b.cut.IsZero() && now.Sub(b.cut) < cutEvery {
		return
	}
	b.fill(now)
	b.slow(now, b.pace(now)/2)
}

// ease lets calls come back slowly after a time in which none was made, so that what piled up doesn't come all at once.
func (b *bucket) ease(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.slow(now, min(b.pace(now), b.scope.Rate/4))
}

// slow empties the bucket and sets its rate. The caller holds the lock.
func (b *bucket) slow(now time.Time, rate float64) {
	b.rate, b.cut = max(rate, b.scope.Rate*slowest), now
	b.tokens = min(b.tokens, 0)
}

// state is what the bucket holds now.
func (b *bucket) state(now time.Time) (left int, rate float64, held, cut time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return max(0, int(b.tokens)), b.pace(now), b.held, b.cut
}

// clock is a time of day as people get it in messages.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }
