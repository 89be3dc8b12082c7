//go:build linux

package stock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/lab"
	"github.com/skyweld/skyweld/lab/fabric"
	"github.com/skyweld/skyweld/lab/world"
)

// guests runs a lab's machines as far as cloud-init gets: each is a Debian tree in namespaces, whose own cloud-init finds
// out where it is and does what the machine's user data say. There is no sshd after that.
type guests struct {
	tree, dir, cloud string
	namespace        func(machine string) string

	mu      sync.Mutex
	guests  map[string]*guest
	started chan *guest
}

// guest is one machine.
type guest struct {
	id, cloud, folder string
	command, dhcp     *exec.Cmd
	nics              []nic
	out               bytes.Buffer
	ended             chan struct{} // what it said is whole then
}

// firmware is what a machine of a cloud has for a serial number and a UUID.
func firmware(m world.Machine) (serial, uuid string) {
	uuid = ec2UUID(m.ID)
	switch m.Datasource {
	case "GCE":
		return "GoogleCloud-" + strings.ToUpper(strings.ReplaceAll(uuid, "-", "")), uuid
	case "Azure":
		return "0000-0000-0000", m.ID
	case "DigitalOcean":
		return m.ID, uuid
	}
	return uuid, uuid
}

func (g *guests) StartMachine(ctx context.Context, m world.Machine) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.guests[m.ID] != nil {
		return nil
	}
	folder, err := os.MkdirTemp(g.dir, "guest-")
	if err != nil {
		return err
	}
	u := &guest{id: m.ID, cloud: g.cloud, folder: folder, ended: make(chan struct{})}
	serial, uuid := firmware(m)
	// The namespaces go with their first process, and that with this one.
	u.command = exec.Command("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child",
		"bash", "testdata/guest.sh", g.tree, folder, m.Datasource, serial, uuid)
	u.command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	u.command.Stdout, u.command.Stderr = &u.out, &u.out
	u.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := u.command.StdinPipe()
	if err != nil {
		return err
	}
	if err := u.command.Start(); err != nil {
		return err
	}
	if err = g.wire(ctx, u); err == nil {
		_, err = io.WriteString(stdin, "go\n")
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("machine %s: %w", m.ID, err), u.end())
		_ = u.command.Wait() // it was killed
		return err
	}
	g.guests[m.ID] = u
	go func() {
		if err := u.command.Wait(); err != nil {
			fmt.Fprintf(&u.out, "the machine: %v\n", err)
		}
		close(u.ended)
	}()
	g.started <- u
	return nil
}

// wire joins the machine's network namespace to the one that the lab made for it. Where a cloud's DHCP server tells
// machines their address, there is one.
func (g *guests) wire(ctx context.Context, u *guest) (err error) {
	at := g.namespace(u.id)
	if g.cloud == "azure" {
		if err := u.insert(ctx, at); err != nil {
			return err
		}
	}
	if err := ownNetwork(ctx, u.command.Process.Pid); err != nil {
		return err
	}
	u.nics, err = plug(ctx, filepath.Base(at), func(i int, n nic) string {
		// Its MTU is what any has at first; that of its network it is told.
		return fmt.Sprintf("link add %s type veth peer name eth%d address %s netns %d", n.tap(), i, n.mac, u.command.Process.Pid)
	})
	if err != nil || g.cloud == "digitalocean" {
		return err
	}
	var more []string
	if g.cloud == "azure" {
		more = append(more, "--dhcp-option-force=245,"+wireServer) // which nobody asks for
	}
	u.dhcp, err = inNamespace(at, filepath.Join(u.folder, "dhcp.log"), dhcp(u.nics[0], more...))
	return err
}

// wireServer is where Azure's machines find its services.
const wireServer = "168.63.129.16"

// insert puts the disc with the provisioning document into an Azure machine's drive.
func (u *guest) insert(ctx context.Context, namespace string) error {
	var line net.Conn
	err := fabric.Within(namespace, func() (err error) {
		line, err = (&net.Dialer{}).DialContext(ctx, "tcp4", wireServer+":80")
		return err
	})
	if err != nil {
		return err
	}
	defer line.Close()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return line, nil }}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+wireServer+"/machine/?comp=ovfenv", nil)
	if err != nil {
		return err
	}
	r.Header.Set("x-ms-version", "2012-11-30")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	document, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the provisioning document: %s: %s (%w)", answer.Status, document, err)
	}
	media := filepath.Join(u.folder, "media")
	return errors.Join(os.Mkdir(media, 0o700), os.WriteFile(filepath.Join(media, "ovf-env.xml"), document, 0o600))
}

// ownNetwork waits until a process has left this one's network namespace.
func ownNetwork(ctx context.Context, pid int) error {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || its != ours {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (u *guest) end() error {
	var problems []error
	for _, c := range []*exec.Cmd{u.command, u.dhcp} {
		if c == nil {
			continue
		}
		if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			problems = append(problems, err)
		}
	}
	if u.dhcp != nil {
		_ = u.dhcp.Wait() // it was killed
	}
	return errors.Join(problems...)
}

func (g *guests) StopMachine(_ context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.guests[id]
	if u == nil {
		return nil
	}
	delete(g.guests, id)
	err := u.end()
	<-u.ended
	return err
}

func (g *guests) DestroyMachine(ctx context.Context, id string) error { return g.StopMachine(ctx, id) }

func (g *guests) MachineState(id string) world.MachineState {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.guests[id] != nil {
		return world.Running
	}
	return world.Stopped
}

func (g *guests) Console(string) []byte { return nil }

func (g *guests) close(t *testing.T) {
	g.mu.Lock()
	ids := make([]string, 0, len(g.guests))
	for id := range g.guests {
		ids = append(ids, id)
	}
	g.mu.Unlock()
	for _, id := range ids {
		if err := g.StopMachine(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
}

const cloudInitFile = `
apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: init}
spec:
  metro: us-east
  sites:
    - {name: gcp, account: my-gcp}
    - {name: aws, account: my-aws}
    - {name: azure, account: my-azure}
    - {name: do, account: my-do}
  controlPlane: {replicas: 1, size: small}
  workers:
    - {name: a, site: aws, size: small, count: 1}
    - {name: b, site: azure, size: small, count: 1}
    - {name: c, site: do, size: small, count: 1}
`

// TestCloudInit lets Debian's own cloud-init read what the lab tells machines, in each cloud's dialect: it finds its
// datasource by itself, and applies the engine's user data without an error.
func TestCloudInit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: machines hang on a lab's wires, which are Linux namespaces")
	}
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("needs dnsmasq: apt-get install dnsmasq-base, or run 'make test-stock'")
	}
	tree := filepath.Join(cached(t, "stock"), "tree")
	if _, err := os.Stat(filepath.Join(tree, "usr/bin/cloud-init")); err != nil {
		t.Skip("needs a Debian tree: run 'scripts/stock.sh tree', or 'make test-stock'")
	}
	s := &scene{t: t, dir: workDir(t), began: time.Now()}
	log := s.log()
	started := make(chan *guest, 4)
	// Machines get as far as cloud-init gets: the engine waits for their sshd until the test ends, and uploads nothing.
	l := s.lab(world.Instant, emptyBundle(t), log, func(cloud string, namespace func(string) string) lab.Runtime {
		g := &guests{tree: tree, dir: s.dir, cloud: cloud, namespace: namespace, guests: map[string]*guest{}, started: started}
		t.Cleanup(func() { g.close(t) })
		return g
	})
	s.startEngine("/nonexistent", l, log)
	if _, err := s.engine.Apply(t.Context(), []byte(cloudInitFile), "test"); err != nil {
		t.Fatal(err)
	}
	for range expected {
		select {
		case u := <-started:
			t.Run(u.cloud, func(t *testing.T) { u.check(t, expected[u.cloud]) })
		case <-time.After(time.Minute):
			t.Fatal("a machine is missing after a minute")
		}
	}
}

// expectation is what cloud-init makes of a machine.
type expectation struct {
	node, datasource string
	// network are lines of what ip(8) says afterwards.
	network []string
	// said is something in cloud-init's log.
	said string
	// warnings are what cloud-init may warn of, each with the reason.
	warnings map[string]string
}

var expected = map[string]expectation{
	"aws": {node: "init-a-1", datasource: "DataSourceEc2Local", network: []string{
		`eth0 +inet 10\.65\.0\.10/20 `, `eth0@.* mtu 9001 `, `default via 10\.65\.0\.1 dev eth0`,
	}},
	"gcp": {node: "init-gcp-cp-1", datasource: "DataSourceGCELocal", network: []string{
		`eth0 +inet 10\.64\.0\.10/32 `, `eth0@.* mtu 1460 `, `default via 10\.64\.0\.1 dev eth0`, `10\.64\.0\.1 dev eth0 scope link`,
	}},
	"azure": {node: "init-b-1", datasource: "DataSourceAzure [seed=/dev/sr0]", said: "Reported ready to Azure fabric", network: []string{
		`eth0 +inet 10\.66\.0\.10/16 `, `eth0@.* mtu 1500 `, `default via 10\.66\.0\.1 dev eth0`,
	}, warnings: map[string]string{
		"Failed to get boot telemetry: distro not using systemd, skipping boot telemetry": "the machine has no systemd, whose times of starting are meant",
	}},
	"digitalocean": {node: "init-c-1", datasource: "DataSourceDigitalOcean", said: "assigned ip4LL address", network: []string{
		`eth0 +inet 198\.1[89]\.\d+\.\d+/24 `, `eth0 +inet 10\.10\.0\.\d+/16 `, `eth1 +inet 10\.67\.0\.\d+/20 `, `eth0@.* mtu 1500 `, `eth1@.* mtu 1500 `,
		`default via 198\.1[89]\.\d+\.1 dev eth0`,
	}},
}

// check waits for cloud-init's end, and looks at what it did.
func (u *guest) check(t *testing.T, want expectation) {
	select {
	case <-u.ended:
	case <-time.After(4 * time.Minute):
		t.Fatal("cloud-init is not done after four minutes")
	}
	t.Logf("cloud-init in %s:\n%s", u.id, u.out.String())
	file := func(path string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(u.folder, "upper", path))
		if err != nil {
			t.Errorf("cloud-init left no %s", path)
		}
		return data
	}
	if strings.Contains(u.out.String(), "exit code") || strings.Contains(u.out.String(), "the machine:") {
		t.Errorf("a stage failed; the end of its log:\n%s", file("var/log/cloud-init-output.log"))
	}
	var result struct {
		V1 struct {
			Datasource string
			Errors     []string
		}
	}
	if err := json.Unmarshal(file("var/lib/cloud/data/result.json"), &result); err != nil || !strings.HasPrefix(result.V1.Datasource, want.datasource) || len(result.V1.Errors) > 0 {
		t.Errorf("result.json: %+v, %v; want %s without an error", result, err, want.datasource)
	}
	log := file("var/log/cloud-init.log")
	if !bytes.Contains(log, []byte(want.said)) {
		t.Errorf("cloud-init's log has no %q", want.said)
	}
	for line := range bytes.Lines(log) {
		if unexpected(line) && !slices.ContainsFunc(slices.Collect(maps.Keys(want.warnings)), func(w string) bool { return bytes.Contains(line, []byte(w)) }) {
			t.Errorf("cloud-init's log: %s", line)
		}
	}
	network := file("var/network")
	for _, line := range want.network {
		if !regexp.MustCompile("(?m)" + line).Match(network) {
			t.Errorf("the network has nothing like %q:\n%s", line, network)
		}
	}
	if got := strings.TrimSpace(string(file("var/hostname"))); got != want.node {
		t.Errorf("host name %q, want %q", got, want.node)
	}
	host, err := ssh.ParsePrivateKey(file("etc/ssh/ssh_host_ed25519_key"))
	public, _, _, _, perr := ssh.ParseAuthorizedKey(file("etc/ssh/ssh_host_ed25519_key.pub"))
	if err != nil || perr != nil || !bytes.Equal(host.PublicKey().Marshal(), public.Marshal()) {
		t.Errorf("the host key: %v, %v", err, perr)
	}
	if _, _, options, _, err := ssh.ParseAuthorizedKey(file("root/.ssh/authorized_keys")); err != nil || len(options) > 0 {
		t.Errorf("root's authorized key: %v, options %q; want one without", err, options)
	}
}

// unexpected says of a line of cloud-init's log whether it tells of something wrong.
func unexpected(line []byte) bool {
	return bytes.Contains(line, []byte("[WARNING]")) || bytes.Contains(line, []byte("[ERROR]")) || bytes.Contains(line, []byte("[CRITICAL]"))
}
