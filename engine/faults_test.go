package engine

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/store"
)

// wired is an in-memory cloud whose calls go through the engine's transport, as those of the production drivers do.
type wired struct {
	*cloudtest.Cloud
	send http.RoundTripper
}

// work is one call: what it does, and what came of it.
type work struct {
	do  func() error
	err error
}

type workKey struct{}

func newWired(c *cloudtest.Cloud, transport cloud.Transport) *wired {
	return &wired{c, transport(cloud.Wire{
		RoundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
			w := r.Context().Value(workKey{}).(*work)
			w.err = w.do()
			status := http.StatusOK
			if w.err != nil {
				status = http.StatusTeapot
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		}),
		Scope: func(r *http.Request) cloud.Scope {
			return cloud.Scope{Region: r.URL.Host, Family: strings.Trim(r.URL.Path, "/"), Rate: 20, Burst: 60}
		},
		Judge: func(a *http.Response) (*cloud.Error, error) {
			e, _ := errors.AsType[*cloud.Error](a.Request.Context().Value(workKey{}).(*work).err)
			return e, nil
		},
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *wired) call(ctx context.Context, region, family string, do func() error) error {
	c := &work{do: do}
	req, err := http.NewRequestWithContext(context.WithValue(ctx, workKey{}, c), http.MethodPost, "https://"+region+"/"+family, nil)
	if err != nil {
		return err
	}
	resp, err := w.send.RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	return c.err
}

func (w *wired) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) (out []cloud.Object, err error) {
	err = w.call(ctx, region, "read", func() error { out, err = w.Cloud.Observe(ctx, cluster, region, known...); return err })
	return out, err
}

func (w *wired) Create(ctx context.Context, req cloud.CreateRequest) (out cloud.Object, err error) {
	err = w.call(ctx, req.Resource.Region, "write", func() error { out, err = w.Cloud.Create(ctx, req); return err })
	return out, err
}

func (w *wired) Update(ctx context.Context, req cloud.UpdateRequest) (out cloud.Object, err error) {
	err = w.call(ctx, req.Resource.Region, "write", func() error { out, err = w.Cloud.Update(ctx, req); return err })
	return out, err
}

func (w *wired) Delete(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	return w.call(ctx, o.Region, "write", func() error { return w.Cloud.Delete(ctx, owner, o) })
}

func (w *wired) Check(ctx context.Context, regions ...string) (out cloud.Report, err error) {
	err = w.call(ctx, cloud.Global, "check", func() error { out, err = w.Cloud.Check(ctx, regions...); return err })
	return out, err
}

// wiredScene is a scene whose calls are paced, with the engine's usual patience, in a time of its own.
func wiredScene(t *testing.T, o cloudtest.Options) *scene {
	t.Helper()
	s := newScene(t, o)
	s.tune = func(o *Options, p *patience) {
		for provider, c := range s.clouds {
			o.Drivers[provider] = func(_ context.Context, _ cloud.Account, transport cloud.Transport) (cloud.Driver, error) {
				return newWired(c, transport), nil
			}
		}
		lag := p.listLag // by the database's clock, which is no part of the bubble
		*p = usualPatience
		p.listLag = lag
	}
	s.crash()
	s.start()
	return s
}

// state is how the calls of an account fare.
func (s *scene) state(account string) AccountState {
	s.t.Helper()
	all, err := s.engine.AccountStates(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range all {
		if a.Name == account {
			return a
		}
	}
	s.t.Fatalf("there is no account %s", account)
	return AccountState{}
}

// sent counts the calls that a cloud saw since it was asked last.
func (s *scene) sent(p cloud.Provider) int {
	n := len(s.clouds[p].Calls())
	s.clouds[p].ForgetCalls()
	return n
}

// TestCloudAwayForAnHour takes a cloud away for an hour in which the cluster is worked on all the time: it costs a handful of
// calls, the other cloud is mended meanwhile, nothing is taken to be gone, and all is well by itself when it is back.
func TestCloudAwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wiredScene(t, cloudtest.Options{})
		uid := s.apply(smallFile)
		s.ready(uid)
		away := s.clouds[cloud.GCP]
		before := len(away.Objects(uid))
		away.Inject(cloudtest.Fault{Class: cloud.Unavailable, Code: "backendError", Message: "nobody is there"})
		s.sent(cloud.GCP)
		rules := func() (n int) {
			for _, o := range s.clouds[cloud.AWS].Objects(uid) {
				if f, ok := o.Spec.(*cloudtest.FirewallSpec); ok {
					n += len(f.Rules)
				}
			}
			return n
		}
		wanted := rules()
		for _, o := range s.clouds[cloud.AWS].Objects(uid) {
			if o.Kind == cloudtest.KindFirewall {
				s.clouds[cloud.AWS].Tamper(o.ID, func(spec any) { spec.(*cloudtest.FirewallSpec).Rules = nil })
			}
		}
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(2 * time.Minute) {
			s.turn(uid)
		}
		n := s.sent(cloud.GCP)
		t.Logf("%d calls to a cloud that was away for an hour", n)
		if n > 40 {
			t.Errorf("%d calls were made to a cloud that was away", n)
		}
		if text := s.condition(uid); !strings.Contains(text, "site two (account acc-gcp, us-east4) could not be observed") || !strings.Contains(text, "not asked again until") {
			t.Errorf("the condition says %q", text)
		}
		if a := s.state("acc-gcp"); a.Condition.State != traffic.CircuitOpen || !strings.Contains(a.LastError, "nobody is there") || len(a.Clusters) != 1 {
			t.Errorf("the account's state is %+v", a)
		}
		if a := s.state("acc-aws"); a.Failing() {
			t.Errorf("the other account's state is %+v", a.State)
		}
		if got := s.events(uid, traffic.CircuitOpen); len(got) != 1 {
			t.Errorf("events: %v", got)
		}
		if now := rules(); now != wanted {
			t.Errorf("the other cloud's firewalls have %d rules, want %d", now, wanted)
		}
		if now := len(away.Objects(uid)); now != before {
			t.Errorf("%d things were there, and %d are", before, now)
		}
		away.Heal()
		time.Sleep(6 * time.Minute)
		s.ready(uid)
		if got := s.events(uid, "AccountReady"); len(got) != 1 {
			t.Errorf("events: %v", got)
		}
		s.delete(uid)
		s.asBefore()
	})
}

// TestCredentialsRevoked takes the credentials away in the middle of a creation: the site stops, hardly a call is made with
// them, and an account that is updated or checked is tried again at once.
func TestCredentialsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wiredScene(t, cloudtest.Options{})
		gcp := s.clouds[cloud.GCP]
		s.point = func(n int, after bool, call cloudtest.Call) bool {
			if after && call.Op == cloudtest.OpCreate && call.Kind == cloudtest.KindSubnet && strings.HasPrefix(call.Key, "two-") {
				go gcp.Revoke(true)
			}
			return false
		}
		uid := s.apply(smallFile)
		s.turn(uid)
		s.point = nil
		s.sent(cloud.GCP)
		var text string
		for range 30 {
			s.turn(uid)
			if now := s.condition(uid); strings.Contains(now, "have been refused since") { // not in a run that asked once more
				text = now
			}
			time.Sleep(time.Minute)
		}
		if n := s.sent(cloud.GCP); n > 12 {
			t.Errorf("%d calls in half an hour with credentials that are refused", n)
		}
		if a := s.state("acc-gcp"); a.Condition.State != traffic.Refused {
			t.Errorf("the account's state is %+v", a.State)
		}
		if !strings.Contains(text, "skyweld account update acc-gcp") {
			t.Errorf("the condition says %q", text)
		}
		gcp.Revoke(false)
		if _, err := s.engine.CheckAccount(t.Context(), "acc-gcp"); err != nil {
			t.Errorf("the check doesn't ask again: %v", err)
		}
		s.ready(uid)
		s.delete(uid)
		s.asBefore()
	})
}

// TestThrottlingStorm throttles nine of ten calls through a whole life, which takes its time and a bounded number of calls.
func TestThrottlingStorm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		quiet := wiredScene(t, cloudtest.Options{})
		uid := quiet.apply(smallFile)
		quiet.ready(uid)
		quiet.delete(uid)
		calm := quiet.sent(cloud.AWS) + quiet.sent(cloud.GCP)

		s := wiredScene(t, cloudtest.Options{Seed: seed})
		for _, c := range s.clouds {
			c.Inject(cloudtest.Fault{Rate: 0.9, Class: cloud.Throttled, Code: "RequestLimitExceeded"})
		}
		began := time.Now()
		uid = s.apply(smallFile)
		s.eventually(uid, store.Ready)
		if _, err := s.engine.Delete(t.Context(), "demo", "tester"); err != nil {
			t.Fatal(err)
		}
		s.eventually(uid, store.Deleted)
		stormy := s.sent(cloud.AWS) + s.sent(cloud.GCP)
		t.Logf("%d calls in calm, %d in a storm of %s", calm, stormy, time.Since(began).Round(time.Second))
		if stormy > 25*calm { // one of ten comes through
			t.Errorf("%d calls in a storm, %d without", stormy, calm)
		}
		for _, c := range s.clouds {
			c.Heal()
		}
		s.asBefore()
	})
}

// eventually does run after run, with the engine's pauses between them, until a cluster is in a phase.
func (s *scene) eventually(uid string, phase store.Phase) {
	s.t.Helper()
	for range 300 {
		c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
		if err != nil {
			s.t.Fatal(err)
		}
		if c.Phase == phase {
			return
		}
		s.turn(uid)
		time.Sleep(10 * time.Second)
	}
	s.t.Fatalf("the cluster is not %s", phase)
}

// TestNeverEnding has a creation and a deletion never end though both happen: the engine gives them up after a while, goes on
// elsewhere, and later finds what has come of them.
func TestNeverEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wiredScene(t, cloudtest.Options{})
		gcp := s.clouds[cloud.GCP]
		never := make(chan struct{})
		gcp.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindSubnet, Times: 1, AfterEffect: true, Until: never})
		uid := s.apply(smallFile)
		began := time.Now()
		s.turn(uid)
		if took := time.Since(began); took < usualPatience.call || took > usualPatience.call+10*time.Minute {
			t.Errorf("the run took %s", took)
		}
		if text := s.condition(uid); !strings.Contains(text, "the cloud has not finished it in 15m0s and may still do so") {
			t.Errorf("the condition says %q", text)
		}
		s.ready(uid)
		gcp.Inject(cloudtest.Fault{Op: cloudtest.OpDelete, Kind: cloudtest.KindSubnet, Times: 1, AfterEffect: true, Until: never})
		if _, err := s.engine.Delete(t.Context(), "demo", "tester"); err != nil {
			t.Fatal(err)
		}
		s.eventually(uid, store.Deleted)
		s.asBefore()
	})
}

// TestQuotaHalfWay has the quota of machines full after the first: what was made stays, the rest comes when there is room.
func TestQuotaHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wiredScene(t, cloudtest.Options{})
		full := s.clouds[cloud.GCP].Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindMachine, Class: cloud.QuotaExceeded, Code: "quotaExceeded", Message: "CPUS"})
		uid := s.apply(smallFile)
		for range 5 {
			s.turn(uid)
			s.whole(uid)
		}
		if text := s.condition(uid); !strings.Contains(text, "ask the cloud to raise this limit of account acc-gcp") {
			t.Errorf("the condition says %q", text)
		}
		if a := s.state("acc-gcp"); a.Condition.State != traffic.Ready {
			t.Errorf("a full quota says something about the account: %+v", a.State)
		}
		full()
		s.ready(uid)
		s.delete(uid)
		s.asBefore()
	})
}

// TestRetryGivesUp holds how long calls are tried again: never beyond what their class allows, and not at all where the cloud
// wants to be left alone for longer.
func TestRetryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			class       cloud.Class
			asked, most time.Duration
			tries       int // at most
		}{
			{cloud.Throttled, 0, 10 * time.Minute, 90},
			{cloud.Unavailable, 0, 5 * time.Minute, 50},
			{cloud.Unknown, 0, time.Minute, 20},
			{cloud.NotFound, 0, 90 * time.Second, 24},
			{cloud.Unavailable, 6 * time.Minute, 0, 1},
			{cloud.Throttled, 4 * time.Minute, 10 * time.Minute, 3},
			{cloud.Denied, 0, 0, 1},
			{cloud.QuotaExceeded, time.Second, 0, 1},
		} {
			tries, began := 0, time.Now()
			_, err := retry(t.Context(), usualPatience, func(context.Context) (struct{}, error) {
				tries++
				return struct{}{}, &cloud.Error{Class: c.class, RetryAfter: c.asked}
			})
			if took := time.Since(began); took > c.most || tries > c.tries || cloud.ClassOf(err) != c.class {
				t.Errorf("%s, asked to wait %s: %d tries in %s, then %v", c.class, c.asked, tries, took, err)
			}
		}
	})
}

// TestPauseEndsWithDeletion has a call wait for minutes as the cloud asked when the run is to stop: it stops.
func TestPauseEndsWithDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		halt, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(errDeleteAsked) })
		began := time.Now()
		_, err := retryPausing(t.Context(), halt, usualPatience, func(context.Context) (struct{}, error) {
			if why := halted(context.Cause(halt)); why != nil {
				return struct{}{}, why
			}
			return struct{}{}, &cloud.Error{Class: cloud.Throttled, RetryAfter: 5 * time.Minute}
		})
		if took := time.Since(began); !errors.Is(err, errDeleteAsked) || took > 2*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
