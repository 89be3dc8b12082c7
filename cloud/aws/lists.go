package aws

import (
	"context"
	"maps"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// pageSize is how many things one answer of a list holds at most; DescribeRouteTables allows no more.
const pageSize = 100

// filters narrow a list: values by the filter's name. No filter lists everything.
type filters map[string][]string

func (f filters) list() []types.Filter {
	if len(f) == 0 {
		return nil
	}
	var out []types.Filter
	for _, name := range slices.Sorted(maps.Keys(f)) {
		out = append(out, types.Filter{Name: sdk.String(name), Values: f[name]})
	}
	return out
}

// pager is what the SDK's paginators have in common.
type pager[O any] interface {
	HasMorePages() bool
	NextPage(ctx context.Context, fns ...func(*ec2.Options)) (*O, error)
}

// collect reads all pages of a list.
func collect[O, T any](ctx context.Context, p pager[O], items func(*O) []T) ([]T, error) {
	var out []T
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, items(page)...)
	}
	return out, nil
}

func listVPCs(ctx context.Context, c *ec2.Client, f filters) ([]types.Vpc, error) {
	in := &ec2.DescribeVpcsInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeVpcsPaginator(c, in), func(o *ec2.DescribeVpcsOutput) []types.Vpc { return o.Vpcs })
}

func listGateways(ctx context.Context, c *ec2.Client, f filters) ([]types.InternetGateway, error) {
	in := &ec2.DescribeInternetGatewaysInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeInternetGatewaysPaginator(c, in),
		func(o *ec2.DescribeInternetGatewaysOutput) []types.InternetGateway { return o.InternetGateways })
}

func listSubnets(ctx context.Context, c *ec2.Client, f filters) ([]types.Subnet, error) {
	in := &ec2.DescribeSubnetsInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeSubnetsPaginator(c, in), func(o *ec2.DescribeSubnetsOutput) []types.Subnet { return o.Subnets })
}

func listRouteTables(ctx context.Context, c *ec2.Client, f filters) ([]types.RouteTable, error) {
	in := &ec2.DescribeRouteTablesInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeRouteTablesPaginator(c, in),
		func(o *ec2.DescribeRouteTablesOutput) []types.RouteTable { return o.RouteTables })
}

func listSecurityGroups(ctx context.Context, c *ec2.Client, f filters) ([]types.SecurityGroup, error) {
	in := &ec2.DescribeSecurityGroupsInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeSecurityGroupsPaginator(c, in),
		func(o *ec2.DescribeSecurityGroupsOutput) []types.SecurityGroup { return o.SecurityGroups })
}

// listAddresses has no pages: EC2 gives them all at once.
func listAddresses(ctx context.Context, c *ec2.Client, f filters) ([]types.Address, error) {
	out, err := c.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: f.list()})
	if err != nil {
		return nil, err
	}
	return out.Addresses, nil
}

func listInstances(ctx context.Context, c *ec2.Client, f filters) ([]types.Instance, error) {
	in := &ec2.DescribeInstancesInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeInstancesPaginator(c, in), instancesOf)
}

func instancesOf(o *ec2.DescribeInstancesOutput) []types.Instance {
	var out []types.Instance
	for _, r := range o.Reservations {
		out = append(out, r.Instances...)
	}
	return out
}

func listVolumes(ctx context.Context, c *ec2.Client, f filters) ([]types.Volume, error) {
	in := &ec2.DescribeVolumesInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeVolumesPaginator(c, in), func(o *ec2.DescribeVolumesOutput) []types.Volume { return o.Volumes })
}

func listInterfaces(ctx context.Context, c *ec2.Client, f filters) ([]types.NetworkInterface, error) {
	in := &ec2.DescribeNetworkInterfacesInput{Filters: f.list(), MaxResults: sdk.Int32(pageSize)}
	return collect(ctx, ec2.NewDescribeNetworkInterfacesPaginator(c, in),
		func(o *ec2.DescribeNetworkInterfacesOutput) []types.NetworkInterface { return o.NetworkInterfaces })
}

// listKeyPairs has no pages: EC2 gives them all at once.
func listKeyPairs(ctx context.Context, c *ec2.Client) ([]types.KeyPairInfo, error) {
	out, err := c.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{})
	if err != nil {
		return nil, err
	}
	return out.KeyPairs, nil
}

// tagOf returns the value of a tag, empty when there is none.
func tagOf(tags []types.Tag, key string) string {
	for _, t := range tags {
		if sdk.ToString(t.Key) == key {
			return sdk.ToString(t.Value)
		}
	}
	return ""
}
