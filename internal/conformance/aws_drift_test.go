package conformance_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/lab/world"
)

func awsSite() cloud.Site {
	return cloudtest.DefaultSite("conf", awsRegion, []string{"us-east-1a", "us-east-1b", "us-east-1c"})
}

// observed lists what isn't gone, by key.
func observed(t *testing.T, d cloud.Driver) map[string]cloud.Object {
	t.Helper()
	return observedIn(t, d, awsRegion)
}

// TestAWSDrift changes one thing after the other by hand: the driver must see each in the right field, and mend it where
// the field is mutable.
func TestAWSDrift(t *testing.T) {
	lab := newAWSLab(t, world.Instant)
	d, c := lab.driver(t, awsSecret), lab.client()
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, awsSite())
	if err != nil {
		t.Fatal(err)
	}
	id := func(key string) *string { return sdk.String(b.Objects[key].ID) }
	const node = "conf-node-conf-web-1"
	yes := &types.AttributeBooleanValue{Value: sdk.Bool(true)}
	testHandmade(t, d, b, []handmade{
		{"public addresses on", "conf-subnet-a", "mapPublicIP", func(ctx context.Context) error {
			_, err := c.ModifySubnetAttribute(ctx, &ec2.ModifySubnetAttributeInput{SubnetId: id("conf-subnet-a"), MapPublicIpOnLaunch: yes})
			return err
		}},
		{"route gone", "conf-routes", "routes", func(ctx context.Context) error {
			_, err := c.DeleteRoute(ctx, &ec2.DeleteRouteInput{RouteTableId: id("conf-routes"), DestinationCidrBlock: sdk.String("0.0.0.0/0")})
			return err
		}},
		{"route more", "conf-routes", "routes", func(ctx context.Context) error {
			_, err := c.CreateRoute(ctx, &ec2.CreateRouteInput{
				RouteTableId: id("conf-routes"), DestinationCidrBlock: sdk.String("198.51.100.0/24"), GatewayId: id("conf-igw"),
			})
			return err
		}},
		{"route elsewhere", "conf-routes", "routes", func(ctx context.Context) error {
			_, err := c.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{
				RouteTableId: id("conf-routes"), DestinationCidrBlock: sdk.String("0.0.0.0/0"), InstanceId: id(node),
			})
			return err
		}},
		{"subnet without the table", "conf-routes", "subnets", func(ctx context.Context) error {
			out, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{*id("conf-routes")}})
			if err != nil {
				return err
			}
			_, err = c.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{
				AssociationId: out.RouteTables[0].Associations[0].RouteTableAssociationId,
			})
			return err
		}},
		{"subnet with another table", "conf-routes", "subnets", func(ctx context.Context) error {
			other, err := c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: id("conf-vpc")})
			if err != nil {
				return err
			}
			out, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{*id("conf-routes")}})
			if err != nil {
				return err
			}
			_, err = c.ReplaceRouteTableAssociation(ctx, &ec2.ReplaceRouteTableAssociationInput{
				AssociationId: out.RouteTables[0].Associations[0].RouteTableAssociationId, RouteTableId: other.RouteTable.RouteTableId,
			})
			return err
		}},
		{"rule more", "conf-sg-nodes", "ingress", func(ctx context.Context) error {
			_, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
				GroupId: id("conf-sg-nodes"), IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(1), ToPort: sdk.Int32(65535), CidrIp: sdk.String("0.0.0.0/0"),
			})
			return err
		}},
		{"rule gone", "conf-sg-control-plane", "ingress", func(ctx context.Context) error {
			_, err := c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
				GroupId: id("conf-sg-control-plane"), IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(6443), ToPort: sdk.Int32(6443), CidrIp: sdk.String("192.0.2.0/24"),
			})
			return err
		}},
		{"nothing let out", "conf-sg-nodes", "egress", func(ctx context.Context) error {
			_, err := c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{
				GroupId: id("conf-sg-nodes"), IpPermissions: []types.IpPermission{{
					IpProtocol: sdk.String("-1"), IpRanges: []types.IpRange{{CidrIp: sdk.String("0.0.0.0/0")}},
				}},
			})
			return err
		}},
		{"check on", node, "sourceDestCheck", func(ctx context.Context) error {
			_, err := c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: id(node), SourceDestCheck: yes})
			return err
		}},
		{"another group", node, "securityGroups", func(ctx context.Context) error {
			_, err := c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: id(node), Groups: []string{*id("conf-sg-control-plane")}})
			return err
		}},
		{"old metadata service", node, "metadata", func(ctx context.Context) error {
			_, err := c.ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: id(node), HttpTokens: types.HttpTokensStateOptional})
			return err
		}},
	})
}

// TestAWSLostAnswers loses the answer to each changing call in turn.
func TestAWSLostAnswers(t *testing.T) {
	asks := func(_ *http.Request, body []byte) bool { return strings.HasPrefix(string(body), "Action=Describe") }
	testLostAnswers(t, awsSite(), 20, asks, func(t *testing.T, wrap cloud.Transport) cloud.Driver {
		d, err := aws.New(t.Context(), newAWSLab(t, world.Instant).account, wrap)
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

// refuser answers one action as EC2 does to somebody without the permission.
type refuser struct {
	next   http.RoundTripper
	action string
}

func (f *refuser) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(body), "Action="+f.action+"&") {
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		return f.next.RoundTrip(r)
	}
	const answer = `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation.` +
		`</Message></Error></Errors><RequestID>1</RequestID></Response>`
	return &http.Response{
		StatusCode: http.StatusForbidden, Status: "403 Forbidden", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

// TestAWSRefusedAfterwards refuses what follows the creating call: the creation must not look as if it had made nothing.
// A refused creating call must.
func TestAWSRefusedAfterwards(t *testing.T) {
	for action, want := range map[string]cloud.Class{
		"ModifyInstanceAttribute": cloud.Unknown, "CreateRoute": cloud.Unknown, "AttachInternetGateway": cloud.Unknown,
		"RunInstances": cloud.Denied, "CreateVpc": cloud.Denied,
	} {
		t.Run(action, func(t *testing.T) {
			lab := newAWSLab(t, world.Instant)
			refuse := &refuser{action: action}
			d, err := aws.New(t.Context(), lab.account, func(next http.RoundTripper) http.RoundTripper {
				refuse.next = next
				return refuse
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = cloudtest.Build(t.Context(), d, cloudtest.TestOwner, awsSite())
			if cloud.ClassOf(err) != want || !strings.Contains(err.Error(), "ec2:"+action) {
				t.Errorf("error %v of class %s, want %s naming the action", err, cloud.ClassOf(err), want)
			}
			rep, err := d.Check(t.Context(), awsRegion)
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Missing) != 1 || rep.Missing[0].Action != "ec2:"+action {
				t.Errorf("missing: %v", rep.Missing)
			}
		})
	}
}

// TestAWSKeptDisk tells EC2 to keep the disks of machines. Deleting a machine takes its disk along all the same, and a
// disk whose machine was terminated by somebody else is observed.
func TestAWSKeptDisk(t *testing.T) {
	lab := newAWSLab(t, world.Instant)
	d, c := lab.driver(t, awsSecret), lab.client()
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, awsSite())
	if err != nil {
		t.Fatal(err)
	}
	const mine, theirs = "conf-node-conf-cp-1", "conf-node-conf-web-1"
	for _, key := range []string{mine, theirs} {
		o := b.Objects[key]
		out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{o.ID}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{
			InstanceId: sdk.String(o.ID), BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{
				DeviceName: out.Reservations[0].Instances[0].RootDeviceName,
				Ebs:        &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: sdk.Bool(false)},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[mine]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{b.Objects[theirs].ID}}); err != nil {
		t.Fatal(err)
	}
	var left []cloud.Object
	err = cloudtest.Await(t.Context(), func() bool {
		left = left[:0]
		for _, o := range observed(t, d) {
			if o.Kind == "volume" {
				left = append(left, o)
			}
		}
		return len(left) > 0
	})
	if err != nil || len(left) != 1 || left[0].Key != theirs+"-disk" {
		t.Fatalf("volumes left: %v (error %v)", left, err)
	}
	if err := d.Delete(t.Context(), cloudtest.TestOwner, left[0]); err != nil {
		t.Fatal(err)
	}
	if _, ok := observed(t, d)[theirs+"-disk"]; ok {
		t.Error("the disk is still there")
	}
}
