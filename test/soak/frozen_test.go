package soak_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to see whether the database is locked

	"github.com/skyweld/skyweld/internal/labtest"
)

const pairFile = `
apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: soak}
spec:
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
    - {name: digitalocean, account: my-digitalocean}
  controlPlane: {replicas: 1, size: small}
  workers: [{name: batch, site: digitalocean, size: small, count: %d}]
`

// gate is a proxy in front of a cloud's API that can hold one call back.
type gate struct {
	t      *testing.T
	target string
	client *http.Client
	server *httptest.Server

	mu   sync.Mutex
	hold func(r *http.Request, body string) bool
	call *held
}

// held is a call that was held back.
type held struct {
	came, release, landed chan struct{}
}

func newGate(t *testing.T, target string, client *http.Client) *gate {
	g := &gate{t: t, target: strings.TrimSuffix(target, "/"), client: client}
	g.server = httptest.NewServer(g)
	t.Cleanup(g.server.Close)
	return g
}

// catch holds back the next call that fits.
func (g *gate) catch(fits func(r *http.Request, body string) bool) *held {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold, g.call = fits, &held{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	return g.call
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := g.pass(w, r); err != nil {
		g.t.Logf("the gate to %s: %s %s: %v", g.target, r.Method, r.URL.Path, err)
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func (g *gate) pass(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	g.mu.Lock()
	var caught *held
	if g.hold != nil && g.hold(r, string(body)) {
		caught, g.hold = g.call, nil
	}
	g.mu.Unlock()
	if caught != nil {
		close(caught.came)
		<-caught.release
		defer close(caught.landed)
	}
	// A call that was sent lands, whoever still waits for the answer.
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, g.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	resp, err := g.client.Do(out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // whoever asked may be gone
	return nil
}

// TestFrozen stops the engine (SIGSTOP) when it has made sure of its lease and sent a call that doesn't arrive yet. Another
// engine on the same database takes over and does all there is to do; then the call lands, and the first one wakes.
func TestFrozen(t *testing.T) {
	w := &soak{World: labtest.New(t, "frozen"), t: t}
	w.Serve = []string{"--database", w.Path("shared.db")}
	w.StartLab()
	w.StartEngine()
	second := &soak{World: w.Beside("second"), t: t}
	w.shareKey()
	amazon := newGate(t, w.variable("AWS_ENDPOINT_URL"), w.client())
	ocean := newGate(t, w.variable("DIGITALOCEAN_API_URL"), w.client())
	plain := slices.Clone(w.Env)
	w.Env = append(w.Env, "AWS_ENDPOINT_URL="+amazon.server.URL, "DIGITALOCEAN_API_URL="+ocean.server.URL)
	both := []string{"aws", "digitalocean"}
	for _, c := range both {
		w.Must("account", "add", c, "my-"+c, "--from-env")
	}
	w.Env = plain
	before := w.Inventory(both...)

	t.Log("frozen while it makes a network")
	w.frozen(second, amazon.catch(func(_ *http.Request, body string) bool { return strings.Contains(body, "Action=CreateVpc&") }),
		func(e *soak) { e.pair("apply", 0) }, func(e *soak) { e.pair("apply", 0, "--wait") })
	w.settled(both)

	t.Log("frozen while it makes a machine")
	w.frozen(second, ocean.catch(func(r *http.Request, _ string) bool { return r.Method == "POST" && r.URL.Path == "/v2/droplets" }),
		func(e *soak) { e.pair("apply", 1) }, func(e *soak) { e.pair("apply", 1, "--wait") })
	w.settled(both)

	t.Log("frozen while it deletes a machine")
	w.frozen(second, ocean.catch(func(r *http.Request, _ string) bool {
		return r.Method == "DELETE" && strings.HasPrefix(r.URL.Path, "/v2/droplets/")
	}), func(e *soak) { e.Must("delete", "soak") }, func(e *soak) { e.Must("delete", "soak", "--wait") })
	w.Same("inventory", before, w.Inventory(both...))
}

// shareKey gives the other engine's folder the master key of the database.
func (w *soak) shareKey() {
	w.t.Helper()
	key, err := os.ReadFile(w.Path("engine/master.key"))
	if err == nil {
		err = os.MkdirAll(w.Path("second"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(w.Path("second/master.key"), key, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// pair asks for the cluster with so many workers.
func (w *soak) pair(verb string, workers int, flags ...string) {
	w.t.Helper()
	path := w.Path("pair.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, pairFile, workers), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.Must(append([]string{verb, "-f", path}, flags...)...)
}

// frozen asks the first engine for something, freezes it in a call, has the second one do all of it, lets the call land, and
// wakes the first. Afterwards only the first runs.
func (w *soak) frozen(second *soak, call *held, ask, see func(*soak)) {
	w.t.Helper()
	ask(w)
	select {
	case <-call.came:
	case <-time.After(3 * time.Minute):
		w.t.Fatal("the call that is to be held back never came")
	}
	w.freeze()
	release := sync.OnceFunc(func() { close(call.release) })
	defer func() { // whatever happens: a process that is stopped can't be ended as its service does
		release()
		if err := w.Engine.Process.Signal(syscall.SIGCONT); err != nil {
			w.t.Error(err)
		}
	}()
	second.StartEngine()
	see(second)
	release()
	<-call.landed
	second.StopEngine()
}

// freeze stops the engine where it is, but not in the middle of a write: a process that has locked a file of SQLite keeps
// everybody else from it, as it would with any other program on one machine.
func (w *soak) freeze() {
	w.t.Helper()
	db, err := sql.Open("sqlite", w.Path("shared.db")+"?_txlock=immediate&_busy_timeout=200")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	for range 100 {
		if err := w.Engine.Process.Signal(syscall.SIGSTOP); err != nil {
			w.t.Fatal(err)
		}
		tx, err := db.Begin()
		if err == nil {
			_ = tx.Rollback()
			return
		}
		if err := w.Engine.Process.Signal(syscall.SIGCONT); err != nil {
			w.t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
	w.t.Fatal("the database is always locked")
}

// settled wants the first engine, which was frozen, to find nothing to do and nothing twice.
func (w *soak) settled(clouds []string) {
	w.t.Helper()
	w.Must("reconcile", "soak", "--wait")
	w.nothingToDo("pair.yaml")
	w.once(clouds...)
}
