package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

// Update brings the named fields of an object to the resource's spec. The field "state" starts a stopped instance.
func (d *Driver) Update(ctx context.Context, req cloud.UpdateRequest) (cloud.Object, error) {
	o, err := d.update(ctx, req)
	return o, failed(fmt.Sprintf("update %s %s", req.Resource.Kind, req.Resource.Key), err)
}

func (d *Driver) update(ctx context.Context, req cloud.UpdateRequest) (cloud.Object, error) {
	w, err := d.work(req.Owner, req.Resource, req.Refs)
	if err != nil {
		return cloud.Object{}, err
	}
	if err := cloud.CheckFields(mutable(w.res.Kind), req.Fields); err != nil {
		return cloud.Object{}, err
	}
	if w.res.Kind == kindInstance { // EC2 remembers a terminated one for an hour and has several answers about it
		i, err := describeInstance(ctx, w.c, req.Object.ID)
		if err != nil {
			return cloud.Object{}, err
		}
		if stateOf(i) == cloud.Gone {
			return cloud.Object{}, &cloud.Error{Class: cloud.NotFound, Message: "the instance " + req.Object.ID + " was terminated"}
		}
	}
	if slices.Contains(req.Fields, cloud.FieldMark) { // first: a policy may allow the rest only then
		if err := w.mark(ctx, req.Object.ID); err != nil {
			return cloud.Object{}, err
		}
	}
	for _, f := range mutable(w.res.Kind) {
		if f == cloud.FieldState || f == cloud.FieldMark || !slices.Contains(req.Fields, f) {
			continue
		}
		if err := w.bring(ctx, req.Object.ID, f); err != nil {
			return cloud.Object{}, d.explainRefusal(ctx, w.res.Region, err, append(slices.Collect(maps.Values(req.Refs)), req.Object)...)
		}
	}
	o := w.done(req.Object)
	o.Unmarked = false
	if slices.Contains(req.Fields, cloud.FieldState) {
		if _, err := w.c.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{o.ID}}); err != nil {
			return cloud.Object{}, during("start it", err)
		}
		o.State = cloud.Pending
	}
	return o, nil
}

// bring sets a field of what exists to the wanted value. It compares with what EC2 says first where a call would not be
// idempotent, so it may be repeated at any time.
func (w *work) bring(ctx context.Context, id, field string) error {
	self := sdk.String(id)
	switch s := w.want.(type) {
	case *GatewaySpec:
		return w.attach(ctx, id, s.VPC)
	case *SubnetSpec:
		_, err := w.c.ModifySubnetAttribute(ctx, &ec2.ModifySubnetAttributeInput{
			SubnetId: self, MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: sdk.Bool(s.MapPublicIP)},
		})
		return err
	case *RouteTableSpec:
		return w.bringTable(ctx, id, field, s)
	case *SecurityGroupSpec:
		return w.bringRules(ctx, id, field, s)
	case *InstanceSpec:
		return w.bringInstance(ctx, id, field, s)
	}
	return invalid("kind %q has no field %q to change", w.res.Kind, field)
}

// attach makes an internet gateway that of a VPC.
func (w *work) attach(ctx context.Context, id, vpc string) error {
	list, err := listGateways(ctx, w.c, filters{"internet-gateway-id": {id}})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return absent("internet gateway", id)
	}
	for _, a := range list[0].Attachments {
		if sdk.ToString(a.VpcId) == vpc {
			return nil
		}
		if _, err := w.c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: sdk.String(id), VpcId: a.VpcId}); err != nil {
			return err
		}
	}
	_, err = w.c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: sdk.String(id), VpcId: sdk.String(vpc)})
	if hasCode(err, "Resource.AlreadyAssociated") && strings.Contains(err.Error(), "network "+vpc) {
		return nil // by an earlier try, which the list above doesn't show yet
	}
	return err
}

func absent(what, id string) error {
	return &cloud.Error{Class: cloud.NotFound, Message: "there is no " + what + " " + id}
}

func (w *work) bringTable(ctx context.Context, id, field string, s *RouteTableSpec) error {
	list, err := listRouteTables(ctx, w.c, filters{"route-table-id": {id}})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return absent("route table", id)
	}
	if field == "routes" {
		return w.bringRoutes(ctx, id, list[0], s.Routes)
	}
	return w.bringSubnets(ctx, id, list[0], s.Subnets)
}

func (w *work) bringRoutes(ctx context.Context, id string, table types.RouteTable, want []Route) error {
	have := map[string]string{}
	for _, r := range table.Routes {
		if route, ok := routeOf(r); ok {
			have[route.Destination] = route.Target
		}
	}
	for _, r := range want {
		target, ok := have[r.Destination]
		delete(have, r.Destination)
		var err error
		switch {
		case ok && target == r.Target:
		case ok:
			_, err = w.c.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{
				RouteTableId: sdk.String(id), DestinationCidrBlock: sdk.String(r.Destination), GatewayId: sdk.String(r.Target),
			})
		default:
			_, err = w.c.CreateRoute(ctx, &ec2.CreateRouteInput{
				RouteTableId: sdk.String(id), DestinationCidrBlock: sdk.String(r.Destination), GatewayId: sdk.String(r.Target),
			})
		}
		if err != nil && !hasCode(err, "RouteAlreadyExists") {
			return err
		}
	}
	for destination := range have {
		in := &ec2.DeleteRouteInput{RouteTableId: sdk.String(id)}
		switch {
		case strings.HasPrefix(destination, "pl-"):
			in.DestinationPrefixListId = sdk.String(destination)
		case strings.Contains(destination, ":"):
			in.DestinationIpv6CidrBlock = sdk.String(destination)
		default:
			in.DestinationCidrBlock = sdk.String(destination)
		}
		if _, err := w.c.DeleteRoute(ctx, in); unlessGone(err) != nil {
			return err
		}
	}
	return nil
}

// bringSubnets makes exactly the wanted subnets use the table. A subnet that somebody gave another table is taken back.
func (w *work) bringSubnets(ctx context.Context, id string, table types.RouteTable, want []string) error {
	have := map[string]bool{}
	for _, a := range table.Associations {
		subnet := sdk.ToString(a.SubnetId)
		if subnet == "" || !associated(a) {
			continue
		}
		have[subnet] = true
		if slices.Contains(want, subnet) {
			continue
		}
		_, err := w.c.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: a.RouteTableAssociationId})
		if unlessGone(err) != nil {
			return err
		}
	}
	for _, subnet := range want {
		if have[subnet] {
			continue
		}
		_, err := w.c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: sdk.String(id), SubnetId: sdk.String(subnet)})
		if hasCode(err, "Resource.AlreadyAssociated") {
			err = w.takeSubnet(ctx, id, subnet)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *work) takeSubnet(ctx context.Context, id, subnet string) error {
	others, err := listRouteTables(ctx, w.c, filters{"association.subnet-id": {subnet}})
	if err != nil {
		return err
	}
	for _, t := range others {
		for _, a := range t.Associations {
			if sdk.ToString(a.SubnetId) != subnet || sdk.ToString(t.RouteTableId) == id {
				continue
			}
			_, err := w.c.ReplaceRouteTableAssociation(ctx, &ec2.ReplaceRouteTableAssociationInput{
				AssociationId: a.RouteTableAssociationId, RouteTableId: sdk.String(id),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// bringRules adds the rules that are missing before it takes the others away, so that nothing wanted is ever cut off.
func (w *work) bringRules(ctx context.Context, id, field string, s *SecurityGroupSpec) error {
	list, err := listSecurityGroups(ctx, w.c, filters{"group-id": {id}})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return absent("security group", id)
	}
	have, want := rulesOf(list[0].IpPermissions), s.Ingress
	if field == "egress" {
		have, want = rulesOf(list[0].IpPermissionsEgress), s.Egress
	}
	want = slices.Clone(want)
	for i := range want {
		if want[i].Peer == w.res.Key {
			want[i].Peer = id
		}
	}
	if add := permissions(without(want, have)); len(add) > 0 {
		if field == "egress" {
			_, err = w.c.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: sdk.String(id), IpPermissions: add})
		} else {
			_, err = w.c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: sdk.String(id), IpPermissions: add})
		}
		if err != nil {
			return err
		}
	}
	if drop := permissions(without(have, want)); len(drop) > 0 {
		if field == "egress" {
			_, err = w.c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: sdk.String(id), IpPermissions: drop})
		} else {
			_, err = w.c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: sdk.String(id), IpPermissions: drop})
		}
	}
	return err
}

// without returns the rules of a that aren't in b.
func without(a, b []Rule) []Rule {
	return slices.DeleteFunc(slices.Clone(a), func(r Rule) bool { return slices.Contains(b, r) })
}

// permissions puts rules into EC2's form, one for each.
func permissions(rules []Rule) []types.IpPermission {
	var out []types.IpPermission
	for _, r := range rules {
		p := types.IpPermission{IpProtocol: sdk.String(r.Protocol)}
		switch r.Protocol {
		case "all":
			p.IpProtocol = sdk.String("-1")
		case "tcp", "udp", "icmp", "icmpv6":
			p.FromPort, p.ToPort = sdk.Int32(int32(r.From)), sdk.Int32(int32(r.To)) //nolint:gosec // ports
		default:
			if _, err := strconv.Atoi(r.Protocol); err != nil {
				p.FromPort, p.ToPort = sdk.Int32(int32(r.From)), sdk.Int32(int32(r.To)) //nolint:gosec // ports
			}
		}
		switch {
		case strings.HasPrefix(r.Peer, "sg-"):
			p.UserIdGroupPairs = []types.UserIdGroupPair{{GroupId: sdk.String(r.Peer)}}
		case strings.HasPrefix(r.Peer, "pl-"):
			p.PrefixListIds = []types.PrefixListId{{PrefixListId: sdk.String(r.Peer)}}
		case strings.Contains(r.Peer, ":"):
			p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: sdk.String(r.Peer)}}
		default:
			p.IpRanges = []types.IpRange{{CidrIp: sdk.String(r.Peer)}}
		}
		out = append(out, p)
	}
	return out
}

func (w *work) bringInstance(ctx context.Context, id, field string, s *InstanceSpec) error {
	if field == "metadata" {
		return w.bringMetadata(ctx, id, s.Metadata)
	}
	in := &ec2.ModifyInstanceAttributeInput{InstanceId: sdk.String(id)}
	if field == "sourceDestCheck" {
		in.SourceDestCheck = &types.AttributeBooleanValue{Value: sdk.Bool(s.SourceDestCheck)}
	} else {
		in.Groups = s.SecurityGroups
	}
	_, err := w.c.ModifyInstanceAttribute(ctx, in)
	return err
}

func (w *work) bringMetadata(ctx context.Context, id string, m Metadata) error {
	in := &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: sdk.String(id), HttpEndpoint: endpointState(m)}
	if m.Enabled { // EC2 refuses the others together with a disabled endpoint
		in.HttpTokens, in.HttpPutResponseHopLimit = tokensState(m), sdk.Int32(int32(m.HopLimit)) //nolint:gosec // 1 to 64
	}
	_, err := w.c.ModifyInstanceMetadataOptions(ctx, in)
	return err
}
