package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// keyer makes the key of one artefact from all that its content depends on. Every part is written with its length,
// so that no two lists of parts read the same.
type keyer struct {
	hash io.Writer
	sum  func() string
}

func newKeyer(kind, name string) *keyer {
	hash := sha256.New()
	k := &keyer{hash: hash, sum: func() string { return hex.EncodeToString(hash.Sum(nil)) }}
	k.add(kind, name)
	return k
}

func (k *keyer) add(parts ...string) {
	for _, part := range parts {
		fmt.Fprintf(k.hash, "%d:%s\n", len(part), part)
	}
}

// addFile adds a file's name and content.
func (k *keyer) addFile(label, name string) error {
	digest, _, err := manifest.Digest(name)
	if err != nil {
		return err
	}
	k.add(label, digest)
	return nil
}

// addSources adds the Go sources in folder that aren't tests, and its go.mod and go.sum.
func (k *keyer) addSources(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		source := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if source || name == "go.mod" || name == "go.sum" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		if err := k.addFile(name, filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// programKey is the key of a program's build.
func programKey(ctx context.Context, source string, p program) (string, error) {
	folder := filepath.Join(source, "programs", p.module)
	k := newKeyer("program", p.name)
	if err := k.addSources(folder); err != nil {
		return "", fmt.Errorf("key of %s: %w", p.name, err)
	}
	version, err := output(ctx, folder, p.environment(), "go", "env", "GOVERSION", "GOEXPERIMENT")
	if err != nil {
		return "", fmt.Errorf("key of %s: %w", p.name, err)
	}
	k.add(version)
	k.add(p.buildArgs()...)
	k.add(p.packages...)
	k.add(p.fixed()...)
	if p.cgo {
		if err := k.addToolchain(ctx); err != nil {
			return "", fmt.Errorf("key of %s: %w (the packages it needs are in packages.txt)", p.name, err)
		}
	}
	return k.sum(), nil
}

// addToolchain adds the C compiler and the static libraries that runc is linked with. Finding them here, before
// anything is compiled, is also what tells early that they are missing.
func (k *keyer) addToolchain(ctx context.Context) error {
	version, err := output(ctx, "", os.Environ(), "gcc", "-dumpfullversion")
	if err != nil {
		return err
	}
	k.add(version)
	folder, err := output(ctx, "", os.Environ(), "pkg-config", "--variable=libdir", "libseccomp")
	if err != nil {
		return err
	}
	if err := k.addFile("libseccomp.a", filepath.Join(folder, "libseccomp.a")); err != nil {
		return err
	}
	libc, err := output(ctx, "", os.Environ(), "gcc", "-print-file-name=libc.a")
	if err != nil {
		return err
	}
	return k.addFile("libc.a", libc)
}

// output runs a command and gives what it prints, trimmed.
func output(ctx context.Context, folder string, environment []string, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Env = folder, environment
	var problems strings.Builder
	command.Stderr = &problems
	printed, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(problems.String()))
	}
	return strings.TrimSpace(string(printed)), nil
}
