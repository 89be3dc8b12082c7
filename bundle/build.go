package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// lanes is how many programs are compiled at once: while one waits for its linker, which has one thread, the other
// keeps the processors busy.
const lanes = 2

// A builder makes one bundle from the sources below a folder.
type builder struct {
	source string
	store  *store
	say    func(format string, args ...any) // progress, from any goroutine

	programs []program
	images   []imageRecipe
	host     map[string]hostFiles      // by image
	keys     map[string]string         // by artefact
	sums     map[string]map[string]sum // by artefact and file
	mu       sync.Mutex                // guards sums
}

// newBuilder works out all keys, and by that finds out early what is missing on this machine.
func newBuilder(ctx context.Context, source string, st *store, say func(string, ...any)) (*builder, error) {
	b := &builder{
		source: source, store: st, say: say, programs: programs(), images: images(),
		host: map[string]hostFiles{}, keys: map[string]string{}, sums: map[string]map[string]sum{},
	}
	if _, err := os.Stat(filepath.Join(source, "programs")); err != nil {
		return nil, fmt.Errorf("bundle sources: %w (run it in the bundle folder, or name that with -source)", err)
	}
	for _, p := range b.programs {
		key, err := programKey(ctx, source, p)
		if err != nil {
			return nil, err
		}
		b.keys[p.name] = key
	}
	for _, r := range b.images {
		host, err := findHostFiles(r.host)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", r.name, err)
		}
		b.host[r.name] = host
		key, err := imageKey(source, r, host, b.keys)
		if err != nil {
			return nil, err
		}
		b.keys[imageArtefact(r.name)] = key
	}
	return b, nil
}

// key is the whole bundle's: its artefacts' keys and where they go.
func (b *builder) key() (string, error) {
	k := newKeyer("bundle", kubernetesVersion)
	for _, name := range b.artefacts() {
		k.add(name, b.keys[name])
	}
	m, _ := layout()
	plain, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("key of the bundle: %w", err)
	}
	k.add(string(plain))
	return k.sum(), nil
}

func (b *builder) artefacts() []string {
	names := make([]string, 0, len(b.keys))
	for name := range b.keys {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// build makes whatever isn't there yet and gives the path of the bundle's manifest.
func (b *builder) build(ctx context.Context) (string, error) {
	key, err := b.key()
	if err != nil {
		return "", err
	}
	unlock, err := b.store.lock(ctx, b.say)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(b.store.bundle(key), manifestName)
	if b.store.complete(key) {
		b.say("nothing to do, the bundle is there")
		return path, b.store.point(key)
	}
	start := time.Now()
	if err := b.buildPrograms(ctx); err != nil {
		return "", err
	}
	for _, r := range b.images {
		if err := b.buildImage(ctx, r); err != nil {
			return "", err
		}
	}
	if err := b.publish(key); err != nil {
		return "", err
	}
	if err := b.store.point(key); err != nil {
		return "", err
	}
	b.say("done after %s", since(start))
	return path, b.store.tidy(key)
}

// buildPrograms compiles all programs, a few at once. The first error stops the others.
func (b *builder) buildPrograms(ctx context.Context) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	queue := make(chan program, len(b.programs))
	for _, p := range b.programs {
		queue <- p
	}
	close(queue)
	failures := make([]error, lanes)
	var workers sync.WaitGroup
	for lane := range lanes {
		workers.Go(func() {
			for p := range queue {
				if failures[lane] = b.buildProgram(running, p); failures[lane] != nil {
					stop()
					return
				}
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("compile programs: %w", err)
	}
	return errors.Join(failures...)
}

func (b *builder) buildProgram(ctx context.Context, p program) error {
	if ctx.Err() != nil {
		return nil // another lane's failure is why, and is reported there
	}
	return b.artefact(p.name, p.files(), func(folder string) error {
		return compile(ctx, b.source, p, folder, b.say)
	})
}

func (b *builder) buildImage(ctx context.Context, r imageRecipe) error {
	file := r.name + ".tar"
	return b.artefact(imageArtefact(r.name), []string{file}, func(folder string) error {
		in := inputs{host: b.host[r.name], program: b.programFile}
		return writeImage(ctx, r, in, filepath.Join(folder, file))
	})
}

// programFile gives the path of a file that one of the programs was compiled to.
func (b *builder) programFile(file string) string {
	for _, p := range b.programs {
		for _, name := range p.files() {
			if name == file {
				return filepath.Join(b.store.artefact(p.name, b.keys[p.name]), file)
			}
		}
	}
	return file // opening it fails, with this name
}

// artefact takes one from the store, or makes it.
func (b *builder) artefact(name string, files []string, fill func(folder string) error) error {
	key := b.keys[name]
	sums, err := b.store.finished(name, key)
	if err != nil {
		return err
	}
	if sums == nil {
		start := time.Now()
		b.say("%s: building", name)
		if sums, err = b.store.keep(name, key, files, fill); err != nil {
			return err
		}
		b.say("%s: built in %s, %s", name, since(start), megabytes(sums))
	} else {
		b.say("%s: unchanged, %s", name, megabytes(sums))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sums[name] = sums
	return nil
}

// publish fills in the manifest and makes the bundle's folder.
func (b *builder) publish(key string) error {
	m, parts := layout()
	sources := map[string]string{}
	for url, from := range parts {
		sources[url] = filepath.Join(b.store.artefact(from.artefact, b.keys[from.artefact]), from.file)
	}
	for i := range m.Files {
		known := b.sums[parts[m.Files[i].URL].artefact][parts[m.Files[i].URL].file]
		m.Files[i].SHA256, m.Files[i].Size = known.SHA256, known.Size
	}
	for i := range m.Images {
		known := b.sums[parts[m.Images[i].URL].artefact][parts[m.Images[i].URL].file]
		m.Images[i].SHA256, m.Images[i].Size = known.SHA256, known.Size
	}
	encoded, err := m.Encode()
	if err != nil {
		return err
	}
	var names []string
	for _, name := range b.artefacts() {
		names = append(names, filepath.Base(b.store.artefact(name, b.keys[name])))
	}
	return b.store.publish(key, encoded, sources, names)
}

func since(start time.Time) time.Duration { return time.Since(start).Round(time.Second) }

func megabytes(sums map[string]sum) string {
	var total int64
	for _, s := range sums {
		total += s.Size
	}
	return fmt.Sprintf("%.1f MB", float64(total)/1e6)
}
