//go:build linux

package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where ip(8) looks for named network namespaces (ip-netns(8)).
const namespaceDir = "/run/netns"

// namespace is a network namespace kept by a bind mount in namespaceDir.
type namespace struct {
	path   string
	handle netns.NsHandle
	nl     *netlink.Handle
}

// makeNamespace makes a named namespace with lo up; it fails when the name is taken.
func makeNamespace(path string) (_ *namespace, err error) {
	unlock, err := lockNamespaceDir()
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", path, err)
	}
	defer unlock()
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	f.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, dropNamespace(path))
		}
	}()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	})
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", path, err)
	}
	ns := &namespace{path: path, handle: netns.None()}
	if ns.handle, err = netns.GetFromPath(path); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", path, err)
	}
	if ns.nl, err = netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER); err != nil {
		ns.handle.Close()
		return nil, fmt.Errorf("namespace %s: netlink: %w", path, err)
	}
	if err = ns.up("lo"); err != nil {
		ns.close()
		return nil, fmt.Errorf("namespace %s: %w", path, err)
	}
	return ns, nil
}

// Within runs f on a thread inside the network namespace at a path, such as MachineNamespace's.
func Within(path string, f func() error) error {
	h, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", path, err)
	}
	defer h.Close()
	return (&namespace{path: path, handle: h}).do(f)
}

// do runs f on a thread inside the namespace.
func (n *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.handle), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.path, err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own that may change its network namespace. The thread goes back to where it came
// from, or, when that fails, is never used again: a stranger's goroutine must not run in a foreign namespace.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("own network namespace: %w", err)
			return
		}
		defer origin.Close()
		result := errors.New("the call in the namespace ended its goroutine")
		defer func() {
			if unix.Setns(int(origin), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			done <- result
		}()
		result = f()
	}()
	return <-done
}

// up sets a link of the namespace up.
func (n *namespace) up(name string) error {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := n.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

// sysctl writes settings below /proc/sys/net of the namespace, "path=value" each. Names that start with "?" are
// skipped when this kernel doesn't have them.
func (n *namespace) sysctl(settings ...string) error {
	return n.do(func() error {
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			name, optional := strings.CutPrefix(name, "?")
			err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
			if optional && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("sysctl: %w", err)
			}
		}
		return nil
	})
}

// inode identifies the namespace as long as it lives.
func (n *namespace) inode() (uint64, error) { return namespaceInode(n.path) }

// namespaceInode returns the inode of the namespace mounted at path, 0 when the path is no namespace.
func namespaceInode(path string) (uint64, error) {
	var fsys unix.Statfs_t
	if err := unix.Statfs(path, &fsys); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	if fsys.Type != unix.NSFS_MAGIC {
		return 0, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

func (n *namespace) close() {
	n.nl.Close()
	n.handle.Close()
}

// remove closes the namespace and takes its name away; the kernel ends it when nothing else uses it.
func (n *namespace) remove() error {
	if err := dropNamespace(n.path); err != nil {
		return err
	}
	n.close()
	return nil
}

// dropNamespace unmounts and removes a named namespace; one that isn't there is fine.
func dropNamespace(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove namespace: %w", err)
	}
	return nil
}

// lockNamespaceDir makes namespaceDir a shared mount as ip(8) does (else the mounts below would be hidden by ip's own
// first use) and keeps others who do the same out until unlock.
func lockNamespaceDir() (unlock func(), err error) {
	for {
		if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
			return nil, err
		}
		dir, err := os.Open(namespaceDir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another lab has just tidied it away
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
			dir.Close()
			return nil, fmt.Errorf("lock %s: %w", namespaceDir, err)
		}
		if !sameDir(dir) {
			dir.Close()
			continue
		}
		if err := shareNamespaceDir(); err != nil {
			dir.Close()
			return nil, err
		}
		return func() { dir.Close() }, nil
	}
}

func sameDir(dir *os.File) bool {
	a, err1 := dir.Stat()
	b, err2 := os.Stat(namespaceDir)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

func shareNamespaceDir() error {
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) {
		if err := unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", namespaceDir, err)
		}
		err = unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", namespaceDir, err)
	}
	return nil
}

// hasNamespaceDir reports whether somebody uses named namespaces on this machine already.
func hasNamespaceDir() bool {
	_, err := os.Stat(namespaceDir)
	return err == nil
}

// tidyNamespaceDir takes away namespaceDir and its mount when nobody uses it any more.
func tidyNamespaceDir() error {
	dir, err := os.Open(namespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", namespaceDir, err)
	}
	if entries, err := os.ReadDir(namespaceDir); err != nil || len(entries) > 0 {
		return err
	}
	if err := unix.Unmount(namespaceDir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", namespaceDir, err)
	}
	if err := os.Remove(namespaceDir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}
