package kube

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"

	"sigs.k8s.io/yaml"
)

// Cluster is what kubeadm's files need to know of a cluster.
type Cluster struct {
	Name string
	// Version with the leading v.
	Version        string
	Pods, Services netip.Prefix
	// PublicAddresses of the control plane go into the API server's certificate from the first day.
	PublicAddresses []netip.Addr
}

// Member is what they need to know of a node.
type Member struct {
	Name         string
	ControlPlane bool
	Address      netip.Addr
	Taints       []Taint
}

// Taint is a node's taint.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// The ports of the API server and of the balancer that every node runs in front of all of them.
const (
	APIPort      = 6443
	BalancerPort = 6444
)

// APIHost is the name under which nodes reach the API servers: it leads to their own balancer.
func (c Cluster) APIHost() string { return "api." + c.Name + ".skyweld.internal" }

// Endpoint is kubeadm's controlPlaneEndpoint.
func (c Cluster) Endpoint() string { return fmt.Sprintf("%s:%d", c.APIHost(), BalancerPort) }

const (
	apiVersion = "kubeadm.k8s.io/v1beta4"
	criSocket  = "unix:///run/containerd/containerd.sock"
)

type object = map[string]any

// InitConfig is the config file of kubeadm init (kubeadm.k8s.io/v1beta4).
func InitConfig(c Cluster, m Member, token string) (string, error) {
	init := object{
		"apiVersion": apiVersion, "kind": "InitConfiguration",
		"bootstrapTokens": []object{{
			"token": token, "ttl": "30m0s", "usages": []string{"signing", "authentication"}, "groups": []string{"system:bootstrappers:kubeadm:default-node-token"},
		}},
		"localAPIEndpoint": object{"advertiseAddress": m.Address.String(), "bindPort": APIPort},
		"nodeRegistration": registration(m),
	}
	return documents(init, clusterConfig(c), kubeletConfig(), proxyConfig(c))
}

// JoinConfig is the config file of kubeadm join.
func JoinConfig(c Cluster, m Member, token string, ca KeyPair) (string, error) {
	hash, err := caHash(ca)
	if err != nil {
		return "", err
	}
	join := object{
		"apiVersion": apiVersion, "kind": "JoinConfiguration",
		"discovery": object{"bootstrapToken": object{
			"token": token, "apiServerEndpoint": c.Endpoint(), "caCertHashes": []string{hash},
		}},
		"nodeRegistration": registration(m),
	}
	if m.ControlPlane {
		join["controlPlane"] = object{"localAPIEndpoint": object{"advertiseAddress": m.Address.String(), "bindPort": APIPort}}
	}
	return documents(join)
}

func registration(m Member) object {
	r := object{"name": m.Name, "criSocket": criSocket, "imagePullPolicy": "IfNotPresent"}
	switch {
	case len(m.Taints) > 0:
		r["taints"] = m.Taints
	case !m.ControlPlane:
		r["taints"] = []object{}
	}
	return r
}

func clusterConfig(c Cluster) object {
	sans := []string{c.APIHost(), "127.0.0.1", "localhost"}
	for _, a := range c.PublicAddresses {
		sans = append(sans, a.String())
	}
	mount := object{"name": "skyweld", "hostPath": "/etc/kubernetes/skyweld", "mountPath": "/etc/kubernetes/skyweld", "readOnly": true, "pathType": "Directory"}
	return object{
		"apiVersion": apiVersion, "kind": "ClusterConfiguration",
		"clusterName": c.Name, "kubernetesVersion": c.Version, "controlPlaneEndpoint": c.Endpoint(),
		"encryptionAlgorithm": "ECDSA-P256",
		"networking":          object{"podSubnet": c.Pods.String(), "serviceSubnet": c.Services.String()},
		"apiServer": object{
			"certSANs":     sans,
			"extraArgs":    []object{{"name": "encryption-provider-config", "value": EncryptionConfigPath}},
			"extraVolumes": []object{mount},
		},
		"controllerManager": object{"extraArgs": []object{{"name": "allocate-node-cidrs", "value": "false"}}},
	}
}

func kubeletConfig() object {
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"failCgroupV1": false, "failSwapOn": false, "rotateCertificates": true,
		// The kubelet's own limits, but for the disk: it would begin to evict pods when a tenth of it is free, be that 2 GiB
		// or, where machines of the lab share a disk with their host, 200.
		"evictionHard": object{
			"memory.available": "100Mi", "nodefs.available": "2Gi", "nodefs.inodesFree": "5%", "imagefs.available": "2Gi", "imagefs.inodesFree": "5%",
		},
	}
}

func proxyConfig(c Cluster) object {
	return object{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode": "nftables", "clusterCIDR": c.Pods.String(),
		// Connection tracking limits belong to the machine, not to a pod: they are left alone.
		"conntrack": object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	}
}

// caHash is the pin of a CA certificate as kubeadm wants it: the SHA-256 of its public key info.
func caHash(ca KeyPair) (string, error) {
	b, _ := pem.Decode([]byte(ca.Cert))
	if b == nil {
		return "", fmt.Errorf("the cluster's CA certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return "", fmt.Errorf("the cluster's CA certificate: %w", err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func documents(docs ...object) (string, error) {
	var b strings.Builder
	for i, d := range docs {
		data, err := yaml.Marshal(d)
		if err != nil {
			return "", fmt.Errorf("write kubeadm's config: %w", err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(data)
	}
	return b.String(), nil
}

// Server is one way to reach the API from outside.
type Server struct {
	// Name becomes the context's name.
	Name string
	// URL of the API server, Proxy the URL of a proxy to it or empty.
	URL, Proxy string
}

// Kubeconfig writes a kubeconfig with one context per server; the first is the current one.
func Kubeconfig(cluster string, ca string, client KeyPair, servers []Server) ([]byte, error) {
	var clusters, contexts []object
	user := cluster + "-admin"
	for _, s := range servers {
		c := object{"server": s.URL, "certificate-authority-data": b64(ca)}
		if s.Proxy != "" {
			c["proxy-url"] = s.Proxy
		}
		clusters = append(clusters, object{"name": s.Name, "cluster": c})
		contexts = append(contexts, object{"name": s.Name, "context": object{"cluster": s.Name, "user": user}})
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("cluster %s has no API address yet", cluster)
	}
	return yaml.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts, "current-context": servers[0].Name,
		"users": []object{{"name": user, "user": object{"client-certificate-data": b64(client.Cert), "client-key-data": b64(client.Key)}}},
	})
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
