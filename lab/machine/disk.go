//go:build linux

package machine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skyweld/skyweld/lab/world"
)

// A machine's disk is a folder that becomes its root: everything but /usr and the kernel's own file systems. What is
// written here once is the machine's from then on; what depends on the host's /usr is brought up to date at each start. It
// is written from inside the machine's root, where links that the machine made can't lead out of it.

// mountPoints are what a disk needs before it becomes the root. The machine can't replace them while they are in use.
var mountPoints = []string{"usr", "proc", "sys", "dev", "run", "tmp"}

var folders = []struct {
	path string
	mode fs.FileMode
}{
	{"etc", 0o755}, {"var", 0o755}, {"var/lib", 0o755}, {"var/log", 0o755}, {"var/cache", 0o755}, {"var/spool", 0o755}, {"var/tmp", 0o777},
	{"opt", 0o755}, {"home", 0o755}, {"srv", 0o755}, {"mnt", 0o755}, {"media", 0o755}, {"boot", 0o755}, {"root", 0o700},
	{"etc/service", 0o755}, {"etc/ssh", 0o755}, {"etc/ssl/certs", 0o755}, {"etc/alternatives", 0o755}, {"etc/pam.d", 0o755}, {"etc/sudoers.d", 0o750}, {"etc/skel", 0o755},
}

var links = map[string]string{
	"var/run": "/run", "var/lock": "/run/lock", "etc/mtab": "/proc/self/mounts", "etc/os-release": "../usr/lib/os-release",
	"etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
	// Where OpenSSL looks when the folder of certificates has no hashed names.
	"etc/ssl/cert.pem": "certs/ca-certificates.crt",
}

// fromHost are the parts of the host's /etc that belong to its /usr. None of them holds accounts, keys or passwords.
var fromHost = []string{
	"ca-certificates.conf", "ssl/certs/ca-certificates.crt", "ssl/openssl.cnf", "ld.so.conf", "ld.so.conf.d",
	"protocols", "services", "ethertypes", "iproute2", "debian_version", "bash.bashrc",
}

// files are the machine's own beginnings. No account has a password, and none of the host's accounts is there.
var files = map[string]string{
	"etc/passwd": `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
	"etc/group": `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
sudo:x:27:
shadow:x:42:
users:x:100:
nogroup:x:65534:
`,
	"etc/nsswitch.conf": `passwd:    files
group:     files
shadow:    files
hosts:     files dns
networks:  files
protocols: files
services:  files
`,
	"etc/hosts": `127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
`,
	"etc/environment": `PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
`,
	"etc/profile": `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PS1='\u@\h:\w\$ '
umask 022
`,
	"etc/shells": `/bin/sh
/bin/bash
`,
	"etc/timezone": "Etc/UTC\n",
	"etc/sudoers": `Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
`,
	"etc/pam.d/other": `auth    sufficient pam_rootok.so
auth    required pam_deny.so
account required pam_permit.so
session required pam_permit.so
`,
}

// fillDisk brings the disk at root into the state of a fresh machine, as far as it isn't the machine's own already.
// hostEtc is where the host's /etc is.
func fillDisk(root, hostEtc string, m world.Machine) error {
	for _, f := range folders {
		path := filepath.Join(root, f.path)
		if err := os.MkdirAll(path, f.mode); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "var/tmp"), 0o777|fs.ModeSticky); err != nil {
		return err
	}
	for name, target := range links {
		if err := link(target, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if exists(filepath.Join("/usr", name)) {
			if err := link("usr/"+name, filepath.Join(root, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range fromHost {
		if err := copyMissing(filepath.Join(hostEtc, name), filepath.Join(root, "etc", name)); err != nil {
			return err
		}
	}
	if err := replaceFrom(filepath.Join(hostEtc, "ld.so.cache"), filepath.Join(root, "etc/ld.so.cache")); err != nil {
		return err
	}
	for name, text := range files {
		if err := create(filepath.Join(root, name), text); err != nil {
			return err
		}
	}
	return makeIdentity(root, m)
}

// makeIdentity writes what tells one machine from another. Names come from metadata later.
func makeIdentity(root string, m world.Machine) error {
	if err := create(filepath.Join(root, "etc/machine-id"), hex.EncodeToString(random(16))+"\n"); err != nil {
		return err
	}
	short, _, _ := strings.Cut(m.Hostname, ".")
	if short == "" {
		short = "localhost"
	}
	if err := create(filepath.Join(root, "etc/hostname"), short+"\n"); err != nil {
		return err
	}
	if m.Datasource == "GCE" {
		// Compute Engine's own images have these lines.
		hosts := filepath.Join(root, "etc/hosts")
		text, err := os.ReadFile(hosts)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "metadata.google.internal") {
			text = append(text, "169.254.169.254 metadata.google.internal metadata\n"...)
			if err := os.WriteFile(hosts, text, 0o644); err != nil {
				return err
			}
		}
	}
	// As a DHCP client would, at every start: the clouds' resolver is beside their metadata service.
	resolv := filepath.Join(root, "etc/resolv.conf")
	os.Remove(resolv)
	return os.WriteFile(resolv, []byte("nameserver 169.254.169.254\noptions timeout:1 attempts:1\n"), 0o644)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // Never fails; see crypto/rand.
	return b
}

// create writes a file unless it is there.
func create(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func link(target, path string) error {
	if err := os.Symlink(target, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// copyMissing copies regular files, links and folders from one tree to another, keeping what is there already. What only
// root may read on the host stays on the host.
func copyMissing(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(at, 0o755)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return link(target, at)
		case d.Type().IsRegular() && info.Mode().Perm()&0o004 != 0 && !exists(at):
			return replaceFrom(path, at)
		}
		return nil
	})
}

// replaceFrom copies one file; one that isn't there is passed over.
func replaceFrom(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return os.Rename(to+".new", to)
}
