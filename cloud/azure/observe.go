package azure

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
)

// Observe lists everything in the region that carries the cluster's mark: one list for each type of resource, over the
// whole subscription, as a copy of a marked thing may lie in whatever group; and one more for whether machines run.
func (d *Driver) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	out, err := d.observe(ctx, cluster, region, known)
	return out, failed("observe "+region, err)
}

func (d *Driver) observe(ctx context.Context, cluster, region string, known []cloud.Known) ([]cloud.Object, error) {
	if err := cloud.CheckUID(cluster); err != nil {
		return nil, invalid("%v", err)
	}
	s, err := d.snapshot(ctx, tagged(cloud.TagCluster, cluster))
	if err != nil {
		return nil, err
	}
	lost, err := d.lostGroups(ctx, s.groups, known)
	if err != nil {
		return nil, err
	}
	s.groups = append(s.groups, lost...)
	s.recognize(cluster, known)
	s.keep(cluster, region)
	return s.objects(), nil
}

// snapshot is what Azure says.
type snapshot struct {
	groups     []*armresources.ResourceGroup
	securities []*armnetwork.SecurityGroup
	networks   []*armnetwork.VirtualNetwork
	addresses  []*armnetwork.PublicIPAddress
	interfaces []*armnetwork.Interface
	machines   []*armcompute.VirtualMachine
	states     []*armcompute.VirtualMachine
	disks      []*armcompute.Disk
	// unmarked are the paths of what is on record and doesn't bear its mark.
	unmarked map[string]bool
}

// snapshot lists it all; the filter is for resource groups, others can't be asked for by tag in a list of one type.
func (d *Driver) snapshot(ctx context.Context, groups string) (*snapshot, error) {
	s := &snapshot{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { s.groups, err = d.listGroups(ctx, groups); return err })
	g.Go(func() (err error) { s.securities, err = d.listSecurities(ctx); return err })
	g.Go(func() (err error) { s.networks, err = d.listNetworks(ctx); return err })
	g.Go(func() (err error) { s.addresses, err = d.listAddresses(ctx); return err })
	g.Go(func() (err error) { s.interfaces, err = d.listInterfaces(ctx); return err })
	g.Go(func() (err error) { s.machines, err = d.listMachines(ctx); return err })
	g.Go(func() (err error) { s.states, err = d.listStates(ctx); return err })
	g.Go(func() (err error) { s.disks, err = d.listDisks(ctx); return err })
	return s, g.Wait()
}

// tagOf reads a tag. Azure keeps names of tags as they were written, and takes them in whatever case.
func tagOf(tags map[string]*string, name string) string {
	if v, ok := tags[name]; ok {
		return val(v)
	}
	for k, v := range tags {
		if strings.EqualFold(k, name) {
			return val(v)
		}
	}
	return ""
}

// sameRegion compares two locations: some answers have the name for people ("East US").
func sameRegion(a, b string) bool { return regionName(a) == regionName(b) }

func regionName(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

// keep drops what isn't the cluster's or isn't in the region.
func (s *snapshot) keep(cluster, region string) {
	other := func(tags map[string]*string, location *string) bool {
		return tagOf(tags, cloud.TagCluster) != cluster || !sameRegion(val(location), region)
	}
	s.groups = slices.DeleteFunc(s.groups, func(x *armresources.ResourceGroup) bool { return other(x.Tags, x.Location) })
	s.securities = slices.DeleteFunc(s.securities, func(x *armnetwork.SecurityGroup) bool { return other(x.Tags, x.Location) })
	s.networks = slices.DeleteFunc(s.networks, func(x *armnetwork.VirtualNetwork) bool { return other(x.Tags, x.Location) })
	s.addresses = slices.DeleteFunc(s.addresses, func(x *armnetwork.PublicIPAddress) bool { return other(x.Tags, x.Location) })
	s.interfaces = slices.DeleteFunc(s.interfaces, func(x *armnetwork.Interface) bool { return other(x.Tags, x.Location) })
	s.machines = slices.DeleteFunc(s.machines, func(x *armcompute.VirtualMachine) bool { return other(x.Tags, x.Location) })
	s.disks = slices.DeleteFunc(s.disks, func(x *armcompute.Disk) bool {
		return diskCluster(x, s.groups) != cluster || !sameRegion(val(x.Location), region)
	})
}

// diskCluster is whose disk it is. A disk that Azure makes along with a machine has the machine's tags at best, so one of
// our name in a group of ours is ours too.
func diskCluster(x *armcompute.Disk, groups []*armresources.ResourceGroup) string {
	if c := tagOf(x.Tags, cloud.TagCluster); c != "" {
		return c
	}
	at := parsePath(val(x.ID))
	for _, g := range groups {
		c := tagOf(g.Tags, cloud.TagCluster)
		if strings.EqualFold(val(g.Name), at.group) && cloud.CheckUID(c) == nil && strings.HasPrefix(at.name, cloud.Owner{UID: c}.ResourceName("")) {
			return c
		}
	}
	return ""
}

// names turns paths into the keys of the resources they stand for.
type names map[string]string

func (n names) key(armID string) string {
	if armID == "" {
		return ""
	}
	path := pathOf(armID)
	if key := n[path]; key != "" {
		return key
	}
	return path
}

// join is what an object's own answer doesn't say.
type join struct {
	names     names
	addresses map[string]netip.Addr // by path
	nics      map[string]cloud.Object
	states    map[string]*armcompute.VirtualMachineInstanceView
	disks     map[string]*armcompute.Disk
}

func (s *snapshot) join() join {
	j := join{
		names: names{}, addresses: map[string]netip.Addr{}, nics: map[string]cloud.Object{},
		states: map[string]*armcompute.VirtualMachineInstanceView{}, disks: map[string]*armcompute.Disk{},
	}
	for _, x := range s.securities {
		j.names[pathOf(val(x.ID))] = tagOf(x.Tags, cloud.TagKey)
	}
	for _, x := range s.networks {
		j.names[pathOf(val(x.ID))] = tagOf(x.Tags, cloud.TagKey)
	}
	for _, x := range s.addresses {
		path := pathOf(val(x.ID))
		j.names[path] = tagOf(x.Tags, cloud.TagKey)
		if x.Properties != nil {
			j.addresses[path] = cloud.ParseAddr(val(x.Properties.IPAddress))
		}
	}
	for _, x := range s.interfaces {
		path := pathOf(val(x.ID))
		j.names[path] = tagOf(x.Tags, cloud.TagKey)
		j.nics[path] = interfaceObject(x, j.names)
	}
	for _, x := range s.states {
		if x.Properties != nil {
			j.states[pathOf(val(x.ID))] = x.Properties.InstanceView
		}
	}
	for _, x := range s.disks {
		j.disks[pathOf(val(x.ID))] = x
	}
	return j
}

// objects turns a snapshot into objects whose references are keys.
func (s *snapshot) objects() []cloud.Object {
	j := s.join()
	var out []cloud.Object
	for _, x := range s.groups {
		out = append(out, groupObject(x))
	}
	for _, x := range s.securities {
		out = append(out, securityObject(x))
	}
	for _, x := range s.networks {
		out = append(out, networkObject(x))
	}
	for _, x := range s.addresses {
		out = append(out, addressObject(x))
	}
	for _, x := range s.interfaces {
		out = append(out, interfaceObject(x, j.names))
	}
	for _, x := range s.machines {
		out = append(out, j.machine(x))
	}
	for _, x := range s.disks {
		if diskFree(x) {
			out = append(out, diskObject(x, s.groups))
		}
	}
	for i := range out {
		path, _, _ := strings.Cut(out[i].ID, "#")
		out[i].Unmarked = s.unmarked[path]
	}
	return out
}

// object starts the object of a resource with tags.
func object(tags map[string]*string, armID, location *string, number string, s spec) cloud.Object {
	return cloud.Object{
		Key: tagOf(tags, cloud.TagKey), Cluster: tagOf(tags, cloud.TagCluster), Kind: s.kind(), Region: regionName(val(location)),
		ID: idOf(val(armID), number), State: cloud.Ready, Spec: s,
	}
}

// partObject is the object of a network's part. One that Azure failed to make or to change is there all the same, of no use
// to anything that refers to it, until it is put again.
func partObject(tags map[string]*string, armID, location *string, number string, s spec, provisioning string) cloud.Object {
	o := object(tags, armID, location, number, s)
	if provisioning == stateFailed || provisioning == stateCanceled {
		o.State = cloud.Stopped
	}
	return o
}

func groupObject(x *armresources.ResourceGroup) cloud.Object {
	return object(x.Tags, x.ID, x.Location, "", &GroupSpec{Location: regionName(val(x.Location))})
}

func securityObject(x *armnetwork.SecurityGroup) cloud.Object {
	s, number := &SecuritySpec{Rules: []Rule{}}, ""
	if p := x.Properties; p != nil {
		number = val(p.ResourceGUID)
		for _, r := range p.SecurityRules {
			if r != nil && r.Properties != nil {
				s.Rules = append(s.Rules, ruleOf(r))
			}
		}
	}
	slices.SortFunc(s.Rules, func(a, b Rule) int {
		return cmp.Or(strings.Compare(a.Direction, b.Direction), cmp.Compare(a.Priority, b.Priority))
	})
	return partObject(x.Tags, x.ID, x.Location, number, s, netState(x.Properties, func(p *armnetwork.SecurityGroupPropertiesFormat) *armnetwork.ProvisioningState {
		return p.ProvisioningState
	}))
}

// ruleOf reads a rule. What it names is in one field when it is one thing, and in another when it is a list.
func ruleOf(r *armnetwork.SecurityRule) Rule {
	p := r.Properties
	one := func(single *string, many []*string, more []*armnetwork.ApplicationSecurityGroup) []string {
		list := vals(many)
		if val(single) != "" {
			list = append(list, *single)
		}
		for _, g := range more {
			list = append(list, pathOf(val(g.ID)))
		}
		return cloud.SortedSet(list)
	}
	return Rule{
		Name: val(r.Name), Direction: string(val(p.Direction)), Priority: int(val(p.Priority)), Access: string(val(p.Access)), Protocol: string(val(p.Protocol)),
		Sources:      cloud.NormalRanges(one(p.SourceAddressPrefix, p.SourceAddressPrefixes, p.SourceApplicationSecurityGroups)),
		SourcePorts:  one(p.SourcePortRange, p.SourcePortRanges, nil),
		Destinations: cloud.NormalRanges(one(p.DestinationAddressPrefix, p.DestinationAddressPrefixes, p.DestinationApplicationSecurityGroups)),
		Ports:        one(p.DestinationPortRange, p.DestinationPortRanges, nil),
	}
}

func networkObject(x *armnetwork.VirtualNetwork) cloud.Object {
	s, number := &NetworkSpec{AddressSpace: []string{}}, ""
	if p := x.Properties; p != nil {
		number = val(p.ResourceGUID)
		if p.AddressSpace != nil {
			s.AddressSpace = cloud.SortedSet(vals(p.AddressSpace.AddressPrefixes))
		}
		for _, n := range p.Subnets {
			if n != nil && val(n.Name) == subnetName && n.Properties != nil {
				fillSubnet(s, n.Properties)
			}
		}
	}
	return partObject(x.Tags, x.ID, x.Location, number, s, netState(x.Properties, func(p *armnetwork.VirtualNetworkPropertiesFormat) *armnetwork.ProvisioningState {
		return p.ProvisioningState
	}))
}

// fillSubnet reads the site's subnet. One that doesn't say whether machines get an address by chance lets them.
func fillSubnet(s *NetworkSpec, p *armnetwork.SubnetPropertiesFormat) {
	s.Subnet = strings.Join(append(vals(p.AddressPrefixes), present(p.AddressPrefix)...), " ")
	s.DefaultOutbound = p.DefaultOutboundAccess == nil || *p.DefaultOutboundAccess
	if p.RouteTable != nil {
		s.RouteTable = pathOf(val(p.RouteTable.ID))
	}
	if p.NetworkSecurityGroup != nil {
		s.SecurityGroup = pathOf(val(p.NetworkSecurityGroup.ID))
	}
}

// present is a list of one, or of none for what isn't there.
func present(s *string) []string {
	if val(s) == "" {
		return nil
	}
	return []string{*s}
}

func addressObject(x *armnetwork.PublicIPAddress) cloud.Object {
	s := &AddressSpec{}
	if x.SKU != nil {
		s.SKU = string(val(x.SKU.Name))
	}
	var address netip.Addr
	number := ""
	if p := x.Properties; p != nil {
		s.Allocation, number, address = string(val(p.PublicIPAllocationMethod)), val(p.ResourceGUID), cloud.ParseAddr(val(p.IPAddress))
		s.DeleteWithMachine = val(p.DeleteOption) == armnetwork.DeleteOptionsDelete
	}
	o := partObject(x.Tags, x.ID, x.Location, number, s, netState(x.Properties, func(p *armnetwork.PublicIPAddressPropertiesFormat) *armnetwork.ProvisioningState {
		return p.ProvisioningState
	}))
	o.Address = address
	return o
}

func interfaceObject(x *armnetwork.Interface, by names) cloud.Object {
	s, number := &InterfaceSpec{}, ""
	if p := x.Properties; p != nil {
		number, s.IPForwarding = val(p.ResourceGUID), val(p.EnableIPForwarding)
		if p.NetworkSecurityGroup != nil {
			s.SecurityGroup = by.key(val(p.NetworkSecurityGroup.ID))
		}
		if c := firstConfig(x); c != nil {
			s.PrivateAddress, s.Allocation = val(c.PrivateIPAddress), string(val(c.PrivateIPAllocationMethod))
			if c.Subnet != nil {
				s.Network = by.key(parent(val(c.Subnet.ID)))
			}
			if c.PublicIPAddress != nil {
				s.PublicAddress = by.key(val(c.PublicIPAddress.ID))
			}
		}
	}
	return partObject(x.Tags, x.ID, x.Location, number, s, netState(x.Properties, func(p *armnetwork.InterfacePropertiesFormat) *armnetwork.ProvisioningState {
		return p.ProvisioningState
	}))
}

// firstConfig is what an interface's primary address is like, nil when it has none.
func firstConfig(x *armnetwork.Interface) *armnetwork.InterfaceIPConfigurationPropertiesFormat {
	if x.Properties == nil {
		return nil
	}
	var first *armnetwork.InterfaceIPConfigurationPropertiesFormat
	for _, c := range x.Properties.IPConfigurations {
		if c != nil && c.Properties != nil && (first == nil || val(c.Properties.Primary)) {
			first = c.Properties
		}
	}
	return first
}
