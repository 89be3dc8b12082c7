package azure

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
)

// permissions are all actions that the driver's calls need, with the kinds that can't be made without. A role has them one
// by one: docs/accounts/azure-role.json is held against this list by a test.
var permissions = map[string][]cloud.Kind{
	"Microsoft.Resources/subscriptions/read":                               nil,
	"Microsoft.Resources/subscriptions/locations/read":                     nil,
	"Microsoft.Resources/subscriptions/providers/read":                     nil,
	"Microsoft.Resources/subscriptions/resourceGroups/read":                {kindGroup},
	"Microsoft.Resources/subscriptions/resourceGroups/write":               {kindGroup},
	"Microsoft.Resources/subscriptions/resourceGroups/delete":              nil,
	"Microsoft.Resources/subscriptions/resourceGroups/resources/read":      nil,
	"Microsoft.Resources/subscriptions/operationresults/read":              nil,
	"Microsoft.Network/virtualNetworks/read":                               {kindNetwork},
	"Microsoft.Network/virtualNetworks/write":                              {kindNetwork},
	"Microsoft.Network/virtualNetworks/delete":                             nil,
	"Microsoft.Network/virtualNetworks/subnets/write":                      {kindNetwork},
	"Microsoft.Network/virtualNetworks/subnets/join/action":                {kindInterface},
	"Microsoft.Network/networkSecurityGroups/read":                         {kindSecurity},
	"Microsoft.Network/networkSecurityGroups/write":                        {kindSecurity},
	"Microsoft.Network/networkSecurityGroups/delete":                       nil,
	"Microsoft.Network/networkSecurityGroups/join/action":                  {kindInterface},
	"Microsoft.Network/publicIPAddresses/read":                             {kindAddress},
	"Microsoft.Network/publicIPAddresses/write":                            {kindAddress},
	"Microsoft.Network/publicIPAddresses/delete":                           nil,
	"Microsoft.Network/publicIPAddresses/join/action":                      {kindInterface},
	"Microsoft.Network/networkInterfaces/read":                             {kindInterface},
	"Microsoft.Network/networkInterfaces/write":                            {kindInterface},
	"Microsoft.Network/networkInterfaces/delete":                           nil,
	"Microsoft.Network/networkInterfaces/join/action":                      {kindMachine},
	"Microsoft.Network/networkWatchers/read":                               nil,
	"Microsoft.Network/networkWatchers/delete":                             nil,
	"Microsoft.Network/networkWatchers/flowLogs/read":                      nil,
	"Microsoft.Network/networkWatchers/connectionMonitors/read":            nil,
	"Microsoft.Network/networkWatchers/packetCaptures/read":                nil,
	"Microsoft.Network/locations/operations/read":                          {kindNetwork, kindSecurity, kindAddress, kindInterface},
	"Microsoft.Network/locations/operationResults/read":                    nil,
	"Microsoft.Network/locations/usages/read":                              nil,
	"Microsoft.Compute/virtualMachines/read":                               {kindMachine},
	"Microsoft.Compute/virtualMachines/write":                              {kindMachine},
	"Microsoft.Compute/virtualMachines/delete":                             nil,
	"Microsoft.Compute/virtualMachines/start/action":                       nil,
	"Microsoft.Compute/virtualMachines/instanceView/read":                  nil,
	"Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action": nil,
	"Microsoft.Compute/disks/read":                                         nil,
	"Microsoft.Compute/disks/write":                                        {kindMachine},
	"Microsoft.Compute/disks/delete":                                       nil,
	"Microsoft.Compute/locations/operations/read":                          {kindMachine},
	"Microsoft.Compute/locations/DiskOperations/read":                      nil,
	"Microsoft.Compute/locations/usages/read":                              nil,
	"Microsoft.Compute/skus/read":                                          nil,
}

// probe tries a permission by a call that changes nothing.
type probe struct {
	action string
	call   func() error
}

// probes are lists, which must work, and changes in a group that doesn't exist: Resource Manager checks the permission
// first, and any other answer proves nothing missing. To join things can't be tried without making them.
func (d *Driver) probes(ctx context.Context, region, absent string) []probe {
	out := append(d.listProbes(ctx, region, absent), d.writeProbes(ctx, region, absent)...)
	return append(out, d.deleteProbes(ctx, absent)...)
}

// nowhere is a location that Azure doesn't have: nothing can be made there.
const nowhere = "nowhere"

func (d *Driver) listProbes(ctx context.Context, region, absent string) []probe {
	return []probe{
		{"Microsoft.Resources/subscriptions/resourceGroups/read", func() error { _, err := d.groups.NewListPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Network/virtualNetworks/read", func() error { _, err := d.networks.NewListAllPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Network/networkSecurityGroups/read", func() error { _, err := d.securities.NewListAllPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Network/publicIPAddresses/read", func() error { _, err := d.addresses.NewListAllPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Network/networkInterfaces/read", func() error { _, err := d.interfaces.NewListAllPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Network/networkWatchers/read", func() error { _, err := d.watchers.NewListAllPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Network/locations/usages/read", func() error { _, err := d.netUsages.NewListPager(region, nil).NextPage(ctx); return err }},
		{"Microsoft.Compute/virtualMachines/read", func() error { _, err := d.machines.NewListAllPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Compute/virtualMachines/instanceView/read", func() error {
			_, err := d.machines.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: ptr("true")}).NextPage(ctx)
			return err
		}},
		{"Microsoft.Compute/disks/read", func() error { _, err := d.disks.NewListPager(nil).NextPage(ctx); return err }},
		{"Microsoft.Compute/skus/read", func() error { // the list of a place that doesn't exist is short
			_, err := d.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: ptr("location eq '" + nowhere + "'")}).NextPage(ctx)
			return err
		}},
		{"Microsoft.Resources/subscriptions/providers/read", func() error { _, err := d.providers.Get(ctx, namespaces[0], nil); return err }},
		{"Microsoft.Resources/subscriptions/resourceGroups/resources/read", func() error {
			_, err := d.resources.NewListByResourceGroupPager(absent, nil).NextPage(ctx)
			return err
		}},
		{"Microsoft.Network/networkWatchers/flowLogs/read", func() error { _, err := d.flowLogs.NewListPager(absent, absent, nil).NextPage(ctx); return err }},
		{"Microsoft.Network/networkWatchers/connectionMonitors/read", func() error { _, err := d.monitors.NewListPager(absent, absent, nil).NextPage(ctx); return err }},
		{"Microsoft.Network/networkWatchers/packetCaptures/read", func() error { _, err := d.captures.NewListPager(absent, absent, nil).NextPage(ctx); return err }},
		{"Microsoft.Compute/locations/usages/read", func() error { _, err := d.cpuUsages.NewListPager(region, nil).NextPage(ctx); return err }},
	}
}

func (d *Driver) writeProbes(ctx context.Context, region, absent string) []probe {
	return []probe{
		{"Microsoft.Resources/subscriptions/resourceGroups/write", func() error {
			_, err := d.groups.CreateOrUpdate(ctx, absent, armresources.ResourceGroup{Location: ptr(nowhere)}, nil)
			return err
		}},
		{"Microsoft.Network/networkSecurityGroups/write", func() error {
			_, err := d.securities.BeginCreateOrUpdate(ctx, absent, absent, armnetwork.SecurityGroup{Location: &region}, nil)
			return err
		}},
		{"Microsoft.Network/virtualNetworks/write", func() error {
			_, err := d.networks.BeginCreateOrUpdate(ctx, absent, absent, armnetwork.VirtualNetwork{Location: &region}, nil)
			return err
		}},
		{"Microsoft.Network/virtualNetworks/subnets/write", func() error {
			_, err := d.networks.BeginCreateOrUpdate(ctx, absent, absent, armnetwork.VirtualNetwork{
				Location: &region, Properties: &armnetwork.VirtualNetworkPropertiesFormat{Subnets: []*armnetwork.Subnet{{Name: ptr(subnetName)}}},
			}, nil)
			return err
		}},
		{"Microsoft.Network/publicIPAddresses/write", func() error {
			_, err := d.addresses.BeginCreateOrUpdate(ctx, absent, absent, armnetwork.PublicIPAddress{Location: &region}, nil)
			return err
		}},
		{"Microsoft.Network/networkInterfaces/write", func() error {
			_, err := d.interfaces.BeginCreateOrUpdate(ctx, absent, absent, armnetwork.Interface{Location: &region}, nil)
			return err
		}},
		{"Microsoft.Compute/virtualMachines/write", func() error {
			_, err := d.machines.BeginCreateOrUpdate(ctx, absent, absent, armcompute.VirtualMachine{Location: &region}, nil)
			return err
		}},
		{"Microsoft.Compute/disks/write", func() error {
			_, err := d.disks.BeginCreateOrUpdate(ctx, absent, absent, armcompute.Disk{Location: &region}, nil)
			return err
		}},
	}
}

func (d *Driver) deleteProbes(ctx context.Context, absent string) []probe {
	return []probe{
		{"Microsoft.Resources/subscriptions/resourceGroups/delete", func() error { _, err := d.groups.BeginDelete(ctx, absent, nil); return err }},
		{"Microsoft.Network/virtualNetworks/delete", func() error { _, err := d.networks.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Network/networkSecurityGroups/delete", func() error { _, err := d.securities.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Network/publicIPAddresses/delete", func() error { _, err := d.addresses.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Network/networkInterfaces/delete", func() error { _, err := d.interfaces.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Network/networkWatchers/delete", func() error { _, err := d.watchers.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Compute/virtualMachines/start/action", func() error { _, err := d.machines.BeginStart(ctx, absent, absent, nil); return err }},
		{"Microsoft.Compute/virtualMachines/delete", func() error { _, err := d.machines.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Compute/disks/delete", func() error { _, err := d.disks.BeginDelete(ctx, absent, absent, nil); return err }},
		{"Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action", func() error {
			_, err := d.machines.RetrieveBootDiagnosticsData(ctx, absent, absent, nil)
			return err
		}},
	}
}
