package gcp

import (
	"context"
	"fmt"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// Delete removes an object and waits for it. Removing what is gone is success, and so is removing what was made again
// under the same name: that is another thing, and stays. What is in the way of each kind, and how that is got past, is in
// docs/teardown.md.
func (d *Driver) Delete(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	at, err := parseID(o.ID)
	if err == nil {
		err = d.nameBlockers(ctx, owner, o, unlessGone(d.remove(ctx, owner, o.Kind, at)))
	}
	return failed(fmt.Sprintf("delete %s %s", o.Kind, o.Key), err)
}

func (d *Driver) remove(ctx context.Context, owner cloud.Owner, kind cloud.Kind, at place) error {
	number, machine, err := d.look(ctx, kind, at)
	if err != nil {
		return err
	}
	if number != at.number {
		return nil
	}
	if machine != nil {
		if err := d.takeDisk(ctx, owner, at, machine); err != nil {
			return err
		}
	}
	var op *compute.Operation
	switch kind {
	case kindNetwork:
		return d.removeNetwork(ctx, owner, at)
	case kindSubnetwork:
		op, err = d.api.Subnetworks.Delete(at.project, at.location, at.name).Context(ctx).Do()
	case kindFirewall:
		op, err = d.api.Firewalls.Delete(at.project, at.name).Context(ctx).Do()
	case kindAddress:
		op, err = d.api.Addresses.Delete(at.project, at.location, at.name).Context(ctx).Do()
	case kindInstance:
		op, err = d.api.Instances.Delete(at.project, at.location, at.name).Context(ctx).Do()
	case kindDisk:
		op, err = d.api.Disks.Delete(at.project, at.location, at.name).Context(ctx).Do()
	}
	return d.do(ctx, op, err)
}

// look returns the number of what is at a place now, and an instance itself. It refuses an instance whose end would take
// along what isn't ours, or that somebody protects.
func (d *Driver) look(ctx context.Context, kind cloud.Kind, at place) (number uint64, machine *compute.Instance, err error) {
	switch kind {
	case kindNetwork:
		var x *compute.Network
		if x, err = d.api.Networks.Get(at.project, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
	case kindSubnetwork:
		var x *compute.Subnetwork
		if x, err = d.api.Subnetworks.Get(at.project, at.location, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
	case kindFirewall:
		var x *compute.Firewall
		if x, err = d.api.Firewalls.Get(at.project, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
	case kindAddress:
		var x *compute.Address
		if x, err = d.api.Addresses.Get(at.project, at.location, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
	case kindInstance:
		if machine, err = d.api.Instances.Get(at.project, at.location, at.name).Context(ctx).Do(); err == nil {
			number = machine.Id
		}
		if err == nil && number == at.number {
			err = deletable(machine)
		}
	case kindDisk:
		var x *compute.Disk
		if x, err = d.api.Disks.Get(at.project, at.location, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
	default:
		err = invalid("the driver makes no resources of kind %q", kind)
	}
	return number, machine, err
}

// takeDisk sees to it that the disk which was made with an instance goes with it, though somebody has switched that off.
// Nobody would find it afterwards but by its mark.
func (d *Driver) takeDisk(ctx context.Context, owner cloud.Owner, at place, machine *compute.Instance) error {
	for _, disk := range machine.Disks {
		from, err := parseID(idOf(disk.Source, 0))
		if !disk.Boot || disk.AutoDelete || err != nil {
			continue
		}
		x, err := d.api.Disks.Get(from.project, from.location, from.name).Context(ctx).Do()
		switch {
		case isClass(err, cloud.NotFound):
			continue
		case err != nil:
			return fmt.Errorf("look whose disk %s is: %w", from.name, err)
		case cloud.CheckUID(owner.UID) != nil || x.Labels[cloud.TagCluster] != owner.UID:
			continue
		}
		op, err := d.api.Instances.SetDiskAutoDelete(at.project, at.location, at.name, true, disk.DeviceName).Context(ctx).Do()
		if err := d.do(ctx, op, err); err != nil {
			return fmt.Errorf("let its disk %s go with it: %w", from.name, err)
		}
	}
	return nil
}

// deletable refuses an instance that somebody protects, and one whose end would take along a disk that isn't its own.
func deletable(i *compute.Instance) error {
	if i.DeletionProtection {
		return &cloud.Error{Class: cloud.Conflict, Code: "deletionProtection", Message: i.Name + " is protected against deletion", Held: true}
	}
	for _, disk := range i.Disks {
		if !disk.Boot && disk.AutoDelete && disk.Type != "SCRATCH" {
			return &cloud.Error{
				Class: cloud.Conflict, Code: "autoDelete", Held: true, Blockers: []cloud.Blocker{{Kind: kindDisk, ID: pathOf(disk.Source)}},
				Message: "its end would delete the disk " + pathOf(disk.Source) + " too, which isn't Skyweld's: detach that first",
			}
		}
	}
	return nil
}
