package aws

import (
	"context"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
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
			return cloud.Report{}, invalid("region %q is none of the account's: %s", region, strings.Join(rep.Regions, ", "))
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

// probe is a call that is only tried: EC2 answers DryRunOperation to who may make it and UnauthorizedOperation to who
// may not.
type probe struct {
	action string
	call   func(context.Context, *ec2.Client) error
}

// dry makes a probe of one of the client's methods.
func dry[In, Out any](call func(*ec2.Client, context.Context, *In, ...func(*ec2.Options)) (*Out, error), in *In) func(context.Context, *ec2.Client) error {
	return func(ctx context.Context, c *ec2.Client) error {
		_, err := call(c, ctx, in)
		return err
	}
}

// probes are the main actions. Those on existing things name none that exists: EC2 checks the permission first, and
// any other answer proves nothing missing.
func probes(image string) []probe {
	yes := sdk.Bool(true)
	vpc, subnet, group := sdk.String("vpc-00000000000000000"), sdk.String("subnet-00000000000000000"), sdk.String("sg-00000000000000000")
	instance, gateway, table := sdk.String("i-00000000000000000"), sdk.String("igw-00000000000000000"), sdk.String("rtb-00000000000000000")
	allocation := sdk.String("eipalloc-00000000000000000")
	any4 := sdk.String(anywhere)
	return []probe{
		{"ec2:DescribeVpcs", dry((*ec2.Client).DescribeVpcs, &ec2.DescribeVpcsInput{DryRun: yes})},
		{"ec2:DescribeSubnets", dry((*ec2.Client).DescribeSubnets, &ec2.DescribeSubnetsInput{DryRun: yes})},
		{"ec2:DescribeInternetGateways", dry((*ec2.Client).DescribeInternetGateways, &ec2.DescribeInternetGatewaysInput{DryRun: yes})},
		{"ec2:DescribeRouteTables", dry((*ec2.Client).DescribeRouteTables, &ec2.DescribeRouteTablesInput{DryRun: yes})},
		{"ec2:DescribeSecurityGroups", dry((*ec2.Client).DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{DryRun: yes})},
		{"ec2:DescribeAddresses", dry((*ec2.Client).DescribeAddresses, &ec2.DescribeAddressesInput{DryRun: yes})},
		{"ec2:DescribeInstances", dry((*ec2.Client).DescribeInstances, &ec2.DescribeInstancesInput{DryRun: yes})},
		{"ec2:DescribeVolumes", dry((*ec2.Client).DescribeVolumes, &ec2.DescribeVolumesInput{DryRun: yes})},
		{"ec2:DescribeNetworkInterfaces", dry((*ec2.Client).DescribeNetworkInterfaces, &ec2.DescribeNetworkInterfacesInput{DryRun: yes})},
		{"ec2:CreateVpc", dry((*ec2.Client).CreateVpc, &ec2.CreateVpcInput{DryRun: yes, CidrBlock: sdk.String("10.64.0.0/16")})},
		{"ec2:DeleteVpc", dry((*ec2.Client).DeleteVpc, &ec2.DeleteVpcInput{DryRun: yes, VpcId: vpc})},
		{"ec2:CreateSubnet", dry((*ec2.Client).CreateSubnet, &ec2.CreateSubnetInput{DryRun: yes, VpcId: vpc, CidrBlock: sdk.String("10.64.0.0/20")})},
		{"ec2:DeleteSubnet", dry((*ec2.Client).DeleteSubnet, &ec2.DeleteSubnetInput{DryRun: yes, SubnetId: subnet})},
		{"ec2:CreateInternetGateway", dry((*ec2.Client).CreateInternetGateway, &ec2.CreateInternetGatewayInput{DryRun: yes})},
		{"ec2:AttachInternetGateway", dry((*ec2.Client).AttachInternetGateway, &ec2.AttachInternetGatewayInput{DryRun: yes, InternetGatewayId: gateway, VpcId: vpc})},
		{"ec2:DeleteInternetGateway", dry((*ec2.Client).DeleteInternetGateway, &ec2.DeleteInternetGatewayInput{DryRun: yes, InternetGatewayId: gateway})},
		{"ec2:CreateRouteTable", dry((*ec2.Client).CreateRouteTable, &ec2.CreateRouteTableInput{DryRun: yes, VpcId: vpc})},
		{"ec2:CreateRoute", dry((*ec2.Client).CreateRoute, &ec2.CreateRouteInput{DryRun: yes, RouteTableId: table, DestinationCidrBlock: any4, GatewayId: gateway})},
		{"ec2:AssociateRouteTable", dry((*ec2.Client).AssociateRouteTable, &ec2.AssociateRouteTableInput{DryRun: yes, RouteTableId: table, SubnetId: subnet})},
		{"ec2:DeleteRouteTable", dry((*ec2.Client).DeleteRouteTable, &ec2.DeleteRouteTableInput{DryRun: yes, RouteTableId: table})},
		{"ec2:CreateSecurityGroup", dry((*ec2.Client).CreateSecurityGroup, &ec2.CreateSecurityGroupInput{
			DryRun: yes, VpcId: vpc, GroupName: sdk.String("skyweld-check"), Description: sdk.String("A trial that makes nothing"),
		})},
		{"ec2:AuthorizeSecurityGroupIngress", dry((*ec2.Client).AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{
			DryRun: yes, GroupId: group, IpPermissions: permissions([]Rule{{Protocol: "tcp", From: 22, To: 22, Peer: "192.0.2.1/32"}}),
		})},
		{"ec2:DeleteSecurityGroup", dry((*ec2.Client).DeleteSecurityGroup, &ec2.DeleteSecurityGroupInput{DryRun: yes, GroupId: group})},
		{"ec2:AllocateAddress", dry((*ec2.Client).AllocateAddress, &ec2.AllocateAddressInput{DryRun: yes, Domain: types.DomainTypeVpc})},
		{"ec2:AssociateAddress", dry((*ec2.Client).AssociateAddress, &ec2.AssociateAddressInput{DryRun: yes, AllocationId: allocation, InstanceId: instance})},
		{"ec2:ReleaseAddress", dry((*ec2.Client).ReleaseAddress, &ec2.ReleaseAddressInput{DryRun: yes, AllocationId: allocation})},
		{"ec2:RunInstances", dry((*ec2.Client).RunInstances, &ec2.RunInstancesInput{
			DryRun: yes, MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), ImageId: sdk.String(image), InstanceType: types.InstanceType(sizes["small"]),
		})},
		{"ec2:ModifyInstanceAttribute", dry((*ec2.Client).ModifyInstanceAttribute, &ec2.ModifyInstanceAttributeInput{
			DryRun: yes, InstanceId: instance, SourceDestCheck: &types.AttributeBooleanValue{Value: sdk.Bool(false)},
		})},
		{"ec2:TerminateInstances", dry((*ec2.Client).TerminateInstances, &ec2.TerminateInstancesInput{DryRun: yes, InstanceIds: []string{*instance}})},
		{"ec2:CreateTags", dry((*ec2.Client).CreateTags, &ec2.CreateTagsInput{
			DryRun: yes, Resources: []string{*vpc}, Tags: []types.Tag{{Key: sdk.String(cloud.TagKey), Value: sdk.String("check")}},
		})},
	}
}

// missing tries the main actions, a few at a time.
func (d *Driver) missing(ctx context.Context, region string) ([]cloud.Missing, error) {
	img, err := d.image(ctx, region)
	if err != nil {
		if classify(err).Class != cloud.Denied {
			return nil, err
		}
		return []cloud.Missing{{Action: "ec2:DescribeImages", Region: region, Detail: classify(err).Message}}, nil
	}
	all := probes(img.id)
	details := make([]string, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lists)
	for i, p := range all {
		g.Go(func() error {
			err := p.call(ctx, d.in(region))
			if hasCode(err, "UnauthorizedOperation") {
				details[i] = classify(err).Message
				return nil
			}
			return notAnswered(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []cloud.Missing
	for i, p := range all {
		if details[i] != "" {
			out = append(out, cloud.Missing{Action: p.action, Region: region, Detail: details[i]})
		}
	}
	return out, nil
}

// notAnswered returns the errors of a probe that say nothing about the permission.
func notAnswered(err error) error {
	if err == nil {
		return nil
	}
	e := classify(err)
	if e.Code == "" || e.Class == cloud.Throttled || e.Class == cloud.Unavailable || e.Class == cloud.Denied {
		return err
	}
	return nil
}

// The account attributes that limit a site.
const (
	quotaInstances = "max-instances"
	quotaAddresses = "vpc-max-elastic-ips"
	quotaGroups    = "vpc-max-security-groups-per-interface"
)

// quotas reads the limits that EC2 itself tells. The number of vCPUs is known to Service Quotas only.
func (d *Driver) quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
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
