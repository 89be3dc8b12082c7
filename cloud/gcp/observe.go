package gcp

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// Observe lists everything in the region that carries the cluster's mark, or is known and doesn't, and the cluster's
// networks and firewall rules, which are in no region and are shown in every one.
func (d *Driver) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	out, err := d.observe(ctx, cluster, region, known)
	return out, failed("observe "+region, d.explainRegion(ctx, region, err))
}

func (d *Driver) observe(ctx context.Context, cluster, region string, known []cloud.Known) ([]cloud.Object, error) {
	if err := cloud.CheckUID(cluster); err != nil {
		return nil, invalid("%v", err)
	}
	var s snapshot
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { s.networks, err = d.listNetworks(gctx); return err })
	g.Go(func() (err error) { s.subnetworks, err = d.listSubnetworks(gctx, region); return err })
	g.Go(func() (err error) { s.firewalls, err = d.listFirewalls(gctx); return err })
	g.Go(func() (err error) { s.routes, err = d.listRoutes(gctx); return err })
	g.Go(func() (err error) { s.addresses, err = d.listAddresses(gctx, region); return err })
	g.Go(func() (err error) { s.instances, err = d.listInstances(gctx, marked(cluster)); return err })
	g.Go(func() (err error) { s.disks, err = d.listDisks(gctx, marked(cluster)); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := s.recognize(ctx, d, cluster, known); err != nil {
		return nil, err
	}
	s.keep(cluster, region)
	return s.objects(region), nil
}

// snapshot is what Compute Engine says.
type snapshot struct {
	networks    []*compute.Network
	subnetworks []*compute.Subnetwork
	firewalls   []*compute.Firewall
	routes      []*compute.Route
	addresses   []*compute.Address
	instances   []*compute.Instance
	disks       []*compute.Disk
	// unmarked are the ids of what bears no mark, or another than the ledger says.
	unmarked map[string]bool
}

// keep drops what isn't the cluster's or isn't in the region. Things without labels bear the mark in their description:
// their lists are short, and a filter by name would miss a copy under another name.
func (s *snapshot) keep(cluster, region string) {
	other := func(description string) bool {
		c, _, ok := cloud.ParseDescription(description)
		return !ok || c != cluster
	}
	s.networks = slices.DeleteFunc(s.networks, func(n *compute.Network) bool { return other(n.Description) })
	s.subnetworks = slices.DeleteFunc(s.subnetworks, func(n *compute.Subnetwork) bool { return other(n.Description) })
	s.firewalls = slices.DeleteFunc(s.firewalls, func(f *compute.Firewall) bool { return other(f.Description) })
	s.addresses = slices.DeleteFunc(s.addresses, func(a *compute.Address) bool { return other(a.Description) })
	s.instances = slices.DeleteFunc(s.instances, func(i *compute.Instance) bool {
		return i.Labels[cloud.TagCluster] != cluster || regionOf(lastPart(i.Zone)) != region
	})
	s.disks = slices.DeleteFunc(s.disks, func(d *compute.Disk) bool {
		return d.Labels[cloud.TagCluster] != cluster || regionOf(lastPart(d.Zone)) != region
	})
}

// names turns links and addresses into the keys of the resources they stand for.
type names struct {
	byPath    map[string]string
	byAddress map[netip.Addr]string
	disks     map[string]cloud.Known // by path
	online    map[string]bool        // networks by path
}

func (n names) key(link string) string {
	if key, ok := n.byPath[pathOf(link)]; ok {
		return key
	}
	return pathOf(link)
}

func (s *snapshot) names() names {
	n := names{byPath: map[string]string{}, byAddress: map[netip.Addr]string{}, disks: map[string]cloud.Known{}, online: online(s.routes)}
	for _, x := range s.disks {
		n.disks[pathOf(x.SelfLink)] = cloud.Known{Kind: kindDisk, Key: x.Labels[cloud.TagKey], ID: idOf(x.SelfLink, x.Id)}
	}
	add := func(link, description string) {
		if _, key, ok := cloud.ParseDescription(description); ok {
			n.byPath[pathOf(link)] = key
		}
	}
	for _, x := range s.networks {
		add(x.SelfLink, x.Description)
	}
	for _, x := range s.subnetworks {
		add(x.SelfLink, x.Description)
	}
	for _, x := range s.addresses {
		add(x.SelfLink, x.Description)
		if a := cloud.ParseAddr(x.Address); a.IsValid() {
			n.byAddress[a] = n.byPath[pathOf(x.SelfLink)]
		}
	}
	return n
}

// objects turns a snapshot into objects whose references are keys.
func (s *snapshot) objects(region string) []cloud.Object {
	n := s.names()
	var out []cloud.Object
	for _, x := range s.networks {
		out = append(out, networkObject(x, n))
	}
	for _, x := range s.subnetworks {
		out = append(out, subnetworkObject(x, n))
	}
	for _, x := range s.firewalls {
		out = append(out, firewallObject(x, n))
	}
	for _, x := range s.addresses {
		out = append(out, addressObject(x))
	}
	for _, x := range s.instances {
		out = append(out, instanceObject(x, n))
	}
	for _, x := range s.disks {
		if len(x.Users) == 0 { // else it is a part of the instance
			out = append(out, diskObject(x))
		}
	}
	for i := range out {
		out[i].Region, out[i].Unmarked = region, s.unmarked[out[i].ID]
	}
	return out
}

// described starts the object of a resource that bears its mark in the description, labelled of one with labels.
func described(description, link string, number uint64, created string, s spec) cloud.Object {
	cluster, key, _ := cloud.ParseDescription(description)
	return cloud.Object{Key: key, Cluster: cluster, Kind: s.kind(), ID: idOf(link, number), State: cloud.Ready, Spec: s, Created: cloud.ParseTime(created)}
}

func labelled(labels map[string]string, link string, number uint64, created string, s spec) cloud.Object {
	return cloud.Object{
		Key: labels[cloud.TagKey], Cluster: labels[cloud.TagCluster], Kind: s.kind(), ID: idOf(link, number), State: cloud.Ready, Spec: s,
		Created: cloud.ParseTime(created),
	}
}

func networkObject(n *compute.Network, by names) cloud.Object {
	s := &NetworkSpec{MTU: int(n.Mtu), FirewallOrder: n.NetworkFirewallPolicyEnforcementOrder, DefaultRoute: by.online[pathOf(n.SelfLink)]}
	if s.MTU == 0 {
		s.MTU = defaultMTU
	}
	if s.FirewallOrder == "" {
		s.FirewallOrder = "AFTER_CLASSIC_FIREWALL"
	}
	if n.RoutingConfig != nil {
		s.RoutingMode = n.RoutingConfig.RoutingMode
	}
	return described(n.Description, n.SelfLink, n.Id, n.CreationTimestamp, s)
}

func subnetworkObject(n *compute.Subnetwork, by names) cloud.Object {
	s := &SubnetworkSpec{
		Network: by.key(n.Network), Range: n.IpCidrRange, PrivateGoogleAccess: n.PrivateIpGoogleAccess, SecondaryRanges: []string{},
	}
	for _, r := range n.SecondaryIpRanges {
		s.SecondaryRanges = append(s.SecondaryRanges, r.RangeName+"="+r.IpCidrRange)
	}
	s.SecondaryRanges = cloud.SortedSet(s.SecondaryRanges)
	return described(n.Description, n.SelfLink, n.Id, n.CreationTimestamp, s)
}

func firewallObject(f *compute.Firewall, by names) cloud.Object {
	s := &FirewallSpec{
		Network: by.key(f.Network), Direction: f.Direction, Priority: int(f.Priority), Allowed: []Traffic{}, Denied: []Traffic{},
		Sources: cloud.NormalRanges(f.SourceRanges), SourceTags: cloud.SortedSet(f.SourceTags), Destinations: cloud.NormalRanges(f.DestinationRanges),
		TargetTags: cloud.SortedSet(f.TargetTags), Disabled: f.Disabled,
	}
	// A rule may name service accounts in place of tags; ours never do, and these show as what is compared.
	s.SourceTags = append(s.SourceTags, f.SourceServiceAccounts...)
	s.TargetTags = append(s.TargetTags, f.TargetServiceAccounts...)
	for _, a := range f.Allowed {
		s.Allowed = append(s.Allowed, traffic(a.IPProtocol, a.Ports))
	}
	for _, a := range f.Denied {
		s.Denied = append(s.Denied, traffic(a.IPProtocol, a.Ports))
	}
	slices.SortFunc(s.Allowed, compareTraffic)
	slices.SortFunc(s.Denied, compareTraffic)
	return described(f.Description, f.SelfLink, f.Id, f.CreationTimestamp, s)
}

// protocolNames undoes the numbers that may stand for protocols with names.
var protocolNames = map[string]string{"1": "icmp", "6": "tcp", "17": "udp", "50": "esp", "51": "ah", "132": "sctp"}

func traffic(protocol string, ports []string) Traffic {
	if name, ok := protocolNames[protocol]; ok {
		protocol = name
	}
	return Traffic{Protocol: protocol, Ports: cloud.SortedSet(ports)}
}

func addressObject(a *compute.Address) cloud.Object {
	o := described(a.Description, a.SelfLink, a.Id, a.CreationTimestamp, &AddressSpec{Tier: a.NetworkTier})
	o.Address = cloud.ParseAddr(a.Address)
	if a.Status == "RESERVING" {
		o.State = cloud.Pending
	}
	return o
}

// stateOf is an instance's state. One that is being deleted is STOPPING, like one that is being stopped, until it isn't
// listed any more; a REPAIRING one comes back by itself.
func stateOf(status string) cloud.State {
	switch status {
	case "RUNNING":
		return cloud.Ready
	case "STOPPING", "PENDING_STOP", "DEPROVISIONING", "STOPPED", "TERMINATED", "SUSPENDING", "SUSPENDED":
		return cloud.Stopped
	}
	return cloud.Pending
}

func instanceObject(i *compute.Instance, by names) cloud.Object {
	zone, kind := lastPart(i.Zone), lastPart(i.MachineType)
	s := &InstanceSpec{
		Zone: zone, Type: kind, Tags: []string{}, CanIPForward: i.CanIpForward, Metadata: metadataOf(i), ServiceAccounts: []string{},
		DeletionProtection: i.DeletionProtection, AutomaticRestart: restarts(i.Scheduling),
	}
	if i.Tags != nil {
		s.Tags = cloud.SortedSet(i.Tags.Items)
	}
	for _, a := range i.ServiceAccounts {
		s.ServiceAccounts = append(s.ServiceAccounts, a.Email)
	}
	s.ServiceAccounts = cloud.SortedSet(s.ServiceAccounts)
	project := ""
	o := labelled(i.Labels, i.SelfLink, i.Id, i.CreationTimestamp, s)
	for _, disk := range i.Disks {
		if disk.Boot {
			s.DiskGiB, s.DiskAutoDelete = int(disk.DiskSizeGb), disk.AutoDelete
		}
		if part := by.disks[pathOf(disk.Source)]; disk.Boot && part.Key != "" {
			o.Parts = append(o.Parts, part)
		}
	}
	if p, err := parseID(o.ID); err == nil {
		project = p.project
	}
	o.State = stateOf(i.Status)
	o.Machine = &cloud.MachineStatus{Zone: zone, Type: kind, ProviderID: "gce://" + project + "/" + zone + "/" + i.Name}
	if len(i.NetworkInterfaces) > 0 {
		nic := i.NetworkInterfaces[0]
		s.Subnetwork, s.PrivateAddress, s.PublicAddress = by.key(nic.Subnetwork), nic.NetworkIP, publicOf(nic, by)
		o.Machine.Private = cloud.ParseAddr(nic.NetworkIP)
		if len(nic.AccessConfigs) > 0 {
			o.Machine.Public = cloud.ParseAddr(nic.AccessConfigs[0].NatIP)
		}
	}
	return o
}

// publicOf says which public address an interface has: one of ours by its key, any other as ephemeral.
func publicOf(nic *compute.NetworkInterface, by names) string {
	if len(nic.AccessConfigs) == 0 {
		return ""
	}
	if key := by.byAddress[cloud.ParseAddr(nic.AccessConfigs[0].NatIP)]; key != "" {
		return key
	}
	return ephemeral
}

const keyUserData = "user-data"

func metadataOf(i *compute.Instance) map[string]string {
	out := map[string]string{}
	if i.Metadata == nil {
		return out
	}
	for _, item := range i.Metadata.Items {
		if item.Key == keyUserData {
			continue // it holds a private key
		}
		value := ""
		if item.Value != nil {
			value = *item.Value
		}
		if _, ours := nodeMetadata[item.Key]; !ours {
			// What others put there may be long or secret: that it is there is enough to see that it shouldn't be.
			value = "(" + strconv.Itoa(len(value)) + " bytes)"
		}
		out[item.Key] = value
	}
	return out
}

// restarts says whether a machine is started again after its host failed; that is the default.
func restarts(s *compute.Scheduling) bool {
	return s == nil || s.AutomaticRestart == nil || *s.AutomaticRestart
}

func diskObject(x *compute.Disk) cloud.Object {
	return labelled(x.Labels, x.SelfLink, x.Id, x.CreationTimestamp, &DiskSpec{Zone: lastPart(x.Zone), GiB: int(x.SizeGb)})
}
