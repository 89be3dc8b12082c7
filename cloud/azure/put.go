package azure

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
)

// put makes the resource and waits for it.
func (w *work) put(ctx context.Context) (cloud.Object, error) {
	switch s := w.want.(type) {
	case *GroupSpec:
		return w.putGroup(ctx, s)
	case *SecuritySpec:
		x, err := w.d.putSecurity(ctx, w.group, w.name, armnetwork.SecurityGroup{
			Location: &w.res.Region, Tags: w.tags(nil), Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: rulesBody(s.Rules)},
		})
		if err != nil {
			return cloud.Object{}, err
		}
		return securityObject(x), nil
	case *NetworkSpec:
		return w.putNetwork(ctx, s)
	case *AddressSpec:
		return w.putAddress(ctx, s)
	case *InterfaceSpec:
		body := armnetwork.Interface{Location: &w.res.Region, Tags: w.tags(nil)}
		if err := w.interfaceBody(&body, s); err != nil {
			return cloud.Object{}, err
		}
		x, err := w.d.putInterface(ctx, w.group, w.name, body)
		if err != nil {
			return cloud.Object{}, err
		}
		return interfaceObject(x, w.names()), nil
	case *MachineSpec:
		return w.putMachine(ctx, s)
	}
	return cloud.Object{}, invalid("resources of kind %q are not made by themselves", w.res.Kind)
}

// putGroup makes the site's group. A tag keeps whether Azure's Network Watcher was there before it: the first network in
// a region brings one along, and whoever deletes the last group has to know.
func (w *work) putGroup(ctx context.Context, s *GroupSpec) (cloud.Object, error) {
	origin, err := w.d.watcherOrigin(ctx, s.Location)
	if err != nil {
		return cloud.Object{}, fmt.Errorf("look for the region's network watcher: %w", err)
	}
	tags := w.tags(map[string]*string{tagWatcher: &origin})
	x, err := w.d.groups.CreateOrUpdate(ctx, w.name, armresources.ResourceGroup{Location: &s.Location, Tags: tags}, nil)
	if err != nil {
		return cloud.Object{}, err
	}
	return groupObject(&x.ResourceGroup), nil
}

func (d *Driver) putSecurity(ctx context.Context, group, name string, body armnetwork.SecurityGroup) (*armnetwork.SecurityGroup, error) {
	p, err := d.securities.BeginCreateOrUpdate(ctx, group, name, body, nil)
	x, err := await(ctx, p, err)
	return &x.SecurityGroup, err
}

func (d *Driver) putInterface(ctx context.Context, group, name string, body armnetwork.Interface) (*armnetwork.Interface, error) {
	p, err := d.interfaces.BeginCreateOrUpdate(ctx, group, name, body, nil)
	x, err := await(ctx, p, err)
	return &x.Interface, err
}

// rulesBody is a list of rules in Azure's form: one thing goes into the one field, several into the other.
func rulesBody(rules []Rule) []*armnetwork.SecurityRule {
	split := func(list []string) (one *string, many []*string) {
		if len(list) == 1 {
			return &list[0], nil
		}
		return nil, ptrs(list)
	}
	out := []*armnetwork.SecurityRule{}
	for _, r := range rules {
		p := &armnetwork.SecurityRulePropertiesFormat{
			Access: ptr(armnetwork.SecurityRuleAccess(r.Access)), Direction: ptr(armnetwork.SecurityRuleDirection(r.Direction)),
			Priority: ptr(int32(r.Priority)), Protocol: ptr(armnetwork.SecurityRuleProtocol(r.Protocol)),
		}
		p.SourceAddressPrefix, p.SourceAddressPrefixes = split(r.Sources)
		p.SourcePortRange, p.SourcePortRanges = split(r.SourcePorts)
		p.DestinationAddressPrefix, p.DestinationAddressPrefixes = split(r.Destinations)
		p.DestinationPortRange, p.DestinationPortRanges = split(r.Ports)
		out = append(out, &armnetwork.SecurityRule{Name: ptr(r.Name), Properties: p})
	}
	return out
}

// putNetwork makes the network and its subnet in one call, so that there is never one without the other. Machines that
// have no public address get none by chance either.
func (w *work) putNetwork(ctx context.Context, s *NetworkSpec) (cloud.Object, error) {
	p, err := w.d.networks.BeginCreateOrUpdate(ctx, w.group, w.name, armnetwork.VirtualNetwork{
		Location: &w.res.Region, Tags: w.tags(nil),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: ptrs(s.AddressSpace)},
			Subnets: []*armnetwork.Subnet{{
				Name: ptr(subnetName), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: &s.Subnet, DefaultOutboundAccess: &s.DefaultOutbound},
			}},
		},
	}, nil)
	x, err := await(ctx, p, err)
	if err != nil {
		return cloud.Object{}, err
	}
	return networkObject(&x.VirtualNetwork), nil
}

func (w *work) putAddress(ctx context.Context, s *AddressSpec) (cloud.Object, error) {
	p, err := w.d.addresses.BeginCreateOrUpdate(ctx, w.group, w.name, armnetwork.PublicIPAddress{
		Location: &w.res.Region, Tags: w.tags(nil),
		SKU: &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUName(s.SKU)), Tier: ptr(armnetwork.PublicIPAddressSKUTierRegional)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{
			PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethod(s.Allocation)), PublicIPAddressVersion: ptr(armnetwork.IPVersionIPv4),
			DeleteOption: addressOption(s.DeleteWithMachine),
		},
	}, nil)
	x, err := await(ctx, p, err)
	if err != nil {
		return cloud.Object{}, err
	}
	return addressObject(&x.PublicIPAddress), nil
}

// addressOption says whether an address goes with the machine that has it.
func addressOption(along bool) *armnetwork.DeleteOptions {
	if along {
		return ptr(armnetwork.DeleteOptionsDelete)
	}
	return ptr(armnetwork.DeleteOptionsDetach)
}

// interfaceBody puts what is wanted into an interface, and leaves what else is there.
func (w *work) interfaceBody(body *armnetwork.Interface, s *InterfaceSpec) error {
	network, err := w.ref(s.Network)
	if err != nil {
		return err
	}
	security, err := w.ref(s.SecurityGroup)
	if err != nil {
		return err
	}
	if body.Properties == nil {
		body.Properties = &armnetwork.InterfacePropertiesFormat{}
	}
	if firstConfig(body) == nil {
		body.Properties.IPConfigurations = []*armnetwork.InterfaceIPConfiguration{{
			Name: ptr(configName), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{Primary: ptr(true), PrivateIPAddressVersion: ptr(armnetwork.IPVersionIPv4)},
		}}
	}
	c := firstConfig(body)
	c.PrivateIPAddress, c.PrivateIPAllocationMethod = &s.PrivateAddress, ptr(armnetwork.IPAllocationMethod(s.Allocation))
	c.Subnet, c.PublicIPAddress = &armnetwork.Subnet{ID: ptr(network + "/subnets/" + subnetName)}, nil
	if s.PublicAddress != "" {
		public, err := w.ref(s.PublicAddress)
		if err != nil {
			return err
		}
		c.PublicIPAddress = &armnetwork.PublicIPAddress{ID: &public}
	}
	body.Properties.EnableIPForwarding = &s.IPForwarding
	body.Properties.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: &security}
	return nil
}
