package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

// Create makes one resource under its deterministic name, with its mark in the creating call. What is there already
// under that name and bears the mark is what an earlier try has made.
func (d *Driver) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	o, err := d.create(ctx, req)
	return o, failed(fmt.Sprintf("create %s %s", req.Resource.Kind, req.Resource.Key), err)
}

func (d *Driver) create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	w, err := d.work(req.Owner, req.Resource, req.Refs)
	if err != nil {
		return cloud.Object{}, err
	}
	if err := cloud.CheckToken(req.Token); err != nil {
		return cloud.Object{}, err
	}
	w.userData = req.UserData
	insert, err := w.inserter(ctx)
	if err != nil {
		return cloud.Object{}, err
	}
	var o cloud.Object
	get := func() (err error) {
		o, err = w.get(ctx)
		return err
	}
	err = d.begin(ctx, req.Token, insert, get)
	if isClass(err, cloud.AlreadyExists) {
		return w.existing(ctx, err)
	}
	return o, w.discreet(err)
}

// work is one resource being made or changed.
type work struct {
	d        *Driver
	owner    cloud.Owner
	res      cloud.Resource
	want     spec
	refs     map[string]cloud.Object
	name     string
	userData []byte
}

func (d *Driver) work(owner cloud.Owner, res cloud.Resource, refs map[string]cloud.Object) (*work, error) {
	if err := cloud.CheckMark(owner, res); err != nil {
		return nil, err
	}
	s, ok := res.Spec.(spec)
	if !ok || s.kind() != res.Kind {
		return nil, invalid("kind %q takes no %T", res.Kind, res.Spec)
	}
	return &work{d: d, owner: owner, res: res, want: s.clone(), refs: refs, name: owner.ResourceName(res.Key)}, nil
}

// ref is the path of the resource that a key stands for.
func (w *work) ref(key string) (string, error) {
	p, err := parseID(w.refs[key].ID)
	if err != nil {
		return "", invalid("the request doesn't say what %q is", key)
	}
	return p.path, nil
}

// names turns what the references stand for back into keys.
func (w *work) names() names {
	n := names{byPath: map[string]string{}, byAddress: map[netip.Addr]string{}}
	for key, o := range w.refs {
		if p, err := parseID(o.ID); err == nil {
			n.byPath[p.path] = key
		}
		if o.Address.IsValid() {
			n.byAddress[o.Address] = key
		}
	}
	return n
}

func (w *work) description() string { return w.owner.Description(w.res.Key) }

func (w *work) labels(key string) map[string]string {
	return map[string]string{cloud.TagCluster: w.owner.UID, cloud.TagKey: key}
}

type insertCall = func(requestID string) (*compute.Operation, error)

// inserter prepares the creating call.
func (w *work) inserter(ctx context.Context) (insertCall, error) {
	api, project, region := w.d.api, w.d.project, w.res.Region
	switch s := w.want.(type) {
	case *NetworkSpec:
		body := networkBody(s)
		body.Name, body.Description = w.name, w.description()
		body.ForceSendFields = []string{"AutoCreateSubnetworks"} // false, and without it the API makes a network of a kind long gone
		return func(id string) (*compute.Operation, error) {
			return api.Networks.Insert(project, body).RequestId(id).Context(ctx).Do()
		}, nil
	case *SubnetworkSpec:
		body, err := w.subnetworkBody(s)
		if err != nil {
			return nil, err
		}
		return func(id string) (*compute.Operation, error) {
			return api.Subnetworks.Insert(project, region, body).RequestId(id).Context(ctx).Do()
		}, nil
	case *FirewallSpec:
		body, err := w.firewallBody(s)
		if err != nil {
			return nil, err
		}
		body.ForceSendFields = nil
		return func(id string) (*compute.Operation, error) {
			return api.Firewalls.Insert(project, body).RequestId(id).Context(ctx).Do()
		}, nil
	case *AddressSpec:
		// The reference doesn't promise that labels are taken in this call, so the mark is in the description.
		body := &compute.Address{Name: w.name, Description: w.description(), AddressType: "EXTERNAL", NetworkTier: s.Tier}
		return func(id string) (*compute.Operation, error) {
			return api.Addresses.Insert(project, region, body).RequestId(id).Context(ctx).Do()
		}, nil
	case *InstanceSpec:
		body, err := w.instanceBody(s)
		if err != nil {
			return nil, err
		}
		return func(id string) (*compute.Operation, error) {
			return api.Instances.Insert(project, s.Zone, body).RequestId(id).Context(ctx).Do()
		}, nil
	}
	return nil, invalid("resources of kind %q are not made by themselves", w.res.Kind)
}

func networkBody(s *NetworkSpec) *compute.Network {
	return &compute.Network{
		Mtu: int64(s.MTU), RoutingConfig: &compute.NetworkRoutingConfig{RoutingMode: s.RoutingMode},
		NetworkFirewallPolicyEnforcementOrder: s.FirewallOrder,
	}
}

func (w *work) subnetworkBody(s *SubnetworkSpec) (*compute.Subnetwork, error) {
	network, err := w.ref(s.Network)
	if err != nil {
		return nil, err
	}
	ranges, err := secondaryRanges(s.SecondaryRanges)
	return &compute.Subnetwork{
		Name: w.name, Description: w.description(), Network: network, IpCidrRange: s.Range, StackType: "IPV4_ONLY",
		PrivateIpGoogleAccess: s.PrivateGoogleAccess, SecondaryIpRanges: ranges,
	}, err
}

func secondaryRanges(list []string) ([]*compute.SubnetworkSecondaryRange, error) {
	var out []*compute.SubnetworkSecondaryRange
	for _, r := range list {
		name, cidr, ok := strings.Cut(r, "=")
		if !ok {
			return nil, invalid("secondary range %q: want name=range", r)
		}
		out = append(out, &compute.SubnetworkSecondaryRange{RangeName: name, IpCidrRange: cidr})
	}
	return out, nil
}

// firewallBody is a whole rule, with everything that a patch must empty.
func (w *work) firewallBody(s *FirewallSpec) (*compute.Firewall, error) {
	network, err := w.ref(s.Network)
	if err != nil {
		return nil, err
	}
	if s.Direction == "INGRESS" && len(s.Sources)+len(s.SourceTags) == 0 {
		return nil, invalid("a firewall rule without sources would let everybody in")
	}
	f := &compute.Firewall{
		Name: w.name, Description: w.description(), Network: network, Direction: s.Direction, Priority: int64(s.Priority),
		SourceRanges: s.Sources, SourceTags: s.SourceTags, DestinationRanges: s.Destinations, TargetTags: s.TargetTags, Disabled: s.Disabled,
		ForceSendFields: []string{
			"Priority", "Disabled", "SourceRanges", "SourceTags", "DestinationRanges", "TargetTags", "SourceServiceAccounts", "TargetServiceAccounts",
		},
	}
	for _, t := range s.Allowed {
		f.Allowed = append(f.Allowed, &compute.FirewallAllowed{IPProtocol: t.Protocol, Ports: t.Ports})
	}
	for _, t := range s.Denied {
		f.Denied = append(f.Denied, &compute.FirewallDenied{IPProtocol: t.Protocol, Ports: t.Ports})
	}
	return f, nil
}

// existing returns what stands under the name, if it is ours.
func (w *work) existing(ctx context.Context, refusal error) (cloud.Object, error) {
	refusal = w.discreet(refusal)
	o, err := w.get(ctx)
	switch {
	case isClass(err, cloud.NotFound):
		// Either the refusal was about something else, an address that is taken, or it is being made or removed just now.
		if hasCode(refusal, "IP_IN_USE_BY_ANOTHER_RESOURCE") {
			return cloud.Object{}, refusal
		}
		return cloud.Object{}, &cloud.Error{Class: cloud.Conflict, Code: classify(refusal).Code, Message: w.name + " is being made or removed"}
	case err != nil:
		return cloud.Object{}, err
	case o.Cluster != w.owner.UID || o.Key != w.res.Key:
		return cloud.Object{}, &cloud.Error{
			Class: cloud.AlreadyExists, Code: classify(refusal).Code, Message: o.ID + " has that name and isn't marked as this cluster's " + w.res.Key,
		}
	case w.res.Kind == kindInstance:
		return w.existingInstance(ctx, o, refusal)
	}
	return o, nil
}

func hasCode(err error, code string) bool { return err != nil && classify(err).Code == code }

// get reads the resource by its name.
func (w *work) get(ctx context.Context) (cloud.Object, error) {
	at := place{project: w.d.project, location: w.res.Region, name: w.name}
	if s, ok := w.want.(*InstanceSpec); ok {
		at.location = s.Zone
	}
	return w.getAt(ctx, at)
}

// getAt reads what is at a place now.
func (w *work) getAt(ctx context.Context, at place) (cloud.Object, error) {
	var o cloud.Object
	switch w.res.Kind {
	case kindNetwork:
		x, err := w.d.api.Networks.Get(at.project, at.name).Context(ctx).Do()
		if err != nil {
			return o, err
		}
		routes, err := w.d.listRoutes(ctx)
		if err != nil {
			return o, err
		}
		o = networkObject(x, names{online: online(routes)})
	case kindSubnetwork:
		x, err := w.d.api.Subnetworks.Get(at.project, at.location, at.name).Context(ctx).Do()
		if err != nil {
			return o, err
		}
		o = subnetworkObject(x, w.names())
	case kindFirewall:
		x, err := w.d.api.Firewalls.Get(at.project, at.name).Context(ctx).Do()
		if err != nil {
			return o, err
		}
		o = firewallObject(x, w.names())
	case kindAddress:
		x, err := w.d.api.Addresses.Get(at.project, at.location, at.name).Context(ctx).Do()
		if err != nil {
			return o, err
		}
		o = addressObject(x)
	case kindInstance:
		x, err := w.d.api.Instances.Get(at.project, at.location, at.name).Context(ctx).Do()
		if err != nil {
			return o, err
		}
		o = instanceObject(x, w.names())
	default:
		return o, invalid("resources of kind %q are not read by themselves", w.res.Kind)
	}
	o.Region = w.res.Region
	return o, nil
}

// discreet takes user data out of an error: an answer may repeat what it refuses.
func (w *work) discreet(err error) error {
	if err == nil {
		return nil
	}
	shown := err.Error()
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		shown += e.Body
	}
	if !cloud.ShowsUserData(shown, w.userData) {
		return err
	}
	return classify(err).Hidden()
}
