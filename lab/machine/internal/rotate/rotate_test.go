package rotate

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

func TestTailIsSuffixOfAllThatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "rotate")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "log")
		bound := rapid.Int64Range(2, 100).Draw(t, "bound")
		f, err := Open(path, bound)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for _, p := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 60)).Draw(t, "writes") {
			if n, err := f.Write(p); err != nil || n != len(p) {
				t.Fatalf("Write: %d of %d, %v", n, len(p), err)
			}
			all = append(all, p...)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		n := rapid.Int64Range(0, 120).Draw(t, "tail")
		got := Tail(path, n)
		if !bytes.HasSuffix(all, got) || int64(len(got)) > n || int64(len(got)) > bound {
			t.Fatalf("tail of %d bytes is no suffix within %d and %d", len(got), n, bound)
		}
		if want := min(n, bound/2, int64(len(all))); int64(len(got)) < want {
			t.Fatalf("tail has %d bytes, want at least %d", len(got), want)
		}
	})
}

func TestAppendsToWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, s := range []string{"one\n", "two\n"} {
		f, err := Open(path, 100)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := f.Write([]byte("late")); err == nil {
			t.Error("a closed log took a write")
		}
	}
	if got := string(Tail(path, 100)); got != "one\ntwo\n" {
		t.Errorf("log is %q", got)
	}
	if got := Tail(path+"-none", 10); len(got) != 0 {
		t.Errorf("a missing log has %q", got)
	}
}
