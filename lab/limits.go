package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// limits raises what a kernel shares out among all machines of all labs, and puts it back when the last lab stops. The
// kernel counts inotify instances by user, and all machines' processes are root's: with the usual 128 the runtimes of the
// tenth node or so would not come up (containerd then serves no CRI at all).
type limits struct {
	// path of the sysctl under /proc/sys, want the value labs need.
	path string
	want int
	// dir holds a file for every running lab, and the value to put back.
	dir string
}

var inotify = limits{path: "/proc/sys/fs/inotify/max_user_instances", want: 8192, dir: "/run/skyweld-lab"}

// hold raises the limit on behalf of a lab, which may hold it already.
func (l limits) hold(lab string) error {
	return l.locked(func() error {
		now, err := l.read(l.path)
		if err != nil || now >= l.want {
			return err
		}
		before := filepath.Join(l.dir, "before")
		if _, err := os.Stat(before); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(before, fmt.Appendln(nil, now), 0o644); err != nil {
				return err
			}
		}
		return os.WriteFile(l.path, fmt.Appendln(nil, l.want), 0)
	}, func() error { return os.WriteFile(filepath.Join(l.dir, "lab-"+lab), nil, 0o644) })
}

// release gives a lab's hold up; the last one puts the old value back, unless somebody else has changed it meanwhile.
func (l limits) release(lab string) error {
	if _, err := os.Stat(l.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.locked(func() error {
		if err := os.Remove(filepath.Join(l.dir, "lab-"+lab)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		others, err := filepath.Glob(filepath.Join(l.dir, "lab-*"))
		if err != nil || len(others) > 0 {
			return err
		}
		before, err := l.read(filepath.Join(l.dir, "before"))
		if err == nil {
			var now int
			if now, err = l.read(l.path); err == nil && now == l.want {
				err = os.WriteFile(l.path, fmt.Appendln(nil, before), 0)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, os.RemoveAll(l.dir))
	})
}

// locked does things one after another while no other lab does.
func (l limits) locked(do ...func() error) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("raise %s: %w", l.path, err)
	}
	f, err := os.Open(l.dir)
	if err != nil {
		return fmt.Errorf("raise %s: %w", l.path, err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("raise %s: %w", l.path, err)
	}
	for _, f := range do {
		if err := f(); err != nil {
			return fmt.Errorf("raise %s: %w", l.path, err)
		}
	}
	return nil
}

func (l limits) read(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var v int
	if _, err := fmt.Sscan(strings.TrimSpace(string(data)), &v); err != nil {
		return 0, fmt.Errorf("%s holds %q: %w", path, data, err)
	}
	return v, nil
}
