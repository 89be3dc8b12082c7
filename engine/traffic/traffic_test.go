package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// service is a cloud of which the test says how it answers. Its requests are "https://REGION/FAMILY".
type service struct {
	*Account
	send http.RoundTripper

	mu     sync.Mutex
	answer func() (*cloud.Error, error)
	calls  []time.Time
}

func newService() *service {
	s := &service{Account: New()}
	s.send = s.Transport()(cloud.Wire{
		RoundTripper: roundTripper(func(r *http.Request) (*http.Response, error) { return s.serve(r) }),
		Scope: func(r *http.Request) cloud.Scope {
			return cloud.Scope{Region: r.URL.Host, Family: strings.Trim(r.URL.Path, "/"), Rate: 20, Burst: 60}
		},
		Judge: func(r *http.Response) (*cloud.Error, error) {
			e, _ := r.Request.Context().Value(verdictKey{}).(**cloud.Error)
			return *e, nil
		},
	})
	return s
}

type verdictKey struct{}

func (s *service) serve(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	answer := s.answer
	s.mu.Unlock()
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("")), Request: r, Header: http.Header{}}
	if answer == nil {
		return resp, nil
	}
	verdict, err := answer()
	if err != nil {
		return nil, err
	}
	if verdict != nil {
		resp.StatusCode = http.StatusServiceUnavailable
		*r.Context().Value(verdictKey{}).(**cloud.Error) = verdict
	}
	return resp, nil
}

// answers has the service answer so from now on; nil for well.
func (s *service) answers(verdict *cloud.Error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = nil
	if verdict != nil || err != nil {
		s.answer = func() (*cloud.Error, error) { return verdict, err }
	}
}

// call makes one call and gives its error: the answer's, or why it wasn't made.
func (s *service) call(ctx context.Context, at string) error {
	var verdict *cloud.Error
	req, err := http.NewRequestWithContext(context.WithValue(ctx, verdictKey{}, &verdict), http.MethodGet, "https://"+at, nil)
	if err != nil {
		return err
	}
	resp, err := s.send.RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if verdict != nil {
		return verdict
	}
	return nil
}

// atOnce makes calls side by side, each of which takes a while to be answered, and gives their errors.
func (s *service) atOnce(ctx context.Context, n int, at string) []error {
	s.mu.Lock()
	answer := s.answer
	s.answer = func() (*cloud.Error, error) {
		time.Sleep(100 * time.Millisecond)
		if answer == nil {
			return nil, nil
		}
		return answer()
	}
	s.mu.Unlock()
	failed := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { failed[i] = s.call(ctx, at) })
	}
	group.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
	return failed
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// insist makes a call again and again as the engine's steps do, until it succeeds or the context ends.
func (s *service) insist(ctx context.Context, at string) error {
	pauses := cloud.Backoff{First: 300 * time.Millisecond, Most: 15 * time.Second}
	for {
		err := s.call(ctx, at)
		if err == nil {
			return nil
		}
		asked := time.Duration(0)
		if e, ok := errors.AsType[*cloud.Error](err); ok {
			asked = e.RetryAfter
		}
		if cloud.Pause(ctx, pauses.Next(asked)) != nil {
			return err
		}
	}
}

var busy = &cloud.Error{Class: cloud.Throttled, Code: "RequestLimitExceeded", Message: "too many"}

// TestStorm has a dozen callers make calls while each is throttled, as the engine's steps do or as fast as they can: how many
// are made is bounded. When the storm is over the usual rate comes back.
func TestStorm(t *testing.T) {
	for _, c := range []struct {
		what string
		call func(*service, context.Context)
		most int
	}{
		{"callers with the engine's pauses", func(s *service, ctx context.Context) { _ = s.insist(ctx, "east/read") }, 12 * (600/7 + 8)},
		// One burst, and then a rate at which halves lost and what comes back by time are the same.
		{"callers without pauses", func(s *service, ctx context.Context) {
			_ = s.call(ctx, "east/read")
			_ = cloud.Pause(ctx, time.Millisecond)
		}, 60 + 20 + 600*2},
	} {
		synctest.Test(t, func(t *testing.T) { storm(t, c.what, c.call, c.most) })
	}
}

func storm(t *testing.T, what string, call func(*service, context.Context), most int) {
	s := newService()
	s.answers(busy, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			for ctx.Err() == nil {
				call(s, ctx)
			}
		})
	}
	group.Wait()
	t.Logf("%s: %d calls in a storm of ten minutes", what, s.count())
	if n := s.count(); n > most {
		t.Errorf("%s: %d calls were made in a storm of ten minutes, want %d at most", what, n, most)
	}
	if state := s.State(); state.Condition.State != Throttled || !strings.Contains(state.Message, "the cloud throttled read in east") {
		t.Errorf("%s: state %+v", what, state.Condition)
	}
	s.answers(nil, nil)
	time.Sleep(recovery)
	before, began := s.count(), time.Now()
	for range 12 {
		group.Go(func() {
			for range 20 {
				if err := s.call(t.Context(), "east/read"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n, took := s.count()-before, time.Since(began); n != 240 || took > 10*time.Second {
		t.Errorf("%s: after the storm %d calls took %s", what, n, took)
	}
	if state := s.State(); state.Condition.State != Ready {
		t.Errorf("%s: state %+v", what, state.Condition)
	}
}

// TestAskedToWait holds all calls for as long as the cloud asks for; those that would wait too long are told at once.
func TestAskedToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		for _, asked := range []time.Duration{20 * time.Second, 5 * time.Minute} {
			s.answers(&cloud.Error{Class: cloud.Throttled, RetryAfter: asked}, nil)
			_ = s.call(t.Context(), "east/read")
			s.answers(nil, nil)
			before, began := s.count(), time.Now()
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					if err := s.insist(t.Context(), "east/read"); err != nil {
						t.Error(err)
					}
				})
			}
			if err := s.call(t.Context(), "west/read"); err != nil || time.Since(began) > time.Second {
				t.Errorf("another region: %v after %s", err, time.Since(began))
			}
			group.Wait()
			for _, at := range s.calls[before+1:] {
				if at.Sub(began) < asked {
					t.Errorf("a call %s after the cloud asked for %s", at.Sub(began), asked)
				}
			}
			if asked > longestTurn {
				break
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			s.answers(&cloud.Error{Class: cloud.Throttled, RetryAfter: asked}, nil)
			_ = s.call(t.Context(), "east/read")
			if err := s.call(short, "east/read"); cloud.ClassOf(err) != cloud.Throttled || short.Err() != nil {
				t.Errorf("a call whose caller has no time: %v", err)
			}
			cancel()
			s.answers(nil, nil)
			time.Sleep(2 * time.Minute)
		}
	})
}

// TestAway has a cloud away for an hour, with a run of a dozen steps coming again all the time: that costs a handful of calls.
// When it is back all steps end soon, and don't come all at once.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.answers(nil, syscall.ECONNREFUSED)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var group sync.WaitGroup
		for range 12 {
			group.Go(func() {
				if err := s.insist(ctx, "east/read"); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Hour)
		away := s.count()
		t.Logf("%d calls in an hour, of 12 steps that try again all the time", away)
		if away > 12+30 {
			t.Errorf("%d calls were made to a cloud that was away for an hour", away)
		}
		state := s.State()
		if state.Condition.State != CircuitOpen || !state.Since.Equal(began) || !strings.Contains(state.Message, "read in east has failed since") || !state.Failing() {
			t.Errorf("state %+v since the beginning %s", state.Condition, began)
		}
		if err := s.call(t.Context(), "west/read"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("another region: %v; want it asked", err)
		}
		s.answers(nil, nil)
		back := time.Now()
		group.Wait()
		if took := time.Since(back); took > outage.most+outage.most/4+time.Minute {
			t.Errorf("the last step ended %s after the cloud was back", took)
		}
		seconds := map[int64]int{}
		for _, at := range s.calls[away+1:] {
			seconds[at.Unix()]++
		}
		for at, n := range seconds {
			if n > 6 {
				t.Errorf("%d of 12 calls come in the second %d after the cloud is back", n, at-back.Unix())
			}
		}
		if state := s.State(); state.Failing() {
			t.Errorf("state %+v", state.Condition)
		}
	})
}

// TestOpen says which errors open a circuit, and what others get then.
func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := &cloud.Error{Class: cloud.Unavailable, Code: "InternalError", Message: "trouble"}
		for _, c := range []struct {
			name    string
			verdict *cloud.Error
			err     error
			open    bool
		}{
			{"5xx", down, nil, true},
			{"refused connections", nil, syscall.ECONNREFUSED, true},
			{"broken answers", nil, io.ErrUnexpectedEOF, true},
			{"throttled", busy, nil, false},
			{"a missing permission", &cloud.Error{Class: cloud.Denied}, nil, false},
			{"not found", &cloud.Error{Class: cloud.NotFound}, nil, false},
			{"a caller who gave up", nil, context.Canceled, false},
		} {
			s := newService()
			s.answers(c.verdict, c.err)
			for range outage.failures {
				_ = s.call(t.Context(), "east/read")
			}
			before := s.count()
			err := s.call(t.Context(), "east/read")
			if open := s.count() == before; open != c.open {
				t.Errorf("%s: open %v, error %v", c.name, open, err)
			}
			if e, ok := errors.AsType[*cloud.Error](err); c.open && (!ok || e.Class != cloud.Unavailable || e.RetryAfter <= 0 || !strings.Contains(e.Message, "not asked again until")) {
				t.Errorf("%s: error %+v", c.name, err)
			}
		}
	})
}

// TestHung counts calls that no answer comes to within the caller's patience, if that is any.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			patience time.Duration
			open     bool
		}{{time.Second, false}, {time.Minute, true}} {
			s := newService()
			s.send = s.Transport()(roundTripper(func(r *http.Request) (*http.Response, error) {
				s.calls = append(s.calls, time.Now())
				<-r.Context().Done()
				return nil, r.Context().Err()
			}))
			for range outage.failures + 1 {
				ctx, cancel := context.WithTimeout(t.Context(), c.patience)
				_ = s.call(ctx, "east/read")
				cancel()
			}
			if open := s.count() == outage.failures; open != c.open {
				t.Errorf("patience %s: %d calls", c.patience, s.count())
			}
		}
	})
}

// TestRefused has the account's credentials refused: no call of the account is made then, in whatever region, until an hour
// has passed, or somebody has done something about it.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.answers(&cloud.Error{Class: cloud.Denied, Credentials: true, Message: "no such key"}, nil)
		for i := range refusal.failures {
			_ = s.call(t.Context(), fmt.Sprintf("region%d/read", i))
		}
		before := s.count()
		err := s.call(t.Context(), "another/read")
		e, ok := errors.AsType[*cloud.Error](err)
		if s.count() != before || !ok || e.Class != cloud.Denied || !e.Credentials || !strings.Contains(e.Message, "no call is made with them before") {
			t.Errorf("after %d refusals: %v", before, err)
		}
		if state := s.State(); state.Condition.State != Refused || !strings.Contains(state.Message, "no such key") || state.LastError != "no such key" {
			t.Errorf("state %+v", state)
		}
		began := time.Now()
		for time.Since(began) < 6*time.Hour {
			_ = s.call(t.Context(), "east/read")
			time.Sleep(time.Minute)
		}
		if n := s.count() - before; n > 8+6 {
			t.Errorf("%d calls with refused credentials in six hours", n)
		}
		before = s.count()
		s.Reset()
		_ = s.call(t.Context(), "east/read")
		if s.count() != before+1 {
			t.Error("it isn't tried again though somebody has done something about it")
		}
		s.answers(nil, nil)
		time.Sleep(2 * time.Hour)
		if err := s.call(t.Context(), "east/read"); err != nil {
			t.Error(err)
		}
		if state := s.State(); state.Condition.State != Ready || state.Since.IsZero() {
			t.Errorf("state %+v", state.Condition)
		}
	})
}

// TestProbes lets one call at a time find out whether a service is back, and another one when that one taught nothing.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.answers(nil, syscall.ECONNRESET)
		for range outage.failures {
			_ = s.call(t.Context(), "east/read")
		}
		release := make(chan struct{})
		s.mu.Lock()
		s.answer = func() (*cloud.Error, error) { <-release; return nil, context.Canceled }
		s.mu.Unlock()
		time.Sleep(outage.first)
		before := s.count()
		go func() { _ = s.call(t.Context(), "east/read") }()
		synctest.Wait()
		if err := s.call(t.Context(), "east/read"); s.count() != before+1 || cloud.ClassOf(err) != cloud.Unavailable {
			t.Errorf("a second call while the probe is under way: %v, %d calls", err, s.count()-before)
		}
		close(release)
		synctest.Wait()
		s.answers(nil, nil)
		if err := s.call(t.Context(), "east/read"); err != nil {
			t.Errorf("after a probe that taught nothing: %v", err)
		}
	})
}

// TestNoRegion has a region refuse the credentials that it may only not know: the account's other regions are asked on.
func TestNoRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.answers(&cloud.Error{Class: cloud.Denied, Credentials: true, NoRegion: true, Code: "AuthFailure"}, nil)
		for range 5 * refusal.failures {
			_ = s.call(t.Context(), "cape/read")
		}
		if n, state := s.count(), s.State(); n != 5*refusal.failures || state.State != Ready || state.LastError == "" {
			t.Errorf("%d calls, %+v", n, state)
		}
	})
}

// TestEager asks a service that has failed, for somebody who waits: the first of their calls is made at once and the others wait
// for its answer. Where it fails the others aren't made, and the time of the next probe stays; where it is good all are made.
func TestEager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.answers(nil, syscall.ECONNREFUSED)
		for range outage.failures {
			_ = s.call(t.Context(), "east/read")
		}
		time.Sleep(time.Second)
		if err := s.call(t.Context(), "east/read"); !strings.Contains(fmt.Sprint(err), "not asked again until") {
			t.Errorf("a call that nobody waits for: %v", err)
		}
		until := s.State().Lanes[0].Until
		before := s.count()
		for _, err := range s.atOnce(Eager(t.Context()), 8, "east/read") {
			if cloud.ClassOf(err) != cloud.Unavailable || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "again until") {
				t.Errorf("while it is still down: %v", err)
			}
		}
		if n := s.count() - before; n != 1 || !s.State().Lanes[0].Until.Equal(until) {
			t.Errorf("%d calls of one who waits were made; the next probe was due at %s, and is at %s", n, until, s.State().Lanes[0].Until)
		}
		time.Sleep(time.Second)
		s.answers(nil, nil)
		for _, err := range s.atOnce(Eager(t.Context()), 8, "east/read") {
			if err != nil {
				t.Errorf("after it is mended: %v", err)
			}
		}
	})
}

// TestEagerCredentials asks once more with credentials that have been refused.
func TestEagerCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.answers(&cloud.Error{Class: cloud.Denied, Credentials: true, Code: "expired"}, nil)
		for range refusal.failures {
			_ = s.call(t.Context(), "east/read")
		}
		time.Sleep(time.Second)
		before := s.count()
		_ = s.atOnce(Eager(t.Context()), 8, "east/read")
		if n := s.count() - before; n != 1 {
			t.Errorf("%d calls were made with credentials that were refused", n)
		}
		time.Sleep(time.Second)
		s.answers(nil, nil)
		if err := errors.Join(s.atOnce(Eager(t.Context()), 8, "east/read")...); err != nil || s.State().State != Ready {
			t.Errorf("after the credentials are good again: %v, %s", err, s.State().State)
		}
	})
}

// TestCounts counts the calls of the last minute, and those of a context.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		var tally Tally
		ctx := tally.Counted(t.Context())
		for range 5 {
			_ = s.call(ctx, "east/read")
		}
		time.Sleep(40 * time.Second)
		_ = s.call(t.Context(), "east/write")
		state := s.State()
		if n := tally.Total(); n != 5 || tally.Counts()["read in east"] != 5 || state.Calls != 6 || len(state.Lanes) != 2 || state.Lanes[0].Family != "read" || state.Lanes[0].Tokens != 60 {
			t.Errorf("%d in the context, state %+v", n, state)
		}
		time.Sleep(25 * time.Second)
		if n := s.State().Calls; n != 1 {
			t.Errorf("%d calls in the last minute", n)
		}
	})
}
