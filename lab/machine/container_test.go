//go:build linux

package machine

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// upload copies a file of the bundle into the machine.
func upload(t *testing.T, c *ssh.Client, from, to string) {
	t.Helper()
	files, err := sftp.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := files.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestContainers starts real containers by containerd and runc, which is what machines are for.
func TestContainers(t *testing.T) {
	needRoot(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("needs a built bundle: %v", err)
	}
	bundle := filepath.Join(cache, "skyweld", "bundle", "latest")
	if !exists(filepath.Join(bundle, "manifest.json")) {
		t.Skip("needs a built bundle: run make bundle")
	}
	s := newSite(t)
	s.start()
	c := s.login("root")
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc"} {
		upload(t, c, filepath.Join(bundle, name), "/usr/local/bin/"+name)
	}
	upload(t, c, filepath.Join(bundle, "agnhost.tar"), "/opt/agnhost.tar")
	s.must(c, "mkdir -p /etc/service/containerd && cd /etc/service/containerd && printf '#!/bin/sh\\nexec containerd\\n' > run.new && chmod +x run.new && mv run.new run")
	if err := eventually(func() error {
		_, err := exe(c, "ctr version")
		return err
	}); err != nil {
		t.Fatalf("containerd: %v\n%s", err, s.must(c, "cat /var/log/containerd.log"))
	}
	s.must(c, "ctr image import --local /opt/agnhost.tar")
	image := s.must(c, "ctr image ls -q 2>/dev/null | head -n 1")
	for name, flags := range map[string]string{"plain": "", "privileged": "--privileged"} {
		out, err := exe(c, "ctr run --rm "+flags+" "+image+" "+name+" sh -c 'echo $((6 * 7)); readlink /proc/self/ns/pid | cut -c1-3' 2>/root/err || cat /root/err")
		if err != nil || out != "42\npid" {
			t.Errorf("a %s container: %q, %v", name, out, err)
		}
	}
	// Containers survive the restart of their runtime, and end with the machine.
	s.must(c, "ctr run -d "+image+" long sleep 1000")
	before := s.must(c, "cat /etc/service/containerd/supervise/pid")
	s.must(c, "echo -n t > /etc/service/containerd/supervise/control")
	if err := eventually(func() error {
		_, err := exe(c, "test \"$(cat /etc/service/containerd/supervise/pid)\" != "+before+" && ctr task ls | grep -q RUNNING")
		return err
	}); err != nil {
		t.Errorf("after a restart of containerd: %v", err)
	}
	if err := s.runtime.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expectNoTraces()
}
