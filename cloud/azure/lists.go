package azure

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"

	"github.com/skyweld/skyweld/cloud"
)

// all collects the pages of a list; part takes what is wanted out of one.
func all[P, T any](ctx context.Context, pager *runtime.Pager[P], part func(P) []*T) ([]*T, error) {
	var out []*T
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range part(page) {
			if x != nil {
				out = append(out, x)
			}
		}
	}
	return out, nil
}

// tagged is the filter for resource groups that carry a tag.
func tagged(name, value string) string {
	return fmt.Sprintf("tagName eq '%s' and tagValue eq '%s'", name, value)
}

// listGroups lists the subscription's resource groups that a filter finds; an empty filter finds all.
func (d *Driver) listGroups(ctx context.Context, filter string) ([]*armresources.ResourceGroup, error) {
	o := &armresources.ResourceGroupsClientListOptions{}
	if filter != "" {
		o.Filter = &filter
	}
	return all(ctx, d.groups.NewListPager(o), func(p armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup { return p.Value })
}

// listIn lists everything in one resource group, of whatever type.
func (d *Driver) listIn(ctx context.Context, group string) ([]*armresources.GenericResourceExpanded, error) {
	return all(ctx, d.resources.NewListByResourceGroupPager(group, nil),
		func(p armresources.ClientListByResourceGroupResponse) []*armresources.GenericResourceExpanded {
			return p.Value
		})
}

func (d *Driver) listSecurities(ctx context.Context) ([]*armnetwork.SecurityGroup, error) {
	return all(ctx, d.securities.NewListAllPager(nil), func(p armnetwork.SecurityGroupsClientListAllResponse) []*armnetwork.SecurityGroup { return p.Value })
}

func (d *Driver) listNetworks(ctx context.Context) ([]*armnetwork.VirtualNetwork, error) {
	return all(ctx, d.networks.NewListAllPager(nil), func(p armnetwork.VirtualNetworksClientListAllResponse) []*armnetwork.VirtualNetwork { return p.Value })
}

func (d *Driver) listAddresses(ctx context.Context) ([]*armnetwork.PublicIPAddress, error) {
	return all(ctx, d.addresses.NewListAllPager(nil), func(p armnetwork.PublicIPAddressesClientListAllResponse) []*armnetwork.PublicIPAddress {
		return p.Value
	})
}

func (d *Driver) listInterfaces(ctx context.Context) ([]*armnetwork.Interface, error) {
	return all(ctx, d.interfaces.NewListAllPager(nil), func(p armnetwork.InterfacesClientListAllResponse) []*armnetwork.Interface { return p.Value })
}

func (d *Driver) listMachines(ctx context.Context) ([]*armcompute.VirtualMachine, error) {
	return all(ctx, d.machines.NewListAllPager(nil), func(p armcompute.VirtualMachinesClientListAllResponse) []*armcompute.VirtualMachine { return p.Value })
}

// listStates lists the machines again, this time with whether they run: Azure gives that in a list of its own only.
func (d *Driver) listStates(ctx context.Context) ([]*armcompute.VirtualMachine, error) {
	o := &armcompute.VirtualMachinesClientListAllOptions{StatusOnly: ptr("true")}
	return all(ctx, d.machines.NewListAllPager(o), func(p armcompute.VirtualMachinesClientListAllResponse) []*armcompute.VirtualMachine { return p.Value })
}

func (d *Driver) listDisks(ctx context.Context) ([]*armcompute.Disk, error) {
	return all(ctx, d.disks.NewListPager(nil), func(p armcompute.DisksClientListResponse) []*armcompute.Disk { return p.Value })
}

func (d *Driver) listWatchers(ctx context.Context) ([]*armnetwork.Watcher, error) {
	return all(ctx, d.watchers.NewListAllPager(nil), func(p armnetwork.WatchersClientListAllResponse) []*armnetwork.Watcher { return p.Value })
}

// listLocations lists the regions that the subscription has.
func (d *Driver) listLocations(ctx context.Context) ([]*armsubscriptions.Location, error) {
	list, err := all(ctx, d.subscriptions.NewListLocationsPager(d.subscription, nil),
		func(p armsubscriptions.ClientListLocationsResponse) []*armsubscriptions.Location { return p.Value })
	if err == nil && len(list) == 0 {
		return nil, &cloud.Error{Class: cloud.Unavailable, Message: "the subscription has no location"}
	}
	return list, err
}
