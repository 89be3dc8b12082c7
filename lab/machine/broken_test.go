//go:build linux

package machine

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/skyweld/skyweld/lab/world"
)

// TestTakenPorts holds that a port which is taken connects and never answers, that the machine's own sshd says so on the
// console, and that everything else of the machine is as ever.
func TestTakenPorts(t *testing.T) {
	s := newSite(t)
	s.runtime.cfg.Broken = func(id string) Broken {
		if id != testID {
			t.Errorf("asked about machine %s", id)
		}
		return Broken{Taken: []int{22, 10250}}
	}
	s.start()
	for _, port := range []string{":22", ":10250"} {
		conn, err := s.dial(machineIP + port)
		if err != nil {
			t.Fatalf("port %s takes no connections: %v", port, err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("port %s answered %d bytes: %v", port, n, err)
		}
		conn.Close()
	}
	s.wantConsole("address already in use")
}

// wantConsole waits until the machine's console says something.
func (s *site) wantConsole(text string) {
	s.t.Helper()
	if err := eventually(func() error {
		if !bytes.Contains(s.runtime.Console(testID), []byte(text)) {
			return errors.New("the console doesn't say: " + text)
		}
		return nil
	}); err != nil {
		s.t.Errorf("%v:\n%s", err, s.runtime.Console(testID))
	}
}

func TestHang(t *testing.T) {
	s := newSite(t)
	s.runtime.cfg.Broken = func(string) Broken { return Broken{Hang: true} }
	s.start()
	if got := s.runtime.MachineState(testID); got != world.Running {
		t.Errorf("the machine is %s", got)
	}
	if conn, err := s.dial(machineIP + ":22"); err == nil {
		conn.Close()
		t.Error("a machine that doesn't come up has an sshd")
	}
	s.wantConsole("waiting for the root disk")
	if err := s.runtime.StopMachine(t.Context(), testID); err != nil {
		t.Errorf("it can't be stopped: %v", err)
	}
}
