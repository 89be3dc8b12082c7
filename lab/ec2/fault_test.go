package ec2

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/skyweld/skyweld/lab/fault"
)

// faultyLab is a lab's service behind rules, with the official clients, which try once.
type faultyLab struct {
	*fault.Set
	t   *testing.T
	ec2 *awsec2.Client
	sts *sts.Client
}

func newFaulty(t *testing.T) *faultyLab {
	t.Helper()
	l := newLab(t)
	f := &faultyLab{Set: fault.NewSet(), t: t}
	server := httptest.NewUnstartedServer(f.Handler("aws", l.Dialect(), l.Service))
	server.Config.ConnContext = fault.ConnContext
	server.Start()
	t.Cleanup(func() { f.Clear(); server.Close() })
	config := aws.Config{
		Region: testRegion, BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	f.ec2, f.sts = awsec2.NewFromConfig(config), sts.NewFromConfig(config)
	return f
}

func (f *faultyLab) add(r fault.Rule) {
	f.t.Helper()
	r.Cloud = "aws"
	if _, err := f.Add(r); err != nil {
		f.t.Fatal(err)
	}
}

// want wants a code and a status; an empty code is success.
func (f *faultyLab) want(what string, err error, code string, status int) {
	f.t.Helper()
	got, gotStatus := "", 0
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		got = api.ErrorCode()
	} else if err != nil {
		got = err.Error()
	}
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		gotStatus = re.HTTPStatusCode()
	}
	if got != code || gotStatus != status {
		f.t.Errorf("%s: %d %s; want %d %s", what, gotStatus, got, status, code)
	}
}

func (f *faultyLab) createVPC(dry bool) error {
	_, err := f.ec2.CreateVpc(context.Background(), &awsec2.CreateVpcInput{CidrBlock: aws.String("10.9.0.0/16"), DryRun: aws.Bool(dry)})
	return err
}

func (f *faultyLab) describe() error {
	_, err := f.ec2.DescribeVpcs(context.Background(), &awsec2.DescribeVpcsInput{})
	return err
}

func (f *faultyLab) vpcs() int {
	f.t.Helper()
	out, err := f.ec2.DescribeVpcs(context.Background(), &awsec2.DescribeVpcsInput{Filters: []types.Filter{{Name: aws.String("cidr"), Values: []string{"10.9.0.0/16"}}}})
	if err != nil {
		f.t.Fatal(err)
	}
	return len(out.Vpcs)
}

func (f *faultyLab) who() error {
	_, err := f.sts.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	return err
}

func (f *faultyLab) run(dry bool) error {
	_, err := f.ec2.RunInstances(context.Background(), &awsec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String("ami-00000000000000000"), DryRun: aws.Bool(dry),
	})
	return err
}

func TestFaultsOnRequest(t *testing.T) {
	f := newFaulty(t)
	for _, c := range []struct {
		kind       fault.Kind
		code       string // of CreateVpc
		status     int
		who        string // of GetCallerIdentity
		whoStatus  int
		dry        string // of CreateVpc's dry run
		dryStatus  int
		read       string // of DescribeVpcs
		readStatus int
	}{
		{fault.Throttle, "RequestLimitExceeded", 503, "Throttling", 400, "RequestLimitExceeded", 503, "RequestLimitExceeded", 503},
		{fault.Deny, "UnauthorizedOperation", 403, "", 0, "UnauthorizedOperation", 403, "UnauthorizedOperation", 403},
		{fault.Expire, "RequestExpired", 400, "ExpiredToken", 403, "RequestExpired", 400, "RequestExpired", 400},
		{fault.Quota, "VpcLimitExceeded", 400, "", 0, "DryRunOperation", 412, "", 0},
		{fault.Error, "InternalError", 500, "InternalFailure", 500, "InternalError", 500, "InternalError", 500},
	} {
		f.add(fault.Rule{Kind: c.kind})
		f.want(string(c.kind)+": create", f.createVPC(false), c.code, c.status)
		f.want(string(c.kind)+": who", f.who(), c.who, c.whoStatus)
		f.want(string(c.kind)+": dry run", f.createVPC(true), c.dry, c.dryStatus)
		f.want(string(c.kind)+": read", f.describe(), c.read, c.readStatus)
		f.Clear()
	}
	if n := f.vpcs(); n != 0 {
		t.Errorf("%d VPCs were made by refused requests", n)
	}
	for kind, code := range map[fault.Kind]string{fault.Quota: "VcpuLimitExceeded", fault.Capacity: "InsufficientInstanceCapacity"} {
		f.add(fault.Rule{Kind: kind, Action: "Run*"})
		f.want(string(kind), f.run(false), code, map[fault.Kind]int{fault.Quota: 400, fault.Capacity: 500}[kind])
		f.want(string(kind)+": dry run", f.run(true), "InvalidAMIID.NotFound", 400)
		f.Clear()
	}
}

func TestDenialNamesTheAction(t *testing.T) {
	f := newFaulty(t)
	f.add(fault.Rule{Kind: fault.Deny, Action: "*Vpc*"})
	for _, c := range []struct {
		err     error
		action  string
		encoded bool
	}{{f.createVPC(false), "ec2:CreateVpc", true}, {f.describe(), "ec2:DescribeVpcs", false}} {
		if text := c.err.Error(); !strings.Contains(text, "is not authorized to perform: "+c.action) || strings.Contains(text, "Encoded authorization failure message: ") != c.encoded {
			t.Errorf("%s: %s", c.action, text)
		}
	}
	f.want("another action", f.run(true), "InvalidAMIID.NotFound", 400)
}

// TestLostAnswer holds that a request whose answer is lost was carried out, once.
func TestLostAnswer(t *testing.T) {
	f := newFaulty(t)
	f.add(fault.Rule{Kind: fault.DropAnswer, Action: "CreateVpc", Times: 1})
	err := f.createVPC(false)
	if _, answered := errors.AsType[smithy.APIError](err); err == nil || answered {
		t.Errorf("an answer came: %v", err)
	}
	if n := f.vpcs(); n != 1 {
		t.Errorf("%d VPCs; want 1", n)
	}
}

func TestRegionDown(t *testing.T) {
	f := newFaulty(t)
	f.add(fault.Rule{Kind: fault.Down, Region: testRegion})
	if err := f.describe(); err == nil {
		t.Error("the region answered")
	}
	_, err := f.ec2.DescribeVpcs(context.Background(), &awsec2.DescribeVpcsInput{}, func(o *awsec2.Options) { o.Region = "us-east-1" })
	f.want("another region", err, "", 0)
}

func TestMachinesHaveTheirOwnersName(t *testing.T) {
	l := newLab(t)
	id := aws.ToString(l.runOne(l.site("10.9.0.0/16", "10.9.0.0/20"), func(in *awsec2.RunInstancesInput) {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("web-1")}}}}
	}).InstanceId)
	m, _, ok := l.machineOf(testRegion, id, pending, running)
	if !ok || m.Name != "web-1" || m.ID != id {
		t.Errorf("machine %+v", m)
	}
}
