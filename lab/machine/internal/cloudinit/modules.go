//go:build linux

package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/machine/cloudconfig"
)

// script runs commands as one shell script, so that a cd or a variable of one is there for the next.
func (r *run) script(name string, commands []cloudconfig.Command) error {
	if len(commands) == 0 {
		return nil
	}
	return r.execute(name, cloudconfig.Script(commands))
}

func (r *run) userScript() error {
	if len(r.user.Script) == 0 {
		return nil
	}
	return r.execute("part-001", r.user.Script)
}

func (r *run) execute(name string, text []byte) error {
	dir := r.path("var/lib/cloud/instances/" + r.InstanceID + "/scripts")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o700); err != nil {
		return err
	}
	out, done := r.output()
	defer done()
	cmd := exec.Command(path)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, r.root
	cmd.Env = append(os.Environ(), "INSTANCE_ID="+r.InstanceID)
	// What the script leaves in the background keeps the output open and isn't waited for.
	cmd.WaitDelay = waitDelay
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	return nil
}

func (r *run) writeFiles(deferred bool) error {
	var errs []error
	for _, f := range r.user.Files {
		if f.Defer != deferred {
			continue
		}
		if err := r.writeFile(f); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *run) writeFile(f cloudconfig.File) error {
	path := r.path(f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	uid, gid, err := r.owner(f.Owner)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if f.Append {
		flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	}
	// Made for root alone: nobody may open what is to be secret before its mode is set.
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Content)
	return errors.Join(err, file.Chown(uid, gid), file.Chmod(fileMode(f.Mode)), file.Close())
}

func fileMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits).Perm()
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// owner turns "user:group" into ids; a part that is missing or -1 stays as it is.
func (r *run) owner(owner string) (uid, gid int, err error) {
	user, group, _ := strings.Cut(owner, ":")
	uid, gid = -1, -1
	if user != "" && user != "-1" {
		if uid, err = strconv.Atoi(user); err != nil {
			a, err := r.db.Lookup(user)
			if err != nil {
				return 0, 0, err
			}
			uid = a.UID
		}
	}
	if group != "" && group != "-1" {
		if gid, err = strconv.Atoi(group); err != nil {
			if gid, err = r.db.Group(group); err != nil {
				return 0, 0, err
			}
		}
	}
	return uid, gid, nil
}

// names returns the host name and the full name that the machine is to have.
func (r *run) names() (short, full string) {
	full = r.user.FQDN
	short = r.user.Hostname
	if short == "" {
		short = full
	}
	if short == "" && cloudconfig.ValidHostname(strings.TrimSpace(r.Hostname)) {
		short = strings.TrimSpace(r.Hostname)
	}
	if full == "" {
		full = short
	}
	short, _, _ = strings.Cut(short, ".")
	return short, full
}

// hostname sets the name at each boot, but leaves one that somebody wrote into /etc/hostname meanwhile.
func (r *run) hostname() error {
	file, memory := r.path("etc/hostname"), r.path("var/lib/cloud/data/previous-hostname")
	now := firstLine(file)
	name, _ := r.names()
	before, err := os.ReadFile(memory)
	changed := err == nil && strings.TrimSpace(string(before)) != now
	if name == "" || r.user.PreserveHostname || changed {
		name = now
	} else {
		if name != now {
			if err := os.WriteFile(file, []byte(name+"\n"), 0o644); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(filepath.Dir(memory), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(memory, []byte(name+"\n"), 0o644); err != nil {
			return err
		}
	}
	if name == "" {
		return nil
	}
	if err := r.setHostname(name); err != nil {
		return fmt.Errorf("set host name %s: %w", name, err)
	}
	return nil
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// etcHosts keeps the machine's own name in the hosts file, at Debian's address for it, when the user data wants that.
func (r *run) etcHosts() error {
	if r.user.ManageEtcHosts == "" {
		return nil
	}
	path := r.path("etc/hosts")
	short, full := r.names()
	if short == "" {
		short = firstLine(r.path("etc/hostname"))
		full = short
	}
	own := "127.0.1.1 " + full
	if short != full {
		own += " " + short
	}
	var out bytes.Buffer
	if r.user.ManageEtcHosts == "true" {
		fmt.Fprintf(&out, "# This file is written anew at each boot (manage_etc_hosts).\n%s\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", own)
		if r.Source == "DataSourceGCELocal" {
			out.WriteString("169.254.169.254 metadata.google.internal metadata\n")
		}
	} else {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 0 || f[0] != "127.0.1.1" {
				out.WriteString(strings.TrimRight(line, "\n") + "\n")
			}
		}
		out.WriteString(own + "\n")
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
