package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

// mirror serves files and counts who asks for what.
type mirror struct {
	mu    sync.Mutex
	files map[string][]byte
	asked []string
	// cut, if not 0, ends every answer after so many bytes, once.
	cut int
}

func (s *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/")
	s.asked = append(s.asked, strings.TrimSpace(name+" "+r.Header.Get("Range")))
	data, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if s.cut > 0 && len(data) > s.cut && name != "manifest.json" {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(data[:s.cut]) // and the connection breaks
		s.cut = 0
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}

func (s *mirror) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := slices.Sorted(slices.Values(s.asked))
	s.asked = nil
	return asked
}

// ctr is a containerd that remembers the images it was given.
type ctr struct {
	refs map[string]string // by digest of the archive
	has  []string
	// pinned are those that the kubelet may not remove.
	pinned []string
	calls  []string
}

func (c *ctr) Run(_ context.Context, command host.Command) (string, error) {
	c.calls = append(c.calls, command.Args[3])
	switch command.Args[3] {
	case "list":
		return strings.Join(c.has, "\n"), nil
	case "label":
		if command.Args[5] != "io.cri-containerd.pinned=pinned" || !slices.Contains(c.has, command.Args[4]) {
			return "", fmt.Errorf("label %q", command.Args[4:])
		}
		c.pinned = append(c.pinned, command.Args[4])
		return "", nil
	}
	data, err := os.ReadFile(command.Args[len(command.Args)-1])
	if err != nil {
		return "", err
	}
	c.has = append(c.has, c.refs[hash(data)])
	return "", nil
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func targz(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for name, text := range files {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if text == "link" {
			header.Typeflag, header.Linkname, header.Size = tar.TypeSymlink, "/etc/passwd", 0
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := archive.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// world is a machine, a mirror and a bundle on it.
type world struct {
	t       *testing.T
	mirror  *mirror
	url     string
	machine *host.Machine
	ctr     *ctr
	bundle  Manifest
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, mirror: &mirror{files: map[string][]byte{}}, ctr: &ctr{refs: map[string]string{}}}
	server := httptest.NewServer(w.mirror)
	t.Cleanup(server.Close)
	w.url = server.URL + "/manifest.json"
	w.machine = &host.Machine{Root: t.TempDir(), Tools: w.ctr}
	w.bundle = Manifest{APIVersion: APIVersion, KubernetesVersion: "v1.36.3", OS: "linux", Architecture: "amd64"}
	kube := []byte(strings.Repeat("kube", 1000))
	w.mirror.files["kube"] = kube
	w.bundle.Files = append(w.bundle.Files, File{
		Name: "kube", URL: "kube", SHA256: hash(kube), Size: int64(len(kube)), Path: "/opt/x/kube", Mode: "0755", Links: []string{"/opt/x/kubelet", "/opt/x/kubeadm"},
	})
	cni := targz(t, map[string]string{"./bin/": "", "./bin/ptp": "ptp", "./bin/portmap": "portmap", "README": "read"})
	w.mirror.files["cni.tgz"] = cni
	w.bundle.Files = append(w.bundle.Files, File{Name: "cni", URL: "cni.tgz", SHA256: hash(cni), Path: "/opt/cni/bin", Unpack: "tar.gz", Strip: 1})
	for _, name := range []string{"pause", "etcd"} {
		image := []byte("image " + name)
		ref := "registry.k8s.io/" + name + ":1"
		w.mirror.files[name+".tar"] = image
		w.ctr.refs[hash(image)] = ref
		w.bundle.Images = append(w.bundle.Images, Image{Name: name, URL: name + ".tar", SHA256: hash(image), Refs: []string{ref}})
	}
	w.bundle.Images[1].Roles = []string{node.ControlPlane}
	return w
}

// install installs the bundle as it is now and says what changed.
func (w *world) install(role string) ([]string, error) {
	w.t.Helper()
	data, err := json.Marshal(w.bundle)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mirror.mu.Lock()
	w.mirror.files["manifest.json"] = data
	w.mirror.mu.Unlock()
	i, err := Open(context.Background(), w.machine, node.Bundle{URL: w.url, SHA256: hash(data)}, role)
	if err != nil {
		return nil, err
	}
	defer i.Close()
	changed, err := i.Files(context.Background())
	if err != nil {
		return changed, err
	}
	more, err := i.Images(context.Background())
	return append(changed, more...), err
}

func (w *world) expect(what string, got []string, err error, want ...string) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: changed %q, want %q", what, got, want)
	}
}

func (w *world) content(name string) string {
	data, err := os.ReadFile(w.machine.Path(name))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func TestInstall(t *testing.T) {
	w := newWorld(t)
	changed, err := w.install(node.Worker)
	w.expect("first", changed, err, "installed kube", "installed cni", "imported image pause")
	if asked := w.mirror.take(); !slices.Equal(asked, []string{"cni.tgz", "kube", "manifest.json", "pause.tar"}) {
		t.Errorf("downloaded %q", asked)
	}
	if got := w.content("/opt/cni/bin/ptp"); got != "ptp" {
		t.Errorf("ptp holds %q", got)
	}
	if target, err := os.Readlink(w.machine.Path("/opt/x/kubelet")); err != nil || target != "/opt/x/kube" {
		t.Errorf("kubelet leads to %q, %v", target, err)
	}
	if info, err := os.Stat(w.machine.Path("/opt/x/kube")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("kube is %v, %v", info, err)
	}
	changed, err = w.install(node.Worker)
	w.expect("again", changed, err)
	if asked := w.mirror.take(); len(asked) > 0 {
		t.Errorf("again, %q was downloaded", asked)
	}
	if left, err := os.ReadDir(w.machine.Path(downloads)); err != nil || len(left) > 0 {
		t.Errorf("downloads left: %v, %v", left, err)
	}
	changed, err = w.install(node.ControlPlane)
	w.expect("as control plane", changed, err, "imported image etcd")
	if !slices.Equal(w.ctr.pinned, w.ctr.has) {
		t.Errorf("pinned are %q of %q", w.ctr.pinned, w.ctr.has)
	}
}

func TestRepairs(t *testing.T) {
	w := newWorld(t)
	changed, err := w.install(node.Worker)
	w.expect("first", changed, err, "installed kube", "installed cni", "imported image pause")
	for _, c := range []struct {
		name   string
		damage func() error
		want   string
	}{
		{"program removed", func() error { return os.Remove(w.machine.Path("/opt/x/kube")) }, "installed kube"},
		{"link removed", func() error { return os.Remove(w.machine.Path("/opt/x/kubelet")) }, "installed kube"},
		{"program changed", func() error { return os.WriteFile(w.machine.Path("/opt/cni/bin/ptp"), []byte("???"), 0o755) }, "installed cni"},
		{"image lost", func() error { w.ctr.has = nil; return nil }, "imported image pause"},
	} {
		if err := c.damage(); err != nil {
			t.Fatal(err)
		}
		changed, err := w.install(node.Worker)
		w.expect(c.name, changed, err, c.want)
	}
}

func TestNewBundle(t *testing.T) {
	w := newWorld(t)
	changed, err := w.install(node.Worker)
	w.expect("first", changed, err, "installed kube", "installed cni", "imported image pause")
	kube := []byte("newer")
	w.mirror.files["kube"] = kube
	w.bundle.Files[0].SHA256, w.bundle.Files[0].Size = hash(kube), int64(len(kube))
	w.bundle.Files[0].Links = []string{"/opt/x/kubelet"}
	w.bundle.Files = w.bundle.Files[:1]
	changed, err = w.install(node.Worker)
	w.expect("newer", changed, err, "installed kube", "removed /opt/cni/bin/portmap", "removed /opt/cni/bin/ptp")
	if got := w.content("/opt/x/kube"); got != "newer" {
		t.Errorf("kube holds %q", got)
	}
	if err := Remove(w.machine); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(w.machine.Path("/opt/x/*")); err != nil || len(left) > 1 { // the link that the newer bundle dropped
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestMismatch(t *testing.T) {
	w := newWorld(t)
	w.bundle.Files, w.bundle.Images = w.bundle.Files[:1], nil
	good := w.mirror.files["kube"]
	w.mirror.files["kube"] = []byte("evil")
	_, err := w.install(node.Worker)
	var mismatch *MismatchError
	if !errors.As(err, &mismatch) || mismatch.Name != "kube" || mismatch.Want != hash(good) || mismatch.Got != hash([]byte("evil")) {
		t.Fatalf("error is %v", err)
	}
	if w.machine.Exists("/opt/x/kube") {
		t.Error("it was installed")
	}
	w.mirror.files["kube"] = good
	changed, err := w.install(node.Worker)
	w.expect("put right", changed, err, "installed kube")
	data := w.mirror.files["manifest.json"]
	if _, err := Open(context.Background(), w.machine, node.Bundle{URL: w.url, SHA256: hash([]byte("other"))}, node.Worker); !errors.As(err, &mismatch) || mismatch.Got != hash(data) {
		t.Errorf("another manifest: %v", err)
	}
}

func TestResume(t *testing.T) {
	w := newWorld(t)
	w.bundle.Files = w.bundle.Files[:1]
	w.bundle.Images = nil
	w.mirror.cut = 100
	changed, err := w.install(node.Worker)
	w.expect("after a break", changed, err, "installed kube")
	if asked := w.mirror.take(); !slices.Equal(asked, []string{"kube", "kube bytes=100-", "manifest.json"}) {
		t.Errorf("asked for %q", asked)
	}
	// Half of something else doesn't spoil it.
	if err := os.Remove(w.machine.Path("/opt/x/kube")); err != nil {
		t.Fatal(err)
	}
	part := w.machine.Path("/opt/x/.skyweld-" + w.bundle.Files[0].SHA256[:16] + ".part")
	if err := os.WriteFile(part, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, err = w.install(node.Worker)
	w.expect("after half of something else", changed, err, "installed kube")
}

func TestArchiveRefused(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"leaves": {"a/../../../evil": "x"}, "link": {"a/b": "link"},
	} {
		w := newWorld(t)
		data := targz(t, files)
		w.mirror.files["cni.tgz"] = data
		w.bundle.Files[1].SHA256 = hash(data)
		if _, err := w.install(node.Worker); err == nil || !strings.Contains(err.Error(), "unpack cni") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := `{"apiVersion":"skyweld.dev/bundle/v1alpha1","kubernetesVersion":"v1","os":"linux","architecture":"amd64","files":[{"name":"a","url":"a","sha256":"` +
		strings.Repeat("0", 64) + `","size":1,"path":"/opt/a","mode":"0755","unpack":""}],"images":[]}`
	if _, err := Parse([]byte(good), "http://x/m.json"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"v1alpha1", "v2", "apiVersion"},
		{`"images"`, `"surprise":1,"images"`, "unknown field"},
		{`"url":"a"`, `"url":"file:///etc/passwd"`, "neither http nor https"},
		{`"sha256":"00`, `"sha256":"x0`, "64 hex digits"},
		{`"/opt/a"`, `"opt/a"`, "clean absolute path"},
		{`"/opt/a"`, `"/opt/../a"`, "clean absolute path"},
		{`"0755"`, `"rwx"`, "mode"},
		{`"unpack":""`, `"unpack":"zip"`, "unpack"},
		{`"size":1`, `"size":-1`, "negative"},
	} {
		if _, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1)), "http://x/m.json"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with %s: error is %v, want one with %q", c.new, err, c.want)
		}
	}
}

func TestPause(t *testing.T) {
	m := Manifest{Images: []Image{{Refs: []string{"registry.k8s.io/pauses:1"}}, {Refs: []string{"a/b:1", "registry.k8s.io/pause:3.10.2"}}}}
	if got := m.Pause(); got != "registry.k8s.io/pause:3.10.2" {
		t.Errorf("pause image is %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"skyweld.dev/bundle/v1alpha1","files":[],"images":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, "http://mirror/manifest.json")
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if !filepath.IsAbs(file.Path) || strings.Contains(file.Path, "..") && filepath.Clean(file.Path) != file.Path {
				t.Fatalf("path %q was taken", file.Path)
			}
		}
	})
}
