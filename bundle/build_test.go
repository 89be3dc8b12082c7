package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func testStore(t *testing.T) *store {
	t.Helper()
	st, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := st.lock(context.Background(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	return st
}

func key(letter string) string { return strings.Repeat(letter, 64) }

func keepFile(t *testing.T, st *store, name, key, content string) map[string]sum {
	t.Helper()
	sums, err := st.keep(name, key, []string{"f"}, func(folder string) error {
		return os.WriteFile(filepath.Join(folder, "f"), []byte(content), 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func TestArtefacts(t *testing.T) {
	st := testStore(t)
	if sums, err := st.finished("a", key("1")); sums != nil || err != nil {
		t.Fatalf("an empty store has %v, %v", sums, err)
	}
	made := keepFile(t, st, "a", key("1"), "content")
	if sums, err := st.finished("a", key("1")); err != nil || sums["f"] != made["f"] || made["f"].Size != 7 {
		t.Errorf("kept %v, found %v, %v", made, sums, err)
	}
	if sums, err := st.finished("a", key("2")); sums != nil || err != nil {
		t.Errorf("another key has %v, %v", sums, err)
	}
	name := filepath.Join(st.artefact("a", key("1")), "f")
	if err := os.WriteFile(name, []byte("changed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if sums, err := st.finished("a", key("1")); sums != nil || err != nil {
		t.Errorf("a damaged artefact is taken for finished: %v, %v", sums, err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("a damaged artefact stays")
	}
}

func TestArtefactsAreWholeOrAbsent(t *testing.T) {
	st := testStore(t)
	broken := errors.New("compiler broke")
	_, err := st.keep("a", key("1"), []string{"f"}, func(folder string) error {
		return errors.Join(os.WriteFile(filepath.Join(folder, "f"), []byte("half"), 0o755), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got error %v", err)
	}
	if _, err := st.keep("a", key("1"), []string{"f"}, func(string) error { return nil }); err == nil {
		t.Error("an artefact without its file was kept")
	}
	if sums, err := st.finished("a", key("1")); sums != nil || err != nil {
		t.Errorf("half an artefact is there: %v, %v", sums, err)
	}
	entries, err := os.ReadDir(st.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partPrefix) {
			t.Errorf("%s is left behind", entry.Name())
		}
	}
}

// TestTidy publishes more bundles than are kept, over two artefacts, one of which only the oldest uses.
func TestTidy(t *testing.T) {
	st := testStore(t)
	keepFile(t, st, "old", key("0"), "old")
	keepFile(t, st, "new", key("0"), "new")
	if err := os.Mkdir(filepath.Join(st.root, partPrefix+"crashed"), 0o755); err != nil {
		t.Fatal(err)
	}
	bundles := []string{key("1"), key("2"), key("3"), key("4")}
	for i, k := range bundles {
		name := "new"
		if i == 0 {
			name = "old"
		}
		artefact := st.artefact(name, key("0"))
		err := st.publish(k, []byte("{}"), map[string]string{"sub/f": filepath.Join(artefact, "f")}, []string{filepath.Base(artefact)})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.point(k); err != nil {
			t.Fatal(err)
		}
		made := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(filepath.Join(st.bundle(k), manifestName), made, made); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.tidy(key("4")); err != nil {
		t.Fatal(err)
	}
	left := func(path string) bool { _, err := os.Stat(path); return err == nil }
	for i, k := range bundles {
		if got, want := left(filepath.Join(st.bundle(k), "sub", "f")), i > 0; got != want {
			t.Errorf("bundle %d is there: %v, want %v", i, got, want)
		}
	}
	if left(st.artefact("old", key("0"))) || !left(st.artefact("new", key("0"))) {
		t.Error("the wrong artefacts are left")
	}
	if left(filepath.Join(st.root, partPrefix+"crashed")) {
		t.Error("a crashed build's folder is left")
	}
	if target, err := os.Readlink(filepath.Join(st.root, latestName)); err != nil || target != key("4")[:keyLength] {
		t.Errorf("latest leads to %q, %v", target, err)
	}
	// An old bundle that is the current one again stays, whatever its age.
	if err := st.publish(key("5"), []byte("{}"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := st.tidy(key("2")); err != nil {
		t.Fatal(err)
	}
	if !left(st.bundle(key("2"))) {
		t.Error("the current bundle is gone")
	}
}

func TestLockWaitsAndGivesUp(t *testing.T) {
	st := testStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	waited := false
	_, err := st.lock(ctx, func(string, ...any) { waited = true; cancel() })
	if !errors.Is(err, context.Canceled) || !waited {
		t.Errorf("got error %v, waited %v", err, waited)
	}
}

// TestProgramKeys changes one program and expects the other to keep its key.
func TestProgramKeys(t *testing.T) {
	source := t.TempDir()
	list := programs()
	pick := func(name string) program {
		return list[slices.IndexFunc(list, func(p program) bool { return p.name == name })]
	}
	for _, name := range []string{"pause", "etcd"} {
		if err := os.CopyFS(filepath.Join(source, "programs", name), os.DirFS(filepath.Join("programs", name))); err != nil {
			t.Fatal(err)
		}
	}
	keyOf := func(p program) string {
		t.Helper()
		k, err := programKey(context.Background(), source, p)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	pause, etcd := keyOf(pick("pause")), keyOf(pick("etcd"))
	main := filepath.Join(source, "programs", "pause", "main.go")
	if err := os.WriteFile(strings.Replace(main, "main.go", "main_test.go", 1), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if keyOf(pick("pause")) != pause {
		t.Error("a test changes the key")
	}
	data, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(main, append(data, "// changed\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	changed := keyOf(pick("pause"))
	if changed == pause {
		t.Error("a changed source doesn't change the key")
	}
	if keyOf(pick("etcd")) != etcd {
		t.Error("one program's source changes another's key")
	}
	other := pick("pause")
	other.symbols = []string{"main.version=0"}
	if keyOf(other) == changed {
		t.Error("a linker symbol doesn't change the key")
	}
}

func TestKeyPartsDontRunTogether(t *testing.T) {
	one, other := newKeyer("k", "n"), newKeyer("k", "n")
	one.add("ab", "c")
	other.add("a", "bc")
	if one.sum() == other.sum() {
		t.Error("different parts have one key")
	}
}

// TestCompile builds the smallest program twice, in two places, and expects the same bytes.
func TestCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program: not with -short")
	}
	list := programs()
	p := list[slices.IndexFunc(list, func(p program) bool { return p.name == "pause" })]
	var results [][]byte
	for range 2 {
		source, out := t.TempDir(), t.TempDir()
		if err := os.CopyFS(filepath.Join(source, "programs", "pause"), os.DirFS("programs/pause")); err != nil {
			t.Fatal(err)
		}
		if err := compile(context.Background(), source, p, out, t.Logf); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(out, "pause"))
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, data)
	}
	if !bytes.Equal(results[0], results[1]) {
		t.Error("two builds differ")
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	source := t.TempDir()
	folder := filepath.Join(source, "programs", "broken")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": "module broken\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { oops() }\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := compile(context.Background(), source, program{name: "broken", module: "broken", packages: []string{"."}}, t.TempDir(), t.Logf)
	if err == nil || !strings.Contains(err.Error(), "undefined: oops") {
		t.Errorf("got error %v", err)
	}
}

func TestCompilerOutput(t *testing.T) {
	o := &compilerOutput{}
	for _, chunk := range []string{"go: downloading k8s.io/api v0.36.3\nk8s.io/", "api/core/v1\nk8s.io/client-go\n", "# k8s.io/x\n./x.go:1:1: bad", " thing"} {
		if n, err := o.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := o.progress(), "compiling, 2 packages and 1 downloads so far"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := o.tail(), "# k8s.io/x\n./x.go:1:1: bad thing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{nil, "wrong usage"},
		{[]string{"bake"}, "wrong usage"},
		{[]string{"build", "extra"}, `unexpected argument "extra"`},
		{[]string{"path", "-source", "/nonexistent"}, "bundle sources"},
		{[]string{"official", "-version", "latest"}, `"latest" is not a version`},
	}
	for _, test := range tests {
		var out, problems bytes.Buffer
		err := run(context.Background(), test.args, &out, &problems)
		if err == nil || !strings.Contains(err.Error(), test.want) || out.Len() > 0 {
			t.Errorf("%q: got error %v and output %q, want %q", test.args, err, out.String(), test.want)
		}
	}
}
