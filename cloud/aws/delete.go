package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

// Delete removes an object; an instance is waited for until it is terminated. Removing what is gone is success. What is in
// the way of each kind, and how that is got past, is in docs/teardown.md.
func (d *Driver) Delete(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	err := d.explainRefusal(ctx, o.Region, remove(ctx, d.in(o.Region), owner, o), o)
	err = d.nameBlockers(ctx, owner, o, err)
	return failed(fmt.Sprintf("delete %s %s", o.Kind, o.Key), unlessGone(err))
}

// explainRefusal looks whether what a refused call was about isn't there. A policy that allows changes by tag only refuses
// them for what is gone, as that has no tags any more.
func (d *Driver) explainRefusal(ctx context.Context, region string, err error, about ...cloud.Object) error {
	if !hasCode(err, "UnauthorizedOperation") {
		return err
	}
	text := classify(err).Message
	slices.SortFunc(about, func(a, b cloud.Object) int { // what the refusal names comes first, else what the others are in
		if x, y := strings.Contains(text, a.ID), strings.Contains(text, b.ID); x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return layer(a.Kind) - layer(b.Kind)
	})
	for _, o := range about {
		if there, lerr := exists(ctx, d.in(region), o.Kind, o.ID); lerr == nil && !there {
			return &cloud.Error{Class: cloud.NotFound, Code: notThere[o.Kind], Message: fmt.Sprintf("there is no %s %s", o.Kind, o.ID)}
		}
	}
	return err
}

// layer is a kind's place in the order of creation.
func layer(kind cloud.Kind) int {
	return slices.IndexFunc((*Driver)(nil).Kinds(), func(k cloud.KindInfo) bool { return k.Kind == kind })
}

// notThere are the codes with which EC2 says that something doesn't exist, to who may change it.
var notThere = map[cloud.Kind]string{
	kindVPC: "InvalidVpcID.NotFound", kindGateway: "InvalidInternetGatewayID.NotFound", kindSubnet: "InvalidSubnetID.NotFound",
	kindRouteTable: "InvalidRouteTableID.NotFound", kindSecurityGroup: "InvalidGroup.NotFound", kindAddress: "InvalidAllocationID.NotFound",
	kindAssociation: "InvalidAssociationID.NotFound", kindVolume: "InvalidVolume.NotFound", kindInterface: "InvalidNetworkInterfaceID.NotFound",
}

// exists looks whether something is there, by its id. An instance is never forgotten before its tags are.
func exists(ctx context.Context, c *ec2.Client, kind cloud.Kind, id string) (bool, error) {
	if kind == kindAssociation {
		list, err := listAddresses(ctx, c, filters{"association-id": {id}})
		return len(list) > 0, err
	}
	if kind == kindInstance || idFilter[kind] == "" {
		return true, nil
	}
	var s snapshot
	err := s.add(ctx, c, kind, filters{idFilter[kind]: {id}})
	found := false
	s.eachTags(func(string, *[]types.Tag) { found = true })
	return found, err
}

func remove(ctx context.Context, c *ec2.Client, owner cloud.Owner, o cloud.Object) error {
	id := sdk.String(o.ID)
	var err error
	switch o.Kind {
	case kindVPC:
		_, err = c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: id})
	case kindGateway:
		err = removeGateway(ctx, c, o.ID)
	case kindSubnet:
		err = pastIdle(ctx, c, owner, "subnet-id", o.ID, func() error {
			_, err := c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: id})
			return err
		})
	case kindRouteTable:
		err = removeTable(ctx, c, o.ID)
	case kindSecurityGroup:
		err = pastIdle(ctx, c, owner, "group-id", o.ID, func() error {
			_, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: id})
			return err
		})
	case kindAddress:
		_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: id})
	case kindInstance:
		err = terminate(ctx, c, o.ID)
	case kindAssociation:
		_, err = c.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: id})
	case kindVolume:
		_, err = c.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: id})
	case kindInterface:
		err = removeInterface(ctx, c, o.ID)
	default:
		err = invalid("the driver makes no resources of kind %q", o.Kind)
	}
	return err
}

// pastIdle deletes something. Where EC2 refuses that because it is in use, the cluster's own interfaces that nothing uses
// are taken out of the way first: they outlived machines that somebody else ended, and hold nothing.
func pastIdle(ctx context.Context, c *ec2.Client, owner cloud.Owner, filter, id string, remove func() error) error {
	refusal := remove()
	if !hasCode(refusal, "DependencyViolation") || cloud.CheckUID(owner.UID) != nil {
		return refusal
	}
	f := marks(owner.UID)
	f[filter], f["status"] = []string{id}, []string{string(types.NetworkInterfaceStatusAvailable)}
	list, err := listInterfaces(ctx, c, f)
	if err != nil {
		return during("look for interfaces that are in the way", err)
	}
	if len(list) == 0 {
		return refusal
	}
	for _, n := range list {
		if err := removeInterface(ctx, c, sdk.ToString(n.NetworkInterfaceId)); unlessGone(err) != nil {
			return during("delete the interface "+sdk.ToString(n.NetworkInterfaceId)+", which is in the way", err)
		}
	}
	return remove()
}

// removeInterface deletes an interface. EC2's code for one in use is that of requests which can never succeed; only the
// text tells them apart.
func removeInterface(ctx context.Context, c *ec2.Client, id string) error {
	_, err := c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: sdk.String(id)})
	if hasCode(err, "InvalidParameterValue") && strings.Contains(err.Error(), "currently in use") {
		e := *classify(err)
		e.Class = cloud.Conflict
		return &e
	}
	return err
}

// removeGateway detaches a gateway from whatever it is attached to: EC2 deletes no attached one.
func removeGateway(ctx context.Context, c *ec2.Client, id string) error {
	list, err := listGateways(ctx, c, filters{"internet-gateway-id": {id}})
	if err != nil {
		return err
	}
	for _, g := range list {
		for _, a := range g.Attachments {
			_, err := c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: g.InternetGatewayId, VpcId: a.VpcId})
			if unlessGone(err) != nil {
				return during("detach it from "+sdk.ToString(a.VpcId), err)
			}
		}
	}
	_, err = c.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: sdk.String(id)})
	return err
}

// removeTable ends the associations with subnets first: EC2 deletes no table that is in use.
func removeTable(ctx context.Context, c *ec2.Client, id string) error {
	list, err := listRouteTables(ctx, c, filters{"route-table-id": {id}})
	if err != nil {
		return err
	}
	for _, t := range list {
		for _, a := range t.Associations {
			if a.SubnetId == nil {
				continue // as a VPC's main table or that of a gateway: not ours to end
			}
			_, err := c.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: a.RouteTableAssociationId})
			if unlessGone(err) != nil {
				return during("take it from "+*a.SubnetId, err)
			}
		}
	}
	_, err = c.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: sdk.String(id)})
	return err
}
