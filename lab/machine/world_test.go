//go:build linux

package machine

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

func TestMain(m *testing.M) {
	Main()
	if text := os.Getenv(childLabEnv); text != "" {
		runChildLab(text)
	}
	os.Exit(m.Run())
}

const (
	outsideIP = "10.99.0.1"
	machineIP = "10.99.0.2"
)

// site is a network namespace for one machine, and one around it with a metadata service.
type site struct {
	t               *testing.T
	outside, inside string // names of network namespaces
	runtime         *Runtime
	dir             string
	lab             string

	clientKey ssh.Signer
	hostKey   ssh.Signer // pinned

	mu   sync.Mutex
	meta map[string]string // path → body
	hits map[string]int
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes namespaces, mounts and control groups")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2: lays a wire between two network namespaces")
	}
}

func mustRun(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// newSite lays the wire, serves metadata and starts a runtime.
func newSite(t *testing.T) *site {
	t.Helper()
	needRoot(t)
	// The disk must not be a tmpfs, which /tmp may be.
	base := os.Getenv("SKYWELD_TEST_DISK")
	if base == "" {
		base = "/var/tmp"
	}
	dir, err := os.MkdirTemp(base, "skyweld-machine-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tag := filepath.Base(dir)
	tag = "swt" + tag[len(tag)-6:]
	s := &site{
		t: t, dir: filepath.Join(dir, "machines"), lab: tag, outside: tag + "-out", inside: tag + "-in",
		clientKey: newKey(t), hostKey: newKey(t), hits: map[string]int{},
	}
	for _, ns := range []string{s.outside, s.inside} {
		mustRun(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	}
	mustRun(t, "ip", "link", "add", "m0", "netns", s.outside, "type", "veth", "peer", "name", "eth0", "netns", s.inside)
	mustRun(t, "ip", "-n", s.outside, "link", "set", "lo", "up")
	mustRun(t, "ip", "-n", s.outside, "addr", "add", outsideIP+"/24", "dev", "m0")
	mustRun(t, "ip", "-n", s.outside, "addr", "add", "169.254.169.254/32", "dev", "lo")
	mustRun(t, "ip", "-n", s.outside, "link", "set", "m0", "up")
	mustRun(t, "ip", "-n", s.inside, "addr", "add", machineIP+"/24", "dev", "eth0")
	mustRun(t, "ip", "-n", s.inside, "link", "set", "eth0", "up")
	mustRun(t, "ip", "-n", s.inside, "route", "add", "default", "via", outsideIP)
	s.meta = map[string]string{
		"/latest/api/token":                 "a-token",
		"/latest/meta-data/instance-id":     "i-0123456789",
		"/latest/meta-data/local-hostname":  "ip-10-99-0-2.ec2.internal",
		"/latest/user-data":                 s.userData(""),
		"/latest/meta-data/public-keys/":    "",
		"/computeMetadata/v1/instance/id":   "4711",
		"/computeMetadata/v1/instance/zone": "projects/1/zones/us-east4-a",
	}
	s.serveMetadata()
	s.runtime = s.newRuntime()
	return s
}

func (s *site) newRuntime() *Runtime {
	s.t.Helper()
	r, err := New(Config{
		Name: s.lab, Dir: s.dir, Namespace: func(string) string { return "/run/netns/" + s.inside },
		Logger: slog.New(slog.NewTextHandler(logWriter{s.t}, nil)),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			s.t.Errorf("close: %v", err)
		}
	})
	return r
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{signer, private}
}

type keyPair struct {
	ssh.Signer
	private ed25519.PrivateKey
}

func privatePEM(t *testing.T, key ssh.Signer) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key.(keyPair).private, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func authorized(key ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
}

// userData lets root in with the pinned host key; more are further lines of YAML.
func (s *site) userData(more string) string {
	indented := strings.ReplaceAll(strings.TrimSpace(privatePEM(s.t, s.hostKey)), "\n", "\n    ")
	return fmt.Sprintf("#cloud-config\ndisable_root: false\nssh_keys:\n  ed25519_private: |\n    %s\nssh_authorized_keys:\n- %s\n%s",
		indented, authorized(s.clientKey), more)
}

func (s *site) set(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meta[path] = body
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	body, ok := s.meta[r.URL.Path]
	s.hits[r.Method+" "+r.URL.Path]++
	s.mu.Unlock()
	google := strings.HasPrefix(r.URL.Path, "/computeMetadata/")
	switch {
	case google && (r.Header.Get("Metadata-Flavor") != "Google" || r.Host != "metadata.google.internal"):
		http.Error(w, "missing Metadata-Flavor", http.StatusForbidden)
	case r.URL.Path == "/latest/api/token" && (r.Method != http.MethodPut || r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == ""):
		http.Error(w, "bad token request", http.StatusBadRequest)
	case !google && r.URL.Path != "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token") != "a-token":
		http.Error(w, "no token", http.StatusUnauthorized)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Write([]byte(body))
	}
}

// within runs do on a thread in a network namespace. The thread is given up afterwards.
func within[T any](ns string, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	out := make(chan result)
	go func() {
		runtime.LockOSThread()
		var r result
		var f *os.File
		if f, r.err = os.Open("/run/netns/" + ns); r.err == nil {
			defer f.Close()
			if r.err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); r.err == nil {
				r.value, r.err = do()
			}
		}
		out <- r
	}()
	r := <-out
	return r.value, r.err
}

func (s *site) serveMetadata() {
	s.t.Helper()
	l, err := within(s.outside, func() (net.Listener, error) { return net.Listen("tcp", "169.254.169.254:80") })
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	go server.Serve(l)
	s.t.Cleanup(func() { server.Close() })
}

func (s *site) dial(address string) (net.Conn, error) {
	return within(s.outside, func() (net.Conn, error) { return net.DialTimeout("tcp", address, time.Second) })
}

const testID = "i-0123456789"

func (s *site) spec() world.Machine {
	return world.Machine{ID: testID, Hostname: "from-spec", Datasource: "Ec2", VCPUs: 2, MemoryMiB: 2048}
}

func (s *site) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begin := time.Now()
	if err := s.runtime.StartMachine(ctx, s.spec()); err != nil {
		s.t.Fatalf("%v\n%s", err, s.runtime.Console(testID))
	}
	s.t.Logf("started after %v", time.Since(begin))
}

// login opens an SSH connection, waiting for the machine to answer, and accepts only the pinned host key.
func (s *site) login(user string) *ssh.Client {
	s.t.Helper()
	begin := time.Now()
	c, err := s.tryLogin(user, s.hostKey.PublicKey())
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.runtime.Console(testID))
	}
	s.t.Logf("logged in after %v", time.Since(begin))
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *site) tryLogin(user string, hostKey ssh.PublicKey) (*ssh.Client, error) {
	var conn net.Conn
	err := eventually(func() (err error) {
		conn, err = s.dial(machineIP + ":22")
		return err
	})
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, "machine", &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(s.clientKey)},
		HostKeyCallback: ssh.FixedHostKey(hostKey), Timeout: 10 * time.Second,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// patience is how long a busy host may take over anything.
const patience = 45 * time.Second

// eventually tries until it works or the time is up. Machines are real: there is nothing to wait on but their state.
func eventually(try func() error) error {
	end := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-end:
			return err
		case <-tick.C:
		}
	}
}

// exe runs a command and returns what it wrote.
func exe(c *ssh.Client, command string) (string, error) {
	session, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	return strings.TrimRight(string(out), "\n"), err
}

func (s *site) must(c *ssh.Client, command string) string {
	s.t.Helper()
	out, err := exe(c, command)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return out
}

// waitBooted waits for the last stage of the boot.
func (s *site) waitBooted(c *ssh.Client) string {
	s.t.Helper()
	var out string
	err := eventually(func() (err error) {
		out, err = exe(c, "cat /run/cloud-init/result.json")
		return err
	})
	if err != nil {
		s.t.Fatalf("no result: %v\n%s", err, s.runtime.Console(testID))
	}
	return out
}
