package accounts

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newDB(t *testing.T) (DB, string) {
	t.Helper()
	root := t.TempDir()
	etc := filepath.Join(root, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/bash\nbroken line\n",
		"group":  "root:x:0:\nadm:x:4:\nsudo:x:27:other\n",
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return DB(etc), root
}

func TestAdd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives away home folders")
	}
	db, root := newDB(t)
	for range 2 { // Adding twice is adding once.
		a, err := db.Add(Account{Name: "ops", Gecos: "Ops"}, []string{"sudo", "wheel"}, root)
		if err != nil {
			t.Fatal(err)
		}
		want := Account{Name: "ops", UID: 1000, GID: 1000, Gecos: "Ops", Home: "/home/ops", Shell: "/bin/bash"}
		if d := cmp.Diff(want, a); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
	}
	if _, err := db.Add(Account{Name: "dev", Shell: "/bin/sh"}, []string{"wheel"}, root); err != nil {
		t.Fatal(err)
	}
	passwd, _ := os.ReadFile(filepath.Join(root, "etc/passwd"))
	group, _ := os.ReadFile(filepath.Join(root, "etc/group"))
	wantPasswd := "root:x:0:0:root:/root:/bin/bash\nbroken line\nops:x:1000:1000:Ops:/home/ops:/bin/bash\ndev:x:1002:1002::/home/dev:/bin/sh\n"
	wantGroup := "root:x:0:\nadm:x:4:\nsudo:x:27:other,ops\nops:x:1000:\nwheel:x:1001:ops,dev\ndev:x:1002:\n"
	if d := cmp.Diff(wantPasswd+wantGroup, string(passwd)+string(group)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	ops, err := db.Lookup("ops")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := db.Groups(ops)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]uint32{1000, 27, 1001}, ids); d != "" {
		t.Errorf("groups (-want +got)\n%s", d)
	}
	if info, err := os.Stat(filepath.Join(root, "home/ops")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("home: %v, %v", info, err)
	}
}

func TestLookup(t *testing.T) {
	db, _ := newDB(t)
	root, err := db.Lookup("root")
	if err != nil || root.Home != "/root" {
		t.Errorf("root: %+v, %v", root, err)
	}
	if _, err := db.Lookup("none"); !errors.Is(err, ErrUnknown) {
		t.Errorf("none: %v", err)
	}
	if id, err := db.Group("sudo"); err != nil || id != 27 {
		t.Errorf("group sudo: %d, %v", id, err)
	}
	if _, err := db.Group("none"); !errors.Is(err, ErrUnknown) {
		t.Errorf("group none: %v", err)
	}
}
