package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// ask asks for the cluster's deletion.
func (s *scene) askDelete(abandon ...string) {
	s.t.Helper()
	if _, err := s.engine.Delete(context.Background(), "demo", "tester", abandon...); err != nil {
		s.t.Fatal(err)
	}
}

// failed does runs until one of the deletion has failed, and returns the cluster.
func (s *scene) failed(uid string) store.Cluster {
	s.t.Helper()
	return s.until(uid, "failed", func(c store.Cluster) bool {
		return slices.ContainsFunc(c.Conditions, func(x store.Condition) bool { return x.Type == readyType && x.Reason == "RunFailed" })
	})
}

func conditionOf(c store.Cluster, kind string) store.Condition {
	for _, x := range c.Conditions {
		if x.Type == kind {
			return x
		}
	}
	return store.Condition{}
}

// clean wants a closed receipt that is signed, with the differences given as "account change by kind".
func (s *scene) receipt(uid, state string, differences ...string) Receipt {
	s.t.Helper()
	kept, err := s.engine.store.GetReceipt(context.Background(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := s.engine.ReceiptKey(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := VerifyReceipt([]byte(kept.Document), key)
	if err != nil {
		s.t.Fatal(err)
	}
	got := []string{}
	for _, a := range r.Accounts {
		for _, d := range a.Differences {
			got = append(got, fmt.Sprintf("%s %s %s %s", a.Name, d.Change, d.By, d.Item.Kind))
		}
	}
	if diff := cmp.Diff(append([]string{}, differences...), got); diff != "" || r.State != state {
		s.t.Errorf("the receipt is %s, want %s; its differences (-want +got):\n%s", r.State, state, diff)
	}
	return r
}

func TestDeletionHasPhases(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	s.world.Leftovers = []kube.Leftover{{Object: "persistentvolume pvc-1", Handle: "vol-1", Why: "its reclaim policy is Retain"}}
	// An earlier look was broken off; what it saw is gone by now.
	s.sql(`UPDATE clusters SET status = json_set(status, '$.leftovers', json('[{"object": "service a/b", "handle": "lb-9", "why": "not yet"}]')) WHERE uid = ?`, uid)
	p, err := s.engine.PlanDelete(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	from := len(s.world.Log())
	s.delete(uid)
	s.asBefore()
	if diff := cmp.Diff([]string{"freeze", "clear"}, s.world.Log()[from:]); diff != "" || !s.world.Frozen {
		t.Errorf("Kubernetes was asked (-want +got):\n%s", diff)
	}
	var phases []plan.Phase
	for _, st := range p.Graph.Steps {
		if len(phases) == 0 || phases[len(phases)-1] != st.Phase {
			phases = append(phases, st.Phase)
		}
	}
	if diff := cmp.Diff(plan.Phases, phases); diff != "" {
		t.Errorf("the plan's phases (-want +got):\n%s", diff)
	}
	_, steps := s.runWith(uid, "delete")
	last := map[string]int{}
	for i, st := range steps {
		if st.State != store.StepDone || st.Phase == "" {
			t.Errorf("step %s is %s in phase %q: %s", st.ID, st.State, st.Phase, st.Error)
		}
		if st.Started.IsZero() {
			t.Errorf("step %s never began", st.ID)
		}
		last[st.Phase] = i
	}
	for _, st := range steps {
		if machine := st.Kind == string(cloudtest.KindMachine); machine && st.Phase == string(plan.PhaseControlPlane) && st.Started.Before(steps[last[string(plan.PhaseWorkers)]].Ended) {
			t.Errorf("%s began before the workers were gone", st.ID)
		}
	}
	r := s.receipt(uid, ReceiptClean)
	if len(r.Kubernetes) != 1 || r.Kubernetes[0].Handle != "vol-1" {
		t.Errorf("left by Kubernetes: %v", r.Kubernetes)
	}
	if left := s.events(uid, "LeftByKubernetes"); len(left) != 1 || !strings.Contains(left[0], "vol-1") {
		t.Errorf("said of what Kubernetes left: %v", left)
	}
}

// runWith returns the newest run of a reason that had steps.
func (s *scene) runWith(uid, reason string) (store.Run, []store.Step) {
	s.t.Helper()
	runs, err := s.engine.store.ListRuns(context.Background(), uid, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range runs {
		run, steps, err := s.engine.store.GetRun(context.Background(), r.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		if run.Reason == reason && len(steps) > 0 {
			return run, steps
		}
	}
	s.t.Fatalf("no run %q had steps", reason)
	return store.Run{}, nil
}

// TestDeletionOfTheHalfMade breaks a creation off after each of its steps in a cloud, and deletes what is there by then.
func TestDeletionOfTheHalfMade(t *testing.T) {
	whole := newScene(t, cloudtest.Options{})
	whole.ready(whole.apply(smallFile))
	creations := 0
	for _, c := range whole.clouds {
		for _, call := range c.Calls() {
			if call.Op == cloudtest.OpCreate {
				creations++
			}
		}
	}
	if creations < 10 {
		t.Fatalf("%d creations were counted", creations)
	}
	t.Logf("%d points", creations)
	for n := range creations {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, cloudtest.Options{})
			seen := 0
			s.point = func(_ int, after bool, call cloudtest.Call) bool {
				if after && call.Op == cloudtest.OpCreate {
					seen++
				}
				return seen > n
			}
			uid := s.apply(smallFile)
			s.turn(uid)
			s.point = nil
			s.start()
			s.delete(uid)
			s.asBefore()
			s.receipt(uid, ReceiptClean)
		})
	}
}

// sql runs a statement behind the store's back.
func (s *scene) sql(statement string, args ...any) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "skyweld.db")+"?_busy_timeout=20000")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// TestDeletionWithoutMemory takes parts of what the engine remembers of a cluster away, each by itself and all together.
func TestDeletionWithoutMemory(t *testing.T) {
	parts := map[string]func(s *scene, uid string){
		"no status": func(s *scene, uid string) { s.sql("UPDATE clusters SET status = 'null' WHERE uid = ?", uid) },
		"broken status": func(s *scene, uid string) {
			s.sql(`UPDATE clusters SET status = '{"initialized": 7}' WHERE uid = ?`, uid)
		},
		"no nodes": func(s *scene, uid string) { s.sql("DELETE FROM nodes WHERE cluster = ?", uid) },
		"broken facts": func(s *scene, uid string) {
			s.sql(`UPDATE nodes SET facts = '{"address": "x"}' WHERE cluster = ?`, uid)
		},
		"no facts":       func(s *scene, uid string) { s.sql(`UPDATE nodes SET facts = 'null' WHERE cluster = ?`, uid) },
		"no keys":        func(s *scene, uid string) { s.sql("DELETE FROM secrets WHERE cluster = ?", uid) },
		"broken keys":    func(s *scene, uid string) { s.sql("UPDATE secrets SET value = 'x' WHERE cluster = ?", uid) },
		"no inventories": func(s *scene, uid string) { s.sql("DELETE FROM inventories WHERE cluster = ?", uid) },
	}
	all := sortedKeys(parts)
	for _, part := range all {
		t.Run(part, func(t *testing.T) { t.Parallel(); deletedWithout(t, parts[part]) })
	}
	t.Run("nothing at all", func(t *testing.T) {
		t.Parallel()
		deletedWithout(t, func(s *scene, uid string) {
			for _, part := range []string{"no status", "no nodes", "no keys", "no inventories"} {
				parts[part](s, uid)
			}
		})
	})
	for _, table := range []struct{ name, column, where string }{{"nodes", "facts", "cluster"}, {"clusters", "status", "uid"}} {
		for _, field := range fieldsOf(t, table.column) {
			t.Run(table.column+" without "+field, func(t *testing.T) {
				t.Parallel()
				deletedWithout(t, func(s *scene, uid string) {
					s.sql(fmt.Sprintf("UPDATE %s SET %s = json_remove(%s, '$.%s') WHERE %s = ?", table.name, table.column, table.column, field, table.where), uid)
				})
			})
		}
	}
}

// fieldsOf are the fields of what the engine remembers of a node, or of a cluster, as they are stored.
func fieldsOf(t *testing.T, column string) []string {
	t.Helper()
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	var documents []json.RawMessage
	if column == "status" {
		c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, c.Status)
	} else {
		nodes, err := s.engine.store.GetNodes(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			documents = append(documents, n.Facts)
		}
	}
	names := map[string]bool{}
	for _, d := range documents {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(d, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			names[name] = true
		}
	}
	return sortedKeys(names)
}

func deletedWithout(t *testing.T, forget func(s *scene, uid string)) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	forget(s, uid)
	s.delete(uid)
	s.asBefore()
	s.receipt(uid, ReceiptClean)
}

// TestDeletionWithoutKubernetes has machines run while Kubernetes' API answers nobody: that is waited for, for a while.
func TestDeletionWithoutKubernetes(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	around := s.world.Around
	s.world.Around = func(ctx context.Context, what string, do func() error) error {
		if strings.HasPrefix(what, "kubernetes: ") {
			return errors.New("connection refused")
		}
		return around(ctx, what, do)
	}
	s.delete(uid)
	s.asBefore()
	if said := s.events(uid, "KubernetesGone"); len(said) != 1 || !strings.Contains(said[0], "connection refused") {
		t.Errorf("said: %v", said)
	}
}

// TestForeignThingsBlockTheNetworkOnly puts somebody's machine into the cluster's network, and takes it away again.
func TestForeignThingsBlockTheNetworkOnly(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	c, subnet := s.find(uid, "two-subnet")
	cidr := subnet.Spec.(*cloudtest.SubnetSpec).CIDR
	foreign := c.Foreign(cloudtest.KindMachine, "us-east4", &cloudtest.MachineSpec{
		Subnet: subnet.ID, Address: strings.Replace(cidr, "0.0/16", "200.200", 1), Zone: "us-east4-a", Type: "t2", DiskGiB: 10,
	})
	s.askDelete()
	at := s.failed(uid)
	blocked := conditionOf(at, conditionBlocked)
	if blocked.Status != conditionTrue || !strings.Contains(blocked.Message, "machine "+foreign+" (no tags)") || !strings.Contains(blocked.Message, "two-subnet") || at.Phase != store.Deleting {
		t.Errorf("the cluster is %s with %+v", at.Phase, blocked)
	}
	var left []string
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			left = append(left, o.Key)
		}
	}
	slices.Sort(left)
	if diff := cmp.Diff([]string{"two-net", "two-subnet"}, left); diff != "" {
		t.Errorf("left of the cluster (-want +got):\n%s", diff)
	}
	for range 3 {
		s.turn(uid)
	}
	if said := s.events(uid, "Blocked"); len(said) != 1 {
		t.Errorf("said while it is blocked: %v", said)
	}
	if said := s.events(uid, "RunFailed"); len(said) != 1 {
		t.Errorf("said of runs that failed alike: %v", said)
	}
	if said := s.events(uid, "StepFailed"); len(said) != 1 {
		t.Errorf("said of steps that failed alike: %v", said)
	}
	if !slices.ContainsFunc(c.Objects(""), func(o cloud.Object) bool { return o.ID == foreign }) {
		t.Fatal("the foreign machine was deleted")
	}
	c.Terminate(foreign)
	// By itself: nobody wakes it.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.engine.Run(ctx) }()
	err := cloudtest.Await(t.Context(), func() bool {
		c, err := s.engine.store.GetClusterByUID(context.Background(), uid)
		return err == nil && c.Phase == store.Deleted
	})
	cancel()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	s.asBefore()
	s.receipt(uid, ReceiptClean)
}

func TestDeletionPause(t *testing.T) {
	var got []string
	for failures := range 9 {
		got = append(got, usualPatience.deletionPause(failures).String())
	}
	if diff := cmp.Diff([]string{"5s", "5s", "10s", "20s", "40s", "1m0s", "1m0s", "1m0s", "1m0s"}, got); diff != "" {
		t.Errorf("the pauses (-want +got):\n%s", diff)
	}
}

// TestAbandon deletes a cluster one of whose accounts is lost, and sweeps that when it is found again.
func TestAbandon(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.engine.patience.listLag = time.Minute // so that the ledger's lines count though no list shows them
	uid := s.apply(smallFile)
	s.ready(uid)
	lost := s.clouds[cloud.GCP]
	if _, err := s.engine.Delete(t.Context(), "demo", "tester", "two"); err == nil || !strings.Contains(err.Error(), "site two can be reached") {
		t.Errorf("a site that can be reached was abandoned: %v", err)
	}
	if _, err := s.engine.Delete(t.Context(), "demo", "tester", "tow"); err == nil || !strings.Contains(err.Error(), `did you mean "two"`) && !strings.Contains(err.Error(), "there are one, two") {
		t.Errorf("a site that isn't there: %v", err)
	}
	lost.Revoke(true)
	there := lost.Objects(uid)
	s.askDelete()
	at := s.failed(uid)
	if ready := conditionOf(at, readyType); at.Phase != store.Deleting || !strings.Contains(ready.Message, "site two (account acc-gcp, us-east4) could not be observed") {
		t.Errorf("the cluster is %s: %s", at.Phase, ready.Message)
	}
	if left := s.clouds[cloud.AWS].Objects(uid); len(left) > 0 {
		t.Errorf("left at the site that can be reached: %v", left)
	}
	if p, err := s.engine.PlanDelete(t.Context(), "demo", "two"); err != nil || len(p.Graph.Steps) > 1 {
		t.Errorf("the plan without the lost site: %v %v", p.Graph.Steps, err)
	}
	s.askDelete("two")
	s.until(uid, "Deleted", func(c store.Cluster) bool { return c.Phase == store.Deleted })
	r := s.receipt(uid, ReceiptAbandoned)
	if len(r.Abandoned) != 1 || r.Abandoned[0].Site != "two" || r.Abandoned[0].Who != "tester" || len(r.Abandoned[0].Items) != len(there) || !strings.Contains(r.Summary, fmt.Sprintf("%d things are left at what was abandoned (two)", len(there))) {
		t.Errorf("abandoned: %+v; %s", r.Abandoned, r.Summary)
	}
	for _, o := range there {
		if !slices.ContainsFunc(r.Abandoned[0].Items, func(i LeftItem) bool { return i.ID == o.ID && i.Key == o.Key }) {
			t.Errorf("%s %s is not in the receipt", o.Kind, o.ID)
		}
	}
	lost.Revoke(false)
	if diff := cmp.Diff(there, lost.Objects(uid), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("what was abandoned has changed:\n%s", diff)
	}
	s.sweep("acc-gcp", uid)
	s.asBefore()
}

// TestCopiesAreInTheReceipt has somebody copy an address of the cluster, with its mark.
func TestCopiesAreInTheReceipt(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	c, o := s.find(uid, "one-ip-demo-one-cp-1")
	id := c.Copy(o.ID)
	s.askDelete()
	s.until(uid, "Deleted", func(c store.Cluster) bool { return c.Phase == store.Deleted })
	r := s.receipt(uid, ReceiptClean, "acc-aws added copy address")
	if d := r.Accounts[0].Differences[0]; d.Item.ID != id || d.Item.Cluster != uid {
		t.Errorf("the difference is %+v, want %s", d, id)
	}
	if left := c.Objects(uid); len(left) != 1 || left[0].ID != id {
		t.Errorf("left: %v", left)
	}
}

// TestAbandonBesideAnother gives up one of two sites in the same region of an account: the inventory that is taken for the other
// shows what was left there.
func TestAbandonBesideAnother(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(strings.Replace(smallFile, "account: acc-gcp, region: us-east4", "account: acc-aws, region: us-east-1", 1))
	s.ready(uid)
	c, subnet := s.find(uid, "two-subnet")
	foreign := c.Foreign(cloudtest.KindMachine, "us-east-1", &cloudtest.MachineSpec{
		Subnet: subnet.ID, Address: strings.Replace(subnet.Spec.(*cloudtest.SubnetSpec).CIDR, "0.0/16", "200.200", 1), Zone: "us-east-1a", Type: "t2", DiskGiB: 10,
	})
	s.askDelete()
	s.failed(uid)
	there := c.Objects(uid)
	s.askDelete("two")
	s.until(uid, "Deleted", func(c store.Cluster) bool { return c.Phase == store.Deleted })
	r := s.receipt(uid, ReceiptAbandoned, "acc-aws added abandoned network", "acc-aws added abandoned subnet", "acc-aws added others machine")
	if len(r.Abandoned) != 1 || len(r.Abandoned[0].Items) != len(there) || len(there) != 2 {
		t.Errorf("abandoned: %+v, there were %v", r.Abandoned, there)
	}
	c.Terminate(foreign)
	s.sweep("acc-aws", uid)
	s.asBefore()
}
