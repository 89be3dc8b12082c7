package ec2

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/skyweld/skyweld/lab/world"
)

const (
	testAccount = "210987654321"
	testKey     = "AKIALABTESTKEY000001"
	testSecret  = "lab/secret+for=tests"
	testRegion  = "eu-central-1"
)

// fakeWorld records what it is told to make.
type fakeWorld struct {
	mu       sync.Mutex
	networks map[string]world.Network
	machines map[string]world.MachineState
	log      []string
	start    func(context.Context, world.Machine) error // nil: starts at once
	network  func(world.Network) error
	changed  chan struct{} // closed and renewed at each change
}

func newFakeWorld() *fakeWorld {
	return &fakeWorld{networks: map[string]world.Network{}, machines: map[string]world.MachineState{}, changed: make(chan struct{})}
}

func (f *fakeWorld) note(what string, change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, what)
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeWorld) SetNetwork(_ context.Context, n world.Network) error {
	if f.network != nil {
		if err := f.network(n); err != nil {
			return err
		}
	}
	f.note("set "+n.ID, func() { f.networks[n.ID] = n })
	return nil
}

func (f *fakeWorld) RemoveNetwork(_ context.Context, id string) error {
	f.note("remove "+id, func() { delete(f.networks, id) })
	return nil
}

func (f *fakeWorld) StartMachine(ctx context.Context, m world.Machine) error {
	if f.start != nil {
		if err := f.start(ctx, m); err != nil {
			return err
		}
	}
	f.note("start "+m.ID, func() { f.machines[m.ID] = world.Running })
	return nil
}

func (f *fakeWorld) StopMachine(_ context.Context, id string) error {
	f.note("stop "+id, func() { f.machines[id] = world.Stopped })
	return nil
}

func (f *fakeWorld) DestroyMachine(_ context.Context, id string) error {
	f.note("destroy "+id, func() { delete(f.machines, id) })
	return nil
}

func (f *fakeWorld) MachineState(id string) world.MachineState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.machines[id] == world.Running {
		return world.Running
	}
	return world.Stopped
}

func (f *fakeWorld) Console(id string) []byte { return []byte("console of " + id + "\n") }

// wait returns when the condition holds.
func (f *fakeWorld) wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		ok, changed := holds(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// lab is a service behind a real HTTP server, with the official client.
type lab struct {
	*Service
	*awsec2.Client
	t     *testing.T
	world *fakeWorld
	url   string
	cfg   Config
	now   time.Time
	nowMu sync.Mutex
}

func (l *lab) clock() time.Time {
	l.nowMu.Lock()
	defer l.nowMu.Unlock()
	if l.now.IsZero() {
		return time.Now()
	}
	return l.now
}

func (l *lab) setClock(at time.Time) {
	l.nowMu.Lock()
	defer l.nowMu.Unlock()
	l.now = at
}

var (
	catalogueOnce sync.Once
	testCatalogue *Catalogue
)

// testConfig is a configuration over a fake world.
func testConfig(t testing.TB, w *fakeWorld) Config {
	t.Helper()
	catalogueOnce.Do(func() {
		c, err := DefaultCatalogue()
		if err != nil {
			panic(err)
		}
		testCatalogue = c
	})
	var mu sync.Mutex
	pools := map[string]*world.Pool{}
	return Config{Physical: w, Dir: t.TempDir(), AccountID: testAccount, AccessKeyID: testKey, SecretAccessKey: testSecret,
		Profile: world.Instant, Catalogue: testCatalogue, Pools: func(region string) *world.Pool {
			mu.Lock()
			defer mu.Unlock()
			if pools[region] == nil {
				pools[region] = world.NewPool(netip.MustParsePrefix("198.18.0.0/26"))
			}
			return pools[region]
		}}
}

// newService is a service without a server.
func newService(t testing.TB) *Service {
	t.Helper()
	s, err := New(testConfig(t, newFakeWorld()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newLab(t *testing.T, change ...func(*Config)) *lab {
	t.Helper()
	l := &lab{t: t, world: newFakeWorld()}
	l.cfg = testConfig(t, l.world)
	l.cfg.Clock = l.clock
	for _, c := range change {
		c(&l.cfg)
	}
	l.open()
	return l
}

// open starts the service on the lab's folder, as after a restart.
func (l *lab) open() {
	l.t.Helper()
	s, err := New(l.cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	server := httptest.NewServer(judged(l.t, s))
	l.t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			l.t.Errorf("close: %v", err)
		}
	})
	l.Service, l.url = s, server.URL
	l.Client = l.client(testRegion, testKey, testSecret)
}

func (l *lab) client(region, key, secret string) *awsec2.Client {
	return awsec2.New(awsec2.Options{Region: region, BaseEndpoint: aws.String(l.url), RetryMaxAttempts: 5,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
}

var ctx = context.Background()

// must returns an answer that has to be there.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantCode checks that a request was refused with a code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want the error %s", err, code)
	} else if e.ErrorCode() != code {
		t.Errorf("got %s (%s), want the error %s", e.ErrorCode(), e.ErrorMessage(), code)
	}
}

// site is a network as the driver makes it.
type site struct {
	vpc, subnet, igw, table, group string
}

func (l *lab) site(cidr, subnetCIDR string) site {
	t := l.t
	t.Helper()
	var s site
	s.vpc = *must(l.CreateVpc(ctx, &awsec2.CreateVpcInput{CidrBlock: &cidr}))(t).Vpc.VpcId
	s.subnet = *must(l.CreateSubnet(ctx, &awsec2.CreateSubnetInput{VpcId: &s.vpc, CidrBlock: &subnetCIDR}))(t).Subnet.SubnetId
	s.igw = *must(l.CreateInternetGateway(ctx, &awsec2.CreateInternetGatewayInput{}))(t).InternetGateway.InternetGatewayId
	must(l.AttachInternetGateway(ctx, &awsec2.AttachInternetGatewayInput{InternetGatewayId: &s.igw, VpcId: &s.vpc}))(t)
	s.table = *must(l.CreateRouteTable(ctx, &awsec2.CreateRouteTableInput{VpcId: &s.vpc}))(t).RouteTable.RouteTableId
	must(l.CreateRoute(ctx, &awsec2.CreateRouteInput{RouteTableId: &s.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: &s.igw}))(t)
	must(l.AssociateRouteTable(ctx, &awsec2.AssociateRouteTableInput{RouteTableId: &s.table, SubnetId: &s.subnet}))(t)
	s.group = *must(l.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{VpcId: &s.vpc, GroupName: aws.String("nodes"), Description: aws.String("nodes")}))(t).GroupId
	return s
}

// noble is the newest Ubuntu image of Canonical's.
func (l *lab) noble(arch string) string {
	l.t.Helper()
	out := must(l.DescribeImages(ctx, &awsec2.DescribeImagesInput{Owners: []string{ownerCanonical}, Filters: []types.Filter{
		{Name: aws.String("name"), Values: []string{"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-*-server-*"}},
		{Name: aws.String("architecture"), Values: []string{arch}}}}))(l.t)
	if len(out.Images) < 3 {
		l.t.Fatalf("found %d images", len(out.Images))
	}
	return *slices.MaxFunc(out.Images, func(a, b types.Image) int {
		if *a.CreationDate < *b.CreationDate {
			return -1
		}
		return 1
	}).ImageId
}

// runOne starts an instance in a site and waits until it runs.
func (l *lab) runOne(s site, change ...func(*awsec2.RunInstancesInput)) types.Instance {
	l.t.Helper()
	in := &awsec2.RunInstancesInput{ImageId: aws.String(l.noble("x86_64")), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: &s.subnet, SecurityGroupIds: []string{s.group}}
	for _, c := range change {
		c(in)
	}
	out := must(l.RunInstances(ctx, in))(l.t)
	return l.waitState(*out.Instances[0].InstanceId, types.InstanceStateNameRunning)
}

func (l *lab) instance(id string) types.Instance {
	l.t.Helper()
	out := must(l.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{InstanceIds: []string{id}}))(l.t)
	return out.Reservations[0].Instances[0]
}

func (l *lab) waitState(id string, state types.InstanceStateName) types.Instance {
	l.t.Helper()
	var i types.Instance
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if i = l.instance(id); i.State.Name == state {
			return i
		}
	}
	l.t.Fatalf("instance %s is %s, want %s", id, i.State.Name, state)
	return i
}
