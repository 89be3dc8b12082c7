package drift

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// Rows reads a cloud's rows from the page below the module's root, for tests that have strangers' own programs make the
// same changes. It has what they need of a row: all but the counts of calls and the other steps.
func Rows(t *testing.T, root string, p cloud.Provider) []Row {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(Path)))
	if err != nil {
		t.Fatal(err)
	}
	var out []Row
	var kind cloud.Kind
	for l := range strings.Lines(split(string(data))[p]) {
		if name, ok := strings.CutPrefix(l, "### "+nameOf(p)+": "); ok {
			kind = cloud.Kind(strings.TrimSpace(name))
		}
		cells := strings.Split(strings.ReplaceAll(strings.TrimSpace(l), `\|`, "\x00"), "|")
		if len(cells) != 7 || kind == "" || strings.HasPrefix(l, "| what ") || strings.HasPrefix(l, "| --- ") {
			continue
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\x00", "|")
		}
		r := Row{Kind: kind, Change: cells[1], Outcome: Outcome(cells[3])}
		if field, change, ok := strings.Cut(strings.TrimPrefix(cells[1], "`"), "` "); ok {
			r.Field, r.Change = field, change
		}
		command, once, _ := strings.Cut(strings.TrimPrefix(cells[2], "`"), "`")
		r.Command, r.Once = command, strings.TrimPrefix(once, ", once ")
		r.Reason, _, _ = strings.Cut(strings.ReplaceAll(cells[4], "&lt;", "<"), "; also ")
		out = append(out, r)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no row about %s", Path, p)
	}
	return out
}
