package web

import (
	"slices"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
)

// planGroup is a part of a plan: a phase of a deletion, or what is done at one site.
type planGroup struct {
	title string
	steps []plan.Step
}

// planGroups are a plan's parts: the phases of a deletion in their order, or else its sites as they come.
func planGroups(p api.Plan) []planGroup {
	var out []planGroup
	for _, st := range p.Steps {
		title := sentence(string(st.Phase))
		if title == "" && st.Site != "" {
			title = "Site " + st.Site
		}
		if title == "" {
			title = "The whole cluster"
		}
		i := slices.IndexFunc(out, func(g planGroup) bool { return g.title == title })
		if i < 0 {
			i = len(out)
			out = append(out, planGroup{title: title})
		}
		out[i].steps = append(out[i].steps, st)
	}
	rankOf := func(g planGroup) int {
		return slices.IndexFunc(phases, func(name string) bool { return sentence(name) == g.title })
	}
	slices.SortStableFunc(out, func(x, y planGroup) int { return rankOf(x) - rankOf(y) })
	return out
}

// roleName is a node's role in words.
func roleName(n api.Node) string {
	if n.Role == spec.RoleControlPlane {
		return "Control plane"
	}
	if n.Group != "" {
		return "Worker, " + n.Group
	}
	return "Worker"
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// goesWords say what a deletion takes away, in numbers by kind.
func goesWords(p api.Plan) string {
	counts, kinds := map[string]int{}, []string{}
	for _, st := range p.Steps {
		if st.Action != plan.Delete {
			continue
		}
		kind := strings.ReplaceAll(string(st.Kind), "-", " ")
		if counts[kind] == 0 {
			kinds = append(kinds, kind)
		}
		counts[kind]++
	}
	if len(kinds) == 0 {
		return "Nothing of it is left at the clouds."
	}
	var words []string
	for _, k := range kinds {
		words = append(words, counted(counts[k], k))
	}
	return "What will go: " + joinAnd(words) + ". The list is below."
}
