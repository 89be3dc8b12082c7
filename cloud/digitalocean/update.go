package digitalocean

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// Update brings the named fields of an object to the resource's spec.
func (d *Driver) Update(ctx context.Context, req cloud.UpdateRequest) (cloud.Object, error) {
	o, err := d.update(ctx, req)
	return o, failed(fmt.Sprintf("update %s %s", req.Resource.Kind, req.Resource.Key), err)
}

func (d *Driver) update(ctx context.Context, req cloud.UpdateRequest) (cloud.Object, error) {
	w, err := d.work(req.Owner, req.Resource, req.Refs)
	if err != nil {
		return cloud.Object{}, err
	}
	if err := cloud.CheckFields(mutable(w.res.Kind), req.Fields); err != nil {
		return cloud.Object{}, err
	}
	var o cloud.Object
	switch s := w.want.(type) {
	case *FirewallSpec:
		o, err = w.updateFirewall(ctx, req.Object.ID, s, req.Fields)
	case *DropletSpec:
		o, err = w.updateDroplet(ctx, req.Object.ID, s, req.Fields)
	case *ReservedSpec:
		o, err = w.updateReserved(ctx, req.Object.ID, s)
	default:
		err = invalid("kind %q has no field to change", w.res.Kind)
	}
	if err != nil {
		return cloud.Object{}, err
	}
	o.Region = w.res.Region
	return o, nil
}

// updateFirewall changes the named fields. A firewall is always sent whole, so the others are sent as they are now.
func (w *work) updateFirewall(ctx context.Context, id string, s *FirewallSpec, fields []string) (cloud.Object, error) {
	now, _, err := w.d.api.Firewalls.Get(ctx, id)
	if err != nil {
		return cloud.Object{}, err
	}
	next, ok := firewallObject(now, w.names()).Spec.(*FirewallSpec)
	if !ok {
		return cloud.Object{}, invalid("firewall %s can't be read", id)
	}
	for _, f := range fields {
		switch f {
		case "tags":
			next.Tags = s.Tags
		case "droplets":
			next.Droplets = s.Droplets
		case "inbound":
			next.Inbound = s.Inbound
		case "outbound":
			next.Outbound = s.Outbound
		}
	}
	body, err := w.firewallBody(next)
	if err != nil {
		return cloud.Object{}, err
	}
	f, _, err := w.d.api.Firewalls.Update(ctx, id, body)
	if err != nil {
		return cloud.Object{}, err
	}
	return firewallObject(f, w.names()), nil
}

func (w *work) updateDroplet(ctx context.Context, text string, s *DropletSpec, fields []string) (cloud.Object, error) {
	id, err := dropletID(text)
	if err != nil {
		return cloud.Object{}, err
	}
	x, _, err := w.d.api.Droplets.Get(ctx, id)
	if err != nil {
		return cloud.Object{}, err
	}
	for _, f := range fields {
		if f == cloud.FieldState {
			err = w.d.start(ctx, x)
		} else {
			err = w.retag(ctx, x, w.tagNames(s.Tags))
		}
		if err != nil {
			return cloud.Object{}, err
		}
	}
	if x, _, err = w.d.api.Droplets.Get(ctx, id); err != nil {
		return cloud.Object{}, err
	}
	return dropletObject(x, w.names()), nil
}

// retag puts the wanted roles' tags on a droplet and takes the cluster's other ones off; tags of other people stay. What is
// missing comes first, so that the droplet is never without a firewall in between.
func (w *work) retag(ctx context.Context, x *godo.Droplet, want []string) error {
	it := []godo.Resource{{ID: strconv.Itoa(x.ID), Type: godo.DropletResourceType}}
	for _, name := range want {
		if slices.Contains(x.Tags, name) {
			continue
		}
		if _, err := w.d.api.Tags.TagResources(ctx, name, &godo.TagResourcesRequest{Resources: it}); err != nil {
			return during("put the tag "+name+" on it", err)
		}
	}
	for _, name := range x.Tags {
		if uid, _, _, ok := tagParts(name, tagRole); !ok || uid != w.owner.UID || slices.Contains(want, name) {
			continue
		}
		if _, err := w.d.api.Tags.UntagResources(ctx, name, &godo.UntagResourcesRequest{Resources: it}); unlessGone(err) != nil {
			return during("take the tag "+name+" off it", err)
		}
	}
	return nil
}

// updateReserved puts an address on the droplet that should have it.
func (w *work) updateReserved(ctx context.Context, id string, s *ReservedSpec) (cloud.Object, error) {
	ip := cloud.ParseAddr(id)
	if !ip.IsValid() {
		return cloud.Object{}, invalid("%q is no address", id)
	}
	r, _, err := w.d.api.ReservedIPs.Get(ctx, id)
	if err != nil {
		return cloud.Object{}, err
	}
	droplet, err := w.droplet(s.Droplet)
	if err != nil {
		return cloud.Object{}, err
	}
	if err := w.d.assign(ctx, ip, droplet); err != nil {
		return cloud.Object{}, err
	}
	o := reservedObject(r, w.res.Key, w.names())
	o.Spec = &ReservedSpec{Droplet: s.Droplet}
	return o, nil
}
