package aws

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/sizes"
	clusterspec "github.com/skyweld/skyweld/spec"
)

const anywhere = "0.0.0.0/0"

// Subnets are the parts of the site's block that its zones use, as the engine chooses machines' addresses by; zones for
// which the block has no part get none.
func Subnets(site cloud.Site) map[string]netip.Prefix {
	out := map[string]netip.Prefix{}
	if !site.Block.IsValid() || !site.Block.Addr().Is4() || site.Block.Bits() > 28 { // EC2 has no smaller subnets
		return out
	}
	for i, zone := range site.Zones[:min(len(site.Zones), clusterspec.ZoneBlocks(site.Block))] {
		out[zone] = clusterspec.ZoneBlock(site.Block, i)
	}
	return out
}

// Blueprint lays out a site: a VPC with a subnet in each zone that has machines, a way to the internet, a security
// group for each role, and for each machine an instance and, on the control plane, an Elastic IP address with its
// association.
func (*Driver) Blueprint(owner cloud.Owner, site cloud.Site) ([]cloud.Resource, error) {
	if err := checkSite(owner, site); err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "lay out site " + site.Name, Err: err}
	}
	l := layout{site: site, subnets: map[string]string{}}
	l.network()
	l.firewalls()
	for _, m := range site.Machines {
		l.machine(m)
	}
	return l.out, nil
}

// layout collects a site's resources and remembers the keys that later ones need.
type layout struct {
	site                             cloud.Site
	forMachine                       string // what the following resources are for
	out                              []cloud.Resource
	vpc, gateway, routes, nodes, cps string
	subnets                          map[string]string // zone → key
}

func (l *layout) add(key string, kind cloud.Kind, s spec, needs ...string) string {
	l.out = append(l.out, cloud.Resource{
		Key: key, Kind: kind, Site: l.site.Name, Region: l.site.Region, Machine: l.forMachine, DependsOn: slices.Clone(needs), Spec: s,
	})
	return key
}

func (l *layout) key(name string) string { return cloud.CutKey(l.site.Name+"-"+name, cloud.MaxKey) }

func (l *layout) network() {
	l.vpc = l.add(l.key("vpc"), kindVPC, &VPCSpec{CIDR: l.site.Block.Masked().String()})
	l.gateway = l.add(l.key("igw"), kindGateway, &GatewaySpec{VPC: l.vpc}, l.vpc)
	cut := Subnets(l.site)
	var keys []string
	for _, zone := range l.site.Zones {
		if !slices.ContainsFunc(l.site.Machines, func(m cloud.Machine) bool { return m.Zone == zone }) {
			continue
		}
		suffix := strings.Trim(strings.TrimPrefix(zone, l.site.Region), "-")
		spec := &SubnetSpec{VPC: l.vpc, CIDR: cut[zone].String(), Zone: zone}
		l.subnets[zone] = l.add(l.key("subnet-"+suffix), kindSubnet, spec, l.vpc)
		keys = append(keys, l.subnets[zone])
	}
	slices.Sort(keys)
	if keys == nil {
		keys = []string{}
	}
	l.routes = l.add(l.key("routes"), kindRouteTable, &RouteTableSpec{
		VPC: l.vpc, Routes: []Route{{Destination: anywhere, Target: l.gateway}}, Subnets: keys,
	}, slices.Concat([]string{l.vpc, l.gateway}, keys)...)
}

func (l *layout) firewalls() {
	out := []Rule{{Protocol: "all", Peer: anywhere}}
	l.nodes = l.key("sg-nodes")
	in := []Rule{
		{Protocol: "all", Peer: l.nodes},
		{Protocol: "udp", From: l.site.TunnelPort, To: l.site.TunnelPort, Peer: anywhere},
	}
	in = append(in, tcp(22, l.site.SSHAccess)...)
	slices.SortFunc(in, compareRules)
	l.add(l.nodes, kindSecurityGroup, &SecurityGroupSpec{VPC: l.vpc, Ingress: in, Egress: out}, l.vpc)
	l.cps = l.add(l.key("sg-control-plane"), kindSecurityGroup, &SecurityGroupSpec{
		VPC: l.vpc, Ingress: tcp(6443, l.site.APIAccess), Egress: slices.Clone(out),
	}, l.vpc)
}

// tcp lets a port be reached from ranges; the result is sorted and never nil, as an observed list isn't either.
func tcp(port int, from []netip.Prefix) []Rule {
	out := []Rule{}
	for _, p := range from {
		out = append(out, Rule{Protocol: "tcp", From: port, To: port, Peer: p.Masked().String()})
	}
	slices.SortFunc(out, compareRules)
	return slices.Compact(out)
}

// instanceTypeOf is the instance type behind one of Skyweld's sizes; any other name is taken for an instance type.
func instanceTypeOf(size string) string { return sizes.TypeName(string(cloud.AWS), size) }

func (l *layout) machine(m cloud.Machine) {
	s := &InstanceSpec{
		Subnet: l.subnets[m.Zone], Zone: m.Zone, Type: instanceTypeOf(m.Size), PrivateAddress: m.Address.String(),
		SecurityGroups: []string{l.nodes}, PublicAddress: m.Role != cloud.ControlPlane, DiskGiB: m.DiskGiB,
		Metadata: Metadata{Enabled: true, TokensRequired: true, HopLimit: 1},
	}
	// The route table brings the gateway along: a machine needs the internet when it boots, and a gateway can't be
	// detached while machines have public addresses.
	needs := []string{s.Subnet, l.routes, l.nodes}
	key := l.key("node-" + m.Name)
	l.forMachine = m.Name
	if m.Role != cloud.ControlPlane {
		l.add(key, kindInstance, s, needs...)
		return
	}
	s.SecurityGroups = append(s.SecurityGroups, l.cps)
	slices.Sort(s.SecurityGroups)
	address := cloud.CutKey(l.site.Name+"-ip-"+m.Name, cloud.MaxKey-len(associationSuffix))
	l.add(address, kindAddress, &AddressSpec{})
	l.add(key, kindInstance, s, append(needs, l.cps)...)
	// An association can't carry a mark of its own: its key follows from that of its address.
	l.add(associationKey(address), kindAssociation, &AssociationSpec{Address: address, Instance: key}, address, key, l.gateway)
}

const associationSuffix = "-assoc"

func associationKey(address string) string { return address + associationSuffix }

// diskKey and interfaceKey are the marks of what is made along with an instance.
func diskKey(instance string) string      { return cloud.CutKey(instance+"-disk", cloud.MaxKey) }
func interfaceKey(instance string) string { return cloud.CutKey(instance+"-nic", cloud.MaxKey) }

// checkSite finds everything that EC2 would refuse later.
func checkSite(owner cloud.Owner, site cloud.Site) error {
	errs := []error{cloud.CheckUID(owner.UID), cloud.CheckKey(site.Name)}
	if !site.Block.Addr().Is4() || site.Block.Bits() < 16 || site.Block.Bits() > 24 {
		errs = append(errs, fmt.Errorf("block %s: want an IPv4 range between /16 and /24", site.Block))
	}
	if site.TunnelPort < 1 || site.TunnelPort > 65535 {
		errs = append(errs, fmt.Errorf("tunnel port %d: want 1 to 65535", site.TunnelPort))
	}
	cut := Subnets(site)
	for _, m := range site.Machines {
		part, ok := cut[m.Zone]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("machine %s: zone %q is none of %v, or beyond the sixteenth", m.Name, m.Zone, site.Zones))
		case !cloud.Usable(part, m.Address, 4, 1): // EC2 keeps the first four and the last
			errs = append(errs, fmt.Errorf("machine %s: address %s can't be had in the range of zone %s, %s", m.Name, m.Address, m.Zone, part))
		}
		if m.Size == "" || m.DiskGiB < 8 {
			errs = append(errs, fmt.Errorf("machine %s: size %q with a disk of %d GiB: want a size and at least 8 GiB", m.Name, m.Size, m.DiskGiB))
		}
	}
	return errors.Join(errs...)
}
