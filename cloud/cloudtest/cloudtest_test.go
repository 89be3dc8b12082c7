package cloudtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

const region = "test-1"

var zones = []string{"test-1a", "test-1b", "test-1c"}

func harness(o cloudtest.Options) cloudtest.Harness {
	return cloudtest.Harness{
		New: func(*testing.T) cloud.Driver {
			c := cloudtest.New(o)
			vpc := c.Foreign(cloudtest.KindNetwork, region, &cloudtest.NetworkSpec{CIDR: "10.64.0.0/16"})
			c.Foreign(cloudtest.KindGateway, region, &cloudtest.GatewaySpec{Network: vpc})
			c.SetQuota(cloudtest.KindMachine, 20)
			c.SetTypes(map[string][]string{zones[0]: {"t2", "t4", "t8"}, zones[1]: {"t2", "t4", "t8"}, zones[2]: {"t2", "t4", "t8"}})
			return c
		},
		Region: region, Zones: zones, UnknownSize: "t9", TooMany: true,
		WrongCredentials: func(*testing.T) cloud.Driver {
			c := cloudtest.New(o)
			c.Revoke(true)
			return c
		},
		Terminate: func(_ *testing.T, d cloud.Driver, m cloud.Object) { d.(*cloudtest.Cloud).Terminate(m.ID) },
		Stop:      func(_ *testing.T, d cloud.Driver, m cloud.Object) { d.(*cloudtest.Cloud).Stop(m.ID) },
		Stall: func(_ *testing.T, d cloud.Driver) func() {
			return d.(*cloudtest.Cloud).Inject(cloudtest.Fault{Until: make(chan struct{})})
		},
	}
}

func TestConformance(t *testing.T) {
	cloudtest.Run(t, harness(cloudtest.Options{}))
}

func TestConformancePickedAddresses(t *testing.T) {
	cloudtest.Run(t, harness(cloudtest.Options{PicksAddress: true}))
}

func TestConformanceNoTokens(t *testing.T) {
	cloudtest.Run(t, harness(cloudtest.Options{NoTokens: true}))
}

func TestConformanceSlow(t *testing.T) {
	h := harness(cloudtest.Options{Latency: time.Microsecond, Boot: 15 * time.Millisecond})
	cloudtest.Run(t, h)
}

var owner = cloud.Owner{UID: "0123456789abcdef", Name: "demo"}

// build makes a whole site and returns its resources by key.
func build(t *testing.T, c *cloudtest.Cloud) map[string]cloud.Resource {
	t.Helper()
	list, err := c.Blueprint(owner, cloudtest.DefaultSite("here", region, zones))
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string]cloud.Resource{}
	for i, r := range list {
		byKey[r.Key] = r
		if _, err := create(t.Context(), c, r, i); err != nil {
			t.Fatal(err)
		}
	}
	return byKey
}

// create uses what the cloud holds as references; the blueprint is in an order that works.
func create(ctx context.Context, c *cloudtest.Cloud, r cloud.Resource, n int) (cloud.Object, error) {
	req := cloud.CreateRequest{Owner: owner, Resource: r, Refs: map[string]cloud.Object{}, Token: fmt.Sprintf("%032x", n)}
	for _, key := range r.DependsOn {
		req.Refs[key] = c.Find(owner.UID, key)
	}
	if r.Kind == cloudtest.KindMachine {
		req.UserData = []byte("#cloud-config")
	}
	return c.Create(ctx, req)
}

func network(name string) cloud.Resource {
	return cloud.Resource{
		Key: "here-" + name, Kind: cloudtest.KindNetwork, Site: "here", Region: region,
		Spec: &cloudtest.NetworkSpec{CIDR: "10.0.0.0/16", DNS: true},
	}
}

func TestFaults(t *testing.T) {
	boom := cloudtest.Fault{Op: cloudtest.OpCreate, Class: cloud.Unavailable, Code: "Boom", RetryAfter: time.Second}
	nth := boom
	nth.Nth = 2
	twice := boom
	twice.Times = 2
	other := boom
	other.Kind = cloudtest.KindMachine
	after := boom
	after.AfterEffect = true
	for _, test := range []struct {
		name  string
		fault cloudtest.Fault
		fails []bool
		made  int
	}{
		{"every", boom, []bool{true, true, true}, 0},
		{"second only", nth, []bool{false, true, false}, 2},
		{"twice", twice, []bool{true, true, false}, 1},
		{"other kind", other, []bool{false, false, false}, 3},
		{"after the effect", after, []bool{true, true, true}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cloudtest.New(cloudtest.Options{})
			c.Inject(test.fault)
			for i, fails := range test.fails {
				_, err := create(t.Context(), c, network(fmt.Sprint("n", i)), i)
				if (err != nil) != fails {
					t.Errorf("call %d: error %v", i, err)
				}
				if e, ok := errors.AsType[*cloud.Error](err); fails && (!ok || e.Class != cloud.Unavailable || e.RetryAfter != time.Second ||
					e.Op != fmt.Sprintf("create network here-n%d", i)) {
					t.Errorf("call %d: error %#v", i, err)
				}
			}
			if got := len(c.Objects(owner.UID)); got != test.made {
				t.Errorf("%d objects, want %d", got, test.made)
			}
			c.Heal()
			if _, err := create(t.Context(), c, network("healed"), 9); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSeededRate wants the same seed to hit the same calls, in whatever order they come.
func TestSeededRate(t *testing.T) {
	hits := func(seed uint64, keys []string) map[string]bool {
		c := cloudtest.New(cloudtest.Options{Seed: seed})
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Rate: 0.3, Class: cloud.Throttled})
		out := map[string]bool{}
		for i, k := range keys {
			for try := range 2 {
				_, err := create(t.Context(), c, network(k), 2*i+try)
				out[fmt.Sprint(k, " ", try)] = err != nil
			}
		}
		return out
	}
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	back := slices.Clone(keys)
	slices.Reverse(back)
	one, other := hits(7, keys), hits(7, back)
	n := 0
	for k, hit := range one {
		if other[k] != hit {
			t.Errorf("%s: hit %v in one order, %v in the other", k, hit, other[k])
		}
		if hit {
			n++
		}
	}
	if n < 40 || n > 80 {
		t.Errorf("%d of 200 calls hit, want about 60", n)
	}
}

func TestTokens(t *testing.T) {
	c := cloudtest.New(cloudtest.Options{})
	one, err := create(t.Context(), c, network("net"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := create(t.Context(), c, network("net"), 1); err != nil || same.ID != one.ID {
		t.Errorf("same token: %s and %s, error %v", one.ID, same.ID, err)
	}
	if two, err := create(t.Context(), c, network("net"), 2); err != nil || two.ID == one.ID {
		t.Errorf("another token under the same key: %s and %s, error %v", one.ID, two.ID, err)
	}
	changed := network("net")
	changed.Spec = &cloudtest.NetworkSpec{CIDR: "10.9.0.0/16"}
	if _, err := create(t.Context(), c, changed, 1); cloud.ClassOf(err) != cloud.Invalid {
		t.Errorf("same token, other parameters: %v", err)
	}
	if err := c.Delete(t.Context(), owner, one); err != nil {
		t.Fatal(err)
	}
	if _, err := create(t.Context(), c, network("net"), 1); cloud.ClassOf(err) != cloud.Invalid {
		t.Errorf("token of what was deleted: %v", err)
	}
}

// TestNoTokens lets a call land that waited while another with its token was made.
func TestNoTokens(t *testing.T) {
	for _, test := range []struct {
		ignored bool
		want    int
	}{{false, 1}, {true, 2}} {
		c := cloudtest.New(cloudtest.Options{NoTokens: test.ignored})
		first := true
		c.SetHooks(cloudtest.Hooks{Before: func(ctx context.Context, call cloudtest.Call) error {
			if !first {
				return nil
			}
			first = false
			_, err := create(ctx, c, network("net"), 1)
			return err
		}})
		if _, err := create(t.Context(), c, network("net"), 1); err != nil {
			t.Error(err)
		}
		if _, err := create(t.Context(), c, network("net"), 1); err != nil {
			t.Error(err)
		}
		if got := len(c.Objects(owner.UID)); got != test.want {
			t.Errorf("tokens ignored: %v: %d networks, want %d", test.ignored, got, test.want)
		}
	}
}

// TestClone changes a copy, and the original, after the copying.
func TestClone(t *testing.T) {
	c := cloudtest.New(cloudtest.Options{})
	build(t, c)
	before := c.Objects(owner.UID)
	copied := c.Clone()
	fw := copied.Find(owner.UID, "here-fw-nodes")
	copied.Tamper(fw.ID, func(s any) { s.(*cloudtest.FirewallSpec).Rules[0].Sources[0] = "0.0.0.0/0" })
	copied.Terminate(copied.Find(owner.UID, "here-node-conf-web-1").ID)
	if diff := cmp.Diff(before, c.Objects(owner.UID), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("the original after changes of its copy:\n%s", diff)
	}
	if diff := cmp.Diff(before, c.Clone().Objects(owner.UID), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("a copy:\n%s", diff)
	}
	if _, err := create(t.Context(), c, network("more"), 90); err != nil {
		t.Fatal(err)
	}
	if n := len(copied.Objects(owner.UID)); n != len(before)-1 {
		t.Errorf("%d objects in the copy, want %d", n, len(before)-1)
	}
}

func TestListLagAndGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cloudtest.New(cloudtest.Options{ListLag: time.Second, Boot: 5 * time.Second, GoneFor: time.Minute})
		build(t, c)
		seen := func() map[string]cloud.State {
			list, err := c.Observe(t.Context(), owner.UID, region)
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]cloud.State{}
			for _, o := range list {
				out[o.Key] = o.State
			}
			return out
		}
		if n := len(seen()); n != 0 {
			t.Errorf("%d things are listed at once", n)
		}
		time.Sleep(2 * time.Second) // the bubble's clock
		if s := seen()["here-node-conf-cp-1"]; s != cloud.Pending {
			t.Errorf("machine is %q, want pending", s)
		}
		time.Sleep(5 * time.Second)
		if s := seen()["here-node-conf-cp-1"]; s != cloud.Ready {
			t.Errorf("machine is %q, want ready", s)
		}
		c.Terminate(c.Find(owner.UID, "here-node-conf-cp-1").ID)
		time.Sleep(2 * time.Second)
		s := seen()
		if s["here-node-conf-cp-1"] != cloud.Gone || s["here-assoc-conf-cp-1"] != "" {
			t.Errorf("terminated machine is %q, its association %q", s["here-node-conf-cp-1"], s["here-assoc-conf-cp-1"])
		}
		time.Sleep(time.Minute)
		if s, ok := seen()["here-node-conf-cp-1"]; ok {
			t.Errorf("after its time the machine is still shown as %q", s)
		}
	})
}

func TestBehindTheBack(t *testing.T) {
	c := cloudtest.New(cloudtest.Options{})
	build(t, c)
	vpc, fw := c.Find(owner.UID, "here-net"), c.Find(owner.UID, "here-fw-nodes")
	copied := c.Copy(c.Find(owner.UID, "here-node-conf-web-1").ID)
	list, err := c.Observe(t.Context(), owner.UID, region)
	if err != nil {
		t.Fatal(err)
	}
	twins := 0
	for _, o := range list {
		if o.Key == "here-node-conf-web-1" {
			twins++
		}
	}
	if twins != 2 {
		t.Errorf("%d machines under one key, want the copy too", twins)
	}
	c.Vanish(copied)
	c.Tamper(fw.ID, func(s any) { s.(*cloudtest.FirewallSpec).Rules = nil })
	if got := c.Find(owner.UID, "here-fw-nodes").Spec.(*cloudtest.FirewallSpec).Rules; len(got) != 0 {
		t.Errorf("rules after tampering: %v", got)
	}
	foreign := c.Foreign(cloudtest.KindSubnet, region, &cloudtest.SubnetSpec{Network: vpc.ID, CIDR: "10.64.255.0/24"})
	for _, o := range slices.Backward(c.Objects(owner.UID)) {
		err := c.Delete(t.Context(), owner, o)
		if o.ID == vpc.ID {
			if cloud.ClassOf(err) != cloud.Conflict || !strings.Contains(err.Error(), foreign) {
				t.Errorf("delete of a network with a foreign subnet: %v", err)
			}
		} else if err != nil {
			t.Error(err)
		}
	}
	c.Unmark(vpc.ID)
	left := func(known ...cloud.Known) []cloud.Object {
		list, err := c.Observe(t.Context(), owner.UID, region, known...)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list, func(o cloud.Object) bool { return o.State == cloud.Gone })
	}
	if list := left(); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
	if list := left(cloud.Known{Kind: vpc.Kind, Key: vpc.Key, ID: vpc.ID}); len(list) != 1 || !list[0].Unmarked || list[0].Key != vpc.Key {
		t.Errorf("of what is known: %v", list)
	}
	items, err := c.Inventory(t.Context())
	if err != nil || len(items) != 2 {
		t.Errorf("inventory: %v, error %v", items, err)
	}
}

func TestQuota(t *testing.T) {
	c := cloudtest.New(cloudtest.Options{Quota: map[cloud.Kind]int{cloudtest.KindNetwork: 1}})
	for i, want := range []cloud.Class{"", cloud.QuotaExceeded} {
		_, err := create(t.Context(), c, network(fmt.Sprint("n", i)), i)
		if (err == nil) != (want == "") || (err != nil && cloud.ClassOf(err) != want) {
			t.Errorf("create %d: %v", i, err)
		}
	}
	rep, err := c.Check(t.Context())
	if err != nil || len(rep.Quotas) != 1 || rep.Quotas[0].Used != 1 {
		t.Errorf("check: %+v, error %v", rep, err)
	}
	c.SetQuota(cloudtest.KindNetwork, -1)
	if _, err := create(t.Context(), c, network("more"), 5); err != nil {
		t.Error(err)
	}
}

func TestHooksAndLog(t *testing.T) {
	c := cloudtest.New(cloudtest.Options{})
	crash := errors.New("crashed")
	c.SetHooks(cloudtest.Hooks{
		Before: func(_ context.Context, call cloudtest.Call) error {
			if call.Key == "here-before" {
				return crash
			}
			return nil
		},
		After: func(_ context.Context, call cloudtest.Call, err error) error {
			if call.Key == "here-after" && call.Effect {
				return crash
			}
			return err
		},
	})
	for i, key := range []string{"before", "after", "fine"} {
		_, err := create(t.Context(), c, network(key), i)
		if errors.Is(err, crash) != (key != "fine") {
			t.Errorf("%s: error %v", key, err)
		}
	}
	if got := len(c.Objects(owner.UID)); got != 2 {
		t.Errorf("%d objects, want those of after and fine", got)
	}
	var got []string
	for _, call := range c.Calls() {
		got = append(got, fmt.Sprintf("%d %s %s %s effect=%v", call.Seq, call.Op, call.Key, call.Token[30:], call.Effect))
	}
	want := []string{
		"1 create here-before 00 effect=false", "2 create here-after 01 effect=true", "3 create here-fine 02 effect=true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("log: %q", got)
	}
	c.ForgetCalls()
	c.SetHooks(cloudtest.Hooks{})
	if _, err := c.Inventory(t.Context()); err != nil || len(c.Calls()) != 1 || c.Calls()[0].Seq != 4 {
		t.Errorf("log after forgetting: %v (error %v)", c.Calls(), err)
	}
}

func TestBlockAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cloudtest.New(cloudtest.Options{})
		gate := make(chan struct{})
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Until: gate, AfterEffect: true, Times: 1})
		done := make(chan error, 1)
		go func() {
			_, err := create(t.Context(), c, network("slow"), 1)
			done <- err
		}()
		synctest.Wait()
		calls := c.Calls()
		if len(calls) != 1 || !calls[0].Effect || calls[0].Done {
			t.Errorf("the call isn't waiting with its effect made: %v", calls)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestParallelCalls(t *testing.T) {
	c := cloudtest.New(cloudtest.Options{})
	c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Rate: 0.5, AfterEffect: true, Class: cloud.Unknown})
	var wg sync.WaitGroup
	for i := range 20 {
		for range 3 {
			wg.Go(func() {
				_, _ = create(t.Context(), c, network(fmt.Sprint("n", i)), i)
				_, _ = c.Observe(t.Context(), owner.UID, region)
			})
		}
	}
	wg.Wait()
	if got := len(c.Objects(owner.UID)); got != 20 {
		t.Errorf("%d objects of 20 tokens", got)
	}
}

func TestLongKeysStayValid(t *testing.T) {
	site := cloudtest.DefaultSite(strings.Repeat("s", 30), region, zones)
	for i := range site.Machines {
		site.Machines[i].Name = strings.Repeat("m", 40) + fmt.Sprint(i)
	}
	site.SSHAccess = []netip.Prefix{}
	list, err := cloudtest.New(cloudtest.Options{}).Blueprint(owner, site)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range list {
		if err := cloud.CheckKey(r.Key); err != nil || seen[r.Key] {
			t.Errorf("key %q: seen %v, error %v", r.Key, seen[r.Key], err)
		}
		seen[r.Key] = true
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	}
}
