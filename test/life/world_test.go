package life_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/internal/labtest"
)

// world is the lab of this test, with its one cluster.
type world struct {
	*labtest.World
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{labtest.New(t, "life"), t}
}

func (w *world) kubectl(args ...string) string { return w.kubectlIn("", args...) }

func (w *world) kubectlIn(stdin string, args ...string) string {
	w.t.Helper()
	out, err := w.Command(strings.NewReader(stdin), w.Path("kubectl"), args...)
	if err != nil {
		w.t.Fatalf("kubectl %s failed: %s", strings.Join(args, " "), out)
	}
	return out
}

func (w *world) kubeconfig() {
	w.t.Helper()
	write(w.t, w.Path("kubeconfig"), w.Must("kubeconfig", "life"))
}

// siteOf is the site of a node.
func (w *world) siteOf(node string) string {
	return strings.TrimSpace(w.kubectl("get", "node", node, "-o", `jsonpath={.metadata.labels.skyweld\.dev/site}`))
}

// wantNodes wants exactly so many nodes, all Ready, of the right version, with private addresses of all sites, in four
// regions.
func (w *world) wantNodes(n int) {
	w.t.Helper()
	out := w.kubectl("get", "nodes", "-o", "wide", "--no-headers", "-L", "topology.kubernetes.io/region")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	blocks, regions := map[string]int{}, map[string]int{}
	for _, l := range lines {
		f := strings.Fields(l)
		if len(f) < 7 || f[1] != "Ready" || f[4] != "v1.36.3" {
			w.t.Errorf("node %s", l)
			continue
		}
		blocks[f[5][:len("10.64.")]]++
		regions[f[len(f)-1]]++
	}
	if len(lines) != n || len(blocks) != len(clouds) || len(regions) != len(clouds) {
		w.t.Errorf("want %d nodes at %d sites in as many regions, got:\n%s", n, len(clouds), out)
	}
}

type pod struct{ Name, IP, Node string }

func (w *world) pods() []pod {
	w.t.Helper()
	var pods []pod
	out := w.kubectl("get", "pods", "-l", "app=probe", "--no-headers", "-o", "custom-columns=N:.metadata.name,I:.status.podIP,H:.spec.nodeName")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 {
			pods = append(pods, pod{f[0], f[1], f[2]})
		}
	}
	return pods
}

// run is a run as the command line prints it.
type run struct {
	ID      int64
	Outcome string
	Total   int
	Done    int
	Steps   []struct{ ID, Action, State string }
}

func (r run) has(action, state string) bool {
	return slices.ContainsFunc(r.Steps, func(s struct{ ID, Action, State string }) bool { return s.Action == action && s.State == state })
}

func (r run) ids() []string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, s.ID)
	}
	return out
}

func ids(steps []struct{ ID string }) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return out
}

// runs lists the runs that had steps, the newest first, each with its steps.
func (w *world) runs() []run {
	w.t.Helper()
	var list struct{ Items []run }
	w.JSON(&list, "get", "runs", "life", "-o", "json")
	var out []run
	for _, r := range list.Items {
		if r.Total > 0 || r.Outcome == "running" {
			out = append(out, r)
		}
	}
	if len(out) > 0 {
		out[len(out)-1] = w.run(out[len(out)-1].ID)
	}
	return out
}

func (w *world) run(id int64) run {
	w.t.Helper()
	var r run
	w.JSON(&r, "get", "runs", "life", jsonNumber(id), "-o", "json")
	return r
}

func jsonNumber(id int64) string {
	data, err := json.Marshal(id)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// terminate ends a node's machine as its owner would, with the cloud's own client where it is installed.
func (w *world) terminate(node string) {
	w.t.Helper()
	var list struct {
		Items []struct{ Name, Machine string }
	}
	w.JSON(&list, "get", "nodes", "life", "-o", "json")
	for _, n := range list.Items {
		if n.Name != node {
			continue
		}
		if _, err := exec.LookPath("aws"); err != nil {
			w.t.Log("SKIPPED: terminating a machine behind the engine's back: aws is not installed (pip install awscli)")
			return
		}
		if out, err := w.Command(nil, "aws", "ec2", "terminate-instances", "--instance-ids", n.Machine); err != nil {
			w.t.Fatalf("terminate %s: %s", n.Machine, out)
		}
		return
	}
	w.t.Fatalf("there is no node %s", node)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
