package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/price"
)

// TestCosts follows a cluster's cost from the plan of its creation to that of its deletion. The clouds of the test have
// disks and addresses of which no price is known, and machines of real types, of which one is.
func TestCosts(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	file := withTypes("nobody-knows-it", "t3.medium", "e2-medium")
	p, err := s.engine.Plan(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	planned := p.Cost.After
	// 3 of the control plane, 3 workers; each with a machine, a disk and an address.
	if got := planned.Total; got.Priced != 3 || got.Unknown != 15 || got.PerHour <= 2*0.0416 {
		t.Errorf("planned are %+v", got)
	}
	if diff := cmp.Diff(price.Sum{}, p.Cost.Now); diff != "" || p.Cost.Difference != planned.Total {
		t.Errorf("before it is made it costs %+v, and %+v more after", p.Cost.Now, p.Cost.Difference)
	}
	uid := s.apply(string(file))
	before := s.costs(uid)
	if before.Cluster.Total.Priced+before.Cluster.Total.Unknown != 0 {
		t.Errorf("what isn't made yet costs %+v", before.Cluster.Total)
	}
	s.ready(uid)
	now := s.costs(uid)
	if diff := cmp.Diff(planned, now.Cluster); diff != "" {
		t.Errorf("what was made (+) costs something else than was planned (-):\n%s", diff)
	}
	if got := now.Nodes["demo-web-1"]; got.PerHour != 0.0416 || got.Priced != 1 || got.Unknown != 2 {
		t.Errorf("a worker costs %+v", got)
	}
	if len(now.Nodes) != 6 {
		t.Errorf("there are costs of %d nodes", len(now.Nodes))
	}
	for _, c := range []struct {
		name                string
		plan                func() (Planned, error)
		hour                float64
		priced, unknown, in int
	}{
		{"nothing", func() (Planned, error) { return s.engine.Plan(t.Context(), file) }, 0, 0, 0, 18},
		{"a worker more", func() (Planned, error) { return s.engine.PlanAddNodes(t.Context(), "demo", "web", 1) }, 0.0416, 1, 2, 21},
		{"a worker less", func() (Planned, error) { return s.engine.PlanRemoveNode(t.Context(), "demo", "demo-web-1") }, -0.0416, 1, 2, 15},
		{"the end", func() (Planned, error) { return s.engine.PlanDelete(t.Context(), "demo") }, -planned.Total.PerHour, 3, 15, 0},
	} {
		p, err := c.plan()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		d, after := p.Cost.Difference, p.Cost.After.Total
		if d.PerHour != c.hour || d.Priced != c.priced || d.Unknown != c.unknown || after.Priced+after.Unknown != c.in {
			t.Errorf("%s: the difference is %+v, after it are %+v", c.name, d, after)
		}
		if p.Cost.Now != now.Cluster.Total {
			t.Errorf("%s: now it costs %+v, and as it is on record %+v", c.name, p.Cost.Now, now.Cluster.Total)
		}
	}
	s.delete(uid)
}

// TestCostsWithoutDriver has an account that no driver can be made of: its machines cost what they cost, what comes with
// them isn't known, and nothing is free.
func TestCostsWithoutDriver(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(string(withTypes("nobody-knows-it", "t3.medium", "e2-medium")))
	s.ready(uid)
	was := s.costs(uid)
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := s.engine.onRecord(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	st := &site{spec: c.Spec.Spec.Sites[0], account: cloud.Account{Provider: cloud.AWS}, driver: unmade{provider: cloud.AWS}, zones: []string{"us-east-1a"}}
	got := price.Total(recorded.of(st)["demo-web-1"])
	if got.PerHour != was.Nodes["demo-web-1"].PerHour || got.Priced != 1 || got.Unknown != 1 {
		t.Errorf("a worker there costs %+v", got)
	}
}

func (s *scene) costs(uid string) Costs {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.engine.Costs(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// TestCostsAreRenewed: what a cluster costs is believed for a while; then a list still has it at once, and soon the new one.
func TestCostsAreRenewed(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(string(withTypes("nobody-knows-it", "t3.medium", "e2-medium")))
	s.ready(uid)
	cost := func() price.Sum {
		t.Helper()
		all, err := s.engine.Glances(t.Context(), "", 10)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d clusters, %v", len(all), err)
		}
		return all[0].Cost
	}
	right := cost()
	if right.Priced == 0 {
		t.Fatalf("it costs %+v", right)
	}
	seen, wrong := &s.engine.sightings, price.Sum{Priced: 99}
	put := func(at time.Time) {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		c := seen.costs[uid]
		c.sum, c.at = wrong, at
		seen.costs[uid] = c
	}
	put(time.Now())
	if got := cost(); got != wrong {
		t.Errorf("what was found lately isn't believed: %+v", got)
	}
	put(time.Now().Add(-costsKept))
	if got := cost(); got != wrong {
		t.Errorf("the list waited for %+v", got)
	}
	for end := time.Now().Add(time.Minute); cost() != right; {
		if time.Now().After(end) {
			t.Fatalf("it still costs %+v, not %+v", cost(), right)
		}
	}
}
