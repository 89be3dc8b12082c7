package gcp

import (
	"context"
	"fmt"

	"google.golang.org/api/compute/v1"

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
	at, err := parseID(req.Object.ID)
	if err != nil {
		return cloud.Object{}, err
	}
	// A thing with the same name and another number is not the one that was observed.
	o, err := w.getAt(ctx, at)
	if err != nil {
		return cloud.Object{}, err
	}
	if now, err := parseID(o.ID); err != nil || now.number != at.number {
		return cloud.Object{}, &cloud.Error{Class: cloud.NotFound, Message: fmt.Sprintf("%s was made again since, it is %s now", req.Object.ID, o.ID)}
	}
	if err := w.bring(ctx, at, req.Fields); err != nil {
		return cloud.Object{}, err
	}
	return w.getAt(ctx, at)
}

// bring sets fields of what exists to the wanted values; doing it again changes nothing.
func (w *work) bring(ctx context.Context, at place, fields []string) error {
	switch s := w.want.(type) {
	case *NetworkSpec:
		return w.bringNetwork(ctx, at, s, fields)
	case *SubnetworkSpec:
		for _, f := range fields {
			if err := w.bringSubnetwork(ctx, at, s, f); err != nil {
				return err
			}
		}
		return nil
	case *FirewallSpec:
		body, err := w.firewallBody(s)
		if err != nil {
			return err
		}
		op, err := w.d.api.Firewalls.Patch(at.project, at.name, body).Context(ctx).Do()
		return w.d.do(ctx, op, err)
	case *InstanceSpec:
		for _, f := range fields {
			if err := w.bringInstance(ctx, at, s, f); err != nil {
				return err
			}
		}
		return nil
	}
	return invalid("kind %q has no field to change", w.res.Kind)
}

func (w *work) bringNetwork(ctx context.Context, at place, s *NetworkSpec, fields []string) error {
	whole, body, change := networkBody(s), &compute.Network{}, false
	for _, f := range fields {
		switch f {
		case "mtu":
			body.Mtu, change = whole.Mtu, true
		case "routingMode":
			body.RoutingConfig, change = whole.RoutingConfig, true
		case "firewallOrder":
			body.NetworkFirewallPolicyEnforcementOrder, change = whole.NetworkFirewallPolicyEnforcementOrder, true
		case "defaultRoute":
			if err := w.bringRoute(ctx, at, s.DefaultRoute); err != nil {
				return err
			}
		}
	}
	if !change {
		return nil
	}
	op, err := w.d.api.Networks.Patch(at.project, at.name, body).Context(ctx).Do()
	return w.d.do(ctx, op, err)
}

func (w *work) bringSubnetwork(ctx context.Context, at place, s *SubnetworkSpec, field string) error {
	if field == "privateGoogleAccess" {
		body := &compute.SubnetworksSetPrivateIpGoogleAccessRequest{
			PrivateIpGoogleAccess: s.PrivateGoogleAccess, ForceSendFields: []string{"PrivateIpGoogleAccess"},
		}
		op, err := w.d.api.Subnetworks.SetPrivateIpGoogleAccess(at.project, at.location, at.name, body).Context(ctx).Do()
		return w.d.do(ctx, op, err)
	}
	now, err := w.d.api.Subnetworks.Get(at.project, at.location, at.name).Context(ctx).Do()
	if err != nil {
		return err
	}
	ranges, err := secondaryRanges(s.SecondaryRanges)
	if err != nil {
		return err
	}
	body := &compute.Subnetwork{Fingerprint: now.Fingerprint, SecondaryIpRanges: ranges, ForceSendFields: []string{"SecondaryIpRanges"}}
	op, err := w.d.api.Subnetworks.Patch(at.project, at.location, at.name, body).Context(ctx).Do()
	return w.d.do(ctx, op, err)
}

func (w *work) bringInstance(ctx context.Context, at place, s *InstanceSpec, field string) error {
	api := w.d.api.Instances
	now, err := api.Get(at.project, at.location, at.name).Context(ctx).Do()
	if err != nil {
		return err
	}
	var op *compute.Operation
	switch field {
	case cloud.FieldState:
		return w.start(ctx, at, now)
	case cloud.FieldMark:
		return w.mark(ctx, at, now)
	case "publicAddress":
		return w.bringAccess(ctx, at, now, s.PublicAddress)
	case "diskAutoDelete":
		return w.bringDisk(ctx, at, now, s.DiskAutoDelete)
	case "tags":
		body := &compute.Tags{Items: s.Tags, ForceSendFields: []string{"Items"}}
		if now.Tags != nil {
			body.Fingerprint = now.Tags.Fingerprint
		}
		op, err = api.SetTags(at.project, at.location, at.name, body).Context(ctx).Do()
	case "metadata":
		body := w.metadata(s.Metadata, userDataOf(now))
		if now.Metadata != nil {
			body.Fingerprint = now.Metadata.Fingerprint
		}
		w.userData = []byte(userDataOf(now))
		op, err = api.SetMetadata(at.project, at.location, at.name, body).Context(ctx).Do()
		return w.discreet(w.d.do(ctx, op, err))
	case "canIPForward":
		w.userData = []byte(userDataOf(now))
		now.CanIpForward, now.ForceSendFields = s.CanIPForward, append(now.ForceSendFields, "CanIpForward")
		op, err = w.d.api.Instances.Update(at.project, at.location, at.name, now).MinimalAction("NO_EFFECT").MostDisruptiveAllowedAction("REFRESH").Context(ctx).Do()
		return w.discreet(w.d.do(ctx, op, err))
	case "deletionProtection":
		op, err = api.SetDeletionProtection(at.project, at.location, at.name).DeletionProtection(s.DeletionProtection).Context(ctx).Do()
	case "automaticRestart":
		body := &compute.Scheduling{}
		if now.Scheduling != nil {
			body = now.Scheduling
		}
		body.AutomaticRestart = &s.AutomaticRestart
		op, err = api.SetScheduling(at.project, at.location, at.name, body).Context(ctx).Do()
	}
	return w.d.do(ctx, op, err)
}

// start lets a machine that doesn't run run again.
func (w *work) start(ctx context.Context, at place, now *compute.Instance) error {
	var op *compute.Operation
	var err error
	switch now.Status {
	case "TERMINATED", "STOPPED":
		op, err = w.d.api.Instances.Start(at.project, at.location, at.name).Context(ctx).Do()
	case "SUSPENDED":
		op, err = w.d.api.Instances.Resume(at.project, at.location, at.name).Context(ctx).Do()
	default:
		if stateOf(now.Status) == cloud.Stopped {
			return &cloud.Error{Class: cloud.Conflict, Code: now.Status, Message: "it is still being stopped or deleted"}
		}
		return nil
	}
	return w.d.do(ctx, op, err)
}

// bringAccess gives the first interface the wanted public address. An interface has one way to the internet: the old
// one goes first.
func (w *work) bringAccess(ctx context.Context, at place, now *compute.Instance, public string) error {
	want, err := w.access(public)
	if err != nil {
		return err
	}
	if len(now.NetworkInterfaces) == 0 {
		return invalid("%s has no network interface", at.path)
	}
	nic := now.NetworkInterfaces[0]
	if publicOf(nic, w.names()) == public && len(nic.AccessConfigs) <= 1 {
		return nil
	}
	for _, a := range nic.AccessConfigs {
		op, err := w.d.api.Instances.DeleteAccessConfig(at.project, at.location, at.name, a.Name, nic.Name).Context(ctx).Do()
		if err := w.d.do(ctx, op, err); err != nil {
			return fmt.Errorf("take the address %s from it: %w", a.NatIP, err)
		}
	}
	if want == nil {
		return nil
	}
	op, err := w.d.api.Instances.AddAccessConfig(at.project, at.location, at.name, nic.Name, want).Context(ctx).Do()
	return w.d.do(ctx, op, err)
}

func (w *work) bringDisk(ctx context.Context, at place, now *compute.Instance, autoDelete bool) error {
	for _, disk := range now.Disks {
		if !disk.Boot || disk.AutoDelete == autoDelete {
			continue
		}
		op, err := w.d.api.Instances.SetDiskAutoDelete(at.project, at.location, at.name, autoDelete, disk.DeviceName).Context(ctx).Do()
		if err := w.d.do(ctx, op, err); err != nil {
			return err
		}
	}
	return nil
}
