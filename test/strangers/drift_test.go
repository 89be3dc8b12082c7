package strangers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// keeper is an engine that keeps a cluster at one site of a lab, by the production driver. What runs on machines is made
// up. The names are those of docs/drift.md, so that its commands fit.
type keeper struct {
	*testing.T
	engine *engine.Engine
	store  *store.Store
	driver *watched
	uid    string
	// name is what people call a thing by its id; nil for the id itself.
	name func(id string) string
	runs int64 // the last that was looked at
}

const keptFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: conf}
spec:
  sites: [{name: conf, account: lab, region: %s}]
  controlPlane: {replicas: 1}
  workers: [{name: web, site: conf, size: small, count: 1}]
`

// newKeeper brings a cluster up in an account.
func newKeeper(t *testing.T, account cloud.Account, region string, open engine.Factory) *keeper {
	t.Helper()
	dir := t.TempDir()
	box, err := secret.New(bytes.Repeat([]byte{7}, 32), "test")
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{T: t}
	if k.store, err = store.Open(t.Context(), filepath.Join(dir, "skyweld.db"), box); err != nil {
		t.Fatal(err)
	}
	d, err := open(t.Context(), account, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.driver = &watched{Driver: d, data: map[string][]byte{}}
	if err := os.WriteFile(filepath.Join(dir, "agent"), []byte("agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	world := enginetest.New(k.driver.machines)
	k.engine = engine.New(engine.Options{
		Store: k.store, Agent: filepath.Join(dir, "agent"), Bundle: node.Bundle{URL: "https://bundle.test/manifest.json", SHA256: strings.Repeat("ab", 32)},
		Drivers: map[cloud.Provider]engine.Factory{account.Provider: func(context.Context, cloud.Account, cloud.Transport) (cloud.Driver, error) { return k.driver, nil }},
		Every:   time.Hour, ListLag: time.Millisecond, Parallel: 4, Clusters: 1, Name: "keeper", Nodeside: nodeside(world),
		Log: slog.New(slog.NewTextHandler(&logs, nil)),
	})
	account.Name = "lab"
	account.Settings = maps.Clone(account.Settings)
	account.Settings[engine.SettingEgress] = "198.51.100.7"
	if err := k.store.PutAccount(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error)
	go func() { done <- k.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, k.store.Close()); err != nil {
			t.Errorf("end the engine: %v", err)
		}
		if t.Failed() {
			t.Logf("the engine's log:\n%s", logs.String())
		}
	})
	ch, err := k.engine.Apply(t.Context(), fmt.Appendf(nil, keptFile, region), "tester")
	if err != nil {
		t.Fatal(err)
	}
	k.uid = ch.Cluster
	k.settled()
	return k
}

// settled waits until all that was asked for is done, and returns the steps of the runs since the last time.
func (k *keeper) settled() []store.Step {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), 30*time.Second)
	defer cancel()
	for {
		queued, err := k.store.ListChanges(ctx, k.uid, store.Queued, store.Applying)
		if err != nil {
			k.Fatalf("the cluster doesn't become ready: %v", err)
		}
		c, err := k.store.GetClusterByUID(ctx, k.uid)
		if err != nil {
			k.Fatal(err)
		}
		if len(queued) == 0 && c.Phase == store.Ready {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	runs, err := k.store.ListRuns(k.Context(), k.uid, 50)
	if err != nil {
		k.Fatal(err)
	}
	var out []store.Step
	last := k.runs
	for _, r := range slices.Backward(runs) {
		if r.ID <= last {
			continue
		}
		_, steps, err := k.store.GetRun(k.Context(), r.ID)
		if err != nil {
			k.Fatal(err)
		}
		out, k.runs = append(out, steps...), r.ID
	}
	return out
}

// reconcile asks for a run and returns the steps that it took.
func (k *keeper) reconcile() []store.Step {
	k.Helper()
	if _, err := k.engine.Reconcile(k.Context(), "conf", "tester"); err != nil {
		k.Fatal(err)
	}
	return k.settled()
}

var placeholder = regexp.MustCompile(`<([^>]*)>`)

// fill puts the names of what is on record in the places of keys; ok is false where a place is for something else.
func (k *keeper) fill(command string) (filled string, ok bool) {
	k.Helper()
	lines, err := k.store.ListResources(k.Context(), k.uid)
	if err != nil {
		k.Fatal(err)
	}
	names := map[string]string{}
	for _, l := range lines {
		key := strings.Replace(l.Key, "conf-conf-", "conf-", 1) // an engine names the control plane's machines by their site
		if names[key] = l.ID; k.name != nil {
			names[key] = k.name(l.ID)
		}
	}
	ok = true
	return placeholder.ReplaceAllStringFunc(command, func(p string) string {
		name, known := names[p[1:len(p)-1]]
		ok = ok && known
		return name
	}), ok
}

// testDrifts makes changes of docs/drift.md with a stranger's program, of each kind of resource the first of every outcome
// that the program can make by itself, and has the engine repair each: in one run, by the step and for the reason that the
// page says, and a further run finds nothing to do.
func (k *keeper) testDrifts(kinds []cloud.KindInfo, run func(command string) (string, error)) {
	done := map[string]bool{}
	for _, r := range drift.Rows(k.T, filepath.Join("..", ".."), k.driver.Provider()) {
		id := fmt.Sprintf("%s %s", r.Kind, r.Outcome)
		if done[id] || r.Command == "" || r.Once != "" || r.Outcome == drift.Refused || r.Outcome == drift.Left || strings.HasPrefix(r.Command, "curl ") {
			continue
		}
		command, ok := k.fill(r.Command)
		if !ok {
			continue
		}
		done[id] = true
		done[string(r.Kind)] = true
		k.Run(fmt.Sprintf("%s %s %s", r.Kind, r.Field, r.Change), func(t *testing.T) {
			outer := k.T
			k.T = t
			defer func() { k.T = outer }()
			k.mend(r, command, run)
		})
	}
	for _, kind := range kinds {
		if !done[string(kind.Kind)] {
			k.Errorf("no change of a %s was made", kind.Kind)
		}
	}
}

// substituted is a command whose output stands in another.
var substituted = regexp.MustCompile(`\$\(([^()]*)\)`)

func (k *keeper) mend(r drift.Row, command string, run func(command string) (string, error)) {
	k.Helper()
	for line := range strings.SplitSeq(command, " && ") {
		line = substituted.ReplaceAllStringFunc(line, func(s string) string {
			out, err := run(s[2 : len(s)-1])
			if err != nil {
				k.Fatalf("%s: %v", s, err)
			}
			return strings.TrimSpace(out)
		})
		if _, err := run(line); err != nil {
			k.Fatalf("%s: %v", line, err)
		}
	}
	steps := k.reconcile()
	if !slices.ContainsFunc(steps, func(s store.Step) bool {
		return s.Kind == string(r.Kind) && (s.Reason == r.Reason || strings.ContainsAny(r.Reason, "<…"))
	}) {
		var all []string
		for _, s := range steps {
			all = append(all, s.ID+" ("+s.Reason+")")
		}
		k.Fatalf("the run's steps: %s; want one for a %s because %s", strings.Join(all, ", "), r.Kind, r.Reason)
	}
	for _, s := range steps {
		if s.State != store.StepDone {
			k.Errorf("%s: %s %s", s.ID, s.State, s.Error)
		}
	}
	for _, s := range k.reconcile() {
		k.Errorf("there is still something to do: %s, because %s", s.ID, s.Reason)
	}
}

// watched is a driver that remembers the machines it showed and what they were made with.
type watched struct {
	cloud.Driver
	mu   sync.Mutex
	seen []cloud.Object
	data map[string][]byte // user data, by id
}

func (w *watched) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	list, err := w.Driver.Observe(ctx, cluster, region, known...)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = slices.DeleteFunc(slices.Clone(list), func(o cloud.Object) bool { return o.Machine == nil || o.State != cloud.Ready })
	}
	return list, err
}

func (w *watched) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	o, err := w.Driver.Create(ctx, req)
	if err == nil && len(req.UserData) > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.data[o.ID] = req.UserData
	}
	return o, err
}

func (w *watched) machines() []enginetest.Machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []enginetest.Machine
	for _, o := range w.seen {
		if _, name, ok := strings.Cut(o.Key, "-node-"); ok {
			out = append(out, enginetest.Machine{Name: name, ProviderID: o.Machine.ProviderID, Public: o.Machine.Public, UserData: w.data[o.ID]})
		}
	}
	return out
}

// nodeside leads an engine to the made-up inside of machines.
func nodeside(w *enginetest.World) engine.Nodeside {
	return engine.Nodeside{
		Dial: func(ctx context.Context, t remote.Target) (engine.Machine, error) {
			c, err := w.Dial(ctx, t)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Kubernetes: func(_ kube.Cluster, _ kube.PKI, backends []kube.Backend, _ time.Time) (engine.Kubernetes, error) {
			if len(backends) == 0 {
				return nil, errors.New("no control-plane node has an address yet")
			}
			return w.Kubernetes(), nil
		},
		Etcd: func(_ kube.PKI, dial kube.Dial, _ time.Time) (engine.Etcd, error) { return w.EtcdAt(dial) },
		Probe: func(ctx context.Context, _ kube.Cluster, _ kube.KeyPair, b kube.Backend, _ time.Time) (kube.Endpoint, error) {
			return w.Probe(ctx, b.Address)
		},
		Knock: func(ctx context.Context, address netip.AddrPort, _ string) error { return w.Knock(ctx, address.Addr()) },
	}
}
