package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/skyweld/skyweld/store"
	"github.com/skyweld/skyweld/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Child()
	os.Exit(m.Run())
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Database {
		path := filepath.Join(t.TempDir(), "skyweld.db")
		try := func(t *testing.T, statement string) error {
			t.Helper()
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			_, err = db.Exec(statement)
			return err
		}
		return storetest.Database{
			Where: path,
			Exec: func(t *testing.T, statement string) {
				t.Helper()
				if err := try(t, statement); err != nil {
					t.Fatal(err)
				}
			},
			Try: try,
			Dump: func(t *testing.T) string {
				t.Helper()
				var all []byte
				for _, name := range []string{path, path + "-wal"} {
					data, err := os.ReadFile(name)
					if err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					all = append(all, data...)
				}
				return string(all)
			},
		}
	})
}

func TestSQLiteFileMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "skyweld.db")
	s, err := store.Open(t.Context(), path, storetest.Box())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, want := range map[string]os.FileMode{path: 0o600, path + "-wal": 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o; want %04o", filepath.Base(name), got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/var/lib/skyweld/skyweld.db":                "/var/lib/skyweld/skyweld.db",
		"postgres://u:hush@db:5432/skyweld":          "postgres://u:xxxxx@db:5432/skyweld",
		"postgres://db/skyweld?user=u&password=hush": "postgres://db/skyweld?password=xxxxx&user=u",
		"postgres://u:hush%zz@db/skyweld":            "postgres://[unreadable]",
	} {
		if got := store.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q; want %q", in, got, want)
		}
	}
}
