package digitalocean

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// Observe lists the cluster's tags, VPCs, firewalls, droplets and reserved addresses. Tags and firewalls are in no region.
// A droplet that was destroyed isn't shown any more at all, so nothing is reported as Gone.
func (d *Driver) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	objects, err := d.observe(ctx, cluster, region, known)
	return objects, failed("observe "+region, err)
}

func (d *Driver) observe(ctx context.Context, cluster, region string, known []cloud.Known) ([]cloud.Object, error) {
	if err := cloud.CheckUID(cluster); err != nil {
		return nil, invalid("%v", err)
	}
	s, parent := snapshot{cluster: cluster, region: region}, ctx
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { s.tags, err = d.listTags(ctx); return err })
	g.Go(func() (err error) { s.vpcs, err = d.listVPCs(ctx); return err })
	g.Go(func() (err error) { s.firewalls, err = d.listFirewalls(ctx); return err })
	g.Go(func() (err error) { s.droplets, err = d.listDroplets(ctx, clusterTag(cluster)); return err })
	g.Go(func() (err error) { s.reserved, err = d.listReserved(ctx); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	s.recall(known)
	if s.lostDroplets() {
		var err error
		if s.droplets, err = d.listDroplets(parent, ""); err != nil {
			return nil, err
		}
	}
	return s.objects(), nil
}

// snapshot is what lists gave of one cluster and region.
type snapshot struct {
	cluster, region string
	tags            []godo.Tag
	vpcs            []*godo.VPC
	firewalls       []godo.Firewall
	droplets        []godo.Droplet
	reserved        []godo.ReservedIP
	// known are the keys of what is on record, by kind and id.
	known map[thing]string
}

// names turns what DigitalOcean knows things by into keys.
type names struct {
	cluster  string
	vpcs     map[string]string
	droplets map[int]string
	// public are the reserved addresses of droplets.
	public map[int]netip.Addr
}

func (n names) vpc(id string) string {
	if key, ok := n.vpcs[id]; ok {
		return key
	}
	return id
}

// home is the VPC of a droplet's site. One that is being made doesn't tell yet where it is, and must not seem to be in no
// VPC, or in another than it was made for.
func (n names) home(key string) string {
	best := ""
	for _, vpc := range n.vpcs {
		if site, ok := strings.CutSuffix(vpc, "vpc"); ok && strings.HasPrefix(key, site) && len(vpc) > len(best) {
			best = vpc
		}
	}
	return best
}

func (n names) droplet(id int) string {
	if key, ok := n.droplets[id]; ok {
		return key
	}
	return strconv.Itoa(id)
}

// tag is the key of one of the cluster's role tags, and the name of any other.
func (n names) tag(name string) string {
	if uid, key, _, ok := tagParts(name, tagRole); ok && uid == n.cluster {
		return key
	}
	return name
}

func (s *snapshot) names() names {
	n := names{cluster: s.cluster, vpcs: map[string]string{}, droplets: map[int]string{}, public: map[int]netip.Addr{}}
	for _, v := range s.vpcs {
		cluster, key := vpcMark(v)
		if key, _ = s.keyOf(kindVPC, v.ID, cluster, key); key != "" {
			n.vpcs[v.ID] = key
		}
	}
	for _, x := range s.droplets {
		cluster, key, _ := dropletMark(x.Tags)
		if key, _ = s.keyOf(kindDroplet, strconv.Itoa(x.ID), cluster, key); key != "" {
			n.droplets[x.ID] = key
		}
	}
	for _, r := range s.reserved {
		if r.Droplet != nil {
			n.public[r.Droplet.ID] = cloud.ParseAddr(r.IP)
		}
	}
	return n
}

// objects turns a snapshot into objects whose references are keys.
func (s *snapshot) objects() []cloud.Object {
	n := s.names()
	var out []cloud.Object
	add := func(o cloud.Object, marked string) {
		key, good := s.keyOf(o.Kind, o.ID, o.Cluster, marked)
		if key != "" {
			o.Key, o.Cluster, o.Region, o.Unmarked = key, s.cluster, s.region, !good
			out = append(out, o)
		}
	}
	for _, t := range s.tags {
		if uid, key, _, ok := tagParts(t.Name, tagRole); ok && uid == s.cluster {
			add(tagObject(t.Name), key)
		}
	}
	for _, v := range s.vpcs {
		if o := vpcObject(v); v.RegionSlug == s.region {
			add(o, o.Key)
		}
	}
	for i := range s.firewalls {
		o := firewallObject(&s.firewalls[i], n)
		add(o, o.Key)
	}
	for i := range s.droplets {
		if x := &s.droplets[i]; regionOf(x.Region) == s.region {
			o := dropletObject(x, n)
			add(o, o.Key)
		}
	}
	marks := addressMarks(s.cluster, s.tags)
	for i := range s.reserved {
		if r := &s.reserved[i]; regionOf(r.Region) == s.region {
			key := marks.key(r, n.droplets)
			add(reservedObject(r, key, n), key)
		}
	}
	return out
}

func regionOf(r *godo.Region) string {
	if r == nil {
		return ""
	}
	return r.Slug
}

// vpcMark reads a VPC's mark from its description.
func vpcMark(v *godo.VPC) (cluster, key string) {
	cluster, key, _ = cloud.ParseDescription(v.Description)
	return cluster, key
}

func tagObject(name string) cloud.Object {
	uid, key, _, _ := tagParts(name, tagRole)
	return cloud.Object{Key: key, Cluster: uid, Kind: kindTag, ID: name, State: cloud.Ready, Spec: &TagSpec{Name: name}}
}

func vpcObject(v *godo.VPC) cloud.Object {
	cluster, key := vpcMark(v)
	return cloud.Object{
		Key: key, Cluster: cluster, Kind: kindVPC, ID: v.ID, State: cloud.Ready, Spec: &VPCSpec{Name: v.Name, Range: v.IPRange}, Created: v.CreatedAt.UTC().Truncate(time.Second),
	}
}

func firewallObject(f *godo.Firewall, by names) cloud.Object {
	key, ours := keyInName(by.cluster, f.Name)
	if !ours {
		key = ""
	}
	s := &FirewallSpec{Tags: []string{}, Droplets: []string{}}
	for _, t := range f.Tags {
		s.Tags = append(s.Tags, by.tag(t))
	}
	for _, id := range f.DropletIDs {
		s.Droplets = append(s.Droplets, strconv.Itoa(id))
	}
	s.Tags, s.Droplets = cloud.SortedSet(s.Tags), cloud.SortedSet(s.Droplets)
	for _, r := range f.InboundRules {
		rule := Rule{Protocol: r.Protocol, Ports: portsOf(r.PortRange), Deny: r.Action == godo.FirewallRuleActionDeny}
		if p := r.Sources; p != nil {
			rule.Peers = by.peers(p.Addresses, p.Tags, p.DropletIDs, p.LoadBalancerUIDs, p.KubernetesIDs)
		}
		s.Inbound = append(s.Inbound, rule)
	}
	for _, r := range f.OutboundRules {
		rule := Rule{Protocol: r.Protocol, Ports: portsOf(r.PortRange), Deny: r.Action == godo.FirewallRuleActionDeny}
		if p := r.Destinations; p != nil {
			rule.Peers = by.peers(p.Addresses, p.Tags, p.DropletIDs, p.LoadBalancerUIDs, p.KubernetesIDs)
		}
		s.Outbound = append(s.Outbound, rule)
	}
	s.Inbound, s.Outbound = sortRules(s.Inbound), sortRules(s.Outbound)
	return cloud.Object{Key: key, Cluster: by.cluster, Kind: kindFirewall, ID: f.ID, State: cloud.Ready, Spec: s, Created: cloud.ParseTime(f.Created)}
}

// portsOf gives the ways to say "all ports" one form.
func portsOf(text string) string {
	switch text {
	case "", "all", "0-0", "1-65535":
		return allPorts
	}
	return text
}

// The words before what isn't an address in Rule.Peers.
const (
	peerTag          = "tag:"
	peerDroplet      = "droplet:"
	peerLoadBalancer = "load-balancer:"
	peerKubernetes   = "kubernetes:"
)

func (n names) peers(addresses, tags []string, droplets []int, balancers, kubernetes []string) []string {
	var out []string
	for _, a := range addresses {
		if ip := cloud.ParseAddr(a); ip.IsValid() { // a single address in the form of a range
			a = netip.PrefixFrom(ip, ip.BitLen()).String()
		}
		out = append(out, a)
	}
	for _, t := range tags {
		out = append(out, peerTag+n.tag(t))
	}
	for _, id := range droplets {
		out = append(out, peerDroplet+strconv.Itoa(id))
	}
	for _, id := range balancers {
		out = append(out, peerLoadBalancer+id)
	}
	for _, id := range kubernetes {
		out = append(out, peerKubernetes+id)
	}
	return cloud.SortedSet(out)
}

// stateOf is a droplet's state. One that is archived comes back when it is switched on, as far as it does.
func stateOf(status string) cloud.State {
	switch status {
	case "active":
		return cloud.Ready
	case "off", "archive":
		return cloud.Stopped
	}
	return cloud.Pending
}

func dropletObject(x *godo.Droplet, by names) cloud.Object {
	cluster, key, _ := dropletMark(x.Tags)
	s := &DropletSpec{Name: x.Name, VPC: by.vpc(x.VPCUUID), Size: x.SizeSlug, Tags: []string{}}
	if x.VPCUUID == "" && stateOf(x.Status) == cloud.Pending {
		s.VPC = by.home(key)
	}
	for _, t := range x.Tags {
		if uid, role, _, ok := tagParts(t, tagRole); ok && uid == by.cluster {
			s.Tags = append(s.Tags, role)
		}
	}
	s.Tags = cloud.SortedSet(s.Tags)
	private, public := addresses(x)
	if reserved := by.public[x.ID]; reserved.IsValid() || reaches(s.Tags) {
		public = reserved
	}
	return cloud.Object{
		Key: key, Cluster: cluster, Kind: kindDroplet, ID: strconv.Itoa(x.ID), State: stateOf(x.Status), Spec: s, Created: cloud.ParseTime(x.Created),
		Machine: &cloud.MachineStatus{
			Private: private, Public: public, Zone: regionOf(x.Region), Type: x.SizeSlug, ProviderID: fmt.Sprintf("digitalocean://%d", x.ID),
		},
	}
}

// reaches says whether a droplet of these roles is to be reached at a reserved address only. Until it has that it is at
// none: who saw its own first would go on using it.
func reaches(roles []string) bool {
	return slices.ContainsFunc(roles, func(key string) bool { return strings.HasSuffix(key, roleControlPlane) })
}

// addresses are a droplet's own.
func addresses(x *godo.Droplet) (private, public netip.Addr) {
	if x.Networks == nil {
		return private, public
	}
	for _, v4 := range x.Networks.V4 {
		switch ip := cloud.ParseAddr(v4.IPAddress); {
		case v4.Type == "private" && !private.IsValid():
			private = ip
		case v4.Type == "public" && !public.IsValid():
			public = ip
		}
	}
	return private, public
}

// marks are what a cluster's tags say of reserved addresses.
type marks struct {
	cluster string
	keys    map[netip.Addr]string
	// making are the keys of addresses that are being made, by the keys of their droplets.
	making map[string]string
}

func addressMarks(cluster string, tags []godo.Tag) marks {
	m := marks{cluster: cluster, keys: map[netip.Addr]string{}, making: map[string]string{}}
	for _, t := range tags {
		uid, key, last, ok := tagParts(t.Name, tagAddress)
		if !ok || uid != cluster || key == "" {
			continue
		}
		if ip := addressOf(last); ip.IsValid() {
			m.keys[ip] = key
		} else if last != "" {
			m.making[last] = key
		}
	}
	return m
}

// key is that of a reserved address: the one in its tag, or, while an address is being made for its droplet and has no tag
// yet, the one under which that is done. It is empty for what isn't the cluster's: somebody may have put an address of
// their own on a droplet of ours.
func (m marks) key(r *godo.ReservedIP, droplets map[int]string) string {
	if key := m.keys[cloud.ParseAddr(r.IP)]; key != "" || r.Droplet == nil {
		return key
	}
	return m.making[droplets[r.Droplet.ID]]
}

func reservedObject(r *godo.ReservedIP, key string, by names) cloud.Object {
	s := &ReservedSpec{}
	if r.Droplet != nil {
		s.Droplet = by.droplet(r.Droplet.ID)
	}
	return cloud.Object{Key: key, Cluster: by.cluster, Kind: kindReserved, ID: r.IP, State: cloud.Ready, Spec: s, Address: cloud.ParseAddr(r.IP)}
}
