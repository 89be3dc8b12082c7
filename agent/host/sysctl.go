package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// sysctlFile remembers what kernel settings were before the agent changed them, by name.
const sysctlFile = StateDir + "/sysctl.json"

// SetSysctl gives a kernel setting a value, says whether that was a change, and remembers the first value that it found.
// The name is a path below /proc/sys. Those of a device are not remembered: they go with the device.
func (m *Machine) SetSysctl(name, value string) (changed bool, err error) {
	file := "/proc/sys/" + name
	old, err := os.ReadFile(m.Path(file))
	if err != nil {
		return false, fmt.Errorf("read kernel setting %s: %w", name, err)
	}
	before := strings.TrimSpace(string(old))
	if before == value {
		return false, nil
	}
	if !strings.Contains(name, "/conf/skyweld") {
		if err := m.rememberSysctl(name, before); err != nil {
			return false, err
		}
	}
	if err := os.WriteFile(m.Path(file), []byte(value), 0o644); err != nil {
		return false, fmt.Errorf("set kernel setting %s to %s: %w", name, value, err)
	}
	return true, nil
}

// KeepSysctl remembers what a kernel setting is before another program changes it. One that this kernel doesn't have is
// nothing to keep.
func (m *Machine) KeepSysctl(name string) error {
	value, err := os.ReadFile(m.Path("/proc/sys/" + name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read kernel setting %s: %w", name, err)
	}
	return m.rememberSysctl(name, strings.TrimSpace(string(value)))
}

// RestoreSysctls gives every kernel setting that SetSysctl changed, or KeepSysctl saw, the value it had.
func (m *Machine) RestoreSysctls() error {
	saved, err := m.savedSysctls()
	if err != nil {
		return err
	}
	var problems []error
	for name, value := range saved {
		file := m.Path("/proc/sys/" + name)
		now, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(now)) != value {
			err = os.WriteFile(file, []byte(value), 0o644)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("restore kernel setting %s: %w", name, err))
		}
	}
	if len(problems) == 0 {
		_, err := m.Remove(sysctlFile)
		return err
	}
	return errors.Join(problems...)
}

func (m *Machine) rememberSysctl(name, value string) error {
	saved, err := m.savedSysctls()
	if err != nil {
		return err
	}
	if _, ok := saved[name]; ok {
		return nil
	}
	saved[name] = value
	data, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return err
	}
	_, err = m.Write(sysctlFile, data, 0o644)
	return err
}

func (m *Machine) savedSysctls() (map[string]string, error) {
	saved := map[string]string{}
	data, err := m.Read(sysctlFile)
	if err != nil || data == nil {
		return saved, err
	}
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("read %s: %w", sysctlFile, err)
	}
	return saved, nil
}
