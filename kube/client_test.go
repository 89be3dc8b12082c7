package kube

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialAny: the first API server is taken where it answers; one of a cloud that is away costs a moment, and no
// connection is left open that nobody uses.
func TestDialAny(t *testing.T) {
	type server struct {
		after time.Duration // until it answers, or refuses; 0 is never
		fails bool
	}
	for name, c := range map[string]struct {
		servers []server
		want    string
		within  time.Duration
	}{
		"the first answers":                {[]server{{time.Millisecond, false}, {time.Millisecond, false}}, "0", time.Millisecond},
		"the first is slow":                {[]server{{200 * time.Millisecond, false}, {time.Millisecond, false}}, "0", 200 * time.Millisecond},
		"the first is silent":              {[]server{{}, {time.Millisecond, false}, {time.Millisecond, false}}, "1", 301 * time.Millisecond},
		"two are silent":                   {[]server{{}, {}, {time.Millisecond, false}}, "2", 601 * time.Millisecond},
		"the first refuses":                {[]server{{time.Millisecond, true}, {time.Millisecond, false}}, "1", 2 * time.Millisecond},
		"all refuse":                       {[]server{{time.Millisecond, true}, {time.Millisecond, true}}, "", 2 * time.Millisecond},
		"all are silent":                   {[]server{{}, {}, {}}, "", dialPatience + 600*time.Millisecond},
		"the first comes after the second": {[]server{{time.Second, false}, {100 * time.Millisecond, false}}, "1", 400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var open atomic.Int32
				var backends []Backend
				for i, s := range c.servers {
					backends = append(backends, Backend{Address: string(rune('0' + i)), Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
						var answer <-chan time.Time
						if s.after > 0 {
							answer = time.After(s.after)
						}
						select {
						case <-answer:
						case <-ctx.Done():
							return nil, ctx.Err()
						}
						if s.fails {
							return nil, errors.New("refused")
						}
						open.Add(1)
						return counted{address: address, open: &open}, nil
					}})
				}
				begin := time.Now()
				conn, err := dialAny(t.Context(), "tcp", backends)
				if took := time.Since(begin); took > c.within {
					t.Errorf("it took %s, want at most %s", took, c.within)
				}
				switch {
				case c.want == "" && (err == nil || strings.Count(err.Error(), ": ") < len(c.servers)):
					t.Errorf("not all of %d failures are told: %v", len(c.servers), err)
				case c.want != "" && (err != nil || conn.(counted).address != c.want):
					t.Errorf("got %v, %v, want %s", conn, err, c.want)
				}
				time.Sleep(time.Minute)
				if conn != nil {
					open.Add(-1)
				}
				if n := open.Load(); n != 0 {
					t.Errorf("%d connections are left open", n)
				}
			})
		})
	}
}

type counted struct {
	net.Conn
	address string
	open    *atomic.Int32
}

func (c counted) Close() error {
	c.open.Add(-1)
	return nil
}
