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
	case *TagSpec:
		o, err = w.createTag(ctx, s) // its name is all it has
	case *VPCSpec:
		o, err = w.updateVPC(ctx, req.Object.ID, s)
	case *FirewallSpec:
		o, err = w.updateFirewall(ctx, req.Object.ID, s, req.Fields)
	case *DropletSpec:
		o, err = w.updateDroplet(ctx, req.Object.ID, s, req.Fields)
	case *ReservedSpec:
		o, err = w.updateReserved(ctx, req.Object.ID, s, req.Fields)
	default:
		err = invalid("kind %q has no field to change", w.res.Kind)
	}
	if err != nil {
		return cloud.Object{}, err
	}
	o.Region = w.res.Region
	return o, nil
}

// updateVPC gives a VPC its name and description, which is its mark.
func (w *work) updateVPC(ctx context.Context, id string, s *VPCSpec) (cloud.Object, error) {
	v, _, err := w.d.api.VPCs.Update(ctx, id, &godo.VPCUpdateRequest{Name: s.Name, Description: w.owner.Description(w.res.Key)})
	if err != nil {
		return cloud.Object{}, err
	}
	return vpcObject(v), nil
}

// updateFirewall changes the named fields. A firewall is always sent whole, so the others are sent as they are now; its
// name, which is its mark, is sent as it should be.
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
		switch f {
		case cloud.FieldState:
			err = w.d.start(ctx, x)
		case cloud.FieldMark:
			err = w.remark(ctx, x)
		case "name":
			err = w.d.rename(ctx, x, s.Name)
		default:
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
	if err := w.tag(ctx, x, want); err != nil {
		return err
	}
	for _, name := range x.Tags {
		if uid, _, _, ok := tagParts(name, tagRole); !ok || uid != w.owner.UID || slices.Contains(want, name) {
			continue
		}
		if err := w.untag(ctx, x, name); err != nil {
			return err
		}
	}
	return nil
}

// remark puts the tags on a droplet that say whose it is. Which try of its creation it came of nobody knows any more.
func (w *work) remark(ctx context.Context, x *godo.Droplet) error {
	names := []string{clusterTag(w.owner.UID)}
	if cluster, key, _ := dropletMark(append(names, x.Tags...)); cluster != w.owner.UID || key != w.res.Key {
		names = append(names, tagKey+w.owner.UID+":"+w.res.Key)
	}
	for _, name := range names {
		if err := w.d.tagged(ctx, name); err != nil {
			return during("make the tag "+name, err)
		}
	}
	for _, t := range x.Tags { // another key's, or another cluster's, would be read first
		if uid, key, _, ok := tagParts(t, tagKey); ok && (uid != w.owner.UID || key != w.res.Key) {
			if err := w.untag(ctx, x, t); err != nil {
				return err
			}
		} else if uid, _, _, ok := tagParts(t, tagCluster); ok && uid != w.owner.UID {
			if err := w.untag(ctx, x, t); err != nil {
				return err
			}
		}
	}
	return w.tag(ctx, x, names)
}

// tag puts tags on a droplet that it doesn't have.
func (w *work) tag(ctx context.Context, x *godo.Droplet, names []string) error {
	for _, name := range names {
		if slices.Contains(x.Tags, name) {
			continue
		}
		if _, err := w.d.api.Tags.TagResources(ctx, name, &godo.TagResourcesRequest{Resources: itself(x)}); err != nil {
			return during("put the tag "+name+" on it", err)
		}
	}
	return nil
}

func (w *work) untag(ctx context.Context, x *godo.Droplet, name string) error {
	_, err := w.d.api.Tags.UntagResources(ctx, name, &godo.UntagResourcesRequest{Resources: itself(x)})
	return during("take the tag "+name+" off it", unlessGone(err))
}

// itself is a droplet in the words of tags.
func itself(x *godo.Droplet) []godo.Resource {
	return []godo.Resource{{ID: strconv.Itoa(x.ID), Type: godo.DropletResourceType}}
}

// updateReserved puts an address on the droplet that should have it, and makes the tag again that says whose it is.
func (w *work) updateReserved(ctx context.Context, id string, s *ReservedSpec, fields []string) (cloud.Object, error) {
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
	if slices.Contains(fields, cloud.FieldMark) {
		if err := w.d.tagged(ctx, addressTag(w.owner.UID, w.res.Key, ip)); err != nil {
			return cloud.Object{}, during("mark the address "+id, err)
		}
	}
	if err := w.d.assign(ctx, ip, droplet); err != nil {
		return cloud.Object{}, err
	}
	o := reservedObject(r, w.res.Key, w.names())
	o.Spec = &ReservedSpec{Droplet: s.Droplet}
	return o, nil
}
