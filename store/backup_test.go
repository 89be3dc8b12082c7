package store

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSealedColumns: a column of bytes is a sealed one, and a backup has to open it.
func TestSealedColumns(t *testing.T) {
	table, column := regexp.MustCompile(`^(?:CREATE TABLE|ALTER TABLE) (\w+)`), regexp.MustCompile(`(\w+) +BYTEA`)
	var found []string
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		in := ""
		for line := range strings.Lines(string(text)) {
			if m := table.FindStringSubmatch(line); m != nil {
				in = m[1]
			}
			if m := column.FindStringSubmatch(line); m != nil && !strings.HasPrefix(line, "--") {
				found = append(found, in+"."+m[1])
			}
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(found, slices.Sorted(maps.Keys(sealedColumns))); diff != "" {
		t.Errorf("columns of bytes in the migrations, and those that backups open (-migrations +backups):\n%s", diff)
	}
}
