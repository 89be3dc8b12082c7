package aws

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
)

// image is what machines are made from.
type image struct {
	id, device string
	found      time.Time
}

// image finds the newest Ubuntu 24.04 by its publisher and family. It is remembered for a while: a try and its retry
// should ask for the same machine.
func (d *Driver) image(ctx context.Context, region string) (image, error) {
	d.mu.Lock()
	known, ok := d.images[region]
	d.mu.Unlock()
	if ok && time.Since(known.found) < imageMemory {
		return known, nil
	}
	in := &ec2.DescribeImagesInput{Owners: []string{d.imageOwner}, Filters: filters{
		"name": {imageName}, "architecture": {imageArchitecture}, "state": {"available"}, "virtualization-type": {"hvm"},
		"root-device-type": {"ebs"},
	}.list()}
	list, err := collect(ctx, ec2.NewDescribeImagesPaginator(d.in(region), in),
		func(o *ec2.DescribeImagesOutput) []types.Image { return o.Images })
	if err != nil {
		return image{}, during("find the image", err)
	}
	if len(list) == 0 {
		return image{}, invalid("account %s publishes no image %s in %s", d.imageOwner, imageName, region)
	}
	newest := slices.MaxFunc(list, func(a, b types.Image) int { // dates in one ISO form sort as text
		return strings.Compare(sdk.ToString(a.CreationDate), sdk.ToString(b.CreationDate))
	})
	img := image{id: sdk.ToString(newest.ImageId), device: sdk.ToString(newest.RootDeviceName), found: time.Now()}
	if img.device == "" {
		img.device = "/dev/sda1"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.images[region] = img
	return img, nil
}

func (w *work) makeInstance(ctx context.Context, s *InstanceSpec) (cloud.Object, error) {
	if len(w.userData) == 0 {
		return cloud.Object{}, invalid("a machine needs user data")
	}
	img, err := w.d.image(ctx, w.res.Region)
	if err != nil {
		return cloud.Object{}, err
	}
	out, err := w.c.RunInstances(ctx, w.runInput(s, img))
	if err != nil {
		return cloud.Object{}, err
	}
	if len(out.Instances) != 1 {
		return cloud.Object{}, &cloud.Error{Class: cloud.Unknown, Message: fmt.Sprintf("EC2 made %d instances, want one", len(out.Instances))}
	}
	return (&snapshot{}).instance(out.Instances[0]), nil
}

func (w *work) runInput(s *InstanceSpec, img image) *ec2.RunInstancesInput {
	key := w.res.Key
	return &ec2.RunInstancesInput{
		ClientToken:  sdk.String(w.token),
		ImageId:      sdk.String(img.id),
		InstanceType: types.InstanceType(s.Type),
		MinCount:     sdk.Int32(1),
		MaxCount:     sdk.Int32(1),
		Placement:    &types.Placement{AvailabilityZone: sdk.String(s.Zone)},
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: sdk.Int32(0), SubnetId: sdk.String(s.Subnet), PrivateIpAddress: sdk.String(s.PrivateAddress),
			Groups: s.SecurityGroups, AssociatePublicIpAddress: sdk.Bool(s.PublicAddress), DeleteOnTermination: sdk.Bool(true),
		}},
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpEndpoint: endpointState(s.Metadata), HttpTokens: tokensState(s.Metadata),
			HttpPutResponseHopLimit: sdk.Int32(int32(s.Metadata.HopLimit)), //nolint:gosec // 1 to 64
		},
		BlockDeviceMappings: []types.BlockDeviceMapping{{
			DeviceName: sdk.String(img.device),
			Ebs: &types.EbsBlockDevice{
				VolumeType: types.VolumeTypeGp3, VolumeSize: sdk.Int32(int32(s.DiskGiB)), //nolint:gosec // at most 65536
				Encrypted: sdk.Bool(true), DeleteOnTermination: sdk.Bool(true),
			},
		}},
		UserData: sdk.String(base64.StdEncoding.EncodeToString(w.userData)),
		TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeInstance, Tags: w.tags(key)},
			{ResourceType: types.ResourceTypeVolume, Tags: w.tags(diskKey(key))},
			{ResourceType: types.ResourceTypeNetworkInterface, Tags: w.tags(interfaceKey(key))},
		},
	}
}

func endpointState(m Metadata) types.InstanceMetadataEndpointState {
	if m.Enabled {
		return types.InstanceMetadataEndpointStateEnabled
	}
	return types.InstanceMetadataEndpointStateDisabled
}

func tokensState(m Metadata) types.HttpTokensState {
	if m.TokensRequired {
		return types.HttpTokensStateRequired
	}
	return types.HttpTokensStateOptional
}

// describeInstance asks for one instance by its id.
func describeInstance(ctx context.Context, c *ec2.Client, id string) (types.Instance, error) {
	out, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return types.Instance{}, err
	}
	for _, i := range instancesOf(out) {
		return i, nil
	}
	return types.Instance{}, &cloud.Error{Class: cloud.NotFound, Message: "there is no instance " + id}
}

// terminate ends an instance and waits until its interface and addresses are free. Its own disk and interface go with
// it, even when somebody has told EC2 to keep them; what others have attached stays.
func terminate(ctx context.Context, c *ec2.Client, id string) error {
	was, err := describeInstance(ctx, c, id)
	if err != nil {
		return err
	}
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
		return err
	}
	err = poll(ctx, func() (bool, error) {
		i, err := describeInstance(ctx, c, id)
		if err != nil {
			return true, unlessGone(err)
		}
		return i.State != nil && i.State.Name == types.InstanceStateNameTerminated, nil
	})
	if err != nil {
		return err
	}
	volume, nic := kept(was)
	if volume != "" {
		if _, err := c.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: sdk.String(volume)}); unlessGone(err) != nil {
			return during("delete its disk "+volume, err)
		}
	}
	if nic != "" {
		if _, err := c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: sdk.String(nic)}); unlessGone(err) != nil {
			return during("delete its interface "+nic, err)
		}
	}
	return nil
}

// kept are the disk and the interface of an instance that outlive it; empty for those that go with it.
func kept(i types.Instance) (volume, nic string) {
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil && m.Ebs.DeleteOnTermination != nil && !*m.Ebs.DeleteOnTermination && sdk.ToString(m.Ebs.VolumeId) == rootVolume(i) {
			volume = rootVolume(i)
		}
	}
	for _, n := range i.NetworkInterfaces {
		a := n.Attachment
		if a != nil && sdk.ToInt32(a.DeviceIndex) == 0 && a.DeleteOnTermination != nil && !*a.DeleteOnTermination {
			nic = sdk.ToString(n.NetworkInterfaceId)
		}
	}
	return volume, nic
}

// consoleLimit is how much Console returns at most, in bytes.
const consoleLimit = 64 << 10

// Console returns the last part of what the machine wrote to its serial console.
func (d *Driver) Console(ctx context.Context, machine cloud.Object) ([]byte, error) {
	op := "read the console of " + machine.Key
	c := d.in(machine.Region)
	out, err := c.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: sdk.String(machine.ID), Latest: sdk.Bool(true)})
	if hasCode(err, "UnsupportedOperation", "InvalidParameterCombination") { // only Nitro instances show it as it is now
		out, err = c.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: sdk.String(machine.ID)})
	}
	if err != nil {
		return nil, failed(op, err)
	}
	text, err := base64.StdEncoding.DecodeString(sdk.ToString(out.Output))
	if err != nil {
		return nil, failed(op, &cloud.Error{Class: cloud.Unknown, Message: "the output isn't base64", Err: err})
	}
	return text[max(0, len(text)-consoleLimit):], nil
}
