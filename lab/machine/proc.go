//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A machine's /proc/sys is read-only but for what belongs to its own namespaces and for the settings below, which its
// software believes to set: kubelets, kube-proxy and sysctl.d files write them, and die or complain when they can't. A
// plain file with the host's value stands in for each, so the host's never changes.
var pretended = []string{
	// Kubelets set these six, by what they call kernel defaults.
	"kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"vm/overcommit_memory", "vm/panic_on_oom",
	// The size of the connection table is the host's; in other network namespaces the kernel shows it read-only.
	"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_expect_max", "net/netfilter/nf_conntrack_buckets",
	"net/nf_conntrack_max",
	"net/core/rmem_default", "net/core/rmem_max", "net/core/wmem_default", "net/core/wmem_max",
	// What people tune on nodes.
	"vm/max_map_count", "vm/swappiness", "vm/min_free_kbytes",
	"fs/file-max", "fs/nr_open", "fs/aio-max-nr", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
	"fs/inotify/max_queued_events", "fs/protected_hardlinks", "fs/protected_symlinks",
	"kernel/pid_max", "kernel/threads-max", "kernel/keys/maxkeys", "kernel/keys/maxbytes", "kernel/core_pattern", "kernel/sysrq",
}

// owned are the settings outside net that the kernel keeps per namespace of host name or of System V and POSIX IPC.
var owned = []string{
	"net", "kernel/hostname", "kernel/domainname", "fs/mqueue",
	"kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/shm_rmid_forced", "kernel/shm_next_id",
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/msg_next_id", "kernel/auto_msgmni", "kernel/sem", "kernel/sem_next_id",
}

func mountProc(root string) error {
	proc := filepath.Join(root, "proc")
	if err := mount("proc", proc, inert, ""); err != nil {
		return err
	}
	for _, name := range []string{"sys", "sysrq-trigger", "irq", "bus"} {
		path := filepath.Join(proc, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := bind(path, path); err != nil {
			return err
		}
		if err := remountReadOnly(path, inert); err != nil {
			return err
		}
	}
	if kcore := filepath.Join(proc, "kcore"); exists(kcore) {
		if err := bind(filepath.Join(root, "dev/null"), kcore); err != nil {
			return err
		}
	}
	return mountSettings(root, filepath.Join(proc, "sys"))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func mountSettings(root, sys string) error {
	for _, name := range owned {
		path := filepath.Join(sys, name)
		if !exists(path) {
			continue
		}
		if err := bind(path, path); err != nil {
			return err
		}
		if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|inert, ""); err != nil {
			return fmt.Errorf("make %s writable: %w", path, err)
		}
	}
	// The stand-ins live on a file system of their own that has no other place once they are mounted.
	scratch := filepath.Join(root, "run/.settings")
	if err := mount("tmpfs", scratch, inert, "mode=755,size=4m"); err != nil {
		return err
	}
	for i, name := range pretended {
		path := filepath.Join(sys, name)
		if !exists(path) {
			continue
		}
		value, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("stand in for %s: %w", path, err)
		}
		file := filepath.Join(scratch, fmt.Sprint(i))
		if err := os.WriteFile(file, value, 0o644); err != nil {
			return fmt.Errorf("stand in for %s: %w", path, err)
		}
		if err := bind(file, path); err != nil {
			return err
		}
	}
	if err := errors.Join(unix.Unmount(scratch, unix.MNT_DETACH), os.Remove(scratch)); err != nil {
		return fmt.Errorf("unmount %s: %w", scratch, err)
	}
	return nil
}
