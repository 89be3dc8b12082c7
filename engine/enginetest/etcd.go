package enginetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
)

// Etcd is the member of a world's etcd on one node.
type Etcd struct {
	w    *World
	node string
}

// etcdNetwork is what EtcdAt dials to learn where it is.
const etcdNetwork = "etcd"

type etcdConn struct {
	net.Conn
	node string
}

// EtcdAt is the etcd on the machine that dial leads to.
func (w *World) EtcdAt(dial kube.Dial) (Etcd, error) {
	conn, err := dial(context.Background(), etcdNetwork, "")
	if err != nil {
		return Etcd{}, err
	}
	at, ok := conn.(*etcdConn)
	if !ok {
		return Etcd{}, errors.New("no machine of this world")
	}
	return Etcd{w, at.node}, nil
}

// data is all that etcd holds.
type data struct {
	Nodes    map[string]kube.NodeInfo
	Objects  map[string]string
	Identity int
}

// Wipe takes away all that etcd holds, as on a machine whose only member finds its folder empty when it starts: it begins anew,
// and calls itself and its cluster what it did before.
func (w *World) Wipe() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.identity++
	w.Nodes, w.Objects = map[string]kube.NodeInfo{}, map[string]string{}
}

func (w *World) clusterID() string { return fmt.Sprintf("etcd-%d", w.etcdID) }

// Alone has the member of a node begin anew beside the others, as Wipe does: its API server shows an empty Kubernetes.
func (w *World) Alone(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Strange[node] = w.clusterID()
}

// ask runs f while the member's machine and its etcd run.
func (e Etcd) ask(ctx context.Context, what string, f func() error) error {
	return e.w.around(ctx, "etcd: "+what, func() error {
		e.w.mu.Lock()
		defer e.w.mu.Unlock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if id, ok := e.w.Members[e.node]; !e.w.runs(e.node) || e.w.Silent[e.node] || !ok && e.w.Strange[e.node] == "" || ok && !e.w.Alive(id) {
			return fmt.Errorf("etcd on %s: connection refused", e.node)
		}
		return f()
	})
}

func (w *World) runs(name string) bool {
	return slices.ContainsFunc(w.Machines(), func(m Machine) bool { return m.Name == name })
}

// State is what the member knows; a majority has to agree if it must be sure.
func (e Etcd) State(ctx context.Context, sure bool) (out kube.EtcdState, err error) {
	err = e.ask(ctx, "state of "+e.node, func() error {
		if id := e.w.Strange[e.node]; id != "" {
			out = kube.EtcdState{Cluster: id, Leader: true, Members: []kube.EtcdMember{{Name: e.node}}}
			return nil
		}
		if sure && !e.w.Quorum() {
			return errors.New("etcdserver: no leader")
		}
		out = kube.EtcdState{Cluster: e.w.clusterID(), Leader: e.w.Quorum(), Revision: int64(len(e.w.said) + len(e.w.Objects))}
		for _, name := range slices.Sorted(maps.Keys(e.w.Members)) {
			out.Members = append(out.Members, kube.EtcdMember{ID: e.w.Members[name], Name: name})
		}
		return nil
	})
	return out, err
}

// Snapshot writes all that etcd holds.
func (e Etcd) Snapshot(ctx context.Context, w io.Writer) (size int64, err error) {
	err = e.ask(ctx, "snapshot of "+e.node, func() error {
		if e.w.NoSnapshots {
			return errors.New("no space left on device")
		}
		text, err := json.Marshal(data{e.w.Nodes, e.w.Objects, e.w.identity})
		if err != nil {
			return err
		}
		n, err := w.Write(text)
		size = int64(n)
		return err
	})
	return size, err
}

// Remove takes a member out while there is a leader.
func (e Etcd) Remove(ctx context.Context, name string) (removed bool, err error) {
	err = e.w.around(ctx, "etcd: remove "+name, func() error {
		removed, err = e.remove(ctx, name)
		return err
	})
	return removed, err
}

func (e Etcd) remove(ctx context.Context, name string) (bool, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if !e.w.Quorum() {
		return false, errors.New("etcd has no leader")
	}
	_, ok := e.w.Members[name]
	delete(e.w.Members, name)
	return ok, nil
}

// loneEtcd makes the machine's member all that etcd has.
func (c *Conn) loneEtcd() error {
	if _, ok := c.w.Members[c.name]; !ok {
		return errors.New("this machine has no etcd")
	}
	c.w.Members = map[string]string{c.name: c.id}
	c.w.said = append(c.w.said, "recover "+c.name)
	return nil
}

// restore makes the uploaded snapshot what Kubernetes holds.
func (c *Conn) restore() error {
	packed, err := gzip.NewReader(bytes.NewReader(c.host.snapshot))
	if err != nil {
		return err
	}
	was := data{}
	if err := json.NewDecoder(packed).Decode(&was); err != nil {
		return err
	}
	w := c.w
	w.etcdID++
	w.identity = was.Identity
	w.Members, w.Nodes, w.Objects = map[string]string{c.name: c.id}, was.Nodes, was.Objects
	delete(w.Strange, c.name)
	c.host.joined = "init"
	w.said = append(w.said, "restore "+c.name)
	return nil
}

// startKubelet lets the machine register itself, unless Kubernetes has a Node of its name.
func (c *Conn) startKubelet() error {
	if _, ok := c.w.Nodes[c.name]; !ok {
		c.w.Nodes[c.name] = kube.NodeInfo{Name: c.name, ProviderID: c.id}
	}
	if c.w.Mendable[c.name] {
		delete(c.w.Sick, c.name)
	}
	c.w.said = append(c.w.said, "start "+c.name)
	return nil
}

// status is what the agent says of its node.
func (c *Conn) status() ([]byte, error) {
	s := node.Status{Agent: c.host.agent, Revision: c.host.revision, Applied: true, Joined: c.host.joined, TunnelKey: c.host.tunnel, Tunnel: "kernel"}
	if c.host.revision > 0 {
		s.Digest = node.Digest(c.host.config)
	}
	if end := c.w.Expiry[c.name]; !end.IsZero() {
		s.Certificates = []node.Certificate{{File: "/etc/kubernetes/pki/apiserver.crt", Expires: end}}
	}
	for _, p := range c.host.config.Tunnel.Peers {
		if at, ok := c.w.Endpoints[c.name+"/"+p.Name]; ok {
			p.Endpoint = at
		}
		s.Peers = append(s.Peers, node.PeerStatus{Name: p.Name, Endpoint: p.Endpoint})
	}
	if c.w.Tunnels[c.name] {
		s.Peers = []node.PeerStatus{{Name: "another", Handshake: time.Now()}}
	}
	return json.Marshal(s)
}

// Reprogram makes a running machine's agent another program; Program is which it is.
func (w *World) Reprogram(name, program string) {
	w.eachHost(name, func(h *host) { h.agent = program })
}

// Program is the digest of a running machine's agent.
func (w *World) Program(name string) (digest string) {
	w.eachHost(name, func(h *host) { digest = h.agent })
	return digest
}

func (w *World) eachHost(name string, do func(*host)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.Machines() {
		if h := w.hosts[m.ProviderID]; h != nil && m.Name == name {
			do(h)
		}
	}
}

// Rekey gives a running machine's tunnel another key.
func (w *World) Rekey(name, key string) {
	w.eachHost(name, func(h *host) { h.tunnel = key })
}

// TunnelKey is the key that a node's config has of another; empty for none.
func (w *World) TunnelKey(name, of string) (key string) {
	w.eachHost(name, func(h *host) {
		for _, p := range h.config.Tunnel.Peers {
			if p.Name == of {
				key = p.PublicKey
			}
		}
	})
	return key
}

// Size is that of a node's tunnel, in bytes.
func (w *World) Size(name string) (mtu int) {
	w.eachHost(name, func(h *host) { mtu = h.config.Tunnel.MTU })
	return mtu
}

// Tamper changes the config of a running machine behind its agent's back.
func (w *World) Tamper(name string, change func(*node.Config)) {
	w.eachHost(name, func(h *host) {
		change(&h.config)
		h.revision = h.config.Revision
	})
}
