package arm_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// stand is a lab on which scenes are set. What they make is in the group "site".
type stand struct {
	*lab
	t *testing.T
}

// TestTeardown sets a scene for each row about Azure and tries the call.
func TestTeardown(t *testing.T) {
	teardown.Each(t, teardown.Of(teardown.Rows(t), teardown.Azure), scenes(), func(t *testing.T, row teardown.Row, set func(*stand) teardown.Scene) {
		t.Parallel()
		set(&stand{open(t, nil), t}).Play(t, row, codeOf)
	})
}

// operationError is the error of an operation that was accepted.
type operationError struct{ error }

func (e operationError) Unwrap() error { return e.error }

// codeOf is an error's code as the page writes it. What a single resource's operation says of its failure comes with status
// 200, which is the status of the question.
func codeOf(err error) string {
	e, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return ""
	}
	code := e.ErrorCode
	if e.StatusCode >= 400 {
		code = strconv.Itoa(e.StatusCode) + " " + code
	}
	if _, ok := errors.AsType[operationError](err); ok {
		code = "operation: " + code
	}
	return code
}

// ended waits for the end of an operation, if the call was accepted.
func ended[T any](ctx context.Context) func(*runtime.Poller[T], error) error {
	return func(p *runtime.Poller[T], err error) error {
		if err != nil {
			return err
		}
		if _, err := finished(ctx, p, nil); err != nil {
			return operationError{err}
		}
		return nil
	}
}

func errorOf[T any](_ T, err error) error { return err }

// slowly has everything take its time from here on, so that something stays under way; the result has it end.
func (s *stand) slowly() (hurry func() error) {
	s.t.Helper()
	turn := func(p world.Profile) {
		s.config.Profile = p
		s.restart(s.t)
	}
	turn(world.RealTime)
	return func() error { turn(world.Instant); return nil }
}

// drop deletes something of a kind, by the table's names.
func (s *stand) drop(kind, name string) func() error {
	ctx := s.t.Context()
	return func() error {
		switch kind {
		case "resource-group":
			return ended[armresources.ResourceGroupsClientDeleteResponse](ctx)(s.groups.BeginDelete(ctx, name, nil))
		case "virtual-network":
			return ended[armnetwork.VirtualNetworksClientDeleteResponse](ctx)(s.networks.BeginDelete(ctx, "site", name, nil))
		case "subnet":
			return ended[armnetwork.SubnetsClientDeleteResponse](ctx)(s.subnets.BeginDelete(ctx, "site", "net", name, nil))
		case "network-security-group":
			return ended[armnetwork.SecurityGroupsClientDeleteResponse](ctx)(s.security.BeginDelete(ctx, "site", name, nil))
		case "public-ip-address":
			return ended[armnetwork.PublicIPAddressesClientDeleteResponse](ctx)(s.addresses.BeginDelete(ctx, "site", name, nil))
		case "network-interface":
			return ended[armnetwork.InterfacesClientDeleteResponse](ctx)(s.interfaces.BeginDelete(ctx, "site", name, nil))
		case "route-table":
			return ended[armnetwork.RouteTablesClientDeleteResponse](ctx)(s.tables.BeginDelete(ctx, "site", name, nil))
		case "virtual-machine":
			return ended[armcompute.VirtualMachinesClientDeleteResponse](ctx)(s.machines.BeginDelete(ctx, "site", name, nil))
		case "disk":
			return ended[armcompute.DisksClientDeleteResponse](ctx)(s.disks.BeginDelete(ctx, "site", name, nil))
		}
		return fmt.Errorf("nobody deletes a %s", kind)
	}
}

// there looks for something of a kind: its error says that it isn't there.
func (s *stand) there(kind, name string) func() error {
	ctx := s.t.Context()
	return func() error {
		switch kind {
		case "virtual-network":
			return errorOf(s.networks.Get(ctx, "site", name, nil))
		case "subnet":
			return errorOf(s.subnets.Get(ctx, "site", "net", name, nil))
		case "network-security-group":
			return errorOf(s.security.Get(ctx, "site", name, nil))
		case "security-rule":
			return errorOf(s.rules.Get(ctx, "site", "fw", name, nil))
		case "public-ip-address":
			return errorOf(s.addresses.Get(ctx, "site", name, nil))
		case "network-interface":
			return errorOf(s.interfaces.Get(ctx, "site", name, nil))
		case "network-watcher":
			return errorOf(s.watchers.Get(ctx, "NetworkWatcherRG", name, nil))
		case "virtual-machine":
			return errorOf(s.machines.Get(ctx, "site", name, nil))
		case "disk":
			return errorOf(s.disks.Get(ctx, "site", name, nil))
		}
		return fmt.Errorf("nobody looks for a %s", kind)
	}
}

// do wants calls to succeed, one after the other.
func (s *stand) do(calls ...func() error) {
	s.t.Helper()
	must(s.t, inTurn(calls...)())
}

func inTurn(calls ...func() error) func() error {
	return func() error {
		for _, c := range calls {
			if err := c(); err != nil {
				return err
			}
		}
		return nil
	}
}

// What scenes are made of. All of it is in the location of the group.

func (s *stand) group(name string) func() error {
	return func() error {
		return errorOf(s.groups.CreateOrUpdate(s.t.Context(), name, armresources.ResourceGroup{Location: ptr(location)}, nil))
	}
}

func (s *stand) network(name string) func() error {
	ctx := s.t.Context()
	return func() error {
		return ended[armnetwork.VirtualNetworksClientCreateOrUpdateResponse](ctx)(s.networks.BeginCreateOrUpdate(ctx, "site", name, armnetwork.VirtualNetwork{
			Location:   ptr(location),
			Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.64.0.0/16")}}},
		}, nil))
	}
}

func (s *stand) subnet(name, prefix string, change ...func(*armnetwork.SubnetPropertiesFormat)) func() error {
	ctx := s.t.Context()
	return func() error {
		p := &armnetwork.SubnetPropertiesFormat{AddressPrefix: &prefix}
		for _, c := range change {
			c(p)
		}
		return ended[armnetwork.SubnetsClientCreateOrUpdateResponse](ctx)(s.subnets.BeginCreateOrUpdate(ctx, "site", "net", name, armnetwork.Subnet{Properties: p}, nil))
	}
}

func (s *stand) securityGroup(name string) func() error {
	ctx := s.t.Context()
	return func() error {
		return ended[armnetwork.SecurityGroupsClientCreateOrUpdateResponse](ctx)(s.security.BeginCreateOrUpdate(ctx, "site", name, armnetwork.SecurityGroup{Location: ptr(location)}, nil))
	}
}

func (s *stand) address(name string) func() error {
	ctx := s.t.Context()
	return func() error {
		return ended[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse](ctx)(s.addresses.BeginCreateOrUpdate(ctx, "site", name, address(), nil))
	}
}

// nic makes an interface in the subnet "nodes", of the group given.
func (s *stand) nic(group, name string, change ...func(*armnetwork.InterfacePropertiesFormat, *armnetwork.InterfaceIPConfigurationPropertiesFormat)) func() error {
	ctx := s.t.Context()
	return func() error {
		ip := &armnetwork.InterfaceIPConfigurationPropertiesFormat{Subnet: &armnetwork.Subnet{ID: ptr(prefix + "Microsoft.Network/virtualNetworks/net/subnets/nodes")}}
		p := &armnetwork.InterfacePropertiesFormat{IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("primary"), Properties: ip}}}
		for _, c := range change {
			c(p, ip)
		}
		return ended[armnetwork.InterfacesClientCreateOrUpdateResponse](ctx)(s.interfaces.BeginCreateOrUpdate(ctx, group, name, armnetwork.Interface{
			Location: ptr(location), Properties: p,
		}, nil))
	}
}

// guarded puts an interface under a security group, addressed gives it a public address and at a private one.
func guarded(by string) func(*armnetwork.InterfacePropertiesFormat, *armnetwork.InterfaceIPConfigurationPropertiesFormat) {
	return func(p *armnetwork.InterfacePropertiesFormat, _ *armnetwork.InterfaceIPConfigurationPropertiesFormat) {
		p.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: ptr(prefix + "Microsoft.Network/networkSecurityGroups/" + by)}
	}
}

func addressed(by string) func(*armnetwork.InterfacePropertiesFormat, *armnetwork.InterfaceIPConfigurationPropertiesFormat) {
	return func(_ *armnetwork.InterfacePropertiesFormat, ip *armnetwork.InterfaceIPConfigurationPropertiesFormat) {
		ip.PublicIPAddress = &armnetwork.PublicIPAddress{ID: ptr(prefix + "Microsoft.Network/publicIPAddresses/" + by)}
	}
}

func at(private string) func(*armnetwork.InterfacePropertiesFormat, *armnetwork.InterfaceIPConfigurationPropertiesFormat) {
	return func(_ *armnetwork.InterfacePropertiesFormat, ip *armnetwork.InterfaceIPConfigurationPropertiesFormat) {
		ip.PrivateIPAddress, ip.PrivateIPAllocationMethod = &private, ptr(armnetwork.IPAllocationMethodStatic)
	}
}

// vm makes a machine on the interface of its name.
func (s *stand) vm(name string, change ...func(*armcompute.VirtualMachineProperties)) func() error {
	ctx := s.t.Context()
	return func() error {
		m := machine(name, "Standard_B2s")
		for _, c := range change {
			c(m.Properties)
		}
		return ended[armcompute.VirtualMachinesClientCreateOrUpdateResponse](ctx)(s.machines.BeginCreateOrUpdate(ctx, "site", name, m, nil))
	}
}

// nothing comes of the creation of a machine, as it is deleted while it is being made. From then on everything takes its
// time; the result has that end.
func (s *stand) nothing(name string) (hurry func() error) {
	s.t.Helper()
	ctx := s.t.Context()
	hurry = s.slowly()
	must(s.t, errorOf(s.machines.BeginCreateOrUpdate(ctx, "site", name, machine(name, "Standard_B2s"), nil)))
	must(s.t, errorOf(s.machines.BeginDelete(ctx, "site", name, nil)))
	must(s.t, hurry())
	return s.slowly()
}

func detached(p *armcompute.VirtualMachineProperties) {
	p.StorageProfile.OSDisk.DeleteOption = ptr(armcompute.DiskDeleteOptionTypesDetach)
}

// attach makes a disk "data" and gives it to the machine "one", as whose change a list of data disks is the whole.
func (s *stand) attach(option armcompute.DiskDeleteOptionTypes) {
	s.t.Helper()
	ctx := s.t.Context()
	done[armcompute.DisksClientCreateOrUpdateResponse](s.t)(s.disks.BeginCreateOrUpdate(ctx, "site", "data", armcompute.Disk{
		Location: ptr(location), Zones: []*string{ptr("1")},
		Properties: &armcompute.DiskProperties{CreationData: &armcompute.CreationData{CreateOption: ptr(armcompute.DiskCreateOptionEmpty)}, DiskSizeGB: ptr(int32(8))},
	}, nil))
	s.do(s.vm("one", func(p *armcompute.VirtualMachineProperties) {
		p.OSProfile = nil
		p.StorageProfile.DataDisks = []*armcompute.DataDisk{{
			Lun: ptr(int32(0)), CreateOption: ptr(armcompute.DiskCreateOptionTypesAttach), DeleteOption: &option,
			ManagedDisk: &armcompute.ManagedDiskParameters{ID: ptr(prefix + "Microsoft.Compute/disks/data")},
		}}
	}))
}

// detach takes all data disks from the machine "one".
func (s *stand) detach() error {
	return s.vm("one", func(p *armcompute.VirtualMachineProperties) {
		p.OSProfile = nil
		p.StorageProfile.DataDisks = []*armcompute.DataDisk{}
	})()
}
