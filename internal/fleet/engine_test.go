package fleet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// agentProgram stands for the agent's.
const agentProgram = "agent"

// template is the name of the cluster that is recorded; all names have the same length.
const template = "fleet-0000"

var factories = map[cloud.Provider]engine.Factory{
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

// machines remembers what drivers tell of machines, so that the node side can be faked beside them.
type machines struct {
	mu   sync.Mutex
	by   map[string]enginetest.Machine // by object id
	data map[string][]byte             // user data by object id
}

func (m *machines) list() []enginetest.Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []enginetest.Machine
	for id, v := range m.by {
		v.UserData = m.data[id]
		out = append(out, v)
	}
	return out
}

func (m *machines) see(o cloud.Object) {
	if o.Machine == nil || o.State != cloud.Ready || !o.Machine.Public.IsValid() {
		return
	}
	_, name, _ := strings.Cut(o.Key, "-node-")
	m.by[o.ID] = enginetest.Machine{Name: name, ProviderID: o.Machine.ProviderID, Public: o.Machine.Public}
}

// watched are the production drivers, with their machines remembered.
func (m *machines) watched() map[cloud.Provider]engine.Factory {
	out := map[cloud.Provider]engine.Factory{}
	for p, f := range factories {
		out[p] = func(ctx context.Context, a cloud.Account, t cloud.Transport) (cloud.Driver, error) {
			d, err := f(ctx, a, t)
			return watching{d, m}, err
		}
	}
	return out
}

// watching is a driver whose machines are remembered.
type watching struct {
	cloud.Driver
	m *machines
}

func (w watching) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	o, err := w.Driver.Create(ctx, req)
	if err == nil && o.Machine != nil {
		w.m.mu.Lock()
		defer w.m.mu.Unlock()
		w.m.data[o.ID] = req.UserData
		w.m.see(o)
	}
	return o, err
}

func (w watching) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	list, err := w.Driver.Observe(ctx, cluster, region, known...)
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	for _, o := range list {
		w.m.see(o)
	}
	return list, err
}

// stage is the inside of the recorded cluster, for itself and for all that it stands for. Which of these is meant is told by
// the name of the cluster, with which the names of its nodes begin.
type stage struct {
	world    *enginetest.World
	recorded role
	roles    map[string]role
	// agent is the digest of the agent's program, sent what each node was given last, under its present name or its
	// recorded one.
	agent string
	mu    sync.Mutex
	sent  map[string]sent
}

// sent is a config that an agent has.
type sent struct {
	Revision int64
	Digest   string
}

func (s *stage) nodeside() engine.Nodeside {
	return engine.Nodeside{
		Dial: func(ctx context.Context, t remote.Target) (engine.Machine, error) {
			if !strings.HasPrefix(t.Name, template) {
				return taker{s: s, node: t.Name}, nil
			}
			c, err := s.world.Dial(ctx, t)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Kubernetes: func(c kube.Cluster, _ kube.PKI, backends []kube.Backend, _ time.Time) (engine.Kubernetes, error) {
			if len(backends) == 0 {
				return nil, errors.New("no control-plane node has an address yet")
			}
			if c.Name == template {
				return s.world.Kubernetes(), nil
			}
			return renamed{s.world.Kubernetes(), replacer(s.recorded, s.roles[c.Name])}, nil
		},
		Etcd: func(_ kube.PKI, dial kube.Dial, _ time.Time) (engine.Etcd, error) { return s.world.EtcdAt(dial) },
		Probe: func(ctx context.Context, _ kube.Cluster, _ kube.KeyPair, b kube.Backend, _ time.Time) (kube.Endpoint, error) {
			return s.world.Probe(ctx, b.Address)
		},
		Knock: func(ctx context.Context, address netip.AddrPort, _ string) error {
			return s.world.Knock(ctx, address.Addr())
		},
	}
}

// taker is a machine of a cluster that another stands for: its agent takes any config, and says which it has. A config is
// sent where the recorded one had a name in it that is another now. There is no etcd on it.
type taker struct {
	engine.Machine
	s    *stage
	node string
}

func (taker) Close() error { return nil }

func (taker) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("nothing listens")
}

func (t taker) Run(_ context.Context, command string, stdin io.Reader, _ io.Writer) ([]byte, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	switch {
	case strings.HasSuffix(command, " agent status"):
		have, ok := t.s.sent[t.node]
		if !ok {
			have = t.s.sent[template+t.node[len(template):]]
		}
		return json.Marshal(node.Status{Agent: t.s.agent, Name: t.node, Revision: have.Revision, Digest: have.Digest, Applied: true, Joined: "join", Tunnel: "kernel"})
	case strings.HasSuffix(command, " agent apply"):
		var envelope struct{ Payload []byte }
		var cfg node.Config
		err := json.NewDecoder(stdin).Decode(&envelope)
		if err == nil {
			err = json.Unmarshal(envelope.Payload, &cfg)
		}
		t.s.sent[t.node] = sent{cfg.Revision, node.Digest(cfg)}
		return []byte("{}"), err
	}
	return nil, fmt.Errorf("%q is not to be run", command)
}

// renamed is the API of a cluster that another stands for.
type renamed struct {
	engine.Kubernetes
	to *strings.Replacer
}

func (r renamed) Nodes(ctx context.Context) ([]kube.NodeInfo, error) {
	list, err := r.Kubernetes.Nodes(ctx)
	for i := range list {
		list[i] = r.rename(list[i])
	}
	return list, err
}

func (r renamed) rename(n kube.NodeInfo) kube.NodeInfo {
	n.Name, n.ProviderID = r.to.Replace(n.Name), r.to.Replace(n.ProviderID)
	labels := map[string]string{}
	for k, v := range n.Labels {
		labels[k] = r.to.Replace(v)
	}
	n.Labels = labels
	return n
}

// newEngine makes an engine as 'skyweld serve' does, but for the node side.
func newEngine(ctx context.Context, dir string, drivers map[cloud.Provider]engine.Factory, nodes engine.Nodeside, out io.Writer, tune ...func(*engine.Options)) (*engine.Engine, *store.Store, error) {
	box, err := secret.New(bytes.Repeat([]byte{7}, 32), "fleet")
	if err != nil {
		return nil, nil, err
	}
	agent := filepath.Join(dir, "agent")
	if err := os.WriteFile(agent, []byte(agentProgram), 0o700); err != nil {
		return nil, nil, err
	}
	st, err := store.Open(ctx, filepath.Join(dir, "skyweld.db"), box)
	if err != nil {
		return nil, nil, err
	}
	o := engine.Options{
		Store: st, Drivers: drivers, Agent: agent, Bundle: node.Bundle{URL: "https://bundle.test/manifest.json", SHA256: strings.Repeat("ab", 32)},
		Every: time.Hour, Parallel: 12, Clusters: 4, Name: "fleet", Nodeside: nodes,
		Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	for _, t := range tune {
		t(&o)
	}
	return engine.New(o), st, nil
}

// clusterFile is the recorded cluster: three nodes of the control plane and workers, dealt to four clouds.
func clusterFile(nodes int) string {
	var f strings.Builder
	fmt.Fprintf(&f, "apiVersion: skyweld.dev/v1alpha1\nkind: Cluster\nmetadata: {name: %s}\nspec:\n  metro: us-east\n  sites:\n", template)
	for _, p := range providers {
		fmt.Fprintf(&f, "    - {name: %s, account: %s-%s}\n", p, p, template)
	}
	fmt.Fprintf(&f, "  controlPlane: {replicas: 3, size: small}\n  workers:\n")
	for i, p := range providers {
		if n := (nodes - 3 + len(providers) - 1 - i) / len(providers); n > 0 {
			fmt.Fprintf(&f, "    - {name: w%d, site: %s, size: small, count: %d}\n", i, p, n)
		}
	}
	return f.String()
}
