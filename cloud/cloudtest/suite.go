package cloudtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// Harness tells the suite about a driver and the cloud behind it.
type Harness struct {
	// New returns a driver on an account in which the suite may make and delete things. It is called once per test and
	// cleans up by t.Cleanup.
	New func(t *testing.T) cloud.Driver
	// Region and Zones are where the suite works.
	Region string
	Zones  []string
	// Site builds the site; DefaultSite of Region and Zones when nil.
	Site func(t *testing.T) cloud.Site
	// UserData is what machines are made with; a small "#cloud-config" when nil.
	UserData []byte
	// Change returns another valid spec for a resource, different in one mutable field only. Where it is nil or returns
	// nil, a bool is flipped and a list loses its last element.
	Change func(r cloud.Resource, field string) any
	// Blocked lists the kinds whose deletion must be refused while what depends on them exists; when nil, those of all
	// resources that depend on nothing and have dependents.
	Blocked []cloud.Kind
	// WrongCredentials returns a driver whose credentials the cloud refuses. Nil skips that test.
	WrongCredentials func(t *testing.T) cloud.Driver
	// Terminate ends a machine behind the driver's back. Nil skips that test.
	Terminate func(t *testing.T, d cloud.Driver, machine cloud.Object)
	// Stop stops a machine behind the driver's back. Nil skips that test.
	Stop func(t *testing.T, d cloud.Driver, machine cloud.Object)
	// Stall makes the cloud not answer until release is called. Nil skips that test.
	Stall func(t *testing.T, d cloud.Driver) (release func())
	// UnknownSize is a machine type that the cloud doesn't know, though it might by its form. Empty skips that part.
	UnknownSize string
	// TinySize is a machine type that a control plane is too small on. Empty skips that part.
	TinySize string
	// TooMany says that forty large machines are more than the account's limits allow.
	TooMany bool
	// Skip names tests that this cloud cannot pass ("Lifecycle/TakenAddress"), with the reason.
	Skip map[string]string
	// Timeout bounds each wait for the cloud; a minute when zero.
	Timeout time.Duration
}

// Run runs the conformance suite.
func Run(t *testing.T, h Harness) {
	if h.Timeout == 0 {
		h.Timeout = time.Minute
	}
	if h.UserData == nil {
		h.UserData = []byte("#cloud-config\n{}\n")
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Blueprint", testBlueprint},
		{"BlueprintRefuses", testBlueprintRefuses},
		{"Check", testCheck},
		{"WrongCredentials", testWrongCredentials},
		{"Preflight", testPreflight},
		{"Cancel", testCancel},
		{"Lifecycle", testLifecycle},
		{"Mutable", testMutable},
		{"Terminated", testTerminated},
		{"Stopped", testStopped},
	} {
		h.step(t, test.name, func(t *testing.T) { test.run(t, h) })
	}
}

// step runs a named part unless the harness skips it.
func (h Harness) step(t *testing.T, name string, run func(t *testing.T)) bool {
	return t.Run(name, func(t *testing.T) {
		_, path, _ := strings.Cut(t.Name(), "/")
		for skip, why := range h.Skip {
			if path == skip || strings.HasSuffix(path, "/"+skip) {
				t.Skip(why)
			}
		}
		run(t)
	})
}

// TestOwner is the cluster the suite acts for.
var TestOwner = cloud.Owner{UID: "00c0ffee00c0ffee", Name: "conformance"}

// DefaultSite is a site with two control-plane machines and a worker, with addresses as the engine chooses them: the
// zone with index i has the i-th /20 of the block, whose tenth host comes first.
func DefaultSite(name, region string, zones []string) cloud.Site {
	block := netip.MustParsePrefix("10.64.0.0/16")
	in := func(zone, host int) netip.Addr {
		b := block.Addr().As4()
		return netip.AddrFrom4([4]byte{b[0], b[1], byte(zone * 16), byte(10 + host)})
	}
	second := min(1, len(zones)-1)
	return cloud.Site{
		Name: name, Region: region, Zones: zones, Block: block,
		Pods:      netip.MustParsePrefix("10.216.0.0/14"),
		APIAccess: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.7/32")},
		SSHAccess: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}, TunnelPort: 51820,
		Machines: []cloud.Machine{
			{Name: "conf-cp-1", Role: cloud.ControlPlane, Size: "medium", Zone: zones[0], Address: in(0, 0), DiskGiB: 20},
			{Name: "conf-cp-2", Role: cloud.ControlPlane, Size: "medium", Zone: zones[second], Address: in(second, 1), DiskGiB: 20},
			{Name: "conf-web-1", Role: cloud.Worker, Size: "small", Zone: zones[0], Address: in(0, 2), DiskGiB: 20},
		},
	}
}

func (h Harness) site(t *testing.T) cloud.Site {
	if h.Site != nil {
		return h.Site(t)
	}
	return DefaultSite("conf", h.Region, h.Zones)
}

func (h Harness) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), h.Timeout)
	t.Cleanup(cancel)
	return ctx
}

func testBlueprint(t *testing.T, h Harness) {
	d, site := h.New(t), h.site(t)
	list, err := d.Blueprint(TestOwner, site)
	if err != nil {
		t.Fatalf("blueprint: %v", err)
	}
	if again, err := d.Blueprint(TestOwner, site); err != nil || !reflect.DeepEqual(list, again) {
		t.Errorf("the same site gave another blueprint (error %v)", err)
	}
	kinds := kindsOf(d)
	byKey := map[string]cloud.Resource{}
	machines := map[string]int{}
	for _, m := range site.Machines {
		machines[m.Name] = 0
	}
	for _, r := range list {
		checkResource(t, site, kinds, r)
		if _, ok := byKey[r.Key]; ok {
			t.Errorf("key %q is used twice", r.Key)
		}
		byKey[r.Key] = r
		if _, ok := machines[r.Machine]; !ok && r.Machine != "" {
			t.Errorf("%s is for machine %q, which the site doesn't have", r.Key, r.Machine)
		}
		if kinds[r.Kind].Machine {
			machines[r.Machine]++
		}
	}
	for name, n := range machines {
		if n != 1 {
			t.Errorf("machine %q is in the blueprint %d times", name, n)
		}
	}
	checkCharges(t, d, kinds, list)
	for _, r := range list {
		for _, key := range r.DependsOn {
			if _, ok := byKey[key]; !ok {
				t.Errorf("%s depends on %q, which isn't in the blueprint", r.Key, key)
			}
		}
	}
	if _, err := inOrder(list); err != nil {
		t.Error(err)
	}
	testFewerMachines(t, d, site, kinds, byKey)
}

func checkResource(t *testing.T, site cloud.Site, kinds map[cloud.Kind]cloud.KindInfo, r cloud.Resource) {
	t.Helper()
	if err := cloud.CheckKey(r.Key); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(r.Key, site.Name+"-") {
		t.Errorf("key %q doesn't begin with the site's name", r.Key)
	}
	if r.Site != site.Name || r.Region != site.Region {
		t.Errorf("%s is of site %q, region %q", r.Key, r.Site, r.Region)
	}
	info, ok := kinds[r.Kind]
	if !ok {
		t.Errorf("%s has kind %q, which Kinds doesn't list", r.Key, r.Kind)
	}
	if r.Spec == nil || reflect.TypeOf(r.Spec).Kind() != reflect.Pointer {
		t.Fatalf("%s: spec is %T, want a pointer", r.Key, r.Spec)
	}
	if got := reparse(t, r.Spec); !reflect.DeepEqual(asJSON(t, got), asJSON(t, r.Spec)) {
		t.Errorf("%s: the spec doesn't survive JSON", r.Key)
	}
	for _, f := range info.Mutable {
		if _, ok := fields(t, r.Spec)[f]; !ok {
			t.Errorf("%s: mutable field %q isn't in the desired spec", r.Key, f)
		}
	}
}

// testFewerMachines wants a smaller site to be the same site with less in it: taking a machine away must not replace
// anything else.
func testFewerMachines(t *testing.T, d cloud.Driver, site cloud.Site, kinds map[cloud.Kind]cloud.KindInfo, all map[string]cloud.Resource) {
	site.Machines = site.Machines[:len(site.Machines)-1]
	fewer, err := d.Blueprint(TestOwner, site)
	if err != nil {
		t.Fatalf("blueprint with fewer machines: %v", err)
	}
	for _, r := range fewer {
		was, ok := all[r.Key]
		if !ok {
			t.Errorf("%s is new with fewer machines", r.Key)
			continue
		}
		for _, f := range differing(t, r.Spec, was.Spec) {
			if !slices.Contains(kinds[r.Kind].Mutable, f) {
				t.Errorf("%s: field %q differs with fewer machines and isn't mutable", r.Key, f)
			}
		}
	}
}

func testBlueprintRefuses(t *testing.T, h Harness) {
	d := h.New(t)
	for name, spoil := range map[string]func(*cloud.Site){
		"UnknownZone":       func(s *cloud.Site) { s.Machines[0].Zone = "nowhere-1x" },
		"AddressOutOfBlock": func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("172.31.255.1") },
	} {
		h.step(t, name, func(t *testing.T) {
			site := h.site(t)
			site.Machines = slices.Clone(site.Machines)
			spoil(&site)
			_, err := d.Blueprint(TestOwner, site)
			wantClass(t, "blueprint", err, cloud.Invalid)
		})
	}
}

func testCheck(t *testing.T, h Harness) {
	d := h.New(t)
	rep, err := d.Check(h.context(t), h.Region)
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	if rep.Identity == "" || rep.Account == "" {
		t.Errorf("identity %q, account %q: want both", rep.Identity, rep.Account)
	}
	if !slices.Contains(rep.Regions, h.Region) {
		t.Errorf("regions %v lack %s", rep.Regions, h.Region)
	}
	if len(rep.Missing) > 0 {
		t.Errorf("missing permissions: %v", rep.Missing)
	}
}

func testWrongCredentials(t *testing.T, h Harness) {
	if h.WrongCredentials == nil {
		t.Skip("the harness has no driver with wrong credentials")
	}
	d, ctx := h.WrongCredentials(t), h.context(t)
	_, err := d.Check(ctx, h.Region)
	wantClass(t, "check", err, cloud.Denied)
	_, err = d.Observe(ctx, TestOwner.UID, h.Region)
	wantClass(t, "observe", err, cloud.Denied)
	_, err = d.Inventory(ctx, h.Region)
	wantClass(t, "inventory", err, cloud.Denied)
	list, err := d.Blueprint(TestOwner, h.site(t))
	if err != nil {
		t.Fatalf("blueprint must not need credentials: %v", err)
	}
	_, err = d.Preflight(ctx, cloud.PreflightRequest{Owner: TestOwner, Create: list})
	wantClass(t, "preflight", err, cloud.Denied)
	for _, r := range list {
		if len(r.DependsOn) == 0 && !kindsOf(d)[r.Kind].Machine {
			_, err = d.Create(ctx, cloud.CreateRequest{Owner: TestOwner, Resource: r, Token: token(r.Key, 1)})
			wantClass(t, "create "+r.Key, err, cloud.Denied)
			return
		}
	}
}

// testCancel wants every call to end promptly with its context, and to say so.
func testCancel(t *testing.T, h Harness) {
	d := h.New(t)
	list, err := d.Blueprint(TestOwner, h.site(t))
	if err != nil {
		t.Fatalf("blueprint: %v", err)
	}
	ordered, err := inOrder(list)
	if err != nil {
		t.Fatal(err)
	}
	first := ordered[0]
	calls := map[string]func(context.Context) error{
		"Observe": func(ctx context.Context) error { _, err := d.Observe(ctx, TestOwner.UID, h.Region); return err },
		"Check":   func(ctx context.Context) error { _, err := d.Check(ctx, h.Region); return err },
		"Inventory": func(ctx context.Context) error {
			_, err := d.Inventory(ctx, h.Region)
			return err
		},
		"Create": func(ctx context.Context) error {
			_, err := d.Create(ctx, cloud.CreateRequest{Owner: TestOwner, Resource: first, Token: token(first.Key, 99)})
			return err
		},
	}
	for name, call := range calls {
		t.Run("Before/"+name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			wantCanceled(t, name, call(ctx))
		})
	}
	if h.Stall == nil {
		return
	}
	release := h.Stall(t, d)
	defer release()
	for name, call := range calls {
		t.Run("Stalled/"+name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- call(ctx) }()
			select {
			case err := <-done:
				wantCanceled(t, name, err)
			case <-time.After(10 * time.Second):
				t.Fatalf("%s didn't return within 10 s of its context's end", name)
			}
		})
	}
}

func wantCanceled(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s with an ended context: error %v, want one that wraps the context's", what, err)
	}
	if _, ok := errors.AsType[*cloud.Error](err); !ok {
		t.Errorf("%s: error %v is no *cloud.Error", what, err)
	}
}

// wantClass wants an *cloud.Error of one of the classes.
func wantClass(t *testing.T, what string, err error, classes ...cloud.Class) {
	t.Helper()
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		t.Errorf("%s: error %v, want an *cloud.Error of class %v", what, err, classes)
		return
	}
	if !slices.Contains(classes, e.Class) {
		t.Errorf("%s: error %q has class %q, want one of %v", what, err, e.Class, classes)
	}
	if e.Op == "" {
		t.Errorf("%s: error %q doesn't say what was being done", what, err)
	}
}

func kindsOf(d cloud.Driver) map[cloud.Kind]cloud.KindInfo {
	out := map[cloud.Kind]cloud.KindInfo{}
	for _, k := range d.Kinds() {
		out[k.Kind] = k
	}
	return out
}

// inOrder sorts resources so that each comes after what it depends on.
func inOrder(list []cloud.Resource) ([]cloud.Resource, error) {
	done := map[string]bool{}
	var out []cloud.Resource
	for len(out) < len(list) {
		before := len(out)
		for _, r := range list {
			ready := !slices.ContainsFunc(r.DependsOn, func(k string) bool { return !done[k] })
			if !done[r.Key] && ready {
				done[r.Key] = true
				out = append(out, r)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("the dependencies of %d resources form a circle or lead nowhere", len(list)-len(out))
		}
	}
	return out, nil
}

// token makes the token of the nth creation of a key.
func token(key string, n int) string {
	sum := digestOf("token", key, fmt.Sprint(n), &AddressSpec{}, nil)
	return fmt.Sprintf("%x", sum[:16])
}

func asJSON(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("marshal %T: %v", v, err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("read back %T: %v", v, err)
	}
	return out
}

func fields(t *testing.T, spec any) map[string]any {
	t.Helper()
	m, ok := asJSON(t, spec).(map[string]any)
	if !ok {
		t.Fatalf("%T is no JSON object", spec)
	}
	return m
}

// reparse makes a copy of a spec by way of its JSON form.
func reparse(t *testing.T, spec any) any {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatalf("marshal %T: %v", spec, err)
	}
	out := reflect.New(reflect.TypeOf(spec).Elem()).Interface()
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("read back %T: %v", spec, err)
	}
	return out
}

// differing is Differences for tests.
func differing(t *testing.T, want, got any) []string {
	t.Helper()
	out, err := Differences(want, got)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
