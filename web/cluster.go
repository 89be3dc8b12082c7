package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/a-h/templ"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/spec"
)

func clusterPath(name string, below ...string) string {
	path := "/clusters/" + url.PathEscape(name)
	for _, b := range below {
		path += "/" + url.PathEscape(b)
	}
	return path
}

// tab is one page of a cluster.
type tab struct {
	text, path string
	needs      auth.Role
}

// tabs are a cluster's pages, in their order.
var tabs = []tab{
	{"Overview", "", auth.Viewer},
	{"Nodes", "/nodes", auth.Viewer},
	{"Latency", "/latency", auth.Viewer},
	{"Runs", "/runs", auth.Viewer},
	{"Changes", "/changes", auth.Viewer},
	{"Resources", "/resources", auth.Viewer},
	{"Events", "/events", auth.Viewer},
	{"File", "/file", auth.Viewer},
}

// clusterView is the frame of a cluster's pages: its name and health, its tabs, and one of them.
func clusterView(c api.Cluster, at string, body templ.Component) view {
	v := view{title: c.Name, section: "Clusters", crumbs: []link{{"Clusters", "/clusters"}}, body: clusterFrame(c, at, body), live: c.Name}
	if at != "Overview" {
		v.title = at + " · " + c.Name
	}
	return v
}

// site is one site of a cluster, as pages show it.
type site struct {
	name, account, provider, region, city string
	place                                 geo.Place
	block                                 string
	nodes                                 []api.Node
	ready, control                        int
}

// sitesOf are a cluster's sites with the nodes of each.
func sitesOf(c api.Cluster, nodes []api.Node) []site {
	file, err := spec.Parse([]byte(c.File))
	if err != nil {
		return nil
	}
	var out []site
	for _, s := range file.Spec.Sites {
		v := site{name: s.Name, account: s.Account, region: s.Region, block: s.Block.String()}
		for provider := range providerNames {
			if place, ok := geo.Region(provider, s.Region); ok {
				v.provider, v.place, v.city = provider, place, place.City
			}
		}
		for _, n := range nodes {
			if n.Site != s.Name {
				continue
			}
			v.nodes = append(v.nodes, n)
			if n.Status == "Ready" {
				v.ready++
			}
			if n.Role == spec.RoleControlPlane {
				v.control++
			}
		}
		out = append(out, v)
	}
	return out
}

// state is a site's in one word, by its nodes.
func (s site) state() string {
	var worst string
	for _, n := range s.nodes {
		if worst == "" || rank(toneOf(n.Status)) > rank(toneOf(worst)) {
			worst = n.Status
		}
	}
	switch {
	case len(s.nodes) == 0:
		return "Empty"
	case s.ready == len(s.nodes):
		return "Ready"
	case toneOf(worst) == bad && s.ready > 0:
		return "Degraded"
	}
	return worst
}

// rank orders tones, the worst last.
func rank(t tone) int { return slices.Index([]tone{good, idle, busy, warning, bad}, t) }

// overview is what a cluster's first page shows.
type overview struct {
	c     api.Cluster
	nodes []api.Node
	sites []site
	// ways are what nodes measured between sites in the last minutes.
	ways   []api.Way
	runs   []api.Run
	events []api.Event
	// asked is the change that has just been asked for, nil for none.
	asked *api.Change
	// deleting is the last run of a deletion with its steps, nil for none.
	deleting *api.Run
}

const recentEvents = 8

func showCluster(a *call) (view, error) {
	var o overview
	name := a.arg("name")
	err := a.together(
		into(&o.c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, name) }),
		into(&o.nodes, func(ctx context.Context) ([]api.Node, error) { return a.api.SeenNodes(ctx, name) }),
		into(&o.ways, func(ctx context.Context) ([]api.Way, error) {
			m, err := a.api.Measured(ctx, name, time.Time{}, "")
			return m.Ways, err
		}),
		into(&o.runs, func(ctx context.Context) ([]api.Run, error) { return a.api.Runs(ctx, name, 5) }),
		into(&o.events, func(ctx context.Context) ([]api.Event, error) {
			return a.api.Events(ctx, name, api.EventQuery{Limit: recentEvents})
		}),
	)
	if statusOf(err) == http.StatusNotFound && err != nil {
		if to := a.receiptOf(a.ctx(), name); to != "" {
			return view{redirect: to}, nil
		}
	}
	if err != nil {
		return view{}, err
	}
	if o.c.Phase == "Deleting" && len(o.runs) > 0 {
		if r, err := a.api.Run(a.ctx(), o.runs[0].ID); err == nil {
			o.deleting = &r
		}
	}
	slices.Reverse(o.events)
	o.sites = sitesOf(o.c, o.nodes)
	o.asked = a.askedFor(name)
	return clusterView(o.c, "Overview", overviewPage(o)), nil
}

// askedFor is the change that the address names: whoever asked for it is led here.
func (a *call) askedFor(cluster string) *api.Change {
	id := a.number("change")
	if id == 0 {
		return nil
	}
	ch, err := a.api.Change(a.ctx(), id)
	if err != nil || ch.Cluster != cluster {
		return nil
	}
	return &ch
}

// running is the run that is going on, nil for none.
func (o overview) running() *api.Run {
	for i := range o.runs {
		if o.runs[i].Outcome == "running" {
			return &o.runs[i]
		}
	}
	return nil
}

// advice is what a person can do about a condition, with a page that helps; empty where it mends itself.
type advice struct {
	text string
	link link
	// needs is the right that the link takes, beyond seeing the cluster.
	needs auth.Role
}

// adviceFor says what to do about a condition that is not as it should be.
func adviceFor(c api.Cluster, cond api.Condition) advice {
	switch {
	case cond.Type == "Paused":
		return advice{"Nothing is done or repaired until somebody resumes it.", link{"Resume", clusterPath(c.Name, "resume")}, auth.Operator}
	case cond.Type == "Blocked":
		return advice{"Remove what is named here at the cloud, or take it out of Skyweld's network. The deletion looks again every minute and goes on by itself.", link{"What is left", clusterPath(c.Name, "resources")}, auth.Viewer}
	case cond.Type == "TunnelDown":
		return advice{"A run is started to mend it. It looks at addresses, keys, firewalls and the nodes themselves; events say what it found.", link{"Events", clusterPath(c.Name, "events")}, auth.Viewer}
	case cond.Reason == "OverTheLimit":
		return advice{"Nothing of yours is wrong: look at the clouds' status pages, or accept it with a higher spec.network.maxRTT.", link{"Latency", clusterPath(c.Name, "latency")}, auth.Viewer}
	case cond.Reason == "Settling":
		return advice{"Nothing has to be done: the engine looks once more before it believes it.", link{}, auth.Viewer}
	case cond.Reason == "RunFailed":
		return advice{"The engine tries again by itself, with growing pauses. The run says which step failed and why.", link{"Runs", clusterPath(c.Name, "runs")}, auth.Viewer}
	case cond.Type == "APIReachable":
		return advice{"A run is started to mend it. If it doesn't help, look whether a firewall of yours is in the way of port 6443.", link{"Nodes", clusterPath(c.Name, "nodes")}, auth.Viewer}
	case cond.Type == "NodesReady":
		return advice{"A run is started to mend it: the node's config is applied again, and a worker that stays so is replaced.", link{"Nodes", clusterPath(c.Name, "nodes")}, auth.Viewer}
	case cond.Type == "CertificatesValid":
		return advice{"Runs renew certificates of API servers by themselves.", link{}, auth.Viewer}
	case cond.Type == "AgentsReachable":
		return advice{"The next run opens the way again: it finds out anew which address the engine comes from.", link{"Events", clusterPath(c.Name, "events")}, auth.Viewer}
	case cond.Type == "LatencyHigh" && cond.Reason == "Waiting":
		return advice{"Whether to go on all the same is for a person to decide. It is measured again until then, and goes on by itself when it is less.", link{"Look at the plan", clusterPath(c.Name, "approve")}, auth.Operator}
	case cond.Type == "LatencyHigh" && cond.Reason == "Accepted":
		return advice{"Somebody, or the cluster file, let it be. Kubernetes' API and what talks between sites are the slower for it.", link{}, auth.Viewer}
	case cond.Reason == "MajorityLost":
		return advice{"The way back is for a person to decide: the rest of the control plane is made again from what is left of it.", link{"Look at the plan", clusterPath(c.Name, "approve")}, auth.Operator}
	}
	return advice{"The engine tries to mend it by itself.", link{}, auth.Viewer}
}

// conditionState is a condition's in one word, where its type reads as a statement that holds.
func conditionState(cond api.Condition) (tone, string) {
	switch {
	case cond.Type == "Blocked" && cond.Status == "True":
		return bad, "Blocked"
	case cond.Type == "Paused" && cond.Status == "True":
		return warning, "Paused"
	case cond.Type == "LatencyHigh" && cond.Status == "True":
		return warning, "Too far apart"
	case cond.Type == "TunnelDown" && cond.Status == "True":
		return bad, "Down"
	case cond.Reason == "Settling":
		return busy, "Settling"
	case cond.Status == "True":
		return good, "Well"
	case cond.Status == "Unknown":
		return warning, "Not known"
	}
	return bad, "Trouble"
}

// conditionNames are what conditions are about, in words.
var conditionNames = map[string]string{
	"Ready": "As asked for", "APIReachable": "Kubernetes API", "NodesReady": "Nodes", "CertificatesValid": "Certificates", "AgentsReachable": "Agents on machines",
	"ControlPlane": "Control plane", "Paused": "Pause", "Blocked": "Deletion", "LatencyHigh": "Round trips between sites", "TunnelDown": "Tunnels",
}

func conditionName(kind string) string {
	if n, ok := conditionNames[kind]; ok {
		return n
	}
	return kind
}

// troubles are the conditions that are not as they should be, the worst first.
func troubles(c api.Cluster) []api.Condition {
	var out []api.Condition
	blocked := blockedBy(c) != ""
	for _, cond := range c.Conditions {
		if blocked && cond.Type == "Ready" {
			continue // the same in other words
		}
		if t, _ := conditionState(cond); t != good {
			out = append(out, cond)
		}
	}
	slices.SortStableFunc(out, func(x, y api.Condition) int {
		tx, _ := conditionState(x)
		ty, _ := conditionState(y)
		return rank(ty) - rank(tx)
	})
	return out
}

// took is how long something lasted, or has lasted by now.
func (a *call) took(from, to time.Time) string {
	switch {
	case from.IsZero():
		return ""
	case to.IsZero():
		return span(a.now.Sub(from))
	}
	return span(to.Sub(from))
}
