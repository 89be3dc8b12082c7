package gcp

import (
	"context"
	"fmt"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// Delete removes an object and waits for it. Removing what is gone is success, and so is removing what was made again
// under the same name: that is another thing, and stays.
func (d *Driver) Delete(ctx context.Context, _ cloud.Owner, o cloud.Object) error {
	at, err := parseID(o.ID)
	if err == nil {
		err = unlessGone(d.remove(ctx, o.Kind, at))
	}
	return failed(fmt.Sprintf("delete %s %s", o.Kind, o.Key), err)
}

func (d *Driver) remove(ctx context.Context, kind cloud.Kind, at place) error {
	number, err := d.numberAt(ctx, kind, at)
	if err != nil {
		return err
	}
	if number != at.number {
		return nil
	}
	var op *compute.Operation
	switch kind {
	case kindNetwork:
		op, err = d.api.Networks.Delete(at.project, at.name).Context(ctx).Do()
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

// numberAt is the number of what is at a place now. It refuses an instance whose end would take along what isn't ours,
// or that somebody protects.
func (d *Driver) numberAt(ctx context.Context, kind cloud.Kind, at place) (uint64, error) {
	var number uint64
	var err error
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
		var x *compute.Instance
		if x, err = d.api.Instances.Get(at.project, at.location, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
		if err == nil && number == at.number {
			err = deletable(x)
		}
	case kindDisk:
		var x *compute.Disk
		if x, err = d.api.Disks.Get(at.project, at.location, at.name).Context(ctx).Do(); err == nil {
			number = x.Id
		}
	default:
		err = invalid("the driver makes no resources of kind %q", kind)
	}
	return number, err
}

// deletable refuses an instance that somebody protects, and one whose end would take along a disk that isn't its own.
func deletable(i *compute.Instance) error {
	if i.DeletionProtection {
		return &cloud.Error{Class: cloud.Conflict, Code: "deletionProtection", Message: i.Name + " is protected against deletion"}
	}
	for _, disk := range i.Disks {
		if !disk.Boot && disk.AutoDelete && disk.Type != "SCRATCH" {
			return &cloud.Error{
				Class: cloud.Conflict, Code: "autoDelete",
				Message: "its end would delete the disk " + pathOf(disk.Source) + " too, which isn't Skyweld's: detach that first",
			}
		}
	}
	return nil
}
