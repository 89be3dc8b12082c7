package conformance_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/world"
)

// paced is a production driver on a lab's API, with the engine's pacing of calls above it and faults on request below.
type paced struct {
	cloud.Driver
	*traffic.Account
	faults   *fault.Set
	site     cloud.Site
	patience time.Duration // of observations

	mu    sync.Mutex
	calls []string // what reached the API: the method, the action, the path and a digest of the body
}

// pacedClouds open the four.
var pacedClouds = map[cloud.Provider]func(*testing.T, world.Profile) *paced{
	cloud.AWS: func(t *testing.T, profile world.Profile) *paced {
		l := newAWSLab(t, profile)
		return newPaced(t, l.gate, l.account, awsSite(), func(ctx context.Context, a cloud.Account, w cloud.Transport) (cloud.Driver, error) {
			return aws.New(ctx, a, w)
		})
	},
	cloud.GCP: func(t *testing.T, profile world.Profile) *paced {
		l := newGCPLab(t, profile)
		return newPaced(t, l.gate, l.account, gcpSite(), func(ctx context.Context, a cloud.Account, w cloud.Transport) (cloud.Driver, error) {
			return gcp.New(ctx, a, w)
		})
	},
	cloud.Azure: func(t *testing.T, profile world.Profile) *paced {
		l := newAzureLab(t, profile)
		return newPaced(t, l.gate, l.account, cloudtest.DefaultSite("conf", azureRegion, azureZones), func(ctx context.Context, a cloud.Account, w cloud.Transport) (cloud.Driver, error) {
			return azure.New(ctx, a, w)
		})
	},
	cloud.DigitalOcean: func(t *testing.T, profile world.Profile) *paced {
		l := newDOLab(t, profile)
		return newPaced(t, l.gate, l.account, cloudtest.DefaultSite("conf", doRegion, []string{doRegion}), func(ctx context.Context, a cloud.Account, w cloud.Transport) (cloud.Driver, error) {
			return digitalocean.New(ctx, a, w)
		})
	},
}

func newPaced(t *testing.T, g *gate, account cloud.Account, site cloud.Site, open func(context.Context, cloud.Account, cloud.Transport) (cloud.Driver, error)) *paced {
	t.Helper()
	p := &paced{Account: traffic.New(), faults: fault.NewSet(), site: site, patience: 20 * time.Second}
	var err error
	p.Driver, err = open(t.Context(), account, func(next http.RoundTripper) http.RoundTripper {
		wire, ok := next.(cloud.Wire)
		if !ok {
			t.Errorf("the driver's own transport is a %T", next)
		}
		wire.RoundTripper = p.faulty(account.Provider, g.dialect, wire.RoundTripper)
		return p.Transport()(wire)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// faulty puts the rules in front of a transport, as the lab puts them in front of its APIs.
func (p *paced) faulty(provider cloud.Provider, d fault.Dialect, next http.RoundTripper) http.RoundTripper {
	h := p.faults.Handler(string(provider), d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := next.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	return roundTripper(func(r *http.Request) (resp *http.Response, err error) {
		body := []byte{}
		if r.Body != nil {
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.mu.Lock()
		p.calls = append(p.calls, fmt.Sprintf("%s %s %s %x", r.Method, d.Request(r).Action, r.URL.RequestURI(), sha256.Sum256(body)))
		p.mu.Unlock()
		defer func() {
			if recover() != nil { // the connection is cut
				resp, err = nil, syscall.ECONNRESET
			}
		}()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		resp = w.Result()
		resp.Request = r
		return resp, nil
	})
}

func (p *paced) add(t *testing.T, r fault.Rule) func() {
	t.Helper()
	r.Cloud = string(p.Provider())
	r, err := p.faults.Add(r)
	if err != nil {
		t.Fatal(err)
	}
	return func() { p.faults.Remove(r.ID) }
}

// observe looks at the site, and gives the error.
func (p *paced) observe(t *testing.T) error {
	ctx, cancel := context.WithTimeout(t.Context(), p.patience)
	defer cancel()
	_, err := p.Observe(ctx, cloudtest.TestOwner.UID, p.site.Region)
	return err
}

func (p *paced) asked() (calls []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls, p.calls = p.calls, nil
	return calls
}

func eachPaced(t *testing.T, run func(*testing.T, *paced)) { eachPacedAt(t, world.Instant, run) }

func eachPacedAt(t *testing.T, profile world.Profile, run func(*testing.T, *paced)) {
	for provider, open := range pacedClouds {
		t.Run(string(provider), func(t *testing.T) {
			t.Parallel()
			run(t, open(t, profile))
		})
	}
}

// TestScopes makes and removes a whole site: all requests of the production drivers count to a region and family that are
// known.
func TestScopes(t *testing.T) {
	want := map[cloud.Provider][]string{
		cloud.AWS: {"us-east-1 ec2 read", "us-east-1 ec2 write", "us-east-1 service quotas", "us-east-1 sts"},
		cloud.GCP: {
			"global compute operations", "global compute read", "global compute write", "global login", "global resource manager",
			"us-east4 compute operations", "us-east4 compute read", "us-east4 compute write",
		},
		cloud.Azure: {
			"global Microsoft.Compute delete", "global Microsoft.Compute read",
			"global Microsoft.Compute write", "global Microsoft.Network delete", "global Microsoft.Network read", "global Microsoft.Network write",
			"global Microsoft.Resources delete", "global Microsoft.Resources read", "global Microsoft.Resources write", "global login",
			"location Microsoft.Compute read", "location Microsoft.Network read",
		},
		cloud.DigitalOcean: {"global api"},
	}
	eachPaced(t, func(t *testing.T, p *paced) {
		b, err := cloudtest.Build(t.Context(), p.Driver, cloudtest.TestOwner, p.site)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Check(t.Context(), p.site.Region); err != nil {
			t.Error(err)
		}
		if err := p.observe(t); err != nil {
			t.Error(err)
		}
		for _, r := range slices.Backward(b.Resources) {
			if err := p.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key]); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		state := p.State()
		for _, l := range state.Lanes {
			if p.Provider() == cloud.Azure && l.Region != cloud.Global { // some things are asked of whatever location
				l.Region = "location"
			}
			got = append(got, l.Region+" "+l.Family)
		}
		slices.Sort(got)
		got = slices.Compact(got)
		if diff := cmp.Diff(want[p.Provider()], got); diff != "" {
			t.Errorf("scopes (-want +got):\n%s", diff)
		}
		if state.Condition.State != traffic.Ready {
			t.Errorf("state %+v", state.Condition)
		}
	})
}

// TestJudges has each API refuse all requests in one way, in its own words: the account's state says what is wrong.
func TestJudges(t *testing.T) {
	// Some lists of an observation aren't even begun when others have failed.
	rounds := map[fault.Kind]int{fault.Throttle: 1, fault.Error: 5, fault.Expire: 5, fault.Deny: 5, fault.Down: 15}
	for kind, want := range map[fault.Kind]string{
		fault.Throttle: traffic.Throttled, fault.Error: traffic.CircuitOpen, fault.Expire: traffic.Refused, fault.Deny: traffic.Ready,
		fault.Down: traffic.CircuitOpen,
	} {
		t.Run(string(kind), func(t *testing.T) {
			eachPaced(t, func(t *testing.T, p *paced) {
				if err := p.observe(t); err != nil { // it is logged in then: refused logins are another matter
					t.Fatal(err)
				}
				stop := p.add(t, fault.Rule{Kind: kind})
				if kind == fault.Throttle { // a slow bucket takes its time
					p.patience = 2 * time.Second
				}
				for range rounds[kind] {
					if err := p.observe(t); err == nil {
						t.Fatal("nothing went wrong")
					}
				}
				state := p.State()
				if state.Condition.State != want {
					t.Errorf("state %+v", state)
				}
				p.asked()
				err := p.observe(t)
				e, ok := errors.AsType[*cloud.Error](err)
				switch want {
				case traffic.Refused:
					if calls := p.asked(); len(calls) > 0 || !ok || e.Class != cloud.Denied || !e.Credentials || !strings.Contains(e.Message, "no call is made with them before") {
						t.Errorf("with refused credentials: %v; calls %v", err, calls)
					}
				case traffic.CircuitOpen:
					if !ok || e.Class != cloud.Unavailable || e.RetryAfter <= 0 || !strings.Contains(e.Message, "not asked again until") {
						t.Errorf("with an open circuit: %v", err)
					}
				}
				stop()
				p.Reset()
				if err := p.observe(t); err != nil && kind != fault.Throttle {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestSDKsDontInsist counts what reaches an API that refuses everything for a moment's trouble: what changes something is
// sent once, what reads a few times.
func TestSDKsDontInsist(t *testing.T) {
	const readTries = 6
	for _, kind := range []fault.Kind{fault.Error, fault.Throttle, fault.DropAnswer} {
		t.Run(string(kind), func(t *testing.T) {
			eachPaced(t, func(t *testing.T, p *paced) {
				list, err := p.Blueprint(cloudtest.TestOwner, p.site)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.observe(t); err != nil { // it is logged in then
					t.Fatal(err)
				}
				p.add(t, fault.Rule{Kind: kind})
				p.asked()
				p.patience = 3 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), p.patience)
				defer cancel()
				if _, err := p.Create(ctx, cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: list[0], Token: strings.Repeat("0a", 16)}); err == nil {
					t.Fatal("nothing went wrong")
				}
				if err := p.observe(t); err == nil {
					t.Fatal("nothing went wrong")
				}
				times := map[string]int{}
				for _, call := range p.asked() {
					times[call]++
				}
				for call, n := range times {
					limit := readTries
					reads := strings.HasPrefix(call, http.MethodGet) || strings.Contains(call, " ec2:Describe")
					if !reads && !(p.Provider() == cloud.DigitalOcean && kind == fault.Throttle) { // which says so before it does anything
						limit = 1
					}
					if n > limit {
						t.Errorf("%d times: %s", n, call)
					}
				}
			})
		})
	}
}

// TestStuck has operations never end: a driver whose caller has had enough gives up, with an error by which what was begun
// is looked for later.
func TestStuck(t *testing.T) {
	eachPacedAt(t, world.Quick, func(t *testing.T, p *paced) {
		stop := p.add(t, fault.Rule{Kind: fault.Stuck})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := cloudtest.Build(ctx, p.Driver, cloudtest.TestOwner, p.site)
		// Throttled is what asking again and again whether it has ended comes to where few calls are allowed.
		if class := cloud.ClassOf(err); err == nil || ctx.Err() == nil && class != cloud.Throttled || !slices.Contains([]cloud.Class{cloud.Unavailable, cloud.Unknown, cloud.Throttled}, class) {
			t.Fatalf("class %q: %v", class, err)
		}
		stop()
		if err := p.observe(t); err != nil {
			t.Error(err)
		}
		if state := p.State(); state.Condition.State != traffic.Ready {
			t.Errorf("state %+v", state.Condition)
		}
	})
}

// repeatable are the actions of each cloud that may reach it twice without harm to a driver alone: they carry a token or a name of
// their own, or change what is there. Of most of what EC2 makes there are two then, and nothing tells the second from a copy by
// somebody else, which is named and left alone; of droplets the engine removes one (internal/fleet).
var repeatable = map[cloud.Provider][]string{
	cloud.AWS:          {"RunInstances", "Attach*", "Associate*", "Authorize*", "Modify*", "CreateRoute", "CreateTags", "Delete*", "Detach*", "Terminate*", "Release*", "Disassociate*"},
	cloud.GCP:          {"*.insert", "*.delete", "*.set*"},
	cloud.Azure:        {"*.CreateOrUpdate", "*.Delete"},
	cloud.DigitalOcean: {"vpc:create", "firewall:create", "tag:create", "*:delete"},
}

// TestTwice carries what changes something out twice: a site is made and removed all the same, each thing once.
func TestTwice(t *testing.T) {
	eachPaced(t, func(t *testing.T, p *paced) {
		for _, action := range repeatable[p.Provider()] {
			p.add(t, fault.Rule{Kind: fault.Duplicate, Action: action})
		}
		var b *cloudtest.Built
		var err error
		for range 10 { // what is told to be there already is found by the next try
			if b, err = cloudtest.Build(t.Context(), p.Driver, cloudtest.TestOwner, p.site); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		wantBuilt(t, p.Driver, b, "twice")
		for _, r := range slices.Backward(b.Resources) {
			for try := 0; ; try++ {
				err := p.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key])
				if err == nil {
					break
				}
				if !cloud.ClassOf(err).Retryable() || try == 50 {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		for key, o := range observedIn(t, p.Driver, p.site.Region) {
			t.Errorf("%s is left: %s", key, o.ID)
		}
		struck := 0
		for _, r := range p.faults.List() {
			struck += r.Hits
		}
		if struck == 0 {
			t.Error("nothing was done twice")
		}
	})
}
