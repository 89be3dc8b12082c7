package official

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// digest gives a made-up digest.
func digest(letter string) string { return strings.Repeat(letter, 64) }

// publishers serves what the sites of the projects do: artefacts of which only the length matters, and checksum files
// in the shape that each project writes.
func publishers(t *testing.T, change func(files map[string]string)) (*httptest.Server, Options) {
	t.Helper()
	const (
		kube = "/mirror/dl.k8s.io/release/v1.36.3/bin/linux/amd64/"
		ctrd = "/mirror/github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-amd64.tar.gz"
		runc = "/mirror/github.com/opencontainers/runc/releases/download/v1.5.2/"
		cni  = "/mirror/github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz"
	)
	files := map[string]string{
		kube + "kubeadm": "adm", kube + "kubeadm.sha256": digest("a"),
		kube + "kubectl": "ctl", kube + "kubectl.sha256": digest("b") + "\n",
		kube + "kubelet": "let!", kube + "kubelet.sha256": digest("C"),
		ctrd: "archive", ctrd + ".sha256sum": digest("d") + "  containerd-2.4.2-linux-amd64.tar.gz\n",
		runc + "runc.amd64": "runc",
		runc + "runc.sha256sum": fmt.Sprintf("%s *libseccomp-2.5.6.tar.gz\n%s *runc.amd64\n%s *runc.arm64\n",
			digest("0"), digest("e"), digest("1")),
		cni: "plugins", cni + ".sha256": digest("f") + "  cni-plugins-linux-amd64-v1.9.1.tgz\n",
	}
	if change != nil {
		change(files)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if moved, ok := strings.CutPrefix(r.URL.Path, "/mirror/github.com"); ok {
			http.Redirect(w, r, "/objects"+moved, http.StatusFound) // as GitHub does
			return
		}
		name := strings.Replace(r.URL.Path, "/objects", "/mirror/github.com", 1)
		content, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodHead && !strings.Contains(name, "sha256") {
			t.Errorf("%s %s: an artefact was downloaded", r.Method, name)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			fmt.Fprint(w, content)
		}
	}))
	t.Cleanup(server.Close)
	return server, Options{
		Kubernetes: "v1.36.3", Containerd: "v2.4.2", Runc: "v1.5.2", CNI: "v1.9.1", Architecture: "amd64",
		BaseURL: server.URL + "/mirror/", ProgramFolder: "/opt/skyweld/bin", CNIFolder: "/opt/cni/bin",
	}
}

func TestManifest(t *testing.T) {
	server, options := publishers(t, nil)
	m, err := Manifest(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if m.Images == nil || len(m.Images) != 0 {
		t.Errorf("images are %v, want an empty list", m.Images)
	}
	want := []manifest.File{
		{Name: "kubeadm", SHA256: digest("a"), Size: 3, Path: "/opt/skyweld/bin/kubeadm", Mode: "0755"},
		{Name: "kubectl", SHA256: digest("b"), Size: 3, Path: "/opt/skyweld/bin/kubectl", Mode: "0755"},
		{Name: "kubelet", SHA256: digest("c"), Size: 4, Path: "/opt/skyweld/bin/kubelet", Mode: "0755"},
		{Name: "containerd", SHA256: digest("d"), Size: 7, Path: "/opt/skyweld/bin", Unpack: "tar.gz", Strip: 1},
		{Name: "runc", SHA256: digest("e"), Size: 4, Path: "/opt/skyweld/bin/runc", Mode: "0755"},
		{Name: "cni", SHA256: digest("f"), Size: 7, Path: "/opt/cni/bin", Unpack: "tar.gz"},
	}
	if len(m.Files) != len(want) {
		t.Fatalf("%d files, want %d", len(m.Files), len(want))
	}
	for i, file := range m.Files {
		if !strings.HasPrefix(file.URL, server.URL+"/mirror/") {
			t.Errorf("%s: URL %s is not the mirror's", file.Name, file.URL)
		}
		file.URL = ""
		if got, want := fmt.Sprintf("%+v", file), fmt.Sprintf("%+v", want[i]); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestManifestFailures(t *testing.T) {
	const kubelet = "/mirror/dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet"
	tests := []struct {
		name   string
		change func(files map[string]string)
		want   string
	}{
		{"no checksum file", func(f map[string]string) { delete(f, kubelet+".sha256") }, "kubelet: get "},
		{"no artefact", func(f map[string]string) { delete(f, kubelet) }, "kubelet: head "},
		{"a page instead", func(f map[string]string) { f[kubelet+".sha256"] = "<html>busy</html>" }, "no digest for kubelet"},
		{"another name", func(f map[string]string) { f[kubelet+".sha256"] = digest("a") + "  kubeadm" }, "no digest for kubelet"},
		{"two digests", func(f map[string]string) { f[kubelet+".sha256"] = digest("a") + "\n" + digest("b") }, "two digests"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, options := publishers(t, test.change)
			_, err := Manifest(context.Background(), options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestVersionsAreChecked(t *testing.T) {
	_, options := publishers(t, nil)
	options.Kubernetes = "v1.36.3/../../elsewhere"
	if _, err := Manifest(context.Background(), options); err == nil {
		t.Error("a version that is a path was taken")
	}
}

func TestSites(t *testing.T) {
	for _, s := range (Options{Kubernetes: "v1.2.3", Architecture: "arm64", ProgramFolder: "/p", CNIFolder: "/c"}).sources() {
		if !strings.HasPrefix(s.file.URL, "https://dl.k8s.io/") && !strings.HasPrefix(s.file.URL, "https://github.com/") {
			t.Errorf("%s comes from %s", s.file.Name, s.file.URL)
		}
		if !strings.HasPrefix(s.checksum, "https://") {
			t.Errorf("%s: checksum from %s", s.file.Name, s.checksum)
		}
	}
}

func FuzzFindDigest(f *testing.F) {
	f.Add(digest("a"), "kubelet")
	f.Add(digest("b")+" *runc.amd64\n", "runc.amd64")
	f.Fuzz(func(t *testing.T, text, name string) {
		found, err := findDigest(strings.NewReader(text), name)
		if err == nil && !isDigest(found) {
			t.Errorf("found %q", found)
		}
	})
}
