package conformance_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
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
}

// judges makes sure that prism refuses what DigitalOcean's description forbids: the SDK's own way to leave out keys, and a
// path that isn't there.
func (p *prism) judges(t *testing.T) {
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

// prism is a server that holds requests against an OpenAPI document.
type prism struct {
	url    string
	client *http.Client

	mu       sync.Mutex
	judged   map[string]int // by method and path, without ids
	refusals []string
}

// startPrism starts a server on a free port, or skips the test: "mock", or "proxy" with the URL of a server.
func startPrism(t *testing.T, mode string, server ...string) *prism {
	t.Helper()
	program := prismProgram(t)
	document := doDocument(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var output bytes.Buffer
	cmd := exec.Command(program, append([]string{mode, "--errors", "--host", "127.0.0.1", "--port", port, document}, server...)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("end prism: %v", err)
		}
		<-ended
	})
	p := &prism{url: "http://127.0.0.1:" + port, client: &http.Client{Timeout: time.Minute, Transport: http.DefaultTransport}, judged: map[string]int{}}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
			return p
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("prism ended: %v\n%s", err, output.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("prism didn't begin to listen in three minutes")
		}
	}
}

// prismProgram is on the path, or among the packages that scripts/strangers.sh installs.
func prismProgram(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("prism"); err == nil {
		return path
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "test", "strangers", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("needs prism: %v", err)
	}
	digest := sha256.Sum256(data)
	path := filepath.Join(cache, "skyweld", "strangers", hex.EncodeToString(digest[:])[:16], "node_modules", ".bin", "prism")
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs prism (npm install -g @stoplight/prism-cli, or scripts/strangers.sh)")
	}
	return path
}

// doDocument unpacks DigitalOcean's description of its API.
func doDocument(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	packed, err := os.Open(filepath.Join(dir, "digitalocean", "openapi.yaml.gz"))
	if err != nil {
		t.Skip("needs DigitalOcean's OpenAPI document: set SKYWELD_GOLDENS to a folder that has digitalocean/openapi.yaml.gz (from github.com/digitalocean/openapi)")
	}
	defer packed.Close()
	text, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "openapi.yaml")
	// Its list of regions lacks one that the API has had for a while.
	whole = regexp.MustCompile(`(?m)^( *)- syd1\n`).ReplaceAll(whole, []byte("$1- syd1\n$1- atl1\n"))
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// transport has each request judged before it goes on.
func (p *prism) transport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
			r.Body.Close()
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.judge(r, body)
		return next.RoundTrip(r)
	})
}

// through has each answer judged on its way back: prism puts a problem of its own in the place of one that it refuses.
func (p *prism) through(http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		at, err := url.Parse(p.url)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = at.Scheme, at.Host, at.Host
		resp, err := p.client.Transport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(text))
		p.mu.Lock()
		p.judged[r.Method+" "+shapeOf(r.URL.Path)]++
		p.mu.Unlock()
		var problem struct {
			Type, Title string
			Validation  json.RawMessage
		}
		if json.Unmarshal(text, &problem) == nil && strings.Contains(problem.Type, "prism/errors") {
			p.refuse(r, fmt.Sprintf("%d: %s %s", resp.StatusCode, problem.Title, problem.Validation))
		}
		return resp, nil
	})
}

// judge sends a copy of a request to prism. The driver's transport wraps ours, so the token is in it already.
func (p *prism) judge(r *http.Request, body []byte) {
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
	p.mu.Lock()
	p.judged[r.Method+" "+shapeOf(r.URL.Path)]++
	p.mu.Unlock()
	if why := violation(resp.Header, text); why != "" {
		p.refuse(r, why+"\n"+string(body))
	}
}

// violation is what prism says against a request: in a header, as what it answers then is DigitalOcean's own form of an
// error; or in a problem where the request fits no method. What it says against its own examples is not about the request.
func violation(header http.Header, text []byte) string {
	type finding struct {
		Location []any
		Message  string
	}
	var found []finding
	if line := header.Get("sl-violations"); line != "" {
		if err := json.Unmarshal([]byte(line), &found); err != nil {
			return "prism's violations can't be read: " + line
		}
	}
	var out []string
	for _, v := range found {
		if len(v.Location) > 0 && v.Location[0] == "request" {
			out = append(out, fmt.Sprintf("%v: %s", v.Location, v.Message))
		}
	}
	var problem struct{ Type, Title string }
	if json.Unmarshal(text, &problem) == nil && strings.Contains(problem.Type, "prism/errors") {
		for _, kind := range []string{"NO_PATH_MATCHED", "NO_METHOD_MATCHED", "INVALID_CONTENT_TYPE", "UNAUTHORIZED", "UNPROCESSABLE_ENTITY"} {
			if strings.Contains(problem.Type, kind) {
				out = append(out, problem.Title)
			}
		}
	}
	return strings.Join(out, "; ")
}

func (p *prism) refuse(r *http.Request, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals = append(p.refusals, fmt.Sprintf("%s %s: %s", r.Method, r.URL.RequestURI(), why))
}

// shapeOf is a path without what is different for each thing: DigitalOcean's words are short and have no digits.
func shapeOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v2/"), "/")
	for i, part := range parts {
		if strings.ContainsAny(part, "0123456789:") {
			parts[i] = "{id}"
		}
	}
	return "/" + strings.Join(parts, "/")
}

// report fails the test for what was refused, and unless each method that the driver calls was judged, and no other.
func (p *prism) report(t *testing.T) {
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
