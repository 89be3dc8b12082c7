package cloud_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

func TestRanges4(t *testing.T) {
	var list []netip.Prefix
	for _, text := range []string{"192.0.2.7/24", "2001:db8::/32", "10.0.0.0/8", "192.0.2.0/24"} {
		list = append(list, netip.MustParsePrefix(text))
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.0.2.0/24"}, cloud.Ranges4(list)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := cloud.Ranges4(list[1:2]); got == nil || len(got) > 0 {
		t.Errorf("no IPv4 range: %#v, want an empty list", got)
	}
}

func TestUsable(t *testing.T) {
	block := netip.MustParsePrefix("10.64.1.0/24")
	for text, want := range map[string]bool{
		"10.64.0.255": false, "10.64.1.0": false, "10.64.1.3": false, "10.64.1.4": true,
		"10.64.1.253": true, "10.64.1.254": false, "10.64.1.255": false, "10.64.2.4": false,
	} {
		if got := cloud.Usable(block, netip.MustParseAddr(text), 4, 2); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for text, block := range map[string]string{"0.0.0.2": "0.0.0.0/8", "255.255.255.254": "255.255.255.0/24"} { // the ends of all addresses
		if cloud.Usable(netip.MustParsePrefix(block), netip.MustParseAddr(text), 4, 2) {
			t.Errorf("%s is usable in %s", text, block)
		}
	}
	if cloud.Usable(block, netip.Addr{}, 4, 2) {
		t.Error("no address is usable")
	}
}

func TestNormalRanges(t *testing.T) {
	given := []string{"Internet", "192.0.2.1", "10.0.0.0/8", "192.0.2.1/32"}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.0.2.1/32", "Internet"}, cloud.NormalRanges(given)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if given[1] != "192.0.2.1" {
		t.Errorf("the list itself was changed: %v", given)
	}
}
