package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	sdkarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	labarm "github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	azureRegion       = "eastus"
	azureSubscription = "5a5a5a5a-0000-4000-8000-00000000aaaa"
	azureTenant       = "5a5a5a5a-0000-4000-8000-00000000bbbb"
	azureClient       = "5a5a5a5a-0000-4000-8000-00000000cccc"
	azureSecret       = "a-secret-of-the-lab"
)

var azureZones = []string{"eastus-1", "eastus-2", "eastus-3"}

// azureLab is the lab's Resource Manager behind TLS, with a driver's account for it.
type azureLab struct {
	*gate
	account cloud.Account
	service *labarm.Service
}

func newAzureLab(t *testing.T, profile world.Profile, change ...func(*labarm.Config)) *azureLab {
	t.Helper()
	l := &azureLab{gate: newGate()}
	cfg := labarm.Config{
		Physical: paper.New(), Dir: t.TempDir(), Subscription: azureSubscription, Tenant: azureTenant, ClientID: azureClient, ClientSecret: azureSecret,
		BaseURL: func() string { return l.server.URL }, Profile: profile, Pool: paper.Pools(),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if l.service, err = labarm.New(cfg); err != nil {
		t.Fatal(err)
	}
	l.dialect = l.service.Dialect()
	l.open(t, "Resource Manager", newAzureJudge(t).Handler(l.service), l.service.Close)
	l.account = cloud.Account{
		Name: "lab", Provider: cloud.Azure,
		Settings: map[string]string{
			azure.SettingSubscription: azureSubscription, azure.SettingTenant: azureTenant, azure.SettingClient: azureClient,
			azure.SettingEndpoint: l.server.URL, azure.SettingAuthority: l.server.URL, azure.SettingNoDiscovery: "true",
		},
		Secrets: map[string]cloud.Secret{azure.SecretClient: azureSecret},
		CA:      l.ca(),
	}
	return l
}

func (l *azureLab) driver(t *testing.T, secret cloud.Secret) cloud.Driver {
	t.Helper()
	account := l.account
	account.Secrets = map[string]cloud.Secret{azure.SecretClient: secret}
	d, err := azure.New(t.Context(), account, counting(t, cloud.Azure, azureNeeds, speaking(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wrapped is a driver whose calls go through a transport of the test's.
func (l *azureLab) wrapped(t *testing.T, wrap cloud.Transport) cloud.Driver {
	t.Helper()
	d, err := azure.New(t.Context(), l.account, counting(t, cloud.Azure, azureNeeds, speaking(t, wrap)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// azureHand are clients of the API that go behind the driver's back.
type azureHand struct {
	groups     *armresources.ResourceGroupsClient
	networks   *armnetwork.VirtualNetworksClient
	securities *armnetwork.SecurityGroupsClient
	rules      *armnetwork.SecurityRulesClient
	addresses  *armnetwork.PublicIPAddressesClient
	interfaces *armnetwork.InterfacesClient
	machines   *armcompute.VirtualMachinesClient
	disks      *armcompute.DisksClient
}

func (l *azureLab) hand(t *testing.T) azureHand {
	t.Helper()
	options := azcore.ClientOptions{
		Transport: l.server.Client(),
		Cloud: azcloud.Configuration{
			ActiveDirectoryAuthorityHost: l.server.URL,
			Services:                     map[azcloud.ServiceName]azcloud.ServiceConfiguration{azcloud.ResourceManager: {Endpoint: l.server.URL, Audience: l.server.URL}},
		},
	}
	login, err := azidentity.NewClientSecretCredential(azureTenant, azureClient, azureSecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := &sdkarm.ClientOptions{ClientOptions: options, DisableRPRegistration: true}
	network, err1 := armnetwork.NewClientFactory(azureSubscription, login, o)
	compute, err2 := armcompute.NewClientFactory(azureSubscription, login, o)
	resources, err3 := armresources.NewClientFactory(azureSubscription, login, o)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return azureHand{
		groups: resources.NewResourceGroupsClient(), networks: network.NewVirtualNetworksClient(), securities: network.NewSecurityGroupsClient(),
		rules: network.NewSecurityRulesClient(), addresses: network.NewPublicIPAddressesClient(), interfaces: network.NewInterfacesClient(),
		machines: compute.NewVirtualMachinesClient(), disks: compute.NewDisksClient(),
	}
}

// azureDone waits for an operation that a call behind the driver's back has begun.
func azureDone[T any](ctx context.Context, p *runtime.Poller[T], err error) error {
	if err == nil {
		_, err = p.PollUntilDone(ctx, nil)
	}
	return err
}

// azureName is the name in an object's id, with the resource group before it.
func azureName(o cloud.Object) (group, name string) {
	path, _, _ := strings.Cut(o.ID, "#")
	parts := strings.Split(path, "/")
	return parts[4], parts[len(parts)-1]
}

func TestAzureOnTheLab(t *testing.T) {
	t.Cleanup(func() { t.Logf("held against the SDK's models: %v\n%s", azureTally, azureTally.Detail()) })
	for _, profile := range []world.Profile{world.Instant, world.Quick} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			var lab *azureLab // of the test that runs
			cloudtest.Run(t, cloudtest.Harness{
				New: func(t *testing.T) cloud.Driver {
					lab = newAzureLab(t, profile)
					return lab.driver(t, azureSecret)
				},
				Region: azureRegion, Zones: azureZones, Change: azureChange, UnknownSize: "Standard_D3s_v5", TinySize: "Standard_B1s", TooMany: true,
				WrongCredentials: func(t *testing.T) cloud.Driver { return newAzureLab(t, profile).driver(t, "another-secret") },
				Terminate: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					group, name := azureName(m)
					p, err := lab.hand(t).machines.BeginDelete(t.Context(), group, name, nil)
					if err := azureDone(t.Context(), p, err); err != nil {
						t.Fatal(err)
					}
				},
				Stop: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					group, name := azureName(m)
					p, err := lab.hand(t).machines.BeginDeallocate(t.Context(), group, name, nil)
					if err := azureDone(t.Context(), p, err); err != nil {
						t.Fatal(err)
					}
				},
				Stall:   func(*testing.T, cloud.Driver) func() { return lab.stall() },
				Timeout: 90 * time.Second,
			})
		})
	}
}

// azureChange makes the changes that the suite can't make by itself.
func azureChange(r cloud.Resource, field string) any {
	if s, ok := r.Spec.(*azure.NetworkSpec); ok && field == "addressSpace" {
		c := *s
		c.AddressSpace = []string{s.AddressSpace[0], "172.20.0.0/16"}
		return &c
	}
	s, ok := r.Spec.(*azure.InterfaceSpec)
	if !ok {
		return nil
	}
	c := *s
	switch field {
	case "allocation":
		c.Allocation = "Dynamic"
	case "privateAddress":
		c.PrivateAddress = "10.64.0.222"
	case "publicAddress":
		c.PublicAddress = ""
	case "securityGroup":
		c.SecurityGroup = r.Site + "-nsg-node"
		if s.SecurityGroup == c.SecurityGroup {
			c.SecurityGroup = r.Site + "-nsg-control-plane"
		}
	default:
		return nil
	}
	return &c
}
