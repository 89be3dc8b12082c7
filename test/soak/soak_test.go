// Package soak_test is a cluster's life in the worst of times, on the lab, through the real binary: random changes, drifts by
// the clouds' own APIs, faults of the clouds, and kills of the engine at random moments. In the end everything heals, and
// after the delete nothing is left. It needs root and the bundle; SOAK_TIME says how long it takes, SOAK_SEED repeats one.
package soak_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/internal/labtest"
)

var clouds = []string{"aws", "gcp", "azure", "digitalocean"}

const clusterFile = `
apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: soak}
spec:
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
    - {name: azure, account: my-azure}
    - {name: digitalocean, account: my-digitalocean}
  access: {ssh: [%s]}
  controlPlane: {replicas: 1, size: small}
  workers:
    - {name: web, site: aws, size: small, count: %d}
    - {name: api, site: gcp, size: small, count: %d}
    - {name: jobs, site: azure, size: small, count: %d}
    - {name: batch, site: digitalocean, size: small, count: %d}
`

// groups are those of the workers, in the order of the file.
var groups = []string{"web", "api", "jobs", "batch"}

// short is how long the random part takes when nobody says, in which the engine is killed so many times; a long one has as
// many kills as are 50 in 20 minutes. deedEvery is the mean pause between two deeds.
const (
	short      = 90 * time.Second
	shortKills = 8
	killEvery  = 24 * time.Second
	deedEvery  = 8 * time.Second
)

// soak is the world with what was asked of it last.
type soak struct {
	*labtest.World
	t      *testing.T
	rnd    *rand.Rand
	begun  time.Time
	counts [4]int
	ssh    string
	kills  int
	did    map[string]int
}

func TestSoak(t *testing.T) {
	w := &soak{World: labtest.New(t, "soak"), t: t, counts: [4]int{1, 0, 0, 1}, ssh: "192.0.2.0/24", did: map[string]int{}}
	last, seed := settings(t)
	t.Logf("SOAK_SEED=%d SOAK_TIME=%s", seed, last)
	w.rnd = rand.New(rand.NewPCG(seed, 0))
	host := labtest.HostState(t)
	w.StartLab()
	w.StartEngine()
	for _, c := range clouds {
		w.Must("account", "add", c, "my-"+c, "--from-env")
	}
	before := w.Inventory(clouds...)

	w.begun = time.Now()
	w.apply()
	w.storm(last)
	t.Logf("%d kills; %v", w.kills, w.did)

	w.heal()
	w.Must("delete", "soak", "--wait")
	w.Same("inventory", before, w.Inventory(clouds...))
	w.StopEngine()
	w.Must("lab", "stop", "--purge")
	for _, d := range labtest.Difference(host, labtest.HostState(t)) {
		if strings.Contains(d, ": new: ") { // what is gone was somebody else's
			t.Errorf("left on this machine: %s", d)
		}
	}
}

// settings are how long the random part takes, and its seed.
func settings(t *testing.T) (time.Duration, uint64) {
	last, seed := short, uint64(time.Now().UnixNano())
	var err error
	if v := os.Getenv("SOAK_TIME"); v != "" {
		if last, err = time.ParseDuration(v); err != nil {
			t.Fatalf("SOAK_TIME: %v", err)
		}
	}
	if v := os.Getenv("SOAK_SEED"); v != "" {
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
	}
	return last, seed
}

// apply asks for the cluster as it is wanted now.
func (w *soak) apply() {
	w.t.Helper()
	path := w.Path("cluster.yaml")
	file := fmt.Sprintf(clusterFile, w.ssh, w.counts[0], w.counts[1], w.counts[2], w.counts[3])
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.Must("apply", "-f", path)
}

// storm does something, waits a little, and does something else, with the engine killed in between: at moments that are
// chosen at the beginning, whatever it is doing then.
func (w *soak) storm(last time.Duration) {
	w.t.Helper()
	kills := max(shortKills, int(last/killEvery))
	var moments []time.Duration
	for range kills {
		moments = append(moments, time.Duration(w.rnd.Float64()*float64(last)))
	}
	slices.Sort(moments)
	deed := w.pause()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ; time.Since(w.begun) < last || w.kills < kills; <-tick.C {
		now := time.Since(w.begun)
		if w.kills < kills && now > moments[w.kills] {
			w.KillEngine()
			w.StartEngine()
			w.kills++
		}
		if now > deed && now < last {
			w.deed()
			deed = time.Since(w.begun) + w.pause()
		}
	}
}

func (w *soak) pause() time.Duration { return time.Duration(w.rnd.Float64() * 2 * float64(deedEvery)) }

// deed does one thing of those that may happen to a cluster.
func (w *soak) deed() {
	w.t.Helper()
	deeds := []struct {
		name string
		do   func() bool
	}{
		{"change of workers", w.changeWorkers},
		{"change of access", w.changeAccess},
		{"change of workers", w.changeWorkers},
		{"fault", w.fault},
		{"fault", w.fault},
		{"machine deleted", func() bool { return w.awsMachine("terminate") || w.droplet("DELETE", "", nil) }},
		{"machine stopped", func() bool {
			return w.droplet("POST", "/actions", map[string]string{"type": "power_off"}) || w.awsMachine("stop")
		}},
		{"rule removed", w.awsRule},
		{"address detached", w.awsAddress},
	}
	d := deeds[w.rnd.IntN(len(deeds))]
	if d.do() {
		w.did[d.name]++
		w.t.Logf("%5.0f s: %s", time.Since(w.begun).Seconds(), d.name)
	}
}

func (w *soak) changeWorkers() bool {
	w.counts[w.rnd.IntN(len(groups))] = w.rnd.IntN(2)
	w.apply()
	return true
}

func (w *soak) changeAccess() bool {
	w.ssh = fmt.Sprintf("192.0.2.%d/32", 1+w.rnd.IntN(250))
	w.apply()
	return true
}

// fault has a cloud go wrong for a while, in one of the ways that go by.
func (w *soak) fault() bool {
	faults := [][]string{
		{"throttle", "--rate", "0.3"}, {"error", "--rate", "0.2"}, {"drop-answer", "--rate", "0.2"}, {"delay", "2s"}, {"down"},
	}
	f := faults[w.rnd.IntN(len(faults))]
	args := append([]string{"lab", "fault", "add", clouds[w.rnd.IntN(len(clouds))]}, f...)
	args = append(args, "--for", fmt.Sprintf("%ds", 5+w.rnd.IntN(20)))
	if len(f) > 2 {
		args = append(args, "--seed", strconv.Itoa(1+w.rnd.IntN(1<<30)))
	}
	w.Must(args...)
	w.did[f[0]]++
	return true
}

// heal ends all faults and waits until the cluster is as it is wanted, with nothing left to do and nothing twice.
func (w *soak) heal() {
	w.t.Helper()
	w.Must("lab", "fault", "remove", "--all")
	start := time.Now()
	for {
		_, err := w.Quietly(w.Bin, "reconcile", "soak", "--wait")
		if err == nil {
			break
		}
		if time.Since(start) > 8*time.Minute {
			w.t.Fatalf("the cluster doesn't heal: %v", err)
		}
	}
	w.t.Logf("healed after %.0f s", time.Since(start).Seconds())
	w.nothingToDo("cluster.yaml")
	want := 1
	for _, n := range w.counts {
		want += n
	}
	w.allReady(want, start)
	w.once(clouds...)
}

// allReady wants so many nodes, all Ready. What Kubernetes calls NotReady is given the time to come back by itself, and then
// mended or replaced.
func (w *soak) allReady(want int, start time.Time) {
	w.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Minute); ; <-tick.C {
		var nodes struct {
			Items []struct{ Name, Status string }
		}
		w.JSON(&nodes, "get", "nodes", "soak", "-o", "json")
		ready := 0
		for _, n := range nodes.Items {
			if n.Status == "Ready" {
				ready++
			}
		}
		if len(nodes.Items) == want && ready == want {
			w.t.Logf("all %d nodes are Ready %.0f s after the last fault", want, time.Since(start).Seconds())
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%d nodes are wanted, all Ready: %v", want, nodes.Items)
		}
	}
}

// nothingToDo wants a plan without steps and without notes. What landed late is found by a run of its own, so that it may take
// a moment.
func (w *soak) nothingToDo(file string) {
	w.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		var plan struct {
			Steps []struct{ ID, Reason string } `json:"steps"`
			Notes []string
		}
		w.JSON(&plan, "plan", "-f", w.Path(file), "-o", "json")
		if len(plan.Steps)+len(plan.Notes) == 0 {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("there is still something to do: %v, or to say: %v", plan.Steps, plan.Notes)
		}
	}
}

// once wants everything in the accounts that is the cluster's to be in its ledger: nothing is there twice.
func (w *soak) once(clouds ...string) {
	w.t.Helper()
	var cluster struct{ UID string }
	w.JSON(&cluster, "get", "clusters", "soak", "-o", "json")
	seen := map[string]string{}
	for account, lines := range w.Inventory(clouds...) {
		for _, line := range lines {
			var i struct{ Kind, ID, Name, Cluster string }
			if err := json.Unmarshal([]byte(line), &i); err != nil {
				w.t.Fatal(err)
			}
			key := account + " " + i.Kind + " " + i.Name
			if i.Cluster != cluster.UID || i.Name == "" {
				continue
			}
			if other := seen[key]; other != "" {
				w.t.Errorf("%s is there twice: %s and %s", key, other, i.ID)
			}
			seen[key] = i.ID
		}
	}
}
