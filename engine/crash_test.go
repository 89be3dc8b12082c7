package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// life is a part of a cluster's life in which an engine is stopped at every point of it.
type life struct {
	name string
	// from is the file of a cluster that is there when the part begins; empty for none.
	from string
	// before is what happens before the engine is listened to: drift.
	before func(*scene)
	// asked says that what the part is about is on record, ask puts it there.
	asked func(*spec.Cluster) bool
	ask   func(context.Context, *Engine) error
	// nodes are those of the end, without the cluster's name; none when it is deleted.
	nodes []string
}

var lives = []life{
	{
		name: "create", asked: func(c *spec.Cluster) bool { return c != nil },
		ask: func(ctx context.Context, e *Engine) error {
			_, err := e.Apply(ctx, []byte(smallFile), "tester")
			return err
		},
		nodes: []string{"one-cp-1", "web-1"},
	},
	{
		name: "node add", from: smallFile, asked: func(c *spec.Cluster) bool { return c.Spec.Workers[0].Nodes() == 2 },
		ask: func(ctx context.Context, e *Engine) error {
			_, _, err := e.AddNodes(ctx, "demo", "web", 1, "tester")
			return err
		},
		nodes: []string{"one-cp-1", "web-1", "web-2"},
	},
	{
		name: "node remove", from: smallFile, asked: func(c *spec.Cluster) bool { return c.Spec.Workers[0].Nodes() == 0 },
		ask: func(ctx context.Context, e *Engine) error {
			_, err := e.RemoveNode(ctx, "demo", "demo-web-1", "tester")
			return err
		},
		nodes: []string{"one-cp-1"},
	},
	{
		name: "access", from: smallFile, asked: func(c *spec.Cluster) bool { return len(c.Spec.Access.SSH) == 1 },
		ask:   applied(smallFile + "  access: {ssh: [192.0.2.0/24], api: [192.0.2.0/24]}\n"),
		nodes: []string{"one-cp-1", "web-1"},
	},
	{
		name: "other workers", from: smallFile, asked: func(c *spec.Cluster) bool { return len(c.Spec.Workers) == 2 },
		ask:   applied(strings.Replace(smallFile, "count: 1}]", "count: 0}, {name: big, site: one, size: medium, count: 1}]", 1)),
		nodes: []string{"big-1", "one-cp-1"},
	},
	{
		name: "replace", from: smallFile, asked: reconcileAsked, ask: reconcileAsk,
		before: func(s *scene) { drifted(s, "two-node-demo-web-1") },
		nodes:  []string{"one-cp-1", "web-1"},
	},
	{
		name: "repair", from: smallFile, before: driftApart, asked: reconcileAsked, ask: reconcileAsk,
		nodes: []string{"one-cp-1", "web-1"},
	},
	{
		name: "control plane", from: largeFile, asked: reconcileAsked, ask: reconcileAsk,
		before: func(s *scene) { drifted(s, "two-node-demo-two-cp-1") },
		nodes:  []string{"batch-1", "one-cp-1", "one-cp-2", "two-cp-1", "web-1"},
	},
	{ // the engine deletes what it made by itself
		name: "taken back", asked: func(c *spec.Cluster) bool { return c != nil }, ask: applied(farFile("remove")),
		before: func(s *scene) {
			s.world.RoundTrip = func(string, string) time.Duration { return 31 * time.Millisecond }
		},
	},
	{
		name: "measure", asked: func(c *spec.Cluster) bool { return c != nil },
		ask: applied(strings.Replace(smallFile, "count: 1}]", "count: 1}, {name: api, site: one, size: small, count: 1}]\n  measure: {for: 1s}", 1)),
	},
	{
		name: "delete", from: smallFile,
		ask: func(ctx context.Context, e *Engine) error {
			_, err := e.Delete(ctx, "demo", "tester")
			return err
		},
	},
}

func applied(file string) func(context.Context, *Engine) error {
	return func(ctx context.Context, e *Engine) error {
		_, err := e.Apply(ctx, []byte(file), "tester")
		return err
	}
}

// A reconciliation may be asked for twice.
func reconcileAsked(*spec.Cluster) bool { return false }

func reconcileAsk(ctx context.Context, e *Engine) error {
	_, err := e.Reconcile(ctx, "demo", "tester")
	return err
}

// drifted has a stranger make a machine another type, which can't be undone in place.
func drifted(s *scene, key string) {
	c, o := s.find(s.uidNow(), key)
	c.Tamper(o.ID, func(spec any) { spec.(*cloudtest.MachineSpec).Type = "drifted" })
}

// driftApart has strangers change something of every kind of repair: what is made anew, changed in place, and replaced.
func driftApart(s *scene) {
	find := func(key string) (*cloudtest.Cloud, string) {
		c, o := s.find(s.uidNow(), key)
		return c, o.ID
	}
	c, id := find("two-node-demo-web-1")
	c.Terminate(id)
	c, id = find("one-fw-nodes")
	c.Tamper(id, func(spec any) { spec.(*cloudtest.FirewallSpec).Rules = nil })
	c, id = find("one-assoc-demo-one-cp-1")
	c.Vanish(id)
	c, id = find("two-fw-control-plane")
	c.Vanish(id)
	c, id = find("two-net")
	c.Tamper(id, func(spec any) { spec.(*cloudtest.NetworkSpec).DNS = false })
}

// crashTuned makes engines that leave nothing to the clock: no lease is renewed, and every wait for a machine is one look.
func crashTuned(_ *Options, p *patience) {
	p.lease, p.retry, p.look = time.Minute, time.Microsecond, time.Minute
}

// begin is a scene in which the part begins.
func (l life) begin(t *testing.T, shot *snapshot) *scene {
	t.Helper()
	s := shot.scene(t, crashTuned)
	if l.before != nil {
		l.before(s)
	}
	return s
}

// go asks for what the part is about and sees it through, with as many engines as it takes.
func (l life) lead(s *scene) {
	s.t.Helper()
	for try := 0; ; try++ {
		if try == 5 {
			s.t.Fatal("the engines don't stop dying")
		}
		if l.once(s); !s.engine.dead.Load() {
			return
		}
		s.start()
	}
}

func (l life) once(s *scene) {
	s.t.Helper()
	ctx := context.Background()
	c, err := s.engine.existing(ctx, "demo")
	if err != nil {
		s.t.Fatal(err)
	}
	if c == nil && l.nodes == nil && s.deleted() {
		return
	}
	var now *spec.Cluster
	if c != nil {
		now = c.Spec
	}
	if l.asked == nil && !c.DeleteRequested.IsZero() || l.asked != nil && l.asked(now) {
		err = nil
	} else {
		err = l.ask(ctx, s.engine.Engine)
	}
	if s.engine.dead.Load() {
		return
	}
	if err != nil {
		s.t.Fatalf("%s: %v", l.name, err)
	}
	if c, err = s.engine.existing(ctx, "demo"); err != nil || c == nil {
		s.t.Fatalf("%s: the cluster is %v, error %v", l.name, c, err)
	}
	s.uid.Store(c.UID)
	if l.nodes == nil {
		s.gone(c.UID)
		return
	}
	s.ready(c.UID)
}

// deleted says that the cluster's life has ended.
func (s *scene) deleted() bool {
	c, err := s.engine.store.GetClusterByUID(context.Background(), s.uidNow())
	return err == nil && c.Phase == store.Deleted
}

func (s *scene) uidNow() string {
	uid, _ := s.uid.Load().(string)
	return uid
}

// holds checks that what was asked for is there, and nothing else; then it ends the cluster's life.
func (l life) holds(s *scene) {
	s.t.Helper()
	uid := s.uidNow()
	if l.nodes != nil {
		s.settledDown(uid, l.nodes)
		s.delete(uid)
	}
	s.asBefore()
	s.told(uid)
}

// settledDown wants a cluster that is as it should be: its nodes are those of Kubernetes and etcd, and a run has nothing to do.
func (s *scene) settledDown(uid string, nodes []string) {
	s.t.Helper()
	var have, members, want, cps []string
	for name, n := range s.world.Registered() {
		have = append(have, name)
		if n.PodCIDR == "" || len(n.Labels) == 0 {
			s.t.Errorf("node %s has the pod block %q and the labels %v", name, n.PodCIDR, n.Labels)
		}
		if !s.world.Alive(n.ProviderID) {
			s.t.Errorf("node %s is machine %s, which is no more", name, n.ProviderID)
		}
	}
	for name := range s.world.Members {
		members = append(members, name)
	}
	for _, n := range nodes {
		want = append(want, "demo-"+n)
		if strings.Contains(n, "-cp-") {
			cps = append(cps, "demo-"+n)
		}
	}
	slices.Sort(have)
	slices.Sort(members)
	if diff := cmp.Diff(want, have); diff != "" {
		s.t.Errorf("nodes (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff(cps, members); diff != "" {
		s.t.Errorf("members of etcd (-want +have):\n%s", diff)
	}
	s.remembered(uid)
	s.turn(uid)
	if got := s.runs(uid, 1); len(got) != 1 || got[0] != "scheduled: succeeded, 0 steps" {
		s.t.Errorf("another run: %v", got)
	}
	s.whole(uid)
}

// remembered wants what Kubernetes has to be known of each node: it is all there is to go by when Kubernetes can't be asked.
func (s *scene) remembered(uid string) {
	s.t.Helper()
	nodes, err := s.engine.store.GetNodes(context.Background(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, n := range nodes {
		var f Facts
		if err := json.Unmarshal(n.Facts, &f); err != nil {
			s.t.Fatal(err)
		}
		if !f.Joined {
			s.t.Errorf("node %s is a member, and that is not on record", n.Name)
		}
	}
}

// told checks the records of a life that has ended: no change is lost, and no run is still going on.
func (s *scene) told(uid string) {
	s.t.Helper()
	changes, err := s.engine.store.ListChanges(context.Background(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, ch := range changes {
		overtaken := ch.State == store.Superseded && slices.ContainsFunc(changes, func(by store.Change) bool { return by.ID == ch.Successor && by.Who == itself })
		if ch.State != store.Applied && !overtaken {
			s.t.Errorf("change %d (%s) is %s: %s", ch.ID, ch.Kind, ch.State, ch.Error)
		}
	}
	runs, err := s.engine.store.ListRuns(context.Background(), uid, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range runs {
		if r.Ended.IsZero() {
			s.t.Errorf("run %d (%s) has no end", r.ID, r.Reason)
		}
	}
}

// crash is a point of a life.
type crash struct {
	life
	point
	shot *snapshot
}

func (c crash) String() string { return c.name + "/" + c.point.String() }

// crashes counts undisturbed lives.
func crashes(t *testing.T, lives []life, o cloudtest.Options) []crash {
	t.Helper()
	shots := map[string]*snapshot{}
	for _, l := range lives {
		file := l.from
		if shots[file] != nil {
			continue
		}
		s := newScene(t, o)
		if file != "" {
			s.ready(s.apply(file))
		}
		shots[file] = s.shoot()
	}
	<-time.After(60 * time.Millisecond) // what was made is not so new any more
	var all []crash
	for _, l := range lives {
		times := map[point]int{}
		for range counted {
			s := l.begin(t, shots[l.from])
			s.listen(nil)
			l.lead(s)
			points, _ := s.unhook()
			l.holds(s)
			for _, p := range points {
				if times[p]++; times[p] == counted {
					all = append(all, crash{l, p, shots[l.from]})
				}
			}
		}
	}
	return all
}

// counted is how many undisturbed lives are counted. A point is what each of them has: how often something is looked at
// while the engine waits for it is up to the clock.
const counted = 3

// reaching lives a part of a life until its engine came to a point: even a point that all lives had that were counted
// may be missed by one.
func reaching(t *testing.T, live func() bool) {
	t.Helper()
	for range 5 {
		if live() {
			return
		}
	}
	t.Fatal("the engine never came there")
}

// chosen is all of a list when CRASH_POINTS is "all", else some that the seed chooses.
func chosen[T any](t *testing.T, all []T, some int) []T {
	t.Helper()
	if os.Getenv("CRASH_POINTS") == "all" {
		return all
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d chooses %d of %d points; 'make crash' tries all", seed, some, len(all))
	rnd := rand.New(rand.NewPCG(seed, 0))
	var out []T
	if testing.Short() {
		some /= 6
	}
	for _, i := range rnd.Perm(len(all))[:min(some, len(all))] {
		out = append(out, all[i])
	}
	return out
}

// TestCrash kills an engine before and after everything that it does, once each, and lets another one go on from what is in
// the database: what was asked for must come about, each thing once, and nothing may be left in the end.
func TestCrash(t *testing.T) {
	all := crashes(t, lives, cloudtest.Options{})
	t.Logf("%d crash points", len(all))
	for _, c := range chosen(t, all, 40) {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			reaching(t, func() bool {
				s := c.begin(t, c.shot)
				s.listen(&c.point)
				c.lead(s)
				_, reached := s.unhook()
				c.holds(s)
				return reached
			})
		})
	}
}

// TestLag lets lists show new things late and deleted ones for longer, through a whole life with a crash in it.
func TestLag(t *testing.T) {
	for _, point := range []int{9, 17, 25, 33} {
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, cloudtest.Options{ListLag: 300 * time.Millisecond})
			s.patient = 3 * time.Second
			s.engine.patience.listLag = s.patient
			s.point = func(n int, after bool, _ cloudtest.Call) bool { return n == point && after }
			uid := s.apply(smallFile)
			s.ready(uid)
			s.point = nil
			if s.engine.dead.Load() {
				s.start()
			}
			s.ready(uid)
			s.apply(smallFile)
			s.ready(uid)
			if _, _, err := s.engine.AddNodes(t.Context(), "demo", "web", 1, "tester"); err != nil {
				t.Fatal(err)
			}
			s.ready(uid)
			s.delete(uid)
			s.settled()
			s.asBefore()
			if noted := s.events(uid, "Noted"); len(noted) > 0 {
				t.Errorf("what lingers in a list was reported: %v", noted)
			}
		})
	}
}

// TestFaults lets many calls fail, before they have an effect and after.
func TestFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i := range uint64(4) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, cloudtest.Options{Seed: seed + i})
			for _, c := range s.clouds {
				for _, f := range []cloudtest.Fault{
					{Rate: 0.15, Class: "throttled"},
					{Rate: 0.1, Class: "unavailable", AfterEffect: true},
					{Rate: 0.1, Class: "unknown", AfterEffect: true},
					{Rate: 0.1, Class: "unknown"},
					{Op: cloudtest.OpCreate, Rate: 0.1, Class: "denied"},
					{Op: cloudtest.OpCreate, Rate: 0.05, Class: "quota"},
				} {
					c.Inject(f)
				}
			}
			uid := s.apply(smallFile)
			s.ready(uid)
			s.delete(uid)
			for _, c := range s.clouds {
				c.Heal()
			}
			s.asBefore()
		})
	}
}
