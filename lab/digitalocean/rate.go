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

// admit counts a request, writes the headers that every answer has, and says whether there were too many. Each request
// counts for an hour of its own. After too many in a minute nothing is said to be left, and for how long, as the API's
// document has it; after too many in an hour only when the oldest will be forgotten.
func (r *rate) admit(h http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	for len(r.times) > 0 && now.Sub(r.times[0]) >= time.Hour || len(r.times) >= keptTimes {
		r.times = r.times[1:]
	}
	minute := r.minute(now)
	ok := minute <= 0 && len(r.times) < r.limits.PerHour
	if ok {
		r.times = append(r.times, now)
	}
	reset, remaining := now.Add(time.Hour), max(r.limits.PerHour-len(r.times), 0)
	if len(r.times) > 0 {
		reset = r.times[0].Add(time.Hour)
	}
	if minute > 0 {
		remaining = 0
		h.Set("Retry-After", strconv.Itoa(int((minute+time.Second-1)/time.Second)))
	}
	h.Set("Ratelimit-Limit", strconv.Itoa(r.limits.PerHour))
	h.Set("Ratelimit-Remaining", strconv.Itoa(remaining))
	h.Set("Ratelimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	return ok
}

// minute is how long it takes until the last minute has room for a request.
func (r *rate) minute(now time.Time) time.Duration {
	if n := len(r.times); n >= r.limits.PerMinute {
		return time.Minute - now.Sub(r.times[n-r.limits.PerMinute])
	}
	return 0
}
