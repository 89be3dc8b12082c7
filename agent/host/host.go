// Package host is the machine that the agent runs on: its files, tools, services, kernel settings and abilities. It knows
// nothing of clusters or networks.
package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Folders of the agent on every machine.
const (
	StateDir   = "/var/lib/skyweld" // survives a restart of the machine
	RunDir     = "/run/skyweld"     // doesn't
	ConfigDir  = "/etc/skyweld"
	ProgramDir = "/opt/skyweld/bin"
)

// Machine is the machine, as the agent changes it.
type Machine struct {
	// Root stands for "/" in every path given to the methods; empty for the real one.
	Root  string
	Tools Tools
	Facts Facts
	Log   *slog.Logger
}

// Path is where a file of the machine lies.
func (m *Machine) Path(name string) string { return filepath.Join("/", m.Root, name) }

// Read gives a file's content; nil, and no error, when there is none.
func (m *Machine) Read(name string) ([]byte, error) {
	data, err := os.ReadFile(m.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Exists says whether there is anything at name.
func (m *Machine) Exists(name string) bool {
	_, err := os.Lstat(m.Path(name))
	return err == nil
}

// Write makes a file have this content and mode, with the folders it needs, and says whether that was a change. A crash
// leaves either the old file or the new one.
func (m *Machine) Write(name string, data []byte, mode fs.FileMode) (changed bool, err error) {
	place := m.Path(name)
	if info, err := os.Lstat(place); err == nil && info.Mode().IsRegular() && info.Mode().Perm() == mode {
		if old, err := os.ReadFile(place); err == nil && bytes.Equal(old, data) {
			return false, nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return false, fmt.Errorf("make folder of %s: %w", name, err)
	}
	if err := replace(place, data, mode); err != nil {
		return false, fmt.Errorf("write %s: %w", name, err)
	}
	return true, nil
}

func replace(place string, data []byte, mode fs.FileMode) (err error) {
	file, err := os.CreateTemp(filepath.Dir(place), ".skyweld-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(data)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), place)
}

// Link makes name a symbolic link to target and says whether that was a change.
func (m *Machine) Link(name, target string) (changed bool, err error) {
	place := m.Path(name)
	if old, err := os.Readlink(place); err == nil && old == target {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return false, fmt.Errorf("make folder of %s: %w", name, err)
	}
	aside := filepath.Join(filepath.Dir(place), ".skyweld-link-"+filepath.Base(place))
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("link %s: %w", name, err)
	}
	if err := os.Symlink(target, aside); err != nil {
		return false, fmt.Errorf("link %s: %w", name, err)
	}
	if err := os.Rename(aside, place); err != nil {
		return false, errors.Join(fmt.Errorf("link %s: %w", name, err), os.Remove(aside))
	}
	return true, nil
}

// Remove takes away a file, or a folder with all in it, and says whether there was one.
func (m *Machine) Remove(name string) (changed bool, err error) {
	if !m.Exists(name) {
		return false, nil
	}
	if err := os.RemoveAll(m.Path(name)); err != nil {
		return false, fmt.Errorf("remove %s: %w", name, err)
	}
	return true, nil
}
