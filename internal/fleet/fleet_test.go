package fleet_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// The fleet: SKYWELD_FLEET_CLUSTERS and SKYWELD_FLEET_NODES override how many there are.
const (
	usualClusters = 1000
	usualNodes    = 20
)

// engineEnv makes this program the process with the engine; it names the file with its task.
const engineEnv = "SKYWELD_FLEET_ENGINE"

// task is what the process with the engine is to do.
type task struct {
	Original *original
	Clusters int
	// Base and CA are the player's.
	Base, CA string
}

// looked is what a look at all clusters took.
type looked struct {
	Runs, Calls int64
	CPU, Took   time.Duration
	MostMiB     float64
}

func TestMain(m *testing.M) {
	if file := os.Getenv(engineEnv); file != "" {
		if err := runTask(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkFleet lets one engine, in a process of its own and on one processor, look at all clusters of a fleet once: runs
// without drift, as they come every hour.
func BenchmarkFleet(b *testing.B) {
	clusters, nodes := number(b, "SKYWELD_FLEET_CLUSTERS", usualClusters), number(b, "SKYWELD_FLEET_NODES", usualNodes)
	o, tapes := recordCluster(b, nodes)
	s := &show{Tapes: tapes, Cast: cast{Recorded: o.role}}
	base, ca := s.play(b)
	p := startEngine(b, task{Original: o, Clusters: clusters, Base: base, CA: ca})
	p.read(b, &s.Cast.Others) // the player must know them before the engine goes on
	for b.Loop() {
		p.goOn(b)
		var l looked
		p.read(b, &l)
		runs := float64(l.Runs)
		b.ReportMetric(l.CPU.Seconds()/runs, "cpu-s/run")
		b.ReportMetric(runs/l.Took.Minutes(), "runs/min")
		b.ReportMetric(float64(l.Calls)/runs, "calls/run")
		b.ReportMetric(l.MostMiB, "MiB-most")
		b.ReportMetric(float64(clusters), "clusters")
		b.ReportMetric(float64(nodes), "nodes/cluster")
	}
}

// process is the one with the engine: it writes a line of JSON when it has something to say, and goes on at each line it
// gets.
type process struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func startEngine(b *testing.B, t task) *process {
	b.Helper()
	data, err := json.Marshal(t)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "task.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), engineEnv+"="+file, "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			b.Error(err)
		}
	})
	return &process{in, bufio.NewReader(out)}
}

func (p *process) read(b *testing.B, v any) {
	b.Helper()
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		b.Fatalf("the engine's process: %v", err)
	}
}

func (p *process) goOn(b *testing.B) {
	b.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		b.Fatal(err)
	}
}

// runTask is the process with the engine.
func runTask(file string) error {
	var t task
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil {
		return err
	}
	ctx, o, counter := context.Background(), t.Original, &lineCounter{}
	inside := &stage{world: o.world(), recorded: o.role, roles: map[string]role{}, sent: o.Sent, agent: o.Agent}
	e, st, err := newEngine(ctx, filepath.Dir(file), factories, inside.nodeside(), counter)
	if err != nil {
		return err
	}
	defer st.Close()
	roles := make([]role, t.Clusters)
	for i := range roles {
		roles[i].Name = fmt.Sprintf("fleet-%04d", i+1)
		if err := o.enroll(ctx, st, &roles[i], i, t.Base, t.CA); err != nil {
			return err
		}
		inside.roles[roles[i].Name] = roles[i]
	}
	say := json.NewEncoder(os.Stdout)
	if err := say.Encode(roles); err != nil {
		return err
	}
	first := true
	for wait := bufio.NewScanner(os.Stdin); wait.Scan(); {
		for warm := 0; first && warm < 3; warm++ { // some nodes get the config with their new names
			if _, err := lookAtAll(ctx, e, st, roles, counter); err != nil {
				return err
			}
			if counter.quiet.Load() == counter.ended.Load() {
				break
			}
		}
		first = false
		l, err := lookAtAll(ctx, e, st, roles, counter)
		if err != nil {
			return err
		}
		if n := counter.ended.Load() - counter.quiet.Load(); n > 0 {
			return fmt.Errorf("%d of %d runs had something to do, or failed:\n%s%s", n, counter.ended.Load(), counter.odd(), lastSteps(ctx, st, roles))
		}
		if err := say.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// lastSteps are those of the first cluster whose last run had any.
func lastSteps(ctx context.Context, st *store.Store, roles []role) string {
	for _, r := range roles {
		runs, err := st.ListRuns(ctx, r.UID, 1)
		if err != nil || len(runs) == 0 {
			continue
		}
		_, steps, err := st.GetRun(ctx, runs[0].ID)
		if err != nil || len(steps) == 0 {
			continue
		}
		text := ""
		for _, s := range steps {
			text += s.ID + ": " + s.Reason + "\n"
		}
		return text
	}
	return ""
}

// lookAtAll makes every cluster due, lets the engine work until each has had its run, and returns what that took.
func lookAtAll(ctx context.Context, e *engine.Engine, st *store.Store, roles []role, counter *lineCounter) (looked, error) {
	for _, r := range roles {
		if err := st.Wake(ctx, r.UID); err != nil {
			return looked{}, err
		}
	}
	counter.reset()
	runtime.GC()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the highest memory from here on
		return looked{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	cpu, start := used(), time.Now()
	go func() { stopped <- e.Run(ctx) }()
	for counter.ended.Load() < int64(len(roles)) {
		if time.Since(start) > time.Hour {
			return looked{}, fmt.Errorf("only %d of %d clusters were looked at:\n%s", counter.ended.Load(), len(roles), counter.odd())
		}
		time.Sleep(50 * time.Millisecond)
	}
	l := looked{Runs: counter.ended.Load(), Calls: counter.calls.Load(), CPU: used() - cpu, Took: time.Since(start)}
	l.MostMiB = status("VmHWM")
	cancel()
	return l, <-stopped
}

// enroll puts a cluster on record that is as the recorded one, with accounts of its own at the player, and sets its uid.
func (o *original) enroll(ctx context.Context, st *store.Store, r *role, number int, base, ca string) error {
	for _, a := range o.Accounts {
		if err := st.PutAccount(ctx, o.moved(a.whole(), *r, number, base, ca)); err != nil {
			return err
		}
	}
	var c spec.Cluster
	data, err := json.Marshal(o.Spec)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(bytes.ReplaceAll(data, []byte(o.Name), []byte(r.Name)), &c); err != nil {
		return err
	}
	made, err := st.CreateCluster(ctx, &c, "fleet")
	if err != nil {
		return err
	}
	claim, err := st.ClaimCluster(ctx, "enroll", time.Minute)
	if err != nil {
		return err
	}
	if claim == nil || claim.Cluster != made.UID {
		return fmt.Errorf("cluster %s could not be claimed", made.Name)
	}
	r.UID = made.UID
	if err := o.write(ctx, st, claim.Fence, replacer(o.role, *r)); err != nil {
		return err
	}
	return st.Release(ctx, claim.Fence, 24*time.Hour)
}

// write puts a copy of all records under another cluster.
func (o *original) write(ctx context.Context, st *store.Store, fence store.Fence, to *strings.Replacer) error {
	for name, value := range o.Secrets {
		if err := st.PutSecret(ctx, fence, to.Replace(name), value); err != nil {
			return err
		}
	}
	for _, n := range o.Nodes {
		n.Name, n.Facts = to.Replace(n.Name), json.RawMessage(to.Replace(string(n.Facts)))
		if err := st.PutNode(ctx, fence, n); err != nil {
			return err
		}
	}
	for _, r := range o.Resources {
		r.Key, r.ID, r.Object = to.Replace(r.Key), to.Replace(r.ID), json.RawMessage(to.Replace(string(r.Object)))
		if err := st.PutResource(ctx, fence, r); err != nil {
			return err
		}
	}
	return st.SetStatus(ctx, fence, store.Ready, nil, json.RawMessage(to.Replace(string(o.Status))))
}

// moved is a recorded account as that of another cluster, at the player.
func (o *original) moved(a cloud.Account, r role, number int, base, ca string) cloud.Account {
	a.Name, a.CA, a.Settings = strings.ReplaceAll(a.Name, o.Name, r.Name), ca, maps.Clone(a.Settings)
	at := fmt.Sprintf("%s/%s/%d", base, a.Provider, number)
	switch a.Provider {
	case cloud.AWS:
		a.Settings[aws.SettingEndpoint] = at
	case cloud.GCP:
		a.Settings[gcp.SettingEndpoint] = at + "/compute/v1"
		a.Secrets[gcp.SecretCredentials] = cloud.Secret(withTokenURI(a.Secrets[gcp.SecretCredentials].Reveal(), at+"/token"))
	case cloud.Azure:
		a.Settings[azure.SettingEndpoint], a.Settings[azure.SettingAuthority] = at, base
	default:
		a.Settings[digitalocean.SettingEndpoint] = base
		a.Secrets[digitalocean.SecretToken] = cloud.Secret(fmt.Sprintf("%s_%d", doToken, number))
	}
	return a
}

// withTokenURI is a service account's key that logs in elsewhere.
func withTokenURI(key, uri string) string {
	var k map[string]any
	if err := json.Unmarshal([]byte(key), &k); err != nil {
		return key
	}
	k["token_uri"] = uri
	data, err := json.Marshal(k)
	if err != nil {
		return key
	}
	return string(data)
}

// lineCounter reads an engine's log: how many runs ended, how many of these had nothing to do, and their calls.
type lineCounter struct {
	ended, quiet, calls atomic.Int64
	mu                  sync.Mutex
	other               []string
}

func (c *lineCounter) reset() {
	c.ended.Store(0)
	c.quiet.Store(0)
	c.calls.Store(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.other = nil
}

// odd is the first lines that tell of anything but a run without drift.
func (c *lineCounter) odd() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.other, "")
}

func (c *lineCounter) Write(p []byte) (int, error) {
	line := string(p)
	ended := strings.Contains(line, `msg="run ended"`)
	if ended && strings.Contains(line, "outcome=succeeded steps=0 ") {
		c.quiet.Add(1)
	} else {
		c.mu.Lock()
		if len(c.other) < 20 {
			c.other = append(c.other, line)
		}
		c.mu.Unlock()
	}
	if _, rest, ok := strings.Cut(line, " calls="); ended && ok {
		n, _ := strconv.Atoi(strings.Fields(rest)[0])
		c.calls.Add(int64(n))
	}
	if ended {
		c.ended.Add(1)
	}
	return len(p), nil
}

var _ io.Writer = (*lineCounter)(nil)

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// status reads a line of the process' status, in MiB.
func status(key string) float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key+":" {
			kib, _ := strconv.ParseFloat(f[1], 64)
			return kib / 1024
		}
	}
	return 0
}

func number(b *testing.B, env string, usual int) int {
	text := os.Getenv(env)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s: found %q: want a number of 1 or more", env, text)
	}
	return n
}
