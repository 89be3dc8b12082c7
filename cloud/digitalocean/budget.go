package digitalocean

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// burstShare is which part of an hour's calls may be made in one minute: 250 of 5,000.
const burstShare = 20

// reserveShare is which part of an hour's calls is left is little: from there on what is left is spread over the time
// until it is renewed.
const reserveShare = 50

// mostPause is the longest that a call waits for its turn. After that it is made, and DigitalOcean says what it thinks of it.
const mostPause = 30 * time.Second

// budget keeps the calls of one account within what DigitalOcean allows, as the headers of its answers tell it. Before
// the first answer, and behind an endpoint that tells nothing, it holds nobody up.
type budget struct {
	next http.RoundTripper
	now  func() time.Time

	mu        sync.Mutex
	limit     int // calls an hour, 0 while unknown
	remaining int
	reset     time.Time
	made      []time.Time // calls of the last minute, the oldest first
}

func newBudget(next http.RoundTripper) *budget { return &budget{next: next, now: time.Now} }

func (b *budget) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := pause(r.Context(), b.take()); err != nil {
		return nil, err
	}
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		b.learn(answer.Header)
	}
	return answer, err
}

// take counts a call and says how long it has to wait for its turn.
func (b *budget) take() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for len(b.made) > 0 && now.Sub(b.made[0]) >= time.Minute {
		b.made = b.made[1:]
	}
	at := now
	if burst := b.limit / burstShare; burst > 0 && len(b.made) >= burst {
		at = b.made[len(b.made)-burst].Add(time.Minute)
	}
	if left := b.reset.Sub(now); b.limit > 0 && b.remaining < b.limit/reserveShare && left > 0 && left <= time.Hour {
		if spread := now.Add(left / time.Duration(max(b.remaining, 1))); spread.After(at) {
			at = spread
		}
	}
	at = at.Add(min(0, mostPause-at.Sub(now)))
	b.remaining--
	b.made = append(b.made, at)
	return at.Sub(now)
}

// learn reads how much is left.
func (b *budget) learn(h http.Header) {
	limit, err := strconv.Atoi(h.Get("RateLimit-Limit"))
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	if n, err := strconv.Atoi(h.Get("RateLimit-Remaining")); err == nil {
		b.remaining = n
	}
	if at, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil {
		b.reset = time.Unix(at, 0)
	}
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
