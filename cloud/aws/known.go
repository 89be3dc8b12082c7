package aws

import (
	"context"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

// idFilter names the filter that finds things of a kind by their ids. An association has no tags of its own and is seen
// with its address.
var idFilter = map[cloud.Kind]string{
	kindVPC: "vpc-id", kindGateway: "internet-gateway-id", kindSubnet: "subnet-id", kindRouteTable: "route-table-id", kindSecurityGroup: "group-id",
	kindAddress: "allocation-id", kindInstance: "instance-id", kindVolume: "volume-id", kindInterface: "network-interface-id",
}

// filterValues is how many values one filter takes.
const filterValues = 200

// recognize looks for what is known and wasn't found by its mark, by one list of each kind, and reads everything known as if
// its mark were there and right.
func (s *snapshot) recognize(ctx context.Context, c *ec2.Client, cluster string, known []cloud.Known) error {
	s.known, s.unmarked = map[string]bool{}, map[string]bool{}
	seen, keys, missing := map[string]bool{}, map[string]string{}, map[cloud.Kind][]string{}
	s.eachTags(func(id string, _ *[]types.Tag) { seen[id] = true })
	for _, k := range known {
		s.known[k.ID] = true
		if keys[k.ID] = k.Key; !seen[k.ID] && idFilter[k.Kind] != "" {
			missing[k.Kind] = append(missing[k.Kind], k.ID)
		}
	}
	for kind, ids := range missing {
		for some := range slices.Chunk(ids, filterValues) {
			if err := s.add(ctx, c, kind, filters{idFilter[kind]: some}); err != nil {
				return during("look for what has lost its tags", err)
			}
		}
	}
	s.eachTags(func(id string, tags *[]types.Tag) {
		key, ok := keys[id]
		if !ok || tagOf(*tags, cloud.TagCluster) == cluster && tagOf(*tags, cloud.TagKey) == key {
			return
		}
		s.unmarked[id] = true
		*tags = []types.Tag{{Key: sdk.String(cloud.TagCluster), Value: &cluster}, {Key: sdk.String(cloud.TagKey), Value: &key}}
	})
	return nil
}

// eachTags visits everything that has tags.
func (s *snapshot) eachTags(f func(id string, tags *[]types.Tag)) {
	for i := range s.vpcs {
		f(sdk.ToString(s.vpcs[i].VpcId), &s.vpcs[i].Tags)
	}
	for i := range s.gateways {
		f(sdk.ToString(s.gateways[i].InternetGatewayId), &s.gateways[i].Tags)
	}
	for i := range s.subnets {
		f(sdk.ToString(s.subnets[i].SubnetId), &s.subnets[i].Tags)
	}
	for i := range s.tables {
		f(sdk.ToString(s.tables[i].RouteTableId), &s.tables[i].Tags)
	}
	for i := range s.groups {
		f(sdk.ToString(s.groups[i].GroupId), &s.groups[i].Tags)
	}
	for i := range s.addresses {
		f(sdk.ToString(s.addresses[i].AllocationId), &s.addresses[i].Tags)
	}
	for i := range s.instances {
		f(sdk.ToString(s.instances[i].InstanceId), &s.instances[i].Tags)
	}
	for i := range s.volumes {
		f(sdk.ToString(s.volumes[i].VolumeId), &s.volumes[i].Tags)
	}
	for i := range s.interfaces {
		f(sdk.ToString(s.interfaces[i].NetworkInterfaceId), &s.interfaces[i].TagSet)
	}
}

// add reads a list of one kind into the snapshot.
func (s *snapshot) add(ctx context.Context, c *ec2.Client, kind cloud.Kind, f filters) error {
	switch kind {
	case kindVPC:
		return more(&s.vpcs)(listVPCs(ctx, c, f))
	case kindGateway:
		return more(&s.gateways)(listGateways(ctx, c, f))
	case kindSubnet:
		return more(&s.subnets)(listSubnets(ctx, c, f))
	case kindRouteTable:
		return more(&s.tables)(listRouteTables(ctx, c, f))
	case kindSecurityGroup:
		return more(&s.groups)(listSecurityGroups(ctx, c, f))
	case kindAddress:
		return more(&s.addresses)(listAddresses(ctx, c, f))
	case kindInstance:
		return more(&s.instances)(listInstances(ctx, c, f))
	case kindVolume:
		return more(&s.volumes)(listVolumes(ctx, c, f))
	case kindInterface:
		return more(&s.interfaces)(listInterfaces(ctx, c, f))
	}
	return invalid("things of kind %q can't be listed", kind)
}

// more adds what a list holds to another.
func more[T any](to *[]T) func([]T, error) error {
	return func(list []T, err error) error {
		*to = append(*to, list...)
		return err
	}
}

// mark puts the owner mark on what has lost it.
func (w *work) mark(ctx context.Context, id string) error {
	tags := slices.DeleteFunc(w.tags(w.res.Key), func(t types.Tag) bool { return sdk.ToString(t.Key) == tagToken })
	_, err := w.c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags})
	if hasCode(err, "UnauthorizedOperation") {
		return &cloud.Error{Class: cloud.Denied, Code: "UnauthorizedOperation", Err: err, Message: "somebody took its owner mark, and the account's policy lets Skyweld tag and " +
			"change only what bears it. Put the mark back with: aws ec2 create-tags --resources " + id + " --tags Key=" + cloud.TagCluster + ",Value=" + w.owner.UID +
			" Key=" + cloud.TagKey + ",Value=" + w.res.Key}
	}
	return err
}
