package cloudtest

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// sizes are the in-memory cloud's own machine types.
var sizes = map[string]string{"small": "t2", "medium": "t4", "large": "t8"}

// Blueprint lays out a site: a network with one subnet, a way out, firewalls by role, and for each machine itself and,
// on the control plane, a public address of its own.
func (c *Cloud) Blueprint(owner cloud.Owner, site cloud.Site) ([]cloud.Resource, error) {
	if err := cloud.CheckUID(owner.UID); err != nil {
		return nil, invalidSite(site, err)
	}
	b := builder{site: site}
	network := b.add("net", KindNetwork, &NetworkSpec{CIDR: site.Block.String(), DNS: true})
	subnet := b.add("subnet", KindSubnet, &SubnetSpec{Network: network, CIDR: site.Block.String()}, network)
	gateway := b.add("gw", KindGateway, &GatewaySpec{Network: network}, network)
	route := b.add("default", KindRoute, &RouteSpec{Network: network, Destination: "0.0.0.0/0", Gateway: gateway}, network, gateway)
	nodes := b.add("fw-nodes", KindFirewall, &FirewallSpec{Network: network, Rules: nodeRules(site)}, network)
	cp := b.add("fw-control-plane", KindFirewall, &FirewallSpec{Network: network, Rules: []Rule{
		{Protocol: "tcp", From: 6443, To: 6443, Sources: prefixes(site.APIAccess)},
	}}, network)
	for _, m := range site.Machines {
		if err := checkMachine(site, m); err != nil {
			return nil, invalidSite(site, err)
		}
		size := m.Size
		if s, ok := sizes[size]; ok {
			size = s
		}
		spec := &MachineSpec{
			Subnet: subnet, Firewalls: []string{nodes}, Address: m.Address.String(), Zone: m.Zone, Type: size,
			DiskGiB: m.DiskGiB, Forwarding: true, PublicAddress: m.Role != cloud.ControlPlane,
		}
		if c != nil && c.opts.PicksAddress {
			spec.Address = ""
		}
		needs := []string{subnet, route, nodes}
		b.machine = m.Name
		if m.Role != cloud.ControlPlane {
			b.add("node-"+m.Name, KindMachine, spec, needs...)
			continue
		}
		spec.Firewalls = append(spec.Firewalls, cp)
		address := b.add("ip-"+m.Name, KindAddress, &AddressSpec{})
		machine := b.add("node-"+m.Name, KindMachine, spec, append(needs, cp)...)
		b.add("assoc-"+m.Name, KindAssociation, &AssociationSpec{Address: address, Machine: machine}, address, machine, gateway)
	}
	return b.out, nil
}

type builder struct {
	site    cloud.Site
	machine string // that the following resources are for
	out     []cloud.Resource
}

func (b *builder) add(name string, kind cloud.Kind, s spec, needs ...string) string {
	key := cloud.CutKey(b.site.Name+"-"+name, cloud.MaxKey)
	b.out = append(b.out, cloud.Resource{
		Key: key, Kind: kind, Site: b.site.Name, Region: b.site.Region, Machine: b.machine, DependsOn: slices.Clone(needs), Spec: s,
	})
	return key
}

func nodeRules(site cloud.Site) []Rule {
	rules := []Rule{
		{Protocol: "all", Sources: []string{site.Block.String()}},
		{Protocol: "udp", From: site.TunnelPort, To: site.TunnelPort, Sources: []string{"0.0.0.0/0"}},
	}
	if len(site.SSHAccess) > 0 {
		rules = append(rules, Rule{Protocol: "tcp", From: 22, To: 22, Sources: prefixes(site.SSHAccess)})
	}
	return rules
}

func prefixes(in []netip.Prefix) []string {
	out := make([]string, len(in))
	for i, p := range in {
		out[i] = p.String()
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func checkMachine(site cloud.Site, m cloud.Machine) error {
	switch {
	case !slices.Contains(site.Zones, m.Zone):
		return fmt.Errorf("machine %s: zone %q is none of %v", m.Name, m.Zone, site.Zones)
	case !site.Block.Contains(m.Address):
		return fmt.Errorf("machine %s: address %s is not in %s", m.Name, m.Address, site.Block)
	}
	return nil
}

func invalidSite(site cloud.Site, err error) error {
	return &cloud.Error{Class: cloud.Invalid, Op: "lay out site " + site.Name, Err: err}
}
