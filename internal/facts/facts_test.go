package facts_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/internal/facts"
)

func TestRead(t *testing.T) {
	const text = "type,vcpu\na,1\n\"b,c\",2\n"
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{{"type": "a", "vcpu": "1"}, {"type": "b,c", "vcpu": "2"}}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		data string
		ok   bool
	}{
		"plain.csv": {text, true}, "packed.csv.gz": {packed.String(), true}, "notpacked.csv.gz": {text, false}, "header.csv": {"type,vcpu\n", false}, "empty.csv": {"", false},
		"uneven.csv": {"type,vcpu\na\n", false},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.data), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := facts.Read(path)
		if (err == nil) != c.ok {
			t.Errorf("%s: error %v", name, err)
		}
		if diff := cmp.Diff(want, got); c.ok && diff != "" {
			t.Errorf("%s (- want, + got):\n%s", name, diff)
		}
	}
	if _, err := facts.Read(filepath.Join(dir, "none.csv")); err == nil {
		t.Error("a file that isn't there was read")
	}
}

func TestWritePacked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "packed.csv.gz")
	if err := facts.WritePacked(path, []byte("type,vcpu\na,1\n")); err != nil {
		t.Fatal(err)
	}
	got, err := facts.Read(path)
	if diff := cmp.Diff([]map[string]string{{"type": "a", "vcpu": "1"}}, got); err != nil || diff != "" {
		t.Errorf("error %v (- want, + got):\n%s", err, diff)
	}
	if err := facts.WritePacked(filepath.Join(dir, "none", "x.gz"), nil); err == nil {
		t.Error("a file in a folder that isn't there was written")
	}
}
