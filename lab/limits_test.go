package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	l := limits{path: filepath.Join(dir, "sysctl"), want: 8192, dir: filepath.Join(dir, "labs")}
	set := func(v string) {
		if err := os.WriteFile(l.path, []byte(v+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) {
		t.Helper()
		data, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(data)); got != want {
			t.Errorf("the limit is %s, want %s", got, want)
		}
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set("128")
	ok(l.hold("a"))
	is("8192")
	ok(l.hold("b"))
	ok(l.hold("a")) // a lab that was killed and starts again
	ok(l.release("a"))
	is("8192")
	ok(l.release("b"))
	is("128")
	ok(l.release("b"))
	if _, err := os.Stat(l.dir); err == nil {
		t.Error("the folder is left")
	}
	ok(l.hold("a"))
	set("9000") // somebody else's wish
	ok(l.release("a"))
	is("9000")
	ok(l.hold("a")) // enough already
	ok(l.release("a"))
	is("9000")
}
