package aws

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// snapshot is what EC2 says about one region.
type snapshot struct {
	vpcs       []types.Vpc
	gateways   []types.InternetGateway
	subnets    []types.Subnet
	tables     []types.RouteTable
	groups     []types.SecurityGroup
	addresses  []types.Address
	instances  []types.Instance
	volumes    []types.Volume
	interfaces []types.NetworkInterface
	// known are ids that the ledger holds, unmarked those of them that bear no mark, or another than it says.
	known, unmarked map[string]bool
}

// lists is how many lists are read at the same time.
const lists = 5

// look takes a snapshot of what the filters find: one paged list per type, all at the same time.
func look(ctx context.Context, c *ec2.Client, f filters) (*snapshot, error) {
	var s snapshot
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lists)
	g.Go(func() (err error) { s.vpcs, err = listVPCs(ctx, c, f); return err })
	g.Go(func() (err error) { s.gateways, err = listGateways(ctx, c, f); return err })
	g.Go(func() (err error) { s.subnets, err = listSubnets(ctx, c, f); return err })
	g.Go(func() (err error) { s.tables, err = listRouteTables(ctx, c, f); return err })
	g.Go(func() (err error) { s.groups, err = listSecurityGroups(ctx, c, f); return err })
	g.Go(func() (err error) { s.addresses, err = listAddresses(ctx, c, f); return err })
	g.Go(func() (err error) { s.instances, err = listInstances(ctx, c, f); return err })
	g.Go(func() (err error) { s.volumes, err = listVolumes(ctx, c, f); return err })
	g.Go(func() (err error) { s.interfaces, err = listInterfaces(ctx, c, f); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return &s, nil
}

// unmarkedDisks adds the disks of the instances that were not among the marked volumes: somebody took their mark, and
// that is no reason to believe that the disk is another.
func (s *snapshot) unmarkedDisks(ctx context.Context, c *ec2.Client) error {
	known := map[string]bool{}
	for _, v := range s.volumes {
		known[sdk.ToString(v.VolumeId)] = true
	}
	var missing []string
	for _, i := range s.instances {
		if id := rootVolume(i); id != "" && !known[id] && stateOf(i) != cloud.Gone {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	more, err := listVolumes(ctx, c, filters{"volume-id": missing})
	s.volumes = append(s.volumes, more...)
	return err
}

func rootVolume(i types.Instance) string {
	for _, m := range i.BlockDeviceMappings {
		if sdk.ToString(m.DeviceName) == sdk.ToString(i.RootDeviceName) && m.Ebs != nil {
			return sdk.ToString(m.Ebs.VolumeId)
		}
	}
	return ""
}

// Observe lists everything in the region that carries the cluster's mark, and what is known and doesn't.
func (d *Driver) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	op := "observe " + region
	if err := cloud.CheckUID(cluster); err != nil {
		return nil, failed(op, &cloud.Error{Class: cloud.Invalid, Err: err})
	}
	s, err := look(ctx, d.in(region), marks(cluster))
	if err == nil {
		err = s.recognize(ctx, d.in(region), cluster, known)
	}
	if err == nil {
		err = s.unmarkedDisks(ctx, d.in(region))
	}
	if err != nil {
		return nil, failed(op, d.explainRegion(ctx, region, err))
	}
	return s.objects(region), nil
}

// objects turns a snapshot into objects whose references are keys.
func (s *snapshot) objects(region string) []cloud.Object {
	var out []cloud.Object
	for _, v := range s.vpcs {
		out = append(out, vpcObject(v))
	}
	for _, g := range s.gateways {
		out = append(out, gatewayObject(g))
	}
	for _, n := range s.subnets {
		out = append(out, subnetObject(n))
	}
	for _, t := range s.tables {
		out = append(out, tableObject(t))
	}
	for _, g := range s.groups {
		out = append(out, groupObject(g))
	}
	for _, a := range s.addresses {
		out = append(out, addressObjects(a)...)
	}
	for _, i := range s.instances {
		out = append(out, s.instance(i))
	}
	out = append(out, s.orphans()...)
	keys := map[string]string{}
	for i := range out {
		out[i].Region, out[i].Unmarked = region, s.unmarked[out[i].ID]
		if o := out[i]; o.State != cloud.Gone && o.Key != "" {
			keys[o.ID] = o.Key
		}
	}
	for _, o := range out {
		if sp, ok := o.Spec.(spec); ok {
			sp.mapRefs(func(id string) string {
				if key, ok := keys[id]; ok {
					return key
				}
				return id
			})
		}
	}
	return out
}

// marked starts an object from a resource's tags.
func marked(kind cloud.Kind, id *string, tags []types.Tag, s spec) cloud.Object {
	return cloud.Object{
		Key: tagOf(tags, cloud.TagKey), Cluster: tagOf(tags, cloud.TagCluster), Kind: kind, ID: sdk.ToString(id),
		State: cloud.Ready, Spec: s,
	}
}

func vpcObject(v types.Vpc) cloud.Object {
	return marked(kindVPC, v.VpcId, v.Tags, &VPCSpec{CIDR: sdk.ToString(v.CidrBlock)})
}

func gatewayObject(g types.InternetGateway) cloud.Object {
	sp := &GatewaySpec{}
	for _, a := range g.Attachments {
		if a.State != types.AttachmentStatusDetached && a.State != types.AttachmentStatusDetaching {
			sp.VPC = sdk.ToString(a.VpcId)
		}
	}
	return marked(kindGateway, g.InternetGatewayId, g.Tags, sp)
}

func subnetObject(n types.Subnet) cloud.Object {
	return marked(kindSubnet, n.SubnetId, n.Tags, &SubnetSpec{
		VPC: sdk.ToString(n.VpcId), CIDR: sdk.ToString(n.CidrBlock), Zone: sdk.ToString(n.AvailabilityZone),
		MapPublicIP: sdk.ToBool(n.MapPublicIpOnLaunch),
	})
}

func tableObject(t types.RouteTable) cloud.Object {
	sp := &RouteTableSpec{VPC: sdk.ToString(t.VpcId), Routes: []Route{}, Subnets: []string{}}
	for _, r := range t.Routes {
		if route, ok := routeOf(r); ok {
			sp.Routes = append(sp.Routes, route)
		}
	}
	for _, a := range t.Associations {
		if a.SubnetId != nil && associated(a) {
			sp.Subnets = append(sp.Subnets, *a.SubnetId)
		}
	}
	return marked(kindRouteTable, t.RouteTableId, t.Tags, sp)
}

func associated(a types.RouteTableAssociation) bool {
	if a.AssociationState == nil {
		return true
	}
	switch a.AssociationState.State {
	case types.RouteTableAssociationStateCodeDisassociating, types.RouteTableAssociationStateCodeDisassociated, types.RouteTableAssociationStateCodeFailed:
		return false
	}
	return true
}

// routeOf gives a route its one destination and target. ok is false for the route within the VPC and for propagated
// ones: nobody made them.
func routeOf(r types.Route) (route Route, ok bool) {
	if sdk.ToString(r.GatewayId) == "local" || r.Origin == types.RouteOriginEnableVgwRoutePropagation {
		return Route{}, false
	}
	return Route{
		Destination: first(r.DestinationCidrBlock, r.DestinationIpv6CidrBlock, r.DestinationPrefixListId),
		Target: first(r.GatewayId, r.NatGatewayId, r.NetworkInterfaceId, r.InstanceId, r.TransitGatewayId, r.VpcPeeringConnectionId,
			r.EgressOnlyInternetGatewayId, r.CarrierGatewayId, r.LocalGatewayId, r.CoreNetworkArn),
	}, true
}

func first(values ...*string) string {
	for _, v := range values {
		if s := sdk.ToString(v); s != "" {
			return s
		}
	}
	return ""
}

func groupObject(g types.SecurityGroup) cloud.Object {
	return marked(kindSecurityGroup, g.GroupId, g.Tags, &SecurityGroupSpec{
		VPC: sdk.ToString(g.VpcId), Ingress: rulesOf(g.IpPermissions), Egress: rulesOf(g.IpPermissionsEgress),
	})
}

// rulesOf cuts permissions, which hold many peers each and in any order, into single rules.
func rulesOf(list []types.IpPermission) []Rule {
	out := []Rule{}
	for _, p := range list {
		base := Rule{Protocol: protocolName(sdk.ToString(p.IpProtocol))}
		if base.Protocol != "all" {
			base.From, base.To = int(sdk.ToInt32(p.FromPort)), int(sdk.ToInt32(p.ToPort))
		}
		add := func(peer *string) {
			r := base
			r.Peer = sdk.ToString(peer)
			out = append(out, r)
		}
		for _, x := range p.IpRanges {
			add(x.CidrIp)
		}
		for _, x := range p.Ipv6Ranges {
			add(x.CidrIpv6)
		}
		for _, x := range p.UserIdGroupPairs {
			add(x.GroupId)
		}
		for _, x := range p.PrefixListIds {
			add(x.PrefixListId)
		}
	}
	slices.SortFunc(out, compareRules)
	return slices.Compact(out)
}

// protocolName undoes the numbers that EC2 takes and may give back for protocols with names.
func protocolName(p string) string {
	switch p {
	case "-1":
		return "all"
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "1":
		return "icmp"
	case "58":
		return "icmpv6"
	}
	return p
}

// addressObjects are an address and, where it is on something, the association.
func addressObjects(a types.Address) []cloud.Object {
	o := marked(kindAddress, a.AllocationId, a.Tags, &AddressSpec{})
	o.Address = parseAddr(a.PublicIp)
	if sdk.ToString(a.AssociationId) == "" {
		return []cloud.Object{o}
	}
	assoc := o
	assoc.Kind, assoc.ID, assoc.Key, assoc.Address = kindAssociation, *a.AssociationId, associationKey(o.Key), netip.Addr{}
	assoc.Spec = &AssociationSpec{Address: o.ID, Instance: first(a.InstanceId, a.NetworkInterfaceId)}
	return []cloud.Object{o, assoc}
}

func stateOf(i types.Instance) cloud.State {
	if i.State == nil {
		return cloud.Pending
	}
	switch i.State.Name {
	case types.InstanceStateNameRunning:
		return cloud.Ready
	case types.InstanceStateNameStopping, types.InstanceStateNameStopped:
		return cloud.Stopped
	case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
		return cloud.Gone
	}
	return cloud.Pending
}

func (s *snapshot) instance(i types.Instance) cloud.Object {
	o := marked(kindInstance, i.InstanceId, i.Tags, nil)
	o.Spec, o.State = nil, stateOf(i)
	o.Created = sdk.ToTime(i.LaunchTime).UTC().Truncate(time.Second)
	zone := ""
	if i.Placement != nil {
		zone = sdk.ToString(i.Placement.AvailabilityZone)
	}
	o.Machine = &cloud.MachineStatus{
		Private: parseAddr(i.PrivateIpAddress), Public: parseAddr(i.PublicIpAddress), Zone: zone, Type: string(i.InstanceType),
		ProviderID: "aws:///" + zone + "/" + o.ID,
	}
	if o.State == cloud.Gone {
		return o // EC2 has forgotten most of what it was
	}
	sp := &InstanceSpec{
		Subnet: sdk.ToString(i.SubnetId), Zone: zone, Type: o.Machine.Type, PrivateAddress: sdk.ToString(i.PrivateIpAddress),
		SourceDestCheck: sdk.ToBool(i.SourceDestCheck), Metadata: metadataOf(i.MetadataOptions),
		DiskGiB: s.diskOf(i),
		// A machine has an address of its own only while it runs.
		PublicAddress: o.Machine.Public.IsValid() || o.State != cloud.Ready,
	}
	sp.SecurityGroups = groupsOf(i)
	o.Spec, o.Parts = sp, partsOf(i, o.Key)
	return o
}

// partsOf are the disk that an instance boots from and its first interface.
func partsOf(i types.Instance, key string) []cloud.Known {
	var out []cloud.Known
	if id := rootVolume(i); id != "" && key != "" {
		out = append(out, cloud.Known{Kind: kindVolume, Key: diskKey(key), ID: id})
	}
	for _, n := range i.NetworkInterfaces {
		if n.Attachment != nil && sdk.ToInt32(n.Attachment.DeviceIndex) == 0 && sdk.ToString(n.NetworkInterfaceId) != "" && key != "" {
			out = append(out, cloud.Known{Kind: kindInterface, Key: interfaceKey(key), ID: *n.NetworkInterfaceId})
		}
	}
	return out
}

// groupsOf are the groups of an instance, which are those of its first interface; EC2 says them in both places, not
// every server that speaks its language does.
func groupsOf(i types.Instance) []string {
	groups, out := i.SecurityGroups, []string{}
	for _, n := range i.NetworkInterfaces {
		if len(groups) == 0 && n.Attachment != nil && sdk.ToInt32(n.Attachment.DeviceIndex) == 0 {
			groups = n.Groups
		}
	}
	for _, g := range groups {
		out = append(out, sdk.ToString(g.GroupId))
	}
	return out
}

func metadataOf(m *types.InstanceMetadataOptionsResponse) Metadata {
	if m == nil {
		return Metadata{}
	}
	return Metadata{
		Enabled:        m.HttpEndpoint == types.InstanceMetadataEndpointStateEnabled,
		TokensRequired: m.HttpTokens == types.HttpTokensStateRequired,
		HopLimit:       int(sdk.ToInt32(m.HttpPutResponseHopLimit)),
	}
}

func (s *snapshot) diskOf(i types.Instance) int {
	root := rootVolume(i)
	for _, v := range s.volumes {
		if sdk.ToString(v.VolumeId) == root {
			return int(sdk.ToInt32(v.Size))
		}
	}
	return 0
}

// orphans are marked volumes and interfaces that nothing uses and whose instance isn't there any more, or that are known by
// their ids: what is on its way to or from an instance is used by none either, for a moment.
func (s *snapshot) orphans() []cloud.Object {
	owned := map[string]bool{}
	for _, i := range s.instances {
		if key := tagOf(i.Tags, cloud.TagKey); stateOf(i) != cloud.Gone {
			owned[diskKey(key)], owned[interfaceKey(key)] = true, true
		}
	}
	var out []cloud.Object
	for _, v := range s.volumes {
		o := marked(kindVolume, v.VolumeId, v.Tags, &VolumeSpec{Zone: sdk.ToString(v.AvailabilityZone), GiB: int(sdk.ToInt32(v.Size))})
		if o.Key != "" && (!owned[o.Key] || s.known[o.ID]) && v.State == types.VolumeStateAvailable && len(v.Attachments) == 0 {
			out = append(out, o)
		}
	}
	for _, n := range s.interfaces {
		sp := &InterfaceSpec{Subnet: sdk.ToString(n.SubnetId), PrivateAddress: sdk.ToString(n.PrivateIpAddress), SecurityGroups: []string{}}
		for _, g := range n.Groups {
			sp.SecurityGroups = append(sp.SecurityGroups, sdk.ToString(g.GroupId))
		}
		o := marked(kindInterface, n.NetworkInterfaceId, n.TagSet, sp)
		if o.Key != "" && (!owned[o.Key] || s.known[o.ID]) && n.Status == types.NetworkInterfaceStatusAvailable {
			out = append(out, o)
		}
	}
	return out
}

func parseAddr(s *string) netip.Addr {
	a, err := netip.ParseAddr(strings.TrimSpace(sdk.ToString(s)))
	if err != nil {
		return netip.Addr{}
	}
	return a
}
