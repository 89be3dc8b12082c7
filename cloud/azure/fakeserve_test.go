package azure

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	networkfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"
	subscriptionsfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/fake"

	"github.com/skyweld/skyweld/cloud"
)

type shelves struct {
	groups     shelf[armresources.ResourceGroup]
	strangers  map[string][]string // by group: paths of what is of no known type
	securities shelf[armnetwork.SecurityGroup]
	networks   shelf[armnetwork.VirtualNetwork]
	addresses  shelf[armnetwork.PublicIPAddress]
	interfaces shelf[armnetwork.Interface]
	watchers   shelf[armnetwork.Watcher]
	machines   shelf[armcompute.VirtualMachine]
	disks      shelf[armcompute.Disk]
	powers     map[string]string
}

func newShelves() shelves {
	return shelves{
		groups: shelf[armresources.ResourceGroup]{}, strangers: map[string][]string{}, securities: shelf[armnetwork.SecurityGroup]{},
		networks: shelf[armnetwork.VirtualNetwork]{}, addresses: shelf[armnetwork.PublicIPAddress]{}, interfaces: shelf[armnetwork.Interface]{},
		watchers: shelf[armnetwork.Watcher]{}, machines: shelf[armcompute.VirtualMachine]{}, disks: shelf[armcompute.Disk]{}, powers: map[string]string{},
	}
}

// armID is a resource's id, with the group's name as somebody wrote it.
func armID(kind cloud.Kind, group, name string) *string {
	return ptr((&Driver{subscription: fakeSubscription}).path(kind, group, name))
}

var succeeded = ptr(armnetwork.ProvisioningStateSucceeded)

func (a *fakeAzure) serveNetwork(f *networkfake.ServerFactory) {
	f.SecurityGroupsServer.BeginCreateOrUpdate = func(_ context.Context, g, n string, x armnetwork.SecurityGroup, _ *armnetwork.SecurityGroupsClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return put(a, "security", a.securities, g, n, x, func(x, old *armnetwork.SecurityGroup) *refuse {
			x.ID, x.Name = armID(kindSecurity, g, n), &n
			x.Properties = orNew(x.Properties)
			x.Properties.ProvisioningState, x.Properties.ResourceGUID = succeeded, a.number()
			if old != nil {
				x.Properties.ResourceGUID = old.Properties.ResourceGUID
			}
			return nil
		}, func(x armnetwork.SecurityGroup) armnetwork.SecurityGroupsClientCreateOrUpdateResponse {
			return armnetwork.SecurityGroupsClientCreateOrUpdateResponse{SecurityGroup: x}
		})
	}
	f.SecurityGroupsServer.Get = func(_ context.Context, g, n string, _ *armnetwork.SecurityGroupsClientGetOptions) (azfake.Responder[armnetwork.SecurityGroupsClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.securities, g, n, func(x armnetwork.SecurityGroup) armnetwork.SecurityGroupsClientGetResponse {
			return armnetwork.SecurityGroupsClientGetResponse{SecurityGroup: x}
		})
	}
	f.SecurityGroupsServer.BeginDelete = func(_ context.Context, g, n string, _ *armnetwork.SecurityGroupsClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.SecurityGroupsClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armnetwork.SecurityGroup, armnetwork.SecurityGroupsClientDeleteResponse](a, "security", a.securities, g, n, func(x *armnetwork.SecurityGroup) *refuse {
			for _, nic := range a.interfaces {
				if s := nic.Properties.NetworkSecurityGroup; s != nil && strings.EqualFold(val(s.ID), val(x.ID)) {
					return &refuse{http.StatusBadRequest, "InUseNetworkSecurityGroupCannotBeDeleted"}
				}
			}
			return nil
		})
	}
	f.SecurityGroupsServer.NewListAllPager = func(*armnetwork.SecurityGroupsClientListAllOptions) azfake.PagerResponder[armnetwork.SecurityGroupsClientListAllResponse] {
		return pages(a, a.securities.sorted(), func(l []*armnetwork.SecurityGroup) armnetwork.SecurityGroupsClientListAllResponse {
			return armnetwork.SecurityGroupsClientListAllResponse{SecurityGroupListResult: armnetwork.SecurityGroupListResult{Value: l}}
		})
	}
	f.VirtualNetworksServer.BeginCreateOrUpdate = func(_ context.Context, g, n string, x armnetwork.VirtualNetwork, _ *armnetwork.VirtualNetworksClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return put(a, "network", a.networks, g, n, x, func(x, old *armnetwork.VirtualNetwork) *refuse {
			x.ID, x.Name = armID(kindNetwork, g, n), &n
			x.Properties = orNew(x.Properties)
			x.Properties.ProvisioningState, x.Properties.ResourceGUID = succeeded, a.number()
			if old != nil {
				x.Properties.ResourceGUID = old.Properties.ResourceGUID
			}
			for _, s := range x.Properties.Subnets {
				s.ID = ptr(*x.ID + "/subnets/" + *s.Name)
			}
			a.bringWatcher(val(x.Location))
			return nil
		}, func(x armnetwork.VirtualNetwork) armnetwork.VirtualNetworksClientCreateOrUpdateResponse {
			return armnetwork.VirtualNetworksClientCreateOrUpdateResponse{VirtualNetwork: x}
		})
	}
	f.VirtualNetworksServer.Get = func(_ context.Context, g, n string, _ *armnetwork.VirtualNetworksClientGetOptions) (azfake.Responder[armnetwork.VirtualNetworksClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.networks, g, n, func(x armnetwork.VirtualNetwork) armnetwork.VirtualNetworksClientGetResponse {
			return armnetwork.VirtualNetworksClientGetResponse{VirtualNetwork: x}
		})
	}
	f.VirtualNetworksServer.BeginDelete = func(_ context.Context, g, n string, _ *armnetwork.VirtualNetworksClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.VirtualNetworksClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armnetwork.VirtualNetwork, armnetwork.VirtualNetworksClientDeleteResponse](a, "network", a.networks, g, n, func(x *armnetwork.VirtualNetwork) *refuse {
			for _, nic := range a.interfaces {
				if c := firstConfig(nic); c != nil && c.Subnet != nil && parent(val(c.Subnet.ID)) == pathOf(val(x.ID)) {
					return &refuse{http.StatusBadRequest, "InUseSubnetCannotBeDeleted"}
				}
			}
			return nil
		})
	}
	f.VirtualNetworksServer.NewListAllPager = func(*armnetwork.VirtualNetworksClientListAllOptions) azfake.PagerResponder[armnetwork.VirtualNetworksClientListAllResponse] {
		return pages(a, a.networks.sorted(), func(l []*armnetwork.VirtualNetwork) armnetwork.VirtualNetworksClientListAllResponse {
			return armnetwork.VirtualNetworksClientListAllResponse{VirtualNetworkListResult: armnetwork.VirtualNetworkListResult{Value: l}}
		})
	}
	a.serveAddresses(f)
	a.serveInterfaces(f)
	f.UsagesServer.NewListPager = func(string, *armnetwork.UsagesClientListOptions) azfake.PagerResponder[armnetwork.UsagesClientListResponse] {
		var l []*armnetwork.Usage
		for name, n := range map[string]int{quotaNetworks: len(a.networks), quotaSecurities: len(a.securities), quotaInterfaces: len(a.interfaces), quotaStandard: len(a.addresses)} {
			l = append(l, &armnetwork.Usage{Name: &armnetwork.UsageName{Value: ptr(name)}, Limit: ptr(int64(20)), CurrentValue: ptr(int64(n)), Unit: ptr(armnetwork.UsageUnitCount)})
		}
		return pages(a, l, func(l []*armnetwork.Usage) armnetwork.UsagesClientListResponse {
			return armnetwork.UsagesClientListResponse{UsagesListResult: armnetwork.UsagesListResult{Value: l}}
		})
	}
}

func orNew[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

func (a *fakeAzure) serveAddresses(f *networkfake.ServerFactory) {
	f.PublicIPAddressesServer.BeginCreateOrUpdate = func(_ context.Context, g, n string, x armnetwork.PublicIPAddress, _ *armnetwork.PublicIPAddressesClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return put(a, "address", a.addresses, g, n, x, func(x, old *armnetwork.PublicIPAddress) *refuse {
			x.ID, x.Name = armID(kindAddress, g, n), &n
			x.Properties = orNew(x.Properties)
			x.Properties.ProvisioningState, x.Properties.ResourceGUID = succeeded, a.number()
			x.Properties.IPAddress = ptr(fmt.Sprintf("198.51.100.%d", a.serial%250+1))
			if old != nil {
				x.Properties.ResourceGUID, x.Properties.IPAddress = old.Properties.ResourceGUID, old.Properties.IPAddress
			}
			return nil
		}, func(x armnetwork.PublicIPAddress) armnetwork.PublicIPAddressesClientCreateOrUpdateResponse {
			return armnetwork.PublicIPAddressesClientCreateOrUpdateResponse{PublicIPAddress: x}
		})
	}
	f.PublicIPAddressesServer.Get = func(_ context.Context, g, n string, _ *armnetwork.PublicIPAddressesClientGetOptions) (azfake.Responder[armnetwork.PublicIPAddressesClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.addresses, g, n, func(x armnetwork.PublicIPAddress) armnetwork.PublicIPAddressesClientGetResponse {
			return armnetwork.PublicIPAddressesClientGetResponse{PublicIPAddress: x}
		})
	}
	f.PublicIPAddressesServer.BeginDelete = func(_ context.Context, g, n string, _ *armnetwork.PublicIPAddressesClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.PublicIPAddressesClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armnetwork.PublicIPAddress, armnetwork.PublicIPAddressesClientDeleteResponse](a, "address", a.addresses, g, n, func(x *armnetwork.PublicIPAddress) *refuse {
			for _, nic := range a.interfaces {
				if c := firstConfig(nic); c != nil && c.PublicIPAddress != nil && strings.EqualFold(val(c.PublicIPAddress.ID), val(x.ID)) {
					return &refuse{http.StatusBadRequest, "PublicIPAddressCannotBeDeleted"}
				}
			}
			return nil
		})
	}
	f.PublicIPAddressesServer.NewListAllPager = func(*armnetwork.PublicIPAddressesClientListAllOptions) azfake.PagerResponder[armnetwork.PublicIPAddressesClientListAllResponse] {
		return pages(a, a.addresses.sorted(), func(l []*armnetwork.PublicIPAddress) armnetwork.PublicIPAddressesClientListAllResponse {
			return armnetwork.PublicIPAddressesClientListAllResponse{PublicIPAddressListResult: armnetwork.PublicIPAddressListResult{Value: l}}
		})
	}
}

func (a *fakeAzure) serveInterfaces(f *networkfake.ServerFactory) {
	f.InterfacesServer.BeginCreateOrUpdate = func(_ context.Context, g, n string, x armnetwork.Interface, _ *armnetwork.InterfacesClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armnetwork.InterfacesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return put(a, "interface", a.interfaces, g, n, x, func(x, old *armnetwork.Interface) *refuse {
			x.ID, x.Name = armID(kindInterface, g, n), &n
			x.Properties = orNew(x.Properties)
			x.Properties.ProvisioningState, x.Properties.ResourceGUID = succeeded, a.number()
			if old != nil {
				x.Properties.ResourceGUID, x.Properties.VirtualMachine = old.Properties.ResourceGUID, old.Properties.VirtualMachine
			}
			c := firstConfig(x)
			if p := parsePath(parent(val(c.Subnet.ID))); a.networks[at(p.group, p.name)] == nil {
				return &refuse{http.StatusBadRequest, "InvalidResourceReference"}
			}
			for k, other := range a.interfaces {
				if k != at(g, n) && val(firstConfig(other).PrivateIPAddress) == val(c.PrivateIPAddress) {
					return &refuse{http.StatusBadRequest, "PrivateIPAddressInUse"}
				}
			}
			return nil
		}, func(x armnetwork.Interface) armnetwork.InterfacesClientCreateOrUpdateResponse {
			return armnetwork.InterfacesClientCreateOrUpdateResponse{Interface: x}
		})
	}
	f.InterfacesServer.Get = func(_ context.Context, g, n string, _ *armnetwork.InterfacesClientGetOptions) (azfake.Responder[armnetwork.InterfacesClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.interfaces, g, n, func(x armnetwork.Interface) armnetwork.InterfacesClientGetResponse {
			return armnetwork.InterfacesClientGetResponse{Interface: x}
		})
	}
	f.InterfacesServer.BeginDelete = func(_ context.Context, g, n string, _ *armnetwork.InterfacesClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.InterfacesClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armnetwork.Interface, armnetwork.InterfacesClientDeleteResponse](a, "interface", a.interfaces, g, n, func(x *armnetwork.Interface) *refuse {
			if x.Properties.VirtualMachine != nil {
				return &refuse{http.StatusBadRequest, "NicInUse"}
			}
			return nil
		})
	}
	f.InterfacesServer.NewListAllPager = func(*armnetwork.InterfacesClientListAllOptions) azfake.PagerResponder[armnetwork.InterfacesClientListAllResponse] {
		return pages(a, a.interfaces.sorted(), func(l []*armnetwork.Interface) armnetwork.InterfacesClientListAllResponse {
			return armnetwork.InterfacesClientListAllResponse{InterfaceListResult: armnetwork.InterfaceListResult{Value: l}}
		})
	}
}

// bringWatcher does what Azure does with the first network of a region.
func (a *fakeAzure) bringWatcher(location string) {
	const group = "NetworkWatcherRG"
	name := "NetworkWatcher_" + location
	if a.groups[at(group, group)] == nil {
		a.groups[at(group, group)] = &armresources.ResourceGroup{ID: armID(kindGroup, group, ""), Name: ptr(group), Location: &location}
	}
	if a.watchers[at(group, name)] == nil {
		a.watchers[at(group, name)] = &armnetwork.Watcher{ID: armID(kindWatcher, group, name), Name: &name, Location: &location}
	}
}

func (a *fakeAzure) serveWatchers(f *networkfake.ServerFactory) {
	f.WatchersServer.NewListAllPager = func(*armnetwork.WatchersClientListAllOptions) azfake.PagerResponder[armnetwork.WatchersClientListAllResponse] {
		return pages(a, a.watchers.sorted(), func(l []*armnetwork.Watcher) armnetwork.WatchersClientListAllResponse {
			return armnetwork.WatchersClientListAllResponse{WatcherListResult: armnetwork.WatcherListResult{Value: l}}
		})
	}
	f.WatchersServer.Get = func(_ context.Context, g, n string, _ *armnetwork.WatchersClientGetOptions) (azfake.Responder[armnetwork.WatchersClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.watchers, g, n, func(x armnetwork.Watcher) armnetwork.WatchersClientGetResponse {
			return armnetwork.WatchersClientGetResponse{Watcher: x}
		})
	}
	f.WatchersServer.BeginDelete = func(_ context.Context, g, n string, _ *armnetwork.WatchersClientBeginDeleteOptions) (azfake.PollerResponder[armnetwork.WatchersClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armnetwork.Watcher, armnetwork.WatchersClientDeleteResponse](a, "watcher", a.watchers, g, n, func(*armnetwork.Watcher) *refuse { return nil })
	}
	f.FlowLogsServer.NewListPager = func(string, string, *armnetwork.FlowLogsClientListOptions) (resp azfake.PagerResponder[armnetwork.FlowLogsClientListResponse]) {
		resp.AddPage(http.StatusOK, armnetwork.FlowLogsClientListResponse{}, nil)
		return resp
	}
	f.ConnectionMonitorsServer.NewListPager = func(string, string, *armnetwork.ConnectionMonitorsClientListOptions) (resp azfake.PagerResponder[armnetwork.ConnectionMonitorsClientListResponse]) {
		resp.AddPage(http.StatusOK, armnetwork.ConnectionMonitorsClientListResponse{}, nil)
		return resp
	}
	f.PacketCapturesServer.NewListPager = func(string, string, *armnetwork.PacketCapturesClientListOptions) (resp azfake.PagerResponder[armnetwork.PacketCapturesClientListResponse]) {
		resp.AddPage(http.StatusOK, armnetwork.PacketCapturesClientListResponse{}, nil)
		return resp
	}
}

func (a *fakeAzure) serveSubscriptions(f *subscriptionsfake.ServerFactory) {
	f.Server.Get = func(_ context.Context, id string, _ *armsubscriptions.ClientGetOptions) (resp azfake.Responder[armsubscriptions.ClientGetResponse], e azfake.ErrorResponder) {
		resp.SetResponse(http.StatusOK, armsubscriptions.ClientGetResponse{Subscription: armsubscriptions.Subscription{
			SubscriptionID: &id, State: ptr(armsubscriptions.SubscriptionStateEnabled),
		}}, nil)
		return resp, e
	}
	f.Server.NewListLocationsPager = func(string, *armsubscriptions.ClientListLocationsOptions) (resp azfake.PagerResponder[armsubscriptions.ClientListLocationsResponse]) {
		resp.AddPage(http.StatusOK, armsubscriptions.ClientListLocationsResponse{LocationListResult: armsubscriptions.LocationListResult{Value: []*armsubscriptions.Location{
			{Name: ptr("westeurope")}, {Name: ptr(fakeRegion)},
			{Name: ptr("unitedstates"), Metadata: &armsubscriptions.LocationMetadata{RegionType: ptr(armsubscriptions.RegionTypeLogical)}},
		}}}, nil)
		return resp
	}
}

func (a *fakeAzure) serveResources(f *resourcesfake.ServerFactory) {
	f.ProvidersServer.Get = func(_ context.Context, n string, _ *armresources.ProvidersClientGetOptions) (resp azfake.Responder[armresources.ProvidersClientGetResponse], e azfake.ErrorResponder) {
		resp.SetResponse(http.StatusOK, armresources.ProvidersClientGetResponse{Provider: armresources.Provider{Namespace: &n, RegistrationState: ptr("Registered")}}, nil)
		return resp, e
	}
	f.ResourceGroupsServer.CreateOrUpdate = func(_ context.Context, n string, x armresources.ResourceGroup, _ *armresources.ResourceGroupsClientCreateOrUpdateOptions) (resp azfake.Responder[armresources.ResourceGroupsClientCreateOrUpdateResponse], e azfake.ErrorResponder) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !sameRegion(val(x.Location), fakeRegion) {
			e.SetResponseError(http.StatusBadRequest, "LocationNotAvailableForResourceGroup")
			return resp, e
		}
		x.ID, x.Name, x.Properties = armID(kindGroup, n, ""), &n, &armresources.ResourceGroupProperties{ProvisioningState: ptr(stateSucceeded)}
		a.groups[at(n, n)] = &x
		resp.SetResponse(http.StatusCreated, armresources.ResourceGroupsClientCreateOrUpdateResponse{ResourceGroup: x}, nil)
		return resp, e
	}
	f.ResourceGroupsServer.Get = func(_ context.Context, n string, _ *armresources.ResourceGroupsClientGetOptions) (azfake.Responder[armresources.ResourceGroupsClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.groups, n, n, func(x armresources.ResourceGroup) armresources.ResourceGroupsClientGetResponse {
			return armresources.ResourceGroupsClientGetResponse{ResourceGroup: x}
		})
	}
	f.ResourceGroupsServer.BeginDelete = func(_ context.Context, n string, _ *armresources.ResourceGroupsClientBeginDeleteOptions) (azfake.PollerResponder[armresources.ResourceGroupsClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armresources.ResourceGroup, armresources.ResourceGroupsClientDeleteResponse](a, "group", a.groups, n, n, func(*armresources.ResourceGroup) *refuse {
			a.sweep(n)
			return nil
		})
	}
	f.ResourceGroupsServer.NewListPager = func(o *armresources.ResourceGroupsClientListOptions) azfake.PagerResponder[armresources.ResourceGroupsClientListResponse] {
		list := a.groups.sorted()
		if o != nil && o.Filter != nil {
			list = slices.DeleteFunc(list, func(x *armresources.ResourceGroup) bool {
				return *o.Filter != tagged(cloud.TagCluster, tagOf(x.Tags, cloud.TagCluster))
			})
		}
		return pages(a, list, func(l []*armresources.ResourceGroup) armresources.ResourceGroupsClientListResponse {
			return armresources.ResourceGroupsClientListResponse{ResourceGroupListResult: armresources.ResourceGroupListResult{Value: l}}
		})
	}
	f.Server.NewListByResourceGroupPager = func(group string, _ *armresources.ClientListByResourceGroupOptions) azfake.PagerResponder[armresources.ClientListByResourceGroupResponse] {
		return pages(a, a.within(group), func(l []*armresources.GenericResourceExpanded) armresources.ClientListByResourceGroupResponse {
			return armresources.ClientListByResourceGroupResponse{ResourceListResult: armresources.ResourceListResult{Value: l}}
		})
	}
}

// sweep is what the deletion of a group does to all that is in it.
func (a *fakeAzure) sweep(group string) {
	in := strings.ToLower(group) + "/"
	drop(a.securities, in)
	drop(a.networks, in)
	drop(a.addresses, in)
	drop(a.interfaces, in)
	drop(a.machines, in)
	drop(a.disks, in)
	drop(a.watchers, in)
	delete(a.strangers, strings.ToLower(group))
}

func drop[T any](s shelf[T], in string) {
	maps.DeleteFunc(s, func(k string, _ *T) bool { return strings.HasPrefix(k, in) })
}

// within is Resource Manager's list of a group.
func (a *fakeAzure) within(group string) []*armresources.GenericResourceExpanded {
	var out []*armresources.GenericResourceExpanded
	add := func(id *string, tags map[string]*string) {
		p := parsePath(val(id))
		if strings.EqualFold(p.group, group) {
			parts := strings.Split(strings.Trim(*id, "/"), "/")
			out = append(out, &armresources.GenericResourceExpanded{ID: id, Name: &p.name, Type: ptr(parts[5] + "/" + parts[6]), Tags: tags})
		}
	}
	for _, x := range a.securities.sorted() {
		add(x.ID, x.Tags)
	}
	for _, x := range a.networks.sorted() {
		add(x.ID, x.Tags)
	}
	for _, x := range a.addresses.sorted() {
		add(x.ID, x.Tags)
	}
	for _, x := range a.interfaces.sorted() {
		add(x.ID, x.Tags)
	}
	for _, x := range a.machines.sorted() {
		add(x.ID, x.Tags)
	}
	for _, x := range a.disks.sorted() {
		add(x.ID, x.Tags)
	}
	for _, id := range a.strangers[strings.ToLower(group)] {
		add(&id, nil)
	}
	return out
}

func (a *fakeAzure) serveCompute(f *computefake.ServerFactory) {
	f.VirtualMachinesServer.BeginCreateOrUpdate = func(_ context.Context, g, n string, x armcompute.VirtualMachine, o *armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return put(a, "machine", a.machines, g, n, x, func(x, old *armcompute.VirtualMachine) *refuse {
			if old != nil && o != nil && val(o.IfNoneMatch) == "*" {
				return &refuse{http.StatusPreconditionFailed, "PreconditionFailed"}
			}
			return a.makeMachine(x, g, n)
		}, func(x armcompute.VirtualMachine) armcompute.VirtualMachinesClientCreateOrUpdateResponse {
			return armcompute.VirtualMachinesClientCreateOrUpdateResponse{VirtualMachine: x}
		})
	}
	f.VirtualMachinesServer.Get = func(_ context.Context, g, n string, _ *armcompute.VirtualMachinesClientGetOptions) (azfake.Responder[armcompute.VirtualMachinesClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.machines, g, n, func(x armcompute.VirtualMachine) armcompute.VirtualMachinesClientGetResponse {
			p := *x.Properties
			p.InstanceView = a.view(g, n)
			x.Properties = &p
			return armcompute.VirtualMachinesClientGetResponse{VirtualMachine: x}
		})
	}
	f.VirtualMachinesServer.BeginUpdate = func(_ context.Context, g, n string, u armcompute.VirtualMachineUpdate, _ *armcompute.VirtualMachinesClientBeginUpdateOptions) (resp azfake.PollerResponder[armcompute.VirtualMachinesClientUpdateResponse], e azfake.ErrorResponder) {
		a.mu.Lock()
		defer a.mu.Unlock()
		x := a.machines[at(g, n)]
		if s := u.Properties.StorageProfile; s != nil {
			x.Properties.StorageProfile.OSDisk.DeleteOption = s.OSDisk.DeleteOption
		}
		if s := u.Properties.DiagnosticsProfile; s != nil {
			x.Properties.DiagnosticsProfile = s
		}
		if s := u.Properties.NetworkProfile; s != nil {
			x.Properties.NetworkProfile = s
		}
		if s := u.Properties.OSProfile; s != nil {
			x.Properties.OSProfile.AllowExtensionOperations = s.AllowExtensionOperations
		}
		if u.Tags != nil {
			x.Tags = u.Tags
		}
		resp.SetTerminalResponse(http.StatusOK, armcompute.VirtualMachinesClientUpdateResponse{VirtualMachine: *x}, nil)
		return resp, e
	}
	f.VirtualMachinesServer.BeginStart = func(_ context.Context, g, n string, _ *armcompute.VirtualMachinesClientBeginStartOptions) (resp azfake.PollerResponder[armcompute.VirtualMachinesClientStartResponse], e azfake.ErrorResponder) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.machines[at(g, n)] == nil {
			e.SetResponseError(http.StatusNotFound, "ResourceGroupNotFound")
			return resp, e
		}
		a.powers[at(g, n)] = "running"
		resp.SetTerminalResponse(http.StatusOK, armcompute.VirtualMachinesClientStartResponse{}, nil)
		return resp, e
	}
	f.VirtualMachinesServer.BeginDelete = func(_ context.Context, g, n string, _ *armcompute.VirtualMachinesClientBeginDeleteOptions) (azfake.PollerResponder[armcompute.VirtualMachinesClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armcompute.VirtualMachine, armcompute.VirtualMachinesClientDeleteResponse](a, "machine", a.machines, g, n, func(x *armcompute.VirtualMachine) *refuse {
			a.unmakeMachine(x)
			return nil
		})
	}
	f.VirtualMachinesServer.NewListAllPager = func(o *armcompute.VirtualMachinesClientListAllOptions) (resp azfake.PagerResponder[armcompute.VirtualMachinesClientListAllResponse]) {
		resp.AddPage(http.StatusOK, armcompute.VirtualMachinesClientListAllResponse{
			VirtualMachineListResult: armcompute.VirtualMachineListResult{Value: a.listed(o != nil && val(o.StatusOnly) == "true")},
		}, nil)
		return resp
	}
	f.VirtualMachinesServer.RetrieveBootDiagnosticsData = func(_ context.Context, g, n string, _ *armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataOptions) (resp azfake.Responder[armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse], e azfake.ErrorResponder) {
		if a.machines[at(g, n)] == nil {
			e.SetResponseError(http.StatusNotFound, "ResourceGroupNotFound")
			return resp, e
		}
		resp.SetResponse(http.StatusOK, armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse{
			RetrieveBootDiagnosticsDataResult: armcompute.RetrieveBootDiagnosticsDataResult{SerialConsoleLogBlobURI: ptr("https://storage.example/log?sig=secret")},
		}, nil)
		return resp, e
	}
	a.serveDisks(f)
	a.serveSKUs(f)
}

// makeMachine does what Azure does with a new machine, its interface and its disk.
func (a *fakeAzure) makeMachine(x *armcompute.VirtualMachine, g, n string) *refuse {
	if x.Properties == nil {
		return &refuse{http.StatusBadRequest, "InvalidParameter"}
	}
	nic := parsePath(firstInterface(x))
	own := a.interfaces[at(nic.group, nic.name)]
	switch {
	case own == nil:
		return &refuse{http.StatusBadRequest, "InvalidResourceReference"}
	case own.Properties.VirtualMachine != nil && !strings.EqualFold(val(own.Properties.VirtualMachine.ID), *armID(kindMachine, g, n)):
		return &refuse{http.StatusConflict, "NicInUse"}
	}
	x.ID, x.Name = armID(kindMachine, g, n), &n
	own.Properties.VirtualMachine = &armnetwork.SubResource{ID: x.ID}
	p := x.Properties
	p.ProvisioningState, p.VMID = ptr(stateSucceeded), a.number()
	if a.failsNow {
		p.ProvisioningState = ptr(stateFailed)
	}
	disk := p.StorageProfile.OSDisk
	disk.ManagedDisk.ID = armID(kindDisk, strings.ToUpper(g), *disk.Name)
	p.OSProfile.CustomData = nil
	a.disks[at(g, *disk.Name)] = &armcompute.Disk{
		ID: disk.ManagedDisk.ID, Name: disk.Name, Location: x.Location, Zones: x.Zones, Tags: x.Tags, ManagedBy: x.ID,
		SKU:        &armcompute.DiskSKU{Name: ptr(armcompute.DiskStorageAccountTypes(*disk.ManagedDisk.StorageAccountType))},
		Properties: &armcompute.DiskProperties{DiskSizeGB: disk.DiskSizeGB, UniqueID: a.number(), ProvisioningState: ptr(stateSucceeded)},
	}
	a.powers[at(g, n)] = "running"
	return nil
}

func (a *fakeAzure) unmakeMachine(x *armcompute.VirtualMachine) {
	nic := parsePath(firstInterface(x))
	a.interfaces[at(nic.group, nic.name)].Properties.VirtualMachine = nil
	os := x.Properties.StorageProfile.OSDisk
	p := parsePath(val(os.ManagedDisk.ID))
	if val(os.DeleteOption) == armcompute.DiskDeleteOptionTypesDelete {
		delete(a.disks, at(p.group, p.name))
	} else if d := a.disks[at(p.group, p.name)]; d != nil {
		d.ManagedBy = nil
	}
}

func (a *fakeAzure) view(g, n string) *armcompute.VirtualMachineInstanceView {
	return &armcompute.VirtualMachineInstanceView{Statuses: []*armcompute.InstanceViewStatus{
		{Code: ptr("ProvisioningState/succeeded")}, {Code: ptr(powerPrefix + a.powers[at(g, n)])},
	}}
}

// listed is the list of machines, which Azure answers with groups' names in capitals; with states only, it says little more.
func (a *fakeAzure) listed(states bool) []*armcompute.VirtualMachine {
	var out []*armcompute.VirtualMachine
	for _, x := range a.machines.sorted() {
		p := parsePath(val(x.ID))
		c := armcompute.VirtualMachine{ID: armID(kindMachine, strings.ToUpper(p.group), p.name), Name: x.Name, Location: x.Location}
		if states {
			c.Properties = &armcompute.VirtualMachineProperties{InstanceView: a.view(p.group, p.name)}
		} else {
			c.Tags, c.Zones, c.Properties = x.Tags, x.Zones, x.Properties
		}
		out = append(out, &c)
	}
	return out
}

func (a *fakeAzure) serveDisks(f *computefake.ServerFactory) {
	f.DisksServer.BeginCreateOrUpdate = func(_ context.Context, g, n string, x armcompute.Disk, _ *armcompute.DisksClientBeginCreateOrUpdateOptions) (azfake.PollerResponder[armcompute.DisksClientCreateOrUpdateResponse], azfake.ErrorResponder) {
		return put(a, "disk", a.disks, g, n, x, func(x, _ *armcompute.Disk) *refuse {
			x.ID, x.Name = armID(kindDisk, g, n), &n
			return nil
		}, func(x armcompute.Disk) armcompute.DisksClientCreateOrUpdateResponse {
			return armcompute.DisksClientCreateOrUpdateResponse{Disk: x}
		})
	}
	f.DisksServer.Get = func(_ context.Context, g, n string, _ *armcompute.DisksClientGetOptions) (azfake.Responder[armcompute.DisksClientGetResponse], azfake.ErrorResponder) {
		return get(a, a.disks, g, n, func(x armcompute.Disk) armcompute.DisksClientGetResponse {
			return armcompute.DisksClientGetResponse{Disk: x}
		})
	}
	f.DisksServer.BeginDelete = func(_ context.Context, g, n string, _ *armcompute.DisksClientBeginDeleteOptions) (azfake.PollerResponder[armcompute.DisksClientDeleteResponse], azfake.ErrorResponder) {
		return remove[armcompute.Disk, armcompute.DisksClientDeleteResponse](a, "disk", a.disks, g, n, func(x *armcompute.Disk) *refuse {
			if x.ManagedBy != nil {
				return &refuse{http.StatusConflict, "OperationNotAllowed"}
			}
			return nil
		})
	}
	f.DisksServer.NewListPager = func(*armcompute.DisksClientListOptions) azfake.PagerResponder[armcompute.DisksClientListResponse] {
		return pages(a, a.disks.sorted(), func(l []*armcompute.Disk) armcompute.DisksClientListResponse {
			return armcompute.DisksClientListResponse{DiskList: armcompute.DiskList{Value: l}}
		})
	}
}

func (a *fakeAzure) serveSKUs(f *computefake.ServerFactory) {
	f.ResourceSKUsServer.NewListPager = func(*armcompute.ResourceSKUsClientListOptions) azfake.PagerResponder[armcompute.ResourceSKUsClientListResponse] {
		l := []*armcompute.ResourceSKU{
			sku("Standard_B2als_v2", "standardBasv2Family", "2", "1", "2", "3"), sku("Standard_D4as_v5", "standardDASv5Family", "4", "1", "2", "3"),
			sku("Standard_D8as_v5", "standardDASv5Family", "8", "1", "2", "3"), sku("Standard_D4ps_v5", "standardDPSv5Family", "4", "1", "2"),
			sku("Standard_D2s_v5", "standardDSv5Family", "2", "2"),
		}
		l[3].Capabilities = append(l[3].Capabilities, &armcompute.ResourceSKUCapabilities{Name: ptr("CpuArchitectureType"), Value: ptr("Arm64")})
		return pages(a, l, func(l []*armcompute.ResourceSKU) armcompute.ResourceSKUsClientListResponse {
			return armcompute.ResourceSKUsClientListResponse{ResourceSKUsResult: armcompute.ResourceSKUsResult{Value: l}}
		})
	}
	f.UsageServer.NewListPager = func(string, *armcompute.UsageClientListOptions) azfake.PagerResponder[armcompute.UsageClientListResponse] {
		var l []*armcompute.Usage
		for _, name := range []string{quotaCores, quotaMachines, "standardDASv5Family", "standardBasv2Family"} {
			l = append(l, &armcompute.Usage{Name: &armcompute.UsageName{Value: ptr(name)}, Limit: ptr(int64(20)), CurrentValue: ptr(int32(len(a.machines))), Unit: ptr("Count")})
		}
		return pages(a, l, func(l []*armcompute.Usage) armcompute.UsageClientListResponse {
			return armcompute.UsageClientListResponse{ListUsagesResult: armcompute.ListUsagesResult{Value: l}}
		})
	}
}

func sku(name, family, cpus string, zones ...string) *armcompute.ResourceSKU {
	return &armcompute.ResourceSKU{
		Name: &name, Family: &family, ResourceType: ptr("virtualMachines"), Locations: []*string{ptr(fakeRegion)},
		LocationInfo: []*armcompute.ResourceSKULocationInfo{{Location: ptr("EastUS"), Zones: ptrs(zones)}},
		Capabilities: []*armcompute.ResourceSKUCapabilities{{Name: ptr("vCPUs"), Value: &cpus}, {Name: ptr("HyperVGenerations"), Value: ptr("V1,V2")}},
	}
}
