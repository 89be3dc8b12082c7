package conformance_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/prism"
	"github.com/skyweld/skyweld/internal/wiretap"
	"github.com/skyweld/skyweld/lab/world"
)

// TestDigitalOceanRequests lets Stoplight's prism judge every request that the driver makes in the whole suite by
// DigitalOcean's own description of its API. The lab answers them: prism's own answers are examples, with which nothing
// would go on.
func TestDigitalOceanRequests(t *testing.T) {
	judge := startPrism(t, "mock")
	judge.judges(t)
	h := doHarness(func(t *testing.T) *doLab { return newDOLab(t, world.Instant) }, func(t *testing.T) cloud.Transport { return judge.transport })
	h.Skip = map[string]string{"Cancel": "broken-off requests are nobody's to judge"}
	cloudtest.Run(t, h)
	judge.report(t)
}

// TestDigitalOceanAnswers puts prism between the driver and the lab as a proxy: it judges the lab's answer to each of the
// driver's calls, through the whole life of a site, refusals too.
func TestDigitalOceanAnswers(t *testing.T) {
	lab := newDOLab(t, world.Instant)
	plain := httptest.NewServer(lab.server.Config.Handler)
	t.Cleanup(plain.Close)
	judge := startPrism(t, "proxy", plain.URL)
	s := &doStage{t: t, lab: lab, d: lab.driver(t, judge.through), have: map[string]cloud.Object{}}
	var err error
	if s.list, err = s.d.Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("conf", doRegion, []string{doRegion})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.d.Check(t.Context(), doRegion); err != nil {
		t.Fatal(err)
	}
	if _, err := s.d.Preflight(t.Context(), cloud.PreflightRequest{Owner: cloudtest.TestOwner, Create: s.list}); err != nil {
		t.Fatal(err)
	}
	s.createAll()
	s.changeAll()
	err = s.d.Delete(t.Context(), cloudtest.TestOwner, s.have["conf-vpc"])
	if cloud.ClassOf(err) != cloud.Conflict {
		t.Errorf("a VPC with droplets is deleted: %v", err)
	}
	s.items("droplet")
	for _, r := range slices.Backward(s.list) {
		if err := s.d.Delete(t.Context(), cloudtest.TestOwner, s.have[r.Key]); err != nil {
			t.Error(err)
		}
	}
	if left := s.observe(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	judge.report(t)
}

// changeAll makes each change that can be made of something, as one that is observed has it, and starts a droplet.
func (s *doStage) changeAll() {
	s.t.Helper()
	update := func(r cloud.Resource, field string) {
		s.t.Helper()
		o, err := s.d.Update(s.t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: r, Object: s.observe()[r.Key], Fields: []string{field}, Refs: s.have})
		if err != nil {
			s.t.Fatal(err)
		}
		s.have[r.Key] = o
	}
	for _, r := range s.list {
		for _, k := range s.d.Kinds() {
			if k.Kind != r.Kind {
				continue
			}
			for _, field := range k.Mutable {
				if other := doChange(r, field); other != nil {
					changed := r
					changed.Spec = other
					update(changed, field)
					update(r, field)
				}
			}
		}
	}
	c, web := s.lab.client(s.t), s.resource("conf-node-conf-web-1")
	id := doID(s.t, s.have[web.Key])
	if _, _, err := c.DropletActions.PowerOff(s.t.Context(), id); err != nil {
		s.t.Fatal(err)
	}
	doUntil(s.t, c, id, func(x *godo.Droplet) bool { return x != nil && x.Status == "off" })
	update(web, "state")
}

// driverMethods are the API's methods that the driver calls.
var driverMethods = []string{
	"DELETE /droplets/{id}",
	"DELETE /firewalls/{id}",
	"DELETE /reserved_ips/{id}",
	"DELETE /tags/{id}",
	"DELETE /tags/{id}/resources",
	"DELETE /vpcs/{id}",
	"GET /account",
	"GET /droplets",
	"GET /droplets/{id}",
	"GET /firewalls",
	"GET /firewalls/{id}",
	"GET /images/{id}",
	"GET /regions",
	"GET /reserved_ips",
	"GET /reserved_ips/{id}",
	"GET /sizes",
	"GET /tags",
	"GET /tags/{id}",
	"GET /volumes",
	"GET /vpcs",
	"GET /vpcs/{id}",
	"GET /vpcs/{id}/members",
	"POST /droplets",
	"POST /droplets/{id}/actions",
	"POST /firewalls",
	"POST /reserved_ips",
	"POST /reserved_ips/{id}/actions",
	"POST /tags",
	"POST /tags/{id}/resources",
	"POST /vpcs",
	"PUT /firewalls/{id}",
	"PUT /vpcs/{id}",
}

// judges makes sure that prism refuses what DigitalOcean's description forbids: the SDK's own way to leave out keys, and a
// path that isn't there.
func (p *prismJudge) judges(t *testing.T) {
	t.Helper()
	for path, body := range map[string]string{
		"/v2/droplets": `{"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "ssh_keys": null}`,
		"/v2/dropsets": `{}`,
	} {
		r, err := http.NewRequest(http.MethodPost, "https://api.invalid"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		p.judge(r, []byte(body))
	}
	if len(p.refusals) != 2 {
		t.Fatalf("prism refused %q, want two refusals", p.refusals)
	}
	p.refusals, p.judged = nil, map[string]int{}
}

// prismJudge holds calls against DigitalOcean's OpenAPI document.
type prismJudge struct {
	url    string
	client *http.Client

	mu       sync.Mutex
	judged   map[string]int // by method and path, without ids
	refusals []string
}

// startPrism starts prism, or skips the test: "mock", or "proxy" with the URL of a server.
func startPrism(t *testing.T, mode string, server ...string) *prismJudge {
	t.Helper()
	return &prismJudge{url: prism.Start(t, mode, server...), client: &http.Client{Timeout: time.Minute, Transport: http.DefaultTransport}, judged: map[string]int{}}
}

// transport has each request judged.
func (p *prismJudge) transport(next http.RoundTripper) http.RoundTripper {
	return wiretap.Transport(next, func(x *wiretap.Exchange) { p.judge(x.Request, x.Body) })
}

// through has each answer judged on its way back: prism puts a problem of its own in the place of one that it refuses.
func (p *prismJudge) through(http.RoundTripper) http.RoundTripper {
	over := roundTripper(func(r *http.Request) (*http.Response, error) {
		at, err := url.Parse(p.url)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = at.Scheme, at.Host, at.Host
		return p.client.Transport.RoundTrip(r)
	})
	return wiretap.Transport(over, func(x *wiretap.Exchange) {
		if x.Status == 0 {
			return
		}
		p.count(x.Request)
		if problem := prism.Problem(x.Answer); problem != "" {
			p.refuse(x.Request, fmt.Sprintf("%d: %s", x.Status, problem))
		}
	})
}

// judge sends a copy of a request to prism. The driver's transport wraps ours, so the token is in it already.
func (p *prismJudge) judge(r *http.Request, body []byte) {
	copied, err := http.NewRequest(r.Method, p.url+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		p.refuse(r, err.Error())
		return
	}
	copied.Header = r.Header.Clone()
	copied.Header.Set("Authorization", "Bearer token")
	resp, err := p.client.Do(copied)
	if err != nil {
		p.refuse(r, err.Error())
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.refuse(r, err.Error())
		return
	}
	p.count(r)
	if why := prism.Violation(resp.Header.Get(prism.ViolationsHeader), text); why != "" {
		p.refuse(r, why+"\n"+string(body))
	}
}

func (p *prismJudge) count(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judged[r.Method+" "+prism.Shape(r.URL.Path)]++
}

func (p *prismJudge) refuse(r *http.Request, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals = append(p.refusals, fmt.Sprintf("%s %s: %s", r.Method, r.URL.RequestURI(), why))
}

// report fails the test for what was refused, and unless each method that the driver calls was judged, and no other.
func (p *prismJudge) report(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.refusals)
	for _, r := range slices.Compact(p.refusals) {
		t.Error(r)
	}
	total := 0
	for _, n := range p.judged {
		total += n
	}
	t.Logf("%d requests to %d methods", total, len(p.judged))
	if diff := cmp.Diff(driverMethods, slices.Sorted(maps.Keys(p.judged))); diff != "" {
		t.Errorf("methods (-of the driver +judged):\n%s", diff)
	}
}
