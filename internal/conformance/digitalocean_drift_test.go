package conformance_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	labdo "github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
)

// doStage is a site in the lab's DigitalOcean, by way of the driver.
type doStage struct {
	t    *testing.T
	lab  *doLab
	d    cloud.Driver
	list []cloud.Resource
	have map[string]cloud.Object
}

func newDOStage(t *testing.T, wrap cloud.Transport, change ...func(*labdo.Config)) *doStage {
	t.Helper()
	s := &doStage{t: t, lab: newDOLab(t, world.Instant, change...), have: map[string]cloud.Object{}}
	s.d = s.lab.driver(t, wrap)
	var err error
	if s.list, err = s.d.Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("conf", doRegion, []string{doRegion})); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *doStage) request(r cloud.Resource) cloud.CreateRequest {
	req := cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: r, Refs: map[string]cloud.Object{}, Token: strings.Repeat("5", 32)}
	for _, key := range r.DependsOn {
		req.Refs[key] = s.have[key]
	}
	if r.Kind == "droplet" {
		req.UserData = []byte("#cloud-config\n{}\n")
	}
	return req
}

func (s *doStage) create(r cloud.Resource) error {
	o, err := s.d.Create(s.t.Context(), s.request(r))
	if err == nil {
		s.have[r.Key] = o
	}
	return err
}

func (s *doStage) createAll() {
	s.t.Helper()
	for _, r := range s.list {
		if err := s.create(r); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *doStage) resource(key string) cloud.Resource {
	s.t.Helper()
	i := slices.IndexFunc(s.list, func(r cloud.Resource) bool { return r.Key == key })
	if i < 0 {
		s.t.Fatalf("the blueprint has no %s", key)
	}
	return s.list[i]
}

func (s *doStage) observe() map[string]cloud.Object { return doObserved(s.t, s.d) }

// doObserved lists what there is of the cluster, by key.
func doObserved(t *testing.T, d cloud.Driver) map[string]cloud.Object {
	t.Helper()
	return observedIn(t, d, doRegion)
}

// items counts the account's things of a kind.
func (s *doStage) items(kind cloud.Kind) int {
	s.t.Helper()
	list, err := s.d.Inventory(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, i := range list {
		if i.Kind == kind {
			n++
		}
	}
	return n
}

// TestDigitalOceanLostAnswers loses the answer of every call that makes something, once for each thing: the next try finds
// what the first has made, and nothing is there twice.
func TestDigitalOceanLostAnswers(t *testing.T) {
	var mu sync.Mutex
	lost := map[string]bool{} // calls for the thing that is being made
	s := newDOStage(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || r.Method != http.MethodPost || lost[r.URL.Path] {
				return answer, err
			}
			lost[r.URL.Path] = true
			answer.Body.Close()
			return nil, io.ErrUnexpectedEOF
		})
	})
	vpcs := s.items("vpc")
	kinds := map[cloud.Kind]bool{}
	for _, r := range s.list {
		kinds[r.Kind] = true
		mu.Lock()
		clear(lost)
		mu.Unlock()
		tries := 0
		for try := range 5 {
			err := s.create(r)
			if err == nil {
				break
			}
			if c := cloud.ClassOf(err); c != cloud.Unavailable && c != cloud.Conflict {
				t.Fatalf("create %s, try %d: %v", r.Key, try, err)
			}
			tries++
		}
		if tries == 0 || s.have[r.Key].ID == "" {
			t.Errorf("%s: %d tries failed, and it is %q", r.Key, tries, s.have[r.Key].ID)
		}
	}
	for _, k := range s.d.Kinds() {
		if !kinds[k.Kind] {
			t.Errorf("nothing of kind %s was made", k.Kind)
		}
	}
	if got := s.observe(); len(got) != len(s.list) {
		t.Errorf("%d things are observed, %d were asked for", len(got), len(s.list))
	}
	for kind, want := range map[cloud.Kind]int{"vpc": vpcs + 1, "firewall": 2, "droplet": 3, "reserved-ip": 2} {
		if n := s.items(kind); n != want {
			t.Errorf("the account has %d of kind %s, want %d", n, kind, want)
		}
	}
}

// TestDigitalOceanForeignDroplet puts somebody's droplet into the VPC: it stops the deletion by name, and stays.
func TestDigitalOceanForeignDroplet(t *testing.T) {
	s := newDOStage(t, nil)
	for _, key := range []string{"conf-vpc"} {
		if err := s.create(s.resource(key)); err != nil {
			t.Fatal(err)
		}
	}
	c := s.lab.client(t)
	x, _, err := c.Droplets.Create(t.Context(), &godo.DropletCreateRequest{
		Name: "somebodys-own", Region: doRegion, Size: "s-1vcpu-1gb", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"},
		SSHKeys: []godo.DropletCreateSSHKey{}, VPCUUID: s.have["conf-vpc"].ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	doUntil(t, c, x.ID, func(x *godo.Droplet) bool { return x != nil && x.Status == "active" })
	err = s.d.Delete(t.Context(), cloudtest.TestOwner, s.have["conf-vpc"])
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Class != cloud.Conflict || !e.Held || !strings.Contains(err.Error(), "somebodys-own") {
		t.Errorf("error %v, want a conflict that somebody has to end and that names the droplet", err)
	}
	if _, _, err := c.Droplets.Get(t.Context(), x.ID); err != nil {
		t.Error(err)
	}
	if got := s.observe(); len(got) != 1 {
		t.Errorf("observed %v, want the VPC alone", got)
	}
}

// TestDigitalOceanForeignAddress puts somebody's reserved address on a droplet of ours: it is in the way by name, is
// never taken for ours, and stays.
func TestDigitalOceanForeignAddress(t *testing.T) {
	s := newDOStage(t, nil)
	for _, r := range s.list {
		if r.Kind != "reserved-ip" {
			if err := s.create(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := s.lab.client(t)
	droplet := doID(t, s.have["conf-node-conf-cp-1"])
	ip, _, err := c.ReservedIPs.Create(t.Context(), &godo.ReservedIPCreateRequest{DropletID: droplet})
	if err != nil {
		t.Fatal(err)
	}
	assigned := func() bool {
		now, _, err := c.ReservedIPs.Get(t.Context(), ip.IP)
		return err == nil && now.Droplet != nil && !now.Locked
	}
	if err := cloudtest.Await(t.Context(), assigned); err != nil {
		t.Fatal(err)
	}
	err = s.create(s.resource("conf-ip-conf-cp-1"))
	if cloud.ClassOf(err) != cloud.Conflict || !strings.Contains(err.Error(), ip.IP) {
		t.Errorf("error %v, want a conflict that names %s", err, ip.IP)
	}
	for key, o := range s.observe() {
		if o.Kind == "reserved-ip" {
			t.Errorf("%s is taken for %s", o.ID, key)
		}
	}
}

// TestDigitalOceanAddressSurvives ends a control-plane droplet behind the driver's back: its address stays the cluster's,
// and goes to the next droplet.
func TestDigitalOceanAddressSurvives(t *testing.T) {
	s := newDOStage(t, nil)
	s.createAll()
	const node, address = "conf-node-conf-cp-1", "conf-ip-conf-cp-1"
	was := s.have[address]
	if err := s.d.Delete(t.Context(), cloudtest.TestOwner, s.have[node]); err != nil {
		t.Fatal(err)
	}
	o, ok := s.observe()[address]
	if spec, is := o.Spec.(*digitalocean.ReservedSpec); !ok || o.ID != was.ID || !is || spec.Droplet != "" {
		t.Fatalf("without its droplet the address is %+v", o)
	}
	req := s.request(s.resource(node))
	req.Token = strings.Repeat("6", 32)
	next, err := s.d.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if next.Machine.Public.IsValid() {
		t.Errorf("without its address the new droplet is to be reached at %s", next.Machine.Public)
	}
	s.have[node] = next
	r := s.resource(address)
	if _, err := s.d.Update(t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: r, Object: o, Fields: []string{"droplet"}, Refs: s.have}); err != nil {
		t.Fatal(err)
	}
	got := s.observe()
	if diff := cmp.Diff(r.Spec, got[address].Spec); diff != "" {
		t.Errorf("the address (-want +got):\n%s", diff)
	}
	if m := got[node].Machine; got[node].ID == "" || m.Public != was.Address {
		t.Errorf("the new droplet has %v, want %s", m, was.Address)
	}
}

// TestDigitalOceanPreflight looks ahead where something is in the way.
func TestDigitalOceanPreflight(t *testing.T) {
	t.Run("FirstVPC", func(t *testing.T) {
		s := newDOStage(t, nil, func(c *labdo.Config) { c.Fresh = []string{doRegion} })
		p := s.problem("VPC of site conf")
		if p.Class != cloud.Invalid || !strings.Contains(p.Message, "can never be deleted") || !strings.Contains(p.Advice, "--region "+doRegion) {
			t.Errorf("problem %+v", p)
		}
		if err := s.create(s.resource("conf-vpc")); cloud.ClassOf(err) != cloud.Invalid || s.items("vpc") == 0 {
			t.Errorf("error %v, want a refusal", err)
		}
	})
	t.Run("Overlap", func(t *testing.T) {
		s := newDOStage(t, nil)
		theirs, _, err := s.lab.client(t).VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: "theirs", RegionSlug: "fra1", IPRange: "10.64.32.0/20"})
		if err != nil {
			t.Fatal(err)
		}
		p := s.problem("block 10.64.0.0/16 of site conf")
		if !strings.Contains(p.Message, "theirs, 10.64.32.0/20 in fra1") || !slices.Equal(p.Keys, []string{"conf-vpc"}) {
			t.Errorf("problem %+v", p)
		}
		if err := s.create(s.resource("conf-vpc")); cloud.ClassOf(err) != cloud.Invalid || !strings.Contains(err.Error(), theirs.ID) {
			t.Errorf("error %v, want both sides named", err)
		}
	})
	t.Run("Scopes", func(t *testing.T) {
		for _, scope := range []struct{ name, call string }{{"droplet:create", "POST /v2/droplets"}, {"tag:read", "GET /v2/tags"}} {
			s := newDOStage(t, withoutScope(scope.call))
			p := s.problem("scope " + scope.name)
			if p.Class != cloud.Denied || len(p.Keys) == 0 {
				t.Errorf("problem %+v", p)
			}
			rep, err := s.d.Check(t.Context(), doRegion)
			if err != nil || len(rep.Missing) != 1 || rep.Missing[0].Action != scope.name {
				t.Errorf("missing %+v, error %v", rep.Missing, err)
			}
		}
	})
	t.Run("Nothing", func(t *testing.T) {
		s := newDOStage(t, nil)
		before := s.items("firewall") + s.items("vpc") + s.items("tag") + s.items("droplet") + s.items("reserved-ip")
		if _, err := s.d.Check(t.Context(), doRegion); err != nil {
			t.Fatal(err)
		}
		if after := s.items("firewall") + s.items("vpc") + s.items("tag") + s.items("droplet") + s.items("reserved-ip"); after != before {
			t.Errorf("the check made something: %d things, before %d", after, before)
		}
		_, err := s.d.Check(t.Context(), "nyc99")
		if e, ok := errors.AsType[*cloud.Error](err); !ok || !e.NoRegion {
			t.Errorf("error %v, want one about the region", err)
		}
	})
}

// problem looks ahead and wants one problem, about a subject.
func (s *doStage) problem(subject string) cloud.Problem {
	s.t.Helper()
	f, err := s.d.Preflight(s.t.Context(), cloud.PreflightRequest{Owner: cloudtest.TestOwner, Create: s.list})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(f.Problems) != 1 || f.Problems[0].Subject != subject {
		s.t.Fatalf("problems %v, want one about %q", f.Problems, subject)
	}
	return f.Problems[0]
}

// withoutScope refuses a call as a token without its scope is refused: without a word about which one it lacks.
func withoutScope(call string) cloud.Transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method+" "+r.URL.Path != call {
				return next.RoundTrip(r)
			}
			const body = `{"id": "forbidden", "message": "You are not authorized to perform this operation"}`
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})
	}
}
