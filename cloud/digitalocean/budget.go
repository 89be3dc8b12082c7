package digitalocean

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// burstShare is which part of an hour's calls may be made in one minute: 250 of 5,000, which no header tells.
const burstShare = 20

// reserveShare is which part of an hour's calls is left is little: from there on what is left is spread over the time
// until more is given.
const reserveShare = 50

const (
	// mostGap is the longest time between two calls that are spread.
	mostGap = 30 * time.Second
	// mostPause is the longest that a call waits for its turn: a few minutes, each of which lets 250 pass. One that would
	// have to wait for longer isn't made at all.
	mostPause = 5 * time.Minute
)

// budget keeps the calls of one token within what DigitalOcean allows, as the headers of its answers tell it, whoever else
// uses the token. Before the first answer, and behind an endpoint that tells nothing, it holds nobody up.
type budget struct {
	next http.RoundTripper
	now  func() time.Time

	mu        sync.Mutex
	limit     int // calls an hour, 0 while unknown
	remaining int
	reset     time.Time
	held      time.Time   // until when none is made, as an answer asked for
	slot      time.Time   // when the next one may be made while calls are spread
	made      []time.Time // calls of the last minute, the oldest first
}

func newBudget(next http.RoundTripper) *budget { return &budget{next: next, now: time.Now} }

func (b *budget) RoundTrip(r *http.Request) (*http.Response, error) {
	wait, ok := b.take(r.Context())
	if !ok {
		return nil, &cloud.Error{
			Class: cloud.Throttled, RetryAfter: wait,
			Message: fmt.Sprintf("the calls that DigitalOcean allows this token are used up, and it takes more in %s", wait.Round(time.Second)),
		}
	}
	if err := cloud.Pause(r.Context(), wait); err != nil {
		return nil, err
	}
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		b.learn(answer.StatusCode, answer.Header)
	}
	return answer, err
}

// take says how long a call has to wait for its turn, and counts it; ok is false where that is too long, or longer than
// whoever makes it waits.
func (b *budget) take(ctx context.Context) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for len(b.made) > 0 && now.Sub(b.made[0]) >= time.Minute {
		b.made = b.made[1:]
	}
	at := later(now, b.held)
	if burst := b.limit / burstShare; burst > 0 && len(b.made) >= burst {
		at = later(at, b.made[len(b.made)-burst].Add(time.Minute))
	}
	left := b.reset.Sub(now)
	spread := b.limit > 0 && b.remaining < b.limit/reserveShare && left > 0 && left <= time.Hour
	if spread {
		at = later(at, b.slot)
	}
	wait = at.Sub(now)
	if end, limited := ctx.Deadline(); wait > mostPause || limited && at.After(end) {
		return wait, false
	}
	if spread {
		b.slot = at.Add(min(left/time.Duration(max(b.remaining, 1)), mostGap))
	}
	b.remaining--
	b.made = append(b.made, at)
	return wait, true
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// learn reads how much is left. After too many calls in a minute the answer says that nothing is left of the hour either,
// which isn't so, and how long to wait.
func (b *budget) learn(status int, h http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if status == http.StatusTooManyRequests {
		b.held = later(b.held, now.Add(retryAfter(h, now)))
		if h.Get("Retry-After") != "" {
			return
		}
	}
	limit, err := strconv.Atoi(h.Get("RateLimit-Limit"))
	if err != nil {
		return
	}
	b.limit = limit
	if n, err := strconv.Atoi(h.Get("RateLimit-Remaining")); err == nil {
		b.remaining = n
	}
	if at, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil {
		b.reset = now.Add(time.Unix(at, 0).Sub(clockOf(h, now)))
	}
}

// clockOf is the time at DigitalOcean when it answered, which keeps our own clock out of what its headers say.
func clockOf(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}
