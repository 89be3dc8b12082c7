//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits is the size of a machine.
type Limits struct {
	// CPUs is a weight against other machines, not a cap: 1024 shares each. 0 leaves the default.
	CPUs int
	// MemoryMiB is the most memory, page cache included, that the machine may hold. 0 is no limit.
	MemoryMiB int
}

// forbidden are the devices a version 1 group may not open: all disks, the memory, the ports, the kernel's log, the
// consoles, KVM. Making a node stays allowed and the default stays "allow", since container runtimes inside write rules
// that the kernel otherwise refuses.
var forbidden = []string{"b *:* rw", "c 1:1 rw", "c 1:2 rw", "c 1:4 rw", "c 1:11 rw", "c 4:* rw", "c 10:144 rw", "c 10:232 rw"}

// Create makes the group "lab/machine" in every hierarchy with its limits, and its parent when it is the first.
func (h Host) Create(group string, limits Limits) error {
	for _, one := range h {
		path := one.Mount
		for part := range strings.SplitSeq(group, "/") {
			parent := path
			path = filepath.Join(path, part)
			if err := one.makeGroup(parent, path); err != nil {
				return fmt.Errorf("create control group %s: %w", path, err)
			}
		}
		if err := one.limit(path, limits); err != nil {
			return fmt.Errorf("limit control group %s: %w", path, err)
		}
	}
	return nil
}

func (one Hierarchy) has(controller string) bool { return slices.Contains(one.Controllers, controller) }

func (one Hierarchy) makeGroup(parent, path string) error {
	if one.Unified {
		if err := Delegate(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !one.has("cpuset") {
		return nil
	}
	// A new cpuset is empty and takes no process until it is filled; with clone_children the groups below fill themselves.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := read(filepath.Join(path, file))
		if err != nil {
			return err
		}
		if have != "" {
			continue
		}
		value, err := read(filepath.Join(parent, file))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(path, file), value); err != nil {
			return err
		}
	}
	return write(filepath.Join(path, "cgroup.clone_children"), "1")
}

// delegated are the controllers of version 2 that a kubelet wants.
var delegated = []string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}

// Delegate lets the children of a version 2 group have the controllers of Kubernetes that the group has.
func Delegate(path string) error {
	missing, err := undelegated(path)
	if err != nil {
		return err
	}
	for _, c := range missing {
		if err := write(filepath.Join(path, "cgroup.subtree_control"), "+"+c); err != nil {
			return fmt.Errorf("give the %s controller to the groups in %s: %w", c, path, err)
		}
	}
	return nil
}

func undelegated(path string) ([]string, error) {
	list, err := read(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return nil, err
	}
	have, err := read(filepath.Join(path, "cgroup.subtree_control"))
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, c := range strings.Fields(list) {
		if slices.Contains(delegated, c) && !slices.Contains(strings.Fields(have), c) {
			missing = append(missing, c)
		}
	}
	return missing, nil
}

// Undelegated returns the controllers that the host's top group of version 2 doesn't pass on yet and Create will make it
// pass on. Take them back with Withdraw when the last machine is gone.
func (h Host) Undelegated() ([]string, error) {
	if !h.Unified() {
		return nil, nil
	}
	missing, err := undelegated(h[0].Mount)
	if err != nil {
		return nil, fmt.Errorf("read the host's controllers: %w", err)
	}
	return missing, nil
}

// Withdraw stops the group at path from passing on the controllers, but for those that its children pass on further, as
// another lab's does: the kernel keeps them.
func Withdraw(path string, controllers []string) error {
	for _, c := range controllers {
		err := write(filepath.Join(path, "cgroup.subtree_control"), "-"+c)
		if err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("take the %s controller back from the groups in %s: %w", c, path, err)
		}
	}
	return nil
}

func (one Hierarchy) limit(path string, l Limits) error {
	set := map[string]string{}
	switch {
	case one.Unified:
		if l.CPUs > 0 {
			// The usual mapping of shares (2 to 262144) to weights (1 to 10000).
			set["cpu.weight"] = strconv.Itoa(1 + (l.CPUs*1024-2)*9999/262142)
		}
		if l.MemoryMiB > 0 {
			set["memory.max"] = strconv.FormatInt(int64(l.MemoryMiB)<<20, 10)
		}
	default:
		if l.CPUs > 0 && one.has("cpu") {
			set["cpu.shares"] = strconv.Itoa(l.CPUs * 1024)
		}
		if l.MemoryMiB > 0 && one.has("memory") {
			set["memory.limit_in_bytes"] = strconv.FormatInt(int64(l.MemoryMiB)<<20, 10)
		}
		if one.has("devices") {
			for _, rule := range forbidden {
				if err := write(filepath.Join(path, "devices.deny"), rule); err != nil {
					return err
				}
			}
		}
	}
	for file, value := range set {
		if err := write(filepath.Join(path, file), value); err != nil {
			return err
		}
	}
	return nil
}

// PIDs returns the processes in the groups at paths and below, as the caller's pid namespace numbers them.
func PIDs(paths []string) ([]int, error) {
	var pids []int
	for _, path := range paths {
		err := walk(path, func(dir string) error {
			text, err := read(filepath.Join(dir, "cgroup.procs"))
			for f := range strings.FieldsSeq(text) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list the processes of control group %s: %w", path, err)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// Kill kills every process in the groups and below, again until none is left, because they may fork meanwhile.
func Kill(ctx context.Context, paths []string) error {
	return retry(ctx, func() error {
		pids, err := PIDs(paths)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill process %d of control group %s: %w", pid, paths[0], err)
			}
		}
		return fmt.Errorf("control group %s: %d processes are %w", paths[0], len(pids), errBusy)
	})
}

// Remove removes the groups and all below. They must be empty of processes; the last ones may still be on their way out.
func Remove(ctx context.Context, paths []string) error {
	for _, path := range paths {
		err := retry(ctx, func() error {
			return walk(path, func(dir string) error {
				err := unix.Rmdir(dir)
				switch err {
				case nil, unix.ENOENT:
					return nil
				case unix.EBUSY, unix.ENOTEMPTY:
					return fmt.Errorf("%s is %w", dir, errBusy)
				}
				return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
			})
		})
		if err != nil {
			return fmt.Errorf("remove control group %s: %w", path, err)
		}
	}
	return nil
}

// RemoveEmpty removes single groups unless something is still in them.
func RemoveEmpty(paths []string) error {
	for _, path := range paths {
		switch err := unix.Rmdir(path); err {
		case nil, unix.ENOENT, unix.EBUSY, unix.ENOTEMPTY:
		default:
			return fmt.Errorf("remove control group %s: %w", path, err)
		}
	}
	return nil
}

var errBusy = errors.New("still busy")

// retry calls do until it succeeds or fails with something else than errBusy, for as long as ctx allows.
func retry(ctx context.Context, do func() error) error {
	wait := time.Millisecond
	for {
		err := do()
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(wait):
			wait = min(2*wait, 100*time.Millisecond)
		}
	}
}

// walk calls do for each folder below root and then for root. What vanishes meanwhile is passed over.
func walk(root string, do func(dir string) error) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := walk(filepath.Join(root, e.Name()), do); err != nil {
				return err
			}
		}
	}
	if err := do(root); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}
