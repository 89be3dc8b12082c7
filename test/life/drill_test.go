package life_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// clouds are all, in the order of the cluster's file; the control plane is at the first three.
var (
	clouds             = []string{"aws", "gcp", "azure", "digitalocean"}
	controlPlaneClouds = clouds[:3]
)

// loseCloud takes a cloud with a control-plane node away, its API and its network, and brings it back: Kubernetes goes on
// answering and takes changes, nothing is done or undone by the engine, and all is healthy in the end.
func (w *world) loseCloud(lost string) {
	w.t.Helper()
	w.t.Logf("%s is lost", lost)
	members := w.etcdMembers()
	if len(members) != 3 {
		w.t.Errorf("etcd has the members %v before", members)
	}
	before := len(w.runs())
	survivors := slices.DeleteFunc(w.pods(), func(p pod) bool { return w.siteOf(p.Node) == lost })
	w.Must("lab", "fault", "cloud-down", lost)
	begin := time.Now()
	var group sync.WaitGroup
	for _, c := range controlPlaneClouds {
		if c != lost {
			group.Go(func() { w.answersAgain(contextAt(c), begin) })
		}
	}
	group.Wait()
	if lost == "aws" { // once is enough for what takes a while
		w.withoutCloud(lost, survivors, begin)
	}

	w.Must("lab", "fault", "remove", "--all")
	begin = time.Now()
	w.kubectlSoon("wait", "node", "--all", "--for=condition=Ready", "--timeout=180s")
	w.kubectlSoon("rollout", "status", "ds/probe", "--timeout=180s")
	healthy := w.etcdHealthy(begin)
	w.t.Logf("%s is back: all nodes Ready and etcd whole after %.1f s", lost, healthy.Seconds())
	if after := w.etcdMembers(); !maps.Equal(members, after) {
		w.t.Errorf("etcd had the members %v before, and has %v after", members, after)
	}
	w.Must("reconcile", "life", "--wait")
	for _, r := range w.runs()[:len(w.runs())-before] {
		if r.Done > 0 {
			w.t.Errorf("run %d did %d steps because %s was lost: %v", r.ID, r.Done, lost, r.ids())
		}
	}
	w.wantNodes(7)
}

// kubectlSoon is kubectl while an API server comes back: it refuses what it is asked while it fills its caches.
func (w *world) kubectlSoon(args ...string) {
	w.t.Helper()
	var err error
	for begin := time.Now(); time.Since(begin) < 3*time.Minute; {
		if _, err = w.Quietly(w.Path("kubectl"), args...); err == nil {
			return
		}
	}
	w.t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
}

// contextAt is the kubeconfig's context of the control-plane node at a cloud. The first bears the cluster's name.
func contextAt(cloud string) string {
	if cloud == controlPlaneClouds[0] {
		return "life"
	}
	return "life-" + cloud + "-cp-1"
}

// answersAgain waits until a control-plane node's API takes a change and answers a question, through kubectl.
func (w *world) answersAgain(context string, begin time.Time) {
	var failed error
	kubectl := func(args ...string) bool {
		_, err := w.Quietly(w.Path("kubectl"), append([]string{"--context", context, "--request-timeout", "4s"}, args...)...)
		if err != nil {
			failed = fmt.Errorf("%.1f s: %s: %w", time.Since(begin).Seconds(), args[0], err)
		}
		return err == nil
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for time.Since(begin) < time.Minute {
		name := fmt.Sprintf("drill-%s-%d", context, time.Now().UnixNano())
		if kubectl("create", "configmap", name) && kubectl("get", "nodes") && kubectl("delete", "configmap", name) {
			w.t.Logf("kubectl is answered by %s after %.1f s", context, time.Since(begin).Seconds())
			return
		}
		<-tick.C
	}
	w.t.Errorf("%s doesn't answer a minute after the cloud was lost: after %v", context, failed)
}

// withoutCloud looks at what goes on while a cloud is lost: its nodes are known to be gone and no others, names are
// resolved at all others, and a run says which account it could not ask, and does nothing.
func (w *world) withoutCloud(lost string, survivors []pod, begin time.Time) {
	w.t.Helper()
	elsewhere := func(args ...string) (string, error) {
		return w.Quietly(w.Path("kubectl"), append([]string{"--context", contextAt("gcp")}, args...)...)
	}
	ready := func() (in, out int) {
		list, err := elsewhere("get", "nodes", "--no-headers", "-L", "skyweld.dev/site")
		if err != nil {
			return 0, 0
		}
		for line := range strings.Lines(list) {
			f := strings.Fields(line)
			switch {
			case f[1] != "Ready":
			case f[len(f)-1] == lost:
				in++
			default:
				out++
			}
		}
		return in, out
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	in, out := ready()
	for ; in > 0 && time.Since(begin) < 2*time.Minute; in, out = ready() {
		<-tick.C
	}
	if in != 0 || out != 5 {
		w.t.Errorf("%d nodes at %s are Ready and %d elsewhere: want 0 and 5", in, lost, out)
	}
	for _, p := range survivors { // kube-proxy on a busy node may still have to hear of it
		var got string
		var err error
		for try := 1; try <= 3 && !strings.HasPrefix(got, "probe-"); try++ {
			got, err = elsewhere("exec", p.Name, "--", "curl", "-s", "-m", "15", "http://probe.default.svc.cluster.local/hostname")
		}
		if !strings.HasPrefix(got, "probe-") {
			w.t.Errorf("the service answered %q on %s: %v", got, p.Node, err)
		}
	}
	if said, err := w.Quietly(w.Bin, "reconcile", "life", "--wait"); err == nil || !strings.Contains(err.Error(), "my-"+lost) {
		w.t.Errorf("reconcile without %s: %v\n%s", lost, err, said)
	}
}

// etcdMembers are the ids of etcd's members, by the node that has one.
func (w *world) etcdMembers() map[string]string {
	w.t.Helper()
	list, err := w.etcdctl("member", "list")
	if err != nil {
		w.t.Fatalf("etcdctl member list: %v", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(list) { // ID, status, name, …
		f := strings.Split(strings.TrimSpace(line), ", ")
		if len(f) < 3 || f[1] != "started" {
			w.t.Errorf("etcd's member %q", line)
			continue
		}
		out[f[2]] = f[0]
	}
	return out
}

// etcdHealthy waits until all three members of etcd are healthy.
func (w *world) etcdHealthy(begin time.Time) time.Duration {
	w.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		out, err := w.etcdctl("endpoint", "health", "--cluster", "--write-out", "json")
		if err == nil && strings.Count(out, `"health":true`) == 3 {
			return time.Since(begin)
		}
		if time.Since(begin) > 2*time.Minute {
			w.t.Errorf("etcd is not whole two minutes after the cloud is back: %v\n%s", err, out)
			return time.Since(begin)
		}
		<-tick.C
	}
}

// etcdctl runs in the etcd pod of a node.
func (w *world) etcdctl(args ...string) (string, error) {
	const pki = "/etc/kubernetes/pki/etcd/"
	return w.Quietly(w.Path("kubectl"), append([]string{"exec", "-n", "kube-system", "etcd-life-gcp-cp-1", "--", "etcdctl",
		"--cacert", pki + "ca.crt", "--cert", pki + "healthcheck-client.crt", "--key", pki + "healthcheck-client.key"}, args...)...)
}
