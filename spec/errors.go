package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Error is one problem of a cluster file.
type Error struct {
	// Path is the field, "spec.workers[1].count"; empty for the file as a whole.
	Path string `json:"path"`
	// Line is counted from 1; 0 where it isn't known.
	Line int `json:"line,omitempty"`
	// Value is what was found, shortened; empty where nothing was.
	Value string `json:"value,omitempty"`
	// Message says what is wrong and what is allowed.
	Message string `json:"message"`
}

func (e Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "found %s: ", e.Value)
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors are all problems of a file, in the order of its lines.
type Errors []Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns es as an error, nil when there are none.
func (es Errors) Err() error {
	if len(es) == 0 {
		return nil
	}
	return es
}

// sorted puts the errors in the order of their lines, those without a line last.
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b Error) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return es
}

// With adds the errors of a later check that aren't consequences of those in es: of a field, or of what holds it, the first
// one counts.
func (es Errors) With(later Errors) Errors {
	for _, e := range later {
		// A metro that cannot be read is one problem, not one more for each site that needs it.
		if !es.covers(e.Path) && !(strings.HasSuffix(e.Path, "].region") && es.covers("spec.metro")) {
			es = append(es, e)
		}
	}
	return es.sorted()
}

// covers says whether es already complains about the path or something around it.
func (es Errors) covers(path string) bool {
	for _, e := range es {
		if e.Path == path || strings.HasPrefix(path, e.Path+".") || strings.HasPrefix(path, e.Path+"[") {
			return true
		}
	}
	return false
}

// shorten cuts a found value to what fits a line, and keeps it on one. What can't be printed could change what a terminal
// shows, so it becomes a blank.
func shorten(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

// DidYouMean asks for the candidate that is most like a name that nothing has, after "; "; it is empty when none is like it
// or there is no other to choose from.
func DidYouMean(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" && len(candidates) > 1 {
		return "; did you mean " + n + "?"
	}
	return ""
}

// nearest returns the candidate that is most like s, or "" when none is like it.
func nearest(s string, candidates []string) string {
	best, limit := "", max(1, len(s)/3)+1
	for _, c := range candidates {
		if strings.EqualFold(s, c) {
			return c
		}
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, change or swap with the next to get from a to b.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return len(a) + len(b)
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range len(b) {
		d[0][j+1] = j + 1
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
