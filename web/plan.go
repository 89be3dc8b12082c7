package web

import (
	"slices"

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
