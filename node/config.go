// Package node is what the engine tells an agent: the node config, its JSON form and its signature. It is not how the
// config gets to the machine (remote) or takes effect there (agent).
package node

import (
	"net/netip"
	"time"

	"github.com/skyweld/skyweld/mesh"
)

// APIVersion is the version of the node config's format.
const APIVersion = "skyweld.dev/node/v1alpha1"

// Config is the whole desired state of one node outside Kubernetes. An agent that has applied a revision refuses a lower
// one.
type Config struct {
	APIVersion string `json:"apiVersion"`
	// Revision rises with every change of this node's config.
	Revision int64 `json:"revision"`
	// Cluster is the cluster's UID, ClusterName its name.
	Cluster     string `json:"cluster"`
	ClusterName string `json:"clusterName"`
	// Name is the node's name, Role "control-plane" or "worker".
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Site    string     `json:"site"`
	Address netip.Addr `json:"address"`
	// Tunnel is the node's part of the mesh.
	Tunnel mesh.Config `json:"tunnel"`
	// Hosts are names for the hosts file, each with its addresses.
	Hosts map[string][]netip.Addr `json:"hosts,omitempty"`
	// Balancer is the loopback address the API balancer listens on, and the API servers behind it, nearest first.
	Balancer Balancer `json:"balancer"`
	// Bundle is what to install.
	Bundle Bundle `json:"bundle"`
	// Measures says that the machine is there to measure, and takes what others send for that.
	Measures bool `json:"measures,omitempty"`
	// Kubelet are the node's own settings for the kubelet's unit.
	Kubelet Kubelet `json:"kubelet"`
	// Probes are the measurements to other sites.
	Probes Probes `json:"probes,omitzero"`
}

// Balancer is the TCP balancer in front of the API servers.
type Balancer struct {
	Listen   netip.AddrPort   `json:"listen"`
	Backends []netip.AddrPort `json:"backends"`
}

// Bundle names a manifest of node programs and images.
type Bundle struct {
	// URL of the manifest and SHA256 of its bytes in hex.
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
	// Proxy for fetching it, empty for none.
	Proxy string `json:"proxy,omitempty"`
}

// Kubelet are the settings of one node's kubelet that kubeadm doesn't write.
type Kubelet struct {
	// NodeIP is the address the kubelet registers.
	NodeIP netip.Addr `json:"nodeIP"`
	// ProviderID is the cloud's name of the machine.
	ProviderID string `json:"providerID"`
	// Labels are set at registration.
	Labels map[string]string `json:"labels,omitempty"`
}

// Identity is what an agent says of its machine.
type Identity struct {
	// TunnelKey is the WireGuard public key in base64; the private key never leaves the machine.
	TunnelKey string `json:"tunnelKey"`
	// HostKey is the public SSH host key made on the machine, in authorized_keys form.
	HostKey string `json:"hostKey"`
	// Architecture in Go's words.
	Architecture string `json:"architecture"`
	// KernelWireGuard says whether the tunnel runs in the kernel.
	KernelWireGuard bool `json:"kernelWireGuard"`
	// MTU of the interface with the default route, in bytes; of several the smallest.
	MTU int `json:"mtu"`
	// Machine is the machine id (/etc/machine-id), Boot the boot id.
	Machine string `json:"machine"`
	Boot    string `json:"boot"`
	// Revision is the applied config's, 0 for none; Digest its SHA-256 in hex.
	Revision int64  `json:"revision"`
	Digest   string `json:"digest"`
	// Agent is the SHA-256 of the agent's own program in hex.
	Agent string `json:"agent"`
}

// Report is an agent's answer to a config.
type Report struct {
	Revision int64 `json:"revision"`
	// Changed lists what was changed, in words, in order; empty when the node was as it should be.
	Changed []string `json:"changed"`
}

// Bootstrap is what kubeadm needs to make a machine a member of the cluster.
type Bootstrap struct {
	// Action is "init", "join" or StartKubelet.
	Action string `json:"action"`
	// Config is kubeadm's config file.
	Config string `json:"config"`
	// Files are written before kubeadm runs, path to content (the PKI, encryption config), mode 0600.
	Files map[string]string `json:"files"`
	// Again says that a machine which is a member already is reset first: its part in the control plane is lost.
	Again bool `json:"again,omitempty"`
	// Snapshot is what an init finds in etcd; nil for nothing.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
}

// StartKubelet is the action of a bootstrap that only starts the kubelet anew.
const StartKubelet = "start-kubelet"

// Snapshot is an etcd snapshot on the machine, and the one member that it becomes.
type Snapshot struct {
	// File is its path; it is compressed with gzip, and removed when it is in place.
	File string `json:"file"`
	// Member is the member's name, Peer the URL on which others will find it.
	Member string `json:"member"`
	Peer   string `json:"peer"`
}

// SnapshotFile is where the engine puts a snapshot on a machine.
const SnapshotFile = "/var/lib/skyweld/etcd-snapshot.gz"

// Renewal is what a machine needs so that its certificates are good again.
type Renewal struct {
	// Kubelet is the kubelet's new client certificate and its key, in PEM, one after the other.
	Kubelet string `json:"kubelet"`
}

// Status is what an agent knows of its node.
type Status struct {
	// PID of the agent, and the SHA-256 of its program in hex.
	PID   int    `json:"pid"`
	Agent string `json:"agent"`
	// Cluster, Name and Revision are those of the accepted config, Digest is that of its content; Applied says that all of it
	// took effect.
	Cluster  string `json:"cluster,omitempty"`
	Name     string `json:"name,omitempty"`
	Revision int64  `json:"revision"`
	Digest   string `json:"digest,omitempty"`
	Applied  bool   `json:"applied"`
	// Problem is why the config doesn't take effect, empty when it does.
	Problem string `json:"problem,omitempty"`
	// Joined is "init" or "join" once kubeadm has made the machine a node.
	Joined string `json:"joined,omitempty"`
	// TunnelKey is the WireGuard public key in base64.
	TunnelKey string `json:"tunnelKey,omitempty"`
	// Tunnel is where the tunnel runs: "kernel", "user space" or "".
	Tunnel   string          `json:"tunnel"`
	Peers    []PeerStatus    `json:"peers"`
	Backends []BackendStatus `json:"backends"`
	// Certificates are the node's own, the authorities' left out.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// PeerStatus is one peer of the tunnel.
type PeerStatus struct {
	Name     string         `json:"name"`
	Endpoint netip.AddrPort `json:"endpoint"`
	// Handshake is the time of the last one; zero for none.
	Handshake time.Time `json:"handshake,omitzero"`
}

// BackendStatus is one API server behind the balancer.
type BackendStatus struct {
	Address netip.AddrPort `json:"address"`
	Healthy bool           `json:"healthy"`
}

// Certificate is one certificate of a node, by the file that holds it.
type Certificate struct {
	File    string    `json:"file"`
	Expires time.Time `json:"expires"`
}
