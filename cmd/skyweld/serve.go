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
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/metrics"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
	"github.com/skyweld/skyweld/web"
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
		cloud.Azure: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
			return azure.New(ctx, a, t)
		},
		cloud.DigitalOcean: func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
			return digitalocean.New(ctx, a, t)
		},
	}
	sources = map[cloud.Provider]func(cloud.Source) (cloud.Account, error){
		cloud.AWS: aws.FromEnv, cloud.GCP: gcp.FromEnv, cloud.Azure: azure.FromEnv, cloud.DigitalOcean: digitalocean.FromEnv,
	}
)

// serveFlags are the engine's own settings.
type serveFlags struct {
	listening
	oidcFlags
	metricsListen, database, bundle, bundleSum, egress, logLevel string
	every, firstContact, latencyWindow                           time.Duration
	parallel                                                     int
}

func serveCommand(s *settings) *cobra.Command {
	f := &serveFlags{}
	c := &cobra.Command{
		Use: "serve", Short: "Run the engine", Args: args(), SuggestFor: []string{"start", "run", "server", "engine", "daemon"},
		Long: `Run the engine: it makes, repairs and deletes clusters, and answers this command line. It runs until Ctrl-C or SIGTERM and logs to standard error; steps that are going on then come to their end, for half a minute at most, and a second signal ends it at once. Clusters go on without it, but nothing repairs them. What it was doing it takes up again when it is started anew, and the hourly checks that were missed it makes up one cluster after another.

It serves this machine alone, unless --listen names another address: then it serves TLS, with a certificate of its own in its folder, whose fingerprint it logs, or with --tls-cert and --tls-key, and answers by addresses, this machine's name and those given with --host.

Who has the token in its folder is an admin; one engine at a time can use the folder. Others sign in to the console as users ('skyweld user add', or by OpenID Connect with --oidc-issuer), or ask with API tokens ('skyweld token add'). While there is no user it prints a link at its start that signs in once. Everything the engine knows is in the folder too, secrets encrypted with the key in master.key: keep a copy of that key elsewhere.

It answers /healthz while it lives, /readyz while it is at work, and /metrics for Prometheus to programs on this machine; elsewhere metrics want a token, or --metrics-listen.

Machines install Kubernetes from the bundle: the manifest at --bundle must be reachable from the machines. Without it the engine runs, but makes no clusters.`,
		Example: `  skyweld serve --bundle https://example.com/manifest.json --bundle-sha256 "$(sha256sum < manifest.json | cut -c 1-64)"
  eval "$(sudo -E skyweld lab env)" && skyweld serve        # for the lab
  skyweld serve --listen 127.0.0.1:0 --dir ~/second-engine
  skyweld serve --listen 0.0.0.0:443 --host engine.example.com --tls-cert engine.crt --tls-key engine.key
  skyweld serve --listen :8420 --oidc-issuer https://id.example.com --oidc-client-id skyweld --oidc-client-secret-file secret`,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c.Context(), s, f) },
	}
	c.Flags().StringVar(&f.listen, "listen", defaultListen, "`ADDRESS` and port to serve on; port 0 takes a free one, and no address all of this machine's")
	c.Flags().StringSliceVar(&f.hosts, "host", nil, "`NAMES` that the engine is reached by from elsewhere, by commas; beside addresses and this machine's name")
	c.Flags().StringVar(&f.cert, "tls-cert", "", "`FILE` with the certificate to serve with and those above it, in PEM")
	c.Flags().StringVar(&f.key, "tls-key", "", "`FILE` with its private key, in PEM")
	c.Flags().StringSliceVar(&f.proxies, "trusted-proxy", nil, "`ADDRESSES` or ranges of proxies in front of the engine, by commas: what they say in X-Forwarded-For and X-Forwarded-Proto is believed (default: none)")
	f.oidcFlags.flags(c)
	c.Flags().StringVar(&f.metricsListen, "metrics-listen", "", "`ADDRESS` and port to serve /metrics, /healthz and /readyz on to everybody who reaches it, beside --listen (default: none)")
	c.Flags().StringVar(&f.database, "database", "", "PostgreSQL `URL`, or a SQLite file (default: skyweld.db in the folder)")
	c.Flags().StringVar(&f.bundle, "bundle", os.Getenv("SKYWELD_BUNDLE"), "`URL` of the manifest of node programs, as machines reach it (default: $SKYWELD_BUNDLE)")
	c.Flags().StringVar(&f.bundleSum, "bundle-sha256", os.Getenv("SKYWELD_BUNDLE_SHA256"), "`DIGEST` of the manifest, SHA-256 in 64 hexadecimal digits (default: $SKYWELD_BUNDLE_SHA256)")
	c.Flags().StringVar(&f.egress, "egress", "", "`ADDRESSES` or ranges from which this engine reaches the internet, by commas (default: found out)")
	c.Flags().DurationVar(&f.every, "reconcile-every", time.Hour, "how often each cluster is checked and repaired, give or take a tenth, 1s or more; of several engines at one database the shortest counts")
	c.Flags().DurationVar(&f.firstContact, "first-contact", 10*time.Minute, "how long a new machine may take until it answers SSH, 10s or more")
	c.Flags().DurationVar(&f.latencyWindow, "latency-window", time.Minute, "of which stretch of time nodes make one measurement of the ways to other sites, 2s to 1h in whole seconds; five of them decide that a way is slow")
	c.Flags().IntVar(&f.parallel, "parallel", 12, "how many steps of one run are done at once, 1 or more")
	c.Flags().Lookup("bundle").DefValue, c.Flags().Lookup("bundle-sha256").DefValue = "", "" // the usage says it
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "how much is logged: debug, info, warn or error")
	complete(c, "log-level", fixed("debug", "info", "warn", "error"))
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
	elsewhere, err := f.oidc()
	if err != nil {
		return err
	}
	var egress []netip.Prefix
	if f.egress != "" {
		if egress, err = engine.ParsePrefixes(f.egress); err != nil {
			return usageError{fmt.Errorf("--egress: %w", err)}
		}
	}
	if err := makeFolder(s.dir); err != nil {
		return err
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
	figures := metrics.New(version)
	e := engine.New(engine.Options{
		Store: st, Drivers: drivers, Agent: self, Bundle: node.Bundle{URL: f.bundle, SHA256: f.bundleSum}, Egress: egress,
		Every: f.every, Parallel: f.parallel, Clusters: 4, Name: name, Log: log,
		FirstContact: f.firstContact, LatencyWindow: f.latencyWindow, Meter: figures, Grace: grace,
	})
	figures.Of(e)
	token, err := api.LocalToken(filepath.Join(s.dir, tokenFile))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("--listen: %s is in use, perhaps by another engine: choose another port, or 0 for a free one", f.listen)
		}
		if errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("--listen: this user may not have the port of %s: choose one above 1023", f.listen)
		}
		return fmt.Errorf("--listen: %s can't be listened on: %w", f.listen, err)
	}
	secure, err := f.tls(s.dir, log)
	if err != nil {
		return err
	}
	address := f.address(listener.Addr(), secure != nil)
	if err := os.WriteFile(filepath.Join(s.dir, addressFile), []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("the engine's folder: %w", err)
	}
	people := auth.New(auth.Options{Store: st, LocalToken: token, Log: log, OIDC: elsewhere})
	options := []api.Option{api.Auth(people), api.Metrics(figures.Handler())}
	if !f.loopback() || len(f.hosts) > 0 {
		options = append(options, api.Hosts(f.answersTo()...))
	}
	proxies, err := f.trusted()
	if err != nil {
		return err
	}
	options = append(options, api.Proxies(proxies...))
	handler := api.NewServer(e, token, version, options...)
	handler.Console(web.New(web.Options{Client: handler.As, Elsewhere: people.Browser().External, Version: version, Log: log}))
	server := &http.Server{Handler: handler, TLSConfig: secure, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	server.RegisterOnShutdown(handler.EndWaits)
	served := make(chan error, 1)
	go func() {
		if secure != nil {
			served <- server.ServeTLS(listener, "", "")
			return
		}
		served <- server.Serve(listener)
	}()
	unmeter, err := serveMetrics(f.metricsListen, handler.Operating(), log)
	if err != nil {
		return err
	}
	defer unmeter()
	log.Info("the engine is ready", "address", address, "dir", s.dir, "version", version)
	if err := sayFirstLink(ctx, people, f.public(address)); err != nil {
		log.Warn("no link to sign in with can be made; 'skyweld open' makes one", "error", err)
	}
	ran := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { ran <- e.Run(ctx) }()
	tell(log, "READY=1")
	context.AfterFunc(ctx, func() {
		log.Info("stopping: what is going on comes to its end", "within", grace)
		tell(log, "STOPPING=1")
	})
	select {
	case err = <-served:
		cancel()
		<-ran
	case err = <-ran:
		end, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		err = errors.Join(err, server.Shutdown(end))
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// sayFirstLink prints how to sign in while there is no user who could.
func sayFirstLink(ctx context.Context, people *auth.Service, address string) error {
	link, err := people.FirstLink(ctx)
	if err == nil && link != "" {
		fmt.Fprintf(os.Stderr, "\nNobody has signed in yet. This link does it, once and within an hour ('skyweld open' makes others):\n\n  %s\n\n", auth.WelcomeURL(address, link))
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
	if err := f.listening.check(); err != nil {
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
	if f.latencyWindow < 2*time.Second || f.latencyWindow > time.Hour || f.latencyWindow%time.Second != 0 {
		return usageError{fmt.Errorf("--latency-window: found %s: want 2s to 1h in whole seconds", f.latencyWindow)}
	}
	if f.firstContact < 10*time.Second {
		return usageError{fmt.Errorf("--first-contact: found %s: want 10s or more", f.firstContact)}
	}
	if f.parallel < 1 {
		return usageError{fmt.Errorf("--parallel: found %d: want 1 or more", f.parallel)}
	}
	return nil
}

// makeFolder makes the engine's folder, and makes sure that it can be written: everything needs that.
func makeFolder(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".writable-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	why := err
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		why = p.Err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("the engine's folder %s: it, or what it is in, is a file: name another with --dir", dir)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the engine's folder %s: its disk is full: free some space there, or name another folder with --dir", dir)
	}
	return fmt.Errorf("the engine's folder %s can't be written: %w: give this user the right to, or name another with --dir", dir, why)
}

// openStore opens the engine's database with its master key. A key is made only together with the database: one that was
// made later would open nothing.
func openStore(ctx context.Context, dir, database string) (*store.Store, error) {
	key, token := filepath.Join(dir, keyFile), filepath.Join(dir, tokenFile)
	where, fresh := databaseOf(dir, database)
	if _, err := os.Stat(token); err == nil && fresh && database == "" {
		return nil, fmt.Errorf("the database %s is missing or empty, though an engine has used this folder: put it back, or name the one that was used with --database; "+
			"'skyweld restore' makes it from a backup; to begin anew and forget what was in it, remove %s", where, token)
	}
	box, err := secret.Load(os.Getenv, key, fresh)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, where, box)
}

// databaseOf is where an engine's database is, and whether it may be made together with the master key; of a server's the
// store says whether the key fits.
func databaseOf(dir, named string) (where string, fresh bool) {
	if named == "" {
		named = filepath.Join(dir, "skyweld.db")
	}
	if strings.Contains(named, "://") {
		return named, true
	}
	info, err := os.Stat(named)
	return named, errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0
}

func newLog(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level: found %q: want debug, info, warn or error", level)}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
