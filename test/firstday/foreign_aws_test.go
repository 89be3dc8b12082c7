package firstday_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func ec2Filter(name, value string) []types.Filter {
	return []types.Filter{{Name: aws.String(name), Values: []string{value}}}
}

// putInstance starts an instance in a VPC, which is given by the name in its tags.
func putInstance(ctx context.Context, c *ec2.Client, name, vpc string) error {
	subnets, err := subnetsOf(ctx, c, vpc)
	if err != nil {
		return err
	}
	images, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: ec2Filter("architecture", "x86_64")})
	if err != nil {
		return err
	}
	if len(images.Images) == 0 {
		return fmt.Errorf("the account sees no images")
	}
	_, err = c.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: images.Images[0].ImageId, InstanceType: types.InstanceTypeT3Small, SubnetId: subnets[0].SubnetId, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{
			{Key: aws.String("Name"), Value: &name}, {Key: aws.String("team"), Value: aws.String("data")},
		}}},
	})
	return err
}

func subnetsOf(ctx context.Context, c *ec2.Client, vpc string) ([]types.Subnet, error) {
	vpcs, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: ec2Filter("tag:Name", vpc)})
	if err != nil {
		return nil, err
	}
	if len(vpcs.Vpcs) != 1 {
		return nil, fmt.Errorf("%d VPCs are named %s", len(vpcs.Vpcs), vpc)
	}
	subnets, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: ec2Filter("vpc-id", *vpcs.Vpcs[0].VpcId)})
	if err != nil {
		return nil, err
	}
	if len(subnets.Subnets) == 0 {
		return nil, fmt.Errorf("the VPC %s has no subnet", vpc)
	}
	return subnets.Subnets, nil
}

// dropInstance terminates the one instance of a name, which must have been left alone until now, and waits for its end.
func dropInstance(ctx context.Context, c *ec2.Client, name string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for asked := false; ; {
		out, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: ec2Filter("tag:Name", name)})
		if err != nil {
			return err
		}
		if len(out.Reservations) != 1 || len(out.Reservations[0].Instances) != 1 {
			return fmt.Errorf("the instance %s isn't there any more", name)
		}
		i := out.Reservations[0].Instances[0]
		switch {
		case asked && i.State.Name == types.InstanceStateNameTerminated:
			return nil
		case asked:
		case i.State.Name == types.InstanceStateNameTerminated || i.State.Name == types.InstanceStateNameShuttingDown:
			return fmt.Errorf("the instance %s is %s, and nobody asked for that", name, i.State.Name)
		default:
			if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
				return err
			}
			asked = true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
