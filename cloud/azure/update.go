package azure

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

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

// bring sets fields of what exists to the wanted values; doing it again changes nothing. What is left of a failure is put
// again as it is. Whatever is put bears the mark again, beside others' tags.
func (w *work) bring(ctx context.Context, at place, fields []string) error {
	switch s := w.want.(type) {
	case *GroupSpec:
		x, err := w.d.groups.Get(ctx, at.group, nil)
		if err != nil {
			return err
		}
		_, err = w.d.groups.CreateOrUpdate(ctx, at.group, armresources.ResourceGroup{Location: x.Location, ManagedBy: x.ManagedBy, Tags: w.tags(x.Tags)}, nil)
		return err
	case *SecuritySpec:
		return w.bringSecurity(ctx, at, s)
	case *InterfaceSpec:
		x, err := w.d.interfaces.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return err
		}
		body := armnetwork.Interface{Location: x.Location, Tags: w.tags(x.Tags), ExtendedLocation: x.ExtendedLocation, Properties: x.Properties}
		if err := w.interfaceBody(&body, s); err != nil {
			return err
		}
		_, err = w.d.putInterface(ctx, at.group, at.name, body)
		return err
	case *NetworkSpec:
		return w.bringNetwork(ctx, at, s, fields)
	case *AddressSpec:
		x, err := w.d.addresses.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return err
		}
		body := armnetwork.PublicIPAddress{Location: x.Location, Tags: w.tags(x.Tags), ExtendedLocation: x.ExtendedLocation, Properties: x.Properties, SKU: x.SKU, Zones: x.Zones}
		if body.Properties != nil {
			body.Properties.DeleteOption = addressOption(s.DeleteWithMachine)
		}
		p, err := w.d.addresses.BeginCreateOrUpdate(ctx, at.group, at.name, body, nil)
		return done(ctx, p, err)
	case *MachineSpec:
		return w.bringMachine(ctx, at, s, fields)
	}
	return invalid("kind %q has no field to change", w.res.Kind)
}

// bringNetwork puts the network with its subnets, of which ours alone is changed. Its range takes no part of what others
// have in it along: a subnet of theirs stops the change by name.
func (w *work) bringNetwork(ctx context.Context, at place, s *NetworkSpec, fields []string) error {
	x, err := w.d.networks.Get(ctx, at.group, at.name, nil)
	if err != nil {
		return err
	}
	body := armnetwork.VirtualNetwork{Location: x.Location, Tags: w.tags(x.Tags), ExtendedLocation: x.ExtendedLocation, Properties: x.Properties}
	if body.Properties == nil {
		body.Properties = &armnetwork.VirtualNetworkPropertiesFormat{}
	}
	if slices.Contains(fields, "addressSpace") {
		if err := foreignSubnets(body.Properties.Subnets, s.AddressSpace); err != nil {
			return err
		}
		body.Properties.AddressSpace = &armnetwork.AddressSpace{AddressPrefixes: ptrs(s.AddressSpace)}
	}
	for _, n := range body.Properties.Subnets {
		if n == nil || val(n.Name) != subnetName || n.Properties == nil {
			continue
		}
		if slices.Contains(fields, "defaultOutbound") {
			n.Properties.DefaultOutboundAccess = &s.DefaultOutbound
		}
		if slices.Contains(fields, "routeTable") {
			n.Properties.RouteTable = nil
		}
		if slices.Contains(fields, "securityGroup") {
			n.Properties.NetworkSecurityGroup = nil
		}
	}
	p, err := w.d.networks.BeginCreateOrUpdate(ctx, at.group, at.name, body, nil)
	return done(ctx, p, err)
}

// foreignSubnets refuses to take ranges from a network in which somebody else has a subnet.
func foreignSubnets(subnets []*armnetwork.Subnet, keep []string) error {
	for _, n := range subnets {
		if n == nil || n.Properties == nil || val(n.Name) == subnetName {
			continue
		}
		for _, text := range append(vals(n.Properties.AddressPrefixes), present(n.Properties.AddressPrefix)...) {
			if !within(text, keep) {
				return conflict("InUsePrefixCannotBeDeleted", "the subnet %s, which isn't Skyweld's, is in the range that is to go, %s: delete that first", pathOf(val(n.ID)), text)
			}
		}
	}
	return nil
}

// within says whether a range is part of one of a list.
func within(text string, list []string) bool {
	p, err := netip.ParsePrefix(text)
	return err == nil && slices.ContainsFunc(list, func(other string) bool {
		q, err := netip.ParsePrefix(other)
		return err == nil && q.Bits() <= p.Bits() && q.Contains(p.Addr())
	})
}

// bringSecurity puts all rules at once, so that there is no moment without them.
func (w *work) bringSecurity(ctx context.Context, at place, s *SecuritySpec) error {
	x, err := w.d.securities.Get(ctx, at.group, at.name, nil)
	if err != nil {
		return err
	}
	body := armnetwork.SecurityGroup{
		Location: x.Location, Tags: w.tags(x.Tags), Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: rulesBody(s.Rules)},
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
	if slices.Contains(fields, "extensions") {
		p.OSProfile = &armcompute.OSProfile{AllowExtensionOperations: &s.Extensions}
	}
	if slices.Contains(fields, "interfaceDelete") {
		nic, err := w.ref(s.Interface)
		if err != nil {
			return err
		}
		if p.NetworkProfile, err = w.interfacesOf(ctx, at, nic, s.InterfaceDelete); err != nil {
			return err
		}
	}
	change := armcompute.VirtualMachineUpdate{Properties: p}
	if slices.Contains(fields, cloud.FieldMark) {
		x, err := w.d.machines.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return err
		}
		change.Tags = w.tags(x.Tags)
	}
	if *p != (armcompute.VirtualMachineProperties{}) || change.Tags != nil {
		poller, err := w.d.machines.BeginUpdate(ctx, at.group, at.name, change, nil)
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

// interfacesOf are a machine's interfaces as they are, but for whether ours goes with it. A change names all of them.
func (w *work) interfacesOf(ctx context.Context, at place, ours string, along bool) (*armcompute.NetworkProfile, error) {
	x, err := w.d.machines.Get(ctx, at.group, at.name, nil)
	if err != nil {
		return nil, err
	}
	if x.Properties == nil || x.Properties.NetworkProfile == nil {
		return nil, invalid("%s has no interface", at.path)
	}
	out := &armcompute.NetworkProfile{NetworkInterfaces: x.Properties.NetworkProfile.NetworkInterfaces}
	for _, r := range out.NetworkInterfaces {
		if r == nil || !strings.EqualFold(pathOf(val(r.ID)), ours) {
			continue
		}
		if r.Properties == nil {
			r.Properties = &armcompute.NetworkInterfaceReferenceProperties{}
		}
		r.Properties.DeleteOption = interfaceOption(along)
	}
	return out, nil
}
