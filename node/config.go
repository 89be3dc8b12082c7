// Package node is what the engine tells an agent: the node config, its JSON form and its signature. It is not how the
// config gets to the machine (remote) or takes effect there (agent).
package node

import (
	"net/netip"

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
	// Kubelet are the node's own settings for the kubelet's unit.
	Kubelet Kubelet `json:"kubelet"`
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
	// Action is "init" or "join".
	Action string `json:"action"`
	// Config is kubeadm's config file.
	Config string `json:"config"`
	// Files are written before kubeadm runs, path to content (the PKI, encryption config), mode 0600.
	Files map[string]string `json:"files"`
}
