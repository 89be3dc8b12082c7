// Package webtest is an engine over clouds in memory with clusters in different states, and the console in front of it: for
// the console's own tests, for looking at it while working on it, and for tests in a browser. It is for tests only.
package webtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
	"github.com/skyweld/skyweld/web"
)

// Providers are the clouds of a scene; each has one account, named "my-" and the cloud.
var Providers = []cloud.Provider{cloud.AWS, cloud.GCP, cloud.Azure, cloud.DigitalOcean}

// Options say what a scene is like.
type Options struct {
	// Dir is where its database is.
	Dir string
	// Call is how long a call to a cloud takes, Boot a machine.
	Call, Boot time.Duration
	Log        *slog.Logger
}

// Scene is an engine with its clouds and its console.
type Scene struct {
	Engine  *engine.Engine
	Store   *store.Store
	API     *api.Server
	Console *web.Console
	Clouds  map[cloud.Provider]*cloudtest.Cloud

	mu     sync.Mutex
	worlds map[string]*enginetest.World // by the cluster's name
}

// New makes a scene. Run lets its engine begin.
func New(ctx context.Context, o Options) (*Scene, error) {
	s := &Scene{Clouds: map[cloud.Provider]*cloudtest.Cloud{}, worlds: map[string]*enginetest.World{}}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	box, err := secret.New(bytes.Repeat([]byte{7}, 32), "webtest")
	if err != nil {
		return nil, err
	}
	if s.Store, err = store.Open(ctx, filepath.Join(o.Dir, "skyweld.db"), box); err != nil {
		return nil, err
	}
	drivers := map[cloud.Provider]engine.Factory{}
	for i, p := range Providers {
		regions := map[string][]string{}
		for _, r := range geo.Regions(string(p)) {
			if regions[r.ID] = r.Zones; len(r.Zones) == 0 {
				regions[r.ID] = []string{r.ID}
			}
		}
		c := cloudtest.New(cloudtest.Options{Provider: p, Account: "account-of-" + string(p), Regions: regions, Latency: o.Call, Boot: o.Boot})
		for range i * 64 { // no two clouds have the same addresses
			c.Foreign(cloudtest.KindAddress, slices.Sorted(maps.Keys(regions))[0], &cloudtest.AddressSpec{})
		}
		s.Clouds[p] = c
		drivers[p] = func(context.Context, cloud.Account, cloud.Transport) (cloud.Driver, error) { return priced{c}, nil }
	}
	agent := filepath.Join(o.Dir, "agent")
	if err := os.WriteFile(agent, []byte("agent"), 0o600); err != nil {
		return nil, err
	}
	s.Engine = engine.New(engine.Options{
		Store: s.Store, Drivers: drivers, Agent: agent, Bundle: node.Bundle{URL: "https://bundle.test/manifest.json", SHA256: strings.Repeat("ab", 32)},
		Every: time.Hour, Parallel: 8, Clusters: 8, Name: "engine", Nodeside: s.nodeside(), Log: o.Log, ListLag: time.Millisecond, FirstContact: 10 * time.Second,
	})
	s.API = api.NewServer(s.Engine, "webtest", "v0.0.0-webtest")
	s.Console = web.New(web.Options{Client: s.API.As, Elsewhere: s.API.Auth().Browser().External, Version: "v0.0.0-webtest", Log: o.Log})
	s.API.Console(s.Console)
	return s, nil
}

// AddAccounts adds an account of each cloud, or of those that are named.
func (s *Scene) AddAccounts(ctx context.Context, of ...cloud.Provider) error {
	if len(of) == 0 {
		of = Providers
	}
	for _, p := range of {
		a := cloud.Account{Name: "my-" + string(p), Provider: p, Settings: map[string]string{engine.SettingEgress: "198.51.100.7"}, Secrets: map[string]cloud.Secret{"key": "secret-of-" + cloud.Secret(p)}}
		if err := s.Store.PutAccount(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// Handler serves console and API as the engine does.
func (s *Scene) Handler() http.Handler { return s.API }

// World is the inside of a cluster.
func (s *Scene) World(cluster string) *enginetest.World {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.worlds[cluster]; w != nil {
		return w
	}
	w := enginetest.New(func() []enginetest.Machine { return s.machines(cluster) })
	s.worlds[cluster] = w
	return w
}

// machines are a cluster's machines that run.
func (s *Scene) machines(cluster string) []enginetest.Machine {
	c, err := s.Store.GetCluster(context.Background(), cluster)
	if err != nil {
		return nil
	}
	var out []enginetest.Machine
	for _, p := range Providers {
		for _, o := range s.Clouds[p].Objects(c.UID) {
			if o.Machine != nil && o.State == cloud.Ready && o.Machine.Public.IsValid() {
				_, name, _ := strings.Cut(o.Key, "-node-")
				out = append(out, enginetest.Machine{Name: name, ProviderID: o.Machine.ProviderID, Public: o.Machine.Public, UserData: s.Clouds[p].UserData(o.ID)})
			}
		}
	}
	return out
}

// worldOf is the inside of the cluster that a node belongs to: its name begins with the cluster's.
func (s *Scene) worldOf(node string) *enginetest.World {
	best := ""
	all, _ := s.Store.ListClusters(context.Background(), false)
	for _, c := range all {
		if strings.HasPrefix(node, c.Name+"-") && len(c.Name) > len(best) {
			best = c.Name
		}
	}
	return s.World(best)
}

// machine is a connection that knows which world it leads to.
type machine struct {
	*enginetest.Conn
	world *enginetest.World
}

// whichWorld is what etcd's maker dials to find that out.
const whichWorld = "which-world"

type worldConn struct {
	net.Conn
	world *enginetest.World
}

func (m machine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == whichWorld {
		return worldConn{world: m.world}, nil
	}
	return m.Conn.DialContext(ctx, network, address)
}

func (m machine) Run(ctx context.Context, command string, stdin io.Reader, log io.Writer) ([]byte, error) {
	return m.Conn.Run(ctx, command, stdin, log)
}

// nodeside reaches the insides of all clusters.
func (s *Scene) nodeside() engine.Nodeside {
	return engine.Nodeside{
		Dial: func(ctx context.Context, t remote.Target) (engine.Machine, error) {
			w := s.worldOf(t.Name)
			c, err := w.Dial(ctx, t)
			if err != nil {
				return nil, err
			}
			return machine{c, w}, nil
		},
		Kubernetes: func(c kube.Cluster, _ kube.PKI, backends []kube.Backend, _ time.Time) (engine.Kubernetes, error) {
			if len(backends) == 0 {
				return nil, errors.New("no control-plane node has an address yet")
			}
			var addresses []string
			for _, b := range backends {
				addresses = append(addresses, b.Address)
			}
			return s.World(c.Name).Kubernetes(addresses...), nil
		},
		Etcd: func(_ kube.PKI, dial kube.Dial, _ time.Time) (engine.Etcd, error) {
			conn, err := dial(context.Background(), whichWorld, "")
			if err != nil {
				return nil, err
			}
			at, ok := conn.(worldConn)
			if !ok {
				return nil, errors.New("no machine of this scene")
			}
			return at.world.EtcdAt(dial)
		},
		Probe: func(ctx context.Context, c kube.Cluster, _ kube.KeyPair, b kube.Backend, _ time.Time) (kube.Endpoint, error) {
			return s.World(c.Name).Probe(ctx, b.Address)
		},
		Knock: func(ctx context.Context, address netip.AddrPort, _ string) error {
			s.mu.Lock()
			worlds := make([]*enginetest.World, 0, len(s.worlds))
			for _, w := range s.worlds {
				worlds = append(worlds, w)
			}
			s.mu.Unlock()
			for _, w := range worlds {
				if slices.ContainsFunc(w.Machines(), func(m enginetest.Machine) bool { return m.Public == address.Addr() }) {
					return w.Knock(ctx, address.Addr())
				}
			}
			return fmt.Errorf("%s: no route to host", address)
		},
	}
}

// Apply asks for a cluster.
func (s *Scene) Apply(ctx context.Context, file string) error {
	_, err := s.Engine.Apply(ctx, []byte(file), "ada")
	return err
}

// Until waits until a cluster is as wanted.
func (s *Scene) Until(ctx context.Context, cluster string, ok func(store.Cluster) bool) error {
	watch := s.Store.Watch()
	defer watch.Close()
	for {
		c, err := s.Store.GetCluster(ctx, cluster)
		if err == nil && ok(c) {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cluster %s is still %s: %w: %v", cluster, c.Phase, ctx.Err(), c.Conditions)
		case <-watch.Ready():
			watch.Take()
		}
	}
}
