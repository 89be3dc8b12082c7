package main

import (
	"path"
	"strings"
)

// A program is one run of the Go compiler over one module below programs/. Those are modules of their own because
// their dependencies contradict each other.
type program struct {
	name     string   // of the artefact
	module   string   // folder below programs/
	packages []string // main packages; each becomes a file called like the last part of its path
	tags     []string
	symbols  []string // name=value, set by the linker
	cgo      bool     // linked statically with the C compiler
}

// files gives the names of what the program's build makes.
func (p program) files() []string {
	names := make([]string, len(p.packages))
	for i, pkg := range p.packages {
		names[i] = path.Base(pkg)
		if pkg == "." {
			names[i] = p.module
		}
	}
	return names
}

const (
	containerdModule = "github.com/containerd/containerd/v2"
	cniModule        = "github.com/containernetworking/plugins"
)

// cniPlugins are the plugins that the pod network uses, and the reference ones that people chain behind them.
var cniPlugins = []string{"ipam/host-local", "main/bridge", "main/loopback", "main/ptp", "meta/bandwidth", "meta/portmap"}

// programs lists what is compiled, the longest first, so that the short ones fill in beside it.
func programs() []program {
	static := []string{"netgo", "osusergo", "static_build", "urfave_cli_no_docs"}
	containerdTags := append([]string{"no_btrfs", "no_devmapper", "no_zfs"}, static...)
	containerdSymbols := []string{
		containerdModule + "/version.Version=" + containerdVersion,
		containerdModule + "/version.Package=" + containerdModule,
	}
	return []program{
		{name: "hyperkube", module: "hyperkube", packages: []string{"."}, symbols: kubernetesSymbols()},
		{
			name: "containerd", module: "containerd", tags: containerdTags, symbols: containerdSymbols,
			packages: []string{containerdModule + "/cmd/containerd", containerdModule + "/cmd/ctr"},
		},
		{
			// There is one shim per pod; without gRPC it is a third of the size.
			name: "containerd-shim", module: "containerd", symbols: containerdSymbols,
			tags:     append([]string{"no_grpc"}, containerdTags...),
			packages: []string{containerdModule + "/cmd/containerd-shim-runc-v2"},
		},
		{
			// C is needed: runc enters namespaces before the Go runtime has started its threads.
			name: "runc", module: "runc", packages: []string{"github.com/opencontainers/runc"},
			tags: []string{"netgo", "osusergo", "seccomp", "urfave_cli_no_docs"}, cgo: true,
		},
		{
			name: "cni", module: "cni", packages: cniPackages(),
			symbols: []string{cniModule + "/pkg/utils/buildversion.BuildVersion=" + cniVersion},
		},
		{name: "etcd", module: "etcd", packages: []string{"."}, symbols: []string{"go.etcd.io/etcd/api/v3/version.GitSHA=unknown"}},
		{name: "pause", module: "pause", packages: []string{"."}, symbols: []string{"main.version=" + pauseVersion}},
		{name: "coredns", module: "coredns", packages: []string{"."}},
		{
			name: "agnhost", module: "agnhost", packages: []string{"k8s.io/kubernetes/test/images/agnhost"},
			symbols: []string{"main.Version=" + agnhostVersion},
		},
	}
}

func cniPackages() []string {
	packages := make([]string, len(cniPlugins))
	for i, plugin := range cniPlugins {
		packages[i] = cniModule + "/plugins/" + plugin
	}
	return packages
}

// kubernetesSymbols are what Kubernetes' own release build sets. Without them kubeadm takes itself for v0.0.0. The
// module proxy doesn't say which commit a version is, so that stays empty, which clients show as "unknown".
func kubernetesSymbols() []string {
	parts := strings.SplitN(strings.TrimPrefix(kubernetesVersion, "v"), ".", 3)
	values := []string{
		"buildDate=" + kubernetesDate, "gitCommit=", "gitTreeState=clean", "gitVersion=" + kubernetesVersion,
		"gitMajor=" + parts[0], "gitMinor=" + parts[1],
	}
	var symbols []string
	for _, pkg := range []string{"k8s.io/client-go/pkg/version", "k8s.io/component-base/version"} {
		for _, value := range values {
			symbols = append(symbols, pkg+"."+value)
		}
	}
	return symbols
}
