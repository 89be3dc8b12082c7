// Package labtest runs the real binary over a lab of a test's own: the lab, one engine or two, and what the command line
// says. It is for tests that need root and the bundle.
package labtest

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

// World is a lab and an engine of the test's own, used through the binary.
type World struct {
	T *testing.T
	// Dir is the test's own folder, Bin the binary in it, Env what programs are run with.
	Dir, Bin string
	Env      []string
	// Serve are further arguments of the engine.
	Serve []string
	// Engine is the engine that runs, nil for none; Log what it writes.
	Engine *exec.Cmd
	Log    *os.File
}

// New builds the binary into a folder of the test's own, whose name begins with prefix. It skips the test where it can't be.
func New(t *testing.T, prefix string) *World {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the lab's machines are Linux namespaces")
	}
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
	dir, err := os.MkdirTemp("/var/tmp", "skyweld-"+prefix+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &World{T: t, Dir: dir, Bin: filepath.Join(dir, "skyweld")}
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", w.Bin, "./cmd/skyweld")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	w.Env = append(os.Environ(), "SKYWELD_DIR="+filepath.Join(dir, "engine"), "SKYWELD_LAB_DIR="+filepath.Join(dir, "lab"), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	if w.Log, err = os.Create(filepath.Join(dir, "engine.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(cache, "skyweld", "bundle", "latest", "hyperkube"), filepath.Join(dir, "kubectl")); err != nil {
		t.Fatal(err)
	}
	artifacts := t.ArtifactDir()
	t.Cleanup(func() {
		if t.Failed() {
			if data, err := os.ReadFile(w.Log.Name()); err == nil {
				t.Logf("the end of the engine's log:\n%s", data[max(0, len(data)-6000):])
				_ = os.WriteFile(filepath.Join(artifacts, "engine.log"), data, 0o600) // kept with -artifacts
			}
		}
		w.StopEngine()
		if _, err := os.Stat(filepath.Join(dir, "lab", "lab.json")); err == nil {
			_, _ = w.Try("lab", "stop", "--purge")
		}
		_ = w.Log.Close()
	})
	return w
}

// Beside is another engine in the same lab, with a folder of its own.
func (w *World) Beside(name string) *World {
	w.T.Helper()
	b := &World{T: w.T, Dir: w.Dir, Bin: w.Bin, Serve: w.Serve, Env: append(slices.Clone(w.Env), "SKYWELD_DIR="+w.Path(name))}
	var err error
	if b.Log, err = os.Create(w.Path(name + ".log")); err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		b.StopEngine()
		_ = b.Log.Close()
	})
	return b
}

// StartLab starts the lab, and lets programs find it.
func (w *World) StartLab() {
	w.T.Helper()
	w.Must("lab", "start", "--detach", "--profile", "fast")
	w.Env = slices.DeleteFunc(w.Env, func(v string) bool { // as the lab's own lines for a shell unset them
		return strings.HasPrefix(v, "REQUESTS_CA_BUNDLE=") || strings.HasPrefix(v, "CURL_CA_BUNDLE=") || strings.HasPrefix(v, "AWS_PROFILE=")
	})
	exports := regexp.MustCompile(`(?m)^export ([A-Z0-9_]+)='(.*)'$`)
	for _, m := range exports.FindAllStringSubmatch(w.Must("lab", "env"), -1) {
		w.Env = append(w.Env, m[1]+"="+m[2])
	}
}

// StartEngine starts the engine and waits until it answers.
func (w *World) StartEngine() {
	w.T.Helper()
	w.Engine = exec.Command(w.Bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "debug"}, w.Serve...)...)
	w.Engine.Env, w.Engine.Stdout, w.Engine.Stderr = w.Env, w.Log, w.Log
	if err := w.Engine.Start(); err != nil {
		w.T.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		if out, err := w.Try("version", "-o", "json"); err == nil && strings.Contains(out, `"engine"`) {
			return
		}
		<-tick.C
	}
	w.T.Fatal("the engine doesn't answer")
}

// KillEngine ends the engine by SIGKILL.
func (w *World) KillEngine() {
	if err := w.Engine.Process.Kill(); err != nil {
		w.T.Fatal(err)
	}
	_ = w.Engine.Wait()
	w.Engine = nil
}

// StopEngine ends the engine as its service does.
func (w *World) StopEngine() {
	if w.Engine != nil {
		_ = w.Engine.Process.Signal(syscall.SIGTERM)
		_ = w.Engine.Wait()
		w.Engine = nil
	}
}

// Try runs the binary and returns what it wrote to standard output.
func (w *World) Try(args ...string) (string, error) { return w.Command(nil, w.Bin, args...) }

// Command runs a program; what it says when it fails is logged.
func (w *World) Command(stdin io.Reader, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = w.Env, stdin, &out, &errs
	err := cmd.Run()
	if err != nil {
		w.T.Logf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	return out.String(), err
}

// Quietly runs a program that may well fail; the error has what it said.
func (w *World) Quietly(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = w.Env, &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// Must runs the binary, which has to succeed.
func (w *World) Must(args ...string) string {
	w.T.Helper()
	out, err := w.Try(args...)
	if err != nil {
		w.T.Fatalf("skyweld %s failed: %s", strings.Join(args, " "), out)
	}
	return out
}

// JSON reads what the binary writes.
func (w *World) JSON(v any, args ...string) {
	w.T.Helper()
	if err := json.Unmarshal([]byte(w.Must(args...)), v); err != nil {
		w.T.Fatalf("skyweld %s: %v", strings.Join(args, " "), err)
	}
}

// Path is a file of the test's own folder.
func (w *World) Path(name string) string { return filepath.Join(w.Dir, name) }

// Inventory is that of each cloud's account (my-CLOUD), a line of JSON for every item.
func (w *World) Inventory(clouds ...string) map[string][]string {
	w.T.Helper()
	out := map[string][]string{}
	for _, c := range clouds {
		account := "my-" + c
		var list struct{ Items []json.RawMessage }
		w.JSON(&list, "inventory", account, "-o", "json")
		for _, i := range list.Items {
			var b bytes.Buffer
			if err := json.Compact(&b, i); err != nil {
				w.T.Fatal(err)
			}
			out[account] = append(out[account], b.String())
		}
	}
	return out
}

// Same wants nothing to differ after a delete.
func (w *World) Same(what string, before, after map[string][]string) {
	w.T.Helper()
	for _, d := range Difference(before, after) {
		w.T.Errorf("%s differs after the delete: %s", what, d)
	}
}

// Difference lists what is in one and not in the other.
func Difference(before, after map[string][]string) []string {
	var out []string
	for key := range before {
		for _, l := range before[key] {
			if !slices.Contains(after[key], l) {
				out = append(out, fmt.Sprintf("%s: gone: %s", key, l))
			}
		}
		for _, l := range after[key] {
			if !slices.Contains(before[key], l) {
				out = append(out, fmt.Sprintf("%s: new: %s", key, l))
			}
		}
	}
	slices.Sort(out)
	return out
}
