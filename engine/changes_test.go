package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// during begins a run and holds it at its first kubeadm, does something meanwhile, and lets it end.
func (s *scene) during(uid string, do func()) {
	s.t.Helper()
	reached, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.world.Fail = func(_, command string) error {
		if strings.HasSuffix(command, "kubeadm") {
			once.Do(func() { close(reached) })
			<-gate
		}
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.turn(uid)
	}()
	defer func() {
		close(gate)
		<-done
		s.world.Fail = nil
	}()
	select {
	case <-reached:
		do()
	case <-done:
		s.t.Error("the run ended before its first kubeadm")
	case <-time.After(20 * time.Second):
		s.t.Error("the run doesn't come to its first kubeadm")
	}
}

// queue returns a cluster's changes, each as "kind: state" and what there is to say of it, numbered from 1.
func (s *scene) queue(uid string) []string {
	s.t.Helper()
	all, err := s.engine.store.ListChanges(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	number := func(id int64) int { return 1 + slices.IndexFunc(all, func(c store.Change) bool { return c.ID == id }) }
	var out []string
	for i, c := range all {
		text := fmt.Sprintf("%d %s by %s: %s: %s", i+1, c.Kind, c.Who, c.Summary, c.State)
		if c.Successor != 0 {
			text += fmt.Sprintf(" by %d", number(c.Successor))
		}
		if c.Tries > 0 {
			text += fmt.Sprintf(" after %d failed tries", c.Tries)
		}
		if c.Error != "" {
			why, _, _ := strings.Cut(c.Error, "\n")
			for j, o := range all {
				why = strings.ReplaceAll(why, fmt.Sprintf("change %d", o.ID), fmt.Sprintf("change %d", j+1))
			}
			text += ", " + why
		}
		out = append(out, text)
	}
	return out
}

func (s *scene) wantQueue(uid string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.queue(uid)); diff != "" {
		s.t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// nodesOf are the nodes that the spec in force wants, without the cluster's name.
func (s *scene) nodesOf(uid string) string {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(spec.NodeSites(c.Spec)))
	return strings.ReplaceAll(strings.Join(names, " "), "demo-", "")
}

func (s *scene) add(group, who string) store.Change {
	s.t.Helper()
	ch, _, err := s.engine.AddNodes(s.t.Context(), "demo", group, 1, who)
	if err != nil {
		s.t.Fatal(err)
	}
	return ch
}

func (s *scene) removeNode(node, who string) store.Change {
	s.t.Helper()
	ch, err := s.engine.RemoveNode(s.t.Context(), "demo", node, who)
	if err != nil {
		s.t.Fatal(err)
	}
	return ch
}

func (s *scene) put(file, who string) store.Change {
	s.t.Helper()
	ch, err := s.engine.Apply(s.t.Context(), []byte(file), who)
	if err != nil {
		s.t.Fatal(err)
	}
	return ch
}

// wantProblem checks that something is refused with a reason.
func wantProblem(t *testing.T, err error, says ...string) {
	t.Helper()
	if p, ok := errors.AsType[*Problem](err); !ok || p.Kind != NotNow {
		t.Errorf("error %v; want a refusal", err)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q; want one that says %q", err, text)
		}
	}
}

// TestChangesDuringARun asks for ten nodes at once while a run is going on, and takes one of them back: one run does the rest.
func TestChangesDuringARun(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	var cancelled string
	s.during(uid, func() {
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, _, err := s.engine.AddNodes(t.Context(), "demo", "web", 1, fmt.Sprint("user", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, err := s.engine.Reconcile(t.Context(), "demo", "carol"); err != nil {
			t.Error(err)
		}
		all, err := s.engine.store.ListChanges(t.Context(), uid, store.Queued)
		if err != nil || len(all) != 11 {
			t.Fatalf("%d changes are queued, error %v: %v", len(all), err, s.queue(uid))
		}
		for i, c := range all[:10] {
			if want := fmt.Sprintf("workers web %d → %d", i+1, i+2); c.Summary != want {
				t.Errorf("change %d asks for %q; want %q", c.ID, c.Summary, want)
			}
		}
		cancelled = "web-6"
		if _, err := s.engine.Cancel(t.Context(), all[4].ID, "dave"); err != nil {
			t.Error(err)
		}
		if got := s.nodesOf(uid); got != "one-cp-1 web-1" {
			t.Errorf("a change came into force during a run: %s", got)
		}
	})
	s.ready(uid)
	want := "one-cp-1 web-1 web-10 web-11 web-2 web-3 web-4 web-5 web-7 web-8 web-9"
	if got := s.nodesOf(uid); got != want || strings.Contains(got, cancelled+" ") {
		t.Errorf("nodes %s; want %s", got, want)
	}
	for i, line := range s.queue(uid) {
		state := ": superseded by 11"
		switch i {
		case 0, 10, 11:
			state = ": applied"
		case 5:
			state = ": cancelled, by dave"
		}
		if !strings.HasSuffix(line, state) {
			t.Errorf("%q; want one that ends with %q", line, state)
		}
	}
	all, err := s.engine.store.ListChanges(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	if last := all[10]; last.Generation != 10 || last.Run == 0 || last.Begun.Before(last.Created) || last.Ended.Before(last.Begun) {
		t.Errorf("the last change: %+v", last)
	}
	if runs := s.runs(uid, 9); len(runs) != 2 {
		t.Errorf("runs %v; want one for the creation and one for all changes", runs)
	}
	revisions, err := s.engine.store.ListRevisions(t.Context(), uid)
	if err != nil || len(revisions) != 10 {
		t.Errorf("%d revisions, error %v", len(revisions), err)
	}
}

const batchFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites:
    - {name: one, account: acc-aws, region: us-east-1}
    - {name: two, account: acc-gcp, region: us-east4}
  controlPlane: {replicas: 1}
  workers: [{name: web, site: two, size: small, count: 2}, {name: batch, site: one, size: small, count: 1}]
`

// TestCancel takes changes back on which others build.
func TestCancel(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	file := s.put(batchFile, "alice")
	batch := s.add("batch", "bob")
	removal := s.removeNode("demo-web-1", "carol")
	web := s.add("web", "dave")

	_, err := s.engine.Cancel(t.Context(), file.ID, "erin")
	wantProblem(t, err, fmt.Sprintf("change %d (node-add by bob: workers batch 1 → 2) builds on it", batch.ID), "no group of workers named batch", "cancel that one first")
	if _, err := s.engine.Cancel(t.Context(), removal.ID, "erin"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Cancel(t.Context(), batch.ID, "erin"); err != nil {
		t.Fatal(err)
	}
	s.wantQueue(uid,
		"1 apply by tester: a new cluster: 2 sites, 2 nodes: applied",
		"2 apply by alice: workers web 1 → 2, workers batch added (1): queued",
		"3 node-add by bob: workers batch 1 → 2: cancelled, by erin",
		"4 node-remove by carol: node demo-web-1 removed: cancelled, by erin",
		"5 node-add by dave: workers web 1 → 2: queued")
	if got := s.events(uid, "Cancelled"); len(got) != 2 || !strings.Contains(got[0], "(node-remove: node demo-web-1 removed) was cancelled by erin") {
		t.Errorf("events %v", got)
	}
	s.ready(uid)
	if got := s.nodesOf(uid); got != "batch-1 one-cp-1 web-1 web-2 web-3" {
		t.Errorf("nodes %s", got)
	}
	_, err = s.engine.Cancel(t.Context(), web.ID, "erin")
	wantProblem(t, err, "applied, and only a queued change can be cancelled")
	_, err = s.engine.Cancel(t.Context(), removal.ID, "erin")
	wantProblem(t, err, "is cancelled")
	if _, err := s.engine.Cancel(t.Context(), 1<<40, "erin"); err == nil || !strings.Contains(err.Error(), "there is no change") {
		t.Errorf("a change that isn't there: %v", err)
	}
	// With a file in the queue, what was asked before it can go: the file says all by itself.
	lost := s.add("web", "alice")
	s.put(strings.Replace(batchFile, "count: 1", "count: 0", 1), "bob")
	if _, err := s.engine.Cancel(t.Context(), lost.ID, "erin"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	if got := s.nodesOf(uid); got != "one-cp-1 web-1 web-2" {
		t.Errorf("nodes %s", got)
	}
}

// TestImpossibleInTheQueue removes an account that a queued change needs.
func TestImpossibleInTheQueue(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	extra := cloud.Account{Name: "acc-extra", Provider: cloud.AWS, Settings: map[string]string{SettingEgress: "198.51.100.7"}, Secrets: map[string]cloud.Secret{"key": "x"}}
	if err := s.engine.store.PutAccount(t.Context(), extra); err != nil {
		t.Fatal(err)
	}
	s.put(strings.Replace(smallFile, "  controlPlane", "    - {name: three, account: acc-extra, region: us-east-1}\n  controlPlane", 1)+"  access: {ssh: [192.0.2.0/24]}\n", "alice")
	s.add("web", "bob")
	if err := s.engine.RemoveAccount(t.Context(), "acc-extra"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	s.wantQueue(uid,
		"1 apply by tester: a new cluster: 2 sites, 2 nodes: applied",
		"2 apply by alice: site three added, access.ssh changed: failed, account acc-extra was removed meanwhile: add it again, and ask again",
		"3 node-add by bob: workers web 1 → 2: applied")
	if got := s.nodesOf(uid); got != "one-cp-1 web-1 web-2" {
		t.Errorf("nodes %s", got)
	}
	if got := s.events(uid, "ChangeFailed"); len(got) != 1 || !strings.Contains(got[0], "acc-extra") {
		t.Errorf("events %v", got)
	}
}

// TestRemovedAndAddedAgain asks for a worker to go and another to come, which gets its name: that is another machine.
func TestRemovedAndAddedAgain(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	_, first := s.find(uid, "two-node-demo-web-1")
	s.removeNode("demo-web-1", "alice")
	s.add("web", "bob")
	s.add("web", "carol")
	s.turn(uid)
	s.wantQueue(uid,
		"1 apply by tester: a new cluster: 2 sites, 2 nodes: applied",
		"2 node-remove by alice: node demo-web-1 removed: applied",
		"3 node-add by bob: workers web 0 → 1: queued",
		"4 node-add by carol: workers web 1 → 2: queued")
	s.ready(uid)
	if _, second := s.find(uid, "two-node-demo-web-1"); second.ID == first.ID {
		t.Error("the machine that was to go is still there")
	}
	if got := s.nodesOf(uid); got != "one-cp-1 web-1 web-2" {
		t.Errorf("nodes %s", got)
	}
	if got := s.queue(uid)[2:]; !strings.HasSuffix(got[0], ": superseded by 4") || !strings.HasSuffix(got[1], ": applied") {
		t.Errorf("changes %v", got)
	}
}

// TestDeleteOvertakes asks for a deletion behind others in the queue, during a run.
func TestDeleteOvertakes(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.during(uid, func() {
		s.add("web", "alice")
		if _, err := s.engine.Reconcile(t.Context(), "demo", "bob"); err != nil {
			t.Error(err)
		}
		del, err := s.engine.Delete(t.Context(), "demo", "carol")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.engine.Delete(t.Context(), "demo", "dave"); err != nil || again.ID != del.ID || again.Who != "carol" {
			t.Errorf("the second deletion is %+v, error %v", again, err)
		}
		s.wantQueue(uid,
			"1 apply by tester: a new cluster: 2 sites, 2 nodes: applying",
			"2 node-add by alice: workers web 1 → 2: superseded by 4, the cluster is being deleted by change 4",
			"3 reconcile by bob: check and repair now: superseded by 4, the cluster is being deleted by change 4",
			"4 delete by carol: delete the cluster and all it has: queued")
		_, err = s.engine.Cancel(t.Context(), del.ID, "erin")
		wantProblem(t, err, "is the deletion of its cluster", "can't be cancelled")
		_, _, err = s.engine.AddNodes(t.Context(), "demo", "web", 1, "erin")
		wantProblem(t, err, "is being deleted")
		_, err = s.engine.Apply(t.Context(), []byte(smallFile), "erin")
		wantProblem(t, err, "is being deleted")
	})
	run := s.runs(uid, 1)[0]
	if !strings.Contains(run, ": "+OutcomeStopped) {
		t.Errorf("the run that was going on is %q", run)
	}
	// The step that was going on may come to its end or be broken off; none begins after it.
	if did := s.world.Log(); len(did) > 0 && !slices.Equal(did, []string{"init demo-one-cp-1"}) {
		t.Errorf("while the deletion was waiting was done: %q", did)
	}
	s.gone(uid)
	want := "1 apply by tester: a new cluster: 2 sites, 2 nodes: superseded by 4, the cluster is being deleted by change 4"
	if got := s.queue(uid); got[0] != want || !strings.HasSuffix(got[3], ": applied") {
		t.Errorf("after the run %q: changes %v", run, got)
	}
	s.asBefore()
}

// TestAFailedRunKeepsTheChange: what was asked for stays asked for, until it is done or somebody asks for something else.
func TestAFailedRunKeepsTheChange(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	broken := true
	s.world.Fail = func(node, command string) error {
		if broken && node != "demo-one-cp-1" && strings.HasSuffix(command, "identity") {
			return errors.New("the disk is full")
		}
		return nil
	}
	s.add("web", "alice")
	s.turn(uid)
	s.turn(uid)
	all, err := s.engine.store.ListChanges(t.Context(), uid, store.Applying)
	if err != nil || len(all) != 1 || all[0].Tries != 2 || !strings.Contains(all[0].Error, "the disk is full") || !all[0].Ended.IsZero() || all[0].Run == 0 {
		t.Fatalf("after two failed runs: %+v, error %v", all, err)
	}
	if runs := s.runs(uid, 1); !strings.Contains(runs[0], ": node-add, try 2: failed") {
		t.Errorf("the second try is %v", runs)
	}
	// One that builds on it takes it along; one that asks for something else does away with it.
	s.add("web", "bob")
	s.turn(uid)
	s.put(smallFile, "carol")
	broken = false
	s.ready(uid)
	s.wantQueue(uid,
		"1 apply by tester: a new cluster: 2 sites, 2 nodes: applied",
		"2 node-add by alice: workers web 1 → 2: superseded by 3 after 2 failed tries",
		"3 node-add by bob: workers web 2 → 3: superseded by 4 after 1 failed tries, change 4 (apply by carol) asks for something else",
		"4 apply by carol: workers web 3 → 1: applied")
	if got := s.nodesOf(uid); got != "one-cp-1 web-1" {
		t.Errorf("nodes %s", got)
	}
	s.delete(uid)
	s.asBefore()
}

// TestCancelledRoundAbout takes back what came between two changes that want the same node, and then the first of them: the
// other must still bring it.
func TestCancelledRoundAbout(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	first := s.add("web", "alice")
	s.put(smallFile, "bob")
	s.add("web", "carol")
	all, err := s.engine.store.ListChanges(t.Context(), uid, store.Queued)
	if err != nil || len(all) != 3 {
		t.Fatalf("queued %+v, error %v", all, err)
	}
	for _, id := range []int64{all[1].ID, first.ID} {
		if _, err := s.engine.Cancel(t.Context(), id, "erin"); err != nil {
			t.Fatal(err)
		}
	}
	s.ready(uid)
	if got := s.nodesOf(uid); got != "one-cp-1 web-1 web-2" {
		t.Errorf("nodes %s; carol asked for web-2", got)
	}
}

// TestOldFile applies files that were got before something was asked.
func TestOldFile(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	withGeneration := func(n int) []byte {
		return []byte(strings.Replace(smallFile, "{name: demo}", fmt.Sprintf("{name: demo, generation: %d}", n), 1))
	}
	if _, err := s.engine.Apply(t.Context(), withGeneration(1), "alice"); err != nil {
		t.Errorf("a file of the generation in force: %v", err)
	}
	s.add("web", "bob")
	for n, is := range map[int]string{1: "2", 3: "2"} {
		if _, err := s.engine.Apply(t.Context(), withGeneration(n), "alice"); err == nil || !strings.Contains(err.Error(), "the cluster is at generation "+is) {
			t.Errorf("a file of generation %d with a change queued: %v", n, err)
		}
	}
	s.ready(uid)
	if _, err := s.engine.Apply(t.Context(), withGeneration(1), "alice"); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("a file of an old generation: %v", err)
	}
	if _, err := s.engine.Apply(t.Context(), withGeneration(2), "alice"); err != nil {
		t.Errorf("a file of the generation in force: %v", err)
	}
}

// TestCrashInTheQueue kills the engine before and after each write by which it takes changes on and ends them: none is lost,
// and none is done twice.
func TestCrashInTheQueue(t *testing.T) {
	const write = "store: take changes on of cluster UID"
	const end = "store: end a try of the changes of cluster UID"
	for _, at := range []point{{write, 1, false}, {write, 1, true}, {write, 2, false}, {write, 2, true}, {end, 1, false}, {end, 1, true}, {end, 2, false}, {end, 2, true}} {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, cloudtest.Options{})
			uid := s.apply(smallFile)
			s.ready(uid)
			_, first := s.find(uid, "two-node-demo-web-1")
			s.removeNode("demo-web-1", "alice")
			s.add("web", "bob") // it gets the name of the one before, so it waits for another run
			s.put(strings.Replace(smallFile, "count: 1", "count: 3", 1), "carol")
			s.listen(&at)
			for i := 0; i < 5 && !s.engine.dead.Load(); i++ {
				s.turn(uid)
			}
			if _, reached := s.unhook(); !reached {
				t.Fatalf("the engine never comes to %s", at)
			}
			s.start()
			s.ready(uid)
			s.wantQueue(uid,
				"1 apply by tester: a new cluster: 2 sites, 2 nodes: applied",
				"2 node-remove by alice: node demo-web-1 removed: applied",
				"3 node-add by bob: workers web 0 → 1: superseded by 4",
				"4 apply by carol: workers web 1 → 3: applied")
			if got := s.nodesOf(uid); got != "one-cp-1 web-1 web-2 web-3" {
				t.Errorf("nodes %s", got)
			}
			if _, second := s.find(uid, "two-node-demo-web-1"); second.ID == first.ID {
				t.Error("the machine that was to go is still there")
			}
		})
	}
}
