package arm_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/internal/armsdk"
	"github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	subscription = "11111111-2222-4333-8444-555555555555"
	tenant       = "aaaaaaaa-2222-4333-8444-555555555555"
	clientID     = "cccccccc-2222-4333-8444-555555555555"
	secret       = "lab~secret"
	location     = "eastus"
	publicKey    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKPHxkSQ0X3FqTAp6q9a1oZJ7xDkJm4nBq1b6Jm7nJvW test"
)

// lab is the lab's Azure behind TLS, with the official SDK's clients for it.
type lab struct {
	*arm.Service
	server     *httptest.Server
	dir        string
	credential azcore.TokenCredential
	config     arm.Config
	groups     *armresources.ResourceGroupsClient
	networks   *armnetwork.VirtualNetworksClient
	subnets    *armnetwork.SubnetsClient
	security   *armnetwork.SecurityGroupsClient
	rules      *armnetwork.SecurityRulesClient
	tables     *armnetwork.RouteTablesClient
	addresses  *armnetwork.PublicIPAddressesClient
	interfaces *armnetwork.InterfacesClient
	watchers   *armnetwork.WatchersClient
	machines   *armcompute.VirtualMachinesClient
	disks      *armcompute.DisksClient
	skus       *armcompute.ResourceSKUsClient
	usages     *armcompute.UsageClient
	providers  *armresources.ProvidersClient
	resources  *armresources.Client
}

// open starts a lab; change may set more of its configuration.
func open(t *testing.T, change func(*arm.Config)) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir()}
	l.server = httptest.NewTLSServer(newJudge(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.ServeHTTP(w, r) })))
	t.Cleanup(l.server.Close)
	l.config = arm.Config{
		Physical: paper.New(), Dir: l.dir, Subscription: subscription, Tenant: tenant, ClientID: clientID, ClientSecret: secret,
		BaseURL: func() string { return l.server.URL }, Profile: world.Instant, Pool: paper.Pools(),
	}
	if change != nil {
		change(&l.config)
	}
	l.restart(t)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	credential, err := azidentity.NewClientSecretCredential(tenant, clientID, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: l.options().ClientOptions, DisableInstanceDiscovery: true,
	})
	must(t, err)
	l.credential = credential
	l.connect(t, credential)
	return l
}

// newJudge returns a judge of what the lab answers to the SDK and to wrong requests, by the models of the SDK.
func newJudge(t *testing.T) *armsdk.Judge {
	t.Helper()
	doc, err := armsdk.Load()
	must(t, err)
	return armsdk.NewJudge(doc, false, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
}

// restart opens the service on the records of before.
func (l *lab) restart(t *testing.T) {
	t.Helper()
	if l.Service != nil {
		must(t, l.Close())
	}
	service, err := arm.New(l.config)
	must(t, err)
	must(t, service.Resume(t.Context()))
	l.Service = service
}

func (l *lab) options() *azarm.ClientOptions {
	o := &azarm.ClientOptions{}
	o.Transport = l.server.Client()
	o.Retry = policy.RetryOptions{MaxRetries: -1}
	o.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: l.server.URL, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Audience: l.server.URL, Endpoint: l.server.URL},
	}}
	return o
}

func (l *lab) connect(t *testing.T, credential azcore.TokenCredential) {
	t.Helper()
	o := l.options()
	net, err := armnetwork.NewClientFactory(subscription, credential, o)
	must(t, err)
	comp, err := armcompute.NewClientFactory(subscription, credential, o)
	must(t, err)
	res, err := armresources.NewClientFactory(subscription, credential, o)
	must(t, err)
	l.networks, l.subnets, l.security, l.rules = net.NewVirtualNetworksClient(), net.NewSubnetsClient(), net.NewSecurityGroupsClient(), net.NewSecurityRulesClient()
	l.tables, l.addresses, l.interfaces, l.watchers = net.NewRouteTablesClient(), net.NewPublicIPAddressesClient(), net.NewInterfacesClient(), net.NewWatchersClient()
	l.machines, l.disks, l.skus, l.usages = comp.NewVirtualMachinesClient(), comp.NewDisksClient(), comp.NewResourceSKUsClient(), comp.NewUsageClient()
	l.groups, l.providers, l.resources = res.NewResourceGroupsClient(), res.NewProvidersClient(), res.NewClient()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

// done waits for an operation as the SDK does.
func done[T any](t *testing.T) func(p *runtime.Poller[T], err error) T {
	return func(p *runtime.Poller[T], err error) T {
		t.Helper()
		out, err := finished(t.Context(), p, err)
		must(t, err)
		return out
	}
}

func finished[T any](ctx context.Context, p *runtime.Poller[T], err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return p.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: 10 * time.Millisecond})
}

// refused checks an error's status and code.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *azcore.ResponseError
	if !errors.As(err, &e) {
		t.Fatalf("error %v: want %d %s", err, status, code)
	}
	if e.StatusCode != status || e.ErrorCode != code {
		t.Fatalf("error %d %s: want %d %s\n%v", e.StatusCode, e.ErrorCode, status, code, err)
	}
}

const prefix = "/subscriptions/" + subscription + "/resourceGroups/site/providers/"

// site makes a group with a network, a security group, an address, an interface and a machine.
func (l *lab) site(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	_, err := l.groups.CreateOrUpdate(ctx, "site", armresources.ResourceGroup{Location: ptr(location), Tags: map[string]*string{"owner": ptr("us")}}, nil)
	must(t, err)
	done[armnetwork.SecurityGroupsClientCreateOrUpdateResponse](t)(l.security.BeginCreateOrUpdate(ctx, "site", "fw", armnetwork.SecurityGroup{
		Location: ptr(location),
		Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: []*armnetwork.SecurityRule{
			allow("ssh", 100, armnetwork.SecurityRuleProtocolTCP, "198.18.0.2/32", "22"), allow("tunnel", 110, armnetwork.SecurityRuleProtocolUDP, "*", "51820"),
		}},
	}, nil))
	done[armnetwork.VirtualNetworksClientCreateOrUpdateResponse](t)(l.networks.BeginCreateOrUpdate(ctx, "site", "net", armnetwork.VirtualNetwork{
		Location:   ptr(location),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.64.0.0/16")}}},
	}, nil))
	done[armnetwork.SubnetsClientCreateOrUpdateResponse](t)(l.subnets.BeginCreateOrUpdate(ctx, "site", "net", "nodes", armnetwork.Subnet{
		Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.64.0.0/20")},
	}, nil))
	l.machine(t, "one")
}

func allow(name string, priority int32, protocol armnetwork.SecurityRuleProtocol, from, port string) *armnetwork.SecurityRule {
	return &armnetwork.SecurityRule{Name: &name, Properties: &armnetwork.SecurityRulePropertiesFormat{
		Access: ptr(armnetwork.SecurityRuleAccessAllow), Direction: ptr(armnetwork.SecurityRuleDirectionInbound), Priority: &priority, Protocol: &protocol,
		SourceAddressPrefix: &from, SourcePortRange: ptr("*"), DestinationAddressPrefix: ptr("*"), DestinationPortRange: &port,
	}}
}

// machine makes a machine with an interface and a public address of its own.
func (l *lab) machine(t *testing.T, name string) {
	t.Helper()
	ctx := t.Context()
	done[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse](t)(l.addresses.BeginCreateOrUpdate(ctx, "site", name, address(), nil))
	done[armnetwork.InterfacesClientCreateOrUpdateResponse](t)(l.interfaces.BeginCreateOrUpdate(ctx, "site", name, armnetwork.Interface{
		Location: ptr(location),
		Properties: &armnetwork.InterfacePropertiesFormat{
			EnableIPForwarding: ptr(true), NetworkSecurityGroup: &armnetwork.SecurityGroup{ID: ptr(prefix + "Microsoft.Network/networkSecurityGroups/fw")},
			IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("primary"), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{
				Subnet:                    &armnetwork.Subnet{ID: ptr(prefix + "Microsoft.Network/virtualNetworks/net/subnets/nodes")},
				PublicIPAddress:           &armnetwork.PublicIPAddress{ID: ptr(prefix + "Microsoft.Network/publicIPAddresses/" + name)},
				PrivateIPAllocationMethod: ptr(armnetwork.IPAllocationMethodDynamic),
			}}},
		},
	}, nil))
	done[armcompute.VirtualMachinesClientCreateOrUpdateResponse](t)(l.machines.BeginCreateOrUpdate(ctx, "site", name, machine(name, "Standard_B2s"), nil))
}

func address() armnetwork.PublicIPAddress {
	return armnetwork.PublicIPAddress{
		Location: ptr(location), SKU: &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic), PublicIPAddressVersion: ptr(armnetwork.IPVersionIPv4)},
	}
}

func machine(name, size string) armcompute.VirtualMachine {
	return armcompute.VirtualMachine{
		Location: ptr(location), Zones: []*string{ptr("1")}, Tags: map[string]*string{"owner": ptr("us")},
		Properties: &armcompute.VirtualMachineProperties{
			HardwareProfile: &armcompute.HardwareProfile{VMSize: ptr(armcompute.VirtualMachineSizeTypes(size))},
			StorageProfile: &armcompute.StorageProfile{
				ImageReference: &armcompute.ImageReference{Publisher: ptr("Debian"), Offer: ptr("debian-12"), SKU: ptr("12-gen2"), Version: ptr("latest")},
				OSDisk: &armcompute.OSDisk{
					Name: ptr(name + "-os"), CreateOption: ptr(armcompute.DiskCreateOptionTypesFromImage), DeleteOption: ptr(armcompute.DiskDeleteOptionTypesDelete), DiskSizeGB: ptr(int32(64)),
					ManagedDisk: &armcompute.ManagedDiskParameters{StorageAccountType: ptr(armcompute.StorageAccountTypesPremiumLRS)},
				},
			},
			OSProfile: &armcompute.OSProfile{
				ComputerName: &name, AdminUsername: ptr("skyweld"), CustomData: ptr(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n"))),
				LinuxConfiguration: &armcompute.LinuxConfiguration{DisablePasswordAuthentication: ptr(true), SSH: &armcompute.SSHConfiguration{
					PublicKeys: []*armcompute.SSHPublicKey{{Path: ptr("/home/skyweld/.ssh/authorized_keys"), KeyData: ptr(publicKey)}},
				}},
			},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{ID: ptr(prefix + "Microsoft.Network/networkInterfaces/" + name)}}},
		},
	}
}
