// Package rotate keeps the last part of an endless output in two files, so that a log can never fill a disk. It is not a
// logger: it adds nothing to what is written.
package rotate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// File is a log of bounded size. The newest part is in the file itself, the part before it in a second file of the same
// name with ".1" behind it; the two together never exceed the bound. It is safe for concurrent use.
type File struct {
	path string
	half int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens or creates the log at path, appending to what is there. The bound is in bytes and at least 2.
func Open(path string, bound int64) (*File, error) {
	f := &File{path: path, half: max(bound/2, 1)}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open log: %w", err)
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Write appends p, starting a new file as often as needed.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return 0, fs.ErrClosed
	}
	written := 0
	for len(p) > 0 {
		if f.size >= f.half {
			if err := f.turn(); err != nil {
				return written, err
			}
		}
		n, err := f.file.Write(p[:min(int64(len(p)), f.half-f.size)])
		written, f.size, p = written+n, f.size+int64(n), p[n:]
		if err != nil {
			return written, fmt.Errorf("write log: %w", err)
		}
	}
	return written, nil
}

func (f *File) turn() error {
	f.file.Close()
	f.file = nil
	if err := os.Rename(f.path, f.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotate log: %w", err)
	}
	return f.open()
}

// Close closes the log; what is written later is refused.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// Tail returns at most the last n bytes of the log at path, over both its files. A log that isn't there is empty.
func Tail(path string, n int64) []byte {
	last := tail(path, n)
	if rest := n - int64(len(last)); rest > 0 {
		last = append(tail(path+".1", rest), last...)
	}
	return last
}

func tail(path string, n int64) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	out, err := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-n), n))
	if err != nil {
		return nil
	}
	return out
}
