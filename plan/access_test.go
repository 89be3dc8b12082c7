package plan

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
)

// accessKinds are a cloud's kinds with a firewall that decides who gets in.
var accessKinds = map[string][]cloud.KindInfo{
	"a": {{Kind: "net"}, {Kind: "fw", Mutable: []string{"rules"}, Access: true}, {Kind: "vm", Mutable: []string{"size"}, Machine: true}},
	"b": {{Kind: "net"}, {Kind: "fw", Mutable: []string{"rules"}, Access: true}, {Kind: "vm", Mutable: []string{"size"}, Machine: true}},
}

type anySpec map[string]any

// accessInput is two sites, each with a network, two firewalls and machines; state says of each key what is there: "missing",
// "differs", "other" (in what can't be changed) or as it should be.
func accessInput(state map[string]string, role cloud.Role) Input {
	in := Input{Kinds: accessKinds, Initialized: true}
	for _, site := range []string{"a", "b"} {
		add := func(name string, kind cloud.Kind, spec anySpec, needs ...string) {
			key := site + "-" + name
			in.Want = append(in.Want, cloud.Resource{Key: key, Kind: kind, Site: site, DependsOn: needs, Spec: spec})
			have := anySpec{}
			for k, v := range spec {
				have[k] = v
			}
			switch state[key] {
			case "missing":
				return
			case "differs":
				have["rules"], have["size"] = "other", "other"
			case "other":
				have["fixed"] = "other"
			}
			in.Got = append(in.Got, Observed{Object: cloud.Object{Key: key, Kind: kind, ID: "id-" + key, State: cloud.Ready, Spec: have}, Site: site, Recorded: true})
		}
		add("net", "net", anySpec{"fixed": "n"})
		add("fw1", "fw", anySpec{"rules": "22", "fixed": "f", "net": site + "-net"}, site+"-net")
		add("fw2", "fw", anySpec{"rules": "6443", "fixed": "f", "net": site + "-net"}, site+"-net")
		for _, m := range []string{"vm1", "vm2"} {
			add(m, "vm", anySpec{"size": "s", "fixed": "v"}, site+"-net", site+"-fw1")
			n := Node{Name: site + m, Site: site, Role: role, Machine: site + "-" + m, Wanted: true, Registered: true, Current: true, Ready: true, Prepared: "id-" + site + "-" + m, Stale: "new"}
			in.Nodes = append(in.Nodes, n)
		}
	}
	return in
}

// before says whether one step comes, directly or not, before another.
func before(g Graph, first, later string) bool {
	byID := map[string]Step{}
	for _, s := range g.Steps {
		byID[s.ID] = s
	}
	var reaches func(id string) bool
	reaches = func(id string) bool {
		return slices.Contains(byID[id].DependsOn, first) || slices.ContainsFunc(byID[id].DependsOn, reaches)
	}
	return reaches(later)
}

// TestAccessFirst tries all kinds of drift at random: what decides who gets in, and waits for nothing, comes before all
// else at its site, and all of it before the steps that need SSH.
func TestAccessFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := map[string]string{}
		for _, site := range []string{"a", "b"} {
			for _, name := range []string{"net", "fw1", "fw2", "vm1", "vm2"} {
				state[site+"-"+name] = rapid.SampledFrom([]string{"", "", "missing", "differs", "other"}).Draw(t, site+name)
			}
		}
		in := accessInput(state, cloud.Worker)
		g, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		isFirewall := func(s Step) bool { return s.Kind == "fw" && s.Want != nil }
		for _, a := range g.Steps {
			if !isFirewall(a) {
				continue
			}
			for _, s := range g.Steps {
				ssh := s.Kind == NodeKind && slices.Contains([]Action{Prepare, Configure, Init, Join}, s.Action)
				first := a.Action != Replace && len(a.DependsOn) == 0
				alike := isFirewall(s) && s.Action != Replace && len(s.DependsOn) == 0
				if s.Site == a.Site && s.ID != a.ID && (ssh || first && !alike) && !before(g, a.ID, s.ID) {
					t.Fatalf("%s doesn't come before %s (%v)", a.ID, s.ID, state)
				}
				if s.Site != a.Site && s.Kind != NodeKind && before(g, a.ID, s.ID) {
					t.Fatalf("%s of another site waits for %s", s.ID, a.ID)
				}
			}
		}
		for _, s := range Access(g, in.Kinds).Steps {
			if s.Kind != "fw" || s.Action != Update || len(s.DependsOn) > 0 {
				t.Fatalf("%s is done although the rest isn't", s.ID)
			}
		}
	})
}

// TestFailedMachine says in the input that a machine failed to become a member.
func TestFailedMachine(t *testing.T) {
	const why = "kubeadm join failed"
	for _, test := range []struct {
		name   string
		role   cloud.Role
		change func(n *Node)
		state  string
		want   string // steps about the node and its machine
		note   string
	}{
		{"a worker that is kept", cloud.Worker, func(n *Node) { n.Failed = why }, "", "configure/avm1 forget/avm1 join/avm1", ""},
		{"a worker that is remade", cloud.Worker, func(n *Node) { n.Failed, n.Remake, n.Registered = why, true, false }, "", "configure/avm1 join/avm1 prepare/avm1 replace/a-vm1", ""},
		{"a registered one that is remade", cloud.Worker, func(n *Node) { n.Failed, n.Remake = why, true }, "", "configure/avm1 forget/avm1 join/avm1 prepare/avm1 replace/a-vm1", ""},
		{"a control plane that holds without it", cloud.ControlPlane, func(n *Node) { n.Failed, n.Remake = why, true }, "", "configure/avm1 forget/avm1 join/avm1 prepare/avm1 replace/a-vm1", ""},
		{"a control plane that doesn't", cloud.ControlPlane, func(n *Node) { n.Failed, n.Remake = why, true }, "sick", "configure/avm1 forget/avm1 join/avm1", "is not replaced now (it is given up: kubeadm join failed)"},
		{"a machine that is gone by itself", cloud.Worker, func(n *Node) { n.Failed, n.Remake, n.Registered = why, true, false }, "missing", "configure/avm1 create/a-vm1 join/avm1 prepare/avm1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := map[string]string{}
			if test.state == "missing" {
				state["a-vm1"] = "missing"
			}
			in := accessInput(state, test.role)
			in.Nodes[0].Current, in.Nodes[0].Ready = false, false
			test.change(&in.Nodes[0])
			for i := range in.Nodes {
				if i > 0 && test.state == "sick" {
					in.Nodes[i].Ready = i == 3
				}
			}
			g, err := Make(in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range g.Steps {
				if s.Key == "avm1" || s.Key == "a-vm1" {
					got = append(got, s.ID)
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != test.want {
				t.Errorf("steps %v, want %s", got, test.want)
			}
			if notes := strings.Join(g.Notes, "\n"); !strings.Contains(notes, test.note) || test.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
			if slices.Contains(got, "forget/avm1") && slices.Contains(got, "replace/a-vm1") && !before(g, "forget/avm1", "replace/a-vm1") && test.role == cloud.ControlPlane {
				t.Error("the machine goes before its etcd member is taken out")
			}
		})
	}
}
