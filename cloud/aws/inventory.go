package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// regionsAtOnce is how many regions an inventory reads at the same time.
const regionsAtOnce = 4

// Inventory lists the account's VPCs with what is in them, addresses, instances that aren't terminated, volumes,
// network interfaces and key pairs.
func (d *Driver) Inventory(ctx context.Context, regions ...string) ([]cloud.Item, error) {
	items, err := d.inventory(ctx, regions)
	return items, failed("list everything in the aws account", err)
}

func (d *Driver) inventory(ctx context.Context, regions []string) ([]cloud.Item, error) {
	if len(regions) == 0 {
		var err error
		if regions, err = d.regions(ctx); err != nil {
			return nil, err
		}
	}
	found := make([][]cloud.Item, len(regions))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(regionsAtOnce)
	for i, region := range regions {
		g.Go(func() (err error) {
			if found[i], err = d.inventoryOf(ctx, region); err != nil {
				return during("in "+region, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(found...)
	slices.SortFunc(all, cloud.CompareItems)
	return all, nil
}

func (d *Driver) inventoryOf(ctx context.Context, region string) ([]cloud.Item, error) {
	c := d.in(region)
	s, err := look(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	pairs, err := listKeyPairs(ctx, c)
	if err != nil {
		return nil, err
	}
	l := listing{region: region}
	l.networks(s)
	l.machines(s)
	for _, k := range pairs {
		l.add(kindKeyPair, k.KeyPairId, k.Tags, sdk.ToString(k.KeyName))
	}
	return l.items, nil
}

// listing collects the items of one region.
type listing struct {
	region string
	items  []cloud.Item
}

func (l *listing) add(kind cloud.Kind, id *string, tags []types.Tag, detail string) {
	l.items = append(l.items, cloud.Item{
		Kind: kind, Region: l.region, ID: sdk.ToString(id), Name: tagOf(tags, "Name"), Cluster: tagOf(tags, cloud.TagCluster),
		Controller: controllerOf(tags), Detail: strings.TrimSpace(detail),
	})
}

// controllerOf is the name of the Kubernetes whose controllers own something, by the tag that they all use.
func controllerOf(tags []types.Tag) string {
	for _, t := range tags {
		if name, ok := strings.CutPrefix(sdk.ToString(t.Key), "kubernetes.io/cluster/"); ok && sdk.ToString(t.Value) == "owned" {
			return name
		}
	}
	return ""
}

func (l *listing) networks(s *snapshot) {
	for _, v := range s.vpcs {
		l.add(kindVPC, v.VpcId, v.Tags, sdk.ToString(v.CidrBlock))
	}
	for _, g := range s.gateways {
		var at []string
		for _, a := range g.Attachments {
			at = append(at, sdk.ToString(a.VpcId))
		}
		l.add(kindGateway, g.InternetGatewayId, g.Tags, strings.Join(at, " "))
	}
	for _, n := range s.subnets {
		l.add(kindSubnet, n.SubnetId, n.Tags, sdk.ToString(n.CidrBlock)+" "+sdk.ToString(n.AvailabilityZone))
	}
	for _, t := range s.tables {
		used := len(slices.DeleteFunc(slices.Clone(t.Associations), func(a types.RouteTableAssociation) bool { return !associated(a) }))
		l.add(kindRouteTable, t.RouteTableId, t.Tags, fmt.Sprintf("%s routes=%d associations=%d", sdk.ToString(t.VpcId), len(t.Routes), used))
	}
	for _, g := range s.groups {
		l.add(kindSecurityGroup, g.GroupId, g.Tags, fmt.Sprintf("%s %s rules=%d+%d", sdk.ToString(g.VpcId), sdk.ToString(g.GroupName),
			len(rulesOf(g.IpPermissions)), len(rulesOf(g.IpPermissionsEgress))))
	}
	for _, a := range s.addresses {
		id := first(a.AllocationId, a.PublicIp)
		l.add(kindAddress, &id, a.Tags, sdk.ToString(a.PublicIp)+" "+first(a.InstanceId, a.NetworkInterfaceId))
	}
}

func (l *listing) machines(s *snapshot) {
	for _, i := range s.instances {
		if stateOf(i) == cloud.Gone {
			continue
		}
		state := ""
		if i.State != nil {
			state = string(i.State.Name)
		}
		l.add(kindInstance, i.InstanceId, i.Tags, string(i.InstanceType)+" "+state)
	}
	for _, v := range s.volumes {
		if v.State != types.VolumeStateDeleting && v.State != types.VolumeStateDeleted {
			l.add(kindVolume, v.VolumeId, v.Tags, fmt.Sprintf("%d GiB %s", sdk.ToInt32(v.Size), v.VolumeType))
		}
	}
	for _, n := range s.interfaces {
		l.add(kindInterface, n.NetworkInterfaceId, n.TagSet, sdk.ToString(n.SubnetId)+" "+sdk.ToString(n.PrivateIpAddress))
	}
}
