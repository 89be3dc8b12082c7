//go:build linux

package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/cgroup"
	"github.com/skyweld/skyweld/lab/world"
)

// traces returns what of the site's machines is on the host: processes in the machine's network namespace, keepers,
// control groups, mounts and records.
func (s *site) traces() []string {
	s.t.Helper()
	var found []string
	netns, err := os.Stat("/run/netns/" + s.inside)
	if err != nil {
		s.t.Fatal(err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range procs {
		environ, _ := os.ReadFile(p + "/environ")
		if own, err := os.Stat(p + "/ns/net"); (err == nil && os.SameFile(own, netns)) || strings.Contains(string(environ), s.dir+"/") {
			if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && pid != os.Getpid() {
				name, _ := os.ReadFile(p + "/comm")
				found = append(found, fmt.Sprintf("process %d %s", pid, strings.TrimSpace(string(name))))
			}
		}
	}
	host, err := cgroup.Detect()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range host.Paths(group(s.lab)) {
		if exists(path) {
			found = append(found, "control group "+path)
		}
	}
	mounts, err := mountsBelow(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range mounts {
		found = append(found, "mount "+m)
	}
	records, err := filepath.Glob(filepath.Join(s.dir, "*", "record.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	if lab := labRecordPath(s.dir); exists(lab) {
		found = append(found, lab)
	}
	return append(found, records...)
}

func (s *site) expectNoTraces() {
	s.t.Helper()
	if found := s.traces(); len(found) > 0 {
		s.t.Errorf("left on the host:\n%s", strings.Join(found, "\n"))
	}
}

func TestDestroyLeavesNothing(t *testing.T) {
	s := newSite(t)
	s.start()
	c := s.login("root")
	// What nodes have: processes in their own sessions, namespaces, mounts and control groups.
	s.must(c, `setsid sleep 1000 >/dev/null 2>&1 & setsid unshare -n -m -p -f sh -c 'mount -t tmpfs x /srv; sleep 1000' >/dev/null 2>&1 &
		mkdir -p /var/lib/x; mount -t tmpfs x /var/lib/x; chmod 0 /var/lib/x; mkdir -p /sys/fs/cgroup/*/kubepods/pod1 || true`)
	if len(s.traces()) < 5 {
		t.Errorf("the test sees too little: %q", s.traces())
	}
	for range 2 { // Destroying what isn't there is fine.
		if err := s.runtime.DestroyMachine(context.Background(), testID); err != nil {
			t.Fatal(err)
		}
		if exists(filepath.Join(s.dir, testID)) {
			t.Error("its folder is left")
		}
	}
	if err := s.runtime.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.expectNoTraces()
	if err := s.runtime.StartMachine(context.Background(), s.spec()); err == nil {
		t.Error("a closed runtime starts a machine")
	}
}

func TestMachineThatEndsByItself(t *testing.T) {
	s := newSite(t)
	s.start()
	exe(s.login("root"), "kill -TERM 1")
	err := eventually(func() error {
		if found := s.traces(); len(found) > len(s.runtime.host)+1 { // Only the lab's own group and record stay.
			return fmt.Errorf("left on the host: %q", found)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := s.runtime.MachineState(testID); got != world.Stopped {
		t.Errorf("it is %s", got)
	}
	s.start()
	s.login("root")
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	s := newSite(t)
	spec := s.spec()
	spec.ID = "../escape"
	if err := s.runtime.StartMachine(context.Background(), spec); err == nil {
		t.Error("an id with a slash is taken")
	}
	s.runtime.cfg.Namespace = func(string) string { return "/run/netns/none-of-these" }
	if err := s.runtime.StartMachine(context.Background(), s.spec()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a network namespace: %v", err)
	}
	s.runtime.cfg.Namespace = func(string) string { return os.DevNull }
	if err := s.runtime.StartMachine(context.Background(), s.spec()); err == nil || !strings.Contains(err.Error(), "enter its network namespace") {
		t.Errorf("with a file that is none: %v", err)
	}
	s.runtime.cfg.Namespace = func(string) string { return "/run/netns/" + s.inside }
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.runtime.StartMachine(ctx, s.spec()); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	if err := s.runtime.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.expectNoTraces()
}

func TestSettingsOfTheHostStay(t *testing.T) {
	s := newSite(t)
	read := func() map[string]string {
		values := map[string]string{}
		for _, name := range pretended {
			if text, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
				values[name] = strings.TrimSpace(string(text))
			}
		}
		return values
	}
	before := read()
	s.start()
	c := s.login("root")
	written := 0
	for name := range before {
		path := "/proc/sys/" + name
		if out, err := exe(c, "test ! -e "+path+" || { echo 4242 > "+path+" && cat "+path+"; }"); err != nil || (out != "4242" && out != "") {
			t.Errorf("%s inside: %q, %v", name, out, err)
		} else if out != "" {
			written++
		}
	}
	if written < 20 {
		t.Errorf("only %d settings could be written", written)
	}
	after := read()
	for name, value := range before {
		if after[name] != value {
			t.Errorf("%s was %s on the host and is %s", name, value, after[name])
		}
	}
	for command, ok := range map[string]bool{
		"echo 5 > /proc/sys/vm/dirty_ratio":              false,
		"echo h > /proc/sysrq-trigger":                   false,
		"echo 1 > /proc/sys/net/ipv4/ip_forward":         true,
		"echo 2 > /proc/sys/net/ipv4/conf/all/rp_filter": true,
		"echo 32000 > /proc/sys/kernel/shmmni":           true,
		"echo name > /proc/sys/kernel/hostname":          true,
	} {
		if _, err := exe(c, command); (err == nil) != ok {
			t.Errorf("%s: %v", command, err)
		}
	}
	if name, _ := os.Hostname(); name == "name" {
		t.Error("the host has another name")
	}
}

func TestServices(t *testing.T) {
	s := newSite(t)
	s.start()
	c := s.login("root")
	wait := func(command, want string) {
		t.Helper()
		if err := eventually(func() error {
			if out, _ := exe(c, command); out != want {
				return fmt.Errorf("%s: %q, want %q", command, out, want)
			}
			return nil
		}); err != nil {
			t.Fatalf("%v\n%s", err, s.runtime.Console(testID))
		}
	}
	install := func(name, run string) {
		t.Helper()
		s.must(c, "mkdir -p /etc/service/"+name+" && cd /etc/service/"+name+" && cat > run.new <<'E' && chmod +x run.new && mv run.new run\n#!/bin/sh\n"+run+"\nE")
	}
	tell := func(letter string) { t.Helper(); s.must(c, "echo -n "+letter+" > /etc/service/a/supervise/control") }
	pid := func() string { t.Helper(); return s.must(c, "cat /etc/service/a/supervise/pid") }

	install("a", "echo started; pwd; exec sleep 1000")
	wait("cat /etc/service/a/supervise/stat", "run")
	wait("cat /var/log/a.log", "started\n/etc/service/a")
	wait("test -s /etc/service/a/supervise/pid && echo yes", "yes")
	first := pid()
	if got := s.must(c, "cat /proc/"+first+"/comm"); got != "sleep" {
		t.Errorf("the service's process is %s", got)
	}
	tell("t")
	wait("test -s /etc/service/a/supervise/pid && test \"$(cat /etc/service/a/supervise/pid)\" != "+first+" && echo new", "new")
	wait("test -s /etc/service/a/supervise/pid && echo yes", "yes")
	second := pid()
	wait("ls -d /proc/"+first+" 2>/dev/null", "")
	tell("k")
	wait("test -n \"$(cat /etc/service/a/supervise/pid)\" && test \"$(cat /etc/service/a/supervise/pid)\" != "+second+" && echo new", "new")
	tell("d")
	wait("cat /etc/service/a/supervise/stat /etc/service/a/supervise/pid", "down")
	tell("u")
	wait("cat /etc/service/a/supervise/stat", "run")
	tell("x")
	wait("pgrep -c sleep; cat /etc/service/a/supervise/stat", "0\ndown")
	s.must(c, "rm -r /etc/service/a")

	install("c", "echo $$ >> /root/c; exit 1") // Ends at once: started again, at most once a second.
	wait("test $(wc -l < /root/c) -ge 2 && echo again", "again")
	s.must(c, "mv /etc/service/c /root/c.gone") // Moved in one step: while it flaps, its state is written again and again.
	s.must(c, "mkdir -p /etc/service/b && touch /etc/service/b/down")
	install("b", "exec sleep 1000")
	wait("cat /etc/service/b/supervise/stat", "down")
	install("a", "exec sleep 1000") // A folder made anew is supervised again.
	wait("cat /etc/service/a/supervise/stat", "run")
	s.must(c, "mv /etc/service/a /root/a.gone")
	wait("pgrep -c sleep", "0")

	// A service that ignores the request to end delays the stop by two seconds at most.
	install("stubborn", "trap '' TERM; echo ready; while :; do sleep 1; done")
	wait("cat /var/log/stubborn.log", "ready")
	begin := time.Now()
	if err := s.runtime.StopMachine(context.Background(), testID); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < stopGrace || took > stopGrace+patience {
		t.Errorf("the stop took %v", took)
	}
	s.start()
	c = s.login("root")
	wait("cat /etc/service/stubborn/supervise/stat /etc/service/b/supervise/stat", "run\ndown")
}

// TestLabThatIsKilled needs another process to be the lab: this test program, started again.
func TestLabThatIsKilled(t *testing.T) {
	for name, freezeKeeper := range map[string]bool{"machines die with it": false, "machines survive it": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if err := s.runtime.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(childLab{Lab: s.lab, Dir: s.dir, Netns: "/run/netns/" + s.inside, Spec: s.spec()})
			if err != nil {
				t.Fatal(err)
			}
			lab := exec.Command("/proc/self/exe")
			lab.Env = append(os.Environ(), childLabEnv+"="+string(text))
			lab.Stderr = os.Stderr
			out, err := lab.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := lab.Start(); err != nil {
				t.Fatal(err)
			}
			defer lab.Wait()
			defer lab.Process.Kill()
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
				t.Fatalf("the lab says %q, %v", line, err)
			}
			if _, err := New(Config{Name: s.lab, Dir: s.dir}); err == nil || !strings.Contains(err.Error(), "another lab process") {
				t.Errorf("a second lab in the same folder: %v", err)
			}
			if err := Clean(s.dir); err == nil {
				t.Error("a lab that runs can be cleaned")
			}
			var rec record
			if text, err = os.ReadFile(recordPath(filepath.Join(s.dir, testID))); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &rec); err != nil {
				t.Fatal(err)
			}
			if freezeKeeper {
				if err := unix.Kill(rec.Keeper.PID, unix.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			lab.Process.Kill()
			lab.Wait()
			if freezeKeeper && !rec.Init.alive() {
				t.Error("the machine died")
			}
			if !freezeKeeper {
				if err := eventually(func() error {
					if rec.Init.alive() || rec.Keeper.alive() {
						return errors.New("the machine outlives its lab")
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
			for range 2 {
				if err := Clean(s.dir); err != nil {
					t.Fatal(err)
				}
				s.expectNoTraces()
			}
			if !exists(filepath.Join(s.dir, testID, "disk", "etc", "machine-id")) {
				t.Error("the disk is gone")
			}
			s.runtime = s.newRuntime()
			s.start()
			s.login("root")
		})
	}
}

const childLabEnv = "SKYWELD_TEST_LAB"

type childLab struct {
	Lab, Dir, Netns string
	Spec            world.Machine
}

// runChildLab is a lab that starts one machine and then waits to be killed.
func runChildLab(text string) {
	var l childLab
	err := json.Unmarshal([]byte(text), &l)
	var r *Runtime
	if err == nil {
		r, err = New(Config{Name: l.Lab, Dir: l.Dir, Namespace: func(string) string { return l.Netns }, Logger: slog.New(slog.DiscardHandler)})
	}
	if err == nil {
		err = r.StartMachine(context.Background(), l.Spec)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up")
	select {}
}
