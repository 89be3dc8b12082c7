package conformance_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	sdkarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"

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

var azureZones = []string{"1", "2", "3"}

// azureLab is the lab's Resource Manager behind TLS, with a driver's account for it.
type azureLab struct {
	account cloud.Account
	server  *httptest.Server
	mu      sync.Mutex
	stalled chan struct{} // not nil while requests wait
}

func newAzureLab(t *testing.T, profile world.Profile) *azureLab {
	t.Helper()
	l := &azureLab{}
	var service *labarm.Service
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.wait()
		service.ServeHTTP(w, r)
	}))
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that the tests break off
	l.server.StartTLS()
	service, err := labarm.New(labarm.Config{
		Physical: paper.New(), Dir: t.TempDir(), Subscription: azureSubscription, Tenant: azureTenant, ClientID: azureClient, ClientSecret: azureSecret,
		BaseURL: func() string { return l.server.URL }, Profile: profile, Pool: paper.Pools(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.server.Close()
		if err := service.Close(); err != nil {
			t.Errorf("close the lab's Resource Manager: %v", err)
		}
	})
	l.account = cloud.Account{
		Name: "lab", Provider: cloud.Azure,
		Settings: map[string]string{
			azure.SettingSubscription: azureSubscription, azure.SettingTenant: azureTenant, azure.SettingClient: azureClient,
			azure.SettingEndpoint: l.server.URL, azure.SettingAuthority: l.server.URL, azure.SettingNoDiscovery: "true",
		},
		Secrets: map[string]cloud.Secret{azure.SecretClient: azureSecret},
		CA:      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.server.Certificate().Raw})),
	}
	return l
}

// wait lets a request wait while the lab is stalled.
func (l *azureLab) wait() {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

func (l *azureLab) stall() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = make(chan struct{})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.stalled)
		l.stalled = nil
	}
}

func (l *azureLab) driver(t *testing.T, secret cloud.Secret) cloud.Driver {
	t.Helper()
	account := l.account
	account.Secrets = map[string]cloud.Secret{azure.SecretClient: secret}
	d, err := azure.New(t.Context(), account, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// machines is a client of the API that goes behind the driver's back.
func (l *azureLab) machines(t *testing.T) *armcompute.VirtualMachinesClient {
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
	c, err := armcompute.NewVirtualMachinesClient(azureSubscription, login, &sdkarm.ClientOptions{ClientOptions: options, DisableRPRegistration: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// azureName is the name in an object's id, with the resource group before it.
func azureName(o cloud.Object) (group, name string) {
	path, _, _ := strings.Cut(o.ID, "#")
	parts := strings.Split(path, "/")
	return parts[4], parts[len(parts)-1]
}

func TestAzureOnTheLab(t *testing.T) {
	for _, profile := range []world.Profile{world.Instant, world.Fast} {
		t.Run(string(profile), func(t *testing.T) {
			var lab *azureLab // of the test that runs
			skip := map[string]string{}
			if profile == world.Fast {
				skip["Mutable"] = "the run without delays has it; here it would take a minute of waiting"
			}
			cloudtest.Run(t, cloudtest.Harness{
				New: func(t *testing.T) cloud.Driver {
					lab = newAzureLab(t, profile)
					return lab.driver(t, azureSecret)
				},
				Region: azureRegion, Zones: azureZones, Change: azureChange, UnknownSize: "Standard_D3s_v5", TooMany: true,
				WrongCredentials: func(t *testing.T) cloud.Driver { return newAzureLab(t, profile).driver(t, "another-secret") },
				Terminate: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					group, name := azureName(m)
					p, err := lab.machines(t).BeginDelete(t.Context(), group, name, nil)
					if err == nil {
						_, err = p.PollUntilDone(t.Context(), nil)
					}
					if err != nil {
						t.Fatal(err)
					}
				},
				Stop: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					group, name := azureName(m)
					p, err := lab.machines(t).BeginDeallocate(t.Context(), group, name, nil)
					if err == nil {
						_, err = p.PollUntilDone(t.Context(), nil)
					}
					if err != nil {
						t.Fatal(err)
					}
				},
				Stall:   func(*testing.T, cloud.Driver) func() { return lab.stall() },
				Skip:    skip,
				Timeout: 90 * time.Second,
			})
		})
	}
}

// azureChange makes the changes that the suite can't make by itself.
func azureChange(r cloud.Resource, field string) any {
	s, ok := r.Spec.(*azure.InterfaceSpec)
	if !ok {
		return nil
	}
	c := *s
	switch field {
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
