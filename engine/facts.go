package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Facts is what the engine remembers of a node: where it was put, and what its machine said of itself.
type Facts struct {
	spec.Assigned
	Role  string `json:"role"`
	Group string `json:"group,omitempty"`
	// Machine is the cloud's id of the machine the rest is about; empty before the first contact.
	Machine    string     `json:"machine,omitempty"`
	ProviderID string     `json:"providerID,omitempty"`
	Region     string     `json:"region,omitempty"`
	CloudZone  string     `json:"cloudZone,omitempty"`
	Type       string     `json:"type,omitempty"`
	Public     netip.Addr `json:"public,omitzero"`
	// HostKeys are the accepted SSH host keys: two while one takes the place of the other.
	HostKeys []string `json:"hostKeys,omitempty"`
	// TunnelKey is the WireGuard public key, MTU the underlay's.
	TunnelKey string `json:"tunnelKey,omitempty"`
	MTU       int    `json:"mtu,omitempty"`
	Kernel    bool   `json:"kernelWireGuard,omitempty"`
	// Revision counts the configs sent; Digest is that of the content last applied, without its revision.
	Revision int64  `json:"revision"`
	Digest   string `json:"digest,omitempty"`
	// Failure is how the machine, or the one before it, failed to become a member; nil since one did.
	Failure *Failure `json:"failure,omitempty"`
	// Joined says that Kubernetes has had this machine as a Ready node.
	Joined bool `json:"joined,omitempty"`
	// Seat is the machine that etcd counts as a member for this node, empty for none.
	Seat string `json:"seat,omitempty"`
	// Silent is since when the machine's etcd doesn't answer though it should; zero while it does.
	Silent time.Time `json:"silent,omitzero"`
	// TunnelMTU is that of the config last applied; Rewired is when that was because a tunnel of its site was down.
	TunnelMTU int       `json:"tunnelMTU,omitempty"`
	Rewired   time.Time `json:"rewired,omitzero"`
	// Mended is when its config was applied again because the node stayed NotReady.
	Mended time.Time `json:"mended,omitzero"`
}

// readFacts returns the facts of a node. Where they can't be read they are what the store knows by itself.
func readFacts(n store.Node) (Facts, error) {
	var f Facts
	err := json.Unmarshal(n.Facts, &f)
	if err == nil && f.Name == "" {
		err = errors.New("it has no name")
	}
	if err != nil {
		return Facts{Assigned: spec.Assigned{Name: n.Name, Site: n.Site}, Role: n.Role}, fmt.Errorf("facts of node %s: %w", n.Name, err)
	}
	return f, nil
}

// seat is the machine that etcd counts as a member for this node.
func (f *Facts) seat() string {
	if f.Seat == "" && f.Joined && f.Role == spec.RoleControlPlane {
		return f.Machine
	}
	return f.Seat
}

// prepared says whether the node can be part of the mesh.
func (f *Facts) prepared() bool { return f.Machine != "" && f.TunnelKey != "" }

// cluster is what kubeadm's files need.
func (s *survey) kubeCluster() kube.Cluster {
	c := kube.Cluster{Name: s.spec.Metadata.Name, Version: s.spec.Spec.KubernetesVersion, Pods: s.spec.Spec.Network.Pods, Services: s.spec.Spec.Network.Services}
	for _, n := range s.nodes {
		if f := s.facts.get(n.Name); n.Role == spec.RoleControlPlane && f != nil && f.Public.IsValid() {
			c.PublicAddresses = append(c.PublicAddresses, f.Public)
		}
	}
	return c
}

// config computes the config of one node from the facts about all of them; nodes that haven't been contacted yet are
// left out as peers.
func (s *survey) config(name string, bundle node.Bundle) (node.Config, error) {
	own := s.facts.get(name)
	if own == nil || !own.prepared() {
		return node.Config{}, fmt.Errorf("node %s has not been contacted yet", name)
	}
	cluster := s.kubeCluster()
	blocks := map[string]netip.Prefix{}
	for _, site := range s.spec.Spec.Sites {
		blocks[site.Name] = site.Block
	}
	var members []mesh.Node
	var near, far []netip.AddrPort
	var want spec.Node
	for _, n := range s.nodes {
		f := s.facts.get(n.Name)
		if n.Name == name {
			want = n
		}
		if n.Role == spec.RoleControlPlane {
			server := netip.AddrPortFrom(s.address(n), kube.APIPort)
			if n.Site == own.Site {
				near = append(near, server)
			} else {
				far = append(far, server)
			}
		}
		if f == nil || !f.prepared() {
			continue
		}
		members = append(members, mesh.Node{Name: n.Name, Site: n.Site, Address: f.Address, Public: f.Public, Pods: n.Pods, PublicKey: f.TunnelKey})
	}
	if want.Name == "" {
		return node.Config{}, fmt.Errorf("node %s is not wanted", name)
	}
	tunnel, err := mesh.For(mesh.Network{
		Mode: mesh.Mode(s.spec.Spec.Network.Mode), Pods: cluster.Pods, Services: cluster.Services,
		Port: mesh.DefaultPort, MTU: mesh.MTU(s.smallestUnderlay()),
	}, blocks, members, name)
	if err != nil {
		return node.Config{}, err
	}
	return node.Config{
		APIVersion: node.APIVersion, Cluster: s.cluster.UID, ClusterName: cluster.Name,
		Name: name, Role: want.Role, Site: own.Site, Address: own.Address, Tunnel: tunnel,
		Hosts:    map[string][]netip.Addr{cluster.APIHost(): {netip.AddrFrom4([4]byte{127, 0, 0, 1})}},
		Balancer: node.Balancer{Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), kube.BalancerPort), Backends: preferOwn(own.Address, near, far)},
		Probes:   s.e.probes(),
		Bundle:   bundle,
		Measures: s.spec.Measures(),
		Kubelet:  node.Kubelet{NodeIP: own.Address, ProviderID: own.ProviderID, Labels: kubeletLabels(nodeLabels(want, own))},
	}, nil
}

// address is a node's private address: the one it was given when it was first wanted, or, at a cloud that chooses itself,
// the one its machine turned out to have.
func (s *survey) address(n spec.Node) netip.Addr {
	if f := s.facts.get(n.Name); f != nil {
		return f.Address
	}
	return n.Address
}

// probes is how nodes measure the ways to other sites; nothing of it is said where it is the usual.
func (e *Engine) probes() node.Probes {
	if e.opts.LatencyWindow == node.DefaultWindow {
		return node.Probes{}
	}
	return node.Probes{Window: int(e.opts.LatencyWindow / time.Second)}
}

// internetMTU is what a path between clouds is taken to carry while nobody has found out.
const internetMTU = 1500

// pathMTU is what the ways between all sites carry.
func (s *survey) pathMTU() int { return cmp.Or(s.status.PathMTU, internetMTU) }

// smallestUnderlay is the smallest packet size of any known machine, and of the ways between sites: the tunnel has one MTU on
// the whole mesh.
func (s *survey) smallestUnderlay() int {
	smallest := s.pathMTU()
	for _, n := range s.nodes {
		if f := s.facts.get(n.Name); f != nil && f.MTU > 0 {
			smallest = min(smallest, f.MTU)
		}
	}
	return smallest
}

// preferOwn puts the node's own API server first, then those of its site, then the rest.
func preferOwn(own netip.Addr, near, far []netip.AddrPort) []netip.AddrPort {
	sort.SliceStable(near, func(i, j int) bool { return near[i].Addr() == own && near[j].Addr() != own })
	return append(near, far...)
}

// nodeLabels are all labels of a node that are ours to set.
func nodeLabels(n spec.Node, f *Facts) map[string]string {
	labels := map[string]string{
		kube.TopologyRegion:                f.Region,
		"topology.kubernetes.io/zone":      f.CloudZone,
		"node.kubernetes.io/instance-type": f.Type,
		siteLabel:                          n.Site,
	}
	if n.Group != "" {
		labels["skyweld.dev/group"] = n.Group
	}
	for k, v := range n.Labels {
		labels[k] = v
	}
	return labels
}

// kubeletLabels leaves out labels that Kubernetes lets no kubelet give itself; the engine sets those.
func kubeletLabels(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		domain, _, _ := strings.Cut(k, "/")
		if strings.HasSuffix(domain, "kubernetes.io") && domain != "topology.kubernetes.io" && domain != "node.kubernetes.io" || strings.HasSuffix(domain, "k8s.io") {
			continue
		}
		out[k] = v
	}
	return out
}

// digest identifies a config's content apart from its revision.
func digest(c node.Config) (string, error) {
	c.Revision = 0
	data, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("config of node %s: %w", c.Name, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
