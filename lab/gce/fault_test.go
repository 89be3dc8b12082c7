package gce

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/lab/fault"
)

// newFaulty is a lab behind rules.
func newFaulty(t *testing.T) (*lab, func(fault.Rule)) {
	t.Helper()
	l := newLab(t)
	set := fault.NewSet()
	l.srv.Config.Handler = set.Handler("gcp", l.svc.Dialect(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.svc.ServeHTTP(w, r) }))
	t.Cleanup(func() { set.Clear() })
	return l, func(r fault.Rule) {
		t.Helper()
		set.Clear()
		r.Cloud = "gcp"
		if _, err := set.Add(r); err != nil {
			t.Fatal(err)
		}
	}
}

func network(name string) *compute.Network {
	return &compute.Network{Name: name, ForceSendFields: []string{"AutoCreateSubnetworks"}}
}

func TestFaultsOnRequest(t *testing.T) {
	l, only := newFaulty(t)
	if _, err := l.api.Projects.Get(testProject).Do(); err != nil { // now the client has a token
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind    fault.Kind
		code    int
		reason  string
		message string
		reads   bool // reads go through
	}{
		{fault.Throttle, 403, "rateLimitExceeded", "Queries per minute", false},
		{fault.Deny, 403, "forbidden", "Required 'compute.networks.create' permission for 'projects/skyweld-lab/global/networks'", false},
		{fault.Expire, 401, "authError", "invalid authentication credentials", false},
		{fault.Error, 500, "backendError", "Backend Error", false},
		{fault.Quota, 403, "quotaExceeded", "Quota 'NETWORKS' exceeded.", true},
	} {
		only(fault.Rule{Kind: c.kind})
		_, err := l.api.Networks.Insert(testProject, network("n")).Do()
		refused(t, err, c.code, c.reason, c.message)
		if _, err := l.api.Networks.List(testProject).Do(); (err == nil) != c.reads {
			t.Errorf("%s: a list: %v", c.kind, err)
		}
	}
	only(fault.Rule{Kind: fault.Deny, Action: "instances.setTags"})
	_, err := l.api.Instances.SetTags(testProject, testZone, "nobody", &compute.Tags{}).Do()
	refused(t, err, 403, "forbidden", "Required 'compute.instances.setTags' permission for 'projects/skyweld-lab/zones/us-east4-b/instances/nobody/setTags'")
	_, err = l.api.Networks.Get(testProject, "n").Do()
	refused(t, err, 404, "notFound", "")
}

// TestMachinesFailInTheirOperations holds that what a machine can't be made for shows in the operation.
func TestMachinesFailInTheirOperations(t *testing.T) {
	l, only := newFaulty(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	for kind, code := range map[fault.Kind]string{fault.Capacity: "ZONE_RESOURCE_POOL_EXHAUSTED", fault.Quota: "QUOTA_EXCEEDED"} {
		only(fault.Rule{Kind: kind, Action: "instances.insert", Region: testRegion})
		op, err := l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do()
		l.failed(code, op, err)
		_, err = l.api.Instances.Get(testProject, testZone, "node").Do()
		refused(t, err, 404, "notFound", "")
	}
	only(fault.Rule{Kind: fault.Capacity, Region: "us-east1"})
	l.done(l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do())
	l.done(l.api.Instances.Stop(testProject, testZone, "node").Do())
	only(fault.Rule{Kind: fault.Capacity})
	op, err := l.api.Instances.Start(testProject, testZone, "node").Do()
	l.failed("ZONE_RESOURCE_POOL_EXHAUSTED", op, err)
	if i, err := l.api.Instances.Get(testProject, testZone, "node").Do(); err != nil || i.Status != "TERMINATED" {
		t.Errorf("a machine that couldn't start: %+v %v", i, err)
	}
}

func TestTokenFaults(t *testing.T) {
	l, only := newFaulty(t)
	for kind, want := range map[fault.Kind]string{
		fault.Expire: "invalid_grant", fault.Throttle: "rate_limit_exceeded", fault.Deny: "unauthorized_client", fault.Error: "internal_failure",
	} {
		only(fault.Rule{Kind: kind, Action: "oauth2.token"})
		_, err := l.client().Projects.Get(testProject).Do()
		e, ok := errors.AsType[*oauth2.RetrieveError](err)
		if !ok || !strings.Contains(string(e.Body), `"error": "`+want+`"`) { // the jwt package leaves ErrorCode empty
			t.Errorf("%s: %v; want %s", kind, err, want)
		}
	}
	only(fault.Rule{Kind: fault.Expire, Action: "compute.*"})
	_, err := l.client().Projects.Get(testProject).Do()
	refused(t, err, 401, "authError", "")
}

// TestLostAnswer holds that a request whose answer is lost was carried out, once.
func TestLostAnswer(t *testing.T) {
	l, only := newFaulty(t)
	only(fault.Rule{Kind: fault.DropAnswer, Action: "networks.insert", Times: 1})
	_, err := l.api.Networks.Insert(testProject, network("once")).Do()
	if _, answered := errors.AsType[*googleapi.Error](err); err == nil || answered {
		t.Errorf("an answer came: %v", err)
	}
	_, err = l.api.Networks.Insert(testProject, network("once")).Do()
	refused(t, err, 409, "alreadyExists", "")
}

func TestRegionDown(t *testing.T) {
	l, only := newFaulty(t)
	only(fault.Rule{Kind: fault.Down, Region: testRegion})
	for what, err := range map[string]error{
		"zone":   call1(l.api.Instances.List(testProject, testZone).Do()),
		"region": call1(l.api.Subnetworks.List(testProject, testRegion).Do()),
	} {
		if err == nil {
			t.Errorf("a %s that is down answered", what)
		}
	}
	for what, err := range map[string]error{
		"nothing in particular": call1(l.api.Networks.List(testProject).Do()),
		"another region":        call1(l.api.Subnetworks.List(testProject, "us-east1").Do()),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func call1[T any](_ T, err error) error { return err }

// TestEveryActionHasAName holds that rules can name whatever a client may ask for.
func TestEveryActionHasAName(t *testing.T) {
	l := newLab(t)
	d := l.svc.Dialect()
	for _, m := range loadMethods() {
		path := strings.NewReplacer("{project}", "p", "{region}", "us-east1", "{zone}", "us-east1-b").Replace(strings.Join(m.parts, "/"))
		r, err := http.NewRequest(m.http, "http://x/compute/v1/"+strings.NewReplacer("{", "", "}", "").Replace(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		what := d.Request(r)
		if what.Action != "compute."+m.id {
			t.Errorf("%s %s is called %q; want compute.%s", m.http, path, what.Action, m.id)
		}
		if where := strings.Contains(path, "us-east1"); where != (what.Region == "us-east1") {
			t.Errorf("%s is about region %q", path, what.Region)
		}
	}
}
