// Package life_test is one whole life of a cluster over four clouds, on the lab, through the real binary: made while the
// engine is killed, looked at with strangers' clients, one cloud after the other lost, grown, shrunk, hurt, mended and
// deleted, with nothing left behind.
// It needs root and the bundle.
package life_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/internal/labtest"
)

const clusterFile = `
apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: life}
spec:
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
    - {name: azure, account: my-azure}
    - {name: digitalocean, account: my-digitalocean}
  controlPlane: {replicas: 3, size: small}
  workers:
    - {name: web, site: aws, size: small, count: 1}
    - {name: api, site: gcp, size: small, count: 1}
    - {name: jobs, site: azure, size: small, count: 1}
    - {name: batch, site: digitalocean, size: small, count: 1}
`

const probes = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: probe}
spec:
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "registry.k8s.io/e2e-test-images/agnhost:2.63.0", args: [netexec]}]
---
apiVersion: v1
kind: Service
metadata: {name: probe}
spec: {selector: {app: probe}, ports: [{port: 80, targetPort: 8080}]}
`

func TestLife(t *testing.T) {
	w := newWorld(t)
	hostBefore := labtest.HostState(t)
	w.StartLab()
	w.StartEngine()
	for _, c := range clouds {
		w.Must("account", "add", c, "my-"+c, "--from-env")
	}
	before := w.Inventory(clouds...)
	strangersBefore := w.strangers()
	file := filepath.Join(w.Dir, "cluster.yaml")
	write(t, file, clusterFile)

	t.Log("plan, then apply, with the engine killed three times inside")
	var planned struct {
		Steps []struct{ ID string } `json:"steps"`
	}
	w.JSON(&planned, "plan", "-f", file, "-o", "json")
	start := time.Now()
	w.Must("apply", "-f", file)
	w.killAt("3 steps done", func(r run) bool { return r.Done >= 3 })
	w.killAt("a first contact", func(r run) bool { return r.has("prepare", "running") || r.has("configure", "running") })
	w.killAt("kubeadm", func(r run) bool { return r.has("init", "running") || r.has("join", "running") })
	w.Must("apply", "-f", file, "--wait")
	t.Logf("created in %.0f s, three kills included", time.Since(start).Seconds())
	runs := w.runs()
	if first := runs[len(runs)-1]; !slices.Equal(first.ids(), ids(planned.Steps)) {
		t.Errorf("the first run recorded other steps than the plan had:\n%v\n%v", first.ids(), ids(planned.Steps))
	}
	var again struct {
		Steps []struct{ ID string } `json:"steps"`
	}
	w.JSON(&again, "plan", "-f", file, "-o", "json")
	if len(again.Steps) != 0 {
		t.Errorf("a second plan has steps: %v", ids(again.Steps))
	}
	printed := filepath.Join(w.Dir, "printed.yaml")
	write(t, printed, w.Must("get", "clusters", "life", "-o", "yaml"))
	w.JSON(&again, "plan", "-f", printed, "-o", "json")
	if len(again.Steps) != 0 {
		t.Errorf("what get prints isn't what is there: %v", ids(again.Steps))
	}
	w.noDoubles(7)
	w.kubeconfig()
	w.wantNodes(7)

	t.Log("the network")
	w.kubectlIn(probes, "apply", "-f", "-")
	w.kubectl("rollout", "status", "ds/probe", "--timeout=180s")
	crossed := w.crossed()
	w.podPairs()
	w.services()
	w.onlyTunnelBetweenSites(crossed)
	w.strangersSee()

	for _, c := range controlPlaneClouds {
		w.loseCloud(c)
	}

	w.loseMachines()

	t.Log("grow, shrink")
	w.Must("node", "add", "life", "--group", "jobs", "--wait")
	w.wantNodes(8)
	w.Must("node", "remove", "life-jobs-1", "--wait")
	w.wantNodes(7)
	if out := w.Must("ssh", "life-batch-1", "--", "/opt/skyweld/bin/skyweld", "agent", "status"); strings.Contains(out, "life-jobs-1") {
		t.Errorf("a peer still has the removed node in its config: %s", out)
	}
	if slices.ContainsFunc(w.Inventory(clouds...)["my-azure"], func(l string) bool { return strings.Contains(l, "life-jobs-1") }) {
		t.Error("something of the removed node is still in the account")
	}

	t.Log("a machine terminated behind its back")
	w.terminate("life-web-1")
	w.Must("reconcile", "life", "--wait")
	w.wantNodes(7)
	w.memory()
	d := w.discreet()
	d.listen("life", "life-web-1", "alive")
	uid := w.uid()

	t.Log("delete")
	start = time.Now()
	w.Must("delete", "life", "--wait")
	t.Logf("deleted in %.0f s", time.Since(start).Seconds())
	w.Same("inventory", before, w.Inventory(clouds...))
	w.Same("what strangers see", strangersBefore, w.strangers())
	d.listen(uid, "life-web-1", "deleted")
	d.end()
	w.StopEngine()
	w.Must("lab", "stop", "--purge")
	for _, d := range labtest.Difference(hostBefore, labtest.HostState(t)) {
		if strings.Contains(d, ": new: ") { // what is gone was somebody else's
			t.Errorf("left on this machine: %s", d)
		}
	}
}

// killAt kills the engine (SIGKILL) when a run is where it should be, and starts it again.
func (w *world) killAt(what string, there func(run) bool) {
	w.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(4 * time.Minute)
	for ; time.Now().Before(deadline); <-tick.C {
		runs := w.runs()
		if len(runs) > 0 && runs[0].Outcome == "running" && there(w.run(runs[0].ID)) {
			w.t.Logf("killed at %s, %d steps done", what, runs[0].Done)
			w.KillEngine()
			w.StartEngine()
			return
		}
		if len(runs) > 0 && runs[0].Outcome == "succeeded" && runs[0].Total > 0 {
			w.t.Fatalf("not killed at %s: the run was over before", what)
		}
	}
	w.t.Fatalf("no run came to %s", what)
}

// podPairs lets every pod fetch /clientip from every other: its own address must come back.
func (w *world) podPairs() {
	w.t.Helper()
	bad, n := 0, 0
	for _, from := range w.pods() {
		script := "for d in"
		for _, to := range w.pods() {
			script += " " + to.IP
		}
		script += `; do echo "$d $(curl -s -m 10 http://$d:8080/clientip)"; done`
		for line := range strings.Lines(w.kubectl("exec", from.Name, "--", "sh", "-c", script)) {
			n++
			to, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !strings.HasPrefix(answer, from.IP+":") {
				bad++
				w.t.Errorf("pod %s on %s asked %s and was seen as %q", from.IP, from.Node, to, answer)
			}
		}
	}
	w.t.Logf("%d pairs of pods, %d wrong", n, bad)
	if n != len(w.pods())*len(w.pods()) {
		w.t.Errorf("only %d pairs were asked", n)
	}
}

// services asks a ClusterIP service by its name from every node.
func (w *world) services() {
	w.t.Helper()
	for _, p := range w.pods() {
		if out := w.kubectl("exec", p.Name, "--", "curl", "-s", "-m", "15", "http://probe.default.svc.cluster.local/hostname"); !strings.HasPrefix(out, "probe-") {
			w.t.Errorf("the service answered %q on %s", out, p.Node)
		}
	}
}

// crossing is one kind of traffic on the lab's internet.
type crossing struct {
	From, To, Protocol string
	Port               int
}

// crossed is how many packets of each kind crossed the lab's internet so far.
func (w *world) crossed() map[crossing]int {
	w.t.Helper()
	var status struct {
		Traffic []struct {
			crossing
			Packets int
		}
	}
	w.JSON(&status, "lab", "status", "-o", "json")
	out := map[crossing]int{}
	for _, c := range status.Traffic {
		out[c.crossing] += c.Packets
	}
	return out
}

// onlyTunnelBetweenSites wants nothing but the tunnel's packets to have crossed between the sites since the first count.
// (While the nodes came up, a peer whose tunnel wasn't there yet answered with ICMP errors.)
func (w *world) onlyTunnelBetweenSites(before map[crossing]int) {
	w.t.Helper()
	tunnel := 0
	for c, packets := range w.crossed() {
		packets -= before[c]
		if c.From == "home" || c.To == "home" || packets == 0 {
			continue
		}
		if c.Protocol != "udp" || c.Port != 51820 || c.From == c.To {
			w.t.Errorf("between the sites crossed %d packets of %+v: want UDP 51820 only", packets, c)
			continue
		}
		tunnel += packets
	}
	if tunnel == 0 {
		w.t.Error("nothing crossed between the sites: the counters don't count")
	}
}

// noDoubles wants exactly one machine of ours for each node.
func (w *world) noDoubles(nodes int) {
	w.t.Helper()
	seen := map[string]bool{}
	for _, list := range w.Inventory(clouds...) {
		for _, line := range list {
			var i struct{ Kind, Name, Cluster string }
			if err := json.Unmarshal([]byte(line), &i); err != nil {
				w.t.Fatal(err)
			}
			if i.Cluster == "" {
				continue
			}
			if i.Name != "" && seen[i.Kind+"/"+i.Name] {
				w.t.Errorf("two of %s %s", i.Kind, i.Name)
			}
			seen[i.Kind+"/"+i.Name] = true
		}
	}
	if machines := w.machineIDs(); len(machines) != nodes {
		w.t.Errorf("%d machines in the accounts: want %d: %v", len(machines), nodes, machines)
	}
}

// machineIDs are the ids of all machines of ours in the accounts.
func (w *world) machineIDs() (out []string) {
	w.t.Helper()
	for _, list := range w.Inventory(clouds...) {
		for _, line := range list {
			var i struct{ Kind, ID, Cluster string }
			if err := json.Unmarshal([]byte(line), &i); err != nil {
				w.t.Fatal(err)
			}
			if i.Cluster != "" && slices.Contains([]string{"instance", "virtual-machine", "droplet"}, i.Kind) {
				out = append(out, i.ID)
			}
		}
	}
	return out
}
