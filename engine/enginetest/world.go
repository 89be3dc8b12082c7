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
	// Fail may let a command on a node fail.
	Fail func(node, command string) error

	mu    sync.Mutex
	hosts map[string]*host // by provider id

	// Nodes are those of Kubernetes, Members those of etcd with the provider id of each.
	Nodes   map[string]kube.NodeInfo
	Members map[string]string
	// Sick are nodes that Kubernetes calls NotReady though their machines run.
	Sick map[string]bool
	// DNSTopology is the label in which the nodes of CoreDNS differ.
	DNSTopology string

	said []string
}

// host is one machine as its agent knows it.
type host struct {
	key, next, tunnel, agent string
	trust                    ed25519.PublicKey
	revision                 int64
	config                   node.Config
	joined                   string
}

// New returns the inside of a cluster that has not been made yet.
func New(machines func() []Machine) *World {
	return &World{Machines: machines, hosts: map[string]*host{}, Nodes: map[string]kube.NodeInfo{}, Members: map[string]string{}, Sick: map[string]bool{}}
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
func (w *World) Dial(ctx context.Context, t remote.Target) (*Conn, error) {
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
	if h := w.hosts[m.ProviderID]; h != nil {
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
	h := &host{key: data.Keys["ed25519_public"], tunnel: base64.StdEncoding.EncodeToString(random)}
	w.hosts[m.ProviderID] = h
	return h, nil
}
