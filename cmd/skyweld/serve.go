package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// drivers are the clouds the engine can speak to, sources how their accounts are read from the environment.
var (
	drivers = map[cloud.Provider]engine.Factory{
		cloud.AWS: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
			return aws.New(ctx, a, t)
		},
		cloud.GCP: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
			return gcp.New(ctx, a, t)
		},
	}
	sources = map[cloud.Provider]func(cloud.Source) (cloud.Account, error){cloud.AWS: aws.FromEnv, cloud.GCP: gcp.FromEnv}
)

// serveFlags are the engine's own settings.
type serveFlags struct {
	listen, database, bundle, bundleSum, egress, logLevel string
	every                                                 time.Duration
	parallel                                              int
}

func serveCommand(s *settings) *cobra.Command {
	f := &serveFlags{}
	c := &cobra.Command{
		Use: "serve", Short: "Run the engine", Args: args(),
		Long: `Run the engine: it makes, repairs and deletes clusters, and answers this command line. It serves loopback only; the token
that its requests must carry lies in its folder. Everything it knows is in the folder too, secrets encrypted.`,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c.Context(), s, f) },
	}
	c.Flags().StringVar(&f.listen, "listen", defaultListen, "loopback address and port to serve on; port 0 takes a free one")
	c.Flags().StringVar(&f.database, "database", "", "PostgreSQL URL, or a SQLite file (default: skyweld.db in the folder)")
	c.Flags().StringVar(&f.bundle, "bundle", os.Getenv("SKYWELD_BUNDLE"), "URL of the manifest of node programs, as machines reach it ($SKYWELD_BUNDLE)")
	c.Flags().StringVar(&f.bundleSum, "bundle-sha256", os.Getenv("SKYWELD_BUNDLE_SHA256"), "SHA-256 of the manifest ($SKYWELD_BUNDLE_SHA256)")
	c.Flags().StringVar(&f.egress, "egress", "", "addresses from which this engine reaches the internet (default: found out)")
	c.Flags().DurationVar(&f.every, "reconcile-every", time.Hour, "how often each cluster is checked and repaired")
	c.Flags().IntVar(&f.parallel, "parallel", 12, "steps of one run that are done at once")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func serve(ctx context.Context, s *settings, f *serveFlags) error {
	log, err := newLog(f.logLevel)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	var egress []netip.Prefix
	if f.egress != "" {
		if egress, err = engine.ParsePrefixes(f.egress); err != nil {
			return usageError{fmt.Errorf("--egress: %w", err)}
		}
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("the engine's folder: %w", err)
	}
	st, err := openStore(ctx, s.dir, f.database)
	if err != nil {
		return err
	}
	defer st.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	name, unlock, err := engineName(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := st.Abandon(ctx, name); err != nil {
		return err
	}
	e := engine.New(engine.Options{
		Store: st, Drivers: drivers, Agent: self, Bundle: node.Bundle{URL: f.bundle, SHA256: f.bundleSum}, Egress: egress,
		Every: f.every, Parallel: f.parallel, Clusters: 4, Name: name, Log: log,
	})
	token, err := api.LocalToken(filepath.Join(s.dir, tokenFile))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("--listen: %s is in use, perhaps by another engine: choose another port, or 0 for a free one", f.listen)
		}
		return fmt.Errorf("--listen: %w", err)
	}
	address := "http://" + listener.Addr().String()
	if err := os.WriteFile(filepath.Join(s.dir, addressFile), []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("the engine's folder: %w", err)
	}
	server := &http.Server{Handler: api.NewServer(e, token, version), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("the engine is ready", "address", address, "dir", s.dir, "version", version)
	ran := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ran <- e.Run(ctx) }()
	select {
	case err = <-served:
		cancel()
		<-ran
	case err = <-ran:
		log.Info("stopping")
		end, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		err = errors.Join(err, server.Shutdown(end))
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// engineName tells this engine from others that share its database. It belongs to the folder, which one engine at a time
// can use: whatever still holds a lease under this name is dead.
func engineName(dir string) (name string, unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "name"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("the engine's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return "", nil, fmt.Errorf("an engine is running with the folder %s already: use it, or name another folder with --dir", dir)
	}
	data, err := io.ReadAll(f)
	if err == nil && len(data) == 0 {
		b := make([]byte, 6)
		rand.Read(b)
		data = []byte("engine-" + hex.EncodeToString(b))
		_, err = f.Write(data)
	}
	if err != nil {
		f.Close()
		return "", nil, fmt.Errorf("the engine's folder: %w", err)
	}
	return string(data), func() { f.Close() }, nil
}

// check finds the flags that make no sense, before anything is opened.
func (f *serveFlags) check() error {
	if err := loopbackOnly(f.listen); err != nil {
		return err
	}
	if (f.bundle == "") != (f.bundleSum == "") {
		return usageError{errors.New("--bundle and --bundle-sha256 belong together: only one is set")}
	}
	if u, err := url.Parse(f.bundle); f.bundle != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return usageError{fmt.Errorf("--bundle: found %q: want the URL of a manifest, like https://host/manifest.json", f.bundle)}
	}
	if sum, err := hex.DecodeString(f.bundleSum); err != nil || f.bundleSum != "" && len(sum) != sha256.Size {
		return usageError{fmt.Errorf("--bundle-sha256: found %q: want 64 of 0-9 a-f", f.bundleSum)}
	}
	if f.every < time.Second {
		return usageError{fmt.Errorf("--reconcile-every: found %s: want 1s or more", f.every)}
	}
	if f.parallel < 1 {
		return usageError{fmt.Errorf("--parallel: found %d: want 1 or more", f.parallel)}
	}
	return nil
}

func openStore(ctx context.Context, dir, database string) (*store.Store, error) {
	_, err := os.Stat(filepath.Join(dir, "skyweld.db"))
	fresh := database != "" || errors.Is(err, fs.ErrNotExist) // only then may a master key be made
	box, err := secret.Load(os.Getenv, filepath.Join(dir, "master.key"), fresh)
	if err != nil {
		return nil, err
	}
	if database == "" {
		database = filepath.Join(dir, "skyweld.db")
	}
	return store.Open(ctx, database, box)
}

// loopbackOnly refuses to serve the network: who may do what is not told apart yet.
func loopbackOnly(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen: found %q: want an address and port like %s", listen, defaultListen)}
	}
	if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !a.IsLoopback()) {
		return usageError{fmt.Errorf("--listen: found %q: want a loopback address like %s", listen, defaultListen)}
	}
	return nil
}

func newLog(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level: found %q: want debug, info, warn or error", level)}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
