//go:build linux

package guest

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper starts the children of pid 1 and collects every process that dies in the machine, its own children and the
// orphans alike. Package os/exec can't be used beside it: both would wait for the same processes.
type reaper struct {
	mu       sync.Mutex
	children map[int]chan syscall.WaitStatus
}

func newReaper() *reaper { return &reaper{children: map[int]chan syscall.WaitStatus{}} }

// child is a process to start, in a session of its own, with nothing to read.
type child struct {
	path, dir string
	args, env []string
	out       *os.File
}

// start starts a child; its status comes through the channel once it has ended.
func (r *reaper) start(c child) (<-chan syscall.WaitStatus, int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, 0, fmt.Errorf("start %s: %w", c.path, err)
	}
	defer null.Close()
	if c.dir == "" {
		c.dir = "/"
	}
	// Held over the fork, so that a child that ends at once is known by then.
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(c.path, c.args, &syscall.ProcAttr{
		Dir: c.dir, Env: c.env, Files: []uintptr{null.Fd(), c.out.Fd(), c.out.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, 0, fmt.Errorf("start %s: %w", c.path, err)
	}
	done := make(chan syscall.WaitStatus, 1)
	r.children[pid] = done
	return done, pid, nil
}

// reap collects all that have ended. It is called after each SIGCHLD; signals merge, so one may stand for many.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if done := r.children[pid]; done != nil {
			done <- status
			delete(r.children, pid)
		}
	}
}

// signal sends a signal to a child unless it has been collected, so that a reused pid is never hit.
func (r *reaper) signal(pid int, s syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.children[pid] == nil {
		return nil
	}
	return syscall.Kill(pid, s)
}
