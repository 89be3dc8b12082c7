// Command bundle makes what a Kubernetes node needs: programs and images compiled from Go modules, or a manifest of
// the projects' own releases. It installs nothing and serves nothing; the node's agent and the lab do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/skyweld/skyweld/bundle/internal/official"
)

const usage = `usage: go run . build [-source dir] [-cache dir]
       go run . path [-source dir] [-cache dir]
       go run . official [-version v] [-arch a] [-base-url url] [-out file]

build     compile the bundle, or what of it isn't there yet; the last line is the manifest's path
path      print the manifest's path without building; fails when the bundle isn't there
official  write a manifest of the projects' own releases, with the digests that they publish
`

var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	flags := flag.NewFlagSet("bundle "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	parse := func() error {
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flags.Arg(0))
		}
		return nil
	}
	switch args[0] {
	case "build", "path":
		source := flags.String("source", ".", "the bundle folder of the checkout")
		cache := flags.String("cache", "", "where bundles are kept (default: skyweld/bundle in the user's cache folder)")
		if err := parse(); err != nil {
			return err
		}
		return local(ctx, args[0] == "build", *source, *cache, stdout, stderr)
	case "official":
		version := flags.String("version", kubernetesVersion, "the Kubernetes version")
		arch := flags.String("arch", runtime.GOARCH, "the nodes' architecture")
		base := flags.String("base-url", "", "a mirror, which has each site's files under the site's name (default: the sites themselves)")
		out := flags.String("out", "-", "the file to write, - for standard output")
		if err := parse(); err != nil {
			return err
		}
		return release(ctx, *version, *arch, *base, *out, stdout)
	default:
		return errUsage
	}
}

// local builds the bundle, or only says where it is.
func local(ctx context.Context, build bool, source, cache string, stdout, stderr io.Writer) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a bundle holds programs of the machine it is built on, which must run linux, not %s", runtime.GOOS)
	}
	st, err := openStore(cache)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stderr, "bundle: "+format+"\n", args...)
	}
	b, err := newBuilder(ctx, source, st, say)
	if err != nil {
		return err
	}
	path := ""
	if build {
		path, err = b.build(ctx)
	} else {
		path, err = b.existing()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, path)
	return err
}

// existing gives the path of the manifest of a bundle that is built already.
func (b *builder) existing() (string, error) {
	key, err := b.key()
	if err != nil {
		return "", err
	}
	if !b.store.complete(key) {
		return "", fmt.Errorf("the bundle for these sources isn't built yet")
	}
	return filepath.Join(b.store.bundle(key), manifestName), nil
}

// release writes the manifest of the projects' own releases.
func release(ctx context.Context, version, arch, base, out string, stdout io.Writer) error {
	m, err := official.Manifest(ctx, official.Options{
		Kubernetes: version, Containerd: containerdVersion, Runc: runcVersion, CNI: cniVersion,
		Architecture: arch, BaseURL: base,
		ProgramFolder: nodeFolder, CNIFolder: cniFolder,
	})
	if err != nil {
		return err
	}
	encoded, err := m.Encode()
	if err != nil {
		return err
	}
	if out == "-" {
		_, err = stdout.Write(encoded)
		return err
	}
	if err := os.WriteFile(out, encoded, 0o644); err != nil {
		return fmt.Errorf("write official manifest: %w", err)
	}
	return nil
}
