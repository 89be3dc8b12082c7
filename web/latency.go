package web

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var latencyPages = []page{
	{path: "/clusters/{name}/latency", needs: auth.Viewer, show: showLatency, writes: auth.Viewer, do: measureLatency},
}

// latencyShown is what the page of round trips shows.
type latencyShown struct {
	c       api.Cluster
	sites   []site
	nodes   []string
	by      map[[2]string]api.Latency
	all     []api.Latency
	slowest api.Latency
	// kept is what nodes measure all the time, of the period with the index at.
	kept   api.Measured
	at     int
	charts []chart
}

// period is how far back one looks.
type period struct {
	id, text string
	length   time.Duration
}

// periods are how far back the page looks; the first unless said.
var periods = []period{
	{"", "1 hour", time.Hour},
	{"6h", "6 hours", 6 * time.Hour},
	{"24h", "1 day", 24 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour},
}

// periodLink is the address of the page with another period.
func (l latencyShown) periodLink(id string) string {
	if id == "" {
		return clusterPath(l.c.Name, "latency")
	}
	return clusterPath(l.c.Name, "latency") + "?since=" + id
}

// beside is the median of a way outside of the tunnel, in words.
func beside(w api.Way) string {
	switch {
	case w.Outside == nil:
		return "not measured"
	case w.Outside.Lost == w.Outside.Sent:
		return "lost"
	}
	return milliseconds(w.Outside.P50)
}

// packet is how large a packet passes, in words.
func packet(w api.Way) string {
	if w.MTU == 0 {
		return "not known"
	}
	return strconv.Itoa(w.MTU) + " bytes"
}

func showLatency(a *call) (view, error) {
	var l latencyShown
	var nodes []api.Node
	l.at = max(0, slices.IndexFunc(periods, func(p period) bool { return p.id == a.query("since") }))
	err := a.together(
		into(&l.kept, func(ctx context.Context) (api.Measured, error) {
			return a.api.Measured(ctx, a.arg("name"), a.now.Add(-periods[l.at].length), "")
		}),
		into(&l.c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&nodes, func(ctx context.Context) ([]api.Node, error) { return a.api.SeenNodes(ctx, a.arg("name")) }),
	)
	if err != nil {
		return view{}, err
	}
	l.sites = sitesOf(l.c, nodes)
	l.charts = chartsOf(l.kept)
	l.all, _ = a.outcome.([]api.Latency)
	l.by = map[[2]string]api.Latency{}
	for _, m := range l.all {
		l.by[[2]string{m.From, m.To}] = m
		if m.Received > 0 && m.P50 > l.slowest.P50 {
			l.slowest = m
		}
		for _, n := range []string{m.From, m.To} {
			if !slices.Contains(l.nodes, n) {
				l.nodes = append(l.nodes, n)
			}
		}
	}
	slices.Sort(l.nodes)
	v := clusterView(l.c, "Latency", latencyPage(l))
	v.live = ""
	return v, nil
}

// measureLatency asks all nodes. It changes nothing; a form asks for it because it takes a while and costs the nodes some work.
func measureLatency(a *call) (string, error) {
	all, err := a.api.Latency(a.ctx(), a.arg("name"))
	if err != nil {
		return "", err
	}
	if all == nil {
		all = []api.Latency{}
	}
	a.outcome = all
	return "", nil
}

// heat is the class of a round trip: from 1, as within a building, to 5, farther than a cluster likes.
func heat(m api.Latency) string {
	if m.Received == 0 {
		return "heat-none"
	}
	for i, limit := range []float64{1, 3, 6, 10} {
		if m.P50 <= limit {
			return "heat-" + string(rune('1'+i))
		}
	}
	return "heat-5"
}

// heatWords say what the classes mean.
var heatWords = []link{{"up to 1 ms", "heat-1"}, {"up to 3 ms", "heat-2"}, {"up to 6 ms", "heat-3"}, {"up to 10 ms", "heat-4"}, {"more", "heat-5"}}

// measureWords are those of the button.
func measureWords(l latencyShown) string {
	if l.all == nil {
		return "Measure now"
	}
	return "Measure again"
}

// bare is a round trip without its unit, for tables that have it in their heads.
func bare(ms float64) string { return strings.TrimSuffix(milliseconds(ms), " ms") }
