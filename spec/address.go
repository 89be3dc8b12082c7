package spec

import (
	"encoding/binary"
	"net/netip"
)

// firstHost is how far into a zone's part of a block the first node's address is: clouds keep the first few addresses of
// a subnet to themselves.
const firstHost = 10

// ZoneBlock returns the part of a site's block that one zone of the site uses, zones counted from 0 in the order of their
// names: the zone-th /20, or the whole block when it is a /20. Zones beyond the block's last /20 begin again with the
// first.
func ZoneBlock(block netip.Prefix, zone int) netip.Prefix {
	if block.Bits() >= ZoneBits {
		return block
	}
	return subBlock(block, ZoneBits, zone%ZoneBlocks(block))
}

// ZoneBlocks returns how many zones of a site can have a part of the block to themselves.
func ZoneBlocks(block netip.Prefix) int {
	return 1 << max(0, ZoneBits-block.Bits())
}

// subBlock returns the n-th range of the given length in a larger one.
func subBlock(p netip.Prefix, bits, n int) netip.Prefix {
	return netip.PrefixFrom(addrAt(p, uint32(n)<<(32-bits)), bits)
}

// addrAt returns the address at an offset from a range's first.
func addrAt(p netip.Prefix, offset uint32) netip.Addr {
	base := p.Masked().Addr().As4()
	var out [4]byte
	binary.BigEndian.PutUint32(out[:], binary.BigEndian.Uint32(base[:])+offset)
	return netip.AddrFrom4(out)
}

// hostsIn returns how many nodes a zone's part of a block holds; the last address is the broadcast's.
func hostsIn(zone netip.Prefix) int {
	if !zone.IsValid() {
		return 0
	}
	return 1<<(32-zone.Bits()) - firstHost - 1
}

// podBlocks returns how many nodes a pod range holds. The first /24 is left free: its first address is the range's own.
func podBlocks(pods netip.Prefix) int {
	if !pods.IsValid() || pods.Bits() >= NodePodBits {
		return 0
	}
	return 1<<(NodePodBits-pods.Bits()) - 1
}

func overlapping(p netip.Prefix, others []netip.Prefix) (netip.Prefix, bool) {
	for _, o := range others {
		if o.IsValid() && o.Overlaps(p) {
			return o, true
		}
	}
	return netip.Prefix{}, false
}
