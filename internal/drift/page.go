package drift

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// Path is the page's place in the module.
const Path = "docs/drift.md"

// clouds are the page's sections, in their order.
var clouds = []struct {
	provider cloud.Provider
	name     string
}{{cloud.AWS, "AWS"}, {cloud.GCP, "Google Cloud"}, {cloud.Azure, "Azure"}, {cloud.DigitalOcean, "DigitalOcean"}, {Kubernetes, "Inside Kubernetes"}}

// Kubernetes stands for the section about what is changed inside Kubernetes, and on nodes, which no cloud knows of. It is the
// engine's own tests that write it.
const Kubernetes cloud.Provider = "kubernetes"

const head = `# What is changed by hand, and what becomes of it

Every row was made by a test run: somebody changed one thing of a site behind Skyweld's back, then Skyweld looked, planned, and did what
the plan said; after that a second look found nothing more to do. The page is written by

    go test ./internal/conformance -run TestDrift -update

and every other run of these tests fails where what happens isn't what stands here, where a field that a driver sets has no row, or where a
change isn't seen. There is a table for each kind of resource:

- **what** is a field of the kind's spec and how it was changed, or what was done to the whole resource.
- **by hand** is what a person types; ` + "`<key>`" + ` stands for the id or name of the cluster's resource under that key.
- **what happened**:
  - ` + "`updated in place`" + `, ` + "`replaced`" + ` (deleted and made again), ` + "`made again`" + `, or ` + "`removed`" + ` as nothing needs it: one run did it;
  - ` + "`can't be changed`" + `: by nobody, the cloud's own API refuses it. The reason is its answer;
  - ` + "`left alone`" + `: Skyweld doesn't mind, for the reason given.
- **reason** is what the plan and the run show, with the plan's other steps after "also".
- **calls** are those to the cloud's API: to find it, with the look at everything else, and to mend it.
`

// Section is one cloud's part of the page. Look is how many calls it takes to look at a site where nothing has changed.
func Section(p cloud.Provider, look int, kinds []cloud.KindInfo, rows []Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\nA look at a site of which nothing was changed takes %d calls.\n", nameOf(p), look)
	for _, k := range kinds {
		of := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Kind != k.Kind })
		if len(of) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s: %s\n\n| what | by hand | what happened | reason | calls |\n| --- | --- | --- | --- | --- |\n", nameOf(p), k.Kind)
		for _, r := range of {
			b.WriteString(line(r))
		}
	}
	return b.String()
}

func line(r Row) string {
	reason, calls := r.Reason, fmt.Sprintf("%d + %d", r.Find, r.Mend)
	if len(r.Also) > 0 {
		reason += "; also " + strings.Join(r.Also, ", ")
	}
	if r.Outcome == Refused {
		calls = "–"
	}
	command := r.Command
	if command != "" {
		command = "`" + command + "`"
	}
	if r.Once != "" {
		command += ", once " + r.Once
	}
	cells := []string{r.what(), command, string(r.Outcome), reason, calls}
	for i, c := range cells {
		c = strings.ReplaceAll(strings.ReplaceAll(c, "\n", " "), "|", `\|`)
		if i != 1 { // in code spans they are themselves
			c = strings.ReplaceAll(c, "<", "&lt;")
		}
		cells[i] = c
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func nameOf(p cloud.Provider) string {
	for _, c := range clouds {
		if c.provider == p {
			return c.name
		}
	}
	return string(p)
}

var pageMu sync.Mutex

// Hold compares a cloud's section of the page below the module's root with what was seen; with update it is written.
func Hold(t *testing.T, update bool, root string, p cloud.Provider, section string) {
	t.Helper()
	pageMu.Lock()
	defer pageMu.Unlock()
	path := filepath.Join(root, filepath.FromSlash(Path))
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	sections := split(string(data))
	if update {
		sections[p] = section
		text := head
		for _, c := range clouds {
			if s := sections[c.provider]; s != "" {
				text += "\n" + s
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(head, sections[""]); d != "" {
		t.Errorf("%s: the page's head; run with -update (-want +there):\n%s", Path, d)
	}
	if d := cmp.Diff(section, sections[p]); d != "" {
		t.Errorf("%s: run with -update if it should be so (-seen +there):\n%s", Path, d)
	}
}

// split takes a page apart: the sections by their clouds, and the head under the empty name.
func split(page string) map[cloud.Provider]string {
	out := map[cloud.Provider]string{}
	var current cloud.Provider
	var b strings.Builder
	end := func() { out[current] = b.String(); b.Reset() }
	for l := range strings.Lines(page) {
		for _, c := range clouds {
			if l == "## "+c.name+"\n" {
				end()
				current = c.provider
			}
		}
		b.WriteString(l)
	}
	end()
	for p, s := range out { // one empty line stands between sections
		out[p] = strings.TrimRight(s, "\n") + "\n"
	}
	return out
}
