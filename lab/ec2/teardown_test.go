package ec2

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/internal/teardown"
)

// scene is what stands before a row of docs/teardown.md is tried.
type scene = teardown.Scene

// TestTeardown sets a scene for each row about AWS and tries the call.
func TestTeardown(t *testing.T) {
	teardown.Each(t, teardown.Of(teardown.Rows(t), teardown.AWS), scenes(), func(t *testing.T, row teardown.Row, set func(*lab) scene) {
		set(newLab(t)).Play(t, row, codeOf)
	})
}

func succeed(t *testing.T, what string, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// send is a request that waits to be sent.
func send[I, O any](method func(context.Context, I, ...func(*awsec2.Options)) (O, error), in I) func() error {
	return func() error {
		_, err := method(ctx, in)
		return err
	}
}

// inTurn sends several.
func inTurn(calls ...func() error) func() error {
	return func() error {
		for _, c := range calls {
			if err := c(); err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *lab) do(calls ...func() error) {
	l.t.Helper()
	succeed(l.t, "set the scene", inTurn(calls...))
}

// none is an id of a form that exists, of nothing.
func none(prefix string) *string { return aws.String(prefix + "0123456789abcdef0") }

// The deletions by id.

func (l *lab) deleteVPC(id string) func() error {
	return send(l.DeleteVpc, &awsec2.DeleteVpcInput{VpcId: &id})
}

func (l *lab) deleteSubnet(id string) func() error {
	return send(l.DeleteSubnet, &awsec2.DeleteSubnetInput{SubnetId: &id})
}

func (l *lab) deleteTable(id string) func() error {
	return send(l.DeleteRouteTable, &awsec2.DeleteRouteTableInput{RouteTableId: &id})
}

func (l *lab) deleteGroup(id string) func() error {
	return send(l.DeleteSecurityGroup, &awsec2.DeleteSecurityGroupInput{GroupId: &id})
}

func (l *lab) detachGateway(s site) func() error {
	return send(l.DetachInternetGateway, &awsec2.DetachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc})
}

func (l *lab) release(id string) func() error {
	return send(l.ReleaseAddress, &awsec2.ReleaseAddressInput{AllocationId: &id})
}

func (l *lab) deleteInterface(id string) func() error {
	return send(l.DeleteNetworkInterface, &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &id})
}

func (l *lab) disassociateTable(id string) func() error {
	return send(l.DisassociateRouteTable, &awsec2.DisassociateRouteTableInput{AssociationId: &id})
}

// ended terminates an instance and waits until its interfaces are gone.
func (l *lab) ended(id string) func() error {
	return func() error {
		err := send(l.TerminateInstances, &awsec2.TerminateInstancesInput{InstanceIds: []string{id}})()
		if err == nil {
			l.waitState(id, types.InstanceStateNameTerminated)
		}
		return err
	}
}

// What scenes are made of.

// idle is an interface that nothing uses.
func (l *lab) idle(s site) string {
	l.t.Helper()
	in := &awsec2.CreateNetworkInterfaceInput{SubnetId: &s.subnet, Groups: []string{s.group}}
	return *must(l.CreateNetworkInterface(ctx, in))(l.t).NetworkInterface.NetworkInterfaceId
}

// address is an Elastic IP, on an instance or an interface where one is named; the second id is its association's.
func (l *lab) address(on string) (id, association string) {
	l.t.Helper()
	id = *must(l.AllocateAddress(ctx, &awsec2.AllocateAddressInput{}))(l.t).AllocationId
	if on == "" {
		return id, ""
	}
	in := &awsec2.AssociateAddressInput{AllocationId: &id, InstanceId: &on}
	if strings.HasPrefix(on, "eni-") {
		in.InstanceId, in.NetworkInterfaceId = nil, &on
	}
	return id, *must(l.AssociateAddress(ctx, in))(l.t).AssociationId
}

func (l *lab) volume(i types.Instance) string {
	l.t.Helper()
	in := &awsec2.CreateVolumeInput{AvailabilityZone: i.Placement.AvailabilityZone, Size: aws.Int32(8), VolumeType: types.VolumeTypeGp3}
	return *must(l.CreateVolume(ctx, in))(l.t).VolumeId
}

func (l *lab) group(vpc, name string) string {
	l.t.Helper()
	in := &awsec2.CreateSecurityGroupInput{VpcId: &vpc, GroupName: &name, Description: &name}
	return *must(l.CreateSecurityGroup(ctx, in))(l.t).GroupId
}

// defaults are the ids of what came with a VPC.
func (l *lab) defaults(vpc string) (table, association, group, acl string) {
	l.t.Helper()
	in := []types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}}
	main := append(in, types.Filter{Name: aws.String("association.main"), Values: []string{"true"}})
	t := must(l.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{Filters: main}))(l.t).RouteTables[0]
	named := append(in, types.Filter{Name: aws.String("group-name"), Values: []string{"default"}})
	g := must(l.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{Filters: named}))(l.t).SecurityGroups[0]
	a := must(l.DescribeNetworkAcls(ctx, &awsec2.DescribeNetworkAclsInput{Filters: in}))(l.t).NetworkAcls[0]
	return *t.RouteTableId, *t.Associations[0].RouteTableAssociationId, *g.GroupId, *a.NetworkAclId
}

// rule lets in what comes from a group.
func rule(group, peer string) *awsec2.AuthorizeSecurityGroupIngressInput {
	return &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{
		{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &peer}}}}}
}

func public(in *awsec2.RunInstancesInput) {
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex: aws.Int32(0), SubnetId: in.SubnetId, Groups: in.SecurityGroupIds, AssociatePublicIpAddress: aws.Bool(true)}}
	in.SubnetId, in.SecurityGroupIds = nil, nil
}

// exists asks for something by its id.
func (l *lab) exists(id string) func() error {
	ids := []string{id}
	prefix, _, _ := strings.Cut(id, "-")
	return map[string]func() error{
		"rtb":      send(l.DescribeRouteTables, &awsec2.DescribeRouteTablesInput{RouteTableIds: ids}),
		"sg":       send(l.DescribeSecurityGroups, &awsec2.DescribeSecurityGroupsInput{GroupIds: ids}),
		"sgr":      send(l.DescribeSecurityGroupRules, &awsec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: ids}),
		"acl":      send(l.DescribeNetworkAcls, &awsec2.DescribeNetworkAclsInput{NetworkAclIds: ids}),
		"dopt":     send(l.DescribeDhcpOptions, &awsec2.DescribeDhcpOptionsInput{DhcpOptionsIds: ids}),
		"vol":      send(l.DescribeVolumes, &awsec2.DescribeVolumesInput{VolumeIds: ids}),
		"eni":      send(l.DescribeNetworkInterfaces, &awsec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: ids}),
		"eipalloc": send(l.DescribeAddresses, &awsec2.DescribeAddressesInput{AllocationIds: ids}),
		"eipassoc": l.association(id),
		"rtbassoc": l.tableAssociation(id),
	}[prefix]
}

func (l *lab) association(id string) func() error {
	return func() error {
		out, err := l.DescribeAddresses(ctx, &awsec2.DescribeAddressesInput{Filters: []types.Filter{{Name: aws.String("association-id"), Values: []string{id}}}})
		if err == nil && len(out.Addresses) == 0 {
			err = fmt.Errorf("no address has the association %s", id)
		}
		return err
	}
}

func (l *lab) tableAssociation(id string) func() error {
	return func() error {
		out, err := l.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{Filters: []types.Filter{
			{Name: aws.String("association.route-table-association-id"), Values: []string{id}}}})
		if err == nil && len(out.RouteTables) == 0 {
			err = fmt.Errorf("no table has the association %s", id)
		}
		return err
	}
}

// route says whether a table leads a destination anywhere; "" as state takes any.
func (l *lab) route(table, destination string, state types.RouteState) func() error {
	return func() error {
		out, err := l.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{RouteTableIds: []string{table}})
		if err != nil {
			return err
		}
		for _, r := range out.RouteTables[0].Routes {
			if *r.DestinationCidrBlock == destination && (state == "" || r.State == state) {
				return nil
			}
		}
		return fmt.Errorf("table %s has no route to %s in state %q", table, destination, state)
	}
}
