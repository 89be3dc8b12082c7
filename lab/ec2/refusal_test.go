package ec2

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/lab/world"
)

// step is one request with the code it must get ("" for success). Words in braces stand for ids that were remembered;
// save remembers the text of an element of the answer under a name.
type step struct {
	query string
	code  string
	save  string // "name=element"
}

// play sends requests in their order.
func (l *lab) play(ids map[string]string, steps []step) {
	l.t.Helper()
	for n, s := range steps {
		query := s.query
		for name, id := range ids {
			query = strings.ReplaceAll(query, "{"+name+"}", id)
		}
		if strings.Contains(query, "{") {
			l.t.Fatalf("step %d: %s: an id is not known", n, query)
		}
		_, code, message, body := l.query("Action=" + query)
		if code != s.code {
			l.t.Errorf("step %d: %s: got %q (%s), want %q", n, query, code, message, s.code)
		}
		if name, element, ok := strings.Cut(s.save, "="); ok {
			if ids[name] = between(body, "<"+element+">", "</"+element+">"); ids[name] == "" {
				l.t.Fatalf("step %d: no %s in %s", n, element, body)
			}
		}
	}
}

func TestRefusalsOfNetworks(t *testing.T) {
	l := newLab(t)
	l.play(map[string]string{"none": "0123456789abcdef0"}, []step{
		{"CreateVpc CidrBlock=10.0.0.0/15", "InvalidVpc.Range", ""},
		{"CreateVpc CidrBlock=10.0.0.0/29", "InvalidVpc.Range", ""},
		{"CreateVpc CidrBlock=169.254.0.0/16", "InvalidVpc.Range", ""},
		{"CreateVpc CidrBlock=ten", "InvalidParameterValue", ""},
		{"CreateVpc", "MissingParameter", ""},
		{"CreateVpc CidrBlock=10.0.0.0/16 AmazonProvidedIpv6CidrBlock=true", "UnsupportedOperation", ""},
		{"CreateVpc CidrBlock=10.0.0.0/16 TagSpecification.1.ResourceType=subnet TagSpecification.1.Tag.1.Key=a", "InvalidParameterValue", ""},
		{"CreateVpc CidrBlock=10.0.0.0/16 TagSpecification.1.ResourceType=vpc TagSpecification.1.Tag.1.Key=aws:x", "InvalidParameterValue", ""},
		{"CreateVpc CidrBlock=10.0.7.7/16 TagSpecification.1.ResourceType=vpc TagSpecification.1.Tag.1.Key=a TagSpecification.1.Tag.1.Value=b", "", "vpc=vpcId"},
		{"CreateVpc CidrBlock=10.1.0.0/16", "", "other=vpcId"},
		{"DescribeVpcs Filter.1.Name=cidr Filter.1.Value.1=10.0.0.0/16 Filter.2.Name=tag:a Filter.2.Value.1=?", "", "vpc=vpcId"},
		{"ModifyVpcAttribute VpcId={vpc}", "InvalidParameterCombination", ""},
		{"ModifyVpcAttribute VpcId={vpc} EnableDnsSupport.Value=true EnableDnsHostnames.Value=true", "InvalidParameterCombination", ""},
		{"ModifyVpcAttribute VpcId={vpc} EnableDnsHostnames.Value=true", "", ""},
		{"DescribeVpcAttribute VpcId={vpc} Attribute=enableDnsHostnames", "", "x=enableDnsHostnames"},
		{"DescribeVpcAttribute VpcId={vpc} Attribute=colour", "InvalidParameterValue", ""},
		{"CreateSubnet VpcId=vpc-{none} CidrBlock=10.0.0.0/24", "InvalidVpcID.NotFound", ""},
		{"CreateSubnet VpcId={vpc} CidrBlock=10.1.0.0/24", "InvalidSubnet.Range", ""},
		{"CreateSubnet VpcId={vpc} CidrBlock=10.0.0.0/29", "InvalidSubnet.Range", ""},
		{"CreateSubnet VpcId={vpc} CidrBlock=10.0.0.0/15", "InvalidSubnet.Range", ""},
		{"CreateSubnet VpcId={vpc} CidrBlock=10.0.0.0/24 AvailabilityZone=us-east-1a", "InvalidParameterValue", ""},
		{"CreateSubnet VpcId={vpc} CidrBlock=10.0.0.0/24 AvailabilityZone=eu-central-1b", "", "subnet=subnetId"},
		{"CreateSubnet VpcId={vpc} CidrBlock=10.0.0.128/25", "InvalidSubnet.Conflict", ""},
		{"CreateSubnet VpcId={other} CidrBlock=10.1.0.0/28", "", "far=subnetId"},
		{"ModifySubnetAttribute SubnetId={subnet}", "InvalidParameterCombination", ""},
		{"ModifySubnetAttribute SubnetId={subnet} EnableDns64.Value=true", "UnsupportedOperation", ""},
		{"DeleteSubnet SubnetId=subnet-{none}", "InvalidSubnetID.NotFound", ""},
		{"CreateInternetGateway", "", "igw=internetGatewayId"},
		{"CreateInternetGateway", "", "igw2=internetGatewayId"},
		{"AttachInternetGateway InternetGatewayId=igw-{none} VpcId={vpc}", "InvalidInternetGatewayID.NotFound", ""},
		{"DetachInternetGateway InternetGatewayId={igw} VpcId={vpc}", "Gateway.NotAttached", ""},
		{"CreateRouteTable VpcId={vpc} ClientToken=once", "", "rtb=routeTableId"},
		{"CreateRouteTable VpcId={vpc} ClientToken=once", "", "rtb=routeTableId"},
		{"CreateRouteTable VpcId={other} ClientToken=once", "IdempotentParameterMismatch", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 GatewayId={igw}", "InvalidParameterValue", ""},
		{"AttachInternetGateway InternetGatewayId={igw} VpcId={vpc}", "", ""},
		{"AttachInternetGateway InternetGatewayId={igw} VpcId={other}", "Resource.AlreadyAssociated", ""},
		{"AttachInternetGateway InternetGatewayId={igw2} VpcId={vpc}", "InvalidParameterValue", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0", "MissingParameter", ""},
		{"CreateRoute RouteTableId={rtb} GatewayId={igw}", "MissingParameter", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 GatewayId={igw} InstanceId=i-{none}", "InvalidParameterCombination", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 NatGatewayId=nat-{none}", "UnsupportedOperation", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=10.0.0.0/16 GatewayId={igw}", "RouteAlreadyExists", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=10.0.1.0/24 GatewayId={igw}", "InvalidParameterValue", ""},
		{"ReplaceRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 GatewayId={igw}", "InvalidParameterValue", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 GatewayId={igw}", "", ""},
		{"CreateRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 GatewayId={igw}", "", ""},
		{"ReplaceRoute RouteTableId={rtb} DestinationCidrBlock=0.0.0.0/0 GatewayId={igw}", "", ""},
		{"DeleteRoute RouteTableId={rtb} DestinationCidrBlock=10.0.0.0/16", "InvalidParameterValue", ""},
		{"DeleteRoute RouteTableId={rtb} DestinationCidrBlock=10.9.0.0/16", "InvalidRoute.NotFound", ""},
		{"AssociateRouteTable RouteTableId={rtb} SubnetId={far}", "InvalidParameterValue", ""},
		{"AssociateRouteTable RouteTableId={rtb} SubnetId={subnet}", "", "assoc=associationId"},
		{"AssociateRouteTable RouteTableId={rtb} SubnetId={subnet}", "", "assoc=associationId"},
		{"CreateRouteTable VpcId={vpc}", "", "rtb2=routeTableId"},
		{"AssociateRouteTable RouteTableId={rtb2} SubnetId={subnet}", "Resource.AlreadyAssociated", ""},
		{"DeleteRouteTable RouteTableId={rtb}", "DependencyViolation", ""},
		{"ReplaceRouteTableAssociation AssociationId={assoc} RouteTableId={rtb2}", "", "assoc=newAssociationId"},
		{"DisassociateRouteTable AssociationId=rtbassoc-{none}", "InvalidAssociationID.NotFound", ""},
		{"DisassociateRouteTable AssociationId={assoc}", "", ""},
		{"DeleteRouteTable RouteTableId={rtb2}", "", ""},
		{"DescribeRouteTables Filter.1.Name=vpc-id Filter.1.Value.1={vpc} Filter.2.Name=association.main Filter.2.Value.1=true", "", "main=routeTableId"},
		{"DeleteRouteTable RouteTableId={main}", "DependencyViolation", ""},
		{"DescribeRouteTables RouteTableId.1={main}", "", "mainassoc=routeTableAssociationId"},
		{"DisassociateRouteTable AssociationId={mainassoc}", "InvalidParameterValue", ""},
		{"ReplaceRouteTableAssociation AssociationId={mainassoc} RouteTableId={rtb}", "", ""},
		{"DeleteRouteTable RouteTableId={main}", "", ""},
		{"DeleteVpc VpcId={vpc}", "DependencyViolation", ""},
		{"DeleteSubnet SubnetId={subnet}", "", ""},
		{"DeleteVpc VpcId={vpc}", "DependencyViolation", ""},
		{"DeleteInternetGateway InternetGatewayId={igw}", "DependencyViolation", ""},
		{"DetachInternetGateway InternetGatewayId={igw} VpcId={vpc}", "", ""},
		{"DescribeRouteTables Filter.1.Name=route.state Filter.1.Value.1=blackhole", "", "x=routeTableId"},
		{"DeleteInternetGateway InternetGatewayId={igw}", "", ""},
		{"DeleteVpc VpcId={vpc}", "", ""},
		{"DeleteVpc VpcId={vpc}", "InvalidVpcID.NotFound", ""},
		{"CreateDefaultVpc", "DefaultVpcAlreadyExists", ""},
		{"DescribeDhcpOptions", "", "dopt=dhcpOptionsId"},
		{"DescribeNetworkAcls Filter.1.Name=default Filter.1.Value.1=true", "", "acl=networkAclId"},
		{"CreateTags ResourceId.1={acl} Tag.1.Key=a Tag.1.Value=", "", ""},
		{"CreateTags ResourceId.1=foo-1 Tag.1.Key=a", "InvalidID", ""},
		{"CreateTags ResourceId.1=vpc-{none} Tag.1.Key=a", "InvalidVpcID.NotFound", ""},
		{"DescribeTags Filter.1.Name=resource-id Filter.1.Value.1={acl}", "", "x=resourceType"},
		{"DeleteTags ResourceId.1={acl} Tag.1.Key=a Tag.1.Value=no", "", ""},
		{"DescribeTags Filter.1.Name=key Filter.1.Value.1=a", "", "x=resourceType"},
		{"DeleteTags ResourceId.1={acl}", "", ""},
		{"DescribeRegions RegionName.1=eu-moon-1", "InvalidParameterValue", ""},
		{"DescribeRegions AllRegions=true Filter.1.Name=opt-in-status Filter.1.Value.1=not-opted-in", "", "x=regionName"},
		{"DescribeAvailabilityZones ZoneName.1=mars", "InvalidParameterValue", ""},
		{"DescribeAccountAttributes AttributeName.1=default-vpc", "", "x=attributeValue"},
		{"DescribeAccountAttributes AttributeName.1=colour", "InvalidParameterValue", ""},
	})
	for n := range 4 {
		_, code, _, _ := l.query(fmt.Sprintf("Action=CreateVpc CidrBlock=10.2%d.0.0/16", n))
		if want := map[bool]string{true: "VpcLimitExceeded"}[n == 3]; code != want {
			t.Errorf("VPC %d: got %q, want %q", n+3, code, want)
		}
	}
}

func TestRefusalsOfGroups(t *testing.T) {
	l := newLab(t)
	peer := "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"
	l.play(map[string]string{"none": "0123456789abcdef0"}, []step{
		{"CreateVpc CidrBlock=10.0.0.0/16", "", "vpc=vpcId"},
		{"CreateSecurityGroup GroupName=a GroupDescription=a VpcId={vpc}", "", "a=groupId"},
		{"CreateSecurityGroup GroupName=b GroupDescription=b VpcId={vpc}", "", "b=groupId"},
		{"CreateSecurityGroup GroupName=a GroupDescription=a VpcId={vpc}", "InvalidGroup.Duplicate", ""},
		{"CreateSecurityGroup GroupName=default GroupDescription=a VpcId={vpc}", "InvalidGroup.Reserved", ""},
		{"CreateSecurityGroup GroupName=sg-a GroupDescription=a VpcId={vpc}", "InvalidParameterValue", ""},
		{"CreateSecurityGroup GroupName=a^b GroupDescription=a VpcId={vpc}", "InvalidParameterValue", ""},
		{"CreateSecurityGroup GroupName=c VpcId={vpc}", "MissingParameter", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a}", "MissingParameter", ""},
		{"AuthorizeSecurityGroupIngress GroupId=sg-{none} IpPermissions.1.IpProtocol=-1 " + peer, "InvalidGroup.NotFound", ""},
		{"AuthorizeSecurityGroupIngress GroupId=a IpPermissions.1.IpProtocol=-1 " + peer, "InvalidGroupId.Malformed", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=tcp " + peer, "InvalidParameterValue", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=9 IpPermissions.1.ToPort=8 " + peer, "InvalidParameterValue", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=carrier " + peer, "InvalidPermission.Malformed", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=-1", "MissingParameter", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=-1 IpPermissions.1.IpRanges.1.CidrIp=all", "InvalidParameterValue", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=-1 IpPermissions.1.Groups.1.GroupId=sg-{none}", "InvalidGroup.NotFound", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=-1 IpPermissions.1.PrefixListIds.1.PrefixListId=pl-1", "UnsupportedOperation", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=6 IpPermissions.1.FromPort=22 IpPermissions.1.ToPort=22 " + peer, "", "rule=securityGroupRuleId"},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpProtocol=tcp FromPort=22 ToPort=22 CidrIp=10.1.2.3/8", "InvalidPermission.Duplicate", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=-1 " + peer + " IpPermissions.1.IpRanges.2.CidrIp=10.0.0.0/8", "InvalidParameterValue", ""},
		{"AuthorizeSecurityGroupEgress GroupId={a} IpPermissions.1.IpProtocol=-1 IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0", "InvalidPermission.Duplicate", ""},
		{"AuthorizeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=udp IpPermissions.1.FromPort=53 IpPermissions.1.ToPort=53 IpPermissions.1.Groups.1.GroupId={b}", "", ""},
		{"DescribeSecurityGroups Filter.1.Name=ip-permission.group-id Filter.1.Value.1={b}", "", "a=groupId"},
		{"DescribeSecurityGroups Filter.1.Name=ip-permission.from-port Filter.1.Value.1=22", "", "a=groupId"},
		{"DeleteSecurityGroup GroupId={b}", "DependencyViolation", ""},
		{"DescribeSecurityGroupRules Filter.1.Name=group-id Filter.1.Value.1={a}", "", "x=securityGroupRuleId"},
		{"ModifySecurityGroupRules GroupId={a} SecurityGroupRule.1.SecurityGroupRuleId={rule} SecurityGroupRule.1.SecurityGroupRule.IpProtocol=tcp " +
			"SecurityGroupRule.1.SecurityGroupRule.FromPort=443 SecurityGroupRule.1.SecurityGroupRule.ToPort=443 SecurityGroupRule.1.SecurityGroupRule.CidrIpv4=0.0.0.0/0", "", ""},
		{"UpdateSecurityGroupRuleDescriptionsIngress GroupId={a} SecurityGroupRuleDescription.1.SecurityGroupRuleId={rule} SecurityGroupRuleDescription.1.Description=web", "", ""},
		{"DescribeSecurityGroupRules SecurityGroupRuleId.1={rule}", "", "x=description"},
		{"RevokeSecurityGroupIngress GroupId={a} IpProtocol=tcp FromPort=22 ToPort=22 CidrIp=10.0.0.0/8", "InvalidPermission.NotFound", ""},
		{"RevokeSecurityGroupIngress GroupId={a} SecurityGroupRuleId.1=sgr-{none}", "InvalidSecurityGroupRuleId.NotFound", ""},
		{"RevokeSecurityGroupIngress GroupId={a} SecurityGroupRuleId.1={rule}", "", ""},
		{"RevokeSecurityGroupIngress GroupId={a} IpPermissions.1.IpProtocol=17 IpPermissions.1.FromPort=53 IpPermissions.1.ToPort=53 IpPermissions.1.Groups.1.GroupId={b}", "", ""},
		{"DeleteSecurityGroup GroupId={b}", "", ""},
		{"DescribeSecurityGroups Filter.1.Name=vpc-id Filter.1.Value.1={vpc} Filter.2.Name=group-name Filter.2.Value.1=default", "", "default=groupId"},
		{"DeleteSecurityGroup GroupId={default}", "CannotDelete", ""},
		{"GetSecurityGroupsForVpc VpcId={vpc}", "", "x=primaryVpcId"},
		{"DeleteVpc VpcId={vpc}", "DependencyViolation", ""},
		{"DeleteSecurityGroup GroupId={a}", "", ""},
		{"DeleteVpc VpcId={vpc}", "", ""},
		{"DescribeSecurityGroups GroupName.1=nobody", "InvalidGroup.NotFound", ""},
	})
}

func TestRefusalsOfInstances(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Limits.VCPUs = 8 })
	arm, amd := l.noble("arm64"), l.noble("x86_64")
	s := l.site("10.0.0.0/16", "10.0.0.0/28")
	ids := map[string]string{"none": "0123456789abcdef0", "amd": amd, "arm": arm, "subnet": s.subnet, "vpc": s.vpc, "group": s.group, "igw": s.igw}
	one := "RunInstances MinCount=1 MaxCount=1 ImageId={amd} "
	big := base64.StdEncoding.EncodeToString(make([]byte, 16385))
	l.play(ids, []step{
		{"RunInstances ImageId={amd}", "MissingParameter", ""},
		{"RunInstances MinCount=1 MaxCount=1", "MissingParameter", ""},
		{"RunInstances MinCount=2 MaxCount=1 ImageId={amd}", "InvalidParameterCombination", ""},
		{"RunInstances MinCount=0 MaxCount=1 ImageId={amd}", "InvalidParameterValue", ""},
		{"RunInstances MinCount=1 MaxCount=1 ImageId=ami-{none}", "InvalidAMIID.NotFound", ""},
		{"RunInstances MinCount=1 MaxCount=1 ImageId=ubuntu", "InvalidAMIID.Malformed", ""},
		{one + "InstanceType=t9.huge", "InvalidParameterValue", ""},
		{"RunInstances MinCount=1 MaxCount=1 ImageId={arm} InstanceType=t3.small", "InvalidParameterValue", ""},
		{one + "InstanceType=t4g.small", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small KeyName=nokey", "InvalidKeyPair.NotFound", ""},
		{one + "InstanceType=t3.small UserData=!", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small UserData=" + big, "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small SubnetId=subnet-{none}", "InvalidSubnetID.NotFound", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} SecurityGroupId.1=sg-{none}", "InvalidGroup.NotFound", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} Placement.AvailabilityZone=eu-central-1c", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} NetworkInterface.1.DeviceIndex=0", "InvalidParameterCombination", ""},
		{one + "InstanceType=t3.small NetworkInterface.1.SubnetId={subnet}", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small NetworkInterface.1.SubnetId={subnet} NetworkInterface.1.DeviceIndex=1", "InvalidParameterCombination", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} PrivateIpAddress=10.0.0.3", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} PrivateIpAddress=10.0.0.15", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} PrivateIpAddress=10.0.1.4", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} IamInstanceProfile.Name=admin", "UnsupportedOperation", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} InstanceMarketOptions.MarketType=spot", "UnsupportedOperation", ""},
		{one + "InstanceType=m5.large SubnetId={subnet} CreditSpecification.CpuCredits=standard", "InvalidParameterCombination", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} MetadataOptions.HttpTokens=perhaps", "InvalidParameterValue", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} BlockDeviceMapping.1.DeviceName=/dev/sda1 BlockDeviceMapping.1.Ebs.VolumeSize=4", "InvalidBlockDeviceMapping", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} BlockDeviceMapping.1.DeviceName=/dev/sdf BlockDeviceMapping.1.Ebs.VolumeType=gp9 BlockDeviceMapping.1.Ebs.VolumeSize=4", "InvalidParameterValue", ""},
		{one + "InstanceType=c5.4xlarge SubnetId={subnet}", "VcpuLimitExceeded", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} PrivateIpAddress=10.0.0.4 ClientToken=tok", "", "i=instanceId"},
		{one + "InstanceType=t3.small SubnetId={subnet} PrivateIpAddress=10.0.0.4 ClientToken=tok", "", "i=instanceId"},
		{one + "InstanceType=t3.large SubnetId={subnet} PrivateIpAddress=10.0.0.4 ClientToken=tok", "IdempotentParameterMismatch", ""},
		{one + "InstanceType=t3.small SubnetId={subnet} PrivateIpAddress=10.0.0.4", "InvalidIPAddress.InUse", ""},
	})
	l.waitState(ids["i"], "running")
	l.play(ids, []step{
		{"CreateNetworkInterface SubnetId={subnet} SecurityGroupId.1={group} Description=second", "", "eni=networkInterfaceId"},
		{"AttachNetworkInterface NetworkInterfaceId={eni} InstanceId={i} DeviceIndex=0", "InvalidParameterValue", ""},
		{"AttachNetworkInterface NetworkInterfaceId={eni} InstanceId={i} DeviceIndex=1", "", "attach=attachmentId"},
		{"AttachNetworkInterface NetworkInterfaceId={eni} InstanceId={i} DeviceIndex=2", "InvalidNetworkInterface.InUse", ""},
		{"DeleteNetworkInterface NetworkInterfaceId={eni}", "InvalidParameterValue", ""},
		{"ModifyInstanceAttribute InstanceId={i} SourceDestCheck.Value=false", "InvalidInstanceID", ""},
		{"ModifyNetworkInterfaceAttribute NetworkInterfaceId={eni} SourceDestCheck.Value=false", "", ""},
		{"DescribeNetworkInterfaceAttribute NetworkInterfaceId={eni} Attribute=sourceDestCheck", "", ""},
		{"DescribeInstances Filter.1.Name=network-interface.description Filter.1.Value.1=second", "", "i=instanceId"},
		{"DetachNetworkInterface AttachmentId={attach}", "", ""},
		{"DetachNetworkInterface AttachmentId={attach}", "InvalidAttachmentID.NotFound", ""},
		{"DeleteNetworkInterface NetworkInterfaceId={eni}", "", ""},
		{"DescribeNetworkInterfaces Filter.1.Name=attachment.instance-id Filter.1.Value.1={i}", "", "attach=attachmentId"},
		{"DetachNetworkInterface AttachmentId={attach}", "OperationNotPermitted", ""},
		{"ModifyInstanceAttribute InstanceId={i}", "InvalidParameterCombination", ""},
		{"ModifyInstanceAttribute InstanceId={i} InstanceType.Value=t3.large", "IncorrectInstanceState", ""},
		{"ModifyInstanceAttribute InstanceId={i} DisableApiTermination.Value=true", "", ""},
		{"TerminateInstances InstanceId.1={i}", "OperationNotPermitted", ""},
		{"ModifyInstanceAttribute InstanceId={i} Attribute=disableApiTermination Value=false", "", ""},
		{"DescribeInstanceAttribute InstanceId={i} Attribute=userData", "", ""},
		{"DescribeInstanceAttribute InstanceId={i} Attribute=groupSet", "", "x=groupId"},
		{"ModifyInstanceMetadataOptions InstanceId={i} HttpEndpoint=disabled", "", "x=httpEndpoint"},
		{"DescribeInstanceStatus InstanceId.1={i}", "", "x=systemStatus"},
		{"DescribeInstanceCreditSpecifications InstanceId.1={i}", "", "x=cpuCredits"},
		{"GetConsoleOutput InstanceId={i}", "", "x=output"},
		{"StartInstances InstanceId.1={i}", "", ""},
		{"StopInstances InstanceId.1=i-{none} InstanceId.2={i}", "InvalidInstanceID.NotFound", ""},
		{"StopInstances", "MissingParameter", ""},
		{"DescribeInstances InstanceId.1={i} MaxResults=5", "InvalidParameterCombination", ""},
		{"CreateVolume AvailabilityZone=eu-central-1a", "MissingParameter", ""},
		{"CreateVolume Size=8 AvailabilityZone=mars", "InvalidZone.NotFound", ""},
		{"CreateVolume Size=8 AvailabilityZone=eu-central-1a Iops=3000", "InvalidParameterCombination", ""},
		{"CreateVolume Size=8 AvailabilityZone=eu-central-1b VolumeType=gp3", "", "far=volumeId"},
		{"CreateVolume Size=8 AvailabilityZone=eu-central-1a VolumeType=gp3", "", "vol=volumeId"},
		{"AttachVolume VolumeId={far} InstanceId={i} Device=/dev/sdf", "InvalidVolume.ZoneMismatch", ""},
		{"AttachVolume VolumeId={vol} InstanceId={i} Device=/dev/sda1", "InvalidParameterValue", ""},
		{"DetachVolume VolumeId={vol}", "IncorrectState", ""},
		{"AttachVolume VolumeId={vol} InstanceId={i} Device=/dev/sdf", "", ""},
		{"AttachVolume VolumeId={vol} InstanceId={i} Device=/dev/sdg", "VolumeInUse", ""},
		{"DeleteVolume VolumeId={vol}", "VolumeInUse", ""},
		{"ModifyVolume VolumeId={vol} Size=4", "InvalidParameterValue", ""},
		{"ModifyVolume VolumeId={vol} Size=16", "", "x=targetSize"},
		{"ModifyVolume VolumeId={vol} Size=17", "VolumeModificationRateExceeded", ""},
		{"DescribeVolumesModifications VolumeId.1={vol}", "", "x=targetSize"},
		{"DescribeVolumeStatus", "", "x=volumeStatus"},
		{"DetachVolume VolumeId={vol}", "", ""},
		{"DeleteVolume VolumeId={vol}", "", ""},
		{"DescribeVolumes Filter.1.Name=attachment.instance-id Filter.1.Value.1={i}", "", "root=volumeId"},
		{"DetachVolume VolumeId={root}", "OperationNotPermitted", ""},
		{"DeleteVolume VolumeId=vol-{none}", "InvalidVolume.NotFound", ""},
		{"AllocateAddress Domain=standard", "InvalidParameterValue", ""},
		{"AllocateAddress", "", "eip=allocationId"},
		{"AllocateAddress", "", "eip2=allocationId"},
		{"AssociateAddress AllocationId={eip}", "MissingParameter", ""},
		{"AssociateAddress AllocationId=eipalloc-{none} InstanceId={i}", "InvalidAllocationID.NotFound", ""},
		{"AssociateAddress AllocationId={eip} InstanceId={i}", "", "assoc=associationId"},
		{"AssociateAddress AllocationId={eip} InstanceId={i}", "", "assoc=associationId"},
		{"AssociateAddress AllocationId={eip2} InstanceId={i} AllowReassociation=false", "Resource.AlreadyAssociated", ""},
		{"DisassociateAddress AssociationId=eipassoc-{none}", "InvalidAssociationID.NotFound", ""},
		{"DetachInternetGateway InternetGatewayId={igw} VpcId={vpc}", "DependencyViolation", ""},
		{"DescribeAddresses Filter.1.Name=instance-id Filter.1.Value.1={i}", "", "x=associationId"},
		{"DescribeAddresses PublicIp.1=198.18.9.9", "InvalidAddress.NotFound", ""},
		{"DescribeAddressesAttribute AllocationId.1={eip}", "", ""},
		{"ReleaseAddress AllocationId={eip2}", "", ""},
		{"RunInstances MinCount=1 MaxCount=20 ImageId={amd} InstanceType=t3.small SubnetId={subnet}", "", ""},
		{"RunInstances MinCount=1 MaxCount=1 ImageId={amd} InstanceType=t3.small SubnetId={subnet}", "VcpuLimitExceeded", ""},
		{"TerminateInstances InstanceId.1={i}", "", ""},
	})
	// Three more of two processors fitted in the limit of eight.
	if out := must(l.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{}))(t); len(out.Reservations) != 2 || len(out.Reservations[0].Instances)+len(out.Reservations[1].Instances) != 4 {
		t.Errorf("%d reservations", len(out.Reservations))
	}
	l.waitState(ids["i"], "terminated")
	l.play(ids, []step{
		{"DisassociateAddress AssociationId={assoc}", "InvalidAssociationID.NotFound", ""},
		{"ReleaseAddress AllocationId={eip}", "", ""},
		{"StartInstances InstanceId.1={i}", "IncorrectInstanceState", ""},
		{"ModifyInstanceAttribute InstanceId={i} DisableApiTermination.Value=true", "IncorrectInstanceState", ""},
		{"TerminateInstances InstanceId.1={i}", "", ""},
	})
	for n := range 6 {
		_, code, _, _ := l.query("Action=AllocateAddress")
		if want := map[bool]string{true: "AddressLimitExceeded"}[n == 5]; code != want {
			t.Errorf("address %d: got %q, want %q", n, code, want)
		}
	}
}

// TestNoMoreAddresses uses the public pool up, and a subnet.
func TestNoMoreAddresses(t *testing.T) {
	l := newLab(t, func(c *Config) {
		pool := world.NewPool(netip.MustParsePrefix("198.18.0.0/30"))
		c.Pools = func(string) *world.Pool { return pool }
	})
	s := l.site("10.0.0.0/16", "10.0.0.0/28")
	run := func(count int32, public bool) error {
		in := &awsec2.RunInstancesInput{ImageId: aws.String(l.noble("x86_64")), InstanceType: "t3.micro", MinCount: &count, MaxCount: &count, SubnetId: &s.subnet}
		must(l.ModifySubnetAttribute(ctx, &awsec2.ModifySubnetAttributeInput{SubnetId: &s.subnet, MapPublicIpOnLaunch: boolAttribute(public)}))(t)
		_, err := l.RunInstances(ctx, in)
		return err
	}
	wantCode(t, run(3, true), "InsufficientAddressCapacity")
	if err := run(2, true); err != nil {
		t.Fatalf("the refused launch kept addresses: %v", err)
	}
	wantCode(t, run(10, false), "InsufficientFreeAddressesInSubnet")
	if err := run(9, false); err != nil {
		t.Error(err)
	}
}

// TestForgotten: a terminated instance is shown for an hour.
func TestForgotten(t *testing.T) {
	l := newLab(t)
	i := l.runOne(l.site("10.0.0.0/16", "10.0.0.0/24"))
	must(l.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}))(t)
	l.waitState(*i.InstanceId, "terminated")
	l.mu.Lock()
	r := l.rec.Regions[testRegion]
	r.forget(l.clock().Add(59 * time.Minute))
	before := len(r.Instances)
	r.forget(l.clock().Add(61 * time.Minute))
	after := len(r.Instances)
	l.mu.Unlock()
	if before != 1 || after != 0 {
		t.Errorf("%d instances after 59 minutes, %d after 61", before, after)
	}
}

func boolAttribute(b bool) *types.AttributeBooleanValue {
	return &types.AttributeBooleanValue{Value: &b}
}
