//go:build linux

package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

// record is what a fabric has made on the host, written before it is made, so that a killed lab can be cleaned up.
// Everything else lives inside these namespaces and ends with them.
type record struct {
	mu   sync.Mutex
	path string
	lock *os.File

	// Namespaces maps each namespace's path to its inode, 0 while it is being made.
	Namespaces map[string]uint64 `json:"namespaces"`
	// MadeDir says that there was no folder for named namespaces before.
	MadeDir bool `json:"madeDir,omitempty"`
}

// openRecord locks the folder's record against a second fabric and loads it.
func openRecord(dir string) (*record, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "fabric.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("fabric in %s is in use by a running lab", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	r := &record{path: filepath.Join(dir, "fabric.json"), lock: lock, Namespaces: map[string]uint64{}}
	if err := world.LoadRecord(r.path, r); err != nil {
		lock.Close()
		return nil, err
	}
	return r, nil
}

// makeNamespace makes a namespace that the record knows of at every moment.
func (r *record) makeNamespace(path string) (*namespace, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("namespace %s exists already: another lab has the same name", path)
	}
	if !hasNamespaceDir() {
		r.MadeDir = true
	}
	r.Namespaces[path] = 0
	if err := world.SaveRecord(r.path, r); err != nil {
		delete(r.Namespaces, path)
		return nil, err
	}
	ns, err := makeNamespace(path)
	if err == nil {
		r.Namespaces[path], err = ns.inode()
	}
	if err == nil {
		err = world.SaveRecord(r.path, r)
	}
	if err != nil {
		if ns != nil {
			err = errors.Join(err, ns.remove())
		}
		delete(r.Namespaces, path)
		return nil, errors.Join(err, world.SaveRecord(r.path, r))
	}
	return ns, nil
}

// removeNamespace removes a namespace and then its entry.
func (r *record) removeNamespace(ns *namespace) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ns.remove(); err != nil {
		return err
	}
	delete(r.Namespaces, ns.path)
	return world.SaveRecord(r.path, r)
}

// clean removes all that the record names. A namespace of the same name that somebody else made since is left alone.
func (r *record) clean() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed error
	for path, recorded := range r.Namespaces {
		inode, err := namespaceInode(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			failed = errors.Join(failed, err)
			continue
		case recorded != 0 && inode != 0 && inode != recorded:
		default:
			if err := dropNamespace(path); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		delete(r.Namespaces, path)
	}
	if failed != nil {
		return errors.Join(failed, world.SaveRecord(r.path, r))
	}
	if r.MadeDir {
		if err := tidyNamespaceDir(); err != nil {
			return err
		}
		r.MadeDir = false
	}
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fabric: %w", err)
	}
	return nil
}

// close gives the folder free for another fabric.
func (r *record) close() error {
	return r.lock.Close()
}
