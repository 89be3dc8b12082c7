package digitalocean

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// rate counts requests over the last hour and the last minute, as the API's limits do.
type rate struct {
	limits Limits
	clock  func() time.Time

	mu    sync.Mutex
	times []time.Time // of the last hour's requests, the oldest first; no more are kept than are permitted
}

func newRate(l Limits, clock func() time.Time) *rate { return &rate{limits: l, clock: clock} }

// keptTimes bounds how much is remembered where nothing is limited.
const keptTimes = 100_000

// admit counts a request, writes the headers that every answer has, and says whether there were too many.
func (r *rate) admit(h http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	for len(r.times) > 0 && now.Sub(r.times[0]) >= time.Hour || len(r.times) >= keptTimes {
		r.times = r.times[1:]
	}
	wait := r.wait(now)
	if wait <= 0 {
		r.times = append(r.times, now)
	}
	reset := now.Add(time.Hour)
	if len(r.times) > 0 {
		reset = r.times[0].Add(time.Hour)
	}
	h.Set("Ratelimit-Limit", strconv.Itoa(r.limits.PerHour))
	h.Set("Ratelimit-Remaining", strconv.Itoa(max(r.limits.PerHour-len(r.times), 0)))
	h.Set("Ratelimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	return wait <= 0
}

// wait is how long a request would have to wait.
func (r *rate) wait(now time.Time) time.Duration {
	if n := len(r.times); n >= r.limits.PerMinute {
		if left := time.Minute - now.Sub(r.times[n-r.limits.PerMinute]); left > 0 {
			return left
		}
	}
	if len(r.times) >= r.limits.PerHour {
		return time.Hour - now.Sub(r.times[0])
	}
	return 0
}
