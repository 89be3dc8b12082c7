package digitalocean

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// mostUserData is how many bytes of user data a droplet takes.
const mostUserData = 64 << 10

// createDroplet makes a droplet and waits until it runs and has its addresses: only then can a reserved address be put on
// it, and only then does it stop counting to the ten that may be made at once.
func (w *work) createDroplet(ctx context.Context, s *DropletSpec) (cloud.Object, error) {
	body, err := w.dropletBody(s)
	if err != nil {
		return cloud.Object{}, err
	}
	select {
	case w.d.making <- struct{}{}:
		defer func() { <-w.d.making }()
	case <-ctx.Done():
		return cloud.Object{}, fmt.Errorf("wait for other droplets to be made: %w", ctx.Err())
	}
	x, err := w.earlierDroplet(ctx)
	if err != nil {
		return cloud.Object{}, err
	}
	if x == nil {
		if x, _, err = w.d.api.Droplets.Create(ctx, body); err != nil {
			return cloud.Object{}, err
		}
	}
	if x, err = w.d.awaitDroplet(ctx, x); err != nil {
		return cloud.Object{}, err
	}
	return dropletObject(x, w.names()), nil
}

// earlierDroplet finds what an earlier try of this creation has made, nil for nothing. A droplet of another creation has
// another host key in its user data, which nobody can read from outside.
func (w *work) earlierDroplet(ctx context.Context) (*godo.Droplet, error) {
	all, err := w.d.listDroplets(ctx, clusterTag(w.owner.UID))
	if err != nil {
		return nil, err
	}
	var other *godo.Droplet
	for i := range all {
		x := &all[i]
		_, key, try := dropletMark(x.Tags)
		switch {
		case key == "" && x.Name == w.name: // its tags are put on one after the other
			return nil, &cloud.Error{Class: cloud.Conflict, Message: fmt.Sprintf("droplet %d has its name and isn't wholly marked yet", x.ID)}
		case key != w.res.Key:
		case try == tryOf(w.token):
			return x, nil
		default:
			other = x
		}
	}
	if other != nil {
		return nil, &cloud.Error{Class: cloud.AlreadyExists, Message: fmt.Sprintf("droplet %d is there from another creation", other.ID)}
	}
	return nil, nil
}

func (w *work) dropletBody(s *DropletSpec) (*godo.DropletCreateRequest, error) {
	switch {
	case len(w.userData) == 0:
		return nil, invalid("a machine needs user data")
	case len(w.userData) > mostUserData:
		return nil, invalid("%d bytes of user data: a droplet takes %d", len(w.userData), mostUserData)
	}
	vpc, err := w.ref(s.VPC)
	if err != nil {
		return nil, err
	}
	tags := append([]string{clusterTag(w.owner.UID), keyTag(w.owner.UID, w.res.Key, w.token)}, w.tagNames(s.Tags)...)
	agent := false // it would let people in through the control panel
	return &godo.DropletCreateRequest{
		Name: w.name, Region: w.res.Region, Size: s.Size, Image: godo.DropletCreateImage{Slug: image}, SSHKeys: []godo.DropletCreateSSHKey{},
		UserData: string(w.userData), Tags: tags, VPCUUID: vpc, WithDropletAgent: &agent,
	}, nil
}

// awaitDroplet waits until a droplet runs and is in its VPC.
func (d *Driver) awaitDroplet(ctx context.Context, x *godo.Droplet) (*godo.Droplet, error) {
	id := x.ID
	err := d.poll(ctx, func() (bool, error) {
		now, _, err := d.api.Droplets.Get(ctx, id)
		if err != nil {
			return false, err
		}
		x = now
		private, public := addresses(x)
		return x.Status == "active" && private.IsValid() && public.IsValid(), nil
	})
	if err != nil {
		return nil, during("wait for droplet "+strconv.Itoa(id), err)
	}
	return x, nil
}

// deleteDroplet destroys a droplet and waits until it is gone: its VPC can't go before. Volumes that somebody attached to
// it stay, and so does its reserved address.
func (d *Driver) deleteDroplet(ctx context.Context, owner cloud.Owner, id int) error {
	x, _, err := d.api.Droplets.Get(ctx, id)
	if err != nil {
		return unlessGone(err)
	}
	if _, err := d.api.Droplets.Delete(ctx, id); unlessGone(err) != nil {
		return err
	}
	err = d.poll(ctx, func() (bool, error) {
		_, _, err := d.api.Droplets.Get(ctx, id)
		if err == nil {
			return false, nil
		}
		return isClass(err, cloud.NotFound), unlessGone(err)
	})
	if err != nil {
		return during("wait for its end", err)
	}
	for _, t := range x.Tags {
		if uid, _, _, ok := tagParts(t, tagKey); ok && uid == owner.UID {
			if err := d.dropTag(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// start switches a droplet on that doesn't run.
func (d *Driver) start(ctx context.Context, x *godo.Droplet) error {
	if stateOf(x.Status) != cloud.Stopped {
		return nil
	}
	if _, _, err := d.api.DropletActions.PowerOn(ctx, x.ID); err != nil {
		return err
	}
	return d.poll(ctx, func() (bool, error) {
		now, _, err := d.api.Droplets.Get(ctx, x.ID)
		return err == nil && now.Status == "active", err
	})
}

// rename gives a droplet its name back, which takes an action of its own.
func (d *Driver) rename(ctx context.Context, x *godo.Droplet, name string) error {
	if x.Name == name {
		return nil
	}
	if _, _, err := d.api.DropletActions.Rename(ctx, x.ID, name); err != nil {
		return during("rename it", err)
	}
	return d.poll(ctx, func() (bool, error) {
		now, _, err := d.api.Droplets.Get(ctx, x.ID)
		return err == nil && now.Name == name && !now.Locked, err
	})
}

// mostPace is the longest pause between two looks.
const mostPace = 5 * time.Second

// poll looks until it is done or has failed, more and more seldom. A look that is throttled or not answered is no failure.
func (d *Driver) poll(ctx context.Context, done func() (bool, error)) error {
	for wait := d.pace; ; wait = min(wait*3/2, mostPace) {
		ok, err := done()
		if err != nil && !isClass(err, cloud.Throttled) && !isClass(err, cloud.Unavailable) || ctx.Err() != nil {
			if err == nil {
				err = ctx.Err()
			}
			return err
		}
		if ok && err == nil {
			return nil
		}
		if err := cloud.Pause(ctx, wait); err != nil {
			return err
		}
	}
}
