//go:build linux

// Package machine runs the lab's machines: sets of Linux namespaces with their own disk, control groups and init, in which
// a real Kubernetes node runs. It is no security boundary and makes no wires: a machine joins the network namespace that
// package fabric made for it.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/cgroup"
	"github.com/skyweld/skyweld/lab/machine/internal/rotate"
	"github.com/skyweld/skyweld/lab/world"
)

const (
	// consoleBound is how much of a machine's console is kept, in bytes, and consoleTail how much Console returns.
	consoleBound, consoleTail = 1 << 20, 64 << 10
)

// Config says where machines live.
type Config struct {
	// Name of the lab, unique on the host: a prefix of control group names. Letters, digits, '.', '_' and '-'.
	Name string
	// Dir holds a folder per machine: its disk, its record and its console log. It is on a file system that overlayfs can
	// work on, which a tmpfs or another overlay isn't everywhere.
	Dir string
	// Namespace returns the path of a machine's network namespace, which exists before the machine starts.
	Namespace func(machineID string) string
	// Broken returns what is to go wrong in a machine that is about to boot; nil for never anything.
	Broken func(machineID string) Broken
	// Logger takes what happens to machines; slog.Default() when nil.
	Logger *slog.Logger
}

// Broken is what goes wrong in a machine, from its boot until its end.
type Broken struct {
	// Hang has its init come up and do nothing more.
	Hang bool
	// Taken are TCP ports on which something takes connections and never answers, from before anything else begins.
	Taken []int
}

// Runtime runs the machines of one lab. Its methods are safe for concurrent use.
type Runtime struct {
	cfg  Config
	host cgroup.Host
	lock *os.File
	rec  labRecord

	mu       sync.Mutex
	closed   bool
	machines map[string]*machine
}

// machine is one machine while it is known to run or to change.
type machine struct {
	// change is held by whoever starts, stops or destroys the machine.
	change sync.Mutex
	// running is nil unless the machine runs; guarded by Runtime.mu.
	running *process
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// New returns the runtime of one lab, after it has cleaned what an earlier process left of this lab's machines. It fails
// without root, and when another process already runs machines in the same folder.
func New(cfg Config) (*Runtime, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("start the lab's machines: only root can make namespaces; run it as root")
	}
	if !validName.MatchString(cfg.Name) {
		return nil, fmt.Errorf("start the lab's machines: %q is no lab name", cfg.Name)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start the lab's machines: %w", err)
	}
	cfg.Dir = dir
	host, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the lab's machines: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if err := cleanLocked(dir); err != nil {
		lock.Close()
		return nil, err
	}
	rec, err := newLabRecord(dir, cfg.Name, host)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &Runtime{cfg: cfg, host: host, lock: lock, rec: rec, machines: map[string]*machine{}}, nil
}

// lockDir takes the folder for this process. The lock ends with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the machines in %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, fmt.Errorf("lock the machines in %s: another lab process is running them", dir)
		}
		return nil, fmt.Errorf("lock the machines in %s: %w", dir, err)
	}
	return f, nil
}

// take returns the machine with this id with its change lock held, and the process that runs it, if any.
func (r *Runtime) take(id string) (*machine, *process, error) {
	if !validName.MatchString(id) {
		return nil, nil, fmt.Errorf("machine %q: no valid id", id)
	}
	r.mu.Lock()
	m := r.machines[id]
	if m == nil {
		m = &machine{}
		r.machines[id] = m
	}
	r.mu.Unlock()
	m.change.Lock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		m.change.Unlock()
		return nil, nil, fmt.Errorf("machine %s: the lab is closed", id)
	}
	return m, m.running, nil
}

func (r *Runtime) dir(id string) string { return filepath.Join(r.cfg.Dir, id) }

// group is the name of a lab's control group, the parent of its machines' groups.
func group(lab string) string { return "skyweld-" + lab }

// StartMachine boots a machine and returns once its init runs; metadata, user data and SSH follow within a moment. A
// machine that runs stays as it is. The disk is made at the first start and kept until DestroyMachine.
func (r *Runtime) StartMachine(ctx context.Context, spec world.Machine) error {
	m, running, err := r.take(spec.ID)
	if err != nil {
		return err
	}
	defer m.change.Unlock()
	if running != nil && !running.ended() {
		return nil
	}
	if err := r.stop(ctx, spec.ID, m, running); err != nil {
		return err
	}
	p, err := r.launch(ctx, spec)
	if err != nil {
		return fmt.Errorf("start machine %s: %w", spec.ID, err)
	}
	r.mu.Lock()
	m.running = p
	r.mu.Unlock()
	r.cfg.Logger.Info("machine started", "machine", spec.ID, "pid", p.rec.Init.PID)
	return nil
}

// StopMachine ends all processes of a machine: services are asked to stop, and after two seconds everything is killed. When
// ctx ends earlier, so does the machine.
func (r *Runtime) StopMachine(ctx context.Context, id string) error {
	m, running, err := r.take(id)
	if err != nil {
		return err
	}
	defer m.change.Unlock()
	return r.stop(ctx, id, m, running)
}

// stop ends a run of a machine and all that is left of it; one that ended by itself needs only the latter. The caller holds
// the machine's change lock.
func (r *Runtime) stop(ctx context.Context, id string, m *machine, running *process) error {
	if running == nil {
		return nil
	}
	running.stop(ctx)
	if running.cleanErr != nil {
		// What was busy then may be free now.
		if running.cleanErr = running.clean(r.dir(id)); running.cleanErr != nil {
			return fmt.Errorf("stop machine %s: %w", id, running.cleanErr)
		}
	}
	r.mu.Lock()
	m.running = nil
	r.mu.Unlock()
	return nil
}

// DestroyMachine stops a machine and removes its disk, its record and its console log. One that doesn't exist is fine.
func (r *Runtime) DestroyMachine(ctx context.Context, id string) error {
	m, running, err := r.take(id)
	if err != nil {
		return err
	}
	defer m.change.Unlock()
	if err := r.stop(ctx, id, m, running); err != nil {
		return err
	}
	if err := removeTree(r.dir(id)); err != nil {
		return fmt.Errorf("destroy machine %s: %w", id, err)
	}
	return nil
}

// removeTree removes a machine's folder, but never through a mount.
func removeTree(dir string) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("something is mounted at %s", mounts[0])
	}
	return os.RemoveAll(dir)
}

// MachineState reports whether a machine runs; Stopped for one that doesn't exist.
func (r *Runtime) MachineState(id string) world.MachineState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.machines[id]; m != nil && m.running != nil && !m.running.ended() {
		return world.Running
	}
	return world.Stopped
}

// Console returns the last part of what a machine wrote to its console, at most 64 KiB.
func (r *Runtime) Console(id string) []byte {
	if !validName.MatchString(id) {
		return nil
	}
	return rotate.Tail(filepath.Join(r.dir(id), "console.log"), consoleTail)
}

// Close stops all machines; their disks stay. The runtime starts no machine afterwards.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	machines := r.machines
	r.mu.Unlock()

	var wait sync.WaitGroup
	errs := make(chan error, len(machines))
	for id, m := range machines {
		wait.Go(func() {
			m.change.Lock()
			defer m.change.Unlock()
			r.mu.Lock()
			running := m.running
			r.mu.Unlock()
			if err := r.stop(ctx, id, m, running); err != nil {
				errs <- err
			}
		})
	}
	wait.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	if len(all) == 0 {
		all = append(all, r.rec.clean(r.cfg.Dir))
	}
	if err := r.lock.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		all = append(all, err)
	}
	return errors.Join(all...)
}
