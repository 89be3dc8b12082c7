//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount mounts the host's kind of hierarchies under dir, a machine's /sys/fs/cgroup. The caller is in its cgroup namespace,
// so that the machine's own groups appear as the roots.
func (h Host) Mount(dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if h.Unified() {
		if err := unix.Mount("cgroup2", dir, "cgroup2", flags, ""); err != nil {
			return fmt.Errorf("mount control groups on %s: %w", dir, err)
		}
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "mode=755"); err != nil {
		return fmt.Errorf("mount control groups on %s: %w", dir, err)
	}
	for _, one := range h {
		name := filepath.Base(one.Mount)
		at := filepath.Join(dir, name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return fmt.Errorf("mount control groups: %w", err)
		}
		options := strings.Join(one.Controllers, ",")
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		if err := unix.Mount("cgroup", at, "cgroup", flags, options); err != nil {
			return fmt.Errorf("mount control group hierarchy %s on %s: %w", options, at, err)
		}
		for _, c := range one.Controllers {
			if strings.HasPrefix(c, "name=") || c == name {
				continue
			}
			if err := os.Symlink(name, filepath.Join(dir, c)); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("mount control groups: %w", err)
			}
		}
	}
	return nil
}

// Settle prepares a machine's own version 2 hierarchy, mounted at dir, for a container runtime: the calling process moves
// into a group "init.scope" below the root, since only groups without processes may pass controllers on. The process that
// started the machine may take a moment to leave the root. With version 1 there is nothing to do.
func (h Host) Settle(ctx context.Context, dir string) error {
	if !h.Unified() {
		return nil
	}
	scope := filepath.Join(dir, "init.scope")
	if err := os.Mkdir(scope, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("settle control groups: %w", err)
	}
	if err := Enter([]string{scope}); err != nil {
		return err
	}
	return retry(ctx, func() error {
		err := Delegate(dir)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s is %w", dir, errBusy)
		}
		return err
	})
}
