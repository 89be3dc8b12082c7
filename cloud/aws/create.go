package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

// tagToken holds the token of the creation. Most of EC2's create calls take no idempotency token; by this tag a retry
// finds what an earlier try has made.
const tagToken = "skyweld-token"

// Create makes one resource with its mark in the creating call. What EC2 can't say in that call follows; a try that
// broke off between is taken up again by the next one with the same token, and Update mends it too.
func (d *Driver) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	o, err := d.create(ctx, req)
	return o, failed(fmt.Sprintf("create %s %s", req.Resource.Kind, req.Resource.Key), err)
}

func (d *Driver) create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	w, err := d.work(req.Owner, req.Resource, req.Refs)
	if err != nil {
		return cloud.Object{}, err
	}
	w.token, w.userData = req.Token, req.UserData
	if req.Token == "" {
		return cloud.Object{}, invalid("a creation needs a token")
	}
	o, err := w.find(ctx)
	if err != nil {
		return cloud.Object{}, err
	}
	refs := slices.Collect(maps.Values(req.Refs))
	if o.ID == "" {
		if o, err = w.make(ctx); err != nil {
			return cloud.Object{}, d.explainRefusal(ctx, w.res.Region, err, refs...)
		}
	}
	for _, field := range late[w.res.Kind] {
		if err := settle(ctx, o.ID, func() error { return w.bring(ctx, o.ID, field) }); err != nil {
			return cloud.Object{}, halfDone(o.ID, field, d.explainRefusal(ctx, w.res.Region, err, refs...))
		}
	}
	return w.done(o), nil
}

// halfDone is the error of a creation that has made its thing and failed to complete it. Nobody may take it for one
// that made nothing, so a refusal becomes Unknown.
func halfDone(id, field string, err error) error {
	e := *classify(during(fmt.Sprintf("made %s, set its %s", id, field), err))
	if !e.Class.Retryable() {
		e.Class = cloud.Unknown
	}
	return &e
}

// late lists the fields that a kind's creating call can't set.
var late = map[cloud.Kind][]string{
	kindGateway:       {"vpc"},
	kindRouteTable:    {"routes", "subnets"},
	kindSecurityGroup: {"ingress"},
	kindInstance:      {"sourceDestCheck"},
}

// work is one resource being made or changed.
type work struct {
	d        *Driver
	c        *ec2.Client
	owner    cloud.Owner
	res      cloud.Resource
	want     spec // references are ids
	token    string
	userData []byte
}

func (d *Driver) work(owner cloud.Owner, res cloud.Resource, refs map[string]cloud.Object) (*work, error) {
	if err := cloud.CheckMark(owner, res); err != nil {
		return nil, err
	}
	given, ok := res.Spec.(spec)
	if !ok {
		return nil, invalid("kind %q takes no %T", res.Kind, res.Spec)
	}
	w := &work{d: d, c: d.in(res.Region), owner: owner, res: res, want: given.clone()}
	var err error
	w.want.mapRefs(func(key string) string {
		if key == res.Key {
			return key // a security group that names itself
		}
		o, ok := refs[key]
		if (!ok || o.ID == "") && err == nil {
			err = invalid("the request doesn't say what %q is", key)
		}
		return o.ID
	})
	return w, err
}

func invalid(format string, args ...any) error {
	return &cloud.Error{Class: cloud.Invalid, Message: fmt.Sprintf(format, args...)}
}

// done completes what is known of a resource after it was brought to its spec.
func (w *work) done(o cloud.Object) cloud.Object {
	o.Key, o.Cluster, o.Kind, o.Region, o.Spec = w.res.Key, w.owner.UID, w.res.Kind, w.res.Region, w.res.Spec
	return o
}

func (w *work) tags(key string) []types.Tag {
	tag := func(k, v string) types.Tag { return types.Tag{Key: sdk.String(k), Value: sdk.String(v)} }
	return []types.Tag{
		tag("Name", w.owner.Name+"-"+key), tag(cloud.TagCluster, w.owner.UID), tag(cloud.TagKey, key), tag(tagToken, w.token),
	}
}

func (w *work) tagged(t types.ResourceType) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: t, Tags: w.tags(w.res.Key)}}
}

// find looks for what an earlier try with the same token has made; the object's ID is empty when there is none.
func (w *work) find(ctx context.Context) (cloud.Object, error) {
	if s, ok := w.want.(*AssociationSpec); ok {
		return w.findAssociation(ctx, s)
	}
	f := marks(w.owner.UID)
	f["tag:"+tagToken] = []string{w.token}
	f["tag:"+cloud.TagKey] = []string{w.res.Key}
	found, err := w.list(ctx, f)
	if err != nil {
		return cloud.Object{}, err
	}
	for _, o := range found {
		if o.State != cloud.Gone {
			return o, nil
		}
	}
	return cloud.Object{}, nil
}

func (w *work) list(ctx context.Context, f filters) ([]cloud.Object, error) {
	var s snapshot
	err := s.add(ctx, w.c, w.res.Kind, f)
	return s.objects(w.res.Region), err
}

// make is the creating call.
func (w *work) make(ctx context.Context) (cloud.Object, error) {
	switch s := w.want.(type) {
	case *VPCSpec:
		out, err := w.c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String(s.CIDR), TagSpecifications: w.tagged(types.ResourceTypeVpc)})
		if err != nil {
			return cloud.Object{}, err
		}
		return vpcObject(*out.Vpc), nil
	case *GatewaySpec:
		out, err := w.c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{TagSpecifications: w.tagged(types.ResourceTypeInternetGateway)})
		if err != nil {
			return cloud.Object{}, err
		}
		return gatewayObject(*out.InternetGateway), nil
	case *SubnetSpec:
		out, err := w.c.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: sdk.String(s.VPC), CidrBlock: sdk.String(s.CIDR), AvailabilityZone: sdk.String(s.Zone),
			TagSpecifications: w.tagged(types.ResourceTypeSubnet),
		})
		if err != nil {
			return cloud.Object{}, err
		}
		return subnetObject(*out.Subnet), nil
	case *RouteTableSpec:
		out, err := w.c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{
			VpcId: sdk.String(s.VPC), ClientToken: sdk.String(w.token), TagSpecifications: w.tagged(types.ResourceTypeRouteTable),
		})
		if err != nil {
			return cloud.Object{}, err
		}
		return tableObject(*out.RouteTable), nil
	case *SecurityGroupSpec:
		return w.makeGroup(ctx, s)
	case *AddressSpec:
		out, err := w.c.AllocateAddress(ctx, &ec2.AllocateAddressInput{
			Domain: types.DomainTypeVpc, TagSpecifications: w.tagged(types.ResourceTypeElasticIp),
		})
		if err != nil {
			return cloud.Object{}, err
		}
		return addressObjects(types.Address{AllocationId: out.AllocationId, PublicIp: out.PublicIp})[0], nil
	case *InstanceSpec:
		return w.makeInstance(ctx, s)
	case *AssociationSpec:
		return w.associate(ctx, s)
	}
	return cloud.Object{}, invalid("resources of kind %q are not made by themselves", w.res.Kind)
}

func (w *work) makeGroup(ctx context.Context, s *SecurityGroupSpec) (cloud.Object, error) {
	out, err := w.c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		VpcId: sdk.String(s.VPC), GroupName: sdk.String(w.owner.ResourceName(w.res.Key)),
		Description: sdk.String(w.owner.Description(w.res.Key)), TagSpecifications: w.tagged(types.ResourceTypeSecurityGroup),
	})
	if err != nil {
		return cloud.Object{}, err
	}
	return cloud.Object{ID: sdk.ToString(out.GroupId), State: cloud.Ready}, nil
}

// associate puts an address on an instance once that runs: EC2 refuses it for one that is being started.
func (w *work) associate(ctx context.Context, s *AssociationSpec) (cloud.Object, error) {
	var at types.Instance
	err := poll(ctx, func() (bool, error) {
		var err error
		at, err = describeInstance(ctx, w.c, s.Instance)
		return err != nil || stateOf(at) != cloud.Pending, err
	})
	if err != nil {
		return cloud.Object{}, err
	}
	if stateOf(at) == cloud.Gone {
		return cloud.Object{}, &cloud.Error{Class: cloud.NotFound, Message: "the instance " + s.Instance + " was terminated"}
	}
	out, err := w.c.AssociateAddress(ctx, &ec2.AssociateAddressInput{
		AllocationId: sdk.String(s.Address), InstanceId: sdk.String(s.Instance),
		AllowReassociation: sdk.Bool(true), // somebody may have put another address there; that stays theirs
	})
	if err != nil {
		return cloud.Object{}, err
	}
	return cloud.Object{ID: sdk.ToString(out.AssociationId), State: cloud.Ready}, nil
}

// findAssociation looks whether the address is already where it belongs. An association has no tags.
func (w *work) findAssociation(ctx context.Context, s *AssociationSpec) (cloud.Object, error) {
	list, err := listAddresses(ctx, w.c, filters{"allocation-id": {s.Address}})
	if err != nil {
		return cloud.Object{}, err
	}
	for _, a := range list {
		if sdk.ToString(a.AssociationId) != "" && sdk.ToString(a.InstanceId) == s.Instance {
			return cloud.Object{ID: *a.AssociationId, State: cloud.Ready}, nil
		}
	}
	return cloud.Object{}, nil
}
