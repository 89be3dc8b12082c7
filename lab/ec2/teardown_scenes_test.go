package ec2

import (
	"context"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/lab/world"
)

// scenes are those of all rows about AWS.
func scenes() map[string]func(*lab) scene {
	all := map[string]func(*lab) scene{}
	for _, part := range []map[string]func(*lab) scene{vpcScenes, gatewayScenes, groupScenes, instanceScenes, attachmentScenes, makeScenes, makeMachineScenes} {
		maps.Copy(all, part)
	}
	return all
}

// bare is a VPC with nothing in it.
func (l *lab) bare() string {
	l.t.Helper()
	return *must(l.CreateVpc(ctx, &awsec2.CreateVpcInput{CidrBlock: aws.String("10.7.0.0/16")}))(l.t).Vpc.VpcId
}

func (l *lab) usual() site {
	l.t.Helper()
	return l.site("10.7.0.0/16", "10.7.0.0/24")
}

var vpcScenes = map[string]func(*lab) scene{
	"aws-vpc-subnet": func(l *lab) scene {
		vpc := l.bare()
		subnet := *must(l.CreateSubnet(ctx, &awsec2.CreateSubnetInput{VpcId: &vpc, CidrBlock: aws.String("10.7.0.0/24")}))(l.t).Subnet.SubnetId
		return scene{Try: l.deleteVPC(vpc), Clear: l.deleteSubnet(subnet)}
	},
	"aws-vpc-gateway": func(l *lab) scene {
		s := site{vpc: l.bare(), igw: *must(l.CreateInternetGateway(ctx, &awsec2.CreateInternetGatewayInput{}))(l.t).InternetGateway.InternetGatewayId}
		l.do(send(l.AttachInternetGateway, &awsec2.AttachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc}))
		return scene{Try: l.deleteVPC(s.vpc), Clear: l.detachGateway(s)}
	},
	"aws-vpc-table": func(l *lab) scene {
		vpc := l.bare()
		table := *must(l.CreateRouteTable(ctx, &awsec2.CreateRouteTableInput{VpcId: &vpc}))(l.t).RouteTable.RouteTableId
		return scene{Try: l.deleteVPC(vpc), Clear: l.deleteTable(table)}
	},
	"aws-vpc-group": func(l *lab) scene {
		vpc := l.bare()
		return scene{Try: l.deleteVPC(vpc), Clear: l.deleteGroup(l.group(vpc, "nodes"))}
	},
	"aws-vpc-instance": func(l *lab) scene {
		s := l.usual()
		i := l.runOne(s)
		return scene{Try: l.deleteVPC(s.vpc), Clear: inTurn(l.ended(*i.InstanceId), l.deleteSubnet(s.subnet), l.deleteTable(s.table),
			l.deleteGroup(s.group), l.detachGateway(s))}
	},
	"aws-vpc-main-table": func(l *lab) scene {
		vpc := l.bare()
		table, _, _, _ := l.defaults(vpc)
		return scene{Try: l.deleteVPC(vpc), Other: l.exists(table)}
	},
	"aws-vpc-default-group": func(l *lab) scene {
		vpc := l.bare()
		_, _, group, _ := l.defaults(vpc)
		return scene{Try: l.deleteVPC(vpc), Other: l.exists(group)}
	},
	"aws-vpc-acl": func(l *lab) scene {
		vpc := l.bare()
		_, _, _, acl := l.defaults(vpc)
		return scene{Try: l.deleteVPC(vpc), Other: l.exists(acl)}
	},
	"aws-vpc-dhcp": func(l *lab) scene {
		vpc := l.bare()
		dhcp := must(l.DescribeVpcs(ctx, &awsec2.DescribeVpcsInput{VpcIds: []string{vpc}}))(l.t).Vpcs[0].DhcpOptionsId
		return scene{Try: l.deleteVPC(vpc), Other: l.exists(*dhcp)}
	},
	"aws-subnet-instance": func(l *lab) scene {
		s := l.usual()
		i := l.runOne(s)
		// A stopped instance is in the way as much as a running one.
		l.do(send(l.StopInstances, &awsec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}}))
		l.waitState(*i.InstanceId, types.InstanceStateNameStopped)
		return scene{Try: l.deleteSubnet(s.subnet), Clear: l.ended(*i.InstanceId)}
	},
	"aws-subnet-interface": func(l *lab) scene {
		s := l.usual()
		return scene{Try: l.deleteSubnet(s.subnet), Clear: l.deleteInterface(l.idle(s))}
	},
	"aws-subnet-association": func(l *lab) scene {
		s := l.usual()
		table := must(l.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{RouteTableIds: []string{s.table}}))(l.t).RouteTables[0]
		return scene{Try: l.deleteSubnet(s.subnet), Other: l.exists(*table.Associations[0].RouteTableAssociationId)}
	},
}

var gatewayScenes = map[string]func(*lab) scene{
	"aws-gateway-vpc": func(l *lab) scene {
		s := l.usual()
		return scene{Try: send(l.DeleteInternetGateway, &awsec2.DeleteInternetGatewayInput{InternetGatewayId: &s.igw}), Clear: l.detachGateway(s)}
	},
	"aws-gateway-address": func(l *lab) scene {
		s := l.usual()
		_, association := l.address(l.idle(s))
		return scene{Try: l.detachGateway(s), Clear: send(l.DisassociateAddress, &awsec2.DisassociateAddressInput{AssociationId: &association})}
	},
	"aws-gateway-instance": func(l *lab) scene {
		s := l.usual()
		i := l.runOne(s, public)
		return scene{Try: l.detachGateway(s), Clear: l.ended(*i.InstanceId)}
	},
	"aws-gateway-route": func(l *lab) scene {
		s := l.usual()
		return scene{Try: inTurn(l.detachGateway(s), l.route(s.table, "0.0.0.0/0", types.RouteStateBlackhole)), Other: l.route(s.table, "0.0.0.0/0", "")}
	},
	"aws-table-association": func(l *lab) scene {
		s := l.usual()
		table := must(l.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{RouteTableIds: []string{s.table}}))(l.t).RouteTables[0]
		return scene{Try: l.deleteTable(s.table), Clear: l.disassociateTable(*table.Associations[0].RouteTableAssociationId)}
	},
	"aws-table-main": func(l *lab) scene {
		vpc := l.bare()
		main, association, _, _ := l.defaults(vpc)
		other := *must(l.CreateRouteTable(ctx, &awsec2.CreateRouteTableInput{VpcId: &vpc}))(l.t).RouteTable.RouteTableId
		return scene{Try: l.deleteTable(main), Clear: send(l.ReplaceRouteTableAssociation,
			&awsec2.ReplaceRouteTableAssociationInput{AssociationId: &association, RouteTableId: &other})}
	},
	"aws-table-route": func(l *lab) scene {
		s := l.usual()
		l.do(l.deleteSubnet(s.subnet))
		return scene{Try: l.deleteTable(s.table), Other: l.route(s.table, "0.0.0.0/0", "")}
	},
	"aws-main-association": func(l *lab) scene {
		vpc := l.bare()
		_, association, _, _ := l.defaults(vpc)
		return scene{Try: l.disassociateTable(association), Then: l.deleteVPC(vpc)}
	},
	"aws-local-route": func(l *lab) scene {
		vpc := l.bare()
		table, _, _, _ := l.defaults(vpc)
		return scene{Try: send(l.DeleteRoute, &awsec2.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("10.7.0.0/16")}), Then: l.deleteVPC(vpc)}
	},
}

var groupScenes = map[string]func(*lab) scene{
	"aws-group-instance": func(l *lab) scene {
		s := l.usual()
		i := l.runOne(s)
		return scene{Try: l.deleteGroup(s.group), Clear: l.ended(*i.InstanceId)}
	},
	"aws-group-interface": func(l *lab) scene {
		s := l.usual()
		return scene{Try: l.deleteGroup(s.group), Clear: l.deleteInterface(l.idle(s))}
	},
	"aws-group-rule": func(l *lab) scene {
		s := l.usual()
		other := l.group(s.vpc, "other")
		allow := rule(other, s.group)
		l.do(send(l.AuthorizeSecurityGroupIngress, allow))
		return scene{Try: l.deleteGroup(s.group), Clear: send(l.RevokeSecurityGroupIngress,
			&awsec2.RevokeSecurityGroupIngressInput{GroupId: &other, IpPermissions: allow.IpPermissions})}
	},
	"aws-group-own-rule": func(l *lab) scene {
		s := l.usual()
		out := must(l.AuthorizeSecurityGroupIngress(ctx, rule(s.group, s.group)))(l.t)
		return scene{Try: l.deleteGroup(s.group), Other: l.exists(*out.SecurityGroupRules[0].SecurityGroupRuleId)}
	},
	"aws-default-group": func(l *lab) scene {
		vpc := l.bare()
		_, _, group, _ := l.defaults(vpc)
		return scene{Try: l.deleteGroup(group), Then: l.deleteVPC(vpc)}
	},
	"aws-address-association": func(l *lab) scene {
		id, association := l.address(l.idle(l.usual()))
		return scene{Try: l.release(id), Clear: send(l.DisassociateAddress, &awsec2.DisassociateAddressInput{AssociationId: &association})}
	},
}

var instanceScenes = map[string]func(*lab) scene{
	"aws-instance-protected": func(l *lab) scene {
		i := l.runOne(l.usual(), func(in *awsec2.RunInstancesInput) { in.DisableApiTermination = aws.Bool(true) })
		return scene{Try: l.ended(*i.InstanceId), Clear: send(l.ModifyInstanceAttribute,
			&awsec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId, DisableApiTermination: boolAttribute(false)})}
	},
	"aws-instance-root": func(l *lab) scene {
		i := l.runOne(l.usual())
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(*i.BlockDeviceMappings[0].Ebs.VolumeId)}
	},
	"aws-instance-root-kept": func(l *lab) scene {
		i := l.runOne(l.usual())
		l.do(send(l.ModifyInstanceAttribute, &awsec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId,
			BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{DeviceName: i.RootDeviceName,
				Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: aws.Bool(false)}}}}))
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(*i.BlockDeviceMappings[0].Ebs.VolumeId)}
	},
	"aws-instance-volume": func(l *lab) scene {
		i := l.runOne(l.usual())
		v := l.volume(i)
		l.do(send(l.AttachVolume, &awsec2.AttachVolumeInput{VolumeId: &v, InstanceId: i.InstanceId, Device: aws.String("/dev/sdf")}))
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(v)}
	},
	"aws-instance-interface": func(l *lab) scene {
		i := l.runOne(l.usual())
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(*i.NetworkInterfaces[0].NetworkInterfaceId)}
	},
	"aws-instance-interface-kept": func(l *lab) scene {
		i := l.runOne(l.usual())
		nic := i.NetworkInterfaces[0]
		l.do(send(l.ModifyNetworkInterfaceAttribute, &awsec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: nic.NetworkInterfaceId,
			Attachment: &types.NetworkInterfaceAttachmentChanges{AttachmentId: nic.Attachment.AttachmentId, DeleteOnTermination: aws.Bool(false)}}))
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(*nic.NetworkInterfaceId)}
	},
	"aws-instance-interface-later": func(l *lab) scene {
		s := l.usual()
		i, eni := l.runOne(s), l.idle(s)
		l.do(send(l.AttachNetworkInterface, &awsec2.AttachNetworkInterfaceInput{InstanceId: i.InstanceId, NetworkInterfaceId: &eni, DeviceIndex: aws.Int32(1)}))
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(eni)}
	},
	"aws-instance-association": func(l *lab) scene {
		i := l.runOne(l.usual())
		_, association := l.address(*i.InstanceId)
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(association)}
	},
	"aws-instance-address": func(l *lab) scene {
		i := l.runOne(l.usual())
		id, _ := l.address(*i.InstanceId)
		return scene{Try: l.ended(*i.InstanceId), Other: l.exists(id)}
	},
}

var attachmentScenes = map[string]func(*lab) scene{
	"aws-volume-instance": func(l *lab) scene {
		i := l.runOne(l.usual())
		v := l.volume(i)
		l.do(send(l.AttachVolume, &awsec2.AttachVolumeInput{VolumeId: &v, InstanceId: i.InstanceId, Device: aws.String("/dev/sdf")}))
		return scene{Try: send(l.DeleteVolume, &awsec2.DeleteVolumeInput{VolumeId: &v}), Clear: send(l.DetachVolume, &awsec2.DetachVolumeInput{VolumeId: &v})}
	},
	"aws-root-volume": func(l *lab) scene {
		i := l.runOne(l.usual())
		return scene{Try: send(l.DetachVolume, &awsec2.DetachVolumeInput{VolumeId: i.BlockDeviceMappings[0].Ebs.VolumeId}), Clear: func() error {
			err := send(l.StopInstances, &awsec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}})()
			l.waitState(*i.InstanceId, types.InstanceStateNameStopped)
			return err
		}}
	},
	"aws-interface-instance": func(l *lab) scene {
		s := l.usual()
		i, eni := l.runOne(s), l.idle(s)
		in := &awsec2.AttachNetworkInterfaceInput{InstanceId: i.InstanceId, NetworkInterfaceId: &eni, DeviceIndex: aws.Int32(1)}
		attachment := must(l.AttachNetworkInterface(ctx, in))(l.t).AttachmentId
		return scene{Try: l.deleteInterface(eni), Clear: send(l.DetachNetworkInterface, &awsec2.DetachNetworkInterfaceInput{AttachmentId: attachment})}
	},
	"aws-first-interface": func(l *lab) scene {
		i := l.runOne(l.usual())
		attachment := i.NetworkInterfaces[0].Attachment.AttachmentId
		return scene{Try: send(l.DetachNetworkInterface, &awsec2.DetachNetworkInterfaceInput{AttachmentId: attachment}), Then: l.ended(*i.InstanceId)}
	},
	"aws-interface-association": func(l *lab) scene {
		eni := l.idle(l.usual())
		_, association := l.address(eni)
		return scene{Try: l.deleteInterface(eni), Other: l.exists(association)}
	},
}

var makeScenes = map[string]func(*lab) scene{
	"aws-make-subnet": func(l *lab) scene {
		in := &awsec2.CreateSubnetInput{VpcId: none("vpc-"), CidrBlock: aws.String("10.7.0.0/24")}
		return scene{Try: send(l.CreateSubnet, in), Clear: func() error { in.VpcId = aws.String(l.bare()); return nil }}
	},
	"aws-make-gateway": func(l *lab) scene {
		igw := must(l.CreateInternetGateway(ctx, &awsec2.CreateInternetGatewayInput{}))(l.t).InternetGateway.InternetGatewayId
		in := &awsec2.AttachInternetGatewayInput{InternetGatewayId: igw, VpcId: none("vpc-")}
		return scene{Try: send(l.AttachInternetGateway, in), Clear: func() error { in.VpcId = aws.String(l.bare()); return nil }}
	},
	"aws-make-table": func(l *lab) scene {
		in := &awsec2.CreateRouteTableInput{VpcId: none("vpc-")}
		return scene{Try: send(l.CreateRouteTable, in), Clear: func() error { in.VpcId = aws.String(l.bare()); return nil }}
	},
	"aws-make-group": func(l *lab) scene {
		in := &awsec2.CreateSecurityGroupInput{VpcId: none("vpc-"), GroupName: aws.String("nodes"), Description: aws.String("nodes")}
		return scene{Try: send(l.CreateSecurityGroup, in), Clear: func() error { in.VpcId = aws.String(l.bare()); return nil }}
	},
	"aws-make-route": func(l *lab) scene {
		s := l.usual()
		in := &awsec2.CreateRouteInput{RouteTableId: none("rtb-"), DestinationCidrBlock: aws.String("198.51.100.0/24"), GatewayId: &s.igw}
		return scene{Try: send(l.CreateRoute, in), Clear: func() error { in.RouteTableId = &s.table; return nil }}
	},
	"aws-make-route-gateway": func(l *lab) scene {
		s := l.usual()
		in := &awsec2.CreateRouteInput{RouteTableId: &s.table, DestinationCidrBlock: aws.String("198.51.100.0/24"), GatewayId: none("igw-")}
		return scene{Try: send(l.CreateRoute, in), Clear: func() error { in.GatewayId = &s.igw; return nil }}
	},
	"aws-make-route-attached": func(l *lab) scene {
		s := l.usual()
		l.do(l.detachGateway(s))
		in := &awsec2.CreateRouteInput{RouteTableId: &s.table, DestinationCidrBlock: aws.String("198.51.100.0/24"), GatewayId: &s.igw}
		return scene{Try: send(l.CreateRoute, in), Clear: send(l.AttachInternetGateway, &awsec2.AttachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc})}
	},
	"aws-make-association-subnet": func(l *lab) scene {
		s := l.usual()
		in := &awsec2.AssociateRouteTableInput{RouteTableId: &s.table, SubnetId: none("subnet-")}
		return scene{Try: send(l.AssociateRouteTable, in), Clear: func() error { in.SubnetId = &s.subnet; return nil }}
	},
	"aws-make-association-table": func(l *lab) scene {
		s := l.usual()
		in := &awsec2.AssociateRouteTableInput{RouteTableId: none("rtb-"), SubnetId: &s.subnet}
		return scene{Try: send(l.AssociateRouteTable, in), Clear: func() error { in.RouteTableId = &s.table; return nil }}
	},
	"aws-make-rule": func(l *lab) scene {
		s := l.usual()
		in := rule(*none("sg-"), s.group)
		return scene{Try: send(l.AuthorizeSecurityGroupIngress, in), Clear: func() error { in.GroupId = &s.group; return nil }}
	},
	"aws-make-rule-peer": func(l *lab) scene {
		s := l.usual()
		in := rule(s.group, *none("sg-"))
		return scene{Try: send(l.AuthorizeSecurityGroupIngress, in), Clear: func() error { *in = *rule(s.group, s.group); return nil }}
	},
	"aws-make-interface": func(l *lab) scene {
		s := l.usual()
		in := &awsec2.CreateNetworkInterfaceInput{SubnetId: none("subnet-")}
		return scene{Try: send(l.CreateNetworkInterface, in), Clear: func() error { in.SubnetId = &s.subnet; return nil }}
	},
}

// run is the launch of an instance that lacks something, and what gives it that.
func (l *lab) run(s site, lack, give func(*awsec2.RunInstancesInput)) scene {
	l.t.Helper()
	in := &awsec2.RunInstancesInput{ImageId: aws.String(l.noble("x86_64")), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: &s.subnet, SecurityGroupIds: []string{s.group}}
	lack(in)
	return scene{Try: send(l.RunInstances, in), Clear: func() error { give(in); return nil }}
}

// held is an instance that stays pending until it is let go.
func (l *lab) held(s site) (id string, letGo func() error) {
	l.t.Helper()
	let := make(chan struct{})
	l.world.start = func(ctx context.Context, _ world.Machine) error {
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	out := must(l.RunInstances(ctx, &awsec2.RunInstancesInput{ImageId: aws.String(l.noble("x86_64")), InstanceType: types.InstanceTypeT3Small,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &s.subnet}))(l.t)
	id = *out.Instances[0].InstanceId
	return id, func() error {
		close(let)
		l.waitState(id, types.InstanceStateNameRunning)
		return nil
	}
}

var makeMachineScenes = map[string]func(*lab) scene{
	"aws-make-instance-subnet": func(l *lab) scene {
		s := l.usual()
		return l.run(s, func(in *awsec2.RunInstancesInput) { in.SubnetId = none("subnet-") }, func(in *awsec2.RunInstancesInput) { in.SubnetId = &s.subnet })
	},
	"aws-make-instance-group": func(l *lab) scene {
		s := l.usual()
		return l.run(s, func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{*none("sg-")} },
			func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{s.group} })
	},
	"aws-make-instance-network": func(l *lab) scene {
		s := l.usual()
		far := l.group(l.bare(), "nodes")
		return l.run(s, func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{far} },
			func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{s.group} })
	},
	"aws-make-instance-image": func(l *lab) scene {
		image := aws.String(l.noble("x86_64"))
		return l.run(l.usual(), func(in *awsec2.RunInstancesInput) { in.ImageId = none("ami-") }, func(in *awsec2.RunInstancesInput) { in.ImageId = image })
	},
	"aws-make-instance-key": func(l *lab) scene {
		return l.run(l.usual(), func(in *awsec2.RunInstancesInput) { in.KeyName = aws.String("mine") }, func(*awsec2.RunInstancesInput) {
			l.do(send(l.CreateKeyPair, &awsec2.CreateKeyPairInput{KeyName: aws.String("mine"), KeyType: types.KeyTypeEd25519}))
		})
	},
	"aws-make-instance-private": func(l *lab) scene {
		s := l.usual()
		first := l.runOne(s)
		return l.run(s, func(in *awsec2.RunInstancesInput) { in.PrivateIpAddress = first.PrivateIpAddress },
			func(*awsec2.RunInstancesInput) { l.do(l.ended(*first.InstanceId)) })
	},
	"aws-make-association-address": func(l *lab) scene {
		i := l.runOne(l.usual())
		in := &awsec2.AssociateAddressInput{AllocationId: none("eipalloc-"), InstanceId: i.InstanceId}
		return scene{Try: send(l.AssociateAddress, in), Clear: func() error {
			id, _ := l.address("")
			in.AllocationId = &id
			return nil
		}}
	},
	"aws-make-association-instance": func(l *lab) scene {
		s := l.usual()
		id, _ := l.address("")
		in := &awsec2.AssociateAddressInput{AllocationId: &id, InstanceId: none("i-")}
		return scene{Try: send(l.AssociateAddress, in), Clear: func() error { in.InstanceId = l.runOne(s).InstanceId; return nil }}
	},
	"aws-make-association-running": func(l *lab) scene {
		i, letGo := l.held(l.usual())
		id, _ := l.address("")
		return scene{Try: send(l.AssociateAddress, &awsec2.AssociateAddressInput{AllocationId: &id, InstanceId: &i}), Clear: letGo}
	},
	"aws-make-association-gateway": func(l *lab) scene {
		s := l.usual()
		i := l.runOne(s)
		l.do(l.detachGateway(s))
		id, _ := l.address("")
		return scene{Try: send(l.AssociateAddress, &awsec2.AssociateAddressInput{AllocationId: &id, InstanceId: i.InstanceId}),
			Clear: send(l.AttachInternetGateway, &awsec2.AttachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc})}
	},
	"aws-make-attachment": func(l *lab) scene {
		i, letGo := l.held(l.usual())
		v := l.volume(l.instance(i))
		return scene{Try: send(l.AttachVolume, &awsec2.AttachVolumeInput{VolumeId: &v, InstanceId: &i, Device: aws.String("/dev/sdf")}), Clear: letGo}
	},
}
