package cloud

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// ParseAddr reads an address of an answer; whatever else is no valid address.
func ParseAddr(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// ParseTime reads a time of an answer, in RFC 3339, to the second; whatever else is no time.
func ParseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// CompareItems is the order of inventories: by kind, region and id.
func CompareItems(a, b Item) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Region, b.Region), strings.Compare(a.ID, b.ID))
}
