package gcp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/sizes"
)

const (
	anywhere   = "0.0.0.0/0"
	defaultMTU = 1460
	minDiskGiB = 10 // the image's own size
)

// nodeMetadata is set on every machine beside its user data: only the key in that may open it. A project's keys and its
// OS Login would let others in, and OS Login would lock the engine out.
var nodeMetadata = map[string]string{"block-project-ssh-keys": "true", "enable-oslogin": "FALSE"}

// Blueprint lays out a site: a network with one subnet, firewall rules by role, and for each machine an instance and, on
// the control plane, a static address. A rule that would let nobody in is left out: Google takes a rule without sources
// for one that lets everybody in.
func (*Driver) Blueprint(owner cloud.Owner, site cloud.Site) ([]cloud.Resource, error) {
	if err := checkSite(owner, site); err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "lay out site " + site.Name, Err: err}
	}
	l := layout{owner: owner, site: site}
	l.network = l.add(l.key("network"), "", &NetworkSpec{MTU: defaultMTU, RoutingMode: "REGIONAL", FirewallOrder: "AFTER_CLASSIC_FIREWALL", DefaultRoute: true})
	l.subnet = l.add(l.key("subnet"), "", &SubnetworkSpec{
		Network: l.network, Range: site.Block.Masked().String(), SecondaryRanges: []string{},
	}, l.network)
	l.firewalls()
	for _, m := range site.Machines {
		l.machine(m)
	}
	return l.out, nil
}

// layout collects a site's resources and remembers the keys that later ones need.
type layout struct {
	owner           cloud.Owner
	site            cloud.Site
	out             []cloud.Resource
	network, subnet string
}

func (l *layout) add(key, machine string, s spec, needs ...string) string {
	l.out = append(l.out, cloud.Resource{
		Key: key, Kind: s.kind(), Site: l.site.Name, Region: l.site.Region, Machine: machine, DependsOn: slices.Clone(needs), Spec: s,
	})
	return key
}

func (l *layout) key(name string) string { return cloud.CutKey(l.site.Name+"-"+name, cloud.MaxKey) }

// tag is the network tag of a role's machines, which firewall rules name: the same in every run, and no other cluster's.
func (l *layout) tag(role string) string { return l.owner.ResourceName(l.key(role)) }

const (
	roleNode         = "node"
	roleControlPlane = "control-plane"
)

func (l *layout) firewalls() {
	// Google takes no rule with addresses of both kinds.
	ssh, api := cloud.Ranges4(l.site.SSHAccess), cloud.Ranges4(l.site.APIAccess)
	// By tag and not by the site's block: somebody else's machine in the network isn't one of the site's.
	l.firewall("internal", roleNode, []string{}, []string{l.tag(roleNode)}, Traffic{Protocol: "all", Ports: []string{}})
	l.allow("tunnel", roleNode, []string{anywhere}, Traffic{Protocol: "udp", Ports: []string{strconv.Itoa(l.site.TunnelPort)}})
	l.allow("ssh", roleNode, ssh, Traffic{Protocol: "tcp", Ports: []string{"22"}})
	l.allow("api", roleControlPlane, api, Traffic{Protocol: "tcp", Ports: []string{"6443"}})
}

// allow lets traffic from some ranges in; without any there is no rule, which Google would take for one from anywhere.
func (l *layout) allow(name, role string, from []string, what Traffic) {
	if len(from) > 0 {
		l.firewall(name, role, from, []string{}, what)
	}
}

func (l *layout) firewall(name, role string, ranges, tags []string, what Traffic) {
	l.add(l.key("fw-"+name), "", &FirewallSpec{
		Network: l.network, Direction: "INGRESS", Priority: 1000, Allowed: []Traffic{what}, Denied: []Traffic{}, Sources: ranges,
		SourceTags: tags, Destinations: []string{}, TargetTags: []string{l.tag(role)},
	}, l.network)
}

func (l *layout) machine(m cloud.Machine) {
	s := &InstanceSpec{
		Subnetwork: l.subnet, Zone: m.Zone, Type: machineType(m.Size), PrivateAddress: m.Address.String(), PublicAddress: ephemeral,
		Tags: []string{l.tag(roleNode)}, CanIPForward: true, Metadata: nodeMetadata, ServiceAccounts: []string{},
		AutomaticRestart: true, DiskGiB: m.DiskGiB, DiskAutoDelete: true,
	}
	// An instance refers to no firewall rule: a rule that has to be replaced must not replace machines.
	needs := []string{l.subnet}
	if m.Role == cloud.ControlPlane {
		s.PublicAddress = l.add(l.key("ip-"+m.Name), m.Name, &AddressSpec{Tier: "PREMIUM"})
		s.Tags = cloud.SortedSet(append(s.Tags, l.tag(roleControlPlane)))
		needs = append(needs, s.PublicAddress)
	}
	l.add(l.key("node-"+m.Name), m.Name, s.clone(), needs...)
}

// machineType is the machine type behind one of Skyweld's sizes; any other name is taken for a machine type.
func machineType(size string) string { return sizes.TypeName(string(cloud.GCP), size) }

// family is what a machine type's name begins with.
func family(machineType string) string {
	f, _, _ := strings.Cut(machineType, "-")
	return f
}

// armFamilies can't run the image, which is for x86-64.
var armFamilies = []string{"t2a", "c4a", "n4a", "a4x"}

// diskKey is the mark of the disk that is made along with a resource's instance.
func diskKey(r cloud.Resource) string { return cloud.CutKey(r.Site+"-disk-"+r.Machine, cloud.MaxKey) }

var sizePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// checkSite finds everything that Compute Engine would refuse later.
func checkSite(owner cloud.Owner, site cloud.Site) error {
	errs := []error{cloud.CheckUID(owner.UID), cloud.CheckKey(site.Name)}
	if !site.Block.Addr().Is4() || site.Block.Bits() < 8 || site.Block.Bits() > 28 {
		errs = append(errs, fmt.Errorf("block %s: want an IPv4 range between /8 and /28", site.Block))
	}
	if site.TunnelPort < 1 || site.TunnelPort > 65535 {
		errs = append(errs, fmt.Errorf("tunnel port %d: want 1 to 65535", site.TunnelPort))
	}
	for _, zone := range site.Zones {
		if regionOf(zone) != site.Region {
			errs = append(errs, fmt.Errorf("zone %s is not in region %s", zone, site.Region))
		}
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
	case !cloud.Usable(site.Block, m.Address, 2, 2):
		return fmt.Errorf("machine %s: address %s can't be had in %s, of which Google keeps the first two and the last two", m.Name, m.Address, site.Block)
	case !sizePattern.MatchString(kind):
		return fmt.Errorf("machine %s: size %q: want small, medium, large or a machine type", m.Name, m.Size)
	case slices.Contains(armFamilies, family(kind)):
		return fmt.Errorf("machine %s: machine type %s is for ARM; Skyweld's machines are x86-64", m.Name, kind)
	case m.DiskGiB < minDiskGiB:
		return fmt.Errorf("machine %s: a disk of %d GiB: want at least %d", m.Name, m.DiskGiB, minDiskGiB)
	}
	return nil
}
