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

// plane is a settled control plane of n members and w workers at each of the sites, Kubernetes answering.
func plane(n, w int, sites ...string) Input {
	in := Input{Kinds: map[string][]cloud.KindInfo{}, Initialized: true, Answers: true, Cluster: "demo", Unknown: map[string]string{}}
	add := func(site, name string, role cloud.Role) {
		r := res("machine", site+"-"+name, "1")
		r.Site = site
		in.Want = append(in.Want, r)
		in.Got = append(in.Got, got(r, "i-"+name))
		node := Node{Name: name, Site: site, Role: role, Machine: r.Key, Wanted: true, Prepared: "i-" + name,
			Registered: true, Current: true, Ready: true, Connected: true}
		if role == cloud.ControlPlane {
			node.Seat, node.Answers = "i-"+name, true
		}
		in.Nodes = append(in.Nodes, node)
	}
	for i := range n {
		add(sites[i%len(sites)], fmt.Sprintf("c%d", i+1), cloud.ControlPlane)
	}
	for _, s := range sites {
		in.Kinds[s] = kinds["a"]
		for i := range w {
			add(s, fmt.Sprintf("%s-w%d", s, i+1), cloud.Worker)
		}
	}
	return in
}

func (in *Input) node(name string) *Node {
	for i := range in.Nodes {
		if in.Nodes[i].Name == name {
			return &in.Nodes[i]
		}
	}
	panic(name)
}

// lose takes a node's machine away, as its cloud shows.
func (in *Input) lose(names ...string) {
	for _, name := range names {
		for i := range in.Got {
			if in.Got[i].ID == "i-"+name {
				in.Got[i].State = cloud.Gone
			}
		}
	}
}

func about(t interface{ Fatal(...any) }, in Input, actions ...Action) (out []string, g Graph) {
	g, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range g.Steps {
		if slices.Contains(actions, s.Action) {
			out = append(out, s.ID)
		}
	}
	return out, g
}

func TestRecovery(t *testing.T) {
	const approve = "Nothing is done about that before 'skyweld reconcile demo --approve': it makes a control plane of "
	for _, tt := range []struct {
		name   string
		change func(in *Input)
		want   []string
		note   string
	}{
		{"one of three is gone", func(in *Input) { in.lose("c1"); in.Answers = false }, nil, ""},
		{"two are gone, but Kubernetes answers", func(in *Input) { in.lose("c1", "c2") }, nil, ""},
		{"two are gone", func(in *Input) { in.lose("c1", "c2"); in.Answers = false }, nil, approve + "what c3 has"},
		{"two are gone, approved", func(in *Input) { in.lose("c1", "c2"); in.Answers, in.Approved = false, "bob" },
			[]string{"recover/c3", "forget/c1", "join/c1", "forget/c2", "join/c2"}, "what else differs"},
		{"two are gone, and one doesn't answer", func(in *Input) {
			in.lose("c1", "c2")
			in.Answers, in.Approved, in.node("c3").Answers = false, "bob", false
		}, nil, "But etcd on c3 doesn't answer"},
		{"one is gone, and one may be", func(in *Input) {
			in.lose("c1", "c3")
			in.Answers, in.Approved, in.Unknown["b"] = false, "bob", "no answer"
		}, nil, "Sites that can't be observed may hold the rest of it"},
		{"all are gone", func(in *Input) {
			in.lose("c1", "c2", "c3")
			in.Answers, in.Snapshot = false, "the snapshot of today"
		}, nil, approve + "the snapshot of today"},
		{"all are gone, approved", func(in *Input) {
			in.lose("c1", "c2", "c3")
			in.Answers, in.Snapshot, in.Approved = false, "the snapshot of today", "bob"
		}, []string{"restore/c1", "forget/c2", "join/c2", "forget/c3", "join/c3"}, "what else differs"},
		{"all are gone, and there is no snapshot", func(in *Input) { in.lose("c1", "c2", "c3"); in.Answers, in.Approved = false, "bob" }, nil, "There is no snapshot of it either"},
		{"all began anew", func(in *Input) {
			in.Answers, in.Snapshot = false, "the snapshot of today"
			in.node("c1").Strange, in.node("c2").Strange, in.node("c3").Strange = true, true, true
		}, nil, "3 of its 3 members lost their data and began anew (c1, c2, c3). " + approve + "the snapshot of today"},
		{"one is gone and one began anew", func(in *Input) {
			in.lose("c1")
			in.Answers, in.node("c3").Strange = false, true
		}, nil, "the machines of 1 of its 3 members are gone (c1), and 1 of its 3 members lost their data and began anew (c3), and c2 is left. " + approve + "what c2 has"},
		{"all began anew, approved", func(in *Input) {
			in.Answers, in.Snapshot, in.Approved = false, "the snapshot of today", "bob"
			in.node("c1").Strange, in.node("c2").Strange, in.node("c3").Strange = true, true, true
		}, []string{"restore/c1", "forget/c2", "rejoin/c2", "forget/c3", "rejoin/c3"}, "what else differs"},
		{"one lost its place", func(in *Input) { in.node("c2").Lost = "etcd has no member of its name" }, []string{"forget/c2", "rejoin/c2"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := plane(3, 1, "a", "b")
			tt.change(&in)
			steps, g := about(t, in, Recover, Restore, Rejoin, Forget, Join)
			if tt.want != nil || tt.note != "" {
				if diff := cmp.Diff(tt.want, steps); diff != "" {
					t.Error(diff)
				}
			} else if slices.ContainsFunc(g.Steps, func(s Step) bool { return s.Action == Recover || s.Action == Restore }) {
				t.Errorf("steps %q", steps)
			}
			if !strings.Contains(strings.Join(g.Notes, "\n"), tt.note) {
				t.Errorf("notes %q", g.Notes)
			}
		})
	}
}

// TestWeakEvidenceProvesNothing: without somebody's word no control plane is made again, and with it only when the clouds
// themselves show that its majority is gone, and the best of what is left is taken.
func TestWeakEvidenceProvesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SampledFrom([]int{1, 3, 5, 7}).Draw(t, "members")
		in := plane(members, 1, "a", "b", "c")
		in.Answers = rapid.Bool().Draw(t, "answers")
		in.Approved = rapid.SampledFrom([]string{"", "bob"}).Draw(t, "approved")
		in.Snapshot = rapid.SampledFrom([]string{"", "the last snapshot"}).Draw(t, "snapshot")
		for _, s := range []string{"a", "b", "c"} {
			if rapid.IntRange(0, 3).Draw(t, "unknown "+s) == 0 {
				in.Unknown[s] = "no answer"
			}
		}
		gone, best := 0, int64(-1)
		for i := range in.Nodes {
			n := &in.Nodes[i]
			if n.Role != cloud.ControlPlane {
				continue
			}
			n.Answers, n.Revision, n.Ready = rapid.Bool().Draw(t, "etcd answers"), rapid.Int64Range(0, 9).Draw(t, "revision"), in.Answers
			lost := rapid.Bool().Draw(t, "gone")
			if lost {
				in.lose(n.Name)
			}
			if _, unknown := in.Unknown[n.Site]; lost && !unknown {
				gone++
			} else if !unknown && n.Answers {
				best = max(best, n.Revision)
			}
		}
		steps, g := about(t, in, Recover, Restore)
		if len(steps) == 0 {
			return
		}
		switch left := members - gone; {
		case in.Approved == "" || in.Answers:
			t.Fatalf("%q without need or approval", steps)
		case left >= members/2+1:
			t.Fatalf("%q though %d of %d may be there", steps, left, members)
		case len(steps) > 1:
			t.Fatalf("%q", steps)
		case strings.HasPrefix(steps[0], "restore") && (left > 0 || in.Snapshot == ""):
			t.Fatalf("%q though %d are left, of %q", steps, left, in.Snapshot)
		case strings.HasPrefix(steps[0], "recover") && in.node(strings.TrimPrefix(steps[0], "recover/")).Revision != best:
			t.Fatalf("%q isn't the one with revision %d", steps, best)
		}
		for _, s := range g.Steps { // nothing of the control plane joins before it is there
			if (s.Action == Join || s.Action == Rejoin) && !after(g, s, steps[0]) {
				t.Fatalf("%s doesn't wait for %s", s.ID, steps[0])
			}
		}
	})
}

func after(g Graph, s Step, id string) bool {
	for _, d := range s.DependsOn {
		for _, o := range g.Steps {
			if o.ID == d && (d == id || after(g, o, id)) {
				return true
			}
		}
	}
	return false
}

// TestNotReady holds the rules for nodes that stay NotReady against random clusters.
func TestNotReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sites := []string{"a", "b", "c"}
		in := plane(3, rapid.IntRange(1, 4).Draw(t, "workers"), sites...)
		in.Answers = rapid.IntRange(0, 9).Draw(t, "answers") > 0
		ill, making := 0, map[string]bool{}
		for i := range in.Nodes {
			n := &in.Nodes[i]
			switch rapid.IntRange(0, 7).Draw(t, n.Name) {
			case 0:
				n.Ready, n.Sick = false, "NotReady for long"
				n.Mended, n.Keep, n.Connected = rapid.Bool().Draw(t, "mended"), rapid.Bool().Draw(t, "keep"), rapid.Bool().Draw(t, "connected")
			case 1:
				n.Ready = false
			case 2:
				if n.Role == cloud.Worker {
					in.lose(n.Name)
					n.Ready, making[n.Site] = false, true
				}
			}
			if !n.Ready {
				ill++
			}
		}
		for _, s := range sites {
			if rapid.IntRange(0, 5).Draw(t, "unknown "+s) == 0 {
				in.Unknown[s] = "no answer"
			}
		}
		replaced, _ := about(t, in, Replace)
		mended, _ := about(t, in, Mend)
		busy := map[string]int{}
		for _, id := range append(replaced, mended...) {
			_, key, _ := strings.Cut(id, "/")
			i := slices.IndexFunc(in.Nodes, func(n Node) bool { return n.Name == key || n.Machine == key })
			n := in.Nodes[i]
			busy[n.Site]++
			_, unknown := in.Unknown[n.Site]
			if n.Sick == "" || unknown || !in.Answers || making[n.Site] {
				t.Fatalf("%s though its node is %+v, unknown %t", id, n, unknown)
			}
			if strings.HasPrefix(id, "replace/") && (n.Role != cloud.Worker || !n.Mended || n.Keep || !n.Connected || ill*100 > 40*len(in.Nodes)) {
				t.Fatalf("%s with %d of %d ill, node %+v", id, ill, len(in.Nodes), n)
			}
		}
		for site, n := range busy {
			if n > 1 {
				t.Fatalf("%d at site %s at a time: %q %q", n, site, replaced, mended)
			}
		}
	})
}

// TestRejoinKeepsQuorum: whatever lost its place or its machine, members are taken out before any is added, one at a time.
func TestRejoinKeepsQuorum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := plane(rapid.SampledFrom([]int{3, 5}).Draw(t, "members"), 1, "a", "b", "c")
		for i := range in.Nodes {
			n := &in.Nodes[i]
			if n.Role != cloud.ControlPlane {
				continue
			}
			switch rapid.IntRange(0, 4).Draw(t, n.Name) {
			case 0:
				n.Lost = "etcd has no member of its name"
			case 1:
				in.lose(n.Name)
				n.Ready = false
			}
			if rapid.IntRange(0, 4).Draw(t, "renew "+n.Name) == 0 {
				n.Expires = "its certificate runs out"
			}
		}
		_, g := about(t, in)
		var joins, forgets, renews []Step
		for _, s := range g.Steps {
			if i := slices.IndexFunc(in.Nodes, func(n Node) bool { return n.Name == s.Key && n.Role == cloud.ControlPlane }); i < 0 {
				continue
			}
			switch s.Action {
			case Join, Rejoin:
				joins = append(joins, s)
			case Forget:
				forgets = append(forgets, s)
			case Renew:
				renews = append(renews, s)
			}
		}
		for _, list := range [][]Step{joins, forgets, renews} {
			for i := range list {
				for j := range i {
					if !after(g, list[i], list[j].ID) {
						t.Fatalf("%s and %s go on at once", list[j].ID, list[i].ID)
					}
				}
			}
		}
		for _, j := range joins {
			for _, f := range forgets {
				if !after(g, j, f.ID) {
					t.Fatalf("%s doesn't wait for %s", j.ID, f.ID)
				}
			}
		}
	})
}
