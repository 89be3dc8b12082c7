package gcp

import (
	"context"
	"fmt"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// The route to the internet that Google makes along with a network, and that anybody may delete.
const (
	internetGateway = "global/gateways/default-internet-gateway"
	routePriority   = 1000
)

// online are the networks, by path, with a route to the internet for all their machines.
func online(routes []*compute.Route) map[string]bool {
	out := map[string]bool{}
	for _, r := range routes {
		if leadsOut(r) {
			out[pathOf(r.Network)] = true
		}
	}
	return out
}

// leadsOut says that a route leads all machines of its network to the internet.
func leadsOut(r *compute.Route) bool {
	return r.DestRange == anywhere && len(r.Tags) == 0 && r.NextHopGateway != "" && lastPart(r.NextHopGateway) == lastPart(internetGateway)
}

// routeKey is the mark of a route that stands in for Google's own.
func routeKey(network string) string { return cloud.CutKey(network+"-route", cloud.MaxKey) }

// bringRoute makes a route to the internet where there is none any more, or takes away those that there are. Google's own
// can't be made again: its name is Google's choice.
func (w *work) bringRoute(ctx context.Context, at place, wanted bool) error {
	routes, err := w.d.listRoutes(ctx)
	if err != nil || online(routes)[at.path] == wanted {
		return err
	}
	if !wanted {
		return w.d.removeRoutes(ctx, at, routes, leadsOut)
	}
	key := routeKey(w.res.Key)
	op, err := w.d.api.Routes.Insert(at.project, &compute.Route{
		Name: w.owner.ResourceName(key), Description: w.owner.Description(key), Network: at.path, DestRange: anywhere,
		NextHopGateway: "projects/" + at.project + "/" + internetGateway, Priority: routePriority,
	}).Context(ctx).Do()
	return w.d.do(ctx, op, err)
}

// removeNetwork deletes a network. Where Google refuses that because something is in it, the route that stood in for
// Google's own is taken out of the way first.
func (d *Driver) removeNetwork(ctx context.Context, owner cloud.Owner, at place) error {
	remove := func() error {
		op, err := d.api.Networks.Delete(at.project, at.name).Context(ctx).Do()
		return d.do(ctx, op, err)
	}
	refusal := remove()
	if !isClass(refusal, cloud.Conflict) || cloud.CheckUID(owner.UID) != nil {
		return refusal
	}
	routes, err := d.listRoutes(ctx)
	if err != nil {
		return fmt.Errorf("look for routes that are in the way: %w", err)
	}
	found := false
	err = d.removeRoutes(ctx, at, routes, func(r *compute.Route) bool {
		uid, key, _ := cloud.ParseDescription(r.Description)
		ours := uid == owner.UID && r.Name == owner.ResourceName(key)
		found = found || ours
		return ours
	})
	switch {
	case err != nil:
		return err
	case !found:
		return refusal
	}
	return remove()
}

// removeRoutes deletes some of a network's routes.
func (d *Driver) removeRoutes(ctx context.Context, at place, routes []*compute.Route, which func(*compute.Route) bool) error {
	for _, r := range routes {
		if pathOf(r.Network) != at.path || !which(r) {
			continue
		}
		op, err := d.api.Routes.Delete(at.project, r.Name).Context(ctx).Do()
		if err := unlessGone(d.do(ctx, op, err)); err != nil {
			return fmt.Errorf("delete the route %s: %w", r.Name, err)
		}
	}
	return nil
}
