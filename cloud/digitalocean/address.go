package digitalocean

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// createReserved makes a reserved address on its droplet. Whose it is can't be said in the call, so tags say it: one before
// the call, that an address is about to be made for the droplet, and one after it, which address it is. In between, an
// address on that droplet is the one.
func (w *work) createReserved(ctx context.Context, s *ReservedSpec) (cloud.Object, error) {
	droplet, err := w.droplet(s.Droplet)
	if err != nil {
		return cloud.Object{}, err
	}
	r, err := w.earlierReserved(ctx, droplet, s.Droplet)
	if err != nil {
		return cloud.Object{}, err
	}
	making := makingTag(w.owner.UID, w.res.Key, s.Droplet)
	if r == nil {
		if err := w.d.tagged(ctx, making); err != nil {
			return cloud.Object{}, during("mark that it is being made", err)
		}
		if r, _, err = w.d.api.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{DropletID: droplet}); err != nil {
			return cloud.Object{}, err
		}
	}
	ip := cloud.ParseAddr(r.IP)
	if !ip.IsValid() {
		return cloud.Object{}, &cloud.Error{Class: cloud.Unknown, Message: fmt.Sprintf("the answer has no address but %q", r.IP)}
	}
	if err := w.d.tagged(ctx, addressTag(w.owner.UID, w.res.Key, ip)); err != nil {
		return cloud.Object{}, during("mark the address "+r.IP, err)
	}
	if err := w.d.dropTag(ctx, making); err != nil {
		return cloud.Object{}, during("mark that it is made", err)
	}
	if err := w.d.assign(ctx, ip, droplet); err != nil { // the call returns before the address is on its droplet
		return cloud.Object{}, err
	}
	o := reservedObject(r, w.res.Key, w.names())
	o.Spec = &ReservedSpec{Droplet: s.Droplet}
	return o, nil
}

// earlierReserved finds the address that an earlier try has made, nil for none. One that somebody else put on the droplet
// is in the way: a droplet has one at most.
func (w *work) earlierReserved(ctx context.Context, droplet int, key string) (*godo.ReservedIP, error) {
	all, err := w.d.listReserved(ctx)
	if err != nil {
		return nil, err
	}
	tags, err := w.d.listTags(ctx)
	if err != nil {
		return nil, err
	}
	known := addressMarks(w.owner.UID, tags)
	on := map[int]string{droplet: key}
	for i := range all {
		if known.key(&all[i], on) == w.res.Key {
			return &all[i], nil
		}
	}
	for _, r := range all {
		if known.making[key] == w.res.Key && r.Locked && r.Droplet == nil && known.keys[cloud.ParseAddr(r.IP)] == "" {
			return nil, &cloud.Error{Class: cloud.Conflict, Message: "the address " + r.IP + ", which an earlier try may have made, is being put on a droplet"}
		}
		if r.Droplet != nil && r.Droplet.ID == droplet {
			return nil, &cloud.Error{Class: cloud.Conflict, Message: fmt.Sprintf("droplet %d has the reserved address %s, which isn't Skyweld's: take that off it first", droplet, r.IP)}
		}
	}
	return nil, nil
}

// assign puts an address on a droplet and waits until it is there.
func (d *Driver) assign(ctx context.Context, ip netip.Addr, droplet int) error {
	asked := false
	err := d.poll(ctx, func() (bool, error) {
		r, _, err := d.api.ReservedIPs.Get(ctx, ip.String())
		switch {
		case err != nil:
			return false, err
		case r.Locked: // something is being done with it
			return false, nil
		case r.Droplet != nil && r.Droplet.ID == droplet:
			return true, nil
		case asked:
			return false, nil
		}
		_, _, err = d.api.ReservedIPActions.Assign(ctx, ip.String(), droplet)
		asked = err == nil
		return false, err
	})
	return during("put "+ip.String()+" on droplet "+strconv.Itoa(droplet), err)
}

// deleteReserved takes an address off its droplet and gives it back.
func (d *Driver) deleteReserved(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	ip := cloud.ParseAddr(o.ID)
	if !ip.IsValid() {
		return invalid("%q is no address", o.ID)
	}
	if err := unlessGone(d.release(ctx, ip)); err != nil {
		return err
	}
	return d.dropTag(ctx, addressTag(owner.UID, o.Key, ip))
}

func (d *Driver) release(ctx context.Context, ip netip.Addr) error {
	asked := false
	err := d.poll(ctx, func() (bool, error) {
		r, _, err := d.api.ReservedIPs.Get(ctx, ip.String())
		switch {
		case err != nil:
			return false, err
		case r.Locked:
			return false, nil
		case r.Droplet == nil:
			return true, nil
		case asked:
			return false, nil
		}
		_, _, err = d.api.ReservedIPActions.Unassign(ctx, ip.String())
		asked = err == nil
		return false, err
	})
	if err != nil {
		return during("take it off its droplet", err)
	}
	if _, err := d.api.ReservedIPs.Delete(ctx, ip.String()); err != nil {
		return err
	}
	return d.poll(ctx, func() (bool, error) {
		_, _, err := d.api.ReservedIPs.Get(ctx, ip.String())
		return isClass(err, cloud.NotFound), unlessGone(err)
	})
}
