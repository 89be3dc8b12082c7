package azure

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/skyweld/skyweld/cloud"
)

const (
	anything   = "*"
	minDiskGiB = 30 // the image's own size: a disk can't be smaller
	subnetName = "nodes"
	configName = "primary"
	static     = "Static" // how addresses are given out
)

// Blueprint lays out a site: a resource group that holds all of it, security groups by role, a network with one subnet,
// and for each machine a public address, an interface and the machine itself. A rule that would let nobody in is left out:
// Azure takes no rule without sources. Workers have an address of their own too, as Azure knows none that comes and goes
// with a machine and is safe to rely on.
func (*Driver) Blueprint(owner cloud.Owner, site cloud.Site) ([]cloud.Resource, error) {
	if err := checkSite(owner, site); err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "lay out site " + site.Name, Err: err}
	}
	l := layout{owner: owner, site: site}
	block := site.Block.Masked().String()
	l.group = l.add(l.key("group"), "", &GroupSpec{Location: site.Region})
	l.nodes = l.add(l.key("nsg-node"), "", &SecuritySpec{Rules: l.rules(false)}, l.group)
	l.control = l.add(l.key("nsg-control-plane"), "", &SecuritySpec{Rules: l.rules(true)}, l.group)
	l.network = l.add(l.key("network"), "", &NetworkSpec{AddressSpace: []string{block}, Subnet: block}, l.group)
	for _, m := range site.Machines {
		l.machine(m)
	}
	return l.out, nil
}

// layout collects a site's resources and remembers the keys that later ones need.
type layout struct {
	owner                          cloud.Owner
	site                           cloud.Site
	out                            []cloud.Resource
	group, nodes, control, network string
}

func (l *layout) add(key, machine string, s spec, needs ...string) string {
	l.out = append(l.out, cloud.Resource{
		Key: key, Kind: s.kind(), Site: l.site.Name, Region: l.site.Region, Machine: machine, DependsOn: slices.Clone(needs), Spec: s,
	})
	return key
}

func (l *layout) key(name string) string { return cloud.CutKey(l.site.Name+"-"+name, cloud.MaxKey) }

// rules are those of a role's machines. An interface has one security group, so that of the control plane has them all. Azure
// takes no rule with addresses of both kinds.
func (l *layout) rules(controlPlane bool) []Rule {
	var out []Rule
	allow := func(name string, priority int, protocol, port string, from []string) {
		if len(from) == 0 {
			return
		}
		out = append(out, Rule{
			Name: name, Direction: "Inbound", Priority: priority, Access: "Allow", Protocol: protocol, Sources: from,
			SourcePorts: []string{anything}, Destinations: []string{anything}, Ports: []string{port},
		})
	}
	allow("internal", 100, anything, anything, []string{l.site.Block.Masked().String()})
	allow("tunnel", 110, "Udp", strconv.Itoa(l.site.TunnelPort), []string{anything})
	allow("ssh", 120, "Tcp", "22", cloud.Ranges4(l.site.SSHAccess))
	if controlPlane {
		allow("api", 130, "Tcp", "6443", cloud.Ranges4(l.site.APIAccess))
	}
	return out
}

func (l *layout) machine(m cloud.Machine) {
	security := l.nodes
	if m.Role == cloud.ControlPlane {
		security = l.control
	}
	public := l.add(l.key("ip-"+m.Name), m.Name, &AddressSpec{SKU: "Standard", Allocation: static}, l.group)
	nic := l.add(l.key("nic-"+m.Name), m.Name, &InterfaceSpec{
		Network: l.network, PrivateAddress: m.Address.String(), Allocation: static, PublicAddress: public, SecurityGroup: security, IPForwarding: true,
	}, l.network, security, public)
	kind := machineType(m.Size)
	l.add(l.key("node-"+m.Name), m.Name, &MachineSpec{
		Interface: nic, Zone: m.Zone, Type: kind, SecurityType: trustedLaunch, SecureBoot: true, TPM: true,
		DiskGiB: max(m.DiskGiB, minDiskGiB), DiskType: diskType(kind), DiskDelete: true, BootDiagnostics: true,
	}, nic, public)
}

// groupKey is the key of the group that a site's resources are in; their names follow from it.
func groupKey(site string) string { return cloud.CutKey(site+"-group", cloud.MaxKey) }

// diskKey is the key of the disk that is made along with a resource's machine in a creation. Each creation has another, as a
// disk that outlived an earlier machine keeps its name.
func diskKey(r cloud.Resource, token string) string {
	return cloud.CutKey(r.Site+"-disk-"+r.Machine, cloud.MaxKey-9) + "-" + token[:8]
}

var regionPattern = regexp.MustCompile(`^[a-z][a-z0-9]+$`)

// checkSite finds everything that Azure would refuse later.
func checkSite(owner cloud.Owner, site cloud.Site) error {
	errs := []error{cloud.CheckUID(owner.UID), cloud.CheckKey(site.Name)}
	if !regionPattern.MatchString(site.Region) {
		errs = append(errs, fmt.Errorf("region %q: want a location's short name, like eastus", site.Region))
	}
	if !site.Block.Addr().Is4() || site.Block.Bits() < 8 || site.Block.Bits() > 28 {
		errs = append(errs, fmt.Errorf("block %s: want an IPv4 range between /8 and /28", site.Block))
	}
	if site.TunnelPort < 1 || site.TunnelPort > 65535 {
		errs = append(errs, fmt.Errorf("tunnel port %d: want 1 to 65535", site.TunnelPort))
	}
	for _, zone := range site.Zones {
		errs = append(errs, checkZone(zone, site.Region))
	}
	for _, m := range site.Machines {
		errs = append(errs, checkMachine(site, m))
	}
	return errors.Join(errs...)
}

func checkMachine(site cloud.Site, m cloud.Machine) error {
	kind := machineType(m.Size)
	switch {
	case !slices.Contains(site.Zones, m.Zone):
		return fmt.Errorf("machine %s: zone %q is none of %v", m.Name, m.Zone, site.Zones)
	case !cloud.Usable(site.Block, m.Address, 4, 1):
		return fmt.Errorf("machine %s: address %s can't be had in %s, of which Azure keeps the first four and the last", m.Name, m.Address, site.Block)
	case !typePattern.MatchString(kind):
		return fmt.Errorf("machine %s: size %q: want small, medium, large or a machine type like Standard_D4s_v5", m.Name, m.Size)
	case isARM(kind):
		return fmt.Errorf("machine %s: machine type %s is for ARM; Skyweld's machines are x86-64", m.Name, kind)
	}
	return nil
}
