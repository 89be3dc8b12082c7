package aws

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// Check asks who we are, which regions the account may use, what we may do in the given ones, and their quotas. With no
// region given it asks about permissions in the account's own region only: EC2's permissions rarely differ by region.
func (d *Driver) Check(ctx context.Context, regions ...string) (cloud.Report, error) {
	rep, err := d.check(ctx, regions)
	return rep, failed("check the aws account", err)
}

func (d *Driver) check(ctx context.Context, regions []string) (cloud.Report, error) {
	who, err := d.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return cloud.Report{}, err
	}
	rep := cloud.Report{Identity: sdk.ToString(who.Arn), Account: sdk.ToString(who.Account)}
	if rep.Regions, err = d.regions(ctx); err != nil {
		return cloud.Report{}, err
	}
	if len(regions) == 0 {
		regions = []string{d.config.Region}
	}
	for _, region := range regions {
		if !slices.Contains(rep.Regions, region) {
			return cloud.Report{}, noRegion(region, rep.Regions)
		}
		missing, err := d.missing(ctx, region)
		if err != nil {
			return cloud.Report{}, err
		}
		quotas, err := d.quotas(ctx, region)
		if err != nil && classify(err).Class != cloud.Denied { // the permission to see quotas is not needed
			return cloud.Report{}, err
		}
		rep.Missing, rep.Quotas = append(rep.Missing, missing...), append(rep.Quotas, quotas...)
	}
	return rep, nil
}

// regions lists the regions that the account has switched on, sorted.
func (d *Driver) regions(ctx context.Context) ([]string, error) {
	out, err := d.in(d.config.Region).DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil && d.config.Region != defaultRegion {
		// The account's own region may be the one it doesn't have; the default one every account has.
		if there, derr := d.in(defaultRegion).DescribeRegions(ctx, &ec2.DescribeRegionsInput{}); derr == nil {
			out, err = there, nil
		}
	}
	if err != nil {
		return nil, during("list the regions", err)
	}
	var names []string
	for _, r := range out.Regions {
		names = append(names, sdk.ToString(r.RegionName))
	}
	slices.Sort(names)
	return names, nil
}

// noRegion is the error of a region that the account hasn't switched on.
func noRegion(region string, have []string) error {
	return &cloud.Error{Class: cloud.Denied, NoRegion: true, Message: "the account doesn't have the region " + region + "; it has " + strings.Join(have, ", ") +
		": use one of these, or switch it on (aws account enable-region --region-name " + region + ")"}
}

// explainRegion looks whether a refusal in a region means that the account doesn't have it: EC2 says there that it doesn't
// know the credentials, and some regions have no name that could be looked up.
func (d *Driver) explainRegion(ctx context.Context, region string, err error) error {
	if err == nil {
		return nil
	}
	_, unknownHost := errors.AsType[*net.DNSError](err)
	if e := classify(err); !e.Credentials && e.Code != "OptInRequired" && !unknownHost {
		return err
	}
	have, rerr := d.regions(ctx)
	if rerr != nil || slices.Contains(have, region) {
		return err
	}
	return noRegion(region, have)
}

// missing tries all actions that the driver ever calls, a few at a time.
func (d *Driver) missing(ctx context.Context, region string) ([]cloud.Missing, error) {
	img, err := d.image(ctx, region)
	if err != nil {
		if e := classify(err); e.Class != cloud.Denied || e.Credentials {
			return nil, err
		}
		return []cloud.Missing{{Action: "ec2:DescribeImages", Region: region, Detail: classify(err).Message}}, nil
	}
	refused, err := d.try(ctx, region, probes(img.id))
	if err != nil {
		return nil, err
	}
	var out []cloud.Missing
	for _, r := range refused {
		out = append(out, cloud.Missing{Action: r.action, Region: region, Detail: r.why})
	}
	return out, nil
}

// quotas reads the limits that what is made counts to, with what is used of them. Where Service Quotas can't be asked EC2's
// own attributes tell some.
func (d *Driver) quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	c := d.in(region)
	standard := vcpuLimits["standard"]
	out := make([]cloud.Quota, len(limits)+1)
	g, gctx := errgroup.WithContext(ctx)
	for i, l := range limits {
		g.Go(func() (err error) {
			out[i] = cloud.Quota{Name: l.code + " " + l.name, Region: region}
			if out[i].Limit, err = d.readQuota(gctx, region, l.quota); err != nil {
				return err
			}
			used, err := l.count(gctx, c)
			out[i].Used = float64(used)
			return err
		})
	}
	g.Go(func() (err error) {
		q := &out[len(limits)]
		*q = cloud.Quota{Name: standard.code + " " + standard.name, Region: region}
		if q.Limit, err = d.readQuota(gctx, region, standard); err != nil {
			return err
		}
		used, err := d.usedVCPUs(gctx, region)
		q.Used = float64(used[standard])
		return err
	})
	if err := g.Wait(); err != nil {
		if e := classify(err); ctx.Err() == nil && !e.Credentials && e.Class != cloud.Unavailable && e.Class != cloud.Throttled {
			return d.attributes(ctx, region)
		}
		return nil, during("read the quotas", err)
	}
	return out, nil
}

// The account attributes that limit a site.
const (
	quotaInstances = "max-instances"
	quotaAddresses = "vpc-max-elastic-ips"
	quotaGroups    = "vpc-max-security-groups-per-interface"
)

// attributes reads the limits that EC2 itself tells. The number of vCPUs is not among them.
func (d *Driver) attributes(ctx context.Context, region string) ([]cloud.Quota, error) {
	c := d.in(region)
	out, err := c.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{})
	if err != nil {
		return nil, during("read the quotas", err)
	}
	addresses, err := listAddresses(ctx, c, nil)
	if err != nil {
		return nil, during("count the addresses", err)
	}
	var quotas []cloud.Quota
	for _, a := range out.AccountAttributes {
		name := sdk.ToString(a.AttributeName)
		if len(a.AttributeValues) == 0 || !slices.Contains([]string{quotaInstances, quotaAddresses, quotaGroups}, name) {
			continue
		}
		limit, err := strconv.ParseFloat(sdk.ToString(a.AttributeValues[0].AttributeValue), 64)
		if err != nil {
			continue // "none": EC2 doesn't limit it by this attribute
		}
		q := cloud.Quota{Name: name, Region: region, Limit: limit, Used: -1}
		if name == quotaAddresses {
			q.Used = float64(len(addresses))
		}
		quotas = append(quotas, q)
	}
	slices.SortFunc(quotas, func(a, b cloud.Quota) int { return strings.Compare(a.Name, b.Name) })
	return quotas, nil
}
