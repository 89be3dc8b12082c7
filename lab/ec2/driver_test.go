package ec2

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skyweld/skyweld/lab/world"
)

// TestWholeLife makes a network and an instance as a driver does, looks at what became of them physically, and takes all
// away in the right order.
func TestWholeLife(t *testing.T) {
	l := newLab(t)
	s := l.site("10.7.0.0/16", "10.7.16.0/20")
	must(l.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: &s.group, IpPermissions: []types.IpPermission{
		{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("203.0.113.0/24")}}},
		{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &s.group}}},
	}}))(t)
	i := l.runOne(s, func(in *awsec2.RunInstancesInput) {
		in.SubnetId, in.SecurityGroupIds = nil, nil
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), SubnetId: &s.subnet, Groups: []string{s.group},
			AssociatePublicIpAddress: aws.Bool(true), PrivateIpAddress: aws.String("10.7.16.10"), DeleteOnTermination: aws.Bool(true)}}
		in.TagSpecifications = []types.TagSpecification{
			{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("cp-1")}}},
			{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("disk")}}}}
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n")))
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
	})
	must(l.ModifyInstanceAttribute(ctx, &awsec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId, SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)}}))(t)
	must(l.CreateRoute(ctx, &awsec2.CreateRouteInput{RouteTableId: &s.table, DestinationCidrBlock: aws.String("10.96.0.0/16"), InstanceId: i.InstanceId}))(t)
	eip := must(l.AllocateAddress(ctx, &awsec2.AllocateAddressInput{Domain: types.DomainTypeVpc}))(t)
	assoc := must(l.AssociateAddress(ctx, &awsec2.AssociateAddressInput{AllocationId: eip.AllocationId, InstanceId: i.InstanceId}))(t)

	got := l.instance(*i.InstanceId)
	nic := got.NetworkInterfaces[0]
	if *got.PublicIpAddress != *eip.PublicIp || *got.PrivateIpAddress != "10.7.16.10" || *got.SourceDestCheck {
		t.Errorf("instance: public %s, private %s, check %v", *got.PublicIpAddress, *got.PrivateIpAddress, *got.SourceDestCheck)
	}
	want := world.Network{ID: s.vpc, Cloud: "aws", Region: testRegion, NICs: []world.NIC{{
		ID: *nic.NetworkInterfaceId, Machine: *i.InstanceId, Device: "ens5", MAC: *nic.MacAddress, Address: netip.MustParsePrefix("10.7.16.10/20"),
		Gateway: netip.MustParseAddr("10.7.16.1"), MTU: 9001, Public: netip.MustParseAddr(*eip.PublicIp), Internet: true, Forwarding: true,
		Routed: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		Inbound: []world.Rule{
			{Priority: 100, Allow: true, Remote: []netip.Prefix{netip.MustParsePrefix("10.7.16.10/32")}},
			{Priority: 100, Allow: true, Protocol: "tcp", FromPort: 22, ToPort: 22, Remote: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}},
		Outbound: []world.Rule{{Priority: 100, Allow: true, Remote: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}},
	}}}
	same := func() bool {
		return cmp.Equal(want, l.world.networks[s.vpc], cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}))
	}
	l.world.wait(t, "the network", same)

	// The wrong order first: each step is refused while something depends on it.
	_, err := l.DeleteVpc(ctx, &awsec2.DeleteVpcInput{VpcId: &s.vpc})
	wantCode(t, err, "DependencyViolation")
	_, err = l.DeleteSubnet(ctx, &awsec2.DeleteSubnetInput{SubnetId: &s.subnet})
	wantCode(t, err, "DependencyViolation")
	_, err = l.DetachInternetGateway(ctx, &awsec2.DetachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc})
	wantCode(t, err, "DependencyViolation")
	_, err = l.DeleteInternetGateway(ctx, &awsec2.DeleteInternetGatewayInput{InternetGatewayId: &s.igw})
	wantCode(t, err, "DependencyViolation")
	_, err = l.DeleteRouteTable(ctx, &awsec2.DeleteRouteTableInput{RouteTableId: &s.table})
	wantCode(t, err, "DependencyViolation")
	_, err = l.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: &s.group})
	wantCode(t, err, "DependencyViolation")
	_, err = l.ReleaseAddress(ctx, &awsec2.ReleaseAddressInput{AllocationId: eip.AllocationId})
	wantCode(t, err, "InvalidIPAddress.InUse")

	must(l.DisassociateAddress(ctx, &awsec2.DisassociateAddressInput{AssociationId: assoc.AssociationId}))(t)
	must(l.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}))(t)
	gone := l.waitState(*i.InstanceId, types.InstanceStateNameTerminated)
	if gone.VpcId != nil || len(gone.NetworkInterfaces) > 0 || *gone.StateReason.Code != "Client.UserInitiatedShutdown" {
		t.Errorf("a terminated instance still shows %v, %v", gone.VpcId, gone.NetworkInterfaces)
	}
	must(l.ReleaseAddress(ctx, &awsec2.ReleaseAddressInput{AllocationId: eip.AllocationId}))(t)
	must(l.DetachInternetGateway(ctx, &awsec2.DetachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc}))(t)
	must(l.DeleteInternetGateway(ctx, &awsec2.DeleteInternetGatewayInput{InternetGatewayId: &s.igw}))(t)
	must(l.DeleteSubnet(ctx, &awsec2.DeleteSubnetInput{SubnetId: &s.subnet}))(t)
	must(l.DeleteRouteTable(ctx, &awsec2.DeleteRouteTableInput{RouteTableId: &s.table}))(t)
	must(l.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: &s.group}))(t)
	must(l.DeleteVpc(ctx, &awsec2.DeleteVpcInput{VpcId: &s.vpc}))(t)
	l.world.wait(t, "the network's removal", func() bool { return len(l.world.networks) == 0 && len(l.world.machines) == 0 })
	if vols := must(l.DescribeVolumes(ctx, &awsec2.DescribeVolumesInput{}))(t).Volumes; len(vols) != 0 {
		t.Errorf("%d volumes are left", len(vols))
	}
	if log := strings.Join(l.world.log, "\n"); !strings.HasPrefix(log, "set "+s.vpc+"\nstart "+*i.InstanceId) {
		t.Errorf("the machine was started before its network was set:\n%s", log)
	}
}

// TestPendingUntilStarted holds a machine's start back: the instance must not run before it.
func TestPendingUntilStarted(t *testing.T) {
	l := newLab(t)
	let := make(chan error)
	l.world.start = func(ctx context.Context, _ world.Machine) error {
		select {
		case err := <-let:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s := l.site("10.7.0.0/16", "10.7.0.0/24")
	run := func() string {
		return *must(l.RunInstances(ctx, &awsec2.RunInstancesInput{ImageId: aws.String(l.noble("x86_64")), InstanceType: types.InstanceTypeT3Small,
			MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &s.subnet}))(t).Instances[0].InstanceId
	}
	first := run()
	if state := l.instance(first).State; state.Name != types.InstanceStateNamePending || *state.Code != 0 {
		t.Errorf("state %v before the machine started", state.Name)
	}
	let <- nil
	l.waitState(first, types.InstanceStateNameRunning)

	second := run()
	let <- errors.New("no room")
	if i := l.waitState(second, types.InstanceStateNameTerminated); *i.StateReason.Code != "Server.InternalError" {
		t.Errorf("state reason %s", *i.StateReason.Code)
	}

	third := run() // terminated while it still boots: nobody waits for the boot
	must(l.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: []string{third}}))(t)
	l.waitState(third, types.InstanceStateNameTerminated)
}

// TestStopStart checks that an automatic public address changes with a stop and an Elastic IP doesn't.
func TestStopStart(t *testing.T) {
	l := newLab(t)
	s := l.site("10.7.0.0/16", "10.7.0.0/24")
	must(l.ModifySubnetAttribute(ctx, &awsec2.ModifySubnetAttributeInput{SubnetId: &s.subnet, MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: aws.Bool(true)}}))(t)
	i := l.runOne(s)
	if i.PublicIpAddress == nil {
		t.Fatal("no public address in a subnet that maps them")
	}
	id := []string{*i.InstanceId}
	must(l.StopInstances(ctx, &awsec2.StopInstancesInput{InstanceIds: id}))(t)
	if i = l.waitState(id[0], types.InstanceStateNameStopped); i.PublicIpAddress != nil || *i.PrivateIpAddress == "" {
		t.Errorf("stopped: public %v, private %v", i.PublicIpAddress, i.PrivateIpAddress)
	}
	must(l.ModifyInstanceAttribute(ctx, &awsec2.ModifyInstanceAttributeInput{InstanceId: &id[0], InstanceType: &types.AttributeValue{Value: aws.String("t3.large")}}))(t)
	must(l.StartInstances(ctx, &awsec2.StartInstancesInput{InstanceIds: id}))(t)
	if i = l.waitState(id[0], types.InstanceStateNameRunning); i.PublicIpAddress == nil || i.InstanceType != types.InstanceTypeT3Large {
		t.Errorf("started: public %v, type %s", i.PublicIpAddress, i.InstanceType)
	}
	must(l.RebootInstances(ctx, &awsec2.RebootInstancesInput{InstanceIds: id}))(t)
	l.world.wait(t, "the reboot", func() bool {
		n := len(l.world.log)
		return n > 2 && l.world.log[n-1] == "start "+id[0] && l.world.log[n-2] == "stop "+id[0]
	})
}

// TestRestart closes the service and opens it again on the same folder.
func TestRestart(t *testing.T) {
	l := newLab(t)
	s := l.site("10.7.0.0/16", "10.7.0.0/24")
	i := l.runOne(s)
	eip := must(l.AllocateAddress(ctx, &awsec2.AllocateAddressInput{}))(t)
	must(l.AssociateAddress(ctx, &awsec2.AssociateAddressInput{AllocationId: eip.AllocationId, InstanceId: i.InstanceId}))(t)
	l.world.wait(t, "the address", func() bool { return l.world.networks[s.vpc].NICs[0].Public.IsValid() })
	if err := l.Service.Close(); err != nil {
		t.Fatal(err)
	}
	l.world.mu.Lock()
	before := l.world.networks[s.vpc]
	l.world.networks, l.world.machines = map[string]world.Network{}, map[string]world.MachineState{}
	l.world.mu.Unlock()
	l.open()
	if err := l.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if l.world.MachineState(*i.InstanceId) != world.Running {
		t.Error("the machine was not started again")
	}
	if diff := cmp.Diff(before, l.world.networks[s.vpc], cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("the network differs after the restart:\n%s", diff)
	}
	if again := must(l.AllocateAddress(ctx, &awsec2.AllocateAddressInput{}))(t); *again.PublicIp == *eip.PublicIp {
		t.Error("an address in use was given out again")
	}
}

func TestCallerIdentity(t *testing.T) {
	l := newLab(t)
	client := func(key, secret string) *sts.Client {
		return sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &l.url, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	}
	who := must(client(testKey, testSecret).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(t)
	if *who.Account != testAccount || *who.Arn != "arn:aws:iam::"+testAccount+":user/lab" {
		t.Errorf("identity %s, %s", *who.Account, *who.Arn)
	}
	_, err := client("AKIANOBODY", testSecret).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wantCode(t, err, "InvalidClientTokenId")
	_, err = client(testKey, "wrong").GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wantCode(t, err, "SignatureDoesNotMatch")
	_, err = client(testKey, testSecret).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::1:role/x"), RoleSessionName: aws.String("x")})
	wantCode(t, err, "AccessDenied")
}

// TestShutdownFromInside: a machine that stops by itself is noticed.
func TestShutdownFromInside(t *testing.T) {
	l := newLab(t)
	s := l.site("10.7.0.0/16", "10.7.0.0/24")
	stays := l.runOne(s)
	goes := l.runOne(s, func(in *awsec2.RunInstancesInput) {
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
	})
	runs := l.runOne(s)
	for _, i := range []types.Instance{stays, goes} {
		if err := l.world.StopMachine(ctx, *i.InstanceId); err != nil {
			t.Fatal(err)
		}
	}
	l.noticeShutdowns()
	if i := l.waitState(*stays.InstanceId, types.InstanceStateNameStopped); *i.StateReason.Code != "Client.InstanceInitiatedShutdown" {
		t.Errorf("reason %s", *i.StateReason.Code)
	}
	l.waitState(*goes.InstanceId, types.InstanceStateNameTerminated)
	if i := l.instance(*runs.InstanceId); i.State.Name != types.InstanceStateNameRunning {
		t.Errorf("the third is %s", i.State.Name)
	}
}
