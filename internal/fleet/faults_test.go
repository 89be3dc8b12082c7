package fleet_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/store"
)

// faulty is a cluster over the four labs, which go wrong by rules.
type faulty struct {
	*engine.Engine
	store   *store.Store
	faults  *fault.Set
	drivers map[cloud.Provider]cloud.Driver
	regions map[cloud.Provider]string
	before  map[cloud.Provider][]cloud.Item
	log     lineCounter
}

func newFaulty(t *testing.T, listLag time.Duration) *faulty {
	t.Helper()
	f := &faulty{
		faults: fault.NewSet(), drivers: map[cloud.Provider]cloud.Driver{}, regions: map[cloud.Provider]string{}, before: map[cloud.Provider][]cloud.Item{},
	}
	m := &machines{by: map[string]enginetest.Machine{}, data: map[string][]byte{}}
	var err error
	f.Engine, f.store, err = newEngine(t.Context(), t.TempDir(), m.watched(), (&stage{world: enginetest.New(m.list)}).nodeside(), &f.log, func(o *engine.Options) { o.ListLag = listLag })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.store.Close() })
	addresses := pools()
	for _, p := range providers {
		l := newLab(t, p, addresses, func(api http.Handler) http.Handler {
			return f.faults.Handler(string(p), api.(interface{ Dialect() fault.Dialect }).Dialect(), api)
		})
		l.account.Settings[engine.SettingEgress] = "198.51.100.7"
		if err := f.store.PutAccount(t.Context(), l.account); err != nil {
			t.Fatal(err)
		}
		f.drivers[p], f.regions[p] = newDriver(t, l.account, nil), l.region
		f.before[p] = f.inventory(t, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *faulty) inventory(t *testing.T, p cloud.Provider) []cloud.Item {
	t.Helper()
	list, err := f.drivers[p].Inventory(t.Context(), f.regions[p])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (f *faulty) add(t *testing.T, r fault.Rule) {
	t.Helper()
	if _, err := f.faults.Add(r); err != nil {
		t.Fatal(err)
	}
}

// until waits for a phase of the cluster.
func (f *faulty) until(t *testing.T, uid string, phase store.Phase) {
	t.Helper()
	watch := f.store.Watch()
	defer watch.Close()
	enough := time.After(2 * time.Minute)
	for {
		c, err := f.store.GetClusterByUID(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		if c.Phase == phase {
			return
		}
		select {
		case <-watch.Ready():
			watch.Take()
		case <-enough:
			t.Fatalf("the cluster is %s, not %s: %v\n%s", c.Phase, phase, c.Conditions, f.log.odd())
		}
	}
}

// live makes the cluster and deletes it while the rules hold. Each cloud holds each thing once in between, and afterwards
// what it held before.
func (f *faulty) live(t *testing.T) {
	t.Helper()
	rules := f.faults.List()
	made, err := f.Apply(t.Context(), []byte(clusterFile(7)), "tester")
	if err != nil {
		t.Fatal(err)
	}
	f.until(t, made.Cluster, store.Ready)
	struck := map[string]int{}
	for _, r := range f.faults.List() {
		struck[r.Cloud] += r.Hits
	}
	f.faults.Clear()
	lines, err := f.store.ListResources(t.Context(), made.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]string{}
	for _, l := range lines {
		recorded[l.Key] = l.ID
	}
	for _, p := range providers {
		if struck[string(p)] == 0 {
			t.Errorf("no rule struck %s", p)
		}
		list, err := f.drivers[p].Observe(t.Context(), made.Cluster, f.regions[p])
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, o := range list {
			switch {
			case o.State == cloud.Gone:
			case seen[o.Key] != "":
				t.Errorf("%s: %s is there twice: %s and %s", p, o.Key, seen[o.Key], o.ID)
			case recorded[o.Key] != o.ID:
				t.Errorf("%s: %s is %s, on record is %q", p, o.Key, o.ID, recorded[o.Key])
			default:
				seen[o.Key] = o.ID
			}
		}
	}
	for _, r := range rules {
		f.add(t, r)
	}
	if _, err := f.Delete(t.Context(), template, "tester"); err != nil {
		t.Fatal(err)
	}
	f.until(t, made.Cluster, store.Deleted)
	f.faults.Clear()
	for _, p := range providers {
		if diff := cmp.Diff(f.before[p], f.inventory(t, p)); diff != "" {
			t.Errorf("%s: inventory before and after:\n%s", p, diff)
		}
	}
}

// TestListsLag has all lists of all clouds be as they were up to two seconds ago, through the life of a cluster.
func TestListsLag(t *testing.T) {
	f := newFaulty(t, 5*time.Second)
	for _, p := range providers {
		f.add(t, fault.Rule{Cloud: string(p), Kind: fault.ListLag, Delay: fault.Duration(2 * time.Second)})
	}
	f.live(t)
}

// TestTwice has calls that make something carried out twice. Where that makes two things of a kind that knows neither token
// nor name, but says when it was made, the engine finds the second one and removes it. Most of what EC2 makes says nothing
// of that: a second one of these is reported as what it may be, somebody's copy.
func TestTwice(t *testing.T) {
	f := newFaulty(t, time.Second)
	for p, actions := range map[cloud.Provider][]string{
		cloud.AWS:          {"RunInstances", "Associate*", "Attach*"},
		cloud.GCP:          {"*.insert"},
		cloud.Azure:        {"*.CreateOrUpdate"},
		cloud.DigitalOcean: {"*:create"},
	} {
		for _, action := range actions {
			f.add(t, fault.Rule{Cloud: string(p), Kind: fault.Duplicate, Action: action})
		}
	}
	f.live(t)
}
