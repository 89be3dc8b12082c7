package arm_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
)

// TestPolling follows operations that take their time, from a token of the SDK's too, as after a restart of the client.
func TestPolling(t *testing.T) {
	l := open(t, func(c *arm.Config) { c.Profile = world.Fast })
	ctx := t.Context()
	_, err := l.groups.CreateOrUpdate(ctx, "site", armresources.ResourceGroup{Location: ptr(location)}, nil)
	must(t, err)
	p, err := l.networks.BeginCreateOrUpdate(ctx, "site", "net", armnetwork.VirtualNetwork{
		Location:   ptr(location),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.64.0.0/16")}}},
	}, nil)
	must(t, err)
	if p.Done() {
		t.Error("the operation was done at once")
	}
	// While it goes on, nothing of the network can be written.
	_, err = l.subnets.BeginCreateOrUpdate(ctx, "site", "net", "a", armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.64.0.0/20")}}, nil)
	refused(t, err, http.StatusConflict, "AnotherOperationInProgress")
	token, err := p.ResumeToken()
	must(t, err)
	done[armnetwork.VirtualNetworksClientCreateOrUpdateResponse](t)(l.networks.BeginCreateOrUpdate(ctx, "", "", armnetwork.VirtualNetwork{}, &armnetwork.VirtualNetworksClientBeginCreateOrUpdateOptions{ResumeToken: token}))
	got, err := l.networks.Get(ctx, "site", "net", nil)
	must(t, err)
	if *got.Properties.ProvisioningState != armnetwork.ProvisioningStateSucceeded {
		t.Errorf("state %s", *got.Properties.ProvisioningState)
	}
	d, err := l.groups.BeginDelete(ctx, "site", nil)
	must(t, err)
	_, err = l.groups.CreateOrUpdate(ctx, "site", armresources.ResourceGroup{Location: ptr(location)}, nil)
	refused(t, err, http.StatusConflict, "ResourceGroupBeingDeleted")
	token, err = d.ResumeToken()
	must(t, err)
	done[armresources.ResourceGroupsClientDeleteResponse](t)(l.groups.BeginDelete(ctx, "site", &armresources.ResourceGroupsClientBeginDeleteOptions{ResumeToken: token}))
}

// TestRestart closes the lab in the middle of its work, and opens it on the same records.
func TestRestart(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	before, err := l.machines.Get(ctx, "site", "one", nil)
	must(t, err)
	address, err := l.addresses.Get(ctx, "site", "one", nil)
	must(t, err)
	l.restart(t)
	after, err := l.machines.Get(ctx, "site", "one", nil)
	must(t, err)
	if diff := cmp.Diff(before.VirtualMachine, after.VirtualMachine); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	// The address is still taken.
	l.machine(t, "two")
	second, err := l.addresses.Get(ctx, "site", "two", nil)
	must(t, err)
	if *second.Properties.IPAddress == *address.Properties.IPAddress {
		t.Errorf("two addresses are %s", *second.Properties.IPAddress)
	}
}

func TestPower(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	power := func() string {
		v, err := l.machines.InstanceView(ctx, "site", "one", nil)
		must(t, err)
		return *v.Statuses[len(v.Statuses)-1].Code
	}
	done[armcompute.VirtualMachinesClientPowerOffResponse](t)(l.machines.BeginPowerOff(ctx, "site", "one", nil))
	if p := power(); p != "PowerState/stopped" {
		t.Error(p)
	}
	done[armcompute.VirtualMachinesClientDeallocateResponse](t)(l.machines.BeginDeallocate(ctx, "site", "one", nil))
	if p := power(); p != "PowerState/deallocated" {
		t.Error(p)
	}
	done[armcompute.VirtualMachinesClientStartResponse](t)(l.machines.BeginStart(ctx, "site", "one", nil))
	done[armcompute.VirtualMachinesClientRestartResponse](t)(l.machines.BeginRestart(ctx, "site", "one", nil))
	if p := power(); p != "PowerState/running" {
		t.Error(p)
	}
	// One list shows all machines with their states.
	pager := l.machines.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: ptr("true")})
	page, err := pager.NextPage(ctx)
	must(t, err)
	if len(page.Value) != 1 || page.Value[0].Properties.InstanceView == nil {
		t.Errorf("list with states: %+v", page.Value)
	}
}

func TestMachineRefusals(t *testing.T) {
	l := open(t, func(c *arm.Config) { c.Quotas = map[string]int{"cores": 4} })
	l.site(t)
	ctx := t.Context()
	try := func(status int, code string, change func(*armcompute.VirtualMachine)) {
		t.Helper()
		m := machine("two", "Standard_B2s")
		change(&m)
		_, err := l.machines.BeginCreateOrUpdate(ctx, "site", "two", m, nil)
		refused(t, err, status, code)
	}
	try(404, "NotFound", func(*armcompute.VirtualMachine) {})
	try(400, "NicInUse", func(m *armcompute.VirtualMachine) {
		m.Properties.NetworkProfile.NetworkInterfaces[0].ID = ptr(prefix + "Microsoft.Network/networkInterfaces/one")
	})
	try(400, "InvalidParameter", func(m *armcompute.VirtualMachine) {
		m.Properties.HardwareProfile.VMSize = ptr(armcompute.VirtualMachineSizeTypes("Standard_Giant"))
	})
	try(409, "SkuNotAvailable", func(m *armcompute.VirtualMachine) {
		m.Location, m.Properties.HardwareProfile.VMSize = ptr("australiacentral"), ptr(armcompute.VirtualMachineSizeTypes("Standard_DC2ads_v5"))
		m.Zones = nil
	})
	try(400, "InvalidAvailabilityZone", func(m *armcompute.VirtualMachine) { m.Zones = []*string{ptr("7")} })
	try(400, "InvalidParameter", func(m *armcompute.VirtualMachine) { m.Properties.OSProfile.AdminUsername = ptr("root") })
	done[armnetwork.InterfacesClientCreateOrUpdateResponse](t)(l.interfaces.BeginCreateOrUpdate(ctx, "site", "two", armnetwork.Interface{
		Location: ptr(location),
		Properties: &armnetwork.InterfacePropertiesFormat{IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("a"), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{
			Subnet: &armnetwork.Subnet{ID: ptr(prefix + "Microsoft.Network/virtualNetworks/net/subnets/nodes")},
		}}}},
	}, nil))
	try(409, "OperationNotAllowed", func(m *armcompute.VirtualMachine) {
		m.Properties.HardwareProfile.VMSize = ptr(armcompute.VirtualMachineSizeTypes("Standard_D4s_v5"))
	})
	try(404, "PlatformImageNotFound", func(m *armcompute.VirtualMachine) { m.Properties.StorageProfile.ImageReference.SKU = ptr("3.11") })
	if _, err := l.disks.Get(ctx, "site", "two-os", nil); err == nil {
		t.Error("a refused machine left its disk")
	}
}

func TestETags(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	g, err := l.security.Get(ctx, "site", "fw", nil)
	must(t, err)
	stale := *g.Etag
	with := func(tag string) error {
		_, err := l.tables.BeginCreateOrUpdate(policy.WithHTTPHeader(ctx, http.Header{"If-Match": {tag}}), "site", "t", armnetwork.RouteTable{Location: ptr(location)}, nil)
		return err
	}
	refused(t, with("*"), 412, "PreconditionFailed")
	_, err = l.security.UpdateTags(ctx, "site", "fw", armnetwork.TagsObject{Tags: map[string]*string{"a": ptr("b")}}, nil)
	must(t, err)
	_, err = l.security.BeginDelete(policy.WithHTTPHeader(ctx, http.Header{"If-Match": {stale}}), "site", "fw", nil)
	refused(t, err, 412, "PreconditionFailed")
	_, err = l.machines.BeginCreateOrUpdate(ctx, "site", "one", machine("one", "Standard_B2s"), &armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions{IfMatch: ptr("invalid")})
	refused(t, err, 412, "PreconditionFailed")
	_, err = l.machines.BeginCreateOrUpdate(ctx, "site", "one", machine("one", "Standard_B2s"), &armcompute.VirtualMachinesClientBeginCreateOrUpdateOptions{IfNoneMatch: ptr("*")})
	refused(t, err, 412, "PreconditionFailed")
	done[armcompute.VirtualMachinesClientCreateOrUpdateResponse](t)(l.machines.BeginCreateOrUpdate(ctx, "site", "one", machine("one", "Standard_B2s"), nil))
}

// TestPages lists by pages, and counts that each page is one request.
func TestPages(t *testing.T) {
	l := open(t, func(c *arm.Config) { c.PageSize = 2 })
	l.site(t)
	ctx := t.Context()
	for _, name := range []string{"a", "b", "c", "d"} {
		done[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse](t)(l.addresses.BeginCreateOrUpdate(ctx, "site", name, address(), nil))
	}
	var names []string
	pages := 0
	for pager := l.addresses.NewListAllPager(nil); pager.More(); pages++ {
		page, err := pager.NextPage(ctx)
		must(t, err)
		for _, a := range page.Value {
			names = append(names, *a.Name)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "one"}, names); diff != "" || pages != 3 {
		t.Errorf("%d pages\n%s", pages, diff)
	}
	var types []string
	for pager := l.resources.NewListByResourceGroupPager("site", nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		for _, r := range page.Value {
			if !slices.Contains(types, *r.Type) {
				types = append(types, *r.Type)
			}
		}
	}
	if len(types) != 6 {
		t.Errorf("resources of types %v", types)
	}
}

func TestFacts(t *testing.T) {
	l := open(t, func(c *arm.Config) { c.Quotas = map[string]int{"eastus/cores": 7} })
	ctx := t.Context()
	found := map[string][]string{}
	for pager := l.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: ptr("location eq 'eastus'")}); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		for _, s := range page.Value {
			for _, z := range s.LocationInfo[0].Zones {
				found[*s.Name] = append(found[*s.Name], *z)
			}
		}
	}
	for _, size := range []string{"Standard_B2s", "Standard_D4s_v5", "Standard_D8s_v5"} {
		if len(found[size]) != 3 {
			t.Errorf("%s is in the zones %v", size, found[size])
		}
	}
	for pager := l.usages.NewListPager(location, nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		must(t, err)
		for _, u := range page.Value {
			if *u.Name.Value == "cores" && *u.Limit != 7 {
				t.Errorf("cores: limit %d", *u.Limit)
			}
		}
	}
	p, err := l.providers.Get(ctx, "microsoft.network", nil)
	must(t, err)
	if *p.RegistrationState != "Registered" {
		t.Errorf("registration %s", *p.RegistrationState)
	}
	_, err = l.providers.Unregister(ctx, "Microsoft.Network", nil)
	must(t, err)
	_, err = l.groups.CreateOrUpdate(ctx, "site", armresources.ResourceGroup{Location: ptr(location)}, nil)
	must(t, err)
	quiet := l.options()
	quiet.DisableRPRegistration = true
	strict(t, l, quiet)
	_, err = l.addresses.BeginCreateOrUpdate(ctx, "site", "a", address(), nil)
	refused(t, err, http.StatusConflict, "MissingSubscriptionRegistration")
}

// strict gives the lab's client of addresses other options.
func strict(t *testing.T, l *lab, o *azarm.ClientOptions) {
	t.Helper()
	f, err := armnetwork.NewClientFactory(subscription, l.credential, o)
	must(t, err)
	l.addresses = f.NewPublicIPAddressesClient()
}

func TestNetworkRefusals(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	subnet := func(name, prefix, code string) {
		t.Helper()
		_, err := l.subnets.BeginCreateOrUpdate(ctx, "site", "net", name, armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: &prefix}}, nil)
		refused(t, err, http.StatusBadRequest, code)
	}
	subnet("b", "10.64.8.0/24", "NetcfgSubnetRangesOverlap")
	subnet("b", "10.65.0.0/24", "NetcfgSubnetRangeOutsideVnet")
	subnet("b", "10.64.16.1/24", "InvalidCIDRNotation")
	subnet("nodes", "10.64.32.0/20", "InUsePrefixCannotBeDeleted")
	rule := func(code string, change func(*armnetwork.SecurityRulePropertiesFormat)) {
		t.Helper()
		r := allow("x", 200, armnetwork.SecurityRuleProtocolTCP, "*", "80")
		change(r.Properties)
		_, err := l.rules.BeginCreateOrUpdate(ctx, "site", "fw", "x", *r, nil)
		refused(t, err, http.StatusBadRequest, code)
	}
	rule("SecurityRuleConflict", func(p *armnetwork.SecurityRulePropertiesFormat) { p.Priority = ptr(int32(100)) })
	rule("SecurityRuleInvalidPriority", func(p *armnetwork.SecurityRulePropertiesFormat) { p.Priority = ptr(int32(99)) })
	rule("SecurityRuleInvalidPortRange", func(p *armnetwork.SecurityRulePropertiesFormat) { p.DestinationPortRange = ptr("9-2") })
	rule("SecurityRuleInvalidAddressPrefix", func(p *armnetwork.SecurityRulePropertiesFormat) { p.SourceAddressPrefix = ptr("Mars") })
	a := address()
	a.SKU.Name = ptr(armnetwork.PublicIPAddressSKUNameBasic)
	_, err := l.addresses.BeginCreateOrUpdate(ctx, "site", "x", a, nil)
	refused(t, err, http.StatusBadRequest, "IPv4BasicSkuPublicIpCountLimitReached")
	done[armnetwork.SecurityRulesClientCreateOrUpdateResponse](t)(l.rules.BeginCreateOrUpdate(ctx, "site", "fw", "web", *allow("web", 300, armnetwork.SecurityRuleProtocolTCP, "Internet", "80"), nil))
	done[armnetwork.SecurityRulesClientDeleteResponse](t)(l.rules.BeginDelete(ctx, "site", "fw", "web", nil))
}

func TestUnsupported(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	_, err := l.machines.BeginRedeploy(t.Context(), "site", "one", nil)
	refused(t, err, http.StatusBadRequest, "OperationNotSupported")
	_, err = l.networks.BeginCreateOrUpdate(t.Context(), "site", "two", armnetwork.VirtualNetwork{Location: ptr(location), Properties: &armnetwork.VirtualNetworkPropertiesFormat{
		AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.70.0.0/16")}}, FlowTimeoutInMinutes: ptr(int32(5)),
	}}, nil)
	refused(t, err, http.StatusBadRequest, "InvalidRequestFormat")
	if !strings.Contains(err.Error(), "flowTimeoutInMinutes") {
		t.Errorf("the member isn't named: %v", err)
	}
}
