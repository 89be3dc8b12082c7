//go:build linux

package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/cgroup"
	"github.com/skyweld/skyweld/lab/machine/internal/rotate"
)

// dropped are the capabilities that reach beyond a machine: modules, the clock, raw I/O, and rebooting the host.
var dropped = []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT}

// keep is the stage outside of a machine: it starts the machine's init in its namespaces, writes its console log, and ends
// it on request or when the lab is gone. It lasts exactly as long as the machine.
func keep(cfg stageConfig) error {
	control, status := os.NewFile(3, "control"), os.NewFile(4, "status")
	// The machine ends with the lab or at its word, not by a signal that happens to reach the keeper.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE)
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)

	log, err := rotate.Open(filepath.Join(cfg.Dir, "console.log"), consoleBound)
	if err != nil {
		return errors.Join(err, report(status, progress{Error: err.Error()}))
	}
	defer log.Close()
	console, write, err := os.Pipe()
	if err != nil {
		return errors.Join(err, report(status, progress{Error: err.Error()}))
	}
	first, err := startInit(cfg, write, status)
	write.Close()
	if err != nil {
		return errors.Join(err, report(status, progress{Error: err.Error()}))
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		io.Copy(log, console) // A full disk ends the log, not the machine: the pipe is drained all the same.
		io.Copy(io.Discard, console)
	}()
	status.Close()
	go obey(control, first.Process)
	first.Wait() // However it ended, the machine is over.
	select {
	case <-logged:
	case <-time.After(time.Second):
	}
	return nil
}

// startInit starts the machine's first process. The control groups come before the namespaces: the cgroup namespace's
// root is where the process is when it is made.
func startInit(cfg stageConfig, console, status *os.File) (*exec.Cmd, error) {
	host, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	home, err := host.Own()
	if err != nil {
		return nil, err
	}
	netns, err := os.Open(cfg.Netns)
	if err != nil {
		return nil, fmt.Errorf("open its network namespace: %w", err)
	}
	defer netns.Close()
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter its network namespace %s: %w", cfg.Netns, err)
	}
	for _, c := range dropped {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	first, err := command(stageInit, cfg)
	if err != nil {
		return nil, err
	}
	first.Stdout, first.Stderr, first.ExtraFiles = console, console, []*os.File{status}
	first.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	first.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cgroup.Enter(host.Paths(cfg.Group)); err != nil {
		return nil, err
	}
	err = first.Start()
	if left := cgroup.Enter(home); left != nil && err == nil {
		first.Process.Kill()
		err = left
	}
	if err != nil {
		return nil, fmt.Errorf("start its init: %w", err)
	}
	who, err := identify(first.Process.Pid)
	if err != nil {
		return nil, err
	}
	return first, report(status, progress{Init: &who})
}

// obey ends the machine: gently after the line "stop", at once when the lab's end of the pipe closes.
func obey(control *os.File, first *os.Process) {
	lines := bufio.NewScanner(control)
	for lines.Scan() {
		if lines.Text() == "stop" {
			first.Signal(syscall.SIGTERM)
			time.AfterFunc(stopGrace+500*time.Millisecond, func() { first.Kill() })
		}
	}
	first.Kill()
}
