package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

const (
	smallFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites:
    - {name: one, account: acc-aws, region: us-east-1}
    - {name: two, account: acc-gcp, region: us-east4}
  controlPlane: {replicas: 1}
  workers: [{name: web, site: two, size: small, count: 1}]
`
	largeFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites:
    - {name: one, account: acc-aws, region: us-east-1}
    - {name: two, account: acc-gcp, region: us-east4}
  controlPlane: {replicas: 3}
  workers: [{name: web, site: one, size: small, count: 1}, {name: batch, site: two, size: medium, count: 1}]
`
	// canary is in every secret of the accounts.
	canary = "canary-f00dcafe-secret"
)

// scene is one database with two clouds, and the engines that work on them one after the other.
type scene struct {
	t      *testing.T
	dir    string
	box    *secret.Box
	clouds map[cloud.Provider]*cloudtest.Cloud
	world  *enginetest.World
	// uid is the cluster's, as soon as there is one.
	uid    atomic.Value
	before map[cloud.Provider][]cloud.Item
	// engine is the one at work.
	engine *worker
	logs   *syncBuffer
	// patient is how long engines that are started let lists lag; zero for hardly any.
	patient time.Duration

	hookMu gate
	calls  int
	point  func(n int, after bool, call cloudtest.Call) bool // true crashes the engine
	// tap counts what the engine does and may stop it there; nil for neither.
	tap *tap
	// tune changes what engines that are started are made with.
	tune func(*Options, *patience)
}

// gate is a mutex that a testing/synctest bubble knows: its clock goes on while somebody waits for it.
type gate chan struct{}

func newGate() gate    { return make(gate, 1) }
func (g gate) Lock()   { g <- struct{}{} }
func (g gate) Unlock() { <-g }

// worker is one engine with its own connection to the database, so that it can lose it.
type worker struct {
	*Engine
	ctx    context.Context
	cancel context.CancelFunc
	dead   atomic.Bool
	// ice is closed when the engine, which is frozen, goes on; nil for one that never was.
	ice chan struct{}
}

var errCrashed = errors.New("the engine is no more")

func newScene(t *testing.T, o cloudtest.Options) *scene {
	t.Helper()
	s := &scene{t: t, dir: inMemory(t), box: testBox(t), before: map[cloud.Provider][]cloud.Item{}, logs: new(syncBuffer), hookMu: newGate()}
	aws, gcp := o, o
	aws.Provider, aws.Regions = cloud.AWS, map[string][]string{"us-east-1": {"us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1e", "us-east-1f"}}
	gcp.Provider, gcp.Regions = cloud.GCP, map[string][]string{"us-east4": {"us-east4-a", "us-east4-b", "us-east4-c"}}
	s.clouds = map[cloud.Provider]*cloudtest.Cloud{cloud.AWS: cloudtest.New(aws), cloud.GCP: cloudtest.New(gcp)}
	s.world = enginetest.New(s.machines)
	s.clouds[cloud.AWS].Foreign(cloudtest.KindNetwork, "us-east-1", &cloudtest.NetworkSpec{CIDR: "192.168.0.0/16"})
	for range 100 { // the clouds count their addresses from the same one on
		s.clouds[cloud.GCP].Foreign(cloudtest.KindAddress, "us-east4", &cloudtest.AddressSpec{})
	}
	if o.ListLag > 0 {
		<-time.After(o.ListLag)
	}
	for p, c := range s.clouds {
		var err error
		if s.before[p], err = c.Inventory(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	for _, a := range []cloud.Account{{Name: "acc-aws", Provider: cloud.AWS}, {Name: "acc-gcp", Provider: cloud.GCP}} {
		a.Settings = map[string]string{SettingEgress: "198.51.100.7"}
		a.Secrets = map[string]cloud.Secret{"key": cloud.Secret(canary + "-" + a.Name)}
		if err := s.engine.store.PutAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// inMemory is a folder on a file system without a disk where there is one: an engine that is killed loses nothing it wrote,
// and databases are written faster.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "skyweld-engine-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testBox(t *testing.T) *secret.Box {
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{7}, 32), "test")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// open hooks the scene to its clouds and world and begins with an engine.
func (s *scene) open() {
	s.t.Helper()
	for p, c := range s.clouds {
		c.SetHooks(s.hooks(p))
	}
	s.world.Around = s.around
	if err := os.WriteFile(filepath.Join(s.dir, "agent"), []byte("agent"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.start()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the engine's log:\n%s", s.logs.tail(6000))
		}
		s.engine.cancel()
		s.engine.store.Close()
	})
}

// start begins another engine on the same database. Those before it are surely dead, or their leases have run out.
func (s *scene) start() {
	s.t.Helper()
	w := &worker{}
	w.ctx, w.cancel = context.WithCancel(context.WithValue(context.Background(), workerKey{}, w))
	st, err := store.Open(context.Background(), filepath.Join(s.dir, "skyweld.db"), s.box, store.Around(func(_ context.Context, what string, write func() error) error {
		return s.through(w, s.writeName(w, what), write)
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := st.Abandon(context.Background(), "engine"); err != nil {
		s.t.Fatal(err)
	}
	drivers := map[cloud.Provider]Factory{}
	for p, c := range s.clouds {
		drivers[p] = func(context.Context, cloud.Account, cloud.Transport) (cloud.Driver, error) { return c, nil }
	}
	o := Options{
		Store: st, Drivers: drivers, Agent: filepath.Join(s.dir, "agent"), Bundle: node.Bundle{URL: "https://bundle.test/manifest.json", SHA256: strings.Repeat("ab", 32)},
		Every: time.Hour, Parallel: 4, Clusters: 1, Name: "engine", Nodeside: s.nodeside(),
		Log: slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	p := patience{lease: 200 * time.Millisecond, listLag: 50 * time.Millisecond, retry: time.Millisecond, step: 3 * time.Second, call: 5 * time.Second, ssh: time.Second, again: 20 * time.Millisecond, look: 20 * time.Millisecond, care: 20 * time.Millisecond}
	if s.patient > 0 {
		p.listLag = s.patient
	}
	if s.tune != nil {
		s.tune(&o, &p)
	}
	w.Engine = New(o)
	w.patience = p
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	s.engine = w
}

// crash ends the engine without giving it the chance to write anything more.
func (s *scene) crash() {
	w := s.engine
	if !w.dead.Swap(true) {
		w.store.Close()
		w.cancel()
	}
}

// hook stands around every call to a cloud.
func (s *scene) hook(after bool, call cloudtest.Call, err error) error {
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	w := s.engine
	if w == nil {
		return err
	}
	if w.dead.Load() {
		return errCrashed
	}
	if !after {
		s.calls++
	}
	if s.point != nil && s.point(s.calls, after, call) {
		s.crash()
		return errCrashed
	}
	return err
}

// turn does one run now, if the cluster can be claimed.
func (s *scene) turn(uid string) { s.engine.turn(uid) }

func (w *worker) turn(uid string) {
	_ = w.store.Wake(w.ctx, uid)
	claim, err := w.store.ClaimCluster(w.ctx, "engine", w.patience.lease)
	if err != nil || claim == nil {
		select {
		case <-w.ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
		return
	}
	w.work(w.ctx, claim)
}

// until does run after run until the cluster is as wanted.
func (s *scene) until(uid, what string, ok func(store.Cluster) bool) store.Cluster {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := s.engine.store.GetClusterByUID(context.Background(), uid)
		if err == nil && ok(c) {
			return c
		}
		if s.engine.dead.Load() {
			return c
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the cluster is still %s, not %s: %v", c.Phase, what, c.Conditions)
		}
		s.turn(uid)
	}
}

// apply asks for a cluster file and returns the cluster's uid.
func (s *scene) apply(file string) string {
	s.t.Helper()
	ch, err := s.engine.Apply(context.Background(), []byte(file), "tester")
	if err != nil {
		s.t.Fatal(err)
	}
	s.uid.Store(ch.Cluster)
	return ch.Cluster
}

// ready brings a cluster to what is asked and checks that everything is there once.
func (s *scene) ready(uid string) {
	s.t.Helper()
	s.until(uid, "Ready", func(c store.Cluster) bool {
		queued, err := s.engine.store.ListChanges(context.Background(), uid, store.Queued, store.Applying)
		return err == nil && len(queued) == 0 && c.Phase == store.Ready
	})
	if !s.engine.dead.Load() {
		s.whole(uid)
	}
}

// whole checks that clouds and ledger hold the same, each thing once.
func (s *scene) whole(uid string) {
	s.t.Helper()
	var there, recorded []string
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			there = append(there, o.Key+"="+o.ID)
		}
	}
	lines, err := s.engine.store.ListResources(context.Background(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lines {
		recorded = append(recorded, l.Key+"="+l.ID)
	}
	slices.Sort(there)
	slices.Sort(recorded)
	if diff := cmp.Diff(recorded, there); diff != "" {
		s.t.Fatalf("ledger and clouds (-ledger +clouds):\n%s", diff)
	}
	for i := 1; i < len(there); i++ {
		if key, _, _ := strings.Cut(there[i], "="); strings.HasPrefix(there[i-1], key+"=") {
			s.t.Fatalf("a double: %s and %s", there[i-1], there[i])
		}
	}
}

// delete ends the cluster's life.
func (s *scene) delete(uid string) {
	s.t.Helper()
	if _, err := s.engine.Delete(context.Background(), "demo", "tester"); err != nil {
		s.t.Fatal(err)
	}
	s.gone(uid)
}

// gone waits for the end of a deletion and checks that nothing is left.
func (s *scene) gone(uid string) {
	s.t.Helper()
	s.until(uid, "Deleted", func(c store.Cluster) bool { return c.Phase == store.Deleted })
	if s.engine.dead.Load() {
		return
	}
	for p, c := range s.clouds {
		var left []string
		for _, o := range c.Objects(uid) {
			left = append(left, o.Key+"="+o.ID)
		}
		if len(left) > 0 {
			s.t.Fatalf("%s: left behind: %v", p, left)
		}
	}
}

// settled waits until lists show what is there.
func (s *scene) settled() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	for _, c := range s.clouds {
		if err := cloudtest.Await(ctx, func() bool {
			after, err := c.Inventory(context.Background())
			return err == nil && cmp.Equal(s.before[c.Provider()], after)
		}); err != nil {
			return
		}
	}
}

// asBefore compares what the accounts hold with what they held.
func (s *scene) asBefore() {
	s.t.Helper()
	for p, c := range s.clouds {
		after, err := c.Inventory(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		if diff := cmp.Diff(s.before[p], after); diff != "" {
			s.t.Fatalf("%s: inventory before and after:\n%s", p, diff)
		}
	}
}

// runs returns the last runs, the newest first, each as "reason outcome steps".
func (s *scene) runs(uid string, limit int) []string {
	s.t.Helper()
	list, err := s.engine.store.ListRuns(context.Background(), uid, limit)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		_, steps, err := s.engine.store.GetRun(context.Background(), r.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s: %s, %d steps", r.Reason, r.Outcome, len(steps)))
	}
	return out
}

// events returns the texts of all events with a reason.
func (s *scene) events(uid, reason string) []string {
	s.t.Helper()
	list, err := s.engine.store.LastEvents(context.Background(), uid, 10000)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if reason == "" || e.Reason == reason {
			out = append(out, e.Reason+" "+e.Object+": "+e.Message)
		}
	}
	return out
}

func (s *scene) find(uid, key string) (*cloudtest.Cloud, cloud.Object) {
	s.t.Helper()
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			if o.Key == key {
				return c, o
			}
		}
	}
	s.t.Fatalf("there is no %s", key)
	return nil, cloud.Object{}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.b.String()
	return text[max(0, len(text)-n):]
}
