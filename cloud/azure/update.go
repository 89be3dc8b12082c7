package azure

import (
	"context"
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

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
	now, err := w.getAt(ctx, at)
	if err != nil {
		return cloud.Object{}, err
	}
	if made, err := parseID(now.object.ID); err != nil || !at.same(made) {
		return cloud.Object{}, &cloud.Error{Class: cloud.NotFound, Message: fmt.Sprintf("%s was made again since, it is %s now", req.Object.ID, now.object.ID)}
	}
	if err := w.bring(ctx, at, req.Fields); err != nil {
		return cloud.Object{}, err
	}
	now, err = w.getAt(ctx, at)
	return now.object, err
}

// same says whether two places are of one thing, as far as Azure gives numbers.
func (p place) same(q place) bool {
	return p.path == q.path && (p.number == q.number || p.number == "" || q.number == "")
}

// bring sets fields of what exists to the wanted values; doing it again changes nothing. Networks and addresses have none
// to set: they are put again as they are, after a failure.
func (w *work) bring(ctx context.Context, at place, fields []string) error {
	switch s := w.want.(type) {
	case *SecuritySpec:
		return w.bringSecurity(ctx, at, s)
	case *InterfaceSpec:
		x, err := w.d.interfaces.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return err
		}
		body := armnetwork.Interface{Location: x.Location, Tags: x.Tags, ExtendedLocation: x.ExtendedLocation, Properties: x.Properties}
		if err := w.interfaceBody(&body, s); err != nil {
			return err
		}
		_, err = w.d.putInterface(ctx, at.group, at.name, body)
		return err
	case *NetworkSpec:
		x, err := w.d.networks.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return err
		}
		body := armnetwork.VirtualNetwork{Location: x.Location, Tags: x.Tags, ExtendedLocation: x.ExtendedLocation, Properties: x.Properties}
		p, err := w.d.networks.BeginCreateOrUpdate(ctx, at.group, at.name, body, nil)
		return done(ctx, p, err)
	case *AddressSpec:
		x, err := w.d.addresses.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return err
		}
		body := armnetwork.PublicIPAddress{Location: x.Location, Tags: x.Tags, ExtendedLocation: x.ExtendedLocation, Properties: x.Properties, SKU: x.SKU, Zones: x.Zones}
		p, err := w.d.addresses.BeginCreateOrUpdate(ctx, at.group, at.name, body, nil)
		return done(ctx, p, err)
	case *MachineSpec:
		return w.bringMachine(ctx, at, s, fields)
	}
	return invalid("kind %q has no field to change", w.res.Kind)
}

// bringSecurity puts all rules at once, so that there is no moment without them.
func (w *work) bringSecurity(ctx context.Context, at place, s *SecuritySpec) error {
	x, err := w.d.securities.Get(ctx, at.group, at.name, nil)
	if err != nil {
		return err
	}
	body := armnetwork.SecurityGroup{
		Location: x.Location, Tags: x.Tags, Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: rulesBody(s.Rules)},
	}
	if x.Properties != nil {
		body.Properties.FlushConnection = x.Properties.FlushConnection
	}
	_, err = w.d.putSecurity(ctx, at.group, at.name, body)
	return err
}

func (w *work) bringMachine(ctx context.Context, at place, s *MachineSpec, fields []string) error {
	p := &armcompute.VirtualMachineProperties{}
	if slices.Contains(fields, "diskDelete") {
		p.StorageProfile = &armcompute.StorageProfile{OSDisk: &armcompute.OSDisk{
			CreateOption: ptr(armcompute.DiskCreateOptionTypesFromImage), // required by the description, also where nothing is made
			DeleteOption: deleteOption(s.DiskDelete),
		}}
	}
	if slices.Contains(fields, "bootDiagnostics") {
		p.DiagnosticsProfile = diagnosticsBody(s.BootDiagnostics)
	}
	if p.StorageProfile != nil || p.DiagnosticsProfile != nil {
		poller, err := w.d.machines.BeginUpdate(ctx, at.group, at.name, armcompute.VirtualMachineUpdate{Properties: p}, nil)
		if err := done(ctx, poller, err); err != nil {
			return err
		}
	}
	if !slices.Contains(fields, cloud.FieldState) {
		return nil
	}
	poller, err := w.d.machines.BeginStart(ctx, at.group, at.name, nil)
	return done(ctx, poller, err)
}
