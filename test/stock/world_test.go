//go:build linux

package stock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/lab"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// scene is a lab whose AWS machines are stock ones under qemu, and an engine that works in it.
type scene struct {
	t      *testing.T
	dir    string
	bundle string
	began  time.Time
	hyper  *hypervisor
	engine *engine.Engine
	store  *store.Store

	mu sync.Mutex
	// targets are how the engine reached each node last, first how it did at first.
	targets, first map[string]remote.Target
	// onFirst is called with the first connection to each node, before the engine gets it.
	onFirst func(ctx context.Context, name string, m engine.Machine) error
	// onDial is called with every attempt to reach a node.
	onDial func(remote.Target)
}

// needs skips the test, saying how to get it, where something of it isn't there.
func needs(t *testing.T) (image, bundle string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a stock machine hangs on a lab's wires, which are Linux namespaces")
	}
	for _, p := range [][2]string{{"qemu-system-x86_64", "qemu-system-x86"}, {"dnsmasq", "dnsmasq-base"}} {
		if _, err := exec.LookPath(p[0]); err != nil {
			t.Skipf("needs %s: apt-get install %s, or run 'make test-stock'", p[0], p[1])
		}
	}
	image = filepath.Join(cached(t, "stock"), "image")
	if _, err := os.Stat(filepath.Join(image, "disk.ext4")); err != nil {
		t.Skip("needs the stock machine's image: run 'scripts/stock.sh image', or 'make test-stock'")
	}
	bundle = cached(t, "bundle")
	if _, err := os.Stat(filepath.Join(bundle, "manifest.json")); err != nil {
		t.Skip("needs the bundle: run 'make bundle'")
	}
	return image, bundle
}

// cached is the folder of the newest of what is kept under a name; it needn't be there.
func cached(t *testing.T, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(cache, "skyweld", name, "latest")
	if dir, err := filepath.EvalSymlinks(link); err == nil {
		return dir
	}
	return link
}

// workDir makes a folder for a test, on a file system for disks; one below SKYWELD_STOCK_DIR stays.
func workDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("SKYWELD_STOCK_DIR"); dir != "" {
		dir = filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir, err := os.MkdirTemp("/var/tmp", "skyweld-stock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newScene starts lab and engine, with an account at each cloud.
func newScene(t *testing.T) *scene {
	t.Helper()
	image, bundle := needs(t)
	s := &scene{t: t, dir: workDir(t), bundle: bundle, began: time.Now(), targets: map[string]remote.Target{}, first: map[string]remote.Target{}}
	agent, log := s.build(), s.log()
	l := s.startLab(image, s.slim(), log)
	s.startEngine(agent, l, log)
	return s
}

// env is the environment that leads to a lab.
func (s *scene) env(l *lab.Lab) map[string]string {
	env := map[string]string{}
	for _, v := range l.Info().Env(filepath.Join(s.dir, "lab")) {
		env[v[0]] = v[1]
	}
	return env
}

// log is where lab and engine say what they do; a test that fails shows its end.
func (s *scene) log() *slog.Logger {
	s.t.Helper()
	f, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if data, err := os.ReadFile(f.Name()); s.t.Failed() && err == nil {
			s.t.Logf("the end of what lab and engine said:\n%s", data[max(0, len(data)-12000):])
		}
		f.Close()
	})
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// build makes the program that machines get.
func (s *scene) build() string {
	s.t.Helper()
	name := filepath.Join(s.dir, "skyweld")
	c := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", name, "./cmd/skyweld")
	c.Dir, c.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("build: %v\n%s", err, out)
	}
	return name
}

// slim is a bundle without the image that only other tests use: an emulated processor is slow at taking images in.
func (s *scene) slim() string {
	t, dir := s.t, filepath.Join(s.dir, "bundle")
	t.Helper()
	var manifest map[string]any
	text, err := os.ReadFile(filepath.Join(s.bundle, "manifest.json"))
	if err == nil {
		err = errors.Join(json.Unmarshal(text, &manifest), os.Mkdir(dir, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	images, _ := manifest["images"].([]any)
	manifest["images"] = slices.DeleteFunc(images, func(image any) bool { return image.(map[string]any)["name"] == "agnhost" })
	if text, err = json.Marshal(manifest); err == nil {
		err = os.WriteFile(filepath.Join(dir, "manifest.json"), text, 0o600)
	}
	entries, rerr := os.ReadDir(s.bundle)
	for _, e := range entries {
		if e.Name() != "manifest.json" {
			err = errors.Join(err, os.Symlink(filepath.Join(s.bundle, e.Name()), filepath.Join(dir, e.Name())))
		}
	}
	if err := errors.Join(err, rerr); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *scene) startLab(image, bundle string, log *slog.Logger) *lab.Lab {
	t := s.t
	t.Helper()
	disks := filepath.Join(s.dir, "disks")
	if err := os.MkdirAll(disks, 0o700); err != nil {
		t.Fatal(err)
	}
	l := s.lab(world.Fast, bundle, log, func(cloud string, namespace func(string) string) lab.Runtime {
		if cloud != "aws" {
			return nil
		}
		s.hyper = &hypervisor{image: image, dir: disks, namespace: namespace, machines: map[string]*virtual{}}
		return s.hyper
	})
	t.Cleanup(s.hyper.close)
	return l
}

// lab starts a lab in the scene's folder, whose machines runtime runs.
func (s *scene) lab(profile world.Profile, bundle string, log *slog.Logger, runtime func(cloud string, namespace func(string) string) lab.Runtime) *lab.Lab {
	s.t.Helper()
	l, err := lab.Start(s.t.Context(), lab.Options{Dir: filepath.Join(s.dir, "lab"), Profile: profile, Bundle: bundle, Log: log, Runtime: runtime})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return l
}

// emptyBundle is for machines that get nothing uploaded.
func emptyBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *scene) startEngine(agent string, l *lab.Lab, log *slog.Logger) {
	t := s.t
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{7}, 32), "test")
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = store.Open(t.Context(), filepath.Join(s.dir, "skyweld.db"), box); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	env := s.env(l)
	egress, err := engine.ParsePrefixes(env["SKYWELD_EGRESS"])
	if err != nil {
		t.Fatal(err)
	}
	s.engine = engine.New(engine.Options{
		Store: s.store, Agent: agent, Bundle: node.Bundle{URL: env["SKYWELD_BUNDLE"], SHA256: env["SKYWELD_BUNDLE_SHA256"]}, Egress: egress,
		Drivers: map[cloud.Provider]engine.Factory{
			cloud.AWS: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
				return aws.New(ctx, a, t)
			},
			cloud.GCP: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
				return gcp.New(ctx, a, t)
			},
			cloud.Azure: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
				return azure.New(ctx, a, t)
			},
			cloud.DigitalOcean: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
				return digitalocean.New(ctx, a, t)
			},
		},
		Every: time.Hour, Parallel: 12, Clusters: 1, Name: "stock", Log: log, Nodeside: engine.Nodeside{Dial: s.dial},
	})
	source := cloud.Source{Getenv: func(name string) string { return env[name] }, ReadFile: os.ReadFile, Home: s.dir}
	for name, read := range map[string]func(cloud.Source) (cloud.Account, error){
		"my-aws": aws.FromEnv, "my-gcp": gcp.FromEnv, "my-azure": azure.FromEnv, "my-do": digitalocean.FromEnv,
	} {
		account, err := read(source)
		if err != nil {
			t.Fatal(err)
		}
		account.Name = name
		if _, err := s.engine.AddAccount(t.Context(), account); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// dial is the engine's own way to machines; it only looks on.
func (s *scene) dial(ctx context.Context, target remote.Target) (engine.Machine, error) {
	if s.onDial != nil {
		s.onDial(target)
	}
	conn, err := remote.DialWait(ctx, target)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, again := s.first[target.Name]
	if !again {
		s.first[target.Name] = target
	}
	s.targets[target.Name] = target
	s.mu.Unlock()
	if !again && s.onFirst != nil {
		if err := s.onFirst(ctx, target.Name, conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// target is how the engine reached a node last.
func (s *scene) target(name string) remote.Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.targets[name]
}

// connect opens a connection of the test's own to a node.
func (s *scene) connect(name string, patience time.Duration) *remote.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := remote.DialWait(ctx, s.target(name))
	if err != nil {
		s.t.Fatalf("%v; the end of its console:\n%s", err, s.consoles())
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// consoles is the end of what the stock machines wrote.
func (s *scene) consoles() string {
	all, _ := filepath.Glob(filepath.Join(s.hyper.dir, "*.console"))
	var out strings.Builder
	for _, name := range all {
		text := s.hyper.Console(strings.TrimSuffix(filepath.Base(name), ".console"))
		out.Write(text[max(0, len(text)-3000):])
	}
	return out.String()
}

// wait waits until a change has come to its end, and wants it applied.
func (s *scene) wait(change store.Change, err error, patience time.Duration) {
	s.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); err == nil; <-tick.C {
		change, err = s.store.GetChange(s.t.Context(), change.ID)
		switch {
		case err != nil:
		case change.State == store.Applied:
			return
		case change.State == store.Failed || change.State == store.Cancelled || change.Tries > 0:
			s.t.Fatalf("the change %s: %s", change.Kind, change.Error)
		case time.Now().After(deadline):
			s.t.Fatalf("the change %s is not done after %s; the end of the consoles:\n%s", change.Kind, patience, s.consoles())
		}
	}
	s.t.Fatal(err)
}

// time says how long the test has run when something is done.
func (s *scene) time(what string) {
	s.t.Helper()
	s.t.Logf("%6.1f s  %s", time.Since(s.began).Seconds(), what)
}
