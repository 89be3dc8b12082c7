package arm_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/google/go-cmp/cmp"
)

func TestSite(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	m, err := l.machines.Get(ctx, "SITE", "One", &armcompute.VirtualMachinesClientGetOptions{Expand: ptr(armcompute.InstanceViewTypesInstanceView)})
	must(t, err)
	var codes []string
	for _, s := range m.Properties.InstanceView.Statuses {
		codes = append(codes, *s.Code)
	}
	if diff := cmp.Diff([]string{"ProvisioningState/succeeded", "PowerState/running"}, codes); diff != "" {
		t.Error(diff)
	}
	if m.Properties.OSProfile.CustomData != nil {
		t.Error("custom data was read back")
	}
	n, err := l.interfaces.Get(ctx, "site", "one", nil)
	must(t, err)
	if n.Properties.VirtualMachine == nil || *n.Properties.IPConfigurations[0].Properties.PrivateIPAddress != "10.64.0.4" || len(*n.Properties.MacAddress) != 17 {
		t.Errorf("interface %+v", n.Properties)
	}
	d, err := l.disks.Get(ctx, "site", "one-os", nil)
	must(t, err)
	if *d.Properties.DiskState != armcompute.DiskStateAttached || *d.ManagedBy != *m.ID {
		t.Errorf("disk %+v", d.Disk)
	}
	g, err := l.security.Get(ctx, "site", "fw", nil)
	must(t, err)
	if len(g.Properties.DefaultSecurityRules) != 6 || len(g.Properties.SecurityRules) != 2 || len(g.Properties.NetworkInterfaces) != 1 {
		t.Errorf("security group %+v", g.Properties)
	}
	w, err := l.watchers.Get(ctx, "NetworkWatcherRG", "NetworkWatcher_eastus", nil)
	must(t, err)
	if *w.Location != location {
		t.Errorf("network watcher in %s", *w.Location)
	}
}

// TestTeardownOrder deletes in the wrong order, and then in the right one.
func TestTeardownOrder(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	_, err := l.networks.BeginDelete(ctx, "site", "net", nil)
	refused(t, err, 400, "InUseSubnetCannotBeDeleted")
	_, err = l.subnets.BeginDelete(ctx, "site", "net", "nodes", nil)
	refused(t, err, 400, "InUseSubnetCannotBeDeleted")
	_, err = l.security.BeginDelete(ctx, "site", "fw", nil)
	refused(t, err, 400, "InUseNetworkSecurityGroupCannotBeDeleted")
	_, err = l.addresses.BeginDelete(ctx, "site", "one", nil)
	refused(t, err, 400, "PublicIPAddressCannotBeDeleted")
	_, err = l.interfaces.BeginDelete(ctx, "site", "one", nil)
	refused(t, err, 400, "NicInUse")
	_, err = l.disks.BeginDelete(ctx, "site", "one-os", nil)
	refused(t, err, 409, "OperationNotAllowed")

	done[armcompute.VirtualMachinesClientDeleteResponse](t)(l.machines.BeginDelete(ctx, "site", "one", nil))
	_, err = l.disks.Get(ctx, "site", "one-os", nil)
	refused(t, err, 404, "ResourceNotFound")
	done[armnetwork.InterfacesClientDeleteResponse](t)(l.interfaces.BeginDelete(ctx, "site", "one", nil))
	done[armnetwork.PublicIPAddressesClientDeleteResponse](t)(l.addresses.BeginDelete(ctx, "site", "one", nil))
	done[armnetwork.SecurityGroupsClientDeleteResponse](t)(l.security.BeginDelete(ctx, "site", "fw", nil))
	done[armnetwork.SubnetsClientDeleteResponse](t)(l.subnets.BeginDelete(ctx, "site", "net", "nodes", nil))
	done[armnetwork.VirtualNetworksClientDeleteResponse](t)(l.networks.BeginDelete(ctx, "site", "net", nil))
	// What is gone already is no error.
	done[armnetwork.VirtualNetworksClientDeleteResponse](t)(l.networks.BeginDelete(ctx, "site", "net", nil))
	done[armresources.ResourceGroupsClientDeleteResponse](t)(l.groups.BeginDelete(ctx, "site", nil))
	_, err = l.groups.Get(ctx, "site", nil)
	refused(t, err, 404, "ResourceGroupNotFound")
}

// TestCascade deletes a group with all that is in it, but nothing that another group's resources use.
func TestCascade(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	_, err := l.groups.CreateOrUpdate(ctx, "other", armresources.ResourceGroup{Location: ptr("westus2")}, nil)
	must(t, err)
	done[armnetwork.InterfacesClientCreateOrUpdateResponse](t)(l.interfaces.BeginCreateOrUpdate(ctx, "other", "guest", armnetwork.Interface{
		Location: ptr(location),
		Properties: &armnetwork.InterfacePropertiesFormat{IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("a"), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{
			Subnet: &armnetwork.Subnet{ID: ptr(prefix + "Microsoft.Network/virtualNetworks/net/subnets/nodes")},
		}}}},
	}, nil))
	p, err := l.groups.BeginDelete(ctx, "site", nil)
	_, err = finished(ctx, p, err)
	refused(t, err, 409, "ResourceGroupDeletionBlocked")
	if !strings.Contains(err.Error(), "InUseSubnetCannotBeDeleted") {
		t.Errorf("the reason is missing: %v", err)
	}
	if _, err = l.networks.Get(ctx, "site", "net", nil); err != nil {
		t.Fatalf("the network in use is gone: %v", err)
	}
	done[armnetwork.InterfacesClientDeleteResponse](t)(l.interfaces.BeginDelete(ctx, "other", "guest", nil))
	done[armresources.ResourceGroupsClientDeleteResponse](t)(l.groups.BeginDelete(ctx, "site", nil))
	_, err = l.networks.Get(ctx, "site", "net", nil)
	refused(t, err, 404, "ResourceGroupNotFound")
}

func TestNotThere(t *testing.T) {
	l := open(t, nil)
	ctx := t.Context()
	_, err := l.networks.Get(ctx, "none", "net", nil)
	refused(t, err, http.StatusNotFound, "ResourceGroupNotFound")
	_, err = l.groups.CreateOrUpdate(ctx, "site", armresources.ResourceGroup{Location: ptr("atlantis")}, nil)
	refused(t, err, http.StatusBadRequest, "LocationNotAvailableForResourceGroup")
	_, err = l.groups.CreateOrUpdate(ctx, "site", armresources.ResourceGroup{Location: ptr("East US")}, nil)
	must(t, err)
	_, err = l.networks.Get(ctx, "site", "net", nil)
	refused(t, err, http.StatusNotFound, "ResourceNotFound")
	_, err = l.subnets.BeginCreateOrUpdate(ctx, "site", "net", "a", armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.0.0.0/24")}}, nil)
	refused(t, err, http.StatusNotFound, "ParentResourceNotFound")
	_, err = l.interfaces.BeginCreateOrUpdate(ctx, "site", "a", armnetwork.Interface{Location: ptr(location), Properties: &armnetwork.InterfacePropertiesFormat{
		IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("a"), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{Subnet: &armnetwork.Subnet{ID: ptr(prefix + "Microsoft.Network/virtualNetworks/net/subnets/nodes")}}}},
	}}, nil)
	refused(t, err, http.StatusBadRequest, "InvalidResourceReference")
	_, err = l.machines.BeginDeallocate(ctx, "site", "a", nil)
	refused(t, err, http.StatusNotFound, "ResourceNotFound")
}
