//go:build linux

package guest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// scanEvery is how soon a new or removed service folder is noticed, logBound how much of a service's output is kept, in
// bytes.
const (
	scanEvery = 250 * time.Millisecond
	logBound  = 16 << 20
)

// supervisor keeps the services in a folder running, by the conventions of runit's runsvdir and runsv
// (http://smarden.org/runit/runsv.8.html), a small part of them:
//
//   - each folder with an executable "run" is a service; run doesn't go into the background;
//   - it is started again when it ends, at most once a second; a file "down" means it isn't started of itself;
//   - supervise/control is a FIFO that takes u (up), d (down), t (TERM), k (KILL) and x (down, and supervise no more until
//     the folder is made anew); supervise/stat says "run" or "down", supervise/pid the process;
//   - a folder that is moved away or removed ends its service (moved, since a running one is written to); links to folders
//     count as folders, names with a leading dot don't count.
//
// Signals go to the process that run became, so run ends in an exec. What it started besides stays: a container runtime
// may restart under its containers. Output goes to a log file per service.
type supervisor struct {
	dir, logs string
	reaper    *reaper
	console   io.Writer

	wait     sync.WaitGroup
	services map[string]*service
}

func newSupervisor(dir, logs string, r *reaper, console io.Writer) *supervisor {
	return &supervisor{dir: dir, logs: logs, reaper: r, console: console, services: map[string]*service{}}
}

// run supervises until stop closes and then ends all services, however long they take.
func (s *supervisor) run(stop <-chan struct{}) {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		s.scan()
		select {
		case <-stop:
			for _, one := range s.services {
				one.remove()
			}
			s.wait.Wait()
			return
		case <-tick.C:
		}
	}
}

// scan compares the folder with what is supervised.
func (s *supervisor) scan() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return // The folder may come back; what runs goes on.
	}
	there := map[string]os.FileInfo{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(s.dir, e.Name())); err == nil && info.IsDir() {
			there[e.Name()] = info
		}
	}
	for name, one := range s.services {
		if info := there[name]; info == nil || !os.SameFile(info, one.info) {
			one.remove()
			select {
			case <-one.over:
				delete(s.services, name)
			default: // Its process takes its time; a new one of the same name has to wait.
			}
		}
	}
	for name, info := range there {
		dir := filepath.Join(s.dir, name)
		if s.services[name] != nil || !executable(filepath.Join(dir, "run")) {
			continue
		}
		one, err := newService(name, dir, filepath.Join(s.logs, name+".log"), info, s.reaper, s.console)
		if err != nil {
			fmt.Fprintf(s.console, "init: service %s: %v\n", name, err)
			continue
		}
		s.services[name] = one
		s.wait.Go(one.supervise)
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
