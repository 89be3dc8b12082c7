package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/kube"
)

func TestLife(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	if n := len(s.world.Members); n != 3 {
		t.Errorf("etcd has %d members", n)
	}
	if got := s.world.DNSTopology; got != kube.TopologyRegion {
		t.Errorf("the name servers differ in %q", got)
	}
	if got := s.runs(uid, 9); len(got) != 1 {
		t.Errorf("a creation took the runs %v", got)
	}
	s.apply(largeFile)
	s.ready(uid)
	if got := s.runs(uid, 9); len(got) != 2 || !strings.HasSuffix(got[0], ": apply: succeeded, 0 steps") {
		t.Errorf("the second apply: %v", got)
	}
	s.delete(uid)
	s.asBefore()
}

func TestRecovers(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	broken := true
	s.world.Fail = func(node, command string) error {
		if broken && strings.HasSuffix(command, "identity") {
			return errors.New("the disk is full")
		}
		return nil
	}
	uid := s.apply(smallFile)
	for range 3 {
		s.turn(uid)
		s.whole(uid)
	}
	broken = false
	s.ready(uid)
	if got := s.events(uid, "Recovered"); len(got) != 1 {
		t.Errorf("events: %v", s.events(uid, ""))
	}
	s.delete(uid)
	s.asBefore()
}

// TestNothingToDo asks for the same twice: the second run has nothing to do.
func TestNothingToDo(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	calls := s.calls
	s.turn(uid)
	runs := s.runs(uid, 1)
	if len(runs) != 1 || runs[0] != "scheduled: succeeded, 0 steps" || s.calls != calls+len(s.clouds) {
		t.Errorf("%d calls in %v", s.calls-calls, runs)
	}
}

func TestNodesComeAndGo(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	_, names, err := s.engine.AddNodes(t.Context(), "demo", "web", 1, "tester")
	if err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	if len(names) != 1 || !s.world.Alive(s.world.Nodes[names[0]].ProviderID) {
		t.Fatalf("nodes %v: Kubernetes has %v", names, s.world.Nodes)
	}
	if _, err := s.engine.RemoveNode(t.Context(), "demo", names[0], "tester"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	if diff := cmp.Diff([]string{"drain " + names[0], "forget " + names[0]}, s.world.Log()[3:]); diff != "" {
		t.Error(diff)
	}
	nodes, err := s.engine.store.GetNodes(t.Context(), uid)
	if err != nil || len(nodes) != 2 {
		t.Errorf("%d nodes on record, error %v", len(nodes), err)
	}
}

func TestTerminatedMachinesComeBack(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	old := map[string]string{}
	<-time.After(s.engine.patience.listLag) // until then a list that leaves something out proves nothing
	for _, key := range []string{"one-node-demo-web-1", "two-node-demo-two-cp-1"} {
		c, o := s.find(uid, key)
		old[key] = o.ID
		c.Terminate(o.ID)
	}
	s.turn(uid)
	s.ready(uid)
	for key, id := range old {
		if _, o := s.find(uid, key); o.ID == id || s.world.Nodes[strings.TrimPrefix(key[4:], "node-")].ProviderID != o.Machine.ProviderID {
			t.Errorf("%s is %s, Kubernetes has %v", key, o.ID, s.world.Nodes)
		}
	}
	if !s.world.Quorum() || len(s.world.Members) != 3 {
		t.Errorf("etcd has %v", s.world.Members)
	}
	s.delete(uid)
	s.asBefore()
}

// TestControlPlaneIsReplacedOneAtATime changes all its machines behind the engine's back.
func TestControlPlaneIsReplacedOneAtATime(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	members := []string{"demo-one-cp-1", "demo-one-cp-2", "demo-two-cp-1"}
	drift := func(members ...string) {
		for _, m := range members {
			c, o := s.find(uid, m[5:8]+"-node-"+m)
			c.Tamper(o.ID, func(spec any) { spec.(*cloudtest.MachineSpec).Type = "drifted" })
		}
	}
	drift(members...)
	from := len(s.world.Log())
	s.turn(uid)
	s.ready(uid)
	var want []string
	for _, m := range members {
		want = append(want, "drain "+m, "forget "+m, "join "+m)
	}
	if diff := cmp.Diff(want, s.world.Log()[from:]); diff != "" {
		t.Error(diff)
	}
	if !s.world.Quorum() || len(s.world.Members) != 3 {
		t.Errorf("etcd has %v", s.world.Members)
	}
	// With one of them ill, the others must stay: two are a quorum and one isn't.
	s.world.Sick[members[1]] = true
	drift(members[0], members[2])
	from = len(s.world.Log())
	s.turn(uid)
	if log := s.world.Log()[from:]; len(log) > 0 {
		t.Errorf("with %s ill: %v", members[1], log)
	}
	if noted := s.events(uid, "Noted"); len(noted) == 0 || !strings.Contains(noted[len(noted)-1], "mend the others first") {
		t.Errorf("noted: %v", noted)
	}
}

// TestSecretsStayOut looks for secrets in everything that is kept for people.
func TestSecretsStayOut(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	leak := true
	s.world.Fail = func(name, command string) error {
		if !leak || !strings.HasSuffix(command, "install") {
			return nil
		}
		all := s.machines()
		i := slices.IndexFunc(all, func(m enginetest.Machine) bool { return m.Name == name })
		return fmt.Errorf("cloud-init wrote: %s; the key is %s-acc-aws", all[i].UserData, canary)
	}
	for _, c := range s.clouds {
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindGateway, Times: 1, Class: cloud.Denied, Message: "not with " + canary + "-acc-gcp"})
	}
	uid := s.apply(smallFile)
	s.turn(uid)
	s.turn(uid)
	leak = false
	s.ready(uid)
	k, err := s.engine.loadKeys(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	runs, err := s.engine.store.ListRuns(t.Context(), uid, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		_, steps, err := s.engine.store.GetRun(t.Context(), r.ID)
		fmt.Fprintln(&kept, r, steps, err)
	}
	changes, err := s.engine.store.ListChanges(t.Context(), uid)
	fmt.Fprintln(&kept, s.events(uid, ""), changes, err)
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	fmt.Fprintln(&kept, c.Conditions, string(c.Status), err, s.logs.tail(1<<20))
	text := kept.String()
	if !strings.Contains(text, "cloud-init wrote") || !strings.Contains(text, "shows which permissions are missing") {
		t.Error("the errors aren't where they are looked for")
	}
	private := strings.Split(strings.TrimSpace(k.SSH), "\n")
	for what, secret := range map[string]string{"an account's secret": canary, "the ssh key": private[2], "a host key": "b3BlbnNzaC1rZXktdjEAAAAA"} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s is in %q", what, text[max(0, at-200):at+40])
		}
	}
}
