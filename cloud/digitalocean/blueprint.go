package digitalocean

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
	anywhere = "0.0.0.0/0"
	allPorts = "0"
)

// Blueprint lays out a site: a tag for each role, a VPC, a firewall for each role's tag, and for each machine a droplet
// and, on the control plane, a reserved address. A firewall without a rule is left out, as DigitalOcean takes none.
//
// A reserved address comes after its droplet: it has no name and no tags, and being made on a droplet that is known is
// what tells whose it is. It outlives the droplet all the same, and goes to the next one under the same key.
func (*Driver) Blueprint(owner cloud.Owner, site cloud.Site) ([]cloud.Resource, error) {
	if err := checkSite(owner, site); err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "lay out site " + site.Name, Err: err}
	}
	l := layout{owner: owner, site: site}
	l.node = l.tag(roleNode)
	l.controlPlane = l.tag(roleControlPlane)
	l.vpc = l.add(l.key("vpc"), "", &VPCSpec{Name: owner.ResourceName(l.key("vpc")), Range: site.Block.Masked().String()})
	l.firewalls()
	for _, m := range site.Machines {
		l.machine(m)
	}
	return l.out, nil
}

// The roles, at the end of their tags' keys.
const (
	roleNode         = "node"
	roleControlPlane = "control-plane"
)

// layout collects a site's resources and remembers the keys that later ones need.
type layout struct {
	owner                   cloud.Owner
	site                    cloud.Site
	out                     []cloud.Resource
	node, controlPlane, vpc string
	// guards are the firewalls by the tag that they are on.
	guards map[string]string
}

func (l *layout) add(key, machine string, s spec, needs ...string) string {
	l.out = append(l.out, cloud.Resource{
		Key: key, Kind: s.kind(), Site: l.site.Name, Region: l.site.Region, Machine: machine, DependsOn: slices.Clone(needs), Spec: s,
	})
	return key
}

func (l *layout) key(name string) string { return cloud.CutKey(l.site.Name+"-"+name, cloud.MaxKey) }

func (l *layout) tag(role string) string {
	suffix := "-tag-" + role
	key := cloud.CutKey(l.site.Name, cloud.MaxKey-len(suffix)) + suffix
	return l.add(key, "", &TagSpec{Name: roleTag(l.owner.UID, key)})
}

// firewalls lets in what the design says, and everything out: a firewall without outbound rules lets nothing out.
func (l *layout) firewalls() {
	l.guards = map[string]string{}
	all := func(peers ...string) []Rule {
		return sortRules([]Rule{{Protocol: "tcp", Ports: allPorts, Peers: peers}, {Protocol: "udp", Ports: allPorts, Peers: peers}, {Protocol: "icmp", Ports: allPorts, Peers: peers}})
	}
	inbound := append(all("tag:"+l.node), Rule{Protocol: "udp", Ports: strconv.Itoa(l.site.TunnelPort), Peers: []string{anywhere}})
	if ssh := cloud.Ranges4(l.site.SSHAccess); len(ssh) > 0 {
		inbound = append(inbound, Rule{Protocol: "tcp", Ports: "22", Peers: ssh})
	}
	l.guards[l.node] = l.add(l.key("fw-node"), "", &FirewallSpec{
		Tags: []string{l.node}, Droplets: []string{}, Inbound: sortRules(inbound), Outbound: all(anywhere),
	}, l.node)
	if api := cloud.Ranges4(l.site.APIAccess); len(api) > 0 {
		l.guards[l.controlPlane] = l.add(l.key("fw-control-plane"), "", &FirewallSpec{
			Tags: []string{l.controlPlane}, Droplets: []string{}, Inbound: []Rule{{Protocol: "tcp", Ports: "6443", Peers: api}}, Outbound: []Rule{},
		}, l.controlPlane)
	}
}

func (l *layout) machine(m cloud.Machine) {
	// A droplet waits for its firewalls, as it is open to everybody without; its spec names only their tags.
	tags, needs := []string{l.node}, []string{l.vpc, l.node, l.guards[l.node]}
	if m.Role == cloud.ControlPlane {
		tags, needs = append(tags, l.controlPlane), append(needs, l.controlPlane)
		if guard := l.guards[l.controlPlane]; guard != "" {
			needs = append(needs, guard)
		}
	}
	key := l.key("node-" + m.Name)
	droplet := l.add(key, m.Name, &DropletSpec{Name: l.owner.ResourceName(key), VPC: l.vpc, Size: dropletSize(m.Size), Tags: cloud.SortedSet(tags)}, needs...)
	if m.Role == cloud.ControlPlane {
		l.add(l.key("ip-"+m.Name), m.Name, &ReservedSpec{Droplet: droplet}, droplet)
	}
}

// dropletSize is the droplet size behind one of Skyweld's own; any other name is taken for a droplet size.
func dropletSize(size string) string { return sizes.TypeName(string(cloud.DigitalOcean), size) }

var sizePattern = regexp.MustCompile(`^[a-z][a-z0-9_.]*(-[a-z0-9_.]+)+$`)

// checkSite finds everything that DigitalOcean would refuse later, as far as it can be known without asking.
func checkSite(owner cloud.Owner, site cloud.Site) error {
	errs := []error{cloud.CheckUID(owner.UID), cloud.CheckKey(site.Name), checkBlock(site)}
	if site.TunnelPort < 1 || site.TunnelPort > 65535 {
		errs = append(errs, fmt.Errorf("tunnel port %d: want 1 to 65535", site.TunnelPort))
	}
	for _, m := range site.Machines {
		errs = append(errs, checkMachine(site, m))
	}
	return errors.Join(errs...)
}

func checkMachine(site cloud.Site, m cloud.Machine) error {
	size := dropletSize(m.Size)
	switch {
	case !slices.Contains(site.Zones, m.Zone):
		return fmt.Errorf("machine %s: zone %q is none of %v", m.Name, m.Zone, site.Zones)
	case !site.Block.Contains(m.Address):
		return fmt.Errorf("machine %s: address %s is not in %s", m.Name, m.Address, site.Block)
	case !sizePattern.MatchString(size):
		return fmt.Errorf("machine %s: size %q: want small, medium, large or a droplet size", m.Name, m.Size)
	case strings.HasPrefix(size, "gpu-"):
		return fmt.Errorf("machine %s: droplet size %s has GPUs, which need another image than Skyweld's", m.Name, size)
	}
	return nil
}
