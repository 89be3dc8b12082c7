package digitalocean

import (
	"encoding/binary"
	"net/netip"

	"github.com/skyweld/skyweld/lab/world"
)

// mtu is that of both interfaces.
const mtu = 1500

// everywhere is where traffic may go to and come from at Droplets without a firewall.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}

// networks computes what the physical side must look like: a network for each VPC that has Droplets. A Droplet has its
// public address on eth0 itself, with the anchor address beside it, and its private one on eth1, which leads only into the
// VPC. Nothing of what is there forwards. The caller holds the lock.
func (s *Service) networks() map[string]world.Network {
	out := map[string]world.Network{}
	reserved := map[int]netip.Addr{}
	for _, r := range s.rec.Reserved {
		if r.Droplet != 0 {
			reserved[r.Droplet] = r.IP
		}
	}
	for _, d := range sorted(s.rec.Droplets) {
		if !d.Placed {
			continue
		}
		v := s.rec.VPCs[d.VPC]
		n := out[v.ID]
		n.ID, n.Cloud, n.Region = v.ID, cloudName, v.Region
		in, outbound := s.worldRules(d)
		if d.Public.IsValid() {
			n.NICs = append(n.NICs, world.NIC{
				ID: machineID(d.ID) + "-eth0", Machine: machineID(d.ID), Device: "eth0", MAC: d.PublicMAC, MTU: mtu,
				Address: netip.PrefixFrom(d.Public, s.cfg.Pools(d.Region).Prefix().Bits()), Gateway: s.gateway(d.Region), Public: d.Public, Internet: true,
				Others:  []world.Alias{{Address: netip.PrefixFrom(d.Anchor, anchorRange(d.Region).Bits()), Public: reserved[d.ID]}},
				Inbound: in, Outbound: outbound,
			})
		}
		n.NICs = append(n.NICs, world.NIC{
			ID: machineID(d.ID) + "-eth1", Machine: machineID(d.ID), Device: "eth1", MAC: d.PrivateMAC, MTU: mtu,
			Address: netip.PrefixFrom(d.Private, v.Range.Bits()), Gateway: v.Range.Addr().Next(), NoDefault: d.Public.IsValid(),
			Inbound: in, Outbound: outbound,
		})
		out[v.ID] = n
	}
	return out
}

// worldRules joins the rules of a Droplet's firewalls: what none of them permits is dropped, and without a firewall
// everything is permitted.
func (s *Service) worldRules(d *droplet) (in, out []world.Rule) {
	bare := true
	for _, f := range sorted(s.rec.Firewalls) {
		if !f.covers(d) {
			continue
		}
		bare = false
		in, out = append(in, s.permits(f.Inbound)...), append(out, s.permits(f.Outbound)...)
	}
	if bare {
		all := []world.Rule{{Allow: true, Remote: everywhere}}
		return all, all
	}
	return in, out
}

func (s *Service) permits(rules []rule) []world.Rule {
	var out []world.Rule
	for _, r := range rules {
		from, to, _ := portRange(r.Ports)
		out = append(out, world.Rule{Allow: true, Protocol: r.Protocol, FromPort: from, ToPort: to, Remote: s.remotes(r.Peers)})
	}
	return out
}

// remotes are the addresses that the other ends of a rule have, IPv4 only: the lab's machines have no others.
func (s *Service) remotes(p peers) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range p.Addresses {
		if r, err := netip.ParsePrefix(text); err == nil && r.Addr().Is4() {
			out = append(out, r.Masked())
		} else if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
			out = append(out, netip.PrefixFrom(a, 32))
		}
	}
	for _, d := range sorted(s.rec.Droplets) {
		named := contains(p.Droplets, d.ID)
		for _, t := range p.Tags {
			named = named || hasTag(d.Tags, t)
		}
		if !named {
			continue
		}
		for _, a := range []netip.Addr{d.Private, d.Public, s.reservedFor(d.ID)} {
			if a.IsValid() {
				out = append(out, netip.PrefixFrom(a, 32))
			}
		}
	}
	return out
}

// reservedFor is the reserved address that is assigned to a Droplet; not valid for none.
func (s *Service) reservedFor(droplet int) netip.Addr {
	for _, r := range s.rec.Reserved {
		if r.Droplet == droplet {
			return r.IP
		}
	}
	return netip.Addr{}
}

// addressNumber is an address as a number, by which actions name reserved addresses.
func addressNumber(text string) int {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0
	}
	b := a.As4()
	return int(binary.BigEndian.Uint32(b[:]))
}
