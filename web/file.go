package web

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/spec"
)

var filePages = []page{
	{path: "/clusters/{name}/file", needs: auth.Viewer, show: showFile, writes: auth.Operator, do: sendFile},
}

// fileShown is what the page of a cluster's file shows.
type fileShown struct {
	c api.Cluster
	// text is what is edited, tag the version of the cluster that it was made from.
	text, tag string
	plan      *api.Plan
	// lines are how the text differs from the file as it is asked for now.
	lines []diffLine
}

// wanted is a cluster's file as it is asked for last, without its status.
func wanted(c api.Cluster) string {
	text := cmp.Or(c.Latest, c.File)
	doc, err := spec.Parse([]byte(text))
	if err != nil {
		return text
	}
	doc.Status, doc.Metadata = nil, spec.Metadata{Name: doc.Metadata.Name} // the form's tag says which version it is
	out, err := spec.Marshal(doc)
	if err != nil {
		return text
	}
	return string(out)
}

func showFile(a *call) (view, error) {
	c, err := a.cluster()
	if err != nil {
		return view{}, err
	}
	now := wanted(c)
	f := fileShown{c: c, text: a.input.value("cluster", now), tag: a.input.value("tag", c.ETag)}
	if p, ok := a.outcome.(api.Plan); ok {
		f.plan = &p
	}
	if a.input.values != nil {
		f.lines = diff(now, strings.ReplaceAll(f.text, "\r\n", "\n"))
	}
	v := clusterView(c, "File", filePage(f))
	v.live = ""
	return v, nil
}

// sendFile shows the plan of a file, or applies it.
func sendFile(a *call) (string, error) {
	text := []byte(strings.ReplaceAll(a.input.value("cluster", ""), "\r\n", "\n"))
	if doc, _ := spec.Read(text); doc != nil && doc.Metadata.Name != "" && doc.Metadata.Name != a.arg("name") {
		return "", a.input.wrong("cluster", "found the name "+doc.Metadata.Name+": want "+a.arg("name")+", the cluster of this page")
	}
	if a.input.value("ask", "") == "plan" {
		p, err := a.api.Plan(a.ctx(), text)
		if err != nil {
			return "", err
		}
		a.outcome = p
		return "", nil
	}
	tag := a.input.value("tag", "")
	if over := a.input.value("over", ""); over != "" { // who has seen what others changed goes on
		tag = over
	}
	if tag == "" {
		return "", &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "the form doesn't say which version of the file it was made from: load the page again"}
	}
	ch, err := a.once().If(tag).Apply(a.ctx(), text)
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}

// gap stands for lines of a comparison that are left out.
const gap = '~'

// diffLine is one line of a comparison: sign is '+' for one that came, '-' for one that went, ' ' for one that stayed, and
// gap for some that did.
type diffLine struct {
	sign byte
	text string
}

// around is how many lines that stayed are shown beside one that changed.
const around = 2

// mostLines is how long files are compared at most.
const mostLines = 2000

// diff compares two files line by line; empty where they are the same.
func diff(before, after string) []diffLine {
	a, b := strings.Split(strings.TrimRight(before, "\n"), "\n"), strings.Split(strings.TrimRight(after, "\n"), "\n")
	if len(a) > mostLines || len(b) > mostLines {
		return nil
	}
	// common[i][j] is how many lines a[i:] and b[j:] have in common, in order.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var all []diffLine
	changed := false
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			all = append(all, diffLine{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			all, changed = append(all, diffLine{'-', a[i]}), true
			i++
		default:
			all, changed = append(all, diffLine{'+', b[j]}), true
			j++
		}
	}
	if !changed {
		return nil
	}
	return near(all)
}

// near leaves out lines that stayed and are far from all that changed.
func near(all []diffLine) []diffLine {
	keep := make([]bool, len(all))
	for i, l := range all {
		if l.sign == ' ' {
			continue
		}
		for k := max(0, i-around); k <= min(len(all)-1, i+around); k++ {
			keep[k] = true
		}
	}
	var out []diffLine
	for i, l := range all {
		switch {
		case keep[i]:
			out = append(out, l)
		case len(out) == 0 || out[len(out)-1].sign != gap:
			out = append(out, diffLine{gap, ""})
		}
	}
	return out
}

// waitingWords say that the file has changes beyond those in force.
func waitingWords(c api.Cluster) string {
	if c.Latest == "" {
		return ""
	}
	return "; what is shown has the changes that wait, too"
}
