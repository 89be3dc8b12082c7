package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/spec"
)

// TestMain is the program itself where a test starts one at a terminal.
func TestMain(m *testing.M) {
	if os.Getenv("SKYWELD_TEST_MAIN") != "" {
		os.Exit(Main(context.Background(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// terminal is the program at a pseudo terminal, and all that it has written there.
type terminal struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	dir  string
	done chan error

	mu   sync.Mutex
	said strings.Builder
	read int // how much of it expect has passed
	more chan struct{}
}

// fakeEngine answers what create asks, and notes what is applied.
func fakeEngine(t *testing.T, accounts ...string) (address string, applied func() []string) {
	t.Helper()
	var mu sync.Mutex
	var files []string
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /api/v1/clusters", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"items": []api.Cluster{{Name: "taken"}}})
	})
	mux.HandleFunc("GET /api/v1/accounts", func(w http.ResponseWriter, _ *http.Request) {
		items := []api.Account{}
		for _, name := range accounts {
			items = append(items, api.Account{Name: "my-" + name, Provider: name})
		}
		answer(w, 200, map[string]any{"items": items})
	})
	file := func(r *http.Request) string {
		var f api.File
		_ = json.NewDecoder(r.Body).Decode(&f)
		return f.Cluster
	}
	mux.HandleFunc("POST /api/v1/plan", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(file(r), "name: refused") {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(422)
			fmt.Fprint(w, `{"status": 422, "detail": "the accounts would refuse it"}`)
			return
		}
		p := api.Plan{Cluster: "demo", New: true}
		p.Cost.After.Total.Priced = 1
		answer(w, 200, p)
	})
	mux.HandleFunc("POST /api/v1/clusters", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		files = append(files, file(r))
		answer(w, 202, api.Change{ID: 7, Cluster: "demo", Kind: "apply", State: "queued"})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return files
	}
}

// start begins 'skyweld create' in a folder of its own, at a terminal of a kind.
func start(t *testing.T, address, kind string, args ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, dir: t.TempDir(), done: make(chan error, 1), more: make(chan struct{}, 1)}
	if err := os.WriteFile(filepath.Join(x.dir, tokenFile), []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x.cmd = exec.Command(self, append([]string{"create", "--dir", x.dir, "--engine", address}, args...)...)
	x.cmd.Dir = x.dir
	x.cmd.Env = append(os.Environ(), "SKYWELD_TEST_MAIN=1", "TERM="+kind)
	if x.tty, err = pty.StartWithSize(x.cmd, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
		t.Skipf("needs pseudo terminals: %v", err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill(); x.tty.Close() })
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := x.tty.Read(buf)
			x.mu.Lock()
			x.said.Write(buf[:n])
			x.mu.Unlock()
			select {
			case x.more <- struct{}{}:
			default:
			}
			if err != nil { // the program is gone
				return
			}
		}
	}()
	go func() {
		<-read
		x.done <- x.cmd.Wait()
	}()
	return x
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?<>=]*[a-zA-Z]|\x1b[()=>][A-Z0-9]?|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)|\x1bP[^\x1b]*\x1b\\\\")

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return escapes.ReplaceAllString(x.said.String(), "")
}

// found says whether the program has written a text after what was expected before, and passes it.
func (x *terminal) found(want string) bool {
	text := x.text()
	i := strings.Index(text[min(x.read, len(text)):], want)
	if i >= 0 {
		x.read += i + len(want)
	}
	return i >= 0
}

// still waits until the program has written nothing for a while, or a text, and says whether it was the text.
func (x *terminal) still(want string, quiet time.Duration) bool {
	for want == "" || !x.found(want) {
		select {
		case <-x.more:
		case <-time.After(quiet):
			return false
		}
	}
	return true
}

// expect waits until the program has written a text, after what was expected before.
func (x *terminal) expect(want string) {
	x.t.Helper()
	if !x.still(want, time.Minute) {
		text := x.text()
		x.t.Fatalf("it doesn't write %q after\n%s\nbut\n%s", want, text[:min(x.read, len(text))], text[min(x.read, len(text)):])
	}
}

func (x *terminal) types(text string) {
	x.t.Helper()
	if _, err := io.WriteString(x.tty, text); err != nil {
		x.t.Fatal(err)
	}
}

// presses types keys until the program has written a text in answer: a form that was just drawn may not read yet, and the
// terminal forgets what was typed before it does. They are typed again only when nothing has moved for a while.
func (x *terminal) presses(keys, want string) {
	x.t.Helper()
	for range 10 {
		x.still("", 100*time.Millisecond)
		x.types(keys)
		if x.still(want, 3*time.Second) {
			return
		}
	}
	x.t.Fatalf("%q doesn't bring %q:\n%s", keys, want, x.text())
}

// ends waits for the end of the program with an exit code.
func (x *terminal) ends(code int) {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(time.Minute):
		x.t.Fatalf("it doesn't end:\n%s", x.text())
	}
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.t.Errorf("it ended with %d, want %d:\n%s", got, code, x.text())
	}
}

func (x *terminal) written() string {
	data, err := os.ReadFile(filepath.Join(x.dir, "cluster.yaml"))
	if err != nil {
		return ""
	}
	return string(data)
}

const twoClouds = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: web-aws, site: aws, size: small, count: 2}
    - {name: web-gcp, site: gcp, size: e2-standard-4, count: 1}
`

// TestCreateByLines answers line by line, with mistakes in between.
func TestCreateByLines(t *testing.T) {
	address, applied := fakeEngine(t, "aws", "gcp", "azure")
	x := start(t, address, "dumb")
	for _, line := range []struct{ expect, types string }{
		{"Name [demo]: ", "taken"}, {"there is a cluster named taken already", ""},
		{"Name [demo]: ", "No Name"}, {`found "No Name"`, ""},
		{"Name [demo]: ", "\n"},
		{"3. my-azure: azure", ""}, {"Numbers, with spaces between them: ", "4"}, {"want a number from 1 to 3", ""},
		{"Numbers, with spaces between them: ", "\n"}, {"want one or more", ""},
		{"Numbers, with spaces between them: ", "2 1"},
		{"us-east: ", ""}, {"Number [", "us-east"},
		{"Nodes of the control plane", ""}, {"Number [2]: ", "\n"},
		{"Size of each", ""}, {"2. medium: 4 vCPUs, 16 GiB", ""}, {"Number [2]: ", "\n"},
		{"Workers at site aws [1]: ", "two"}, {`found "two": want a number from 0 to 100`, ""}, {"Workers at site aws [1]: ", "2"},
		{"Number [1]: ", "\n"},
		{"Workers at site gcp [1]: ", "\n"}, {"Number [1]: ", "another"}, {"Machine type at gcp: ", "e2-standard-4"},
		{"Network", ""}, {"Number [1]: ", "\n"},
		{"metro: us-east", ""}, {"Cost: USD", ""}, {"Make cluster demo?", ""}, {"Number [1]: ", "\n"},
		{"cluster.yaml is written.", ""}, {"cluster demo: change 7 (apply) queued", ""},
	} {
		x.expect(line.expect)
		if line.types != "" {
			x.types(strings.TrimSuffix(line.types, "\n") + "\n")
		}
	}
	x.ends(0)
	if got := applied(); len(got) != 1 || got[0] != twoClouds || x.written() != twoClouds {
		t.Errorf("applied were %q, written\n%s", got, x.written())
	}
}

// TestCreateByForms answers the same by keys, in a terminal that can do more.
func TestCreateByForms(t *testing.T) {
	address, applied := fakeEngine(t, "aws", "gcp")
	x := start(t, address, "xterm-256color")
	x.expect("Name")
	for _, step := range []struct{ keys, want string }{
		{"\r", "Name: demo"},
		{"\x01", "[•] my-gcp"}, {"\r", "Accounts: my-aws, my-gcp"}, // control and A marks all
		{"\r", "Place: us-east"},
		{"\r", "Nodes of the control plane: 3"}, {"\r", "Size of each: medium"},
		{"\x7f2\r", "Workers at site aws: 2"}, {"\r", "Size of the workers at aws: small"},
		{"\r", "Workers at site gcp: 1"}, {"\x1b[A\r", "Size of the workers at gcp: another"}, {"e2-standard-4\r", "Machine type at gcp: e2-standard-4"},
		{"\r", "Network: usual"}, {"\r", "cluster.yaml is written."},
	} {
		x.presses(step.keys, step.want)
	}
	x.ends(0)
	if got := applied(); len(got) != 1 || got[0] != twoClouds {
		t.Errorf("applied were %q", got)
	}
}

// TestCreateStops breaks the questions off in several ways: nothing is written, and nothing applied.
func TestCreateStops(t *testing.T) {
	address, applied := fakeEngine(t, "aws")
	answers := []string{"", "us-east", "1", "small", "0", "1"}
	for _, c := range []struct {
		name, kind string
		lines      []string
		then       string
		code       int
		want       string
	}{
		{"the end of input", "dumb", nil, "\x04", exitFailed, "nothing was made, and nothing written"},
		{"Ctrl-C in a form", "xterm", nil, "\x03", exitFailed, "nothing was made, and nothing written"},
		{"at the last question", "dumb", answers, "stop\n", exitFailed, "nothing was made, and nothing written"},
		{"a dry run", "dumb", answers, "", 0, "nothing to do"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var args []string
			if c.name == "a dry run" {
				args = []string{"--dry-run"}
			}
			x := start(t, address, c.kind, args...)
			x.expect("Name")
			for _, line := range c.lines {
				x.types(line + "\n")
			}
			if c.kind != "dumb" {
				x.presses(c.then, c.want)
			} else {
				x.types(c.then)
				x.expect(c.want)
			}
			x.ends(c.code)
			if got := applied(); len(got) > 0 || x.written() != "" {
				t.Errorf("applied were %q, written\n%s", got, x.written())
			}
		})
	}
}

// TestCreateRefused keeps the answers where the engine refuses the file.
func TestCreateRefused(t *testing.T) {
	address, _ := fakeEngine(t, "aws")
	x := start(t, address, "dumb")
	for _, line := range []string{"refused", "us-east", "1", "small", "0", "1"} {
		x.types(line + "\n")
	}
	x.expect("the accounts would refuse it")
	x.expect("The answers are in cluster.yaml")
	x.ends(exitFailed)
	if !strings.Contains(x.written(), "name: refused") {
		t.Errorf("written is %q", x.written())
	}
}

// TestDraft holds that what is drafted is a file by the rules, as it was answered for.
func TestDraft(t *testing.T) {
	d := &draft{
		name: "yes", replicas: 1, size: "small", maxRTT: 30 * time.Millisecond, pods: "10.0.0.0/12", services: "10.99.0.0/16", api: []string{"203.0.113.0/24", "198.51.100.7/32"},
		sites:   []draftSite{{account: "one", cloud: "aws", region: "us-east-1"}, {account: "two", cloud: "aws", region: "us-west-2"}, {account: "three", cloud: "gcp", region: "us-east4"}},
		workers: []draftWorkers{{name: "web", site: "gcp", size: "Standard_D4as_v5", count: 0}},
	}
	nameSites(d.sites)
	c, errs := spec.Read([]byte(d.file()))
	if len(errs) > 0 {
		t.Fatalf("%v in\n%s", errs, d.file())
	}
	spec.Default(c)
	if errs := spec.Validate(c); len(errs) > 0 {
		t.Errorf("%v in\n%s", errs, d.file())
	}
	s := c.Spec
	if c.Metadata.Name != "yes" || len(s.Sites) != 3 || s.Sites[0].Name != "one" || s.Sites[2].Name != "gcp" || s.Sites[1].Region != "us-west-2" || time.Duration(s.Network.MaxRTT) != d.maxRTT ||
		s.Network.Pods.String() != d.pods || len(s.Access.API) != 2 || s.Workers[0].Nodes() != 0 {
		t.Errorf("it is read as %+v of\n%s", c, d.file())
	}
	if rtt, between := d.farthest(); rtt < 30*time.Millisecond || between == "" {
		t.Errorf("the farthest are %s: %s", between, rtt)
	}
	for text, want := range map[string]string{"10.1.2.3, 10.0.0.0/8": "10.1.2.3/32 10.0.0.0/8", "": "", "10.1.2.3/8": "10.0.0.0/8", "everybody": "!"} {
		got, err := ranges(text)
		if (err != nil) != (want == "!") || err == nil && strings.Join(got, " ") != want {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}
