package azure

import (
	"context"
	"maps"
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

// demand is how much of each quota something needs, by the quota's name in small letters.
type demand map[demandAt]float64

type demandAt struct{ region, quota string }

// of adds what a resource needs, sign times.
func (n demand) of(kind cloud.Kind, region string, spec any, sign float64, offers map[string]offer) {
	add := func(quota string, amount float64) { n[demandAt{region, strings.ToLower(quota)}] += sign * amount }
	switch kind {
	case kindNetwork:
		add(quotaNetworks, 1)
	case kindSecurity:
		add(quotaSecurities, 1)
	case kindInterface:
		add(quotaInterfaces, 1)
	case kindAddress:
		add(quotaAddresses, 1)
		add(quotaStandard, 1)
	case kindMachine:
		s, ok := spec.(*MachineSpec)
		if !ok {
			return
		}
		add(quotaMachines, 1)
		if diskType(s.Type) == "Premium_LRS" {
			add(quotaPremium, 1)
		} else {
			add(quotaSSD, 1)
		}
		if k, ok := offers[region].types[strings.ToLower(s.Type)]; ok {
			add(quotaCores, k.cpus)
			add(k.family, k.cpus)
		}
	}
}

// limits holds what is to be made against the quotas.
func (p *preflight) limits(ctx context.Context, req cloud.PreflightRequest) error {
	need, keys := demand{}, map[demandAt][]string{}
	for _, r := range req.Create {
		own := demand{}
		own.of(r.Kind, r.Region, r.Spec, 1, p.offers)
		for at, n := range own {
			need[at] += n
			keys[at] = append(keys[at], r.Key)
		}
	}
	for _, o := range req.Replaced {
		need.of(o.Kind, o.Region, o.Spec, -1, p.offers)
	}
	maps.DeleteFunc(need, func(_ demandAt, n float64) bool { return n <= 0 })
	regions := map[string]bool{}
	for at := range need {
		regions[at.region] = true
	}
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		list, err := p.d.quotas(ctx, region)
		if err != nil {
			if err := p.note("reading the quotas of "+region, err); err != nil {
				return err
			}
			continue
		}
		for _, q := range list {
			at := demandAt{region, strings.ToLower(q.Name)}
			if q.Limit < 0 {
				continue // none
			}
			p.problem(cloud.OverQuota(region, "quota "+q.Name, unitOf(q.Name), raise(p.d.subscription, region), q.Limit, q.Used, need[at], keys[at]))
		}
	}
	return nil
}

func unitOf(quota string) string {
	if quota == quotaCores || strings.HasSuffix(strings.ToLower(quota), "family") {
		return "vCPUs"
	}
	return "of it"
}

// raise is how a higher limit is asked for.
func raise(subscription, region string) string {
	return "%[1]g or more (" + region + " in subscription " + subscription + ", at https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas)"
}
