//go:build linux

package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/lab/machine/internal/cgroup"
)

// record is what a running machine has on the host besides its folder. It is written before the thing is made, so that a
// later process can remove all of it and nothing else. Mounts aren't in it: they live in the machine's own mount
// namespace and end with its processes.
type record struct {
	Lab     string `json:"lab"`
	Machine string `json:"machine"`
	// Groups are the machine's control groups by their paths.
	Groups []string `json:"groups"`
	Keeper identity `json:"keeper"`
	Init   identity `json:"init"`
}

func (rec *record) save(dir string) error { return saveJSON(recordPath(dir), rec) }

func recordPath(dir string) string { return filepath.Join(dir, "record.json") }

// labRecord is what a lab has on the host besides its machines.
type labRecord struct {
	// Groups are the parents of the machines' control groups.
	Groups []string `json:"groups"`
	// Controllers are those that the host's top control group, at Top, passes on only since the lab needs it.
	Top         string   `json:"top,omitempty"`
	Controllers []string `json:"controllers,omitempty"`
}

func labRecordPath(dir string) string { return filepath.Join(dir, "lab.json") }

// newLabRecord writes down what the lab is about to have.
func newLabRecord(dir, lab string, host cgroup.Host) (labRecord, error) {
	rec := labRecord{Groups: host.Paths(group(lab)), Top: host[0].Mount}
	var err error
	if rec.Controllers, err = host.Undelegated(); err != nil {
		return rec, err
	}
	return rec, saveJSON(labRecordPath(dir), rec)
}

// clean takes back what the lab has, once its machines are gone.
func (rec *labRecord) clean(dir string) error {
	if err := cgroup.RemoveEmpty(rec.Groups); err != nil {
		return err
	}
	if err := cgroup.Withdraw(rec.Top, rec.Controllers); err != nil {
		return err
	}
	if err := os.Remove(labRecordPath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove lab record: %w", err)
	}
	return nil
}

func saveJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := writeSynced(path+".new", append(text, '\n')); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

func loadJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read record: %w", err)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("read record %s: %w", path, err)
	}
	return nil
}

// writeSynced writes a file that survives a power cut right after the rename that follows.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// clean ends the machine's processes, removes its control groups, and then the record.
func (rec *record) clean(ctx context.Context, dir string) error {
	// The keeper first: it is in none of the groups. Then the init, which takes its whole pid namespace along; what is
	// still in the groups afterwards was moved there from outside.
	if err := errors.Join(rec.Keeper.kill(), rec.Init.kill()); err != nil {
		return err
	}
	if err := cgroup.Kill(ctx, rec.Groups); err != nil {
		return err
	}
	for rec.Keeper.alive() || rec.Init.alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("machine %s: its processes don't end: %w", rec.Machine, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := cgroup.Remove(ctx, rec.Groups); err != nil {
		return err
	}
	if err := os.Remove(recordPath(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove machine record: %w", err)
	}
	return nil
}

// Clean removes what a killed lab left of the machines in dir: processes and with them their mounts, and control groups;
// only what the records there name. Disks stay. It fails while a lab process still runs the machines.
func Clean(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	return cleanLocked(dir)
}

func cleanLocked(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "record.json"))
	if err != nil {
		return fmt.Errorf("clean machines in %s: %w", dir, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	var errs []error
	for _, path := range paths {
		var rec record
		err := loadJSON(path, &rec)
		if err == nil {
			err = rec.clean(ctx, filepath.Dir(path))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("clean machines in %s: %w", dir, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	var lab labRecord
	if err := loadJSON(labRecordPath(dir), &lab); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("clean machines in %s: %w", dir, err)
	}
	return lab.clean(dir)
}

// identify returns a process's identity as long as it exists and isn't a zombie.
func identify(pid int) (identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	// The program's name, in parentheses, may hold anything; the fields behind it don't.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return identity{}, fmt.Errorf("identify process %d: it has ended", pid)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return identity{PID: pid, Start: start}, nil
}

// mountsBelow returns where something is mounted at dir or below, in this process's mount namespace.
func mountsBelow(dir string) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	var below []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
			below = append(below, f[4])
		}
	}
	return below, nil
}
