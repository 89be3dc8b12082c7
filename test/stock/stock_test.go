//go:build linux

// Package stock_test takes an ordinary machine into a cluster and out again: Debian's own kernel, systemd, control groups
// v2 and cloud-init, booted by qemu on a lab's wires, prepared by the engine itself. It needs root, qemu, the image that
// scripts/stock.sh makes, and the bundle.
package stock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/remote"
)

const clusterFile = `
apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: stock}
spec:
  metro: us-east
  sites:
    - {name: gcp, account: my-gcp}
    - {name: aws, account: my-aws}
  controlPlane: {replicas: 1, size: small}
  workers:
    - {name: debian, site: aws, size: small, count: 1}
`

// The cluster's two nodes: one under qemu, one of the lab's own.
const stockNode, labNode = "stock-debian-1", "stock-gcp-cp-1"

const agent = "/opt/skyweld/bin/skyweld agent "

func TestStockMachine(t *testing.T) {
	s := newScene(t)
	var before state
	s.onFirst = func(ctx context.Context, name string, m engine.Machine) (err error) {
		if name != stockNode {
			return nil
		}
		s.time("the stock machine answers SSH, with the host key that it was given")
		if before, err = s.fresh(ctx, m); err == nil {
			s.time("cloud-init has applied the user data")
		}
		return err
	}
	change, err := s.engine.Apply(t.Context(), []byte(clusterFile), "test")
	s.wait(change, err, 25*time.Minute)
	s.time("both nodes are in Kubernetes, and Ready")
	s.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=300s")
	s.time("pods run on the stock machine")

	t.Log("host keys")
	s.hostKeys()
	t.Log("the node")
	c := s.connect(stockNode, time.Minute)
	s.node(c)
	s.traffic(c)

	t.Log("a reboot")
	c = s.reboot(c)
	s.node(c)
	s.traffic(c)
	s.time("all is as before the reboot")

	t.Log("removal")
	s.must(c, agent+"uninstall")
	s.time("the agent is uninstalled")
	after, err := look(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range traces(before, after) {
		t.Errorf("left on the machine: %s", d)
	}
	s.time(fmt.Sprintf("%d lines of the machine's state are compared", before.lines()))
	s.want(c, "systemctl is-system-running", "running")
	change, err = s.engine.Delete(t.Context(), "stock", "test")
	s.wait(change, err, 10*time.Minute)
	s.time("the cluster is deleted")
}

// fresh waits until the machine has started, wants what cloud-init was told, and takes the machine's state.
func (s *scene) fresh(ctx context.Context, m engine.Machine) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	for _, q := range [][2]string{
		{"cloud-init status --wait; cloud-init query cloud_name", "\naws\n"},
		{"cat /run/cloud-init/result.json", `"datasource": "DataSourceEc2Local"`},
		{"cat /run/cloud-init/result.json", `"errors": []`},
		{"hostname", stockNode + "\n"},
		{"systemctl is-system-running --wait", "running\n"},
	} {
		out, err := m.Run(ctx, q[0], nil, nil)
		if err != nil || !strings.Contains(string(out), q[1]) {
			return nil, fmt.Errorf("%s on a new machine says %q (%w), want %q", q[0], out, err, q[1])
		}
	}
	return look(ctx, m)
}

// hostKeys wants the machine refused with another host key, and with the one that was in user data.
func (s *scene) hostKeys() {
	s.t.Helper()
	_, stranger, err := remote.NewKey("stranger")
	if err != nil {
		s.t.Fatal(err)
	}
	right := s.target(stockNode)
	if len(right.HostKeys) != 1 || right.HostKeys[0] == s.first[stockNode].HostKeys[0] {
		s.t.Errorf("the host key was not exchanged: %q", right.HostKeys)
	}
	for what, key := range map[string]string{"a stranger's": stranger, "that of user data": s.first[stockNode].HostKeys[0]} {
		wrong := right
		wrong.HostKeys = []string{key}
		ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
		if c, err := remote.Dial(ctx, wrong); !errors.Is(err, remote.ErrHostKey) {
			s.t.Errorf("with the host key %s, connecting gives %v and %v: want it refused", what, c, err)
		}
		cancel()
	}
}

// node wants the machine to be a node in the way of its system.
func (s *scene) node(c *remote.Conn) {
	t := s.t
	t.Helper()
	for _, q := range [][2]string{
		{"stat -fc %T /sys/fs/cgroup", "cgroup2fs"},
		{"systemctl is-active skyweld-agent containerd kubelet | sort -u", "active"},
		{"systemctl is-enabled skyweld-agent containerd kubelet | sort -u", "enabled"},
		{"systemctl is-system-running --wait", "running"},
		{"systemd-analyze verify skyweld-agent.service containerd.service kubelet.service 2>&1 | sort -u", ""},
		{"ip -o -d link show type wireguard | awk '{ print $2 }'", "skyweld0:"},
		{"ls /run/wireguard 2>/dev/null | wc -l", "0"}, // sockets of tunnels in user space
		{"grep -c SystemdCgroup\\ =\\ true /etc/containerd/config.toml", "1"},
		{"ls -d /sys/fs/cgroup/kubepods.slice", "/sys/fs/cgroup/kubepods.slice"},
		{"cat /proc/$(pidof -s kube-proxy)/cgroup | cut -c1-20", "0::/kubepods.slice/k"},
	} {
		s.want(c, q[0], q[1])
	}
	if out := s.must(c, "nft list tables"); !strings.Contains(out, "skyweld") {
		t.Errorf("the firewall has the tables %q, none of ours", out)
	}
	var status struct {
		Tunnel, Problem string
		Applied         bool
		Peers           []struct {
			Name      string
			Handshake time.Time
		}
	}
	s.json(&status, c, agent+"status")
	if status.Tunnel != "kernel" || !status.Applied || status.Problem != "" || len(status.Peers) != 1 || status.Peers[0].Handshake.IsZero() {
		t.Errorf("the agent's status is %+v", status)
	}
}

// traffic wants both nodes to reach each other and the pods through the tunnel.
func (s *scene) traffic(c *remote.Conn) {
	t := s.t
	t.Helper()
	list, err := s.engine.Nodes(t.Context(), "stock")
	if err != nil {
		t.Fatal(err)
	}
	address := map[string]netip.Addr{}
	for _, n := range list {
		address[n.Name] = n.Address
	}
	api := address[labNode].String()
	s.want(c, "ip -o route get "+api+" | grep -o 'dev [a-z0-9]*'", "dev skyweld0")
	s.must(c, "ping -c 3 -i 0.2 -W 10 "+api)
	trips, err := s.engine.Latency(t.Context(), "stock")
	if err != nil || len(trips) != 2 {
		t.Errorf("latency through the tunnel: %v, %v", trips, err)
	}
	for _, r := range trips {
		if r.Received == 0 {
			t.Errorf("nothing that %s sent to %s came back", r.From, r.To)
		}
	}
	// Of CoreDNS' two pods one runs here, in a region of its own. It is ready once it has reached the API, on the other node,
	// by its service's address.
	lab := s.connect(labNode, time.Minute)
	s.eventually("a pod on the stock machine, from the other node", func(ctx context.Context) error {
		ip := s.kubectl("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--field-selector", "status.phase=Running,spec.nodeName="+stockNode, "-o", "jsonpath={.items[*].status.podIP}")
		ip, _, _ = strings.Cut(ip, " ")
		return get(ctx, lab.DialContext, "http://"+net.JoinHostPort(ip, "8181")+"/ready")
	})
}

// reboot restarts the machine from inside and returns a new connection.
func (s *scene) reboot(c *remote.Conn) *remote.Conn {
	s.t.Helper()
	const boot = "cat /proc/sys/kernel/random/boot_id"
	old := s.must(c, boot)
	s.must(c, "systemctl reboot --no-block")
	s.time("the machine was told to restart")
	s.eventually("the machine after the restart", func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if c, err = remote.Dial(ctx, s.target(stockNode)); err != nil {
			return err
		}
		now, err := c.Run(ctx, boot, nil, nil)
		if err == nil && strings.TrimSpace(string(now)) != old {
			return nil
		}
		return errors.Join(errors.New("it has not restarted yet"), err, c.Close())
	})
	s.t.Cleanup(func() { _ = c.Close() })
	s.time("it answers SSH again")
	s.eventually("the agent after the restart", func(ctx context.Context) error {
		out, err := c.Run(ctx, agent+"status", nil, nil)
		if err == nil && !strings.Contains(string(out), `"applied": true`) {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
	s.time("its agent has the tunnel up")
	s.kubectl("wait", "--for=condition=Ready", "--timeout=300s", "node/"+stockNode)
	s.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=300s")
	s.time("the node and its pods are Ready")
	return c
}

// must runs a command on a machine.
func (s *scene) must(c *remote.Conn, command string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := c.Run(ctx, command, nil, nil)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// want runs a command on a machine and compares what it prints.
func (s *scene) want(c *remote.Conn, command, want string) {
	s.t.Helper()
	if out := s.must(c, command); out != want {
		s.t.Errorf("%s prints %q, want %q", command, out, want)
	}
}

func (s *scene) json(into any, c *remote.Conn, command string) {
	s.t.Helper()
	if out := s.must(c, command); json.Unmarshal([]byte(out), into) != nil {
		s.t.Fatalf("%s prints %q, want JSON", command, out)
	}
}

// eventually repeats what must succeed within five minutes.
func (s *scene) eventually(what string, do func(ctx context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// kubectl runs the bundle's own.
func (s *scene) kubectl(args ...string) string {
	s.t.Helper()
	link, config := filepath.Join(s.dir, "kubectl"), filepath.Join(s.dir, "kubeconfig")
	if _, err := os.Lstat(link); err != nil {
		text, err := s.engine.Kubeconfig(s.t.Context(), "stock", time.Hour)
		if err == nil {
			err = errors.Join(os.WriteFile(config, text, 0o600), os.Symlink(filepath.Join(s.bundle, "hyperkube"), link))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	out, err := exec.Command(link, append([]string{"--kubeconfig", config}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// get fetches a page and wants it to be fine.
func get(ctx context.Context, dial remote.DialFunc, url string) error {
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %q, %w", url, answer.Status, body, err)
	}
	return nil
}
