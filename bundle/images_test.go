package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// TestImagesRun unpacks each built image and runs its programs with the image as their root, in a network namespace
// of their own. What is missing in an image shows here.
func TestImagesRun(t *testing.T) {
	_, folder := built(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: programs run with an image as their root")
	}
	// The sort of map that kube-proxy looks its services up in; "tcp" is translated by way of /etc/protocols.
	const rules = `add table ip t
add map ip t services { type ipv4_addr . inet_proto . inet_service : verdict ; }
add chain ip t nat { type nat hook output priority -100 ; }
add rule ip t nat ip daddr . meta l4proto . th dport vmap @services
add element ip t services { 10.96.0.1 . tcp . 443 : drop , 10.96.0.10 . sctp . 53 : drop }
`
	tests := []struct {
		image   string
		command []string
		stdin   string
		want    string
	}{
		{"kube", []string{"/usr/local/bin/kube-proxy", "--version"}, "", kubernetesVersion},
		{"kube", []string{"/usr/local/bin/kube-apiserver", "--version"}, "", kubernetesVersion},
		{"kube", []string{"/usr/sbin/nft", "--echo", "-f", "-"}, rules, "10.96.0.1 . tcp . 443 : drop"},
		{"kube", []string{"/usr/sbin/conntrack", "--version"}, "", "conntrack v"},
		{"etcd", []string{"/usr/local/bin/etcd", "--version"}, "", strings.TrimPrefix(etcdVersion, "v")},
		{"etcd", []string{"/usr/local/bin/etcdctl", "version"}, "", strings.TrimPrefix(etcdVersion, "v")},
		{"etcd", []string{"/usr/local/bin/etcdutl", "version"}, "", strings.TrimPrefix(etcdVersion, "v")},
		{"coredns", []string{"/coredns", "-plugins"}, "", "\nkubernetes\n"},
		{"pause", []string{"/pause", "-v"}, "", pauseVersion},
		{"agnhost", []string{"/agnhost", "--version"}, "", agnhostVersion},
		{"agnhost", []string{"/bin/sh", "-c", "cat /etc/passwd | grep root && ls -d /tmp && curl --version"}, "", "libcurl"},
	}
	roots := map[string]string{}
	for _, test := range tests {
		if roots[test.image] == "" {
			roots[test.image] = unpack(t, filepath.Join(folder, test.image+".tar"))
		}
		t.Run(test.image+test.command[0], func(t *testing.T) {
			command := exec.Command(test.command[0], test.command[1:]...)
			command.Dir = "/"
			command.Env = []string{"PATH=" + searchPath}
			command.Stdin = strings.NewReader(test.stdin)
			command.SysProcAttr = &syscall.SysProcAttr{Chroot: roots[test.image], Cloneflags: syscall.CLONE_NEWNET}
			printed, err := command.CombinedOutput()
			if err != nil || !strings.Contains(string(printed), test.want) {
				t.Errorf("%q: %v, printed %q, want %q", test.command, err, printed, test.want)
			}
		})
	}
}

// unpack gives a folder with what is in the one layer of an image archive.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	folder := t.TempDir()
	outer := tar.NewReader(file)
	for {
		header, err := outer.Next()
		if err != nil {
			t.Fatalf("%s: no layer: %v", archive, err)
		}
		if strings.HasSuffix(header.Name, "/layer.tar") {
			break
		}
	}
	layer := tar.NewReader(outer)
	for {
		header, err := layer.Next()
		if errors.Is(err, io.EOF) {
			return folder
		}
		if err == nil {
			err = unpackEntry(layer, header, filepath.Join(folder, header.Name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackEntry(content io.Reader, header *tar.Header, name string) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return os.Mkdir(name, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, name)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode())
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// TestLayout checks that the manifest, once it has sums, is valid, and that every part comes from some build.
func TestLayout(t *testing.T) {
	m, parts := layout()
	made := map[part]bool{}
	for _, p := range programs() {
		for _, file := range p.files() {
			made[part{p.name, file}] = true
		}
	}
	for _, r := range images() {
		made[part{imageArtefact(r.name), r.name + ".tar"}] = true
	}
	for i := range m.Files {
		m.Files[i].SHA256 = strings.Repeat("0", 64)
		if !made[parts[m.Files[i].URL]] {
			t.Errorf("nothing makes file %s", m.Files[i].URL)
		}
	}
	for i := range m.Images {
		m.Images[i].SHA256 = strings.Repeat("0", 64)
		if !made[parts[m.Images[i].URL]] {
			t.Errorf("nothing makes image %s", m.Images[i].URL)
		}
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestBuiltManifest checks the whole finished bundle against its digests.
func TestBuiltManifest(t *testing.T) {
	_, folder := built(t)
	m, err := manifest.Read(filepath.Join(folder, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Sums(folder, true); err != nil {
		t.Error(err)
	}
	for _, i := range m.Images {
		if refs := archiveRefs(t, filepath.Join(folder, i.URL)); strings.Join(refs, " ") != strings.Join(i.Refs, " ") {
			t.Errorf("image %s carries %q, the manifest says %q", i.Name, refs, i.Refs)
		}
	}
}

func archiveRefs(t *testing.T, archive string) []string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		if header.Name != "manifest.json" {
			continue
		}
		var items []struct{ RepoTags []string }
		if err := json.NewDecoder(reader).Decode(&items); err != nil || len(items) != 1 {
			t.Fatalf("manifest.json of %s: %v", archive, err)
		}
		return items[0].RepoTags
	}
}
