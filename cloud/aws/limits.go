package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

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
	count func(context.Context, *preflight) (int, error)
}

// limits are those that count things, as "Amazon VPC quotas" and "Amazon EC2 service quotas" name them.
var limits = []countedLimit{
	{quota{"vpc", "L-F678F1CE", "VPCs per Region"}, kindVPC, func(ctx context.Context, p *preflight) (int, error) {
		list, err := listVPCs(ctx, p.c, nil)
		return len(list), err
	}},
	{quota{"vpc", "L-A4707A72", "Internet gateways per Region"}, kindGateway, func(ctx context.Context, p *preflight) (int, error) {
		list, err := listGateways(ctx, p.c, nil)
		return len(list), err
	}},
	{quota{"vpc", "L-E79EC296", "VPC security groups per Region"}, kindSecurityGroup, func(ctx context.Context, p *preflight) (int, error) {
		list, err := listSecurityGroups(ctx, p.c, nil)
		return len(list), err
	}},
	{quota{"ec2", "L-0263D0A3", "EC2-VPC Elastic IPs"}, kindAddress, func(ctx context.Context, p *preflight) (int, error) {
		list, err := listAddresses(ctx, p.c, nil)
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

// limit holds what is to be made of a kind against its limit.
func (p *preflight) limit(ctx context.Context, l countedLimit) error {
	need := len(p.keys[l.kind]) - p.spare[l.kind]
	if need <= 0 {
		return nil
	}
	limit, err := p.d.readQuota(ctx, p.region, l.quota)
	if err != nil {
		return p.note("reading "+l.subject(), err)
	}
	used, err := l.count(ctx, p)
	if err != nil {
		return p.note("counting towards "+l.subject(), err)
	}
	p.problem(cloud.OverQuota(p.region, l.subject(), "of it", l.raise(p.region), limit, float64(used), float64(need), p.keys[l.kind]))
	return nil
}

// vcpus holds the vCPUs of the new instances against the limits of their families.
func (p *preflight) vcpus(ctx context.Context, known map[string]instanceType) error {
	need, keys := map[quota]int{}, map[quota][]string{}
	for _, m := range p.machines {
		if q, ok := vcpuLimit(m.kind); ok {
			need[q] += known[m.kind].vcpus
			keys[q] = append(keys[q], m.key)
		}
	}
	freed, err := p.d.typesIn(ctx, p.region, slices.Compact(slices.Sorted(slices.Values(p.freed))))
	if err != nil {
		return p.note("looking up instance types", err)
	}
	for _, name := range p.freed {
		if q, ok := vcpuLimit(name); ok {
			need[q] -= freed[name].vcpus
		}
	}
	maps.DeleteFunc(need, func(_ quota, n int) bool { return n <= 0 })
	if len(need) == 0 {
		return nil
	}
	used, err := p.usedVCPUs(ctx)
	if err != nil {
		return p.note("counting the running instances", err)
	}
	for q, n := range need {
		limit, err := p.d.readQuota(ctx, p.region, q)
		if err != nil {
			if err := p.note("reading "+q.subject(), err); err != nil {
				return err
			}
			continue
		}
		p.problem(cloud.OverQuota(p.region, q.subject(), "vCPUs", q.raise(p.region), limit, float64(used[q]), float64(n), keys[q]))
	}
	return nil
}

// usedVCPUs counts the vCPUs of the instances that run or start, towards each limit. Spot instances have limits of their
// own.
func (p *preflight) usedVCPUs(ctx context.Context) (map[quota]int, error) {
	list, err := listInstances(ctx, p.c, filters{"instance-state-name": {"pending", "running"}})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, i := range list {
		if i.InstanceLifecycle != types.InstanceLifecycleTypeSpot {
			count[string(i.InstanceType)]++
		}
	}
	known, err := p.d.typesIn(ctx, p.region, slices.Sorted(maps.Keys(count)))
	if err != nil {
		return nil, err
	}
	used := map[quota]int{}
	for name, n := range count {
		if q, ok := vcpuLimit(name); ok {
			used[q] += n * known[name].vcpus
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
