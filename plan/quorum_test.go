package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
)

// council returns a settled control plane of n machines in one subnet, and one worker.
func settledCouncil(n int) Input {
	in := Input{Kinds: kinds, Initialized: true, Want: []cloud.Resource{res("subnet", "a-sub", "1")}}
	in.Got = append(in.Got, got(in.Want[0], "i-sub"))
	add := func(name string, role cloud.Role) {
		r := res("machine", "a-"+name, "1", "a-sub")
		in.Want = append(in.Want, r)
		in.Got = append(in.Got, got(r, "i-"+name))
		in.Nodes = append(in.Nodes, Node{Name: name, Site: "a", Role: role, Machine: "a-" + name, Wanted: true,
			Prepared: "i-" + name, Registered: true, Current: true, Ready: true})
	}
	for i := range n {
		add(fmt.Sprintf("c%d", i+1), cloud.ControlPlane)
	}
	add("w", cloud.Worker)
	return in
}

func drift(in Input, key string) {
	for i := range in.Got {
		if in.Got[i].Key == key {
			in.Got[i].Spec.(*thing).Size = "drifted"
		}
	}
}

func TestControlPlaneReplacement(t *testing.T) {
	const differs = "size differs: have drifted, want 1"
	for _, tt := range []struct {
		name   string
		size   int
		change func(in *Input)
		want   []string // lines without what configures
		more   bool
	}{
		{"one of three", 3, func(in *Input) { drift(*in, "a-c2") }, []string{
			"drain/c2: its machine is replaced", "forget/c2 after drain/c2: its machine is replaced",
			"replace/a-c2 after forget/c2: " + differs, "prepare/c2 after replace/a-c2: a new machine",
			"join/c2 after configure/c2 forget/c2: not in Kubernetes"}, false},
		{"a second one waits", 3, func(in *Input) { drift(*in, "a-c2"); drift(*in, "a-c3") }, []string{
			"drain/c2: its machine is replaced", "forget/c2 after drain/c2: its machine is replaced",
			"replace/a-c2 after forget/c2: " + differs, "prepare/c2 after replace/a-c2: a new machine",
			"join/c2 after configure/c2 forget/c2: not in Kubernetes",
			"machine a-c3 is not replaced now (" + differs + "): control-plane machines are replaced one at a time, and c2 comes first"}, true},
		{"the terminated one comes first", 3, func(in *Input) { drift(*in, "a-c1"); in.Got[2].State = cloud.Gone }, []string{
			"create/a-c2: terminated outside of Skyweld", "prepare/c2 after create/a-c2: a new machine",
			"forget/c2: the Node in Kubernetes is of a machine that is gone", "join/c2 after configure/c2 forget/c2: not in Kubernetes",
			"machine a-c1 is not replaced now (" + differs + "): control-plane machines are replaced one at a time, and c2 comes first"}, true},
		{"never without a quorum of healthy ones", 3, func(in *Input) { drift(*in, "a-c1"); in.Nodes[2].Ready = false }, []string{
			"machine a-c1 is not replaced now (" + differs + "): without c1 1 of 3 control-plane nodes would be in good health, and etcd needs 2; mend the others first"}, false},
		{"the ill one may go", 3, func(in *Input) { drift(*in, "a-c3"); in.Nodes[2].Ready = false }, []string{
			"drain/c3: its machine is replaced", "forget/c3 after drain/c3: its machine is replaced",
			"replace/a-c3 after forget/c3: " + differs, "prepare/c3 after replace/a-c3: a new machine",
			"join/c3 after configure/c3 forget/c3: not in Kubernetes"}, false},
		{"never the only one", 1, func(in *Input) { drift(*in, "a-c1") }, []string{
			"machine a-c1 is not replaced now (" + differs + "): without c1 0 of 1 control-plane nodes would be in good health, and etcd needs 1; mend the others first"}, false},
		{"never what takes all away", 3, func(in *Input) { drift(*in, "a-sub") }, []string{
			"subnet a-sub is not replaced now (" + differs + "): that would take away 3 control-plane machines at once (c1, c2, c3); put it back as it was, or delete the cluster and make it again"}, false},
		{"two that are gone are forgotten first and join one after the other", 5, func(in *Input) { in.Got[1].State, in.Got[2].State = cloud.Gone, cloud.Gone }, []string{
			"create/a-c1: terminated outside of Skyweld", "create/a-c2: terminated outside of Skyweld",
			"prepare/c1 after create/a-c1: a new machine", "prepare/c2 after create/a-c2: a new machine",
			"forget/c1: the Node in Kubernetes is of a machine that is gone",
			"forget/c2 after forget/c1: the Node in Kubernetes is of a machine that is gone",
			"join/c1 after configure/c1 forget/c1 forget/c2: not in Kubernetes",
			"join/c2 after configure/c2 forget/c1 forget/c2 join/c1: not in Kubernetes"}, false},
		{"a worker is emptied first", 1, func(in *Input) { drift(*in, "a-w") }, []string{
			"drain/w: its machine is replaced", "forget/w after drain/w: its machine is replaced",
			"replace/a-w after forget/w: " + differs, "prepare/w after replace/a-w: a new machine",
			"join/w after configure/w forget/w: not in Kubernetes"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := settledCouncil(tt.size)
			tt.change(&in)
			g, err := Make(in)
			if err != nil {
				t.Fatal(err)
			}
			have := slices.DeleteFunc(lines(g), func(l string) bool { return strings.HasPrefix(l, "configure/") })
			slices.Sort(have)
			want := slices.Sorted(slices.Values(tt.want))
			if diff := cmp.Diff(want, have); diff != "" || g.More != tt.more {
				t.Errorf("more %v: %s", g.More, diff)
			}
		})
	}
}

// TestQuorumIsKept lets machines drift, fall ill and end at random: plans are carried out one after another, and at no
// step may a plan take a healthy member away that the quorum needs.
func TestQuorumIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "size")
		in := settledCouncil(size)
		for i := range size {
			switch rapid.IntRange(0, 4).Draw(t, "fate") {
			case 0:
				drift(in, in.Nodes[i].Machine)
			case 1:
				in.Nodes[i].Ready = false
			case 2:
				in.Got[i+1].State = cloud.Gone
			}
		}
		if rapid.IntRange(0, 5).Draw(t, "subnet") == 0 {
			drift(in, "a-sub")
		}
		g, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		healthy, taken := map[string]bool{}, 0
		for i, n := range in.Nodes[:size] {
			healthy[n.Machine] = n.Ready && in.Got[i+1].State != cloud.Gone
		}
		left := 0
		for _, ok := range healthy {
			if ok {
				left++
			}
		}
		for _, s := range g.Steps {
			if _, member := healthy[s.Key]; !member || s.Action != Replace && s.Action != Delete {
				continue
			}
			taken++
			if healthy[s.Key] {
				left--
			}
			if taken > 1 || left < size/2+1 {
				t.Fatalf("%s leaves %d of %d: %v", s.ID, left, size, lines(g))
			}
		}
	})
}
