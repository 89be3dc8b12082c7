//go:build linux

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/lab/world"
)

func TestBoot(t *testing.T) {
	s := newSite(t)
	if got := s.runtime.MachineState(testID); got != world.Stopped {
		t.Errorf("a machine that was never started is %s", got)
	}
	s.start()
	s.start() // A machine that runs stays as it is.
	c := s.login("root")
	if got := s.runtime.MachineState(testID); got != world.Running {
		t.Errorf("the machine is %s", got)
	}
	if out := s.waitBooted(c); !strings.Contains(out, `"errors": []`) || !strings.Contains(out, `"DataSourceEc2Local"`) {
		t.Errorf("result:\n%s", out)
	}
	for command, want := range map[string]string{
		// Whoever was started by glibc's posix_spawn, as make starts its commands, ignores glibc's own signals 32 and 33.
		"grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -f2 | sed 's/0000000[01][08]0000000/0000000000000000/' | uniq": "0000000000000000",
		"hostname":                                          "ip-10-99-0-2",
		"cat /etc/resolv.conf":                              "nameserver 169.254.169.254\noptions timeout:1 attempts:1",
		"cat /proc/1/comm":                                  "init",
		"cat /var/lib/cloud/data/instance-id":               testID,
		"readlink /var/run":                                 "/run",
		"stat -f -c %T /run":                                "tmpfs",
		"ls /etc/shadow /dev/fuse /dev/kvm 2>/dev/null":     "",
		"cat /etc/ssh/*_key.pub | wc -l":                    "1",
		"getent passwd | grep -vc '^[a-z]*:x:'":             "0",
		"touch /usr/x 2>/dev/null || echo no":               "no",
		"touch /usr/local/bin/x /usr/lib/modules/x && echo": "",
		"stat -c %t:%T /dev/kmsg":                           "1:3",
		"findmnt -no PROPAGATION /":                         "shared",
		"ip -o link show lo | grep -c LOWER_UP":             "1",
		"cat /proc/self/cgroup | grep -vc ':/'":             "0",
		"ps -eo comm= | grep -c sshd":                       "1",
	} {
		if out, _ := exe(c, command); out != want {
			t.Errorf("%s: %q, want %q", command, out, want)
		}
	}
	if release := s.must(c, ". /etc/os-release; echo $ID"); release == "" {
		t.Error("no os-release")
	}
	bounding := s.must(c, "grep CapBnd /proc/self/status | cut -f2")
	mask, err := strconv.ParseUint(bounding, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dropped {
		if mask&(1<<d) != 0 {
			t.Errorf("capability %d is there", d)
		}
	}
	if out := s.runtime.Console(testID); !bytes.Contains(out, []byte("BEGIN SSH HOST KEY KEYS")) {
		t.Errorf("console:\n%s", out)
	}
	if _, err := s.tryLogin("root", newKey(t).PublicKey()); err == nil {
		t.Error("logged in although another host key was pinned")
	}
}

func TestSize(t *testing.T) {
	s := newSite(t)
	s.start()
	c := s.login("root")
	if s.runtime.host.Unified() {
		if got := s.must(c, "cat /sys/fs/cgroup/memory.max"); got != fmt.Sprint(2048<<20) {
			t.Errorf("memory limit %s", got)
		}
		return
	}
	for file, want := range map[string]string{"memory/memory.limit_in_bytes": fmt.Sprint(2048 << 20), "cpu/cpu.shares": "2048"} {
		if got := s.must(c, "cat /sys/fs/cgroup/"+file); got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	// A disk's device node can be made, as in any machine, but not opened.
	out, err := exe(c, "mknod /dev/disk b 7 0 && head -c1 /dev/disk")
	if err == nil || !strings.Contains(out, "not permitted") {
		t.Errorf("a disk can be opened: %q, %v", out, err)
	}
}

func TestGoogleDialect(t *testing.T) {
	s := newSite(t)
	s.set("/computeMetadata/v1/instance/hostname", "n1.us-east4-a.c.p.internal")
	s.set("/computeMetadata/v1/instance/attributes/", fmt.Sprintf(`{"user-data":%q,"ssh-keys":"ops:%s"}`, s.userData(""), authorized(s.clientKey)))
	spec := s.spec()
	spec.Datasource = "GCE"
	if err := s.runtime.StartMachine(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	c := s.login("root")
	if got := s.must(c, "hostname; getent hosts metadata.google.internal | cut -d' ' -f1; cat /etc/sudoers.d/90-cloud-init-ops"); got != "n1\n169.254.169.254\nops ALL=(ALL) NOPASSWD:ALL" {
		t.Errorf("got %q", got)
	}
	if out := s.waitBooted(c); !strings.Contains(out, `"errors": []`) || !strings.Contains(out, "DataSourceGCELocal") {
		t.Errorf("result:\n%s", out)
	}
	if got := s.must(s.login("ops"), "id -un; pwd"); got != "ops\n/home/ops" {
		t.Errorf("as ops: %q", got)
	}
}

func TestStopAndStartKeepTheDisk(t *testing.T) {
	s := newSite(t)
	s.set("/latest/user-data", s.userData("bootcmd: [echo >> /root/boots]\nruncmd: [echo >> /root/runs]\n"))
	s.start()
	c := s.login("root")
	s.waitBooted(c)
	const places = "/etc/kept /var/kept /opt/kept /root/kept /home/kept /usr/local/kept /srv/kept"
	s.must(c, "touch "+places+" /run/gone /tmp/gone; sleep 1000 >/dev/null 2>&1 & cat /etc/machine-id > /root/id")
	if err := s.runtime.StopMachine(context.Background(), testID); err != nil {
		t.Fatal(err)
	}
	if got := s.runtime.MachineState(testID); got != world.Stopped {
		t.Errorf("after the stop it is %s", got)
	}
	if err := s.runtime.StopMachine(context.Background(), testID); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	s.start()
	c = s.login("root")
	s.waitBooted(c)
	s.must(c, "ls "+places)
	for command, want := range map[string]string{
		"ls /run/gone /tmp/gone 2>/dev/null": "", "pgrep -c sleep": "0", "wc -l < /root/boots": "2", "wc -l < /root/runs": "1",
		"cmp /etc/machine-id /root/id && echo same": "same",
	} {
		if out, _ := exe(c, command); out != want {
			t.Errorf("%s: %q, want %q", command, out, want)
		}
	}
}

func TestRefusedUserDataStillHasSSH(t *testing.T) {
	s := newSite(t)
	s.set("/latest/user-data", "#cloud-config\nswap: {}\n")
	s.set("/latest/meta-data/public-keys/", "0=k")
	s.set("/latest/meta-data/public-keys/0/openssh-key", authorized(s.clientKey))
	s.start()
	var c *ssh.Client
	err := eventually(func() (err error) {
		text, err := os.ReadFile(filepath.Join(s.dir, testID, "disk/etc/ssh/ssh_host_ed25519_key.pub"))
		if err != nil {
			return err
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			return err
		}
		c, err = s.tryLogin("ubuntu", key)
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.runtime.Console(testID))
	}
	defer c.Close()
	if out := s.waitBooted(c); !strings.Contains(out, "a lab machine doesn't know this key") {
		t.Errorf("result:\n%s", out)
	}
	if out := s.runtime.Console(testID); !bytes.Contains(out, []byte(`line 2: "swap"`)) {
		t.Errorf("console:\n%s", out)
	}
}

func TestCommands(t *testing.T) {
	s := newSite(t)
	s.start()
	c := s.login("root")
	var exit *ssh.ExitError
	if _, err := exe(c, "exit 7"); !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("exit 7: %v", err)
	}
	if _, err := exe(c, "kill -TERM $$"); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("a command that a signal ends: %v", err)
	}
	if out := s.must(c, "echo $HOME $USER $SHELL; echo ${SSH_CONNECTION##* }; pwd"); out != "/root root /bin/bash\n22\n/root" {
		t.Errorf("environment: %q", out)
	}

	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Setenv("LC_TEST", "here"); err != nil {
		t.Error(err)
	}
	if err := session.Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("any variable is taken")
	}
	session.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	if out, err := session.Output("echo $LC_TEST; wc -c"); err != nil || string(out) != "here\n1048576\n" {
		t.Errorf("with input: %q, %v", out, err)
	}

	session, err = c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.05; done"); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 5 || string(rest) != "caught\n" {
		t.Errorf("after a signal: %q, %v", rest, err)
	}
}

func TestTerminal(t *testing.T) {
	s := newSite(t)
	s.start()
	session, err := s.login("root").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm", 30, 90, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out safeBuffer
	session.Stdout = &out
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	say := func(command, want string) {
		t.Helper()
		fmt.Fprintln(in, command)
		if err := eventually(func() error {
			if !strings.Contains(out.String(), want) {
				return fmt.Errorf("no %q in %q", want, out.String())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	say("echo size: $(stty size) $TERM $(shopt -q login_shell && echo login)", "size: 30 90 xterm login")
	if err := session.WindowChange(40, 100); err != nil {
		t.Fatal(err)
	}
	// What is typed may overtake the new size on its way to the program.
	say("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.05; done; echo re''sized", "resized")
	say("tty", "/dev/pts/")
	fmt.Fprintln(in, "exit 3")
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("the shell's end: %v", err)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestFilesAndForwarding(t *testing.T) {
	s := newSite(t)
	s.start()
	root := s.login("root")
	s.waitBooted(root)
	s.must(root, "mkdir -p ~ubuntu/.ssh && cp ~/.ssh/authorized_keys ~ubuntu/.ssh/ && chown -R ubuntu: ~ubuntu/.ssh")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for user, owner := range map[string]string{"root": "root root", "ubuntu": "ubuntu ubuntu"} {
		files, err := sftp.NewClient(s.login(user))
		if err != nil {
			t.Fatal(err)
		}
		f, err := files.Create("up-" + user) // In the home folder.
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(big); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got := s.must(root, "stat -c '%U %G %s' ~"+user+"/up-"+user); got != owner+" 1048576" {
			t.Errorf("%s wrote %s", user, got)
		}
		if _, err := files.Open("/root/.ssh/authorized_keys"); (err == nil) != (user == "root") {
			t.Errorf("%s opens root's file: %v", user, err)
		}
		files.Close()
	}

	// A connection to the machine's own SSH port through it.
	conn, err := root.Dial("tcp", "127.0.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	banner := make([]byte, 8)
	if _, err := io.ReadFull(conn, banner); err != nil || string(banner) != "SSH-2.0-" {
		t.Errorf("through the machine: %q, %v", banner, err)
	}
	if _, err := root.Dial("tcp", net.JoinHostPort("127.0.0.1", "1")); err == nil {
		t.Error("a closed port is open")
	}
}

func TestLoginAsRootIsRefusedByDefault(t *testing.T) {
	s := newSite(t)
	s.set("/latest/user-data", strings.Replace(s.userData(""), "disable_root: false\n", "", 1))
	s.start()
	if got := s.must(s.login("ubuntu"), "id -un; id -Gn"); got != "ubuntu\nubuntu adm sudo" {
		t.Errorf("as ubuntu: %q", got)
	}
	session, err := s.login("root").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("id"); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 33)
	if _, err := io.ReadFull(out, line); err != nil || string(line) != `Please login as the user "ubuntu"` {
		t.Errorf("as root: %q, %v", line, err)
	}
	if _, err := s.login("root").Dial("tcp", "127.0.0.1:22"); err == nil {
		t.Error("root's key forwards although it must not")
	}
}

func TestHostKeyIsReplacedOnHangup(t *testing.T) {
	s := newSite(t)
	s.start()
	c := s.login("root")
	next := newKey(t)
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	session.Stdin = strings.NewReader(privatePEM(t, next))
	if err := session.Run("cat > /etc/ssh/ssh_host_ed25519_key"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.tryLogin("root", s.hostKey.PublicKey()); err != nil {
		t.Errorf("the key changed before the hangup: %v", err)
	} else {
		c.Close()
	}
	s.must(c, "kill -HUP $(cat /run/sshd.pid)")
	err = eventually(func() error {
		c, err := s.tryLogin("root", next.PublicKey())
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := s.must(c, "echo still here"); got != "still here" {
		t.Errorf("the old connection says %q", got)
	}
	s.must(c, "echo broken > /etc/ssh/ssh_host_ed25519_key; kill -HUP $(cat /run/sshd.pid)")
	if c, err := s.tryLogin("root", next.PublicKey()); err != nil {
		t.Errorf("a broken key file ended SSH: %v", err)
	} else {
		c.Close()
	}
}
