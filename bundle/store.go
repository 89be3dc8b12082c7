package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// A store is the folder that finished artefacts and bundles are kept in:
//
//	artefacts/<name>-<key>/      the files of one program or image, and sums.json
//	<key>/                       a bundle: manifest.json, and hard links to its artefacts' files
//	latest                       a link to the bundle that was built last
//	lock                         held while something is built
//
// Everything is made under a temporary name and renamed when it is whole.
type store struct{ root string }

const (
	manifestName = "manifest.json"
	sumsName     = "sums.json"
	inputsName   = "inputs.json" // in a bundle: the artefacts it is made of
	latestName   = "latest"
	partPrefix   = "part-"

	// keptBundles is how many bundles stay, the newest ones: what serves an older one goes on until it ends.
	keptBundles = 3
	// keyLength is how much of a key, in hex digits, is in the name of a folder.
	keyLength = 20
)

func openStore(root string) (*store, error) {
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("bundle store: %w", err)
		}
		root = filepath.Join(cache, "skyweld", "bundle")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("bundle store: %w", err)
	}
	return &store{root: root}, nil
}

func (s *store) bundle(key string) string { return filepath.Join(s.root, key[:keyLength]) }

func (s *store) artefact(name, key string) string {
	return filepath.Join(s.root, "artefacts", name+"-"+key[:keyLength])
}

// lock waits until no other build is under way. The kernel drops the lock when this process ends, however it does.
func (s *store) lock(ctx context.Context, say func(string, ...any)) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(s.root, "artefacts"), 0o755); err != nil {
		return nil, fmt.Errorf("bundle store: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(s.root, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("bundle store: %w", err)
	}
	for waited := false; ; waited = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("lock bundle store %s: %w", s.root, err)
		}
		if !waited {
			say("another build is under way; waiting for it")
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("lock bundle store %s: %w", s.root, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// sum is what is known of an artefact's file.
type sum struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// finished gives the sums of an artefact's files when it is there and undamaged. A damaged one is removed.
func (s *store) finished(name, key string) (map[string]sum, error) {
	folder := s.artefact(name, key)
	data, err := os.ReadFile(filepath.Join(folder, sumsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("artefact %s: %w", name, err)
	}
	var sums map[string]sum
	if err := json.Unmarshal(data, &sums); err != nil {
		return nil, s.discard(folder)
	}
	for file, want := range sums {
		digest, size, err := manifest.Digest(filepath.Join(folder, file))
		if err != nil || digest != want.SHA256 || size != want.Size {
			return nil, s.discard(folder)
		}
	}
	return sums, nil
}

func (s *store) discard(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("discard damaged artefact: %w", err)
	}
	return nil
}

// keep makes an artefact: it has fill write the files into a temporary folder, and takes the folder over when all of
// them are there.
func (s *store) keep(name, key string, files []string, fill func(folder string) error) (map[string]sum, error) {
	folder, err := os.MkdirTemp(s.root, partPrefix)
	if err != nil {
		return nil, fmt.Errorf("artefact %s: %w", name, err)
	}
	defer os.RemoveAll(folder)
	if err := fill(folder); err != nil {
		return nil, err
	}
	sums := map[string]sum{}
	for _, file := range files {
		digest, size, err := manifest.Digest(filepath.Join(folder, file))
		if err != nil {
			return nil, fmt.Errorf("artefact %s: %w", name, err)
		}
		sums[file] = sum{SHA256: digest, Size: size}
	}
	if err := writeJSON(filepath.Join(folder, sumsName), sums); err != nil {
		return nil, fmt.Errorf("artefact %s: %w", name, err)
	}
	if err := settle(folder, s.artefact(name, key)); err != nil {
		return nil, fmt.Errorf("artefact %s: %w", name, err)
	}
	return sums, nil
}

// settle gives a finished folder its name, with rights that let others read it.
func settle(folder, name string) error {
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	return os.Rename(folder, name)
}

// publish makes the bundle's folder: the encoded manifest, and each file under its relative URL.
func (s *store) publish(key string, encoded []byte, sources map[string]string, artefacts []string) error {
	folder, err := os.MkdirTemp(s.root, partPrefix)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	defer os.RemoveAll(folder)
	for address, source := range sources {
		name := filepath.Join(folder, filepath.FromSlash(address))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		if err := linkOrCopy(source, name); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	if err := writeJSON(filepath.Join(folder, inputsName), artefacts); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, manifestName), encoded, 0o644); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if err := settle(folder, s.bundle(key)); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// point makes "latest" lead to the bundle, in one step.
func (s *store) point(key string) error {
	link := filepath.Join(s.root, partPrefix+latestName)
	if err := os.RemoveAll(link); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if err := os.Symlink(filepath.Base(s.bundle(key)), link); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if err := os.Rename(link, filepath.Join(s.root, latestName)); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// tidy removes what a build that was cut short left behind, all but the newest bundles, and the artefacts that no
// bundle is made of any more. The bundle under key stays in any case. Only whoever holds the lock may call it.
func (s *store) tidy(key string) error {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return fmt.Errorf("tidy bundle store: %w", err)
	}
	type aged struct {
		name string
		made time.Time
	}
	var bundles []aged
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, partPrefix) {
			if err := os.RemoveAll(filepath.Join(s.root, name)); err != nil {
				return fmt.Errorf("tidy bundle store: %w", err)
			}
			continue
		}
		if info, err := os.Stat(filepath.Join(s.root, name, manifestName)); err == nil && entry.IsDir() {
			bundles = append(bundles, aged{name: name, made: info.ModTime()})
		}
	}
	own := filepath.Base(s.bundle(key))
	sort.Slice(bundles, func(i, j int) bool {
		if (bundles[i].name == own) != (bundles[j].name == own) {
			return bundles[i].name == own
		}
		return bundles[i].made.After(bundles[j].made)
	})
	used := map[string]bool{}
	for i, bundle := range bundles {
		folder := filepath.Join(s.root, bundle.name)
		if i >= keptBundles {
			if err := os.RemoveAll(folder); err != nil {
				return fmt.Errorf("tidy bundle store: %w", err)
			}
			continue
		}
		for _, name := range bundleInputs(folder) {
			used[name] = true
		}
	}
	return s.tidyArtefacts(used)
}

func bundleInputs(folder string) []string {
	var names []string
	data, err := os.ReadFile(filepath.Join(folder, inputsName))
	if err == nil {
		err = json.Unmarshal(data, &names)
	}
	if err != nil {
		return nil // its artefacts are built again when they are needed
	}
	return names
}

func (s *store) tidyArtefacts(used map[string]bool) error {
	folder := filepath.Join(s.root, "artefacts")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("tidy bundle store: %w", err)
	}
	for _, entry := range entries {
		if used[entry.Name()] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return fmt.Errorf("tidy bundle store: %w", err)
		}
	}
	return nil
}

// linkOrCopy makes a hard link, which costs no space, or a copy where the file system has none.
func linkOrCopy(source, name string) error {
	if os.Link(source, name) == nil {
		return nil
	}
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, copyErr := io.Copy(to, from)
	return errors.Join(copyErr, to.Close())
}

func writeJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(slices.Clip(data), '\n'), 0o644)
}

// complete says whether the bundle under key is there, with every file in its full size.
func (s *store) complete(key string) bool {
	m, err := manifest.Read(filepath.Join(s.bundle(key), manifestName))
	return err == nil && m.Sums(s.bundle(key), false) == nil
}
