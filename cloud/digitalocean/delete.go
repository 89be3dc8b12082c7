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
		return d.deleteVPC(ctx, owner, o.ID)
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
func (d *Driver) deleteVPC(ctx context.Context, owner cloud.Owner, id string) error {
	v, _, err := d.api.VPCs.Get(ctx, id)
	if err != nil {
		return unlessGone(err)
	}
	if v.Default {
		return &cloud.Error{Class: cloud.Conflict, Held: true, Message: "VPC " + v.Name + " is the default of " + v.RegionSlug +
			", which can't be deleted: make another VPC the default (PATCH /v2/vpcs/<id> with default true)"}
	}
	if _, err = d.api.VPCs.Delete(ctx, id); isClass(err, cloud.Conflict) {
		return d.members(ctx, owner, id, err)
	}
	if unlessGone(err) != nil {
		return err
	}
	return d.poll(ctx, func() (bool, error) {
		_, _, err := d.api.VPCs.Get(ctx, id)
		return isClass(err, cloud.NotFound), unlessGone(err)
	})
}

// members puts the names of a VPC's members into the refusal to delete it. A droplet of ours that was deleted a moment ago
// may still be among them; what is another's stays there until somebody takes it away.
func (d *Driver) members(ctx context.Context, owner cloud.Owner, id string, refusal error) error {
	list, err := pages(ctx, "members of the VPC", func(ctx context.Context, o *godo.ListOptions) ([]*godo.VPCMember, *godo.Response, error) {
		return d.api.VPCs.ListMembers(ctx, id, nil, o)
	})
	if err != nil || len(list) == 0 {
		return refusal
	}
	var names, strange []string
	var blockers []cloud.Blocker
	for _, m := range list {
		name := m.Name + " (" + m.URN + ")"
		names = append(names, name)
		if foreign, whose, err := d.foreign(ctx, owner, m.URN); err != nil {
			return err
		} else if foreign {
			strange = append(strange, name)
			kind, number, _ := strings.Cut(strings.TrimPrefix(m.URN, "do:"), ":")
			blockers = append(blockers, cloud.Blocker{Kind: cloud.Kind(kind), ID: number, Name: m.Name, Owner: whose})
		}
	}
	e := *classify(refusal)
	if len(strange) > 0 {
		slices.Sort(strange)
		e.Held, e.Blockers, e.Message = true, blockers, e.Message+"; in it is what isn't Skyweld's: "+strings.Join(strange, ", ")+"; move or delete that first"
		return &e
	}
	slices.Sort(names)
	e.Message += "; in it are " + strings.Join(names, ", ")
	return &e
}

// foreign says whether a member of a VPC is there and another's, and whose it could be.
func (d *Driver) foreign(ctx context.Context, owner cloud.Owner, urn string) (foreign bool, whose string, err error) {
	text, droplet := strings.CutPrefix(urn, "do:droplet:")
	if !droplet {
		return true, "", nil
	}
	id, err := dropletID(text)
	if err != nil {
		return false, "", err
	}
	x, _, err := d.api.Droplets.Get(ctx, id)
	if err != nil {
		return false, "", during("look whose "+urn+" is", unlessGone(err))
	}
	if len(x.Tags) > 0 {
		whose = "tags " + strings.Join(x.Tags, ", ")
	}
	return !slices.Contains(x.Tags, clusterTag(owner.UID)), whose, nil
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
	if n, err := d.uses(ctx, t); err != nil {
		return err
	} else if n > 0 {
		return &cloud.Error{Class: cloud.Conflict, Message: fmt.Sprintf("tag %s is on %d resources", t.Name, n)}
	}
	if err := d.sweepTags(ctx, owner, o); err != nil {
		return err
	}
	_, err = d.api.Tags.Delete(ctx, o.ID)
	return unlessGone(err)
}

// uses is on how many resources a tag is. DigitalOcean lets droplets be tagged that aren't there and counts them for ever,
// so where only droplets are counted those that are there decide.
func (d *Driver) uses(ctx context.Context, t *godo.Tag) (int, error) {
	if t == nil || t.Resources == nil || t.Resources.Count == 0 {
		return 0, nil
	}
	if x := t.Resources.Droplets; x == nil || x.Count < t.Resources.Count {
		return t.Resources.Count, nil
	}
	list, err := d.listDroplets(ctx, t.Name)
	return len(list), err
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
		return ip.IsValid() && slices.ContainsFunc(reserved, func(r godo.ReservedIP) bool { return cloud.ParseAddr(r.IP) == ip })
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
		if left {
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
	n := 0
	if err == nil {
		n, err = d.uses(ctx, t)
	}
	if err == nil && n == 0 {
		_, err = d.api.Tags.Delete(ctx, name)
	}
	return during("remove the tag "+name, unlessGone(err))
}
