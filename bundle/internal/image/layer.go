package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"time"
)

// epoch is the time of every entry, so that a layer's digest depends on content alone.
var epoch = time.Unix(0, 0).UTC()

// Layer is a set of files, folders and links that becomes one tar. Parents are added by themselves, root owns
// everything, and the order of the calls doesn't matter.
type Layer struct {
	entries map[string]entry // by path without the leading slash
	err     error            // the first one; Write gives it
}

// entry is one thing in a layer; exactly one of source, data and link may be set for what isn't a folder.
type entry struct {
	kind   byte // tar.TypeReg, TypeDir or TypeSymlink
	mode   int64
	source string // a file on this machine
	data   []byte
	link   string
}

// File puts a copy of the file called source, which may be a link to it, at name.
func (l *Layer) File(name, source string, mode fs.FileMode) {
	l.add(name, entry{kind: tar.TypeReg, mode: int64(mode.Perm()), source: source})
}

// Data puts a file with these bytes at name.
func (l *Layer) Data(name string, data []byte, mode fs.FileMode) {
	l.add(name, entry{kind: tar.TypeReg, mode: int64(mode.Perm()), data: data})
}

// Folder makes a folder at name. mode is as tar has it, so 0o1777 for a shared temporary folder.
func (l *Layer) Folder(name string, mode int64) {
	l.add(name, entry{kind: tar.TypeDir, mode: mode})
}

// Link makes a symbolic link at name that holds target.
func (l *Layer) Link(name, target string) {
	l.add(name, entry{kind: tar.TypeSymlink, mode: 0o777, link: target})
}

// add keeps one entry. The same path twice is a mistake, since which one wins would depend on the runtime.
func (l *Layer) add(name string, e entry) {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if l.entries == nil {
		l.entries = map[string]entry{}
	}
	switch _, taken := l.entries[clean]; {
	case clean == "":
		l.fail(fmt.Errorf("layer: %q is the root itself", name))
	case taken:
		l.fail(fmt.Errorf("layer: /%s is there twice", clean))
	default:
		l.entries[clean] = e
	}
}

func (l *Layer) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// Has says whether something is at name.
func (l *Layer) Has(name string) bool {
	_, ok := l.entries[strings.TrimPrefix(path.Clean("/"+name), "/")]
	return ok
}

// Write writes the layer as an uncompressed tar: sorted, with one fixed time, the same bytes for the same content.
func (l *Layer) Write(w io.Writer) error {
	if l.err != nil {
		return l.err
	}
	all, err := l.withParents()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names) // a folder sorts before what is in it
	archive := tar.NewWriter(w)
	for _, name := range names {
		if err := all[name].write(archive, name); err != nil {
			return fmt.Errorf("layer entry /%s: %w", name, err)
		}
	}
	return archive.Close()
}

// withParents adds the folders that nobody asked for but that something lies in.
func (l *Layer) withParents() (map[string]entry, error) {
	all := make(map[string]entry, len(l.entries))
	for name, e := range l.entries {
		all[name] = e
		for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
			above, ok := l.entries[parent]
			if ok && above.kind != tar.TypeDir {
				return nil, fmt.Errorf("layer: /%s lies in /%s, which is no folder", name, parent)
			}
			if !ok {
				all[parent] = entry{kind: tar.TypeDir, mode: 0o755}
			}
		}
	}
	return all, nil
}

func (e entry) write(archive *tar.Writer, name string) error {
	header := &tar.Header{
		Typeflag: e.kind, Name: name, Linkname: e.link, Mode: e.mode, ModTime: epoch, Size: int64(len(e.data)),
	}
	if e.kind == tar.TypeDir {
		header.Name += "/"
	}
	if e.source == "" {
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(e.data)
		return err
	}
	file, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header.Size = info.Size()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
