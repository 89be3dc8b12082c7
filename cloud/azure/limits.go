package azure

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
)

// The quotas that what is to be made counts to, as a region's usages list them. A family of machine types has its own.
const (
	quotaCores      = "cores"
	quotaMachines   = "virtualMachines"
	quotaNetworks   = "VirtualNetworks"
	quotaSecurities = "NetworkSecurityGroups"
	quotaInterfaces = "NetworkInterfaces"
	quotaAddresses  = "PublicIPAddresses"
	quotaStandard   = "StandardSkuPublicIpAddresses"
	quotaPremium    = "PremiumDiskCount"
	quotaSSD        = "StandardSSDDiskCount"
)

// limiting are the quotas that limit a site.
var limiting = []string{
	quotaCores, quotaMachines, quotaNetworks, quotaSecurities, quotaInterfaces, quotaAddresses, quotaStandard, quotaPremium, quotaSSD,
}

// quotas are a region's limits and what is used of them.
func (d *Driver) quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	var compute []*armcompute.Usage
	var network []*armnetwork.Usage
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		compute, err = all(gctx, d.cpuUsages.NewListPager(region, nil), func(p armcompute.UsageClientListResponse) []*armcompute.Usage { return p.Value })
		return err
	})
	g.Go(func() (err error) {
		network, err = all(gctx, d.netUsages.NewListPager(region, nil), func(p armnetwork.UsagesClientListResponse) []*armnetwork.Usage { return p.Value })
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []cloud.Quota
	for _, u := range compute {
		if u.Name != nil {
			out = append(out, cloud.Quota{Name: val(u.Name.Value), Region: region, Limit: float64(val(u.Limit)), Used: float64(val(u.CurrentValue))})
		}
	}
	for _, u := range network {
		if u.Name != nil {
			out = append(out, cloud.Quota{Name: val(u.Name.Value), Region: region, Limit: float64(val(u.Limit)), Used: float64(val(u.CurrentValue))})
		}
	}
	slices.SortFunc(out, func(a, b cloud.Quota) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// takes tells which quotas a resource counts to.
func (p preflight) takes(r cloud.Resource, add func(region, quota string, amount float64)) {
	switch r.Kind {
	case kindNetwork:
		add(r.Region, quotaNetworks, 1)
	case kindSecurity:
		add(r.Region, quotaSecurities, 1)
	case kindInterface:
		add(r.Region, quotaInterfaces, 1)
	case kindAddress:
		add(r.Region, quotaAddresses, 1)
		add(r.Region, quotaStandard, 1)
	case kindMachine:
		s, ok := r.Spec.(*MachineSpec)
		if !ok {
			return
		}
		add(r.Region, quotaMachines, 1)
		if diskType(s.Type) == "Premium_LRS" {
			add(r.Region, quotaPremium, 1)
		} else {
			add(r.Region, quotaSSD, 1)
		}
		if k, ok := p.offers[r.Region].types[strings.ToLower(s.Type)]; ok {
			add(r.Region, quotaCores, float64(k.VCPUs))
			add(r.Region, k.family, float64(k.VCPUs))
		}
	}
}

// limits holds what is to be made against the quotas.
func (p preflight) limits(ctx context.Context) error {
	return p.Limits(cloud.Limits{
		Takes:   p.takes,
		Read:    func(region string, _ []string) ([]cloud.Quota, error) { return p.d.quotas(ctx, region) },
		Pass:    func(region string, err error) error { return p.pass("reading the quotas of "+region, err) },
		Subject: func(quota string) string { return "quota " + quota },
		Unit:    unitOf,
		Raise:   func(region, _ string) string { return raise(p.d.subscription, region) },
	})
}

func unitOf(quota string) string {
	if quota == quotaCores || strings.HasSuffix(strings.ToLower(quota), "family") {
		return "vCPUs"
	}
	return "of it"
}

// raise is how a higher limit is asked for.
func raise(subscription, region string) string {
	return "%[1]g or more (" + region + " in subscription " + subscription + ", at " + quotaPage + ")"
}
