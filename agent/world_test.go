package agent

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
)

// world is a router between machines of two sites, each machine with a pod, all in namespaces of this test.
type world struct {
	t        testing.TB
	prefix   string // of the namespaces' names
	key      ed25519.PrivateKey
	machines []*namespaceMachine
	sites    map[string]netip.Prefix
}

// namespaceMachine is one machine: a network and a mount namespace, held by a process that does nothing.
type namespaceMachine struct {
	world   *world
	member  mesh.Node
	netns   string
	holder  *exec.Cmd
	agent   *exec.Cmd
	log     *bytes.Buffer
	podAddr netip.Addr
}

// newWorld makes a router that carries the private addresses within a site, translates public ones one to one between
// sites, and drops whatever else there is. In site d public addresses are the machines' own, on an interface beside the
// private one, and not translated.
func newWorld(t testing.TB, names ...string) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and devices")
	}
	for _, tool := range []string{"ip", "nft", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	w := &world{
		t: t, prefix: fmt.Sprintf("swagent%d", os.Getpid()), key: ed25519.NewKeyFromSeed(make([]byte, 32)),
		sites: map[string]netip.Prefix{"a": netip.MustParsePrefix("10.64.0.0/16"), "b": netip.MustParsePrefix("10.65.0.0/16"), "d": netip.MustParsePrefix("10.67.0.0/16")},
	}
	router := w.namespace("router")
	w.in(router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1")
	for i, name := range names {
		w.machines = append(w.machines, w.machine(router, name, i+1))
	}
	var rules strings.Builder
	fmt.Fprintf(&rules, "table ip fabric {\ncounter dropped { }\nchain pre { type nat hook prerouting priority dstnat;\n")
	for _, m := range w.machines {
		if !m.ownPublic() {
			fmt.Fprintf(&rules, "ip daddr %s dnat to %s\n", m.member.Public, m.member.Address)
		}
	}
	fmt.Fprintf(&rules, "}\nchain post { type nat hook postrouting priority srcnat;\n")
	var known []string
	for _, m := range w.machines {
		known = append(known, m.member.Address.String())
		if m.ownPublic() {
			known = append(known, m.member.Public.String())
			continue
		}
		fmt.Fprintf(&rules, "ip saddr %s ip daddr != %s snat to %s\n", m.member.Address, w.sites[m.member.Site], m.member.Public)
	}
	fmt.Fprintf(&rules, "}\nchain carry { type filter hook forward priority filter; policy drop;\n")
	fmt.Fprintf(&rules, "ip saddr != { %[1]s } counter name dropped drop\nip daddr != { %[1]s } counter name dropped drop\n", strings.Join(known, ", "))
	for _, m := range w.machines {
		if m.ownPublic() {
			fmt.Fprintf(&rules, "iifname v%[1]s ip saddr != %[2]s counter name dropped drop\niifname p%[1]s ip saddr != %[3]s counter name dropped drop\noifname p%[1]s accept\n",
				m.member.Name, m.member.Address, m.member.Public)
		}
	}
	for _, block := range w.sites {
		fmt.Fprintf(&rules, "ip saddr %[1]s ip daddr %[1]s accept\n", block)
	}
	fmt.Fprintf(&rules, "ct status dnat accept\nct direction reply accept\ncounter name dropped\n}\n}\n")
	w.input(rules.String(), "ip", "netns", "exec", router, "nft", "-f", "-")
	return w
}

// namespace makes a network namespace that goes with the test.
func (w *world) namespace(name string) string {
	full := w.prefix + "-" + name
	w.host("ip", "netns", "add", full)
	w.t.Cleanup(func() { w.host("ip", "netns", "del", full) })
	w.host("ip", "-n", full, "link", "set", "lo", "up")
	return full
}

func (w *world) machine(router, name string, number int) *namespaceMachine {
	site := name[:1]
	m := &namespaceMachine{world: w, netns: w.namespace(name), log: &bytes.Buffer{}}
	last := byte(10 + number)
	base := w.sites[site].Addr().As4()
	m.member = mesh.Node{
		Name: name, Site: site, Address: netip.AddrFrom4([4]byte{base[0], base[1], 0, last}),
		Public: netip.AddrFrom4([4]byte{198, 18, base[1], last}), Pods: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 216, byte(number), 0}), 24),
	}
	m.podAddr = netip.AddrFrom4([4]byte{10, 216, byte(number), 5})
	gateway := base
	gateway[3] = 1
	gw, wire := netip.AddrFrom4(gateway).String(), "v"+name
	if m.ownPublic() {
		m.plug(router, "p"+name, "eth0", "198.18.67.1", m.member.Public, "default")
		m.plug(router, wire, "eth1", gw, m.member.Address, w.sites[site].String())
	} else {
		m.plug(router, wire, "eth0", gw, m.member.Address, "default")
	}
	m.hold()
	m.pod()
	return m
}

// ownPublic says whether the machine itself has its public address.
func (m *namespaceMachine) ownPublic() bool { return m.member.Site == "d" }

// plug makes an interface with an address, and a route by its gateway.
func (m *namespaceMachine) plug(router, wire, device, gateway string, address netip.Addr, to string) {
	w := m.world
	w.host("ip", "-n", router, "link", "add", wire, "type", "veth", "peer", "name", device, "netns", m.netns)
	w.host("ip", "-n", router, "addr", "add", gateway+"/32", "dev", wire)
	w.host("ip", "-n", router, "link", "set", wire, "up")
	w.host("ip", "-n", router, "route", "add", address.String()+"/32", "dev", wire)
	w.host("ip", "-n", m.netns, "addr", "add", address.String()+"/32", "dev", device)
	w.host("ip", "-n", m.netns, "link", "set", device, "up")
	w.host("ip", "-n", m.netns, "route", "add", gateway, "dev", device, "scope", "link")
	w.host("ip", "-n", m.netns, "route", "add", to, "via", gateway, "src", address.String())
}

// hold gives the machine folders of its own where the agent writes.
func (m *namespaceMachine) hold() {
	t := m.world.t
	etc := t.TempDir()
	for name, text := range map[string]string{"hosts": "127.0.0.1 localhost\n", "machine-id": "0123456789abcdef0123456789abcdef\n"} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	trust := base64.StdEncoding.EncodeToString(m.world.key.Public().(ed25519.PublicKey))
	if err := os.MkdirAll(filepath.Join(etc, "skyweld"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "skyweld/trust.pub"), []byte(trust+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/netns; mount -t tmpfs tmpfs /var/lib; mount --bind %s /etc; echo held; exec sleep infinity", etc)
	m.holder = exec.Command("ip", "netns", "exec", m.netns, "sh", "-c", script)
	m.holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.holder.Stderr = os.Stderr
	started(t, m.holder, "held")
}

// started starts a process, waits for a line from it, and ends it with the test.
func started(t testing.TB, c *exec.Cmd, line string) {
	t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
	if got, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(got) != line {
		t.Fatalf("%v says %q, want %q (%v)", c.Args, got, line, err)
	}
}

// pod gives the machine one pod on a routed link, as the ptp plugin does, with a server that says who asks.
func (m *namespaceMachine) pod() {
	w, gateway := m.world, m.member.Pods.Addr().Next().String()
	pod := w.namespace("pod-" + m.member.Name)
	w.host("ip", "-n", m.netns, "link", "add", "pod0", "type", "veth", "peer", "name", "eth0", "netns", pod)
	w.host("ip", "-n", m.netns, "addr", "add", gateway+"/32", "dev", "pod0")
	w.host("ip", "-n", m.netns, "link", "set", "pod0", "up")
	w.host("ip", "-n", m.netns, "route", "add", m.podAddr.String()+"/32", "dev", "pod0", "src", gateway)
	w.host("ip", "-n", pod, "addr", "add", m.podAddr.String()+"/32", "dev", "eth0")
	w.host("ip", "-n", pod, "link", "set", "eth0", "up")
	w.host("ip", "-n", pod, "route", "add", gateway, "dev", "eth0", "scope", "link")
	w.host("ip", "-n", pod, "route", "add", "default", "via", gateway, "src", m.podAddr.String())
	for _, netns := range []string{pod, m.netns} {
		server := self("ip", "netns", "exec", netns, program(w.t), "serve", "0.0.0.0:8080")
		started(w.t, server, "ready")
		if netns == pod { // where containerd would show it
			show := fmt.Sprintf("touch /run/netns/cni-%[1]s && mount --bind /proc/%[2]d/ns/net /run/netns/cni-%[1]s", m.member.Name, server.Process.Pid)
			if out, err := m.inside("sh", "-c", show).CombinedOutput(); err != nil {
				w.t.Fatalf("%v: %s", err, out)
			}
		}
	}
}

func program(t testing.TB) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// self makes a command in which the test binary is the program.
func self(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0") // or each of them would end a second late
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func (w *world) host(name string, args ...string) string {
	w.t.Helper()
	return w.input("", name, args...)
}

func (w *world) in(netns, name string, args ...string) string {
	w.t.Helper()
	return w.input("", "ip", append([]string{"netns", "exec", netns, name}, args...)...)
}

func (w *world) input(text, name string, args ...string) string {
	w.t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(text)
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inside is a command in the machine's namespaces.
func (m *namespaceMachine) inside(name string, args ...string) *exec.Cmd {
	return self("nsenter", append([]string{"-t", strconv.Itoa(m.holder.Process.Pid), "-m", "-n", "--", name}, args...)...)
}

// call runs a subcommand of the agent and gives what it prints; wrong output of JSON fails the test.
func (m *namespaceMachine) call(stdin []byte, into any, args ...string) error {
	c := m.inside(program(m.world.t), append([]string{"agent"}, args...)...)
	var out, problem bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(stdin), &out, &problem
	if err := c.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, problem.String())
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		m.world.t.Fatalf("agent %v prints %q: %v", args, out.String(), err)
	}
	return nil
}

// start runs the agent and waits until it answers.
func (m *namespaceMachine) start() {
	t := m.world.t
	t.Helper()
	m.agent = m.inside(program(t), "agent", "run")
	m.agent.Stderr = m.log
	if err := m.agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.stop)
	deadline := time.Now().Add(20 * time.Second)
	var status node.Status
	for m.call(nil, &status, "status") != nil {
		if time.Now().After(deadline) {
			t.Fatalf("agent of %s doesn't answer:\n%s", m.member.Name, m.log)
		}
	}
}

func (m *namespaceMachine) stop() {
	if m.agent == nil {
		return
	}
	_ = m.agent.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = m.agent.Wait()
	m.agent = nil
}

// configs asks every machine for its key and makes each one's config.
func (w *world) configs(revision int64, members ...*namespaceMachine) map[string]node.Config {
	w.t.Helper()
	network := mesh.Network{
		Mode: mesh.CrossSite, Pods: netip.MustParsePrefix("10.216.0.0/14"), Services: netip.MustParsePrefix("10.96.0.0/16"),
		Port: mesh.DefaultPort, MTU: 1420,
	}
	var nodes []mesh.Node
	for _, m := range members {
		var id node.Identity
		if err := m.call(nil, &id, "identity"); err != nil {
			w.t.Fatal(err)
		}
		m.member.PublicKey = id.TunnelKey
		nodes = append(nodes, m.member)
	}
	all := map[string]node.Config{}
	for _, m := range members {
		tunnel, err := mesh.For(network, w.sites, nodes, m.member.Name)
		if err != nil {
			w.t.Fatal(err)
		}
		all[m.member.Name] = node.Config{
			APIVersion: node.APIVersion, Revision: revision, Cluster: "c1", ClusterName: "demo", Name: m.member.Name, Role: node.Worker,
			Site: m.member.Site, Address: m.member.Address, Tunnel: tunnel,
			Hosts:    map[string][]netip.Addr{"api.demo.skyweld.internal": {netip.MustParseAddr("127.0.0.1")}},
			Balancer: node.Balancer{Listen: netip.MustParseAddrPort("127.0.0.1:6444"), Backends: []netip.AddrPort{netip.AddrPortFrom(w.machines[0].member.Address, 8080)}},
		}
	}
	return all
}

// apply applies a config and gives the report.
func (m *namespaceMachine) apply(c node.Config) (node.Report, error) {
	m.world.t.Helper()
	envelope, err := node.Sign(m.world.key, c)
	if err != nil {
		m.world.t.Fatal(err)
	}
	var report node.Report
	err = m.call(envelope, &report, "apply")
	return report, err
}
