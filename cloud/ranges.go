package cloud

import (
	"net/netip"
	"slices"
)

// SortedSet is a sorted copy without doubles, never nil: lists in specs are compared whole.
func SortedSet(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Ranges4 lists the IPv4 ranges as a SortedSet. Machines have no IPv6 address.
func Ranges4(from []netip.Prefix) []string {
	var out []string
	for _, p := range from {
		if p.Addr().Is4() {
			out = append(out, p.Masked().String())
		}
	}
	return SortedSet(out)
}

// Usable says whether a machine may have an address in a block of which the cloud keeps some of the first and the last.
func Usable(block netip.Prefix, a netip.Addr, first, last int) bool {
	low, high := a, a
	for range first {
		low = low.Prev()
	}
	for range last {
		high = high.Next()
	}
	return block.Contains(low) && block.Contains(high)
}

// NormalRanges is a SortedSet of ranges in which a single address has the form of a range; what is no address stays as it is.
func NormalRanges(list []string) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r
		if a, err := netip.ParseAddr(r); err == nil {
			out[i] = netip.PrefixFrom(a, a.BitLen()).String()
		}
	}
	return SortedSet(out)
}
