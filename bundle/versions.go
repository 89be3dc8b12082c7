package main

// The versions of everything in the bundle. Kubernetes decides: etcd, pause and CoreDNS are the ones that its kubeadm
// asks for, agnhost is the one that its end-to-end tests use. A test holds them against the built kubeadm, another
// against the go.mod of each program.
const (
	kubernetesVersion = "v1.36.3"
	kubernetesDate    = "2026-07-22T18:07:38Z" // when that version was published
	etcdVersion       = "v3.6.8"
	etcdImageTag      = "3.6.8-0"
	pauseVersion      = "3.10.2"
	corednsVersion    = "v1.14.2"
	agnhostVersion    = "2.63.0"
	containerdVersion = "v2.4.2"
	runcVersion       = "v1.5.2" // the one containerd's release is tested with
	cniVersion        = "v1.9.1"
)

// registry is where Kubernetes publishes its images, and so what ours are named after.
const registry = "registry.k8s.io/"
