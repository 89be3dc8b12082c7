//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/machine/internal/rotate"
)

// restartPause is the least time between two starts of a service.
const restartPause = time.Second

// service is one supervised service folder.
type service struct {
	name, dir string
	info      os.FileInfo
	reaper    *reaper
	console   io.Writer

	control  *os.File
	commands chan byte
	// output is the pipe that every run of the service writes to; it outlives them, since what a service leaves running
	// may write on.
	output *os.File
	log    *rotate.File

	removed    chan struct{}
	removeOnce sync.Once
	over       chan struct{}
}

func newService(name, dir, logPath string, info os.FileInfo, r *reaper, console io.Writer) (*service, error) {
	s := &service{
		name: name, dir: dir, info: info, reaper: r, console: console,
		commands: make(chan byte), removed: make(chan struct{}), over: make(chan struct{}),
	}
	supervise := filepath.Join(dir, "supervise")
	if err := os.MkdirAll(supervise, 0o700); err != nil {
		return nil, err
	}
	fifo := filepath.Join(supervise, "control")
	if err := unix.Mkfifo(fifo, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make %s: %w", fifo, err)
	}
	// Open for writing too: with a writer always there, reading waits instead of ending when a client goes.
	control, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if s.log, err = rotate.Open(logPath, logBound); err != nil {
		control.Close()
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		control.Close()
		s.log.Close()
		return nil, err
	}
	s.control, s.output = control, write
	go func() {
		io.Copy(s.log, read)
		io.Copy(io.Discard, read) // The log can't be written: the service must not block for it.
		read.Close()
		s.log.Close()
	}()
	go s.listen()
	return s, nil
}

// listen hands on what is written into the control FIFO.
func (s *service) listen() {
	buffer := make([]byte, 16)
	for {
		n, err := s.control.Read(buffer)
		if err != nil {
			return
		}
		for _, c := range buffer[:n] {
			select {
			case s.commands <- c:
			case <-s.over:
				return
			}
		}
	}
}

// remove ends the service for good; it returns at once.
func (s *service) remove() { s.removeOnce.Do(func() { close(s.removed) }) }

// supervise runs the service until it is removed or told to exit.
func (s *service) supervise() {
	defer close(s.over)
	defer s.output.Close()
	defer s.control.Close()
	_, err := os.Stat(filepath.Join(s.dir, "down"))
	up, exit := err != nil, false
	var (
		pid       int
		done      <-chan syscall.WaitStatus
		lastStart time.Time
		removed   = s.removed
	)
	s.note(0)
	for {
		var due <-chan time.Time
		if pid == 0 {
			if exit {
				return
			}
			if up {
				due = time.After(time.Until(lastStart.Add(restartPause)))
			}
		}
		select {
		case <-removed:
			up, exit, removed = false, true, nil
			s.end(pid)
		case <-due:
			lastStart = time.Now()
			if done, pid, err = s.start(); err != nil {
				fmt.Fprintf(s.console, "init: service %s: %v\n", s.name, err)
			}
			s.note(pid)
		case status := <-done:
			fmt.Fprintf(s.console, "init: service %s ended: %s\n", s.name, describe(status))
			pid, done = 0, nil
			s.note(0)
		case c := <-s.commands:
			switch c {
			case 'u':
				up = true
			case 'd':
				up = false
				s.end(pid)
			case 'x':
				up, exit = false, true
				s.end(pid)
			case 't':
				s.send(pid, syscall.SIGTERM)
			case 'k':
				s.send(pid, syscall.SIGKILL)
			}
		}
	}
}

func (s *service) start() (<-chan syscall.WaitStatus, int, error) {
	return s.reaper.start(child{
		path: filepath.Join(s.dir, "run"), dir: s.dir, args: []string{"./run"}, env: os.Environ(), out: s.output,
	})
}

// end asks the process to end, and wakes it if it is stopped.
func (s *service) end(pid int) {
	s.send(pid, syscall.SIGTERM)
	s.send(pid, syscall.SIGCONT)
}

func (s *service) send(pid int, sig syscall.Signal) {
	if pid == 0 {
		return
	}
	if err := s.reaper.signal(pid, sig); err != nil {
		fmt.Fprintf(s.console, "init: service %s: send %s: %v\n", s.name, sig, err)
	}
}

// note writes the files in supervise that tell others about the service.
func (s *service) note(pid int) {
	stat, id := "down\n", ""
	if pid != 0 {
		stat, id = "run\n", strconv.Itoa(pid)+"\n"
	}
	// The state comes last: who sees "run" finds the process. A removed folder isn't made again for this.
	for _, file := range [][2]string{{"pid", id}, {"stat", stat}} {
		path := filepath.Join(s.dir, "supervise", file[0])
		if err := os.WriteFile(path+".new", []byte(file[1]), 0o644); err == nil {
			os.Rename(path+".new", path)
		}
	}
}
