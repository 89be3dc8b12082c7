package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/spec"
)

// Machine is an open connection to a machine, as package remote makes it.
type Machine interface {
	Run(ctx context.Context, command string, stdin io.Reader, log io.Writer) ([]byte, error)
	Upload(ctx context.Context, content io.Reader, to string, mode os.FileMode) error
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Close() error
}

// Kubernetes is what the engine asks of a cluster's API, as package kube offers it.
type Kubernetes interface {
	// Identity tells the cluster from one that began anew in its place.
	Identity(ctx context.Context) (string, error)
	Nodes(ctx context.Context) ([]kube.NodeInfo, error)
	Node(ctx context.Context, name string) (kube.NodeInfo, error)
	CreateToken(ctx context.Context, token string, expires time.Time) error
	SetPodCIDR(ctx context.Context, node, cidr string) error
	SetLabels(ctx context.Context, node string, labels map[string]string) error
	AddTaints(ctx context.Context, node string, taints []kube.Taint) error
	SpreadDNS(ctx context.Context, topologyKey string) error
	DNSSpread(ctx context.Context, topologyKey string) (bool, error)
	Cordon(ctx context.Context, node string) error
	Drain(ctx context.Context, node string) error
	DeleteNode(ctx context.Context, node string) error
	Freeze(ctx context.Context) error
	Clear(ctx context.Context) ([]kube.Leftover, error)
}

// Etcd is what the engine asks of an etcd member.
type Etcd interface {
	// Remove takes the member of that name out and says whether there was one.
	Remove(ctx context.Context, name string) (bool, error)
	// State is what the member knows, or, if it must be sure, what a majority does.
	State(ctx context.Context, sure bool) (kube.EtcdState, error)
	// Snapshot writes all that the member has, and its hash, and returns how many bytes that are.
	Snapshot(ctx context.Context, w io.Writer) (int64, error)
}

// Nodeside is how the engine reaches what runs on machines. The zero value reaches real ones.
type Nodeside struct {
	// Dial waits for a machine and logs in.
	Dial func(ctx context.Context, t remote.Target) (Machine, error)
	// Kubernetes makes a client of a cluster's API servers; it connects when it is first asked.
	Kubernetes func(c kube.Cluster, pki kube.PKI, backends []kube.Backend, now time.Time) (Kubernetes, error)
	// Etcd makes a client of the member on the machine that dial leads to.
	Etcd func(pki kube.PKI, dial kube.Dial, now time.Time) (Etcd, error)
	// Probe asks one API server whether it is ready.
	Probe func(ctx context.Context, c kube.Cluster, authority kube.KeyPair, b kube.Backend, now time.Time) (kube.Endpoint, error)
	// Knock finds out whether a machine lets us in, without logging in.
	Knock func(ctx context.Context, address netip.AddrPort, proxy string) error
}

// orReal fills in what isn't set.
func (n Nodeside) orReal() Nodeside {
	if n.Dial == nil {
		n.Dial = func(ctx context.Context, t remote.Target) (Machine, error) {
			c, err := remote.DialWait(ctx, t)
			if err != nil {
				return nil, err
			}
			return c, nil
		}
	}
	if n.Kubernetes == nil {
		n.Kubernetes = func(c kube.Cluster, pki kube.PKI, backends []kube.Backend, now time.Time) (Kubernetes, error) {
			k, err := kube.Connect(c, pki, backends, now)
			if err != nil {
				return nil, err
			}
			return k, nil
		}
	}
	if n.Etcd == nil {
		n.Etcd = func(pki kube.PKI, dial kube.Dial, now time.Time) (Etcd, error) {
			c, err := kube.ConnectEtcd(pki, dial, now)
			if err != nil {
				return nil, err
			}
			return c, nil
		}
	}
	if n.Probe == nil {
		n.Probe = kube.Probe
	}
	if n.Knock == nil {
		n.Knock = remote.Knock
	}
	return n
}

// connect opens an SSH connection to a node, waiting for it as long as patience allows.
func (s *survey) connect(ctx context.Context, f *Facts, patience time.Duration) (Machine, error) {
	if f == nil || !f.Public.IsValid() {
		return nil, fmt.Errorf("the node has no public address yet")
	}
	st := s.sites[f.Site]
	if st == nil {
		return nil, fmt.Errorf("node %s: the cluster has no site %s", f.Name, f.Site)
	}
	if s.keys == nil {
		return nil, fmt.Errorf("cluster %s has no keys yet", s.cluster.Name)
	}
	signer, err := s.keys.signer()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.e.opts.Nodeside.Dial(ctx, remote.Target{
		Name: f.Name, Address: netip.AddrPortFrom(f.Public, 22), User: "root", Key: signer,
		HostKeys: f.HostKeys, Proxy: st.account.Proxy,
	})
}

// kubeClient connects to the API servers by their public addresses.
func (s *survey) kubeClient() (Kubernetes, error) {
	var backends []kube.Backend
	for _, f := range s.facts.all() {
		if f.Role != spec.RoleControlPlane || !f.Public.IsValid() || s.sites[f.Site] == nil || s.voiceless(f) {
			continue
		}
		b, err := s.backend(f)
		if err != nil {
			return nil, err
		}
		backends = append(backends, b)
	}
	return s.e.opts.Nodeside.Kubernetes(s.kubeCluster(), s.keys.PKI, backends, time.Now())
}

// askKubernetes lists the cluster's nodes. Where a member of etcd that began anew may have answered, the others are asked again.
func (s *survey) askKubernetes(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	members, err := s.listMembers(asking)
	if errors.Is(err, errEmptied) && s.emptied() {
		if members, err = s.listMembers(asking); err != nil {
			err = fmt.Errorf("%w; and of the others %w", errEmptied, err)
		}
	}
	if err == nil {
		s.members = members
		s.e.sightings.note(s.cluster.UID, maps.Clone(members), nil)
		return
	}
	s.kubeErr = err
	if ctx.Err() == nil { // who gave up says nothing of Kubernetes
		s.e.sightings.note(s.cluster.UID, nil, err)
	}
}

// listMembers asks one API server for its nodes, and makes sure that it is one of this cluster.
func (s *survey) listMembers(ctx context.Context) (map[string]kube.NodeInfo, error) {
	client, err := s.kubeClient()
	if err != nil {
		return nil, err
	}
	identity, err := client.Identity(ctx)
	if err != nil {
		return nil, err
	}
	list, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	members := map[string]kube.NodeInfo{}
	for _, n := range list {
		members[n.Name] = n
	}
	switch {
	case s.status.Identity == "" && !s.knows(members), s.status.Identity != "" && s.status.Identity != identity:
		return nil, errEmptied
	}
	s.status.Identity = identity
	return members, nil
}
