//go:build linux

package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/cgroup"
	"github.com/skyweld/skyweld/lab/world"
)

const (
	// stopGrace is how long a machine's init may take over its services, cleanTime how long its remains.
	stopGrace, cleanTime = 2 * time.Second, 30 * time.Second
)

// process is one run of a machine: a keeper outside of it, and its init, whose pid namespace is all of the machine.
type process struct {
	rec    record
	keeper *exec.Cmd
	// control is the keeper's lifeline: it kills the machine when this end closes, however the lab process ends.
	control *os.File
	// exited closes when the keeper is gone, and with it every process of the machine; cleaned when the control groups
	// and the record are removed too. cleanErr is set before cleaned closes.
	exited, cleaned chan struct{}
	cleanErr        error
	// booted closes when the start is over, well or not: only then is the record complete.
	booted chan struct{}
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// progress is what keeper and init report while a machine boots, a line of JSON each: first the init's process, then that
// it is ready, or why not.
type progress struct {
	Init  *identity `json:"init,omitempty"`
	Ready bool      `json:"ready,omitempty"`
	Error string    `json:"error,omitempty"`
}

// launch starts the keeper and waits until the machine's init is up.
func (r *Runtime) launch(ctx context.Context, spec world.Machine) (*process, error) {
	netns := r.cfg.Namespace(spec.ID)
	if _, err := os.Stat(netns); err != nil {
		return nil, fmt.Errorf("find its network namespace: %w", err)
	}
	dir, name := r.dir(spec.ID), group(r.cfg.Name)+"/"+spec.ID
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make its folder: %w", err)
	}
	p := &process{
		rec:    record{Lab: r.cfg.Name, Machine: spec.ID, Groups: r.host.Paths(name)},
		exited: make(chan struct{}), cleaned: make(chan struct{}), booted: make(chan struct{}),
	}
	if err := p.rec.save(dir); err != nil {
		return nil, err
	}
	err := r.host.Create(name, cgroup.Limits{CPUs: spec.VCPUs, MemoryMiB: spec.MemoryMiB})
	if err == nil {
		cfg := stageConfig{Machine: spec, Dir: dir, Netns: netns, Group: name}
		if r.cfg.Broken != nil {
			cfg.Broken = r.cfg.Broken(spec.ID)
		}
		err = r.boot(ctx, p, cfg)
	}
	close(p.booted)
	if err != nil {
		if p.keeper != nil {
			p.kill()
			return nil, errors.Join(err, p.cleanErr)
		}
		return nil, errors.Join(err, p.clean(dir))
	}
	return p, nil
}

func (r *Runtime) boot(ctx context.Context, p *process, cfg stageConfig) error {
	controlRead, controlWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make its pipes: %w", err)
	}
	defer controlRead.Close()
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		controlWrite.Close()
		return fmt.Errorf("make its pipes: %w", err)
	}
	defer statusRead.Close()
	defer statusWrite.Close()

	keeper, err := command(stageKeeper, cfg)
	if err != nil {
		controlWrite.Close()
		return err
	}
	keeper.ExtraFiles = []*os.File{controlRead, statusWrite}
	if err := keeper.Start(); err != nil {
		controlWrite.Close()
		return fmt.Errorf("start its keeper: %w", err)
	}
	statusWrite.Close()
	p.keeper, p.control = keeper, controlWrite
	go p.wait(cfg.Dir, r)
	if p.rec.Keeper, err = identify(keeper.Process.Pid); err == nil {
		err = p.rec.save(cfg.Dir)
	}
	if err != nil {
		return err
	}
	return p.follow(ctx, cfg.Dir, statusRead)
}

// follow reads the boot's progress until the machine is ready.
func (p *process) follow(ctx context.Context, dir string, status *os.File) error {
	stop := context.AfterFunc(ctx, func() { status.SetReadDeadline(time.Now()) })
	defer stop()
	ready := false
	for lines := bufio.NewScanner(status); lines.Scan(); {
		var step progress
		if err := json.Unmarshal(lines.Bytes(), &step); err != nil {
			return fmt.Errorf("follow its boot: %w", err)
		}
		switch {
		case step.Error != "":
			return errors.New(step.Error)
		case step.Init != nil:
			p.rec.Init = *step.Init
			if err := p.rec.save(dir); err != nil {
				return err
			}
		case step.Ready:
			ready = true
		}
		if ready && p.rec.Init.PID != 0 {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for its init: %w", context.Cause(ctx))
	}
	return errors.New("its init ended before it was ready; the console log may say why")
}

// wait sees the machine's end, whether it was asked for or not, and removes what is left of it.
func (p *process) wait(dir string, r *Runtime) {
	err := p.keeper.Wait()
	close(p.exited)
	p.control.Close()
	<-p.booted
	r.cfg.Logger.Info("machine ended", "machine", p.rec.Machine, "keeper", exitText(err))
	p.cleanErr = p.clean(dir)
	if p.cleanErr != nil {
		r.cfg.Logger.Error("machine left something behind", "machine", p.rec.Machine, "error", p.cleanErr)
	}
	close(p.cleaned)
}

func exitText(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

// clean removes what the record names; the record goes last.
func (p *process) clean(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	return p.rec.clean(ctx, dir)
}

// stop asks the machine to end, and makes it when it doesn't, and waits until everything of it is gone.
func (p *process) stop(ctx context.Context) {
	// When the keeper is gone already, nobody reads this, and the rest finds that out.
	io.WriteString(p.control, "stop\n")
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.control.Close()
	case <-time.After(stopGrace + 3*time.Second):
		p.control.Close()
	}
	<-p.cleaned
}

func (p *process) kill() {
	p.control.Close()
	<-p.cleaned
}

// identity names a process for good: pids are reused, but not with the same start.
type identity struct {
	PID int `json:"pid"`
	// Start is the process's start in clock ticks since boot: field 22 of /proc/PID/stat.
	Start uint64 `json:"start"`
}

// alive says whether the process still is there.
func (i identity) alive() bool {
	now, err := identify(i.PID)
	return i.PID > 0 && err == nil && now == i
}

// kill kills the process unless it already ended. A pidfd makes sure that it is this one and no later one.
func (i identity) kill() error {
	if i.PID <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(i.PID, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill process %d: %w", i.PID, err)
	}
	defer unix.Close(fd)
	if !i.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d: %w", i.PID, err)
	}
	return nil
}
