package web

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var clusterPages = []page{
	{path: "/clusters", needs: auth.Viewer, show: showClusters},
	{path: "/clusters/{name}", needs: auth.Viewer, show: showCluster},
}

// healthFilters are the choices above the list of clusters, by what they let through.
var healthFilters = []struct {
	id, text string
	in       func(api.Cluster) bool
}{
	{"", "All", func(api.Cluster) bool { return true }},
	{"well", "Ready", func(c api.Cluster) bool { return healthOf(c) == "Ready" }},
	{"ill", "Need attention", func(c api.Cluster) bool { return toneOf(healthOf(c)) == bad || toneOf(healthOf(c)) == warning }},
	{"busy", "Being changed", func(c api.Cluster) bool { return toneOf(healthOf(c)) == busy }},
}

// healthOf is a cluster's state in one word: its phase, or what matters more.
func healthOf(c api.Cluster) string {
	if blockedBy(c) != "" {
		return "Blocked"
	}
	if c.Paused != nil && c.Phase == "Ready" {
		return "Paused"
	}
	return c.Phase
}

// blockedBy is what a deletion waits for, empty where it waits for nothing.
func blockedBy(c api.Cluster) string {
	for _, cond := range c.Conditions {
		if cond.Type == "Blocked" && cond.Status == "True" {
			return cond.Message
		}
	}
	return ""
}

// remarkOf is the first line of what is not as it should be, empty when all is.
func remarkOf(c api.Cluster) string {
	if text := blockedBy(c); text != "" {
		return firstLine(text)
	}
	if c.Paused != nil {
		return "Paused by " + c.Paused.By + ": " + c.Paused.Reason
	}
	for _, cond := range c.Conditions {
		if !api.ConditionWell(cond) {
			return firstLine(cond.Message)
		}
	}
	return ""
}

// clusterList is what the page of all clusters shows.
type clusterList struct {
	all, shown   []api.Cluster
	search, only string
	counts       []int // by filter
	accounts     int   // -1 where it isn't known
}

func showClusters(a *call) (view, error) {
	l := clusterList{search: strings.TrimSpace(a.query("q")), only: a.query("only"), accounts: -1}
	var err error
	if l.all, err = a.api.Clusters(a.ctx()); err != nil {
		return view{}, err
	}
	if len(l.all) == 0 {
		if accounts, err := a.api.Accounts(a.ctx()); err == nil {
			l.accounts = len(accounts)
		}
	}
	slices.SortFunc(l.all, func(x, y api.Cluster) int { return strings.Compare(x.Name, y.Name) })
	l.counts = make([]int, len(healthFilters))
	for _, c := range l.all {
		for i, f := range healthFilters {
			if !f.in(c) {
				continue
			}
			l.counts[i]++
			if f.id == l.only && l.finds(c) {
				l.shown = append(l.shown, c)
			}
		}
	}
	return view{title: "Clusters", section: "Clusters", body: clustersPage(l), live: everyCluster}, nil
}

// finds says that a cluster is among those that are looked for.
func (l clusterList) finds(c api.Cluster) bool {
	if l.search == "" {
		return true
	}
	return strings.Contains(strings.ToLower(c.Name+" "+strings.Join(c.Sites, " ")), strings.ToLower(l.search))
}

// filterLink is the address of the list with another filter.
func (l clusterList) filterLink(id string) string {
	to := "/clusters"
	sep := "?"
	if id != "" {
		to += sep + "only=" + query(id)
		sep = "&"
	}
	if l.search != "" {
		to += sep + "q=" + query(l.search)
	}
	return to
}

// together does things at the same time and returns the first error. Each reads something that a page shows.
func (a *call) together(things ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(a.ctx())
	for _, f := range things {
		group.Go(func() error { return f(ctx) })
	}
	return group.Wait()
}

// into keeps what a function reads.
func into[T any](to *T, read func(context.Context) (T, error)) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		*to, err = read(ctx)
		return err
	}
}
