package life_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is a lab and an engine of the test's own, used through the binary.
type world struct {
	t      *testing.T
	dir    string
	bin    string
	env    []string
	engine *exec.Cmd
	log    *os.File
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(cache, "skyweld", "bundle", "latest", "manifest.json")); err != nil {
		t.Skip("needs the bundle: run 'make bundle'")
	}
	// Not in $TMPDIR: the disks of machines want a real file system, and the folder must outlive a failed clean-up.
	dir, err := os.MkdirTemp("/var/tmp", "skyweld-life-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, bin: filepath.Join(dir, "skyweld")}
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", w.bin, "./cmd/skyweld")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	w.env = append(os.Environ(), "SKYWELD_DIR="+filepath.Join(dir, "engine"), "SKYWELD_LAB_DIR="+filepath.Join(dir, "lab"), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	if w.log, err = os.Create(filepath.Join(dir, "engine.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(cache, "skyweld", "bundle", "latest", "hyperkube"), filepath.Join(dir, "kubectl")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if data, err := os.ReadFile(w.log.Name()); err == nil {
				t.Logf("the end of the engine's log:\n%s", data[max(0, len(data)-6000):])
			}
		}
		w.stopEngine()
		if _, err := os.Stat(filepath.Join(dir, "lab", "lab.json")); err == nil {
			_, _ = w.try("lab", "stop", "--purge")
		}
		_ = w.log.Close()
		_ = os.RemoveAll(dir)
	})
	return w
}

func (w *world) startLab() {
	w.t.Helper()
	w.must("lab", "start", "--detach", "--profile", "fast")
	w.env = slices.DeleteFunc(w.env, func(v string) bool { // as the lab's own lines for a shell unset them
		return strings.HasPrefix(v, "REQUESTS_CA_BUNDLE=") || strings.HasPrefix(v, "CURL_CA_BUNDLE=") || strings.HasPrefix(v, "AWS_PROFILE=")
	})
	exports := regexp.MustCompile(`(?m)^export ([A-Z0-9_]+)='(.*)'$`)
	for _, m := range exports.FindAllStringSubmatch(w.must("lab", "env"), -1) {
		w.env = append(w.env, m[1]+"="+m[2])
	}
}

func (w *world) startEngine() {
	w.t.Helper()
	w.engine = exec.Command(w.bin, "serve", "--listen", "127.0.0.1:0", "--log-level", "debug")
	w.engine.Env, w.engine.Stdout, w.engine.Stderr = w.env, w.log, w.log
	if err := w.engine.Start(); err != nil {
		w.t.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		if out, err := w.try("version", "-o", "json"); err == nil && strings.Contains(out, `"engine"`) {
			return
		}
		<-tick.C
	}
	w.t.Fatal("the engine doesn't answer")
}

func (w *world) killEngine() {
	if err := w.engine.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	_ = w.engine.Wait()
	w.engine = nil
}

func (w *world) stopEngine() {
	if w.engine != nil {
		_ = w.engine.Process.Signal(syscall.SIGTERM)
		_ = w.engine.Wait()
		w.engine = nil
	}
}

// try runs the binary and returns what it wrote to standard output.
func (w *world) try(args ...string) (string, error) { return w.command(nil, w.bin, args...) }

func (w *world) command(stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = w.env, stdin, &out, &errs
	err := cmd.Run()
	if err != nil {
		w.t.Logf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	return out.String(), err
}

// quietly runs a program that may well fail; the error has what it said.
func (w *world) quietly(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = w.env, &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("skyweld %s failed: %s", strings.Join(args, " "), out)
	}
	return out
}

func (w *world) json(v any, args ...string) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.must(args...)), v); err != nil {
		w.t.Fatalf("skyweld %s: %v", strings.Join(args, " "), err)
	}
}

func (w *world) kubectl(args ...string) string { return w.kubectlIn("", args...) }

func (w *world) kubectlIn(stdin string, args ...string) string {
	w.t.Helper()
	out, err := w.command(strings.NewReader(stdin), w.path("kubectl"), args...)
	if err != nil {
		w.t.Fatalf("kubectl %s failed: %s", strings.Join(args, " "), out)
	}
	return out
}

func (w *world) kubeconfig() {
	w.t.Helper()
	write(w.t, w.path("kubeconfig"), w.must("kubeconfig", "life"))
}

// path is a file of the test's own folder.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

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
	w.json(&list, "get", "runs", "life", "-o", "json")
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
	w.json(&r, "get", "runs", "life", jsonNumber(id), "-o", "json")
	return r
}

func jsonNumber(id int64) string {
	data, err := json.Marshal(id)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// inventory is each account's, a line of JSON for every item.
func (w *world) inventory() map[string][]string {
	w.t.Helper()
	out := map[string][]string{}
	for _, c := range clouds {
		account := "my-" + c
		var list struct{ Items []json.RawMessage }
		w.json(&list, "inventory", account, "-o", "json")
		for _, i := range list.Items {
			var b bytes.Buffer
			if err := json.Compact(&b, i); err != nil {
				w.t.Fatal(err)
			}
			out[account] = append(out[account], b.String())
		}
	}
	return out
}

// terminate ends a node's machine as its owner would, with the cloud's own client where it is installed.
func (w *world) terminate(node string) {
	w.t.Helper()
	var list struct {
		Items []struct{ Name, Machine string }
	}
	w.json(&list, "get", "nodes", "life", "-o", "json")
	for _, n := range list.Items {
		if n.Name != node {
			continue
		}
		if _, err := exec.LookPath("aws"); err != nil {
			w.t.Log("SKIPPED: terminating a machine behind the engine's back: aws is not installed (pip install awscli)")
			return
		}
		if out, err := w.command(nil, "aws", "ec2", "terminate-instances", "--instance-ids", n.Machine); err != nil {
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
