//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/cgroup"
	"github.com/skyweld/skyweld/lab/machine/internal/guest"
)

// initMachine is pid 1 of a machine: it builds the machine's root, changes to it, and goes on as its init. The lab hears
// over the status pipe when that has worked.
func initMachine(cfg stageConfig) error {
	status := os.NewFile(3, "status")
	unix.CloseOnExec(3)
	if err := buildMachine(cfg); err != nil {
		return errors.Join(err, report(status, progress{Error: err.Error()}))
	}
	return guest.Init(guest.Config{
		Datasource: cfg.Machine.Datasource, Hang: cfg.Broken.Hang, Taken: cfg.Broken.Taken,
		Ready: func() {
			report(status, progress{Ready: true})
			status.Close()
		},
	})
}

// buildMachine makes the root file system out of the machine's disk, the host's /usr and fresh kernel file systems.
func buildMachine(cfg stageConfig) error {
	unix.Umask(0o022)
	host, err := cgroup.Detect()
	if err != nil {
		return err
	}
	// Nothing that follows may reach the host's mount table, nor change here when the host's does.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	root := filepath.Join(cfg.Dir, "disk")
	for _, point := range mountPoints {
		if err := os.MkdirAll(filepath.Join(root, point), 0o755); err != nil {
			return fmt.Errorf("prepare its disk: %w", err)
		}
	}
	if err := bind(root, root); err != nil {
		return err
	}
	steps := []func(root string) error{
		func(root string) error { return mountUsr(root, cfg.Dir) },
		mountScratch, mountDev, mountProc, mountSys,
		func(root string) error { return host.Mount(filepath.Join(root, "sys/fs/cgroup")) },
		mountHostEtc, pivot,
	}
	for _, step := range steps {
		if err := step(root); err != nil {
			return err
		}
	}
	if err := fillDisk("/", hostEtc, cfg.Machine); err != nil {
		return fmt.Errorf("prepare its disk: %w", err)
	}
	// The links of /etc/alternatives are half of the names in the host's /usr, and change with it.
	if alternatives := filepath.Join(hostEtc, "alternatives"); exists(alternatives) {
		if err := bind(alternatives, "/etc/alternatives"); err != nil {
			return err
		}
		if err := remountReadOnly("/etc/alternatives", inert); err != nil {
			return err
		}
	}
	if err := errors.Join(unix.Unmount(hostEtc, unix.MNT_DETACH), os.Remove(hostEtc)); err != nil {
		return fmt.Errorf("let go of the host's /etc: %w", err)
	}
	// As on a machine with systemd: kubelets need shared mounts for volumes.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the mounts: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return host.Settle(ctx, "/sys/fs/cgroup")
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", from, to, err)
	}
	return nil
}

// inert are the flags of everything that holds neither programs nor devices.
const inert = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// remountReadOnly makes one mount read-only, not the file system; flags are those it keeps.
func remountReadOnly(path string, flags uintptr) error {
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

func mount(kind, at string, flags uintptr, options string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", kind, err)
	}
	if err := unix.Mount(kind, at, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, at, err)
	}
	return nil
}

// ownBelowUsr are the folders below the read-only /usr that are the machine's own, kept in its folder on the host: what is
// installed by hand, and two that Kubernetes expects to be able to make.
var ownBelowUsr = []string{"local", "libexec/kubernetes", "lib/modules"}

// mountUsr shows the host's /usr read-only. Where the host lacks a folder to mount one of the machine's own on, an overlay
// without an upper side adds it.
func mountUsr(root, dir string) error {
	usr := filepath.Join(root, "usr")
	missing := false
	for _, own := range ownBelowUsr {
		for _, at := range []string{filepath.Join(dir, "usr", own), filepath.Join(dir, "points", own)} {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return fmt.Errorf("mount /usr: %w", err)
			}
		}
		if info, err := os.Stat(filepath.Join("/usr", own)); err != nil || !info.IsDir() {
			missing = true
		}
	}
	for _, name := range []string{"bin", "etc", "include", "lib", "sbin", "share", "src"} {
		if err := os.MkdirAll(filepath.Join(dir, "usr/local", name), 0o755); err != nil {
			return fmt.Errorf("mount /usr: %w", err)
		}
	}
	if missing {
		// Short relative paths, since a colon or comma in the lab's folder would end an overlay's option.
		if err := os.Chdir(dir); err != nil {
			return fmt.Errorf("mount /usr: %w", err)
		}
		if err := mount("overlay", usr, unix.MS_RDONLY, "lowerdir=/usr:points"); err != nil {
			return err
		}
	} else {
		if err := bind("/usr", usr); err != nil {
			return err
		}
		if err := remountReadOnly(usr, 0); err != nil {
			return err
		}
	}
	for _, own := range ownBelowUsr {
		if err := bind(filepath.Join(dir, "usr", own), filepath.Join(usr, own)); err != nil {
			return err
		}
	}
	return nil
}

func mountScratch(root string) error {
	if err := mount("tmpfs", filepath.Join(root, "run"), unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	if err := mount("tmpfs", filepath.Join(root, "tmp"), unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return err
	}
	for _, dir := range []string{"run/lock", "run/sshd"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// devices are all the device nodes a machine begins with. They are made, not bound from the host, so that a chmod inside
// stays inside. The kernel's log is the host's, so /dev/kmsg is another /dev/null.
var devices = []struct {
	name         string
	mode         uint32
	major, minor uint32
}{
	{"null", 0o666, 1, 3}, {"zero", 0o666, 1, 5}, {"full", 0o666, 1, 7}, {"random", 0o666, 1, 8}, {"urandom", 0o666, 1, 9},
	{"tty", 0o666, 5, 0}, {"net/tun", 0o666, 10, 200}, {"kmsg", 0o644, 1, 3},
}

var deviceLinks = map[string]string{
	"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
}

func mountDev(root string) error {
	dev := filepath.Join(root, "dev")
	if err := mount("tmpfs", dev, unix.MS_NOSUID, "mode=755"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dev, "net"), 0o755); err != nil {
		return err
	}
	for _, d := range devices {
		path := filepath.Join(dev, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make device %s: %w", d.name, err)
		}
		if err := os.Chmod(path, fs.FileMode(d.mode)); err != nil {
			return err
		}
	}
	for name, target := range deviceLinks {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	if err := mount("devpts", filepath.Join(dev, "pts"), unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"); err != nil {
		return err
	}
	if err := mount("tmpfs", filepath.Join(dev, "shm"), unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return err
	}
	return mount("mqueue", filepath.Join(dev, "mqueue"), inert, "")
}

// mountSys shows the kernel's objects read-only; the network ones are those of the machine's own namespace. Only the mount
// is read-only, not the file system, which pods with privileges mount again for themselves.
func mountSys(root string) error {
	sys := filepath.Join(root, "sys")
	if err := mount("sysfs", sys, inert, ""); err != nil {
		return err
	}
	return remountReadOnly(sys, inert)
}

// hostEtc is where the host's /etc is in the machine while its disk is prepared.
const hostEtc = "/run/.host-etc"

func mountHostEtc(root string) error {
	at := filepath.Join(root, hostEtc)
	if err := os.Mkdir(at, 0o700); err != nil {
		return fmt.Errorf("mount the host's /etc: %w", err)
	}
	if err := bind("/etc", at); err != nil {
		return err
	}
	return remountReadOnly(at, inert)
}

// pivot makes root the root of all processes here and lets go of the host's.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	// With both the same, the old root ends up on top of the new one, from where it is taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the host's root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return nil
}
