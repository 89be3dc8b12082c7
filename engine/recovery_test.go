package engine

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// lastSteps are the steps of the last run that had any, as "id: reason".
func (s *scene) lastSteps(uid string) []string {
	s.t.Helper()
	list, err := s.engine.store.ListRuns(s.t.Context(), uid, 20)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range list {
		_, steps, err := s.engine.store.GetRun(s.t.Context(), r.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		var out []string
		for _, st := range steps {
			out = append(out, st.ID+": "+st.Reason)
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// insideDrift is one way in which something inside Kubernetes, or on a node, is changed by hand.
type insideDrift struct {
	what string
	by   string // how somebody does it
	hurt func(s *scene)
	want string // a step of the run that repairs it
	ok   func(s *scene) bool
}

const (
	webNode   = "demo-web-1"
	planeNode = "demo-one-cp-1"
)

func (s *scene) changeNode(name string, change func(*kube.NodeInfo)) {
	n := s.world.Nodes[name]
	n.Labels = maps.Clone(n.Labels)
	change(&n)
	s.world.Nodes[name] = n
}

// insideDrifts are all of them.
var insideDrifts = []insideDrift{
	{"a label of a Node is gone", "kubectl label node", func(s *scene) {
		s.changeNode(webNode, func(n *kube.NodeInfo) { delete(n.Labels, siteLabel) })
	}, "label/" + webNode + ": the label skyweld.dev/site is gone", func(s *scene) bool { return s.world.Nodes[webNode].Labels[siteLabel] == "one" }},
	{"a label of a Node is changed", "kubectl label --overwrite node", func(s *scene) {
		s.changeNode(webNode, func(n *kube.NodeInfo) { n.Labels["team"] = "other" })
	}, "label/" + webNode + `: the label team differs: have "other", want "data"`, func(s *scene) bool { return s.world.Nodes[webNode].Labels["team"] == "data" }},
	{"a label that somebody added stays", "kubectl label node", func(s *scene) {
		s.changeNode(webNode, func(n *kube.NodeInfo) { n.Labels["mine"] = "x"; delete(n.Labels, "team") })
	}, "label/" + webNode + ": the label team is gone", func(s *scene) bool { return s.world.Nodes[webNode].Labels["mine"] == "x" }},
	{"the mark of a control-plane Node is gone", "kubectl label node", func(s *scene) {
		s.changeNode(planeNode, func(n *kube.NodeInfo) { delete(n.Labels, planeLabel) })
	}, "label/" + planeNode + ": the label node-role.kubernetes.io/control-plane is gone", func(s *scene) bool {
		_, ok := s.world.Nodes[planeNode].Labels[planeLabel]
		return ok
	}},
	{"a taint of a Node is gone", "kubectl taint node", func(s *scene) {
		s.changeNode(webNode, func(n *kube.NodeInfo) { n.Taints = []kube.Taint{{Key: "mine", Effect: "NoSchedule"}} })
	}, "label/" + webNode + ": the taint dedicated=data:NoSchedule is gone", func(s *scene) bool { return len(s.world.Nodes[webNode].Taints) == 2 }},
	{"a Node is deleted", "kubectl delete node", func(s *scene) { delete(s.world.Nodes, webNode) },
		"join/" + webNode + ": not in Kubernetes", func(s *scene) bool { return s.world.Nodes[webNode].PodCIDR != "" }},
	{"a Node of the control plane is deleted", "kubectl delete node", func(s *scene) { delete(s.world.Nodes, planeNode) },
		"join/" + planeNode + ": not in Kubernetes", func(s *scene) bool {
			return slices.Contains(s.world.Nodes[planeNode].Taints, kube.Taint{Key: planeLabel, Effect: "NoSchedule"}) && len(s.world.Members) == 3
		}},
	{"a Node of a machine that is gone", "a Node that came back with an old snapshot", func(s *scene) {
		s.world.Nodes["demo-old-1"] = kube.NodeInfo{Name: "demo-old-1", ProviderID: "gone", Labels: map[string]string{siteLabel: "one"}}
	}, "forget/demo-old-1: the spec has no such node, and one has no machine gone", func(s *scene) bool {
		_, ok := s.world.Nodes["demo-old-1"]
		return !ok
	}},
	{"a node's pod block is gone", "its Node was made anew", func(s *scene) { s.changeNode(webNode, func(n *kube.NodeInfo) { n.PodCIDR = "" }) },
		"label/" + webNode + ": it has no pod block", func(s *scene) bool { return s.world.Nodes[webNode].PodCIDR != "" }},
	{"an agent's config is changed", "an editor on the machine", func(s *scene) {
		s.world.Tamper(webNode, func(c *node.Config) { c.Tunnel.MTU = 600 })
	}, "configure/" + webNode + ": somebody changed the config that its agent has", func(s *scene) bool { return s.world.Configs()[webNode].Tunnel.MTU != 600 }},
	{"an agent has another config", "an old copy of its folder", func(s *scene) {
		s.world.Tamper(webNode, func(c *node.Config) { c.Revision += 7 })
	}, "configure/" + webNode + ": its agent has config", func(s *scene) bool { return s.world.Configs()[webNode].Revision > 7 }},
	{"an agent is another program", "an upgrade of the engine", func(s *scene) { s.world.Reprogram(webNode, "other") },
		"configure/" + webNode + ": its agent is another program than the engine's", func(s *scene) bool { return s.world.Program(webNode) != "other" }},
	{"the name servers aren't spread", "kubectl edit deployment coredns", func(s *scene) { s.world.DNSTopology = "" },
		"spread/coredns: its pods are not made to differ in topology.kubernetes.io/region", func(s *scene) bool { return s.world.DNSTopology == kube.TopologyRegion }},
	{"a certificate runs out soon", "time", func(s *scene) { s.world.Expiry[planeNode] = time.Now().Add(20 * 24 * time.Hour) },
		"renew/" + planeNode + ": its certificate /etc/kubernetes/pki/apiserver.crt runs out on", func(s *scene) bool { return len(s.world.Expiry) == 0 }},
	{"a certificate has run out", "time", func(s *scene) { s.world.Expiry[webNode] = time.Now().Add(-time.Hour) },
		"renew/" + webNode + ": its certificate /etc/kubernetes/pki/apiserver.crt ran out on", func(s *scene) bool { return len(s.world.Expiry) == 0 }},
	{"a member of etcd is removed", "etcdctl member remove", func(s *scene) { delete(s.world.Members, planeNode) },
		"rejoin/" + planeNode + ": etcd has no member of its name any more", func(s *scene) bool { return len(s.world.Members) == 3 }},
	{"a member of etcd began anew", "rm -rf /var/lib/etcd", func(s *scene) { s.world.Strange[planeNode] = "its own" },
		"rejoin/" + planeNode + ": its etcd lost its data, and began a cluster of its own", func(s *scene) bool { return len(s.world.Strange) == 0 && len(s.world.Members) == 3 }},
}

const insideFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites:
    - {name: one, account: acc-aws, region: us-east-1}
    - {name: two, account: acc-gcp, region: us-east4}
  controlPlane: {replicas: 3}
  workers:
    - {name: web, site: one, size: small, count: 2, labels: {team: data}, taints: [{key: dedicated, value: data, effect: NoSchedule}]}
    - {name: batch, site: two, size: small, count: 2}
`

var updatePages = flag.Bool("update", false, "write what pages in docs show")

// insideSection is the page's part about them.
func insideSection() string {
	var b strings.Builder
	b.WriteString("## Inside Kubernetes\n\nOne look asks Kubernetes for its Nodes, etcd for its members, and each machine's agent once. These rows are written by\n" +
		"`go test ./engine -run TestInsideDrift -update`. What is not ours, like a label, a taint or a Node that somebody added, is left alone.\n\n" +
		"| what | by | step | reason |\n| --- | --- | --- | --- |\n")
	for _, d := range insideDrifts {
		step, reason, _ := strings.Cut(d.want, ": ")
		if strings.HasSuffix(reason, " on") || strings.HasSuffix(reason, " config") {
			reason += " …"
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", d.what, d.by, step, reason)
	}
	return b.String()
}

func TestInsideDrift(t *testing.T) {
	drift.Hold(t, *updatePages, "..", drift.Kubernetes, insideSection())
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(insideFile)
	s.ready(uid)
	for _, d := range insideDrifts {
		t.Run(d.what, func(t *testing.T) {
			machines := s.ids()
			d.hurt(s)
			s.turn(uid)
			s.ready(uid)
			steps := s.lastSteps(uid)
			if !slices.ContainsFunc(s.allSteps(uid), func(st string) bool { return strings.HasPrefix(st, d.want) }) {
				t.Errorf("no run had the step %q; the last had %q", d.want, steps)
			}
			if !d.ok(s) {
				t.Errorf("not repaired by %q", steps)
			}
			if !slices.Equal(machines, s.ids()) {
				t.Errorf("the machines were %q and are %q", machines, s.ids())
			}
			s.turn(uid)
			if got := s.runs(uid, 1)[0]; !strings.HasSuffix(got, "succeeded, 0 steps") {
				t.Errorf("the next run: %s %q", got, s.lastSteps(uid))
			}
		})
	}
}

// ids are those of the machines that run, in order.
func (s *scene) ids() []string {
	var out []string
	for _, m := range s.machines() {
		out = append(out, m.ProviderID)
	}
	slices.Sort(out)
	return out
}

// allSteps are those of the last few runs.
func (s *scene) allSteps(uid string) []string {
	s.t.Helper()
	list, err := s.engine.store.ListRuns(s.t.Context(), uid, 4)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		_, steps, err := s.engine.store.GetRun(s.t.Context(), r.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, st := range steps {
			out = append(out, st.ID+": "+st.Reason)
		}
	}
	return out
}

// TestStrangersNodes has somebody else's Nodes in Kubernetes: they are named, and stay.
func TestStrangersNodes(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	s.world.Nodes["laptop"] = kube.NodeInfo{Name: "laptop"}
	s.world.Nodes["demo-new-1"] = kube.NodeInfo{Name: "demo-new-1", ProviderID: s.world.Nodes[webNode].ProviderID, Labels: map[string]string{siteLabel: "two"}}
	s.turn(uid)
	if noted := s.events(uid, "Noted"); len(noted) != 2 || !strings.Contains(noted[0], "the Node demo-new-1 in Kubernetes") || !strings.Contains(noted[1], "the Node laptop") {
		t.Errorf("noted: %q", noted)
	}
	if len(s.world.Nodes) != 4 {
		t.Errorf("Kubernetes has %v", s.world.Nodes)
	}
}

// TestSickWorkers lets workers be NotReady for long: the gentle way first, then another machine, one per site.
func TestSickWorkers(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(strings.Replace(insideFile, "count: 2, labels", "count: 4, labels", 1))
	s.ready(uid)
	sick := func(since time.Duration, names ...string) {
		clear(s.world.Sick)
		for _, n := range names {
			s.world.Sick[n], s.world.SickSince[n] = true, time.Now().Add(-since)
		}
	}
	machine := func(name string) string { return s.world.Nodes[name].ProviderID }
	first, second := machine("demo-web-1"), machine("demo-web-2")
	run := func() (done []string) {
		t.Helper()
		from := len(s.world.Log())
		s.turn(uid)
		return s.world.Log()[from:]
	}

	sick(5*time.Minute, "demo-web-1")
	if did := run(); len(did) > 0 {
		t.Errorf("after five minutes: %q", did)
	}
	sick(11*time.Minute, "demo-web-1")
	s.world.Mendable["demo-web-1"] = true
	if did := run(); !cmp.Equal(did, []string{"start demo-web-1"}) || machine("demo-web-1") != first {
		t.Errorf("what mends by itself: %q", did)
	}
	clear(s.world.Mendable)

	s.engine.patience.step = 20 * time.Millisecond // how long is waited for a node to be Ready
	sick(11*time.Minute, "demo-web-2", "demo-web-3")
	want := []string{"start demo-web-2", "forget demo-web-2", "join demo-web-2", "start demo-web-3", "forget demo-web-3", "join demo-web-3"}
	if diff := cmp.Diff(want, run()); diff != "" || machine("demo-web-2") == second || machine("demo-web-1") != first {
		t.Errorf("what doesn't: %s", diff)
	}
	s.engine.patience.step = 3 * time.Second
	clear(s.world.Sick)
	s.ready(uid)

	all := []string{"demo-web-1", "demo-web-2", "demo-web-3", "demo-batch-1"} // 4 of 9
	before := map[string]string{}
	for _, n := range all {
		before[n] = machine(n)
	}
	sick(time.Hour, all...)
	s.engine.patience.step = 20 * time.Millisecond
	for range 3 {
		run()
	}
	for _, n := range all {
		if machine(n) != before[n] {
			t.Errorf("%s was replaced while over 40 %% were NotReady", n)
		}
	}
	if noted := s.events(uid, "Noted"); !strings.Contains(strings.Join(noted, "\n"), "4 of 9 nodes are NotReady, more than 40 %") {
		t.Errorf("noted: %q", noted)
	}
	s.engine.patience.step = 3 * time.Second
	clear(s.world.Sick)
	s.ready(uid)
}

// TestSilentMember lets etcd on one machine be silent for long though the machine is there.
func TestSilentMember(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(strings.Replace(largeFile, "spec:", "spec:\n  repair: {notReadyAfter: 1m}", 1))
	s.ready(uid)
	s.world.Silent[planeNode] = true
	s.turn(uid)
	if got := s.runs(uid, 1)[0]; !strings.HasSuffix(got, "0 steps") {
		t.Errorf("after a moment: %s", got)
	}
	s.alterFacts(uid, planeNode, func(f *Facts) {
		if f.Silent.IsZero() {
			t.Error("since when it is silent is not on record")
		}
		f.Silent = f.Silent.Add(-2 * time.Minute)
	})
	from := len(s.world.Log())
	s.turn(uid)
	s.ready(uid)
	if diff := cmp.Diff([]string{"forget " + planeNode, "join " + planeNode}, s.world.Log()[from:]); diff != "" {
		t.Error(diff)
	}
}

// TestLostMajority deletes two of three control-plane machines: nothing is done about that before somebody approves.
func TestLostMajority(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	workers := map[string]string{webNode: s.world.Nodes[webNode].ProviderID, "demo-batch-1": s.world.Nodes["demo-batch-1"].ProviderID}
	s.world.Objects["note"] = "written before"
	s.terminate(uid, "demo-one-cp-1", "demo-two-cp-1")
	from := len(s.world.Log())
	for range 3 {
		s.turn(uid)
	}
	if did := s.world.Log()[from:]; len(did) > 0 {
		t.Errorf("before anybody approved: %q", did)
	}
	s.wantLost(uid, "the machines of 2 of its 3 members are gone (demo-one-cp-1, demo-two-cp-1), and demo-one-cp-2 is left. Nothing is done about that before 'skyweld reconcile demo --approve'")
	p, err := s.engine.PlanApprove(t.Context(), "demo", "somebody")
	if err != nil || !slices.ContainsFunc(p.Graph.Steps, func(st plan.Step) bool { return st.ID == "recover/demo-one-cp-2" }) {
		t.Errorf("a dry run with approval has %v, %v", p.Graph.Steps, err)
	}
	if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	if diff := cmp.Diff([]string{"recover demo-one-cp-2", "forget demo-one-cp-1", "join demo-one-cp-1", "forget demo-two-cp-1", "join demo-two-cp-1"}, s.world.Log()[from:]); diff != "" {
		t.Error(diff)
	}
	s.wantWhole(uid, workers)
	if s.world.Objects["note"] == "" {
		t.Error("what was written before is gone")
	}
	s.delete(uid)
	s.asBefore()
}

// TestLostControlPlane deletes all its machines: it is made again of the last snapshot when somebody approves.
func TestLostControlPlane(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.world.Objects["note"] = "written before"
	s.ready(uid)
	workers := map[string]string{webNode: s.world.Nodes[webNode].ProviderID, "demo-batch-1": s.world.Nodes["demo-batch-1"].ProviderID}
	s.world.Objects["late"] = "written after the snapshot"
	s.terminate(uid, "demo-one-cp-1", "demo-one-cp-2", "demo-two-cp-1")
	from := len(s.world.Log())
	for range 3 {
		s.turn(uid)
	}
	if did := s.world.Log()[from:]; len(did) > 0 {
		t.Errorf("before anybody approved: %q", did)
	}
	s.wantLost(uid, "Nothing is done about that before 'skyweld reconcile demo --approve': it makes a control plane of the snapshot")
	if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	want := []string{"restore demo-one-cp-1", "start demo-one-cp-1", "forget demo-one-cp-2", "join demo-one-cp-2", "forget demo-two-cp-1", "join demo-two-cp-1"}
	if diff := cmp.Diff(want, slices.DeleteFunc(s.world.Log()[from:], func(l string) bool { return l == "forget demo-one-cp-1" })); diff != "" {
		t.Error(diff)
	}
	s.wantWhole(uid, workers)
	if diff := cmp.Diff(map[string]string{"note": "written before"}, s.world.Objects); diff != "" {
		t.Errorf("Kubernetes holds (-want +got):\n%s", diff)
	}
	// The approval was good for that one time.
	s.terminate(uid, "demo-one-cp-1", "demo-one-cp-2", "demo-two-cp-1")
	from = len(s.world.Log())
	s.turn(uid)
	if did := s.world.Log()[from:]; len(did) > 0 {
		t.Errorf("an approval was used twice: %q", did)
	}
	s.delete(uid)
	s.asBefore()
}

// TestOnlyControlPlane loses the machine of a control plane of one, and has no snapshot of it.
func TestOnlyControlPlane(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.world.NoSnapshots = true
	uid := s.apply(smallFile)
	s.ready(uid)
	if told := s.events(uid, "SnapshotFailed"); len(told) != 1 {
		t.Errorf("of a snapshot that can't be taken is told %q", told)
	}
	s.terminate(uid, "demo-one-cp-1")
	s.turn(uid)
	s.wantLost(uid, "There is no snapshot of it either")
	s.delete(uid)
	s.asBefore()
}

// TestEmptiedControlPlane has the only etcd find its folder empty when it starts: Kubernetes answers as if nothing had ever been.
// It isn't taken for the cluster's, no snapshot is taken of it, and it is made again of the last one when somebody approves, on the
// machine that is there.
func TestEmptiedControlPlane(t *testing.T) {
	for name, tune := range map[string]func(*Status){
		"as usual":                          func(*Status) {},
		"an engine that didn't know it yet": func(s *Status) { s.Identity = "" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, cloudtest.Options{})
			uid := s.apply(smallFile)
			s.world.Objects["note"] = "written before"
			s.ready(uid)
			machines := s.ids()
			s.alterStatus(uid, tune)
			s.world.Wipe()
			from := len(s.world.Log())
			for range 3 {
				s.turn(uid)
			}
			if did := s.world.Log()[from:]; len(did) > 0 {
				t.Errorf("before anybody approved: %q", did)
			}
			s.wantLost(uid, "1 of its 1 members lost their data and began anew (demo-one-cp-1). Nothing is done about that before 'skyweld reconcile demo --approve': it makes a control plane of the snapshot")
			if all, err := s.engine.Snapshots(t.Context(), "demo"); err != nil || len(all) != 1 {
				t.Errorf("snapshots: %+v, %v", all, err)
			}
			if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
				t.Fatal(err)
			}
			s.ready(uid)
			if diff := cmp.Diff([]string{"restore demo-one-cp-1"}, s.world.Log()[from:]); diff != "" {
				t.Error(diff)
			}
			if s.world.Objects["note"] == "" || len(s.world.Nodes) != 2 || !slices.Equal(machines, s.ids()) {
				t.Errorf("Kubernetes has %v and %v; the machines were %q and are %q", s.world.Objects, s.world.Nodes, machines, s.ids())
			}
			s.turn(uid)
			if got := s.runs(uid, 1)[0]; !strings.HasSuffix(got, "succeeded, 0 steps") {
				t.Errorf("the next run: %s %q", got, s.lastSteps(uid))
			}
			s.delete(uid)
			s.asBefore()
		})
	}
}

// TestEmptiedBesideSilent has one of three begin anew while the others don't answer: what they have may be all there is, so nothing
// is done, and the condition says what is to be done. When they answer again, the one joins them.
func TestEmptiedBesideSilent(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	nodes := maps.Clone(s.world.Nodes)
	s.world.Alone("demo-one-cp-1")
	s.world.Silent["demo-one-cp-2"], s.world.Silent["demo-two-cp-1"] = true, true
	from := len(s.world.Log())
	for range 3 {
		s.turn(uid)
	}
	if did := s.world.Log()[from:]; len(did) > 0 {
		t.Errorf("done: %q", did)
	}
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || !slices.ContainsFunc(c.Conditions, func(x store.Condition) bool {
		return x.Type == planeType && x.Status == conditionFalse && x.Reason == "DataLost" && strings.Contains(x.Message, "mend them, or delete them")
	}) {
		t.Errorf("conditions %v, %v", c.Conditions, err)
	}
	clear(s.world.Silent)
	s.turn(uid)
	s.ready(uid)
	if diff := cmp.Diff([]string{"forget demo-one-cp-1", "join demo-one-cp-1"}, s.world.Log()[from:]); diff != "" || len(s.world.Nodes) != len(nodes) || len(s.world.Members) != 3 {
		t.Errorf("%s; Kubernetes has %v, etcd %v", diff, s.world.Nodes, s.world.Members)
	}
	s.delete(uid)
	s.asBefore()
}

// alterStatus changes the engine's document about a cluster.
func (s *scene) alterStatus(uid string, change func(*Status)) {
	s.t.Helper()
	w := s.engine
	for {
		_ = w.store.Wake(w.ctx, uid)
		claim, err := w.store.ClaimCluster(w.ctx, "engine", time.Minute)
		if err == nil && claim == nil {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		_, status, _, err := w.recall(w.ctx, claim.Current)
		if err == nil {
			change(&status)
			err = w.saveStatus(w.ctx, claim.Fence, claim.Current.Phase, &survey{status: status})
		}
		if err == nil {
			err = w.store.Release(w.ctx, claim.Fence, 0)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return
	}
}

// TestWeakEvidence takes clouds, networks and answers away, never a machine: nothing is recovered, whatever is approved.
func TestWeakEvidence(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	for name, hurt := range map[string]func(){
		"a cloud that doesn't answer": func() {
			s.clouds[cloud.AWS].Inject(cloudtest.Fault{Op: cloudtest.OpObserve, Class: cloud.Unavailable, Times: 1000})
			s.world.Silent["demo-one-cp-1"], s.world.Silent["demo-one-cp-2"] = true, true
		},
		"an API that doesn't answer": func() { s.world.Mute = true },
	} {
		t.Run(name, func(t *testing.T) {
			hurt()
			if _, err := s.engine.Approve(t.Context(), "demo", "alice"); err != nil {
				t.Fatal(err)
			}
			from := len(s.world.Log())
			for range 3 {
				s.turn(uid)
			}
			if did := s.world.Log()[from:]; len(did) > 0 {
				t.Errorf("done: %q", did)
			}
			s.clouds[cloud.AWS].Heal()
			clear(s.world.Silent)
			s.world.Mute = false
			s.ready(uid)
		})
	}
}

// terminate takes machines away as somebody at the cloud's console does, once lists count as knowing what goes with them.
func (s *scene) terminate(uid string, names ...string) {
	s.t.Helper()
	<-time.After(s.engine.patience.listLag)
	for _, name := range names {
		c, o := s.find(uid, name[5:8]+"-node-"+name)
		c.Terminate(o.ID)
	}
}

// alterFacts changes what is on record of a node.
func (s *scene) alterFacts(uid, name string, change func(*Facts)) {
	s.t.Helper()
	w := s.engine
	claim, err := w.store.ClaimCluster(w.ctx, "engine", time.Minute)
	for err == nil && claim == nil {
		_ = w.store.Wake(w.ctx, uid)
		claim, err = w.store.ClaimCluster(w.ctx, "engine", time.Minute)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	facts, _, _, err := w.recall(w.ctx, claim.Current)
	if err != nil {
		s.t.Fatal(err)
	}
	f := *facts.get(name)
	change(&f)
	if err := newRun(&survey{e: w.Engine, facts: facts}, claim.Fence).saveFacts(w.ctx, &f); err != nil {
		s.t.Fatal(err)
	}
	if err := w.store.Release(w.ctx, claim.Fence, 0); err != nil {
		s.t.Fatal(err)
	}
}

// wantLost wants the plan, the condition and an event to say what was lost.
func (s *scene) wantLost(uid, text string) {
	s.t.Helper()
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	said := slices.ContainsFunc(c.Conditions, func(x store.Condition) bool {
		return x.Type == planeType && x.Status == conditionFalse && x.Reason == "MajorityLost" && strings.Contains(x.Message, text)
	})
	if c.Phase != store.Degraded || !said {
		s.t.Errorf("the cluster is %s with %v", c.Phase, c.Conditions)
	}
	if noted := s.events(uid, "Noted"); !strings.Contains(strings.Join(noted, "\n"), text) {
		s.t.Errorf("noted: %q", noted)
	}
	p, err := s.engine.PlanReconcile(s.t.Context(), "demo")
	if err != nil || !strings.Contains(strings.Join(p.Graph.Notes, "\n"), text) {
		s.t.Errorf("the plan notes %q, %v", p.Graph.Notes, err)
	}
}

// wantWhole wants the control plane whole, and the workers to be the same machines as before.
func (s *scene) wantWhole(uid string, workers map[string]string) {
	s.t.Helper()
	if len(s.world.Members) != 3 || !s.world.Quorum() || len(s.world.Nodes) != 5 {
		s.t.Errorf("etcd has %v, Kubernetes %v", s.world.Members, s.world.Nodes)
	}
	for name, machine := range workers {
		if s.world.Nodes[name].ProviderID != machine {
			s.t.Errorf("%s was made anew", name)
		}
	}
	c, err := s.engine.store.GetClusterByUID(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, x := range c.Conditions {
		if x.Status != conditionTrue {
			s.t.Errorf("after it there is %v", x)
		}
	}
	changes, err := s.engine.store.ListChanges(s.t.Context(), uid)
	if err != nil {
		s.t.Fatal(err)
	}
	last := changes[len(changes)-1]
	if last.Kind != store.Approve || last.State != store.Applied || last.Who != "alice" {
		s.t.Errorf("the last change is %+v", last)
	}
}
