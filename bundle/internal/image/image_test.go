package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listing gives one line for each entry of a tar: type, mode, name and what is in it.
func listing(t *testing.T, data []byte) []string {
	t.Helper()
	var lines []string
	archive := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(time.Unix(0, 0)) || header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s: time %v, owner %d:%d %q", header.Name, header.ModTime, header.Uid, header.Gid, header.Uname)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		mode := header.FileInfo().Mode()
		lines = append(lines, strings.TrimSpace(strings.Join([]string{mode.String(), header.Name, header.Linkname + string(content)}, " ")))
	}
}

func TestLayer(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := source + "-link"
	if err := os.Symlink(source, link); err != nil {
		t.Fatal(err)
	}
	steps := []func(l *Layer){
		func(l *Layer) { l.Link("/bin/sh", "busybox") },
		func(l *Layer) { l.File("bin/busybox", link, 0o755) },
		func(l *Layer) { l.Folder("/tmp", 0o1777) },
		func(l *Layer) { l.Data("/etc/passwd", []byte("root"), 0o644) },
	}
	want := []string{
		"drwxr-xr-x bin/", "-rwxr-xr-x bin/busybox program", "Lrwxrwxrwx bin/sh busybox",
		"drwxr-xr-x etc/", "-rw-r--r-- etc/passwd root", "dtrwxrwxrwx tmp/",
	}
	var first []byte
	for range 2 {
		l := &Layer{}
		for _, step := range steps {
			step(l)
		}
		var out bytes.Buffer
		if err := l.Write(&out); err != nil {
			t.Fatal(err)
		}
		if got := listing(t, out.Bytes()); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if first != nil && !bytes.Equal(first, out.Bytes()) {
			t.Error("the order of the calls, or the file's time, changes the layer")
		}
		first = out.Bytes()
		slices.Reverse(steps)
		if err := os.Chtimes(source, time.Now(), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLayerMistakes(t *testing.T) {
	tests := []struct {
		name string
		make func(l *Layer)
		want string
	}{
		{"twice", func(l *Layer) { l.Link("/a", "b"); l.Data("a", nil, 0o644) }, "/a is there twice"},
		{"root", func(l *Layer) { l.Folder("/", 0o755) }, "the root itself"},
		{"below a file", func(l *Layer) { l.Data("/a", nil, 0o644); l.Data("/a/b/c", nil, 0o644) }, "/a/b/c lies in /a"},
		{"missing source", func(l *Layer) { l.File("/a", "/nonexistent/source", 0o755) }, "layer entry /a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := &Layer{}
			test.make(l)
			if err := l.Write(io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestArchive(t *testing.T) {
	l := &Layer{}
	l.Data("/pause", []byte("pause"), 0o755)
	i := Image{
		Refs: []string{"example/a:1", "example/b:1"}, Architecture: "amd64", Layer: l,
		Entrypoint: []string{"/pause"}, User: "1:1", Env: []string{"PATH=/bin"},
	}
	var out, again, layer bytes.Buffer
	for _, w := range []io.Writer{&out, &again} {
		if err := i.WriteArchive(w); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("two archives of one image differ")
	}
	if err := l.Write(&layer); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	archive := tar.NewReader(&out)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
	var items []archiveItem
	if err := json.Unmarshal(files["manifest.json"], &items); err != nil || len(items) != 1 || len(items[0].Layers) != 1 {
		t.Fatalf("manifest.json %s: %v", files["manifest.json"], err)
	}
	if !slices.Equal(items[0].RepoTags, i.Refs) {
		t.Errorf("tags %q, want %q", items[0].RepoTags, i.Refs)
	}
	if !bytes.Equal(files[items[0].Layers[0]], layer.Bytes()) {
		t.Error("the archive's layer is another one")
	}
	config := files[items[0].Config]
	if items[0].Config != digestOf(config)+".json" {
		t.Errorf("config %s has digest %s", items[0].Config, digestOf(config))
	}
	want := `{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"User":"1:1","Env":["PATH=/bin"],` +
		`"Entrypoint":["/pause"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:` + digestOf(layer.Bytes()) + `"]}}`
	if string(config) != want {
		t.Errorf("config\n%s, want\n%s", config, want)
	}
}

func TestArchiveWithoutName(t *testing.T) {
	if err := (&Image{Layer: &Layer{}}).WriteArchive(io.Discard); err == nil {
		t.Error("an image without a name was written")
	}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
