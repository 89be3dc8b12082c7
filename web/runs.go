package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var runPages = []page{
	{path: "/clusters/{name}/runs", needs: auth.Viewer, show: showRuns},
	{path: "/clusters/{name}/runs/{id}", needs: auth.Viewer, show: showRun},
}

// listedRuns is how many the page of runs shows.
const listedRuns = 50

func showRuns(a *call) (view, error) {
	var c api.Cluster
	var runs []api.Run
	err := a.together(
		into(&c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&runs, func(ctx context.Context) ([]api.Run, error) { return a.api.Runs(ctx, a.arg("name"), listedRuns) }),
	)
	if err != nil {
		return view{}, err
	}
	return clusterView(c, "Runs", runsPage(c, runs)), nil
}

func showRun(a *call) (view, error) {
	id, err := strconv.ParseInt(a.arg("id"), 10, 64)
	if err != nil {
		return view{}, &api.Problem{Status: http.StatusNotFound, Detail: "there is no run " + a.arg("id")}
	}
	var c api.Cluster
	var r api.Run
	err = a.together(
		into(&c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&r, func(ctx context.Context) (api.Run, error) { return a.api.Run(ctx, id) }),
	)
	if err == nil && r.Cluster != c.Name {
		err = &api.Problem{Status: http.StatusNotFound, Detail: "cluster " + c.Name + " has no run " + a.arg("id")}
	}
	if err != nil {
		return view{}, err
	}
	v := clusterView(c, "Runs", runPage(c, r, timelineOf(c, r, a.now)))
	v.title = "Run " + a.arg("id") + " · " + c.Name
	return v, nil
}

// timeline is a run's steps on a common scale, by cloud.
type timeline struct {
	groups []timelineGroup
	// length is what the scale covers.
	length time.Duration
}

type timelineGroup struct {
	title string
	bars  []timelineBar
}

// timelineBar is one step; from and size are parts of the scale in thousandths.
type timelineBar struct {
	api.RunStep
	from, size float64
	critical   bool
}

// scale is the length of a bar that lasts the whole run.
const scale = 1000

// timelineOf puts a run's steps on a scale. What has not begun has no bar.
func timelineOf(c api.Cluster, r api.Run, now time.Time) timeline {
	end := r.Ended
	if end.IsZero() {
		end = now
	}
	for _, st := range r.Steps {
		if st.Ended.After(end) {
			end = st.Ended
		}
	}
	t := timeline{length: max(end.Sub(r.Started), time.Millisecond)}
	critical := map[string]bool{}
	for _, id := range r.CriticalPath {
		critical[id] = true
	}
	titles := map[string]string{"": "The whole cluster"}
	for _, s := range sitesOf(c, nil) {
		titles[s.name] = providerName(s.provider) + " · " + s.name
	}
	groups := map[string]*timelineGroup{}
	for _, st := range r.Steps {
		g := groups[st.Site]
		if g == nil {
			g = &timelineGroup{title: cmp.Or(titles[st.Site], st.Site)}
			groups[st.Site] = g
		}
		b := timelineBar{RunStep: st, critical: critical[st.ID]}
		if !st.Started.IsZero() {
			until := st.Ended
			if until.IsZero() {
				until = end
			}
			b.from = scale * min(1, max(0, float64(st.Started.Sub(r.Started))/float64(t.length)))
			b.size = max(3, scale*float64(until.Sub(st.Started))/float64(t.length))
			b.from = min(b.from, scale-b.size)
		}
		g.bars = append(g.bars, b)
	}
	for _, site := range slices.Sorted(maps.Keys(groups)) {
		g := groups[site]
		slices.SortStableFunc(g.bars, func(x, y timelineBar) int {
			if x.Started.IsZero() != y.Started.IsZero() {
				return cmp.Compare(boolRank(x.Started.IsZero()), boolRank(y.Started.IsZero()))
			}
			return x.Started.Compare(y.Started)
		})
		t.groups = append(t.groups, *g)
	}
	return t
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ticks are the marks of a scale.
func (t timeline) ticks() []string {
	var out []string
	for i := range 5 {
		out = append(out, span(t.length*time.Duration(i)/4))
	}
	out[0] = "0"
	return out
}

// callsOf lists a run's calls, the most first.
func callsOf(r api.Run) []link {
	var out []link
	names := slices.SortedFunc(maps.Keys(r.CallsBy), func(x, y string) int {
		return cmp.Or(cmp.Compare(r.CallsBy[y], r.CallsBy[x]), cmp.Compare(x, y))
	})
	for _, n := range names {
		out = append(out, link{n, grouped(r.CallsBy[n])})
	}
	return out
}

// phaseProgress is how far one phase of a deletion is.
type phaseProgress struct {
	name        string
	done, total int
	failed      int
}

// phasesOf are the phases of a deletion in their order, as far as a run's steps have them.
func phasesOf(r api.Run) []phaseProgress {
	var out []phaseProgress
	for _, st := range r.Steps {
		if st.Phase == "" {
			continue
		}
		i := slices.IndexFunc(out, func(p phaseProgress) bool { return p.name == st.Phase })
		if i < 0 {
			i = len(out)
			out = append(out, phaseProgress{name: st.Phase})
		}
		out[i].total++
		switch st.State {
		case "done":
			out[i].done++
		case "failed":
			out[i].failed++
		}
	}
	slices.SortStableFunc(out, func(x, y phaseProgress) int { return slices.Index(phases, x.name) - slices.Index(phases, y.name) })
	return out
}

// phases are those of a deletion in their order.
var phases = []string{"freeze", "what Kubernetes made", "workers", "control plane", "addresses and disks", "network", "keys and records"}

func (p phaseProgress) state() string {
	switch {
	case p.failed > 0:
		return "failed"
	case p.done == p.total:
		return "done"
	case p.done > 0:
		return "running"
	}
	return "pending"
}
