package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// digestOfHello is that of "hello", from sha256sum(1).
const digestOfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func sample() *Manifest {
	return &Manifest{
		APIVersion: APIVersion, KubernetesVersion: "v1.36.3", OS: "linux", Architecture: "amd64",
		Files: []File{
			{
				Name: "hyperkube", URL: "hyperkube", SHA256: digestOfHello, Size: 5,
				Path: "/opt/skyweld/bin/hyperkube", Mode: "0755", Links: []string{"/opt/skyweld/bin/kubelet"},
			},
			{
				Name: "containerd", URL: "https://example.com/c.tar.gz", SHA256: digestOfHello,
				Path: "/opt/skyweld/bin", Unpack: TarGz, Strip: 1,
			},
		},
		Images: []Image{{
			Name: "kube", URL: "images/kube.tar", SHA256: digestOfHello, Size: 5,
			Refs: []string{"registry.k8s.io/kube-proxy:v1.36.3"}, Roles: []string{ControlPlane, Worker},
		}},
	}
}

// TestShape holds the JSON that agents in the field read.
func TestShape(t *testing.T) {
	encoded, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(encoded) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", encoded, want)
	}
	read, err := Read("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := read.Encode(); err != nil || string(again) != string(want) {
		t.Errorf("read and encoded again: %v\n%s", err, again)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(m *Manifest)
		want  string
	}{
		{"format", func(m *Manifest) { m.APIVersion = "v2" }, "apiVersion"},
		{"version", func(m *Manifest) { m.KubernetesVersion = "1.36.3" }, "doesn't start with v"},
		{"architecture", func(m *Manifest) { m.Architecture = "" }, "architecture is missing"},
		{"name", func(m *Manifest) { m.Files[0].Name = "" }, "no name"},
		{"url", func(m *Manifest) { m.Files[0].URL = "" }, "is not a URL"},
		{"digest", func(m *Manifest) { m.Files[0].SHA256 = strings.ToUpper(digestOfHello) }, "64 hex digits"},
		{"size", func(m *Manifest) { m.Images[0].Size = -1 }, "negative size"},
		{"relative path", func(m *Manifest) { m.Files[0].Path = "bin/x" }, "clean absolute path"},
		{"path upwards", func(m *Manifest) { m.Files[0].Links[0] = "/opt/../etc/passwd" }, "clean absolute path"},
		{"mode", func(m *Manifest) { m.Files[0].Mode = "rwx" }, "octal mode"},
		{"strip", func(m *Manifest) { m.Files[0].Strip = 1 }, "strip without unpack"},
		{"unpack", func(m *Manifest) { m.Files[1].Unpack = "zip" }, "unknown unpack"},
		{"taken", func(m *Manifest) { m.Files[0].Links[0] = m.Files[0].Path }, "taken already"},
		{"refs", func(m *Manifest) { m.Images[0].Refs = nil }, "no refs"},
		{"role", func(m *Manifest) { m.Images[0].Roles = []string{"master"} }, "unknown role"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := sample()
			test.spoil(m)
			if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestReadRefusesUnknownFields(t *testing.T) {
	data, err := json.Marshal(map[string]any{"apiVersion": APIVersion, "surprise": true})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "manifest.json")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); err == nil || !strings.Contains(err.Error(), "surprise") {
		t.Errorf("got error %v", err)
	}
}

func TestSums(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := sample()
	write("hyperkube", "hello")
	if err := m.Sums(folder, true); err == nil {
		t.Error("a missing image went unnoticed")
	}
	write("images/kube.tar", "hello")
	if err := m.Sums(folder, true); err != nil {
		t.Error(err)
	}
	write("images/kube.tar", "hallo")
	if err := m.Sums(folder, false); err != nil {
		t.Error(err)
	}
	if err := m.Sums(folder, true); err == nil {
		t.Error("a changed image went unnoticed")
	}
	write("hyperkube", "hello, world")
	if err := m.Sums(folder, false); err == nil {
		t.Error("a changed size went unnoticed")
	}
}
