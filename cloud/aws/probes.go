package aws

import (
	"context"
	"regexp"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// probe is a call that is only tried: EC2 answers DryRunOperation to who may make it and UnauthorizedOperation to who
// may not.
type probe struct {
	action string
	// makes are the kinds whose creation needs the action.
	makes []cloud.Kind
	call  func(context.Context, *ec2.Client) error
	why   string // it was refused
}

// dry makes a probe of one of the client's methods.
func dry[In, Out any](action string, call func(*ec2.Client, context.Context, *In, ...func(*ec2.Options)) (*Out, error), in *In, makes ...cloud.Kind) probe {
	return probe{action: "ec2:" + action, makes: makes, call: func(ctx context.Context, c *ec2.Client) error {
		_, err := call(c, ctx, in)
		return err
	}}
}

// The things that probes name. None of them exists: EC2 checks the permission first, and any other answer proves nothing
// missing. ModifySubnetAttribute knows no dry run, and so changes nothing by this alone. What isn't there has no tags, so a
// policy that allows changes by tag only must allow them of these too, as docs/accounts/aws-policy.json does.
const (
	noVPC         = "vpc-00000000000000000"
	noSubnet      = "subnet-00000000000000000"
	noGroup       = "sg-00000000000000000"
	noInstance    = "i-00000000000000000"
	noGateway     = "igw-00000000000000000"
	noTable       = "rtb-00000000000000000"
	noAllocation  = "eipalloc-00000000000000000"
	noAssociation = "eipassoc-00000000000000000"
	noTableUse    = "rtbassoc-00000000000000000"
	noVolume      = "vol-00000000000000000"
	noInterface   = "eni-00000000000000000"
)

// probes are all actions of EC2 that the driver calls; a test holds them against its source.
func probes(image string) []probe {
	return append(append(readProbes(), networkProbes()...), machineProbes(image)...)
}

// trial is the mark that a creation which is only tried would give: a policy may allow only what is marked.
func trial(kinds ...types.ResourceType) []types.TagSpecification {
	var out []types.TagSpecification
	for _, k := range kinds {
		out = append(out, types.TagSpecification{ResourceType: k, Tags: []types.Tag{{Key: sdk.String(cloud.TagCluster), Value: sdk.String("check")}}})
	}
	return out
}

func readProbes() []probe {
	yes := sdk.Bool(true)
	one := filters{"instance-type": {instanceTypeOf("small")}}.list() // the whole list is long
	return []probe{
		dry("DescribeVpcs", (*ec2.Client).DescribeVpcs, &ec2.DescribeVpcsInput{DryRun: yes}),
		dry("DescribeSubnets", (*ec2.Client).DescribeSubnets, &ec2.DescribeSubnetsInput{DryRun: yes}),
		dry("DescribeInternetGateways", (*ec2.Client).DescribeInternetGateways, &ec2.DescribeInternetGatewaysInput{DryRun: yes}),
		dry("DescribeRouteTables", (*ec2.Client).DescribeRouteTables, &ec2.DescribeRouteTablesInput{DryRun: yes}),
		dry("DescribeSecurityGroups", (*ec2.Client).DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{DryRun: yes}),
		dry("DescribeAddresses", (*ec2.Client).DescribeAddresses, &ec2.DescribeAddressesInput{DryRun: yes}),
		dry("DescribeInstances", (*ec2.Client).DescribeInstances, &ec2.DescribeInstancesInput{DryRun: yes}),
		dry("DescribeVolumes", (*ec2.Client).DescribeVolumes, &ec2.DescribeVolumesInput{DryRun: yes}),
		dry("DescribeNetworkInterfaces", (*ec2.Client).DescribeNetworkInterfaces, &ec2.DescribeNetworkInterfacesInput{DryRun: yes}),
		dry("DescribeKeyPairs", (*ec2.Client).DescribeKeyPairs, &ec2.DescribeKeyPairsInput{DryRun: yes}),
		dry("DescribeInstanceTypes", (*ec2.Client).DescribeInstanceTypes, &ec2.DescribeInstanceTypesInput{DryRun: yes, Filters: one}),
		dry("DescribeInstanceTypeOfferings", (*ec2.Client).DescribeInstanceTypeOfferings, &ec2.DescribeInstanceTypeOfferingsInput{DryRun: yes, Filters: one}),
		dry("GetConsoleOutput", (*ec2.Client).GetConsoleOutput, &ec2.GetConsoleOutputInput{DryRun: yes, InstanceId: sdk.String(noInstance)}),
	}
}

func networkProbes() []probe {
	yes, any4 := sdk.Bool(true), sdk.String(anywhere)
	vpc, subnet, group := sdk.String(noVPC), sdk.String(noSubnet), sdk.String(noGroup)
	gateway, table, use := sdk.String(noGateway), sdk.String(noTable), sdk.String(noTableUse)
	rule := permissions([]Rule{{Protocol: "tcp", From: 22, To: 22, Peer: "192.0.2.1/32"}})
	return []probe{
		dry("CreateVpc", (*ec2.Client).CreateVpc, &ec2.CreateVpcInput{DryRun: yes, CidrBlock: sdk.String("10.64.0.0/16"), TagSpecifications: trial(types.ResourceTypeVpc)}, kindVPC),
		dry("DeleteVpc", (*ec2.Client).DeleteVpc, &ec2.DeleteVpcInput{DryRun: yes, VpcId: vpc}),
		dry("CreateSubnet", (*ec2.Client).CreateSubnet, &ec2.CreateSubnetInput{DryRun: yes, VpcId: vpc, CidrBlock: sdk.String("10.64.0.0/20"), TagSpecifications: trial(types.ResourceTypeSubnet)}, kindSubnet),
		dry("ModifySubnetAttribute", (*ec2.Client).ModifySubnetAttribute, &ec2.ModifySubnetAttributeInput{SubnetId: subnet, MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: sdk.Bool(false)}}),
		dry("DeleteSubnet", (*ec2.Client).DeleteSubnet, &ec2.DeleteSubnetInput{DryRun: yes, SubnetId: subnet}),
		dry("CreateInternetGateway", (*ec2.Client).CreateInternetGateway, &ec2.CreateInternetGatewayInput{DryRun: yes, TagSpecifications: trial(types.ResourceTypeInternetGateway)}, kindGateway),
		dry("AttachInternetGateway", (*ec2.Client).AttachInternetGateway, &ec2.AttachInternetGatewayInput{DryRun: yes, InternetGatewayId: gateway, VpcId: vpc}, kindGateway),
		dry("DetachInternetGateway", (*ec2.Client).DetachInternetGateway, &ec2.DetachInternetGatewayInput{DryRun: yes, InternetGatewayId: gateway, VpcId: vpc}),
		dry("DeleteInternetGateway", (*ec2.Client).DeleteInternetGateway, &ec2.DeleteInternetGatewayInput{DryRun: yes, InternetGatewayId: gateway}),
		dry("CreateRouteTable", (*ec2.Client).CreateRouteTable, &ec2.CreateRouteTableInput{DryRun: yes, VpcId: vpc, TagSpecifications: trial(types.ResourceTypeRouteTable)}, kindRouteTable),
		dry("CreateRoute", (*ec2.Client).CreateRoute, &ec2.CreateRouteInput{DryRun: yes, RouteTableId: table, DestinationCidrBlock: any4, GatewayId: gateway}, kindRouteTable),
		dry("ReplaceRoute", (*ec2.Client).ReplaceRoute, &ec2.ReplaceRouteInput{DryRun: yes, RouteTableId: table, DestinationCidrBlock: any4, GatewayId: gateway}),
		dry("DeleteRoute", (*ec2.Client).DeleteRoute, &ec2.DeleteRouteInput{DryRun: yes, RouteTableId: table, DestinationCidrBlock: any4}),
		dry("AssociateRouteTable", (*ec2.Client).AssociateRouteTable, &ec2.AssociateRouteTableInput{DryRun: yes, RouteTableId: table, SubnetId: subnet}, kindRouteTable),
		dry("ReplaceRouteTableAssociation", (*ec2.Client).ReplaceRouteTableAssociation, &ec2.ReplaceRouteTableAssociationInput{DryRun: yes, RouteTableId: table, AssociationId: use}),
		dry("DisassociateRouteTable", (*ec2.Client).DisassociateRouteTable, &ec2.DisassociateRouteTableInput{DryRun: yes, AssociationId: use}),
		dry("DeleteRouteTable", (*ec2.Client).DeleteRouteTable, &ec2.DeleteRouteTableInput{DryRun: yes, RouteTableId: table}),
		dry("CreateSecurityGroup", (*ec2.Client).CreateSecurityGroup, &ec2.CreateSecurityGroupInput{
			DryRun: yes, VpcId: vpc, GroupName: sdk.String("skyweld-check"), Description: sdk.String("A trial that makes nothing"),
			TagSpecifications: trial(types.ResourceTypeSecurityGroup),
		}, kindSecurityGroup),
		dry("AuthorizeSecurityGroupIngress", (*ec2.Client).AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{DryRun: yes, GroupId: group, IpPermissions: rule}, kindSecurityGroup),
		dry("AuthorizeSecurityGroupEgress", (*ec2.Client).AuthorizeSecurityGroupEgress, &ec2.AuthorizeSecurityGroupEgressInput{DryRun: yes, GroupId: group, IpPermissions: rule}),
		dry("RevokeSecurityGroupIngress", (*ec2.Client).RevokeSecurityGroupIngress, &ec2.RevokeSecurityGroupIngressInput{DryRun: yes, GroupId: group, IpPermissions: rule}),
		dry("RevokeSecurityGroupEgress", (*ec2.Client).RevokeSecurityGroupEgress, &ec2.RevokeSecurityGroupEgressInput{DryRun: yes, GroupId: group, IpPermissions: rule}),
		dry("DeleteSecurityGroup", (*ec2.Client).DeleteSecurityGroup, &ec2.DeleteSecurityGroupInput{DryRun: yes, GroupId: group}),
		dry("CreateTags", (*ec2.Client).CreateTags, &ec2.CreateTagsInput{
			DryRun: yes, Resources: []string{noVPC}, Tags: trial(types.ResourceTypeVpc)[0].Tags,
		}, kindVPC, kindGateway, kindSubnet, kindRouteTable, kindSecurityGroup, kindAddress, kindInstance),
	}
}

func machineProbes(image string) []probe {
	yes, instance := sdk.Bool(true), sdk.String(noInstance)
	allocation := sdk.String(noAllocation)
	return []probe{
		dry("AllocateAddress", (*ec2.Client).AllocateAddress, &ec2.AllocateAddressInput{DryRun: yes, Domain: types.DomainTypeVpc, TagSpecifications: trial(types.ResourceTypeElasticIp)}, kindAddress),
		dry("AssociateAddress", (*ec2.Client).AssociateAddress, &ec2.AssociateAddressInput{DryRun: yes, AllocationId: allocation, InstanceId: instance}, kindAssociation),
		dry("DisassociateAddress", (*ec2.Client).DisassociateAddress, &ec2.DisassociateAddressInput{DryRun: yes, AssociationId: sdk.String(noAssociation)}),
		dry("ReleaseAddress", (*ec2.Client).ReleaseAddress, &ec2.ReleaseAddressInput{DryRun: yes, AllocationId: allocation}),
		dry("RunInstances", (*ec2.Client).RunInstances, &ec2.RunInstancesInput{
			DryRun: yes, MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), ImageId: sdk.String(image), InstanceType: types.InstanceType(instanceTypeOf("small")),
			SubnetId: sdk.String(noSubnet), SecurityGroupIds: []string{noGroup},
			TagSpecifications: trial(types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface),
		}, kindInstance),
		dry("StartInstances", (*ec2.Client).StartInstances, &ec2.StartInstancesInput{DryRun: yes, InstanceIds: []string{noInstance}}),
		dry("TerminateInstances", (*ec2.Client).TerminateInstances, &ec2.TerminateInstancesInput{DryRun: yes, InstanceIds: []string{noInstance}}),
		dry("ModifyInstanceAttribute", (*ec2.Client).ModifyInstanceAttribute, &ec2.ModifyInstanceAttributeInput{
			DryRun: yes, InstanceId: instance, SourceDestCheck: &types.AttributeBooleanValue{Value: sdk.Bool(false)},
		}, kindInstance),
		dry("ModifyInstanceMetadataOptions", (*ec2.Client).ModifyInstanceMetadataOptions, &ec2.ModifyInstanceMetadataOptionsInput{
			DryRun: yes, InstanceId: instance, HttpTokens: types.HttpTokensStateRequired,
		}),
		dry("DeleteVolume", (*ec2.Client).DeleteVolume, &ec2.DeleteVolumeInput{DryRun: yes, VolumeId: sdk.String(noVolume)}),
		dry("DeleteNetworkInterface", (*ec2.Client).DeleteNetworkInterface, &ec2.DeleteNetworkInterfaceInput{DryRun: yes, NetworkInterfaceId: sdk.String(noInterface)}),
	}
}

// refusedAction finds the action in a refusal. It is another than the call's own where that needs several: what is tagged
// as it is made needs ec2:CreateTags too.
var refusedAction = regexp.MustCompile(`is not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

// try makes the calls of probes in a region, a few at a time, and returns those that were refused, one for each action.
func (d *Driver) try(ctx context.Context, region string, all []probe) ([]probe, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lists)
	for i := range all {
		p := &all[i]
		g.Go(func() error {
			err := cloud.ReadAgain(ctx, busy, func() error { return p.call(ctx, d.in(region)) })
			if hasCode(err, "UnauthorizedOperation") {
				p.why = classify(err).Message
				if m := refusedAction.FindStringSubmatch(p.why); m != nil {
					p.action = m[1]
				}
				return nil
			}
			return notAnswered(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []probe
	for _, p := range all {
		if p.why == "" {
			continue
		}
		if i := slices.IndexFunc(out, func(o probe) bool { return o.action == p.action }); i >= 0 {
			out[i].makes = slices.Compact(slices.Sorted(slices.Values(slices.Concat(out[i].makes, p.makes))))
			continue
		}
		out = append(out, p)
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
