package azure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
)

// Delete removes an object and waits for it. Removing what is gone is success, and so is removing what was made again
// under the same name: that is another thing, and stays. What is in the way of each kind, and how that is got past, is in
// docs/teardown.md.
func (d *Driver) Delete(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	at, err := parseID(o.ID)
	if err == nil {
		at.kind = o.Kind
		err = unlessGone(d.remove(ctx, owner, at, o.Unmarked))
	}
	return failed(fmt.Sprintf("delete %s %s", o.Kind, o.Key), err)
}

func (d *Driver) remove(ctx context.Context, owner cloud.Owner, at place, unmarked bool) error {
	if err := cloud.CheckUID(owner.UID); err != nil {
		return invalid("%v", err)
	}
	switch at.kind {
	case kindMachine:
		return d.removeMachine(ctx, owner, at)
	case kindDisk:
		return d.removeDisk(ctx, at)
	}
	w := &work{d: d, owner: owner, res: cloud.Resource{Kind: at.kind}}
	err := leaving(ctx, at, func() (string, string, error) {
		now, err := w.getAt(ctx, at)
		_, number, _ := strings.Cut(now.object.ID, "#")
		return now.provisioning, number, err
	})
	if err != nil {
		return err
	}
	switch at.kind {
	case kindGroup:
		return d.removeGroup(ctx, owner, at, unmarked)
	case kindSecurity:
		p, err := d.securities.BeginDelete(ctx, at.group, at.name, nil)
		return done(ctx, p, err)
	case kindNetwork:
		return d.removeNetwork(ctx, owner, at)
	case kindAddress:
		p, err := d.addresses.BeginDelete(ctx, at.group, at.name, nil)
		return done(ctx, p, err)
	case kindInterface:
		p, err := d.interfaces.BeginDelete(ctx, at.group, at.name, nil)
		return done(ctx, p, err)
	}
	return invalid("the driver makes no resources of kind %q", at.kind)
}

// leaving reads what is to be deleted until nothing is deleting it: a deletion whose end nobody saw is waited for rather
// than begun again, and one that has failed leaves the thing there. The error is of class NotFound when it is gone, or
// when another thing has its name by now.
func leaving(ctx context.Context, at place, read func() (state, number string, err error)) error {
	for wait := firstPause; ; wait = min(wait*3/2, lastPause) {
		state, number, err := read()
		switch {
		case err != nil:
			return err
		case !at.same(place{path: at.path, number: strings.ToLower(number)}):
			return &cloud.Error{Class: cloud.NotFound, Message: at.path + " is another thing now"}
		case state != stateDeleting:
			return nil
		}
		if err := cloud.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

// conflict is the error of something that is in the way, by name, and stays there until somebody takes it away.
func conflict(code, format string, args ...any) error {
	return &cloud.Error{Class: cloud.Conflict, Code: code, Message: fmt.Sprintf(format, args...), Held: true}
}

// blocked is a conflict with one thing in the way.
func blocked(code string, by cloud.Blocker, format string, args ...any) error {
	return &cloud.Error{Class: cloud.Conflict, Code: code, Message: fmt.Sprintf(format, args...), Held: true, Blockers: []cloud.Blocker{by}}
}

// blocker is a thing by its path.
func blocker(path string) cloud.Blocker {
	p := parsePath(path)
	kind := p.kind
	if parts := strings.Split(path, "/"); kind == "" && len(parts) > 1 {
		kind = cloud.Kind(parts[len(parts)-2])
	}
	return cloud.Blocker{Kind: kind, ID: path, Name: p.name}
}

// removeNetwork refuses a network that somebody else uses, and one whose end would take along what somebody else put into
// it: Azure deletes empty subnets and peerings with it.
func (d *Driver) removeNetwork(ctx context.Context, owner cloud.Owner, at place) error {
	x, err := d.networks.Get(ctx, at.group, at.name, nil)
	if err != nil {
		return err
	}
	if x.Properties != nil {
		for _, n := range x.Properties.Subnets {
			if n != nil && val(n.Name) != subnetName {
				return blocked("InUseSubnetCannotBeDeleted", blocker(pathOf(val(n.ID))), "its end would delete the subnet %s too, which isn't Skyweld's: delete that first", pathOf(val(n.ID)))
			}
			if user := foreignIn(owner, at, n); user != "" {
				return blocked("InUseSubnetCannotBeDeleted", blocker(user), "%s is in it, which isn't Skyweld's: move or delete that first", user)
			}
		}
		for _, p := range x.Properties.VirtualNetworkPeerings {
			if p != nil {
				return blocked("PeeringExists", blocker(pathOf(val(p.ID))), "its end would cut the peering %s, which isn't Skyweld's: delete that first", pathOf(val(p.ID)))
			}
		}
	}
	p, err := d.networks.BeginDelete(ctx, at.group, at.name, nil)
	return done(ctx, p, err)
}

// foreignIn is what isn't ours of the things whose addresses are in a subnet, empty when there is none.
func foreignIn(owner cloud.Owner, network place, n *armnetwork.Subnet) string {
	if n == nil || n.Properties == nil {
		return ""
	}
	for _, c := range n.Properties.IPConfigurations {
		if c == nil {
			continue
		}
		if user := parsePath(parent(val(c.ID))); !ours(owner, network, user) {
			return user.path
		}
	}
	return ""
}

func (d *Driver) removeDisk(ctx context.Context, at place) error {
	err := leaving(ctx, at, func() (string, string, error) {
		x, err := d.disks.Get(ctx, at.group, at.name, nil)
		if err != nil || x.Properties == nil {
			return "", "", err
		}
		return val(x.Properties.ProvisioningState), val(x.Properties.UniqueID), nil
	})
	if err != nil {
		return err
	}
	p, err := d.disks.BeginDelete(ctx, at.group, at.name, nil)
	return done(ctx, p, err)
}

// removeMachine deletes a machine and the disk that was made with it, which somebody may have told to stay.
func (d *Driver) removeMachine(ctx context.Context, owner cloud.Owner, at place) error {
	var x armcompute.VirtualMachinesClientGetResponse
	disk := ""
	gone := leaving(ctx, at, func() (state, number string, err error) {
		x, err = d.machines.Get(ctx, at.group, at.name, nil)
		if p := x.Properties; err == nil && p != nil {
			state, number = val(p.ProvisioningState), val(p.VMID)
			switch found := systemDisk(p); {
			case !at.same(place{path: at.path, number: strings.ToLower(number)}):
				disk = "" // and the other machine's is not to be touched
			case found != "":
				disk = found
			}
		}
		return state, number, err
	})
	switch {
	case isClass(gone, cloud.NotFound) && disk == "":
		return gone
	case gone != nil && !isClass(gone, cloud.NotFound):
		return gone
	case gone == nil:
		if err := deletable(owner, at, &x.VirtualMachine); err != nil {
			return err
		}
		p, err := d.machines.BeginDelete(ctx, at.group, at.name, nil)
		if err := done(ctx, p, err); err != nil {
			return err
		}
	}
	if left := parsePath(disk); ours(owner, at, left) && left.kind == kindDisk {
		if err := unlessGone(d.removeDisk(ctx, left)); err != nil {
			return fmt.Errorf("delete the disk %s that it left: %w", left.name, err)
		}
	}
	return nil
}

// systemDisk is the id of the disk that a machine boots from, empty while it has none.
func systemDisk(p *armcompute.VirtualMachineProperties) string {
	if p.StorageProfile == nil || p.StorageProfile.OSDisk == nil || p.StorageProfile.OSDisk.ManagedDisk == nil {
		return ""
	}
	return val(p.StorageProfile.OSDisk.ManagedDisk.ID)
}

// systemDiskOf is the same of a machine that may say nothing.
func systemDiskOf(x *armcompute.VirtualMachine) string {
	if x.Properties == nil {
		return ""
	}
	return systemDisk(x.Properties)
}

// ours says whether something that comes along with a machine is of our naming and in the machine's group.
func ours(owner cloud.Owner, machine, x place) bool {
	return x.group == machine.group && strings.HasPrefix(x.name, owner.ResourceName(""))
}

// deletable refuses a machine whose end would take along a disk or an interface that isn't its own.
func deletable(owner cloud.Owner, at place, x *armcompute.VirtualMachine) error {
	if x.Properties == nil {
		return nil
	}
	if s := x.Properties.StorageProfile; s != nil {
		for _, disk := range s.DataDisks {
			if disk != nil && val(disk.DeleteOption) == armcompute.DiskDeleteOptionTypesDelete {
				return blocked("DeleteOption", cloud.Blocker{Kind: kindDisk, ID: val(disk.Name)}, "its end would delete the disk %s too, which isn't Skyweld's: detach that first", val(disk.Name))
			}
		}
	}
	if n := x.Properties.NetworkProfile; n != nil {
		for _, r := range n.NetworkInterfaces {
			if r == nil || r.Properties == nil || val(r.Properties.DeleteOption) != armcompute.DeleteOptionsDelete {
				continue
			}
			if nic := parsePath(val(r.ID)); !ours(owner, at, nic) {
				return blocked("DeleteOption", blocker(nic.path), "its end would delete the interface %s too, which isn't Skyweld's: detach that first", nic.path)
			}
		}
	}
	return nil
}

// removeGroup deletes a group that is empty. Deleting a group deletes all that is in it, so it is looked at first: what
// somebody else put there stops it, by name. Without its mark it is ours only where the caller knows so.
func (d *Driver) removeGroup(ctx context.Context, owner cloud.Owner, at place, unmarked bool) error {
	group, err := d.groups.Get(ctx, at.group, nil)
	if err != nil {
		return err
	}
	if tagOf(group.Tags, cloud.TagCluster) != owner.UID && !unmarked {
		return conflict("OwnerMark", "%s doesn't bear this cluster's mark any more", at.path)
	}
	if err := d.wantEmpty(ctx, owner, at); err != nil {
		return err
	}
	if err := d.removeWatcher(ctx, regionName(val(group.Location)), tagOf(group.Tags, tagWatcher)); err != nil {
		return fmt.Errorf("remove the network watcher that came along: %w", err)
	}
	p, err := d.groups.BeginDelete(ctx, at.group, nil)
	return done(ctx, p, err)
}

// wantEmpty names what is in a group. Resource Manager's own list may still show what was deleted a moment ago, so what is
// of our kinds is looked up.
func (d *Driver) wantEmpty(ctx context.Context, owner cloud.Owner, at place) error {
	list, err := d.listIn(ctx, at.group)
	if err != nil {
		return err
	}
	var strange, own []string
	var blockers []cloud.Blocker
	for _, x := range list {
		p := parsePath(val(x.ID))
		if there, err := d.exists(ctx, p); err != nil {
			return fmt.Errorf("look whether %s is still there: %w", val(x.ID), err)
		} else if !there {
			continue
		}
		if tagOf(x.Tags, cloud.TagCluster) == owner.UID || ours(owner, at, p) {
			own = append(own, p.name)
			continue
		}
		strange = append(strange, fmt.Sprintf("%s (%s)", val(x.Name), val(x.Type)))
		b := blocker(pathOf(val(x.ID)))
		tags := map[string]string{}
		for name, value := range x.Tags {
			tags[name] = val(value)
		}
		b.Owner = cloud.OwnerIn(tags)
		blockers = append(blockers, b)
	}
	slices.Sort(strange)
	slices.Sort(own)
	switch {
	case len(strange) > 0:
		return &cloud.Error{
			Class: cloud.Conflict, Code: "ForeignResource", Held: true, Blockers: blockers,
			Message: fmt.Sprintf("the group %s holds what isn't Skyweld's, and deleting it would delete that too: %s; move or delete that first", at.group, strings.Join(strange, ", ")),
		}
	case len(own) > 0:
		// That may be a list that is late, or a disk that outlived its machine.
		return &cloud.Error{Class: cloud.Conflict, Code: "GroupNotEmpty", Message: fmt.Sprintf("the group %s still holds %s", at.group, strings.Join(own, ", "))}
	}
	return nil
}

// exists says whether something is still there. What is of no kind of ours is believed to be.
func (d *Driver) exists(ctx context.Context, p place) (bool, error) {
	var err error
	switch p.kind {
	case kindSecurity, kindNetwork, kindAddress, kindInterface:
		_, err = (&work{d: d, res: cloud.Resource{Kind: p.kind}}).getAt(ctx, p)
	case kindMachine:
		_, err = d.machines.Get(ctx, p.group, p.name, nil)
	case kindDisk:
		_, err = d.disks.Get(ctx, p.group, p.name, nil)
	case kindWatcher:
		_, err = d.watchers.Get(ctx, p.group, p.name, nil)
	}
	if isClass(err, cloud.NotFound) {
		return false, nil
	}
	return true, err
}
