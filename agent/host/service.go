package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Service is one long-running program of the node, in the words of both kinds of machine.
type Service struct {
	Name string
	// Unit is its systemd unit.
	Unit string
	// Script is what follows the first line of a shell script that ends by exec of the program. It becomes
	// /etc/service/NAME/run on a machine whose init works by the conventions of runit
	// (http://smarden.org/runit/runsv.8.html).
	Script string
}

const (
	// stopTimeout bounds how long a program may take to end before it is killed.
	stopTimeout = 20 * time.Second
	pollEvery   = 20 * time.Millisecond
)

func unitFile(name string) string    { return "/etc/systemd/system/" + name + ".service" }
func folder(name string) string      { return "/etc/service/" + name }
func controlFile(name string) string { return folder(name) + "/supervise/control" }
func pidFile(name string) string     { return folder(name) + "/supervise/pid" }

// EnsureService makes a service be there, be started with the machine, and run as described. It says whether that was a
// change; a changed service is started again.
func (m *Machine) EnsureService(ctx context.Context, s Service) (changed bool, err error) {
	if !m.Facts.Systemd {
		changed, err = m.Write(folder(s.Name)+"/run", []byte("#!/bin/sh\n"+s.Script), 0o755)
		if err != nil || !changed {
			return changed, err
		}
		return true, m.control(s.Name, 't')
	}
	changed, err = m.Write(unitFile(s.Name), []byte(s.Unit), 0o644)
	if err != nil {
		return changed, err
	}
	if !changed {
		state, err := m.systemctl(ctx, "show", "--property=NeedDaemonReload,UnitFileState", s.Name)
		if err != nil || strings.Contains(state, "NeedDaemonReload=no") && strings.Contains(state, "UnitFileState=enabled") {
			return false, err
		}
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", s.Name}, {"restart", s.Name}} {
		if _, err := m.systemctl(ctx, args...); err != nil {
			return true, err
		}
	}
	return true, nil
}

// RestartService ends a service's program and has it started again.
func (m *Machine) RestartService(ctx context.Context, name string) error {
	if m.Facts.Systemd {
		_, err := m.systemctl(ctx, "restart", name)
		return err
	}
	return m.control(name, 't')
}

// StopService ends a service's program until StartService, or the machine's next start.
func (m *Machine) StopService(ctx context.Context, name string) error {
	if m.Facts.Systemd {
		if !m.Exists(unitFile(name)) {
			return nil
		}
		_, err := m.systemctl(ctx, "stop", name)
		return err
	}
	pid := m.servicePID(name)
	if err := m.control(name, 'd'); err != nil {
		return err
	}
	return m.ended(ctx, name, pid)
}

// StartService undoes StopService.
func (m *Machine) StartService(ctx context.Context, name string) error {
	if m.Facts.Systemd {
		_, err := m.systemctl(ctx, "start", name)
		return err
	}
	return m.control(name, 'u')
}

// RemoveService stops a service for good and says whether there was one.
func (m *Machine) RemoveService(ctx context.Context, name string) (changed bool, err error) {
	if !m.Facts.Systemd {
		pid := m.servicePID(name)
		// The supervisor writes into the folder until it notices. Names with a dot are none of its business.
		aside := "/etc/service/.removed-" + name
		if err := os.Rename(m.Path(folder(name)), m.Path(aside)); err == nil {
			changed = true
		} else if !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("remove service %s: %w", name, err)
		}
		err := m.ended(ctx, name, pid)
		_, removed := m.Remove(aside)
		return changed, errors.Join(err, removed)
	}
	if !m.Exists(unitFile(name)) {
		return false, nil
	}
	if _, err := m.systemctl(ctx, "disable", "--now", name); err != nil {
		return false, err
	}
	if _, err := m.Remove(unitFile(name)); err != nil {
		return false, err
	}
	_, err = m.systemctl(ctx, "daemon-reload")
	return true, err
}

func (m *Machine) systemctl(ctx context.Context, args ...string) (string, error) {
	return m.Tools.Run(ctx, Command{Name: "systemctl", Args: args})
}

// control tells a service's supervisor something. One that isn't supervised yet needs no telling.
func (m *Machine) control(name string, command byte) error {
	fifo, err := os.OpenFile(m.Path(controlFile(name)), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tell the supervisor of %s %q: %w", name, command, err)
	}
	_, err = fifo.Write([]byte{command})
	return errors.Join(err, fifo.Close())
}

// servicePID is a supervised service's process, 0 for none.
func (m *Machine) servicePID(name string) int {
	data, err := m.Read(pidFile(name))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// ended waits until a service's process is gone, and kills it when that takes too long.
func (m *Machine) ended(ctx context.Context, name string, pid int) error {
	if pid == 0 {
		return nil
	}
	deadline := time.NewTimer(stopTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop %s: %w", name, ctx.Err())
		case <-deadline.C:
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("stop %s: %w", name, err)
			}
		case <-tick.C:
		}
	}
}
