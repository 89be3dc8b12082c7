package fleet_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	labarm "github.com/skyweld/skyweld/lab/arm"
	labdo "github.com/skyweld/skyweld/lab/digitalocean"
	labec2 "github.com/skyweld/skyweld/lab/ec2"
	labgce "github.com/skyweld/skyweld/lab/gce"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const doToken = "dop_v1_of_the_fleet"

// much is more than any of these benchmarks uses.
const much = 1_000_000

// lab is one of the lab's APIs behind TLS, on paper, with limits that nothing here reaches.
type lab struct {
	server  *httptest.Server
	api     http.Handler
	account cloud.Account
	region  string
}

// pools gives each region 4,096 public addresses.
func pools() func(string) *world.Pool {
	var mu sync.Mutex
	all := map[string]*world.Pool{}
	return func(region string) *world.Pool {
		mu.Lock()
		defer mu.Unlock()
		if all[region] == nil {
			all[region] = world.NewPool(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(16 * len(all)), 0}), 20))
		}
		return all[region]
	}
}

// newLab opens the lab's API of a cloud, with public addresses from pools that several may share. The wrapper, if any, stands in front of it.
func newLab(b testing.TB, provider cloud.Provider, addresses func(string) *world.Pool, wrap func(http.Handler) http.Handler) *lab {
	b.Helper()
	l := &lab{}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.api.ServeHTTP(w, r) }))
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.server.StartTLS()
	service, err := l.open(b, provider, addresses)
	if err != nil {
		b.Fatal(err)
	}
	l.api = service
	if wrap != nil {
		l.api = wrap(l.api)
	}
	l.account.Name, l.account.Provider = string(provider)+"-"+template, provider
	l.account.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.server.Certificate().Raw}))
	b.Cleanup(func() {
		l.server.Close()
		if err := service.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

type service interface {
	http.Handler
	Close() error
}

func (l *lab) open(b testing.TB, provider cloud.Provider, addresses func(string) *world.Pool) (service, error) {
	base := func() string { return l.server.URL }
	switch provider {
	case cloud.AWS:
		l.region = "us-east-1"
		const id, key = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
		l.account.Settings = map[string]string{aws.SettingEndpoint: base(), aws.SettingRegion: l.region}
		l.account.Secrets = map[string]cloud.Secret{aws.SecretAccessKeyID: id, aws.SecretAccessKey: key}
		return labec2.New(labec2.Config{
			Physical: paper.New(), Dir: b.TempDir(), AccountID: "123456789012", AccessKeyID: id, SecretAccessKey: key,
			Profile: world.Instant, Pools: addresses, Limits: labec2.Limits{VPCs: much, InternetGateways: much, Addresses: much, VCPUs: much},
		})
	case cloud.GCP:
		l.region = "us-east4"
		key, err := labgce.NewServiceAccountKey("fleet-project", base()+"/token")
		if err != nil {
			return nil, err
		}
		l.account.Settings = map[string]string{gcp.SettingEndpoint: base() + "/compute/v1"}
		l.account.Secrets = map[string]cloud.Secret{gcp.SecretCredentials: cloud.Secret(key)}
		return labgce.New(labgce.Config{
			Physical: paper.New(), Dir: b.TempDir(), Project: "fleet-project", ProjectNumber: 424242424242, ServiceAccountKey: key,
			BaseURL: base, Profile: world.Instant, Pool: addresses, Quotas: gcpQuotas(),
		})
	case cloud.Azure:
		l.region = "eastus"
		const subscription, tenant, client, secret = "5a5a5a5a-0000-4000-8000-00000000aaaa", "5a5a5a5a-0000-4000-8000-00000000bbbb", "5a5a5a5a-0000-4000-8000-00000000cccc", "of-the-fleet"
		l.account.Settings = map[string]string{
			azure.SettingSubscription: subscription, azure.SettingTenant: tenant, azure.SettingClient: client,
			azure.SettingEndpoint: base(), azure.SettingAuthority: base(), azure.SettingNoDiscovery: "true",
		}
		l.account.Secrets = map[string]cloud.Secret{azure.SecretClient: secret}
		return labarm.New(labarm.Config{
			Physical: paper.New(), Dir: b.TempDir(), Subscription: subscription, Tenant: tenant, ClientID: client, ClientSecret: secret,
			BaseURL: base, Profile: world.Instant, Pool: addresses,
			Quotas: map[string]int{"cores": much, "PublicIPAddresses": much, "standardBSFamily": much, "standardBALSv2Family": much, "StaticPublicIPAddresses": much, "virtualMachines": much, "NetworkInterfaces": much, "StandardSkuPublicIpAddresses": much, "StandardSSDStorageDisks": much},
		})
	}
	l.region = "nyc3"
	l.account.Settings = map[string]string{digitalocean.SettingEndpoint: base()}
	l.account.Secrets = map[string]cloud.Secret{digitalocean.SecretToken: doToken}
	return labdo.New(labdo.Config{
		Physical: paper.New(), Dir: b.TempDir(), Token: doToken, Profile: world.Instant, Pools: addresses,
		Limits: labdo.Limits{Droplets: much, ReservedIPs: much, Volumes: much, PerHour: much, PerMinute: much},
	})
}

// gcpQuotas lifts the limits of a project that machines, disks and addresses use up.
func gcpQuotas() map[string]float64 {
	out := map[string]float64{}
	for _, metric := range []string{"CPUS", "CPUS_ALL_REGIONS", "INSTANCES", "IN_USE_ADDRESSES", "STATIC_ADDRESSES", "SSD_TOTAL_GB", "DISKS_TOTAL_GB", "E2_CPUS", "N2_CPUS"} {
		out[metric] = much
	}
	return out
}

var providers = []cloud.Provider{cloud.AWS, cloud.GCP, cloud.Azure, cloud.DigitalOcean}

// newDriver makes the production driver of an account.
func newDriver(b testing.TB, a cloud.Account, t cloud.Transport) cloud.Driver {
	b.Helper()
	d, err := factories[a.Provider](b.Context(), a, t)
	if err != nil {
		b.Fatal(err)
	}
	return d
}
