package backend

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/skyweld/skyweld/lab/world"
)

// File keeps a service's records, which count their changes.
type File struct {
	whose string
	path  string
	mu    sync.Mutex // held while writing
	saved int64
}

// OpenFile loads what a file in a folder remembers into records, and makes the folder where there is none. Errors say whose
// records they are about ("EC2's").
func OpenFile(dir, name, whose string, records any) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of %s records: %w", whose, err)
	}
	f := &File{whose: whose, path: filepath.Join(dir, name)}
	if err := world.LoadRecord(f.path, records); err != nil {
		return nil, fmt.Errorf("load %s records: %w", whose, err)
	}
	return f, nil
}

// Save writes records unless their version is written. Those who wait for each other share one write. The lock is the one
// that guards records and version; the writing itself goes on without it.
func (f *File) Save(lock sync.Locker, version *int64, records any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	lock.Lock()
	now := *version
	if f.saved == now {
		lock.Unlock()
		return nil
	}
	data, err := json.Marshal(records)
	lock.Unlock()
	if err != nil {
		return fmt.Errorf("%s records: %w", f.whose, err)
	}
	if err := world.SaveRecord(f.path, json.RawMessage(data)); err != nil {
		return err
	}
	f.saved = now
	return nil
}
