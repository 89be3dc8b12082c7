// Package elflibs finds the files that a dynamically linked program needs to run in an otherwise empty root: its
// loader and its libraries, and theirs. It is no loader: it reads headers, runs nothing, and knows nothing of
// libraries that a program opens by name while it runs.
package elflibs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Resolver looks for libraries the way ld.so(8) does, without its cache.
type Resolver struct {
	root    string   // prefix of every path that is opened; "" is the host
	folders []string // searched after a program's own run path, in order
}

// NewResolver makes a resolver for the file system below root ("" or "/" for the host itself). It reads the folders
// that root's /etc/ld.so.conf names, and adds the loader's own.
func NewResolver(root string) (*Resolver, error) {
	r := &Resolver{root: strings.TrimSuffix(root, "/")}
	folders, err := r.configured("/etc/ld.so.conf", 0)
	if err != nil {
		return nil, fmt.Errorf("library folders: %w", err)
	}
	r.folders = append(folders, "/lib", "/usr/lib", "/lib64", "/usr/lib64")
	// What an administrator installed comes last: a loader without the host's cache doesn't look there.
	sort.SliceStable(r.folders, func(i, j int) bool { return !local(r.folders[i]) && local(r.folders[j]) })
	return r, nil
}

func local(folder string) bool { return strings.HasPrefix(folder, "/usr/local/") }

// maxIncludes bounds how deep ld.so.conf files may include one another.
const maxIncludes = 8

// configured gives the folders that one ld.so.conf names, in order. A file that doesn't exist names none.
func (r *Resolver) configured(name string, depth int) ([]string, error) {
	if depth > maxIncludes {
		return nil, fmt.Errorf("%s: includes are nested too deep", name)
	}
	data, err := os.ReadFile(r.root + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var folders []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "include":
			for _, pattern := range fields[1:] {
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(name), pattern)
				}
				included, err := r.include(pattern, depth+1)
				if err != nil {
					return nil, err
				}
				folders = append(folders, included...)
			}
		case filepath.IsAbs(fields[0]):
			folders = append(folders, filepath.Clean(fields[0]))
		}
	}
	return folders, nil
}

func (r *Resolver) include(pattern string, depth int) ([]string, error) {
	matches, err := filepath.Glob(r.root + pattern)
	if err != nil {
		return nil, fmt.Errorf("include %s: %w", pattern, err)
	}
	sort.Strings(matches)
	var folders []string
	for _, match := range matches {
		more, err := r.configured(strings.TrimPrefix(match, r.root), depth)
		if err != nil {
			return nil, err
		}
		folders = append(folders, more...)
	}
	return folders, nil
}

// header is what matters here of one ELF file.
type header struct {
	class       elf.Class
	machine     elf.Machine
	interpreter string   // the loader, empty for libraries and static programs
	needed      []string // sonames
	runPath     []string // folders, with $ORIGIN replaced
}

// Closure gives the absolute paths, sorted, of the loader and all libraries that the programs need, without the
// programs themselves. A static program needs none. A library that isn't found is an error that says who needs it.
func (r *Resolver) Closure(programs ...string) ([]string, error) {
	found := map[string]bool{}
	type job struct {
		path      string
		inherited []string // the program's run path, which its libraries are searched in too
	}
	var queue []job
	for _, program := range programs {
		queue = append(queue, job{path: program})
	}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		h, err := r.read(next.path)
		if err != nil {
			return nil, err
		}
		add := func(path string) {
			if !found[path] {
				found[path] = true
				queue = append(queue, job{path: path, inherited: next.inherited})
			}
		}
		if len(next.inherited) == 0 {
			next.inherited = h.runPath
		}
		if h.interpreter != "" {
			add(h.interpreter)
		}
		for _, soname := range h.needed {
			path, err := r.find(soname, h, next.inherited)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", next.path, err)
			}
			add(path)
		}
	}
	paths := make([]string, 0, len(found))
	for path := range found {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths, nil
}

// find gives the path of the first file called soname that is for the same machine as its user.
func (r *Resolver) find(soname string, user header, inherited []string) (string, error) {
	if strings.Contains(soname, "/") {
		return soname, nil
	}
	for _, folders := range [][]string{user.runPath, inherited, r.folders} {
		for _, folder := range folders {
			path := filepath.Join(folder, soname)
			if _, err := os.Stat(r.root + path); err != nil {
				continue
			}
			if h, err := r.read(path); err == nil && h.class == user.class && h.machine == user.machine {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("library %s not found in %s", soname, strings.Join(r.folders, ", "))
}

func (r *Resolver) read(path string) (header, error) {
	file, err := elf.Open(r.root + path)
	if err != nil {
		return header{}, fmt.Errorf("read ELF headers of %s: %w", path, err)
	}
	defer file.Close()
	h := header{class: file.Class, machine: file.Machine}
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(segment.Open(), 4096))
		if err != nil {
			return header{}, fmt.Errorf("read loader name of %s: %w", path, err)
		}
		h.interpreter = strings.TrimRight(string(name), "\x00")
	}
	if file.SectionByType(elf.SHT_DYNAMIC) == nil {
		return h, nil // static: no libraries
	}
	if h.needed, err = file.ImportedLibraries(); err != nil {
		return header{}, fmt.Errorf("read library names of %s: %w", path, err)
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, err := file.DynString(tag)
		if err != nil {
			return header{}, fmt.Errorf("read run path of %s: %w", path, err)
		}
		for _, value := range values {
			h.runPath = append(h.runPath, expand(value, path)...)
		}
	}
	return h, nil
}

// expand splits a run path and puts the file's own folder in the place of $ORIGIN.
func expand(value, path string) []string {
	origin := filepath.Dir(path)
	var folders []string
	for _, folder := range strings.Split(value, ":") {
		folder = strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(folder)
		if filepath.IsAbs(folder) {
			folders = append(folders, filepath.Clean(folder))
		}
	}
	return folders
}
