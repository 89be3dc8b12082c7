package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var changePages = []page{
	{path: "/clusters/{name}/changes", needs: auth.Viewer, show: showChanges},
	{path: "/clusters/{name}/changes/{id}/cancel", needs: auth.Operator, show: showCancel, writes: auth.Operator, do: cancelChange},
	{path: "/clusters/{name}/events", needs: auth.Viewer, show: showEvents},
}

// runPath is the address of a run.
func runPath(c api.Cluster, id int64) string {
	return clusterPath(c.Name, "runs", strconv.FormatInt(id, 10))
}

func showChanges(a *call) (view, error) {
	var c api.Cluster
	var list []api.Change
	err := a.together(
		into(&c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&list, func(ctx context.Context) ([]api.Change, error) { return a.api.Changes(ctx, a.arg("name")) }),
	)
	if err != nil {
		return view{}, err
	}
	var waiting, past []api.Change
	for _, ch := range list {
		if ch.State == "queued" || ch.State == "applying" {
			waiting = append(waiting, ch)
		} else {
			past = append(past, ch)
		}
	}
	slices.Reverse(past)
	return clusterView(c, "Changes", changesPage(c, waiting, past)), nil
}

// change is the change that the address names.
func (a *call) change() (api.Change, error) {
	id, err := strconv.ParseInt(a.arg("id"), 10, 64)
	if err != nil {
		return api.Change{}, &api.Problem{Status: http.StatusNotFound, Detail: "there is no change " + a.arg("id")}
	}
	ch, err := a.api.Change(a.ctx(), id)
	if err == nil && ch.Cluster != a.arg("name") {
		err = &api.Problem{Status: http.StatusNotFound, Detail: "cluster " + a.arg("name") + " has no change " + a.arg("id")}
	}
	return ch, err
}

func showCancel(a *call) (view, error) {
	ch, err := a.change()
	if err != nil {
		return view{}, err
	}
	c, err := a.api.Cluster(a.ctx(), a.arg("name"))
	if err != nil {
		return view{}, err
	}
	v := clusterView(c, "Changes", cancelPage(c, ch))
	v.live = ""
	return v, nil
}

func cancelChange(a *call) (string, error) {
	ch, err := a.change()
	if err != nil {
		return "", err
	}
	if _, err := a.api.CancelChange(a.ctx(), ch.ID); err != nil {
		return "", err
	}
	return clusterPath(a.arg("name"), "changes"), nil
}

// listedEvents is how many the page of events shows.
const listedEvents = 200

func showEvents(a *call) (view, error) {
	var c api.Cluster
	var list []api.Event
	err := a.together(
		into(&c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&list, func(ctx context.Context) ([]api.Event, error) {
			return a.api.Events(ctx, a.arg("name"), api.EventQuery{Limit: listedEvents})
		}),
	)
	if err != nil {
		return view{}, err
	}
	slices.Reverse(list)
	return clusterView(c, "Events", eventsPage(c, list)), nil
}

// eventTone is an event's.
func eventTone(e api.Event) tone {
	if e.Type == "Warning" {
		return warning
	}
	return good
}

// eventWords say how much an event matters.
func eventWords(e api.Event) string {
	if e.Type == "Warning" {
		return "Warning"
	}
	return "Normal"
}
