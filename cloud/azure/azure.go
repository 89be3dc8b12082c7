// Package azure is the driver for Microsoft Azure: Azure Resource Manager by the official SDK. It holds what is Azure's own
// and nothing of the engine; what all clouds share is in package cloud.
package azure

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"

	"github.com/skyweld/skyweld/cloud"
)

// The names in Account.Settings.
const (
	// SettingSubscription is the id of the subscription in which everything is made. It is needed.
	SettingSubscription = "subscription"
	// SettingTenant is the id or a domain of the directory that the client belongs to.
	SettingTenant = "tenant"
	// SettingClient is the client id of the application, or of a user-assigned managed identity.
	SettingClient = "client"
	// SettingLogin says how to log in: LoginSecret (the default), LoginCLI or LoginIdentity.
	SettingLogin = "login"
	// SettingAuthority is the URL of the login service. The default is the public cloud's, or that of the endpoint's cloud.
	SettingAuthority = "authority-host"
	// SettingEndpoint is the URL of Azure Resource Manager. The default is the public cloud's, or that of the authority's.
	SettingEndpoint = "endpoint"
	// SettingAudience is whom access tokens are for. The default is the known cloud's, else the endpoint.
	SettingAudience = "audience"
	// SettingNoDiscovery, when "true", has the login service not looked up at login.microsoft.com first. Clouds of one's
	// own need that.
	SettingNoDiscovery = "disable-instance-discovery"
	// SettingEgress holds the addresses the machines see the engine come from, separated by commas. The driver itself
	// doesn't use it.
	SettingEgress = "egress"
)

// SecretClient is the one name in Account.Secrets: the client's secret.
const SecretClient = "client-secret"

// The values of SettingLogin.
const (
	LoginSecret   = "secret"
	LoginCLI      = "cli"              // what 'az login' left on the engine's machine
	LoginIdentity = "managed-identity" // that of the Azure machine which the engine runs on
)

// responseHeaderTimeout is longer than Resource Manager takes to answer anything; what takes longer is an operation.
const responseHeaderTimeout = 90 * time.Second

// Driver is one subscription at Azure. It implements cloud.Driver and cloud.Consoler.
type Driver struct {
	subscription string
	login        *login
	http         *http.Client // for what isn't behind the API: boot logs in storage

	groups        *armresources.ResourceGroupsClient
	resources     *armresources.Client
	providers     *armresources.ProvidersClient
	subscriptions *armsubscriptions.Client
	networks      *armnetwork.VirtualNetworksClient
	securities    *armnetwork.SecurityGroupsClient
	addresses     *armnetwork.PublicIPAddressesClient
	interfaces    *armnetwork.InterfacesClient
	netUsages     *armnetwork.UsagesClient
	machines      *armcompute.VirtualMachinesClient
	disks         *armcompute.DisksClient
	skus          *armcompute.ResourceSKUsClient
	cpuUsages     *armcompute.UsageClient
	watchers      *armnetwork.WatchersClient
	flowLogs      *armnetwork.FlowLogsClient
	monitors      *armnetwork.ConnectionMonitorsClient
	captures      *armnetwork.PacketCapturesClient

	mu      sync.Mutex
	offered map[string]offer // by location
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Consoler = (*Driver)(nil)
)

// New returns the driver of an account; it makes no call. The transport, when not nil, wraps the one that all calls go
// through, those for access tokens too. Calls are tried once: retrying is the caller's business.
func New(_ context.Context, account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	d, err := open(account, wrap)
	if err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "open azure account " + account.Name, Err: err}
	}
	return d, nil
}

func open(account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	set := account.Settings
	if !idPattern.MatchString(set[SettingSubscription]) {
		return nil, fmt.Errorf("subscription %q: want a subscription's id in the setting %q", set[SettingSubscription], SettingSubscription)
	}
	config, err := configuration(set)
	if err != nil {
		return nil, err
	}
	transport, err := cloud.NewTransport(account, responseHeaderTimeout)
	if err != nil {
		return nil, err
	}
	base := wrap.Around(wire(transport))
	plain := &http.Client{Transport: base}
	l, err := newLogin(account, config, plain)
	if err != nil {
		return nil, err
	}
	d := &Driver{subscription: strings.ToLower(set[SettingSubscription]), login: l, http: plain, offered: map[string]offer{}}
	return d, d.clients(config, &http.Client{Transport: cloud.RepeatReads(base, busy)})
}

// clients makes the SDK's clients. The SDK neither tries again nor registers resource providers: the one is the engine's
// business, the other would change the account.
func (d *Driver) clients(config azcloud.Configuration, client policy.Transporter) error {
	return d.clientsOn(&arm.ClientOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud: config, Transport: client, Retry: policy.RetryOptions{MaxRetries: -1},
			Telemetry: policy.TelemetryOptions{ApplicationID: "skyweld"},
		},
		DisableRPRegistration: true,
	})
}

func (d *Driver) clientsOn(o *arm.ClientOptions) error {
	network, err := armnetwork.NewClientFactory(d.subscription, d.login, o)
	if err != nil {
		return fmt.Errorf("set up the SDK: %w", err)
	}
	compute, err := armcompute.NewClientFactory(d.subscription, d.login, o)
	if err != nil {
		return fmt.Errorf("set up the SDK: %w", err)
	}
	resources, err := armresources.NewClientFactory(d.subscription, d.login, o)
	if err != nil {
		return fmt.Errorf("set up the SDK: %w", err)
	}
	if d.subscriptions, err = armsubscriptions.NewClient(d.login, o); err != nil {
		return fmt.Errorf("set up the SDK: %w", err)
	}
	d.groups, d.resources, d.providers = resources.NewResourceGroupsClient(), resources.NewClient(), resources.NewProvidersClient()
	d.networks, d.securities, d.addresses = network.NewVirtualNetworksClient(), network.NewSecurityGroupsClient(), network.NewPublicIPAddressesClient()
	d.interfaces, d.netUsages, d.watchers = network.NewInterfacesClient(), network.NewUsagesClient(), network.NewWatchersClient()
	d.flowLogs, d.monitors, d.captures = network.NewFlowLogsClient(), network.NewConnectionMonitorsClient(), network.NewPacketCapturesClient()
	d.machines, d.disks = compute.NewVirtualMachinesClient(), compute.NewDisksClient()
	d.skus, d.cpuUsages = compute.NewResourceSKUsClient(), compute.NewUsageClient()
	return nil
}

// Provider returns cloud.Azure.
func (*Driver) Provider() cloud.Provider { return cloud.Azure }

// configuration finds the cloud: one of Microsoft's by its endpoint or its login service, or one of somebody's own.
func configuration(set map[string]string) (azcloud.Configuration, error) {
	authority, err := urlOf(SettingAuthority, set[SettingAuthority])
	if err != nil {
		return azcloud.Configuration{}, err
	}
	endpoint, err := urlOf(SettingEndpoint, set[SettingEndpoint])
	if err != nil {
		return azcloud.Configuration{}, err
	}
	found := azcloud.AzurePublic
	for _, known := range []azcloud.Configuration{azcloud.AzurePublic, azcloud.AzureChina, azcloud.AzureGovernment} {
		if sameHost(endpoint, known.Services[azcloud.ResourceManager].Endpoint) || endpoint == "" && sameHost(authority, known.ActiveDirectoryAuthorityHost) {
			found = known
		}
	}
	manager := found.Services[azcloud.ResourceManager]
	if endpoint != "" && !sameHost(endpoint, manager.Endpoint) {
		manager.Endpoint, manager.Audience = endpoint, endpoint
	}
	if set[SettingAudience] != "" {
		manager.Audience = set[SettingAudience]
	}
	if authority == "" {
		authority = found.ActiveDirectoryAuthorityHost
	}
	return azcloud.Configuration{
		ActiveDirectoryAuthorityHost: authority,
		Services:                     map[azcloud.ServiceName]azcloud.ServiceConfiguration{azcloud.ResourceManager: manager},
	}, nil
}

// urlOf checks a setting that is an HTTPS URL: tokens are sent to nothing else.
func urlOf(name, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if !strings.Contains(value, "://") {
		value = "https://" + value // AZURE_AUTHORITY_HOST may be a bare host
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("%s %q: want a URL like https://management.azure.com", name, value)
	}
	return strings.TrimSuffix(value, "/"), nil
}

func sameHost(a, b string) bool {
	ua, err := url.Parse(a)
	if err != nil || ua.Host == "" {
		return false
	}
	ub, err := url.Parse(b)
	return err == nil && strings.EqualFold(ua.Host, ub.Host)
}

// truth reads a setting that is yes or no.
func truth(name, value string) (bool, error) {
	if value == "" {
		return false, nil
	}
	yes, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s %q: want true or false", name, value)
	}
	return yes, nil
}

func invalid(format string, args ...any) error {
	return &cloud.Error{Class: cloud.Invalid, Message: fmt.Sprintf(format, args...)}
}
