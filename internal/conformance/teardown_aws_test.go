package conformance_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
)

// Keys of the site that the acts are about.
const (
	awsVPC, awsGateway, awsSubnet, awsTable = "conf-vpc", "conf-igw", "conf-subnet-a", "conf-routes"
	awsGroup, awsWorker, awsCP              = "conf-sg-nodes", "conf-node-conf-web-1", "conf-node-conf-cp-1"
	awsAddress, awsAssociation              = "conf-ip-conf-cp-1", "conf-ip-conf-cp-1-assoc"
)

// TestAWSTeardown holds the driver against each row about AWS.
func TestAWSTeardown(t *testing.T) {
	play(t, teardown.AWS, awsActs(), awsStage)
}

func awsActs() acts {
	return acts{
		"aws-vpc-main-table": whole, "aws-vpc-default-group": whole, "aws-vpc-acl": whole, "aws-vpc-dhcp": whole,
		"aws-gateway-route": whole, "aws-table-route": whole, "aws-group-own-rule": whole,
		"aws-instance-root": whole, "aws-instance-interface": whole,
		"aws-gateway-vpc": whole, "aws-table-association": whole,
		"aws-gateway-instance": withOrder(awsGateway, awsWorker), // one with a public address of its own

		"aws-subnet-association":       awsSubnetFirst,
		"aws-subnet-interface":         awsIdle(awsSubnet),
		"aws-group-interface":          awsIdle(awsGroup),
		"aws-interface-association":    awsIdleWithAddress,
		"aws-table-main":               awsMainTable,
		"aws-group-rule":               awsGroupRule,
		"aws-instance-protected":       awsProtected,
		"aws-instance-root-kept":       awsRootKept,
		"aws-instance-interface-kept":  awsInterfaceKept,
		"aws-instance-volume":          awsVolume,
		"aws-volume-instance":          awsVolume,
		"aws-instance-interface-later": awsInterfaceLater,
		"aws-interface-instance":       awsInterfaceInUse,
		"aws-instance-association":     awsAssociationAlong,
		"aws-instance-address":         awsAssociationAlong,

		"aws-make-route-attached":       awsDetached,
		"aws-make-association-instance": awsEndedInstance,
		"aws-make-route":                whole, "aws-make-association-table": whole, "aws-make-rule": whole, "aws-make-rule-peer": whole,
		"aws-make-instance-network": whole, "aws-make-instance-image": whole,
		"aws-make-instance-private": awsAgain, "aws-make-association-running": awsAgain,
	}
}

// ec2Do checks a call behind the driver's back.
func ec2Do[T any](s *stage, out T, err error) T {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return out
}

func (s *stage) id(key string) *string { return sdk.String(s.there[key].ID) }

func (s *stage) instance(key string) types.Instance {
	s.Helper()
	out, err := s.aws.client().DescribeInstances(s.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*s.id(key)}})
	return ec2Do(s, out, err).Reservations[0].Instances[0]
}

// idle is an interface that nothing uses, with the cluster's mark or without.
func (s *stage) idle(marked bool) string {
	s.Helper()
	in := &ec2.CreateNetworkInterfaceInput{SubnetId: s.id(awsSubnet)}
	if g := s.id(awsGroup); *g != "" {
		in.Groups = []string{*g}
	}
	if marked {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeNetworkInterface, Tags: []types.Tag{
			{Key: sdk.String(cloud.TagCluster), Value: sdk.String(cloudtest.TestOwner.UID)}, {Key: sdk.String(cloud.TagKey), Value: sdk.String(awsWorker + "-nic")},
		}}}
	}
	out, err := s.aws.client().CreateNetworkInterface(s.Context(), in)
	return *ec2Do(s, out, err).NetworkInterface.NetworkInterfaceId
}

func (s *stage) hasInterface(id string) bool {
	_, err := s.aws.client().DescribeNetworkInterfaces(s.Context(), &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{id}})
	return err == nil
}

func (s *stage) dropInterface(id string) {
	s.Helper()
	_, err := s.aws.client().DeleteNetworkInterface(s.Context(), &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &id})
	ec2Do(s, 0, err)
}

// awsIdle leaves idle interfaces in the way of a resource: the cluster's own goes along, somebody else's stays and keeps
// the resource.
func awsIdle(key string) act {
	return func(s *stage, row teardown.Row) {
		s.make(awsSubnet, awsGroup)
		theirs := s.idle(false)
		s.refused(s.there[key], row)
		s.dropInterface(theirs)
		ours := s.idle(true)
		s.drop(key)
		if s.hasInterface(ours) {
			s.Errorf("%s is gone, and the idle interface isn't", key)
		}
		s.clear()
	}
}

// awsIdleWithAddress ends a machine whose interface outlives it with its Elastic IP.
func awsIdleWithAddress(s *stage, _ teardown.Row) {
	s.make(awsAssociation)
	nic := s.keepInterface(awsCP)
	s.terminate(awsCP)
	if !s.hasInterface(nic) {
		s.Fatal("the interface went along")
	}
	s.drop(awsSubnet)
	if s.hasInterface(nic) {
		s.Error("the subnet is gone, and the idle interface isn't")
	}
	s.clear()
}

func awsSubnetFirst(s *stage, _ teardown.Row) {
	s.make(awsTable)
	s.drop(awsSubnet)
	s.clear()
}

// awsMainTable lets somebody make the driver's table the VPC's main one.
func awsMainTable(s *stage, row teardown.Row) {
	s.make(awsTable)
	s.drop(awsSubnet, "conf-subnet-b") // else the refused deletion ends their associations
	c := s.aws.client()
	out, err := c.DescribeRouteTables(s.Context(), &ec2.DescribeRouteTablesInput{Filters: []types.Filter{
		{Name: sdk.String("vpc-id"), Values: []string{*s.id(awsVPC)}}, {Name: sdk.String("association.main"), Values: []string{"true"}},
	}})
	main := ec2Do(s, out, err).RouteTables[0]
	association := main.Associations[0].RouteTableAssociationId
	replaced, err := c.ReplaceRouteTableAssociation(s.Context(), &ec2.ReplaceRouteTableAssociationInput{AssociationId: association, RouteTableId: s.id(awsTable)})
	association = ec2Do(s, replaced, err).NewAssociationId
	s.refused(s.there[awsTable], row)
	_, err = c.ReplaceRouteTableAssociation(s.Context(), &ec2.ReplaceRouteTableAssociationInput{AssociationId: association, RouteTableId: main.RouteTableId})
	ec2Do(s, 0, err)
	s.clear()
}

// awsGroupRule lets a stranger's group name the driver's.
func awsGroupRule(s *stage, row teardown.Row) {
	s.make(awsGroup)
	c := s.aws.client()
	out, err := c.CreateSecurityGroup(s.Context(), &ec2.CreateSecurityGroupInput{
		VpcId: s.id(awsVPC), GroupName: sdk.String("theirs"), Description: sdk.String("theirs"),
	})
	theirs := ec2Do(s, out, err).GroupId
	_, err = c.AuthorizeSecurityGroupIngress(s.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: theirs, IpPermissions: []types.IpPermission{{
		IpProtocol: sdk.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: s.id(awsGroup)}},
	}}})
	ec2Do(s, 0, err)
	s.refused(s.there[awsGroup], row)
	_, err = c.DeleteSecurityGroup(s.Context(), &ec2.DeleteSecurityGroupInput{GroupId: theirs})
	ec2Do(s, 0, err)
	s.clear()
}

func awsProtected(s *stage, row teardown.Row) {
	s.make(awsWorker)
	protect := func(on bool) {
		_, err := s.aws.client().ModifyInstanceAttribute(s.Context(), &ec2.ModifyInstanceAttributeInput{
			InstanceId: s.id(awsWorker), DisableApiTermination: &types.AttributeBooleanValue{Value: &on},
		})
		ec2Do(s, 0, err)
	}
	protect(true)
	s.refused(s.there[awsWorker], row)
	protect(false)
	s.clear()
}

// awsRootKept tells EC2 to keep the disk of a machine.
func awsRootKept(s *stage, _ teardown.Row) {
	s.make(awsWorker)
	_, err := s.aws.client().ModifyInstanceAttribute(s.Context(), &ec2.ModifyInstanceAttributeInput{
		InstanceId: s.id(awsWorker), BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{
			DeviceName: s.instance(awsWorker).RootDeviceName,
			Ebs:        &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: sdk.Bool(false)},
		}},
	})
	ec2Do(s, 0, err)
	s.clear()
}

// keepInterface tells EC2 to keep the first interface of a machine.
func (s *stage) keepInterface(key string) string {
	s.Helper()
	nic := s.instance(key).NetworkInterfaces[0]
	_, err := s.aws.client().ModifyNetworkInterfaceAttribute(s.Context(), &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: nic.NetworkInterfaceId,
		Attachment:         &types.NetworkInterfaceAttachmentChanges{AttachmentId: nic.Attachment.AttachmentId, DeleteOnTermination: sdk.Bool(false)},
	})
	ec2Do(s, 0, err)
	return *nic.NetworkInterfaceId
}

func (s *stage) terminate(key string) {
	s.Helper()
	_, err := s.aws.client().TerminateInstances(s.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*s.id(key)}})
	ec2Do(s, 0, err)
}

func awsInterfaceKept(s *stage, _ teardown.Row) {
	s.make(awsWorker)
	s.keepInterface(awsWorker)
	s.clear()
}

// awsVolume attaches somebody's disk to a machine: the driver can't delete it while the machine is there, and the machine's
// end leaves it.
func awsVolume(s *stage, row teardown.Row) {
	s.make(awsWorker)
	c := s.aws.client()
	out, err := c.CreateVolume(s.Context(), &ec2.CreateVolumeInput{
		AvailabilityZone: sdk.String(s.there[awsWorker].Machine.Zone), Size: sdk.Int32(8), VolumeType: types.VolumeTypeGp3,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{ // else the policy is in the way
			{Key: sdk.String(cloud.TagCluster), Value: sdk.String(cloudtest.TestOwner.UID)},
		}}},
	})
	volume := ec2Do(s, out, err).VolumeId
	_, err = c.AttachVolume(s.Context(), &ec2.AttachVolumeInput{InstanceId: s.id(awsWorker), VolumeId: volume, Device: sdk.String("/dev/sdf")})
	ec2Do(s, 0, err)
	if row.Refused() {
		s.refused(cloud.Object{Kind: "volume", Key: awsWorker + "-disk", Region: awsRegion, ID: *volume}, row)
	}
	s.drop(awsWorker)
	_, err = c.DeleteVolume(s.Context(), &ec2.DeleteVolumeInput{VolumeId: volume}) // it was left
	ec2Do(s, 0, err)
	s.clear()
}

// awsInterfaceLater attaches somebody's interface to a machine: it outlives it and is in the subnet's way.
func awsInterfaceLater(s *stage, _ teardown.Row) {
	s.make(awsWorker)
	theirs := s.idle(false)
	_, err := s.aws.client().AttachNetworkInterface(s.Context(), &ec2.AttachNetworkInterfaceInput{
		InstanceId: s.id(awsWorker), NetworkInterfaceId: &theirs, DeviceIndex: sdk.Int32(1),
	})
	ec2Do(s, 0, err)
	s.drop(awsWorker)
	s.conflict(s.remove(s.there[awsSubnet]), awsSubnet)
	s.dropInterface(theirs)
	s.clear()
}

func awsInterfaceInUse(s *stage, row teardown.Row) {
	s.make(awsWorker)
	nic := s.instance(awsWorker).NetworkInterfaces[0].NetworkInterfaceId
	s.refused(cloud.Object{Kind: "network-interface", Key: awsWorker + "-nic", Region: awsRegion, ID: *nic}, row)
	s.clear()
}

// awsAssociationAlong deletes a machine while it has its Elastic IP.
func awsAssociationAlong(s *stage, _ teardown.Row) {
	s.make(awsAssociation)
	s.drop(awsCP)
	there := s.observed()
	if _, ok := there[awsAssociation]; ok {
		s.Error("the association outlived its instance")
	}
	if _, ok := there[awsAddress]; !ok {
		s.Error("the address went along")
	}
	s.clear()
}

// awsEndedInstance associates an address with an instance that has ended: EC2 shows it for a while, so that the driver sees
// it before it asks.
func awsEndedInstance(s *stage, row teardown.Row) {
	s.lack(row, func(err error) {
		if cloud.ClassOf(err) != cloud.NotFound || !strings.Contains(err.Error(), "terminated") {
			s.Fatalf("error %v of class %s, want class %s", err, cloud.ClassOf(err), cloud.NotFound)
		}
	})
}

// awsDetached takes the gateway from its VPC before the route to it is made.
func awsDetached(s *stage, row teardown.Row) {
	s.make(awsGateway, awsSubnet, "conf-subnet-b")
	c := s.aws.client()
	_, err := c.DetachInternetGateway(s.Context(), &ec2.DetachInternetGatewayInput{InternetGatewayId: s.id(awsGateway), VpcId: s.id(awsVPC)})
	ec2Do(s, 0, err)
	s.tries[awsTable]++
	s.refusal(s.create(awsTable), cloud.Unknown, row)
	_, err = c.AttachInternetGateway(s.Context(), &ec2.AttachInternetGatewayInput{InternetGatewayId: s.id(awsGateway), VpcId: s.id(awsVPC)})
	ec2Do(s, 0, err)
	if err := s.create(awsTable); err != nil {
		s.Fatal(err)
	}
	s.clear()
}

// awsAgain makes machines of a cloud that takes its time, and one of them again under the same private address.
func awsAgain(s *stage, _ teardown.Row) {
	s.make(awsAssociation)
	s.drop(awsAssociation, awsCP)
	s.make(awsAssociation)
	s.clear()
}
