package drift_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/internal/drift"
)

type rule struct {
	Port int `json:"port"`
}

type wallSpec struct {
	Net   string   `json:"net"`
	Rules []rule   `json:"rules"`
	Tags  []string `json:"tags"`
	Flags struct {
		On bool `json:"on"`
	} `json:"flags"`
	Hidden string `json:"-"`
}

// TestHoles asks for a row for every way in which every field can change, and for what is done to whole resources.
func TestHoles(t *testing.T) {
	kinds := []cloud.KindInfo{{Kind: "wall"}, {Kind: "box", Machine: true}, {Kind: "left"}}
	list := []cloud.Resource{
		{Kind: "wall", Spec: &wallSpec{}},
		{Kind: "wall", Spec: &wallSpec{Rules: []rule{{1}}}}, // tags are in none: none can be removed
		{Kind: "box", Spec: &struct{}{}},
	}
	row := func(kind cloud.Kind, field, change string) drift.Row {
		return drift.Row{Kind: kind, Field: field, Change: change}
	}
	rows := []drift.Row{
		row("wall", "", drift.Deleted), row("wall", "", drift.MarkGone), row("wall", "net", drift.Changed), row("wall", "rules", drift.Added),
		row("box", "", drift.Deleted), row("box", "", drift.MarkGone),
	}
	want := []string{
		"wall: no row for rules removed", "wall: no row for rules changed", "wall: no row for tags added", "wall: no row for flags.on changed",
		"box: no row for  stopped", "left: no row at all",
	}
	if diff := cmp.Diff(want, drift.Holes(kinds, list, rows)); diff != "" {
		t.Errorf("holes (-want +got):\n%s", diff)
	}
}

// TestPage writes a section and reads its rows back.
func TestPage(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	rows := []drift.Row{
		{Kind: "wall", Change: drift.Deleted, Command: "aws delete <a-wall> | cat", Once: "it is empty", Outcome: drift.Made, Reason: "missing", Also: []string{"update b"}, Find: 9, Mend: 2},
		{Kind: "wall", Field: "net", Change: drift.Changed, Outcome: drift.Refused, Reason: "<a-wall> stays"},
	}
	section := drift.Section(cloud.AWS, 9, []cloud.KindInfo{{Kind: "wall"}}, rows)
	drift.Hold(t, true, root, cloud.GCP, "## Google Cloud\n\nnothing yet\n")
	drift.Hold(t, true, root, cloud.AWS, section)
	drift.Hold(t, false, root, cloud.AWS, section)
	for i := range rows {
		rows[i].Also, rows[i].Find, rows[i].Mend = nil, 0, 0
	}
	if diff := cmp.Diff(rows, drift.Rows(t, root, cloud.AWS)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
