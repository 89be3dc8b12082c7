//go:build linux

// Package cgroup makes one tree of control groups per machine in whatever hierarchies the host has: version 1, version 2,
// or both side by side. It limits and counts machines; it is not a container runtime's manager, which works inside the
// tree on its own.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Hierarchy is one mounted hierarchy of the host.
type Hierarchy struct {
	// Mount is where the host has it, Root which of its groups is there ("/" for the whole).
	Mount, Root string
	// Controllers are the names of version 1 as its mount options have them ("cpu", "name=systemd"); nil for version 2.
	Controllers []string
	// Unified says that it is version 2.
	Unified bool
}

// Host is the set of hierarchies that machines are put into: either all of version 1 or the one of version 2.
type Host []Hierarchy

// Detect reads the host's hierarchies from the calling process's mount table. Where version 2 is mounted beside version 1,
// the one that has the memory controller wins.
func Detect() (Host, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the host's control groups: %w", err)
	}
	known, err := os.ReadFile("/proc/cgroups")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("find the host's control groups: %w", err)
	}
	return choose(parseMounts(string(table), controllerNames(string(known))), func(mount string) string {
		list, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
		if err != nil {
			return ""
		}
		return string(list)
	})
}

func choose(all []Hierarchy, controllers func(mount string) string) (Host, error) {
	var legacy Host
	for _, h := range all {
		if h.Unified {
			if slices.Contains(strings.Fields(controllers(h.Mount)), "memory") {
				return Host{h}, nil
			}
			continue
		}
		legacy = append(legacy, h)
	}
	if !slices.ContainsFunc(legacy, func(h Hierarchy) bool { return slices.Contains(h.Controllers, "memory") }) {
		return nil, errors.New("find the host's control groups: no hierarchy with the memory controller is mounted")
	}
	return legacy, nil
}

// controllerNames reads /proc/cgroups (cgroups(7)): a line per controller, its name first.
func controllerNames(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(f[0], "#") {
			names = append(names, f[0])
		}
	}
	return names
}

// parseMounts reads /proc/self/mountinfo (proc_pid_mountinfo(5)). A hierarchy that is mounted more than once counts once.
func parseMounts(text string, controllers []string) []Hierarchy {
	var out []Hierarchy
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		front, back := strings.Fields(before), strings.Fields(after)
		if !ok || len(front) < 6 || len(back) < 3 {
			continue
		}
		h := Hierarchy{Mount: unescape(front[4]), Root: unescape(front[3])}
		switch back[0] {
		case "cgroup2":
			h.Unified = true
		case "cgroup":
			for _, option := range strings.Split(back[2], ",") {
				if strings.HasPrefix(option, "name=") || slices.Contains(controllers, option) {
					h.Controllers = append(h.Controllers, option)
				}
			}
			if len(h.Controllers) == 0 {
				continue
			}
		default:
			continue
		}
		if !slices.ContainsFunc(out, func(o Hierarchy) bool {
			return o.Unified == h.Unified && slices.Equal(o.Controllers, h.Controllers)
		}) {
			out = append(out, h)
		}
	}
	return out
}

// unescape undoes the octal escapes that the mount table has for blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Unified says whether the machines live in version 2.
func (h Host) Unified() bool { return len(h) == 1 && h[0].Unified }

// Paths returns where the group with this name ("lab/machine") is, in each hierarchy.
func (h Host) Paths(group string) []string {
	var paths []string
	for _, one := range h {
		paths = append(paths, filepath.Join(one.Mount, group))
	}
	return paths
}

// Own returns the groups the calling process is in, one per hierarchy in the same order, to come back to with Enter.
func (h Host) Own() ([]string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find the own control groups: %w", err)
	}
	return h.own(string(text))
}

// own reads /proc/PID/cgroup (cgroups(7)): "id:controllers:path", with no controllers for version 2.
func (h Host) own(text string) ([]string, error) {
	paths := make([]string, len(h))
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for i, one := range h {
			if (one.Unified && f[0] == "0" && f[1] == "") ||
				(!one.Unified && f[1] != "" && slices.Contains(one.Controllers, strings.Split(f[1], ",")[0])) {
				rel, err := filepath.Rel(one.Root, f[2])
				if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
					rel = "." // Outside of what is mounted here: the topmost group is the nearest.
				}
				paths[i] = filepath.Join(one.Mount, rel)
			}
		}
	}
	if i := slices.Index(paths, ""); i >= 0 {
		return nil, fmt.Errorf("find the own control groups: none in the hierarchy at %s", h[i].Mount)
	}
	return paths, nil
}

// Enter moves the calling process, with all its threads, into the groups at paths.
func Enter(paths []string) error {
	for _, path := range paths {
		if err := write(filepath.Join(path, "cgroup.procs"), fmt.Sprint(os.Getpid())); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	return nil
}

// write sets one of the kernel's files, which it never creates.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func read(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
