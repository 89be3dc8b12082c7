package aws

import (
	"context"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

// interfacesOf names the filter that finds the interfaces which keep a resource of a kind from being deleted. Whatever runs in
// a network has one there, whoever runs it.
var interfacesOf = map[cloud.Kind]string{kindVPC: "vpc-id", kindSubnet: "subnet-id", kindSecurityGroup: "group-id", kindGateway: "vpc-id"}

// nameBlockers looks what of somebody else's is behind a refusal to delete something that is in use. What can't be looked at
// leaves the refusal as it is.
func (d *Driver) nameBlockers(ctx context.Context, owner cloud.Owner, o cloud.Object, refusal error) error {
	filter := interfacesOf[o.Kind]
	if filter == "" || !hasCode(refusal, "DependencyViolation") || cloud.CheckUID(owner.UID) != nil {
		return refusal
	}
	c := d.in(o.Region)
	ids := []string{o.ID}
	if o.Kind == kindGateway {
		gateways, err := listGateways(ctx, c, filters{"internet-gateway-id": ids})
		if err != nil {
			return refusal
		}
		ids = nil
		for _, g := range gateways {
			for _, a := range g.Attachments {
				ids = append(ids, sdk.ToString(a.VpcId))
			}
		}
	}
	if len(ids) == 0 {
		return refusal
	}
	found, err := foreignInterfaces(ctx, c, owner, filters{filter: ids}, o.Kind == kindGateway)
	if err == nil && o.Kind == kindVPC {
		var more []cloud.Blocker
		more, err = foreignParts(ctx, c, owner, o.ID)
		found = append(found, more...)
	}
	if err != nil || len(found) == 0 {
		return refusal
	}
	return cloud.HeldBy(classify(refusal), found...)
}

// foreignInterfaces are the interfaces, or the instances behind them, without the cluster's mark; of a gateway's network only
// those with a public address.
func foreignInterfaces(ctx context.Context, c *ec2.Client, owner cloud.Owner, f filters, public bool) ([]cloud.Blocker, error) {
	list, err := listInterfaces(ctx, c, f)
	if err != nil {
		return nil, err
	}
	var out []cloud.Blocker
	var machines []string
	for _, n := range list {
		switch {
		case tagOf(n.TagSet, cloud.TagCluster) == owner.UID || public && n.Association == nil:
		case n.Attachment != nil && sdk.ToString(n.Attachment.InstanceId) != "":
			machines = append(machines, *n.Attachment.InstanceId)
		default:
			b := cloud.Blocker{Kind: kindInterface, ID: sdk.ToString(n.NetworkInterfaceId), Name: sdk.ToString(n.Description), Owner: ownerIn(n.TagSet)}
			if by := sdk.ToString(n.RequesterId); by != "" {
				b.Owner = strings.TrimPrefix(b.Owner+", made by "+by, ", ")
			}
			out = append(out, b)
		}
	}
	if len(machines) == 0 {
		return out, nil
	}
	instances, err := listInstances(ctx, c, filters{"instance-id": machines})
	if err != nil {
		return nil, err
	}
	for _, i := range instances {
		if tagOf(i.Tags, cloud.TagCluster) == owner.UID {
			continue
		}
		b := cloud.Blocker{Kind: kindInstance, ID: sdk.ToString(i.InstanceId), Name: tagOf(i.Tags, "Name"), Owner: ownerIn(i.Tags)}
		if key := sdk.ToString(i.KeyName); key != "" {
			b.Owner = strings.TrimPrefix(b.Owner+", key pair "+key, ", ")
		}
		out = append(out, b)
	}
	return out, nil
}

// foreignParts are the parts of a network that aren't the cluster's and didn't come with it.
func foreignParts(ctx context.Context, c *ec2.Client, owner cloud.Owner, vpc string) ([]cloud.Blocker, error) {
	var s snapshot
	for kind, filter := range map[cloud.Kind]string{kindSubnet: "vpc-id", kindRouteTable: "vpc-id", kindSecurityGroup: "vpc-id", kindGateway: "attachment.vpc-id"} {
		if err := s.add(ctx, c, kind, filters{filter: {vpc}}); err != nil {
			return nil, err
		}
	}
	s.tables = slices.DeleteFunc(s.tables, func(t types.RouteTable) bool {
		return slices.ContainsFunc(t.Associations, func(a types.RouteTableAssociation) bool { return sdk.ToBool(a.Main) })
	})
	s.groups = slices.DeleteFunc(s.groups, func(g types.SecurityGroup) bool { return sdk.ToString(g.GroupName) == "default" })
	var out []cloud.Blocker
	s.eachTags(func(id string, tags *[]types.Tag) {
		if tagOf(*tags, cloud.TagCluster) != owner.UID {
			out = append(out, cloud.Blocker{Kind: partKind(id), ID: id, Name: tagOf(*tags, "Name"), Owner: ownerIn(*tags)})
		}
	})
	return out, nil
}

// partKind tells by an id what it is of, of the parts of a network.
func partKind(id string) cloud.Kind {
	prefix, _, _ := strings.Cut(id, "-")
	return map[string]cloud.Kind{"subnet": kindSubnet, "rtb": kindRouteTable, "sg": kindSecurityGroup, "igw": kindGateway}[prefix]
}

// ownerIn says who something could belong to by its tags.
func ownerIn(tags []types.Tag) string {
	all := map[string]string{}
	for _, t := range tags {
		all[sdk.ToString(t.Key)] = sdk.ToString(t.Value)
	}
	delete(all, "Name") // it is said anyway
	return cloud.OwnerIn(all)
}
