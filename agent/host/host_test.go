package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tools answers as told and remembers what was run.
type tools struct {
	calls   []string
	answers map[string]string
	fail    string
}

func (f *tools) Run(_ context.Context, c Command) (string, error) {
	line := c.Name + " " + strings.Join(c.Args, " ")
	f.calls = append(f.calls, line)
	if f.fail != "" && strings.Contains(line, f.fail) {
		return "", errors.New("it doesn't work")
	}
	return f.answers[line], nil
}

func TestWrite(t *testing.T) {
	m := &Machine{Root: t.TempDir()}
	for i, c := range []struct {
		text    string
		mode    os.FileMode
		changed bool
	}{{"one", 0o600, true}, {"one", 0o600, false}, {"one", 0o644, true}, {"two", 0o644, true}, {"two", 0o644, false}} {
		changed, err := m.Write("/etc/some/file", []byte(c.text), c.mode)
		if err != nil || changed != c.changed {
			t.Errorf("write %d: %v, %v", i, changed, err)
		}
		data, err := m.Read("/etc/some/file")
		if info, _ := os.Stat(m.Path("/etc/some/file")); err != nil || string(data) != c.text || info.Mode().Perm() != c.mode {
			t.Errorf("write %d: the file holds %q, %v", i, data, err)
		}
	}
	if left, err := filepath.Glob(m.Path("/etc/some/.*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if data, err := m.Read("/nothing"); data != nil || err != nil {
		t.Errorf("a file that isn't there: %q, %v", data, err)
	}
	for _, want := range []bool{true, false} {
		if changed, err := m.Remove("/etc/some"); err != nil || changed != want {
			t.Errorf("remove: %v, %v", changed, err)
		}
	}
}

func TestLink(t *testing.T) {
	m := &Machine{Root: t.TempDir()}
	for i, c := range []struct {
		target  string
		changed bool
	}{{"/a", true}, {"/a", false}, {"/b", true}} {
		if changed, err := m.Link("/bin/x", c.target); err != nil || changed != c.changed {
			t.Errorf("link %d: %v, %v", i, changed, err)
		}
	}
	if target, err := os.Readlink(m.Path("/bin/x")); err != nil || target != "/b" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func TestSysctl(t *testing.T) {
	m := &Machine{Root: t.TempDir()}
	for name, value := range map[string]string{"net/ipv4/ip_forward": "0\n", "net/ipv4/conf/skyweld0/rp_filter": "1\n"} {
		if _, err := m.Write("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, value string
		changed     bool
	}{
		{"net/ipv4/ip_forward", "1", true}, {"net/ipv4/ip_forward", "1", false}, {"net/ipv4/ip_forward", "2", true},
		{"net/ipv4/conf/skyweld0/rp_filter", "2", true},
	} {
		if changed, err := m.SetSysctl(c.name, c.value); err != nil || changed != c.changed {
			t.Errorf("%s: %v, %v", c.name, changed, err)
		}
	}
	if _, err := m.SetSysctl("net/ipv4/nothing", "1"); err == nil {
		t.Error("a setting that isn't there was set")
	}
	if _, err := m.Write("/proc/sys/kernel/panic", []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kernel/panic", "kernel/nothing"} {
		if err := m.KeepSysctl(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Write("/proc/sys/kernel/panic", []byte("10\n"), 0o644); err != nil { // the kubelet does
		t.Fatal(err)
	}
	if err := m.RestoreSysctls(); err != nil {
		t.Fatal(err)
	}
	if data, _ := m.Read("/proc/sys/kernel/panic"); string(data) != "0" {
		t.Errorf("what was kept was restored to %q", data)
	}
	if data, _ := m.Read("/proc/sys/net/ipv4/ip_forward"); string(data) != "0" {
		t.Errorf("restored to %q", data)
	}
	if data, _ := m.Read("/proc/sys/net/ipv4/conf/skyweld0/rp_filter"); string(data) != "2" {
		t.Errorf("what belongs to a device was set to %q", data)
	}
	if err := m.RestoreSysctls(); err != nil {
		t.Error(err)
	}
}

func TestSystemd(t *testing.T) {
	fake := &tools{answers: map[string]string{}}
	m := &Machine{Root: t.TempDir(), Tools: fake, Facts: Facts{Systemd: true}}
	run := func(do func() error, want ...string) {
		t.Helper()
		fake.calls = nil
		if err := do(); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i] = "systemctl " + want[i]
		}
		if !slices.Equal(fake.calls, want) {
			t.Errorf("ran %q, want %q", fake.calls, want)
		}
	}
	ctx := context.Background()
	ensure := func(unit string, want bool) func() error {
		return func() error {
			changed, err := m.EnsureService(ctx, Service{Name: "x", Unit: unit})
			if changed != want {
				t.Errorf("changed is %v", changed)
			}
			return err
		}
	}
	const show = "show --property=NeedDaemonReload,UnitFileState x"
	run(ensure("one", true), "daemon-reload", "enable x", "restart x")
	fake.answers["systemctl "+show] = "NeedDaemonReload=no\nUnitFileState=enabled\n"
	run(ensure("one", false), show)
	run(ensure("two", true), "daemon-reload", "enable x", "restart x")
	fake.answers["systemctl "+show] = "NeedDaemonReload=yes\nUnitFileState=enabled\n"
	run(ensure("two", true), show, "daemon-reload", "enable x", "restart x")
	run(func() error { return m.StopService(ctx, "x") }, "stop x")
	run(func() error { return m.StartService(ctx, "x") }, "start x")
	run(func() error { return m.RestartService(ctx, "x") }, "restart x")
	run(func() error { return m.StopService(ctx, "nothing") })
	remove := func(want bool) func() error {
		return func() error {
			changed, err := m.RemoveService(ctx, "x")
			if changed != want {
				t.Errorf("removed is %v", changed)
			}
			return err
		}
	}
	run(remove(true), "disable --now x", "daemon-reload")
	run(remove(false))
	fake.fail = "restart"
	if _, err := m.EnsureService(ctx, Service{Name: "y", Unit: "one"}); err == nil {
		t.Error("a failure was not told")
	}
}

// supervisor is the part of runsv that the agent talks to.
func supervisor(t *testing.T, m *Machine, name string, pid int) *os.File {
	t.Helper()
	if err := os.MkdirAll(m.Path(folder(name)+"/supervise"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(m.Path(controlFile(name)), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(m.Path(controlFile(name)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fifo.Close() })
	if _, err := m.Write(pidFile(name), fmt.Appendf(nil, "%d\n", pid), 0o644); err != nil {
		t.Fatal(err)
	}
	return fifo
}

func told(t *testing.T, fifo *os.File) string {
	t.Helper()
	command := make([]byte, 1)
	if err := fifo.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fifo.Read(command); err != nil {
		t.Fatal(err)
	}
	return string(command)
}

func TestSupervised(t *testing.T) {
	m := &Machine{Root: t.TempDir(), Tools: &tools{}}
	ctx := context.Background()
	ensure := func(script string, want bool) {
		t.Helper()
		if changed, err := m.EnsureService(ctx, Service{Name: "x", Script: script}); err != nil || changed != want {
			t.Errorf("ensure %q: %v, %v", script, changed, err)
		}
	}
	ensure("exec one\n", true) // nobody supervises it yet
	ensure("exec one\n", false)
	if data, _ := m.Read("/etc/service/x/run"); string(data) != "#!/bin/sh\nexec one\n" {
		t.Errorf("run says %q", data)
	}
	process := exec.Command("sleep", "100")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	fifo := supervisor(t, m, "x", process.Process.Pid)
	ensure("exec two\n", true)
	if got := told(t, fifo); got != "t" {
		t.Errorf("the supervisor was told %q", got)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- m.StopService(ctx, "x") }()
	if got := told(t, fifo); got != "d" {
		t.Errorf("the supervisor was told %q", got)
	}
	select {
	case err := <-stopped:
		t.Errorf("it stopped while the process runs: %v", err)
	default:
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := m.StartService(ctx, "x"); err != nil {
		t.Error(err)
	}
	if got := told(t, fifo); got != "u" {
		t.Errorf("the supervisor was told %q", got)
	}
	for _, want := range []bool{true, false} {
		if removed, err := m.RemoveService(ctx, "x"); err != nil || removed != want {
			t.Errorf("remove: %v, %v", removed, err)
		}
	}
}

func TestExec(t *testing.T) {
	tools := Exec{Log: slog.New(slog.DiscardHandler)}
	ctx := context.Background()
	var seen strings.Builder
	out, err := tools.Run(ctx, Command{Name: "sh", Args: []string{"-c", "cat; echo problem >&2"}, Stdin: "hello", Output: &seen})
	if err != nil || out != "hello" || !strings.Contains(seen.String(), "hello") || !strings.Contains(seen.String(), "problem") {
		t.Errorf("%q, %q, %v", out, seen.String(), err)
	}
	if _, err := tools.Run(ctx, Command{Name: "sh", Args: []string{"-c", "echo why >&2; exit 3"}}); err == nil || !strings.Contains(err.Error(), "exit status 3: why") {
		t.Errorf("error is %v", err)
	}
	if _, err := tools.Run(ctx, Command{Name: "no-such-tool"}); err == nil || !strings.Contains(err.Error(), "no such program") {
		t.Errorf("error is %v", err)
	}
}
