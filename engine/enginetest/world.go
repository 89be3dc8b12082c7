// Package enginetest stands for everything on machines: SSH, the agent, kubeadm, Kubernetes and etcd, so that an engine can
// be run over clouds whose machines are records only. It insists on what the real ones insist on (host keys, rising
// revisions, quorum), remembers what was done, and can be made to fail. It is for tests.
//
// A World is the inside of one cluster. Its parts are what engine.Nodeside asks for: Dial, Kubernetes, Etcd.
package enginetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
)

// Machine is a running machine, as its cloud has it.
type Machine struct {
	// Name is the node's name.
	Name       string
	ProviderID string
	Public     netip.Addr
	UserData   []byte
}

// World is the inside of one cluster. The fields are for its maker to set and, while nothing runs, to look at.
type World struct {
	// Machines are the running machines of the cluster. What is not among them is off, and forgotten by nobody.
	Machines func() []Machine
	// Reach says why a machine can't be reached, nil when it can; nil itself lets everybody in.
	Reach func(ctx context.Context, m Machine) error
	// RoundTrip is how long one takes between two nodes, 0 where no probe comes back; nil for a millisecond everywhere.
	RoundTrip func(from, to string) time.Duration
	// Now is what nodes' clocks show, nil for the time; Window may change what is published of a window that a site measured.
	Now    func() time.Time
	Window func(site string, w *node.Window)
	// Endpoints are those of peers that somebody changed by hand, by node and peer with a slash between them.
	Endpoints map[string]netip.AddrPort
	// Mended is what nodes' agents say that they mended by themselves.
	Mended map[string][]node.Mended
	// Fail may let a command on a node fail.
	Fail func(node, command string) error
	// Around stands around everything that the engine does to machines, Kubernetes and etcd, which what names: it may leave
	// it undone, or do it and keep the outcome back.
	Around func(ctx context.Context, what string, do func() error) error

	mu    sync.Mutex
	hosts map[string]*host // by provider id

	// Nodes are those of Kubernetes, Members those of etcd with the provider id of each.
	Nodes   map[string]kube.NodeInfo
	Members map[string]string
	// Sick are nodes that Kubernetes calls NotReady though their machines run.
	Sick map[string]bool
	// DNSTopology is the label in which the nodes of CoreDNS differ.
	DNSTopology string
	// Frozen says that Kubernetes makes no load balancers and volumes any more. Leftovers are those that its controllers don't
	// remove.
	Frozen    bool
	Leftovers []kube.Leftover
	// Expiry is until when the certificates of API servers are good, by node; those not in it have most of a year left.
	Expiry map[string]time.Time

	// SickSince is since when the sick are so, Silent are nodes whose etcd doesn't answer, Strange those whose etcd is another
	// cluster, with its id. Objects are what else Kubernetes holds.
	SickSince map[string]time.Time
	Silent    map[string]bool
	Strange   map[string]string
	Objects   map[string]string
	// Mendable are the sick whose kubelets only have to be started anew, Tunnels nodes that show a late handshake.
	Mendable, Tunnels map[string]bool
	etcdID            int
	// identity is that of Kubernetes.
	identity int
	// Mute keeps Kubernetes from answering, NoSnapshots etcd from giving any.
	Mute, NoSnapshots bool

	said []string
}

// host is one machine as its agent knows it.
type host struct {
	key, next, tunnel, agent string
	made                     string // the user data
	trust                    ed25519.PublicKey
	revision                 int64
	config                   node.Config
	joined                   string
	snapshot                 []byte
}

// New returns the inside of a cluster that has not been made yet.
func New(machines func() []Machine) *World {
	return &World{Machines: machines, hosts: map[string]*host{}, Nodes: map[string]kube.NodeInfo{}, Members: map[string]string{}, Sick: map[string]bool{}, Expiry: map[string]time.Time{},
		SickSince: map[string]time.Time{}, Silent: map[string]bool{}, Strange: map[string]string{}, Objects: map[string]string{}, Mendable: map[string]bool{}, Tunnels: map[string]bool{}}
}

// Clone is a copy of the world as it is now, over other machines with the same ids. What is set to change its course isn't
// copied.
func (w *World) Clone(machines func() []Machine) *World {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := New(machines)
	for id, h := range w.hosts {
		copied := *h
		c.hosts[id] = &copied
	}
	c.Nodes, c.Members, c.Sick = maps.Clone(w.Nodes), maps.Clone(w.Members), maps.Clone(w.Sick)
	c.Expiry = maps.Clone(w.Expiry)
	c.SickSince, c.Silent, c.Strange, c.Objects, c.etcdID = maps.Clone(w.SickSince), maps.Clone(w.Silent), maps.Clone(w.Strange), maps.Clone(w.Objects), w.etcdID
	c.identity = w.identity
	c.DNSTopology, c.said = w.DNSTopology, slices.Clone(w.said)
	return c
}

// around does something the way Around wants it.
func (w *World) around(ctx context.Context, what string, do func() error) error {
	if w.Around == nil {
		return do()
	}
	return w.Around(ctx, what, do)
}

// Alive says that a machine runs.
func (w *World) Alive(providerID string) bool {
	return slices.ContainsFunc(w.Machines(), func(m Machine) bool { return m.ProviderID == providerID })
}

// Quorum says that most members of etcd run.
func (w *World) Quorum() bool {
	running := 0
	for _, id := range w.Members {
		if w.Alive(id) {
			running++
		}
	}
	return running > len(w.Members)/2
}

// Log is what was done to Kubernetes and etcd, in order: "init NODE", "join NODE", "drain NODE", "forget NODE".
func (w *World) Log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

// Configs are the last configs of the running machines, by node.
func (w *World) Configs() map[string]node.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]node.Config{}
	for _, m := range w.Machines() {
		if h := w.hosts[m.ProviderID]; h != nil {
			out[m.Name] = h.config
		}
	}
	return out
}

// Registered are the nodes of Kubernetes by name.
func (w *World) Registered() map[string]kube.NodeInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.Nodes)
}

// Dial logs in to the machine that has the name and the address, if it shows one of the host keys.
func (w *World) Dial(ctx context.Context, t remote.Target) (c *Conn, err error) {
	err = w.around(ctx, "dial "+t.Name, func() error {
		c, err = w.dial(ctx, t)
		return err
	})
	return c, err
}

func (w *World) dial(ctx context.Context, t remote.Target) (*Conn, error) {
	all := w.Machines()
	i := slices.IndexFunc(all, func(m Machine) bool { return m.Name == t.Name && m.Public == t.Address.Addr() })
	if i < 0 {
		return nil, fmt.Errorf("ssh to %s (%s): no route to host", t.Name, t.Address)
	}
	m := all[i]
	if w.Reach != nil {
		if err := w.Reach(ctx, m); err != nil {
			return nil, fmt.Errorf("ssh to %s (%s): %w", t.Name, t.Address, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h, err := w.host(m)
	if err != nil {
		return nil, err
	}
	for _, k := range t.HostKeys {
		if strings.TrimSpace(k) == strings.TrimSpace(h.key) {
			return &Conn{w: w, name: t.Name, id: m.ProviderID, host: h}, ctx.Err()
		}
	}
	return nil, fmt.Errorf("ssh to %s: %w", t.Name, remote.ErrHostKey)
}

// host is what runs on a machine; at first what its user data made. The caller holds the lock.
func (w *World) host(m Machine) (*host, error) {
	if h := w.hosts[m.ProviderID]; h != nil && h.made == string(m.UserData) { // where ids are names, another machine may have the same
		return h, nil
	}
	var data struct {
		Keys map[string]string `json:"ssh_keys"`
	}
	if err := yaml.Unmarshal(m.UserData, &data); err != nil {
		return nil, err
	}
	random := make([]byte, 32)
	rand.Read(random)
	h := &host{key: data.Keys["ed25519_public"], tunnel: base64.StdEncoding.EncodeToString(random), made: string(m.UserData)}
	w.hosts[m.ProviderID] = h
	return h, nil
}
