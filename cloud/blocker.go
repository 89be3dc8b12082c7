package cloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Blocker is something of somebody else's that keeps a resource of ours from being deleted.
type Blocker struct {
	// Kind is its type in the cloud's words; it need not be a kind of the driver's.
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Owner is who it could belong to, as far as the cloud tells: a tag, the service or the user that made it.
	Owner string `json:"owner,omitempty"`
}

func (b Blocker) String() string {
	text := string(b.Kind) + " " + b.ID
	if b.Name != "" && !strings.HasSuffix(b.ID, b.Name) {
		text += " named " + b.Name
	}
	if b.Owner != "" {
		text += " (" + b.Owner + ")"
	}
	return text
}

// HeldBy makes of a refusal to delete something one that names what is in the way, and that is not tried again.
func HeldBy(refusal *Error, blockers ...Blocker) *Error {
	e := *refusal
	e.Held, e.Blockers = true, sortedBlockers(blockers)
	var texts []string
	for _, b := range e.Blockers {
		texts = append(texts, b.String())
	}
	e.Message += "; in its way is what isn't Skyweld's: " + strings.Join(texts, ", ") + "; move or delete that first"
	return &e
}

func sortedBlockers(list []Blocker) []Blocker {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Blocker) int {
		return strings.Compare(string(a.Kind)+" "+a.ID, string(b.Kind)+" "+b.ID)
	})
	return slices.CompactFunc(list, func(a, b Blocker) bool { return a.Kind == b.Kind && a.ID == b.ID })
}

// BlockersOf collects what is in the way from all errors in a tree of them. held says that one of them doesn't pass by itself,
// whether it names anything or not.
func BlockersOf(err error) (blockers []Blocker, held bool) {
	var walk func(error)
	walk = func(err error) {
		if e, ok := err.(*Error); ok && e.Held { //nolint:errorlint // the tree is walked here
			held = true
			blockers = append(blockers, e.Blockers...)
			return
		}
		switch x := err.(type) { //nolint:errorlint // likewise
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				walk(e)
			}
		default:
			if next := errors.Unwrap(err); next != nil {
				walk(next)
			}
		}
	}
	if err != nil {
		walk(err)
	}
	return sortedBlockers(blockers), held
}

// OwnerIn says who something could belong to by its tags or labels: "tags Name=x, team=y", at most a few of them.
func OwnerIn(tags map[string]string) string {
	const most = 4
	var texts []string
	for name, value := range tags {
		texts = append(texts, strings.TrimSuffix(fmt.Sprintf("%s=%s", name, value), "="))
	}
	slices.Sort(texts)
	if len(texts) > most {
		texts = append(texts[:most], "…")
	}
	if len(texts) == 0 {
		return ""
	}
	return "tags " + strings.Join(texts, ", ")
}
