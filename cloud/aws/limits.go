package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// quota is one of Service Quotas' limits, in each region.
type quota struct {
	service, code, name string
}

func (q quota) subject() string { return fmt.Sprintf("quota %s (%s)", q.code, q.name) }

// raise is how a higher limit is asked for.
func (q quota) raise(region string) string {
	return "%[1]g or more (aws service-quotas request-service-quota-increase --region " + region + " --service-code " + q.service +
		" --quota-code " + q.code + " --desired-value %[1]g)"
}

// countedLimit is the limit of how many of a kind there may be.
type countedLimit struct {
	quota
	kind  cloud.Kind
	count func(context.Context, *ec2.Client) (int, error)
}

// limits are those that count things, as "Amazon VPC quotas" and "Amazon EC2 service quotas" name them.
var limits = []countedLimit{
	{quota{"vpc", "L-F678F1CE", "VPCs per Region"}, kindVPC, func(ctx context.Context, c *ec2.Client) (int, error) {
		list, err := listVPCs(ctx, c, nil)
		return len(list), err
	}},
	{quota{"vpc", "L-A4707A72", "Internet gateways per Region"}, kindGateway, func(ctx context.Context, c *ec2.Client) (int, error) {
		list, err := listGateways(ctx, c, nil)
		return len(list), err
	}},
	{quota{"vpc", "L-E79EC296", "VPC security groups per Region"}, kindSecurityGroup, func(ctx context.Context, c *ec2.Client) (int, error) {
		list, err := listSecurityGroups(ctx, c, nil)
		return len(list), err
	}},
	{quota{"ec2", "L-0263D0A3", "EC2-VPC Elastic IPs"}, kindAddress, func(ctx context.Context, c *ec2.Client) (int, error) {
		list, err := listAddresses(ctx, c, nil)
		return len(list), err
	}},
}

// vcpuLimits are the limits of running On-Demand instances, each of some instance families; the key is the letters before
// a type's generation.
var vcpuLimits = map[string]quota{
	"standard": {"ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"},
	"f":        {"ec2", "L-74FC7D96", "Running On-Demand F instances"},
	"g":        {"ec2", "L-DB2E81BA", "Running On-Demand G and VT instances"},
	"vt":       {"ec2", "L-DB2E81BA", "Running On-Demand G and VT instances"},
	"p":        {"ec2", "L-417A185B", "Running On-Demand P instances"},
	"inf":      {"ec2", "L-1945791B", "Running On-Demand Inf instances"},
	"x":        {"ec2", "L-7295265B", "Running On-Demand X instances"},
	"dl":       {"ec2", "L-6E869C2A", "Running On-Demand DL instances"},
	"trn":      {"ec2", "L-2C3B7624", "Running On-Demand Trn instances"},
	"hpc":      {"ec2", "L-F7808C92", "Running On-Demand HPC instances"},
	"u":        {"ec2", "L-43DA4232", "Running On-Demand High Memory instances"},
}

// vcpuLimit finds the limit that an instance type counts to; ok is false for families of which none is known.
func vcpuLimit(instanceType string) (quota, bool) {
	letters := instanceType[:max(0, strings.IndexAny(instanceType, "0123456789-."))]
	if len(letters) == 1 && strings.Contains("acdhimrtz", letters) || letters == "im" || letters == "is" {
		letters = "standard"
	}
	q, ok := vcpuLimits[letters]
	return q, ok
}

// quotas are all limits by their codes.
func quotas() map[string]quota {
	out := map[string]quota{}
	for _, l := range limits {
		out[l.code] = l.quota
	}
	for _, q := range vcpuLimits {
		out[q.code] = q
	}
	return out
}

// takes tells which limits a resource counts to, by their codes.
func (p preflight) takes(r cloud.Resource, add func(region, code string, amount float64)) {
	for _, l := range limits {
		if r.Kind == l.kind {
			add(p.region, l.code, 1)
		}
	}
	if q, ok := vcpuLimit(typeOf(r)); ok && r.Kind == kindInstance {
		add(p.region, q.code, float64(p.types[typeOf(r)].VCPUs))
	}
}

// limits holds what is to be made against the limits.
func (p preflight) limits(ctx context.Context) error {
	// An instance that doesn't run frees no vCPUs by going.
	p.Replaced = slices.DeleteFunc(slices.Clone(p.Replaced), func(o cloud.Object) bool {
		return o.Kind == kindInstance && (o.State == cloud.Stopped || o.State == cloud.Gone)
	})
	all := quotas()
	return p.Limits(cloud.Limits{
		Takes:   p.takes,
		Read:    func(_ string, codes []string) ([]cloud.Quota, error) { return p.readLimits(ctx, codes) },
		Pass:    func(_ string, err error) error { return p.pass("reading the limits", err) },
		Subject: func(code string) string { return all[code].subject() },
		Unit: func(code string) string {
			if slices.ContainsFunc(limits, func(l countedLimit) bool { return l.code == code }) {
				return "of it"
			}
			return "vCPUs"
		},
		Raise: func(region, code string) string { return all[code].raise(region) },
	})
}

// readLimits reads some limits, and counts what is used of them. One that can't be read is a note.
func (p preflight) readLimits(ctx context.Context, codes []string) ([]cloud.Quota, error) {
	var out []cloud.Quota
	var mu sync.Mutex
	running := sync.OnceValues(func() (map[quota]int, error) { return p.d.usedVCPUs(ctx, p.region) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lists)
	for code, q := range quotas() {
		if !slices.Contains(codes, strings.ToLower(code)) {
			continue
		}
		g.Go(func() error {
			limit, err := p.d.readQuota(ctx, p.region, q)
			if err != nil {
				return p.pass("reading "+q.subject(), err)
			}
			used, err := p.used(ctx, q, running)
			if err != nil {
				return p.pass("counting towards "+q.subject(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, cloud.Quota{Name: code, Region: p.region, Limit: limit, Used: float64(used)})
			return nil
		})
	}
	return out, g.Wait()
}

// used is how much of a limit is used.
func (p preflight) used(ctx context.Context, q quota, running func() (map[quota]int, error)) (int, error) {
	for _, l := range limits {
		if l.quota == q {
			return l.count(ctx, p.c)
		}
	}
	vcpus, err := running()
	return vcpus[q], err
}

// usedVCPUs counts the vCPUs of the instances that run or start, towards each limit. Spot instances have limits of their
// own.
func (d *Driver) usedVCPUs(ctx context.Context, region string) (map[quota]int, error) {
	list, err := listInstances(ctx, d.in(region), filters{"instance-state-name": {"pending", "running"}})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, i := range list {
		if i.InstanceLifecycle != types.InstanceLifecycleTypeSpot {
			count[string(i.InstanceType)]++
		}
	}
	known, err := d.typesIn(ctx, region, slices.Sorted(maps.Keys(count)))
	if err != nil {
		return nil, err
	}
	used := map[quota]int{}
	for name, n := range count {
		if q, ok := vcpuLimit(name); ok {
			used[q] += n * known[name].VCPUs
		}
	}
	return used, nil
}

// readQuota asks Service Quotas for a limit: the account's own, or everybody's where the account has none of its own.
func (d *Driver) readQuota(ctx context.Context, region string, q quota) (float64, error) {
	c := d.serviceQuotas(region)
	out, err := c.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: sdk.String(q.service), QuotaCode: sdk.String(q.code)})
	if err == nil && out.Quota != nil && out.Quota.Value != nil {
		return *out.Quota.Value, nil
	}
	if err != nil && !hasCode(err, "NoSuchResourceException") {
		return 0, err
	}
	standard, err := c.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: sdk.String(q.service), QuotaCode: sdk.String(q.code)})
	if err != nil {
		return 0, err
	}
	if standard.Quota == nil || standard.Quota.Value == nil {
		return 0, &cloud.Error{Class: cloud.NotFound, Code: "NoSuchResourceException", Message: "Service Quotas gives no value of it"}
	}
	return *standard.Quota.Value, nil
}

// serviceQuotas returns the client of a region's Service Quotas.
func (d *Driver) serviceQuotas(region string) *servicequotas.Client {
	return servicequotas.NewFromConfig(d.config, func(o *servicequotas.Options) {
		o.Region = region
		if d.endpointQuotas != "" {
			o.BaseEndpoint = sdk.String(d.endpointQuotas)
		}
	})
}
