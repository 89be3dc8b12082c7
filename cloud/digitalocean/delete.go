package digitalocean

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// Delete removes an object and waits for it. Removing what is gone is success. What is in the way of each kind, and how
// that is got past, is in docs/teardown.md.
func (d *Driver) Delete(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	return failed(fmt.Sprintf("delete %s %s", o.Kind, o.Key), d.remove(ctx, owner, o))
}

func (d *Driver) remove(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	if err := cloud.CheckUID(owner.UID); err != nil {
		return invalid("%v", err)
	}
	if o.ID == "" {
		return invalid("the object has no id")
	}
	switch o.Kind {
	case kindTag:
		return d.deleteTag(ctx, owner, o)
	case kindVPC:
		return d.deleteVPC(ctx, o.ID)
	case kindFirewall:
		_, err := d.api.Firewalls.Delete(ctx, o.ID)
		return unlessGone(err)
	case kindDroplet:
		id, err := dropletID(o.ID)
		if err != nil {
			return err
		}
		return d.deleteDroplet(ctx, owner, id)
	case kindReserved:
		return d.deleteReserved(ctx, owner, o)
	}
	return invalid("the driver makes no resources of kind %q", o.Kind)
}

// deleteVPC never touches a region's default VPC, and names what is in the way.
func (d *Driver) deleteVPC(ctx context.Context, id string) error {
	v, _, err := d.api.VPCs.Get(ctx, id)
	if err != nil {
		return unlessGone(err)
	}
	if v.Default {
		return &cloud.Error{Class: cloud.Conflict, Message: "VPC " + v.Name + " is the default of " + v.RegionSlug +
			", which can't be deleted: make another VPC the default (PATCH /v2/vpcs/<id> with default true)"}
	}
	if _, err = d.api.VPCs.Delete(ctx, id); isClass(err, cloud.Conflict) {
		return d.members(ctx, id, err)
	}
	if unlessGone(err) != nil {
		return err
	}
	return d.poll(ctx, func() (bool, error) {
		_, _, err := d.api.VPCs.Get(ctx, id)
		return isClass(err, cloud.NotFound), unlessGone(err)
	})
}

// members puts the names of a VPC's members into the refusal to delete it.
func (d *Driver) members(ctx context.Context, id string, refusal error) error {
	list, err := pages(ctx, "members of the VPC", func(ctx context.Context, o *godo.ListOptions) ([]*godo.VPCMember, *godo.Response, error) {
		return d.api.VPCs.ListMembers(ctx, id, nil, o)
	})
	if err != nil || len(list) == 0 {
		return refusal
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Name+" ("+m.URN+")")
	}
	slices.Sort(names)
	e := *classify(refusal)
	e.Message += "; in it are " + strings.Join(names, ", ")
	return &e
}

// deleteTag removes a role's tag, and before it the tags of the cluster that came along with droplets and addresses of
// its site and are left over, so that a deletion that breaks off is taken up again by the role's tag.
func (d *Driver) deleteTag(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	if uid, _, _, ok := tagParts(o.ID, tagRole); !ok || uid != owner.UID {
		return invalid("tag %q is no role's tag of cluster %s", o.ID, owner.UID)
	}
	t, _, err := d.api.Tags.Get(ctx, o.ID)
	if err != nil {
		return unlessGone(err)
	}
	if n := uses(t); n > 0 {
		return &cloud.Error{Class: cloud.Conflict, Message: fmt.Sprintf("tag %s is on %d resources", t.Name, n)}
	}
	if err := d.sweepTags(ctx, owner, o); err != nil {
		return err
	}
	_, err = d.api.Tags.Delete(ctx, o.ID)
	return unlessGone(err)
}

// uses is on how many resources a tag is.
func uses(t *godo.Tag) int {
	if t == nil || t.Resources == nil {
		return 0
	}
	return t.Resources.Count
}

// sweepTags removes what is left of a site's tags: those of droplets that are gone, those of addresses that are gone,
// and the cluster's own when no other site has a role's tag.
func (d *Driver) sweepTags(ctx context.Context, owner cloud.Owner, role cloud.Object) error {
	tags, err := d.listTags(ctx)
	if err != nil {
		return err
	}
	reserved, err := d.listReserved(ctx)
	if err != nil {
		return err
	}
	site, _, _ := strings.Cut(role.Key, "-tag-")
	there := func(last string) bool {
		ip := addressOf(last)
		return ip.IsValid() && slices.ContainsFunc(reserved, func(r godo.ReservedIP) bool { return parseAddr(r.IP) == ip })
	}
	others := slices.ContainsFunc(tags, func(t godo.Tag) bool {
		uid, key, _, ok := tagParts(t.Name, tagRole)
		return ok && uid == owner.UID && !strings.HasPrefix(key, site+"-")
	})
	for i := range tags {
		name, left := tags[i].Name, false
		if uid, key, _, ok := tagParts(name, tagKey); ok && uid == owner.UID {
			left = strings.HasPrefix(key, site+"-")
		}
		if uid, key, last, ok := tagParts(name, tagAddress); ok && uid == owner.UID {
			left = strings.HasPrefix(key, site+"-") && !there(last)
		}
		if name == clusterTag(owner.UID) {
			left = !others
		}
		if left && uses(&tags[i]) == 0 {
			if err := d.dropTag(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropTag removes a tag that nothing has any more. DigitalOcean would take it off whatever still has it.
func (d *Driver) dropTag(ctx context.Context, name string) error {
	t, _, err := d.api.Tags.Get(ctx, name)
	if err == nil && uses(t) == 0 {
		_, err = d.api.Tags.Delete(ctx, name)
	}
	return during("remove the tag "+name, unlessGone(err))
}
