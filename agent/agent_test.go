package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/agent/balancer"
	"github.com/skyweld/skyweld/agent/flow"
	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/probe"
	"github.com/skyweld/skyweld/agent/tunnel"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func testConfig() node.Config {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	return node.Config{
		APIVersion: node.APIVersion, Revision: 3, Cluster: "c1", ClusterName: "demo", Name: "a1", Role: node.Worker, Site: "a", Address: a("127.0.0.1"),
		Tunnel: mesh.Config{
			Port: 51820, MTU: 1420, Address: p("10.216.1.1/32"), Pods: p("10.216.1.0/24"), Internal: []netip.Prefix{p("10.216.0.0/14")},
			Peers:  []mesh.Peer{{Name: "b1", PublicKey: "k", Endpoint: netip.MustParseAddrPort("198.18.2.11:51820"), AllowedIPs: []netip.Prefix{p("10.216.2.0/24"), p("10.65.0.11/32")}, Keepalive: 25}},
			Routes: []mesh.Route{}, Rules: []mesh.Rule{},
		},
		Hosts:   map[string][]netip.Addr{"api.demo.skyweld.internal": {a("127.0.0.1")}},
		Kubelet: node.Kubelet{NodeIP: a("10.64.0.11"), ProviderID: "aws:///us-east-1a/i-1", Labels: map[string]string{"topology.kubernetes.io/zone": "us-east-1a", "a": "b"}},
	}
}

func TestGolden(t *testing.T) {
	cni, err := cniConfig(testConfig().Tunnel)
	if err != nil {
		t.Fatal(err)
	}
	kubelet, containerd, agent := kubeletUnit(testConfig().Kubelet), containerdUnit(), agentUnit("/opt/skyweld/bin/skyweld")
	ubuntu := host.Facts{Systemd: true, CgroupV2: true, SysResource: true, AppArmor: true}
	for name, got := range map[string]string{
		"cni.conflist":              string(cni),
		"kubelet.service":           kubelet.Unit,
		"kubelet.run":               kubelet.Script,
		"containerd.service":        containerd.Unit,
		"containerd.run":            containerd.Script,
		"agent.service":             agent.Unit,
		"agent.run":                 agent.Script,
		"containerd-ubuntu.toml":    containerdConfig(ubuntu, ""),
		"containerd-namespace.toml": containerdConfig(host.Facts{}, "registry.k8s.io/pause:3.10.2"),
	} {
		golden(t, name, got)
	}
}

func TestHosts(t *testing.T) {
	names := map[string][]netip.Addr{"b": {netip.MustParseAddr("10.0.0.2")}, "a": {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")}}
	block := "# skyweld: begin\n127.0.0.1 a\n10.0.0.1 a\n10.0.0.2 b\n# skyweld: end\n"
	for _, c := range []struct {
		name, before string
		names        map[string][]netip.Addr
		want         string
	}{
		{"new", "127.0.0.1 localhost\n", names, "127.0.0.1 localhost\n" + block},
		{"no file", "", names, block},
		{"no end of line", "127.0.0.1 localhost", names, "127.0.0.1 localhost\n" + block},
		{"old block", "x\n# skyweld: begin\n1.1.1.1 old\n# skyweld: end\ny\n", names, "x\ny\n" + block},
		{"block without end", "x\n# skyweld: begin\n1.1.1.1 old\n", names, "x\n" + block},
		{"no names", "x\n" + block, nil, "x\n"},
		{"nothing at all", block, nil, ""},
	} {
		if got := withHosts(c.before, c.names); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.StringMatching(`([a-z0-9. #]{0,12}\n){0,5}`).Draw(t, "before")
		once := withHosts(before, names)
		if twice := withHosts(once, names); twice != once {
			t.Fatalf("a second time changes %q to %q", once, twice)
		}
		if back := withHosts(once, nil); back != before {
			t.Fatalf("taking it out leaves %q of %q", back, before)
		}
	})
}

func TestAdmit(t *testing.T) {
	before := &accepted{Config: testConfig()}
	for _, c := range []struct {
		name   string
		change func(*node.Config)
		want   string
	}{
		{"the same", func(*node.Config) {}, ""},
		{"newer", func(c *node.Config) { c.Revision++; c.Site = "b" }, ""},
		{"older", func(c *node.Config) { c.Revision-- }, "older than 3"},
		{"other content", func(c *node.Config) { c.Site = "b" }, "differs from the revision 3"},
		{"other cluster", func(c *node.Config) { c.Cluster = "c2"; c.Revision++ }, "belongs to cluster"},
		{"other node", func(c *node.Config) { c.Name = "a2"; c.Revision++ }, `this is node "a1"`},
	} {
		config := testConfig()
		c.change(&config)
		err := admit(before, config)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrRefused)) {
			t.Errorf("%s: error is %v, want one with %q", c.name, err, c.want)
		}
		if err := admit(nil, config); err != nil {
			t.Errorf("%s, on a new node: %v", c.name, err)
		}
	}
}

// tools remembers what was run, and fails when told so.
type tools struct {
	calls []string
	fail  string
	nft   string
	on    func(c host.Command)
	// say is what tools answer, by the beginning of what is run.
	say map[string]string
}

func (f *tools) Run(_ context.Context, c host.Command) (string, error) {
	line := strings.Join(append([]string{c.Name}, c.Args...), " ")
	if c.Name == "nft" {
		if c.Stdin != "" {
			f.nft = c.Stdin
		}
		return f.nft, nil
	}
	f.calls = append(f.calls, line)
	if f.on != nil {
		f.on(c)
	}
	if f.fail != "" && strings.HasPrefix(line, f.fail) {
		return "", errors.New(f.fail + " doesn't work")
	}
	for begin, text := range f.say {
		if strings.HasPrefix(line, begin) {
			return text, nil
		}
	}
	return "", nil
}

// device is a tunnel that is always as wanted.
type device struct{ state tunnel.State }

func (*device) Kind() tunnel.Kind             { return tunnel.User }
func (d *device) Read() (tunnel.State, error) { return d.state, nil }
func (d *device) Do(s tunnel.Step) error {
	if s.Action == tunnel.Create {
		d.state.Kind = s.Kind
	}
	return nil
}

// newDaemon is an agent on a machine that is a folder.
func newDaemon(t *testing.T) (*daemon, *tools) {
	t.Helper()
	fake, log := &tools{}, slog.New(slog.DiscardHandler)
	m := &host.Machine{Root: t.TempDir(), Tools: fake, Log: log}
	d := &daemon{machine: m, tunnel: &device{}, balancer: balancer.New(log), echo: probe.NewEcho(log), sink: flow.NewSink(log), log: log, publish: func(string, node.Latency) {}}
	watch, err := probe.NewWatch(make([]byte, 32), d.handshakes, func(string, node.Latency) {}, log)
	if err != nil {
		t.Fatal(err)
	}
	d.watch = watch
	t.Cleanup(d.watch.Close)
	t.Cleanup(d.balancer.Close)
	t.Cleanup(d.echo.Close)
	t.Cleanup(d.sink.Close)
	underlays, err := host.Underlays(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Skipf("needs a loopback device with an address: %v", err)
	}
	settings := []string{"net/ipv4/ip_forward", "net/ipv4/conf/" + mesh.Device + "/rp_filter"}
	for _, name := range underlays {
		settings = append(settings, "net/ipv4/conf/"+name+"/rp_filter")
	}
	for _, name := range settings {
		if _, err := m.Write("/proc/sys/"+name, []byte("0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := signingKey().Public().(ed25519.PublicKey)
	if _, err := m.Write(trustFile, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return d, fake
}

func signingKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, 32)) }

func signed(t *testing.T, c node.Config) []byte {
	t.Helper()
	data, err := node.Sign(signingKey(), c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestApply(t *testing.T) {
	d, _ := newDaemon(t)
	ctx, c := context.Background(), testConfig()
	report, err := d.apply(ctx, signed(t, c))
	if err != nil || report.Revision != 3 || len(report.Changed) == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, file := range []string{cniFile, hostsFile, configFile} {
		if !d.machine.Exists(file) {
			t.Errorf("%s was not written", file)
		}
	}
	id, err := identity(d.machine, false)
	if err != nil || id.Revision != 3 || id.Digest != node.Digest(c) || id.TunnelKey == "" || !strings.HasPrefix(id.HostKey, "ssh-ed25519 ") {
		t.Errorf("identity is %+v, %v", id, err)
	}
	if again, err := identity(d.machine, false); err != nil || again != id {
		t.Errorf("identity changed to %+v, %v", again, err)
	}
	if _, err := d.apply(ctx, []byte(`{}`)); !errors.Is(err, node.ErrSignature) {
		t.Errorf("not signed: %v", err)
	}
	c.Revision = 2
	if _, err := d.apply(ctx, signed(t, c)); !errors.Is(err, ErrRefused) {
		t.Errorf("older: %v", err)
	}
	status, err := d.status()
	if err != nil || !status.Applied || status.Problem != "" || status.Name != "a1" {
		t.Errorf("status is %+v, %v", status, err)
	}
}

// A config that doesn't take effect is remembered, told, and not counted as applied.
func TestApplyFails(t *testing.T) {
	d, _ := newDaemon(t)
	c := testConfig()
	c.Address = netip.MustParseAddr("203.0.113.7")
	if _, err := d.apply(context.Background(), signed(t, c)); err == nil || !strings.Contains(err.Error(), "203.0.113.7") {
		t.Fatalf("error is %v", err)
	}
	status, err := d.status()
	if err != nil || status.Applied || status.Revision != 3 || !strings.Contains(status.Problem, "203.0.113.7") {
		t.Errorf("status is %+v, %v", status, err)
	}
	if id, err := identity(d.machine, false); err != nil || id.Revision != 0 || id.Digest != "" {
		t.Errorf("identity says that %+v was applied, %v", id, err)
	}
	c.Revision, c.Address = 4, netip.MustParseAddr("127.0.0.1")
	if _, err := d.apply(context.Background(), signed(t, c)); err != nil {
		t.Error(err)
	}
}

func TestBootstrap(t *testing.T) {
	d, fake := newDaemon(t)
	ctx := context.Background()
	if _, err := d.apply(ctx, signed(t, testConfig())); err != nil {
		t.Fatal(err)
	}
	b := node.Bootstrap{Action: "join", Config: "kind: JoinConfiguration\n", Files: map[string]string{"/etc/kubernetes/pki/ca.key": "secret"}}
	join := "kubeadm join --config /run/skyweld/kubeadm.yaml --ignore-preflight-errors SystemVerification"
	reset := "kubeadm reset --force --cri-socket unix:///run/containerd/containerd.sock"
	fake.on = func(c host.Command) {
		if c.Args[0] != "join" {
			return
		}
		for name, want := range map[string]string{kubeadmConfigFile: b.Config, "/etc/kubernetes/pki/ca.key": "secret"} {
			data, _ := d.machine.Read(name)
			if info, err := os.Stat(d.machine.Path(name)); err != nil || string(data) != want || info.Mode().Perm() != 0o600 {
				t.Errorf("%s holds %q, %v", name, data, err)
			}
		}
		if _, err := d.machine.Write(kubeletAuth, []byte("x"), 0o600); err != nil {
			t.Error(err)
		}
	}
	run := func(name string, fails bool, want ...string) {
		t.Helper()
		fake.calls = nil
		var output bytes.Buffer
		err := d.bootstrap(ctx, b, &output)
		if (err != nil) != fails || !slices.Equal(fake.calls, want) {
			t.Errorf("%s: ran %q, want %q; %v", name, fake.calls, want, err)
		}
		if d.machine.Exists(kubeadmConfigFile) {
			t.Errorf("%s: kubeadm's config is left", name)
		}
	}
	fake.fail = "kubeadm join"
	run("first, and it fails", true, join)
	if done, err := joined(d.machine); done != "" || err != nil {
		t.Errorf("joined is %q, %v", done, err)
	}
	fake.fail = "kubeadm reset"
	run("again, and what was left doesn't go", true, reset)
	fake.fail = ""
	run("again", false, reset, join)
	run("once more", false)
	b.Again = true
	run("again though it was done", false, reset, join)
	b.Again = false
	b.Action = "init"
	run("another action, of a member", false)
	if _, err := d.machine.Remove(kubeletAuth); err != nil {
		t.Fatal(err)
	}
	if _, err := d.machine.Write(etcdData+"/member/wal", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("a member with a part of etcd that lost its kubelet's credentials", true)
	if _, err := d.machine.Remove(etcdData + "/member"); err != nil {
		t.Fatal(err)
	}
	run("a member without one", false, reset, "kubeadm init --config /run/skyweld/kubeadm.yaml --skip-token-print --skip-certificate-key-print --ignore-preflight-errors SystemVerification")
}

func TestBootstrapRefuses(t *testing.T) {
	for _, c := range []struct {
		b    node.Bootstrap
		want string
	}{
		{node.Bootstrap{Action: "reset", Config: "x"}, `action is "reset"`},
		{node.Bootstrap{Action: "init"}, "config is missing"},
		{node.Bootstrap{Action: "init", Config: "x", Files: map[string]string{"/etc/passwd": ""}}, `"/etc/passwd" is not below`},
		{node.Bootstrap{Action: "init", Config: "x", Files: map[string]string{"/etc/kubernetes/../passwd": ""}}, "is not below"},
		{node.Bootstrap{Action: "init", Config: "x", Files: map[string]string{"/etc/kubernetes/": ""}}, "is not below"},
	} {
		if err := checkBootstrap(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
	}
	if got := kubeadmArgs("join", ignoredChecks(host.Facts{Systemd: true, CgroupV2: true})); len(got) != 3 {
		t.Errorf("a stock machine gets %q", got)
	}
}

func TestHostKey(t *testing.T) {
	fake := &tools{}
	m := &host.Machine{Root: t.TempDir(), Tools: fake, Facts: host.Facts{Systemd: true}}
	if _, err := m.Write(hostKeyFile, []byte("the one from user data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := switchHostKey(context.Background(), m); err == nil {
		t.Error("switched to nothing")
	}
	key, err := prepareHostKey(m)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if again, err := prepareHostKey(m); err != nil || again != key {
			t.Errorf("prepared another one: %q, %v", again, err)
		}
		if err := switchHostKey(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		data, err := m.Read(hostKeyFile)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.ParsePrivateKey(data)
		if err != nil || strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) != key {
			t.Errorf("in place is another key: %v", err)
		}
		if public, err := m.Read(hostKeyFile + ".pub"); err != nil || strings.TrimSpace(string(public)) != key {
			t.Errorf("the public part in place is %q, %v", public, err)
		}
	}
	if m.Exists(newKeyFile) || m.Exists(newKeyFile+".pub") || len(fake.calls) != 2 {
		t.Errorf("after the switch: %q", fake.calls)
	}
}

func TestMainUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "usage: skyweld agent COMMAND"},
		{[]string{"fly"}, 2, `there is no command "fly"`},
		{[]string{"apply", "x"}, 2, `unexpected "x"`},
		{[]string{"hostkey"}, 2, "either --prepare or --switch"},
		{[]string{"latency", "nowhere"}, 2, "nowhere"},
		{[]string{"latency", "--far"}, 2, "far"},
	} {
		var out, problem bytes.Buffer
		if code := Main(context.Background(), c.args, strings.NewReader(""), &out, &problem); code != c.code || !strings.Contains(problem.String(), c.want) {
			t.Errorf("%v: code %d, %q", c.args, code, problem.String())
		}
	}
}

// The agent runs on every machine, small ones too: what talks to clouds or to Kubernetes stays out of it.
func TestImports(t *testing.T) {
	if testing.Short() {
		t.Skip("asks the go command, which takes a moment: not with -short")
	}
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("needs the go command: %v", err)
	}
	for _, name := range strings.Fields(string(out)) {
		for _, forbidden := range []string{"k8s.io/", "github.com/aws/", "google.golang.org/", "github.com/Azure/", "text/template", "html/template", "github.com/skyweld/skyweld/engine"} {
			if strings.HasPrefix(name, forbidden) {
				t.Errorf("the agent imports %s", name)
			}
		}
	}
}
