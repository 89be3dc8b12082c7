package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestProgramModules holds the versions against what the programs' own modules ask for.
func TestProgramModules(t *testing.T) {
	want := map[string]map[string]string{
		"hyperkube":  {"k8s.io/kubernetes": kubernetesVersion},
		"agnhost":    {"k8s.io/kubernetes": kubernetesVersion},
		"containerd": {containerdModule: containerdVersion},
		"runc":       {"github.com/opencontainers/runc": runcVersion},
		"cni":        {cniModule: cniVersion},
		"etcd":       {"go.etcd.io/etcd/server/v3": etcdVersion, "go.etcd.io/etcd/etcdctl/v3": etcdVersion},
		"coredns":    {"github.com/coredns/coredns": corednsVersion},
		"pause":      {},
	}
	for _, p := range programs() {
		data, err := os.ReadFile(filepath.Join("programs", p.module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		modules, ok := want[p.module]
		if !ok {
			t.Errorf("module %s is not in this test", p.module)
		}
		for module, version := range modules {
			if !strings.Contains(string(data), module+" "+version) {
				t.Errorf("programs/%s/go.mod doesn't ask for %s %s", p.module, module, version)
			}
		}
	}
	if !strings.HasPrefix(etcdImageTag, strings.TrimPrefix(etcdVersion, "v")+"-") {
		t.Errorf("etcd image %s, but etcd %s", etcdImageTag, etcdVersion)
	}
}

// TestStagingModules checks that every part of Kubernetes has the version that goes with the whole.
func TestStagingModules(t *testing.T) {
	staging := "v0." + strings.TrimPrefix(kubernetesVersion, "v1.")
	replaced := regexp.MustCompile(`(?m)^\s+(k8s\.io/\S+) => (\S+) (\S+)$`)
	for _, module := range []string{"hyperkube", "agnhost"} {
		data, err := os.ReadFile(filepath.Join("programs", module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		matches := replaced.FindAllStringSubmatch(string(data), -1)
		if len(matches) < 20 {
			t.Errorf("%s replaces only %d modules", module, len(matches))
		}
		for _, m := range matches {
			if m[1] != m[2] || m[3] != staging {
				t.Errorf("%s: %s, want %s", module, strings.TrimSpace(m[0]), staging)
			}
		}
	}
}

// built gives a builder and the folder of the finished bundle for these sources, or skips.
func built(t *testing.T) (b *builder, folder string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs linux: a bundle is of the machine it is built on")
	}
	st, err := openStore("")
	if err != nil {
		t.Skip("needs a built bundle:", err)
	}
	b, err = newBuilder(context.Background(), ".", st, t.Logf)
	if err != nil {
		t.Skip("needs a built bundle:", err)
	}
	manifest, err := b.existing()
	if err != nil {
		t.Skip("needs a built bundle:", err)
	}
	return b, filepath.Dir(manifest)
}

// TestKubeadmImages holds the images' names against what the built kubeadm asks for.
func TestKubeadmImages(t *testing.T) {
	_, folder := built(t)
	command := exec.Command(filepath.Join(folder, "hyperkube"),
		"kubeadm", "config", "images", "list", "--kubernetes-version", kubernetesVersion)
	var problems bytes.Buffer
	command.Stderr = &problems
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("kubeadm config images list: %v\n%s", err, problems.String())
	}
	want := strings.Fields(string(printed))
	var got []string
	for _, r := range images() {
		if r.name != "agnhost" {
			got = append(got, r.refs...)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the bundle's images are %q, kubeadm wants %q", got, want)
	}
}

// TestBuiltVersions asks the built programs for their versions.
func TestBuiltVersions(t *testing.T) {
	_, folder := built(t)
	tests := []struct {
		command []string
		want    string
	}{
		{[]string{"hyperkube", "kubelet", "--version"}, "Kubernetes " + kubernetesVersion},
		{[]string{"hyperkube", "kube-proxy", "--version"}, "Kubernetes " + kubernetesVersion},
		{[]string{"hyperkube", "kubeadm", "version", "-o", "short"}, kubernetesVersion},
		{[]string{"hyperkube", "kubectl", "version", "--client"}, "Client Version: " + kubernetesVersion},
		{[]string{"containerd", "--version"}, containerdVersion},
		{[]string{"containerd-shim-runc-v2", "-v"}, containerdVersion},
		{[]string{"ctr", "--version"}, containerdVersion},
		{[]string{"runc", "--version"}, strings.TrimPrefix(runcVersion, "v")},
		{[]string{"runc", "--version"}, "libseccomp"}, // kubeadm's pods ask for the default seccomp profile
		{[]string{"cni/bridge", "--version"}, cniVersion},
	}
	for _, test := range tests {
		command := exec.Command(filepath.Join(folder, test.command[0]), test.command[1:]...)
		printed, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(printed), test.want) {
			t.Errorf("%q: %v, printed %q, want %q", test.command, err, printed, test.want)
		}
	}
}
