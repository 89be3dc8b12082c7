package engine

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
)

// world stands for everything on machines: SSH, the agent, kubeadm, Kubernetes and etcd. Its machines are those of the
// in-memory clouds, for as long as these have them.
type world struct {
	clouds map[cloud.Provider]*cloudtest.Cloud

	mu    sync.Mutex
	uid   string
	hosts map[string]*host         // by provider id
	nodes map[string]kube.NodeInfo // of Kubernetes
	etcd  map[string]string        // member → provider id
	said  []string                 // what was done, in order
	sick  map[string]bool          // nodes that Kubernetes calls NotReady though their machine runs
	fail  func(node, command string) error
	// dnsTopology is the label in which the nodes of CoreDNS differ.
	dnsTopology string
	// from is where the engine comes from: firewalls are held to that when it is set. unreachable keeps SSH from a node.
	from        netip.Addr
	unreachable func(ctx context.Context, node string) error
}

// host is one machine as its agent knows it.
type host struct {
	key, next, tunnel, agent string
	trust                    ed25519.PublicKey
	revision                 int64
	config                   node.Config
	joined                   string
}

func newWorld(clouds map[cloud.Provider]*cloudtest.Cloud) *world {
	return &world{clouds: clouds, hosts: map[string]*host{}, nodes: map[string]kube.NodeInfo{}, etcd: map[string]string{}, sick: map[string]bool{}}
}

func (w *world) nodeside() Nodeside {
	return Nodeside{
		Dial: w.dial,
		Kubernetes: func(_ kube.Cluster, _ kube.PKI, backends []kube.Backend, _ time.Time) (Kubernetes, error) {
			if len(backends) == 0 {
				return nil, errors.New("no control-plane node has an address yet")
			}
			return fakeKubernetes{w}, nil
		},
		Etcd: func(kube.PKI, kube.Dial, time.Time) (Etcd, error) { return fakeEtcd{w}, nil },
	}
}

// machine finds the live machine of a node.
func (w *world) machine(name string) (cloud.Object, *cloudtest.Cloud, bool) {
	for _, c := range w.clouds {
		for _, o := range c.Objects(w.uid) {
			if o.Machine != nil && o.State == cloud.Ready && strings.HasSuffix(o.Key, "-node-"+name) {
				return o, c, true
			}
		}
	}
	return cloud.Object{}, nil, false
}

// alive says that a machine runs.
func (w *world) alive(providerID string) bool {
	for _, c := range w.clouds {
		for _, o := range c.Objects(w.uid) {
			if o.Machine != nil && o.State == cloud.Ready && o.Machine.ProviderID == providerID {
				return true
			}
		}
	}
	return false
}

func (w *world) dial(ctx context.Context, t remote.Target) (Machine, error) {
	if w.unreachable != nil {
		if err := w.unreachable(ctx, t.Name); err != nil {
			return nil, fmt.Errorf("ssh to %s (%s): %w", t.Name, t.Address, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o, c, ok := w.machine(t.Name)
	if !ok || o.Machine.Public != t.Address.Addr() {
		return nil, fmt.Errorf("ssh to %s (%s): no route to host", t.Name, t.Address)
	}
	if w.from.IsValid() && !w.letsIn(c, o) {
		return nil, fmt.Errorf("ssh to %s (%s): connection timed out", t.Name, t.Address)
	}
	h := w.hosts[o.Machine.ProviderID]
	if h == nil {
		var data struct {
			Keys map[string]string `json:"ssh_keys"`
		}
		if err := yaml.Unmarshal(c.UserData(o.ID), &data); err != nil {
			return nil, err
		}
		random := make([]byte, 32)
		rand.Read(random)
		h = &host{key: data.Keys["ed25519_public"], tunnel: base64.StdEncoding.EncodeToString(random)}
		w.hosts[o.Machine.ProviderID] = h
	}
	for _, k := range t.HostKeys {
		if strings.TrimSpace(k) == strings.TrimSpace(h.key) {
			return &fakeMachine{w: w, name: t.Name, id: o.Machine.ProviderID, host: h}, ctx.Err()
		}
	}
	return nil, fmt.Errorf("ssh to %s: %w", t.Name, remote.ErrHostKey)
}

// letsIn says whether a machine's firewalls have a rule for SSH from where the engine is.
func (w *world) letsIn(c *cloudtest.Cloud, machine cloud.Object) bool {
	for _, o := range c.Objects(w.uid) {
		f, ok := o.Spec.(*cloudtest.FirewallSpec)
		if !ok || !slices.Contains(machine.Spec.(*cloudtest.MachineSpec).Firewalls, o.Key) {
			continue
		}
		for _, r := range f.Rules {
			if r.Protocol == "tcp" && r.From == 22 && slices.Contains(r.Sources, w.from.String()+"/32") {
				return true
			}
		}
	}
	return false
}

// fakeMachine is a connection to a machine.
type fakeMachine struct {
	w        *world
	name, id string
	host     *host
}

func (m *fakeMachine) Close() error { return nil }

func (m *fakeMachine) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("nothing listens")
}

func (m *fakeMachine) Upload(ctx context.Context, content io.Reader, to string, _ os.FileMode) error {
	data, err := io.ReadAll(content)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	switch to {
	case agentPath:
		m.host.agent = "installed"
	case trustPath:
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
		m.host.trust = key
		return err
	}
	return nil
}

func (m *fakeMachine) Run(ctx context.Context, command string, stdin io.Reader, _ io.Writer) ([]byte, error) {
	if m.w.fail != nil {
		if err := m.w.fail(m.name, command); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if !m.w.alive(m.id) {
		return nil, fmt.Errorf("%s: connection reset", m.name)
	}
	switch verb := strings.TrimPrefix(command, agentPath+" agent "); verb {
	case "identity":
		return json.Marshal(node.Identity{TunnelKey: m.host.tunnel, MTU: 1500, KernelWireGuard: true})
	case "hostkey --prepare":
		if m.host.next == "" {
			_, public, err := remote.NewKey(m.name)
			if err != nil {
				return nil, err
			}
			m.host.next = public
		}
		return []byte(m.host.next + "\n"), nil
	case "hostkey --switch":
		m.host.key = m.host.next
		return nil, nil
	case "install":
		return nil, nil
	case "apply":
		return m.apply(stdin)
	case "kubeadm":
		return nil, m.kubeadm(stdin)
	}
	if strings.HasPrefix(command, "sha256sum") {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: unknown command %q", m.name, command)
}

func (m *fakeMachine) apply(stdin io.Reader) ([]byte, error) {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return nil, err
	}
	cfg, err := node.Open(m.host.trust, data)
	if err != nil {
		return nil, err
	}
	if cfg.Revision <= m.host.revision || cfg.Kubelet.ProviderID != m.id {
		return nil, fmt.Errorf("%s: config %d for %s; have %d, am %s", m.name, cfg.Revision, cfg.Kubelet.ProviderID, m.host.revision, m.id)
	}
	m.host.revision, m.host.config = cfg.Revision, cfg
	return json.Marshal(node.Report{Revision: cfg.Revision})
}

// kubeadm makes the machine a member, with what etcd and Kubernetes insist on.
func (m *fakeMachine) kubeadm(stdin io.Reader) error {
	var b node.Bootstrap
	if err := json.NewDecoder(stdin).Decode(&b); err != nil {
		return err
	}
	if m.host.joined != "" {
		return nil
	}
	w := m.w
	if n, ok := w.nodes[m.name]; ok && n.ProviderID != m.id {
		return fmt.Errorf("a Node with name %q exists already", m.name)
	}
	if len(b.Files) > 0 { // only control-plane nodes get the PKI
		if b.Action == "join" && !w.quorum() {
			return errors.New("etcdserver: unhealthy cluster")
		}
		if _, ok := w.etcd[m.name]; ok {
			return fmt.Errorf("etcd has a member %q already", m.name)
		}
		if b.Action == "init" && len(w.etcd) > 0 {
			return errors.New("a second init")
		}
		w.etcd[m.name] = m.id
	}
	m.host.joined = b.Action
	w.nodes[m.name] = kube.NodeInfo{Name: m.name, ProviderID: m.id}
	w.said = append(w.said, b.Action+" "+m.name)
	return nil
}

// quorum says that most members of etcd run.
func (w *world) quorum() bool {
	running := 0
	for _, id := range w.etcd {
		if w.alive(id) {
			running++
		}
	}
	return running > len(w.etcd)/2
}

func (w *world) log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.said...)
}

// fakeKubernetes is the API of the world's one cluster.
type fakeKubernetes struct{ w *world }

// ask runs f while the API answers.
func (k fakeKubernetes) ask(ctx context.Context, f func() error) error {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !k.w.quorum() {
		return errors.New("the API doesn't answer")
	}
	return f()
}

func (k fakeKubernetes) info(n kube.NodeInfo) kube.NodeInfo {
	n.Ready = k.w.alive(n.ProviderID) && !k.w.sick[n.Name]
	return n
}

func (k fakeKubernetes) Nodes(ctx context.Context) (out []kube.NodeInfo, err error) {
	err = k.ask(ctx, func() error {
		for _, name := range sortedKeys(k.w.nodes) {
			out = append(out, k.info(k.w.nodes[name]))
		}
		return nil
	})
	return out, err
}

func (k fakeKubernetes) Node(ctx context.Context, name string) (out kube.NodeInfo, err error) {
	err = k.ask(ctx, func() error {
		n, ok := k.w.nodes[name]
		if !ok {
			return fmt.Errorf("get node %s: not found", name)
		}
		out = k.info(n)
		return nil
	})
	return out, err
}

func (k fakeKubernetes) CreateToken(ctx context.Context, token string, _ time.Time) error {
	return k.ask(ctx, func() error { return nil })
}

func (k fakeKubernetes) SetPodCIDR(ctx context.Context, name, cidr string) error {
	return k.ask(ctx, func() error {
		n := k.w.nodes[name]
		if n.PodCIDR != "" && n.PodCIDR != cidr {
			return fmt.Errorf("node %s: podCIDR is immutable", name)
		}
		n.PodCIDR = cidr
		k.w.nodes[name] = n
		return nil
	})
}

func (k fakeKubernetes) SetLabels(ctx context.Context, name string, labels map[string]string) error {
	return k.ask(ctx, func() error {
		n := k.w.nodes[name]
		n.Labels = labels
		k.w.nodes[name] = n
		return nil
	})
}

func (k fakeKubernetes) SpreadDNS(ctx context.Context, topologyKey string) error {
	return k.ask(ctx, func() error {
		k.w.dnsTopology = topologyKey
		return nil
	})
}

func (k fakeKubernetes) Cordon(ctx context.Context, name string) error {
	return k.ask(ctx, func() error { return nil })
}

func (k fakeKubernetes) Drain(ctx context.Context, name string) error {
	return k.ask(ctx, func() error {
		k.w.said = append(k.w.said, "drain "+name)
		return nil
	})
}

func (k fakeKubernetes) DeleteNode(ctx context.Context, name string) error {
	return k.ask(ctx, func() error {
		delete(k.w.nodes, name)
		k.w.said = append(k.w.said, "forget "+name)
		return nil
	})
}

// fakeEtcd is the world's etcd.
type fakeEtcd struct{ w *world }

func (e fakeEtcd) Remove(ctx context.Context, name string) (bool, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if !e.w.quorum() {
		return false, errors.New("etcd has no leader")
	}
	_, ok := e.w.etcd[name]
	delete(e.w.etcd, name)
	return ok, nil
}
