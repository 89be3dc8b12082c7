package engine

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/skyweld/skyweld/cloud"
)

// The token bucket of each account, region and API family: calls a second, and how many at once after a pause. They lie
// below what the clouds allow everybody.
const (
	callsPerSecond = 20
	callsBurst     = 60
)

// limiter is the transport of one account: it holds each API host (which stands for region and family) to its token
// bucket and counts the calls for the run they are made by.
type limiter struct {
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

func newLimiter() *limiter { return &limiter{buckets: map[string]*rate.Limiter{}} }

// transport is the limiter as the driver's constructor wants it.
func (l *limiter) transport() cloud.Transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if err := l.bucket(req.URL.Host).Wait(req.Context()); err != nil {
				return nil, err
			}
			if c, ok := req.Context().Value(callsKey{}).(*atomic.Int64); ok {
				c.Add(1)
			}
			return next.RoundTrip(req)
		})
	}
}

func (l *limiter) bucket(host string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[host]
	if b == nil {
		b = rate.NewLimiter(callsPerSecond, callsBurst)
		l.buckets[host] = b
	}
	return b
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type callsKey struct{}

// countCalls returns a context in which calls to clouds are counted.
func countCalls(ctx context.Context) (context.Context, *atomic.Int64) {
	c := new(atomic.Int64)
	return context.WithValue(ctx, callsKey{}, c), c
}
