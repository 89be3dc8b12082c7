package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// siteBits is the length of a site's block that nobody chose: DigitalOcean's own choice for a VPC, whose performance suffers
// from more, as its page on planning a network says.
const siteBits = 20

// takenBlocks are DigitalOcean's. Its page on planning a network names the reserved ones
// (https://docs.digitalocean.com/products/networking/vpc/concepts/plan-your-network/). Anchor addresses, which reserved
// addresses lead to, are on every droplet's public interface with the whole /16 around them
// (https://docs.digitalocean.com/products/networking/reserved-ips/how-to/find-anchor-ips/): a network there would be reached
// by no droplet. Which /16 it is differs between regions and is documented for none. Droplets that people have shown have
// 10.16 (lon1), 10.17 (nyc3), 10.18 (ams3), 10.19 (fra1), 10.20 (tor1), 10.46 (sfo2), 10.47 (blr1), 10.48 (sfo3) and 10.49
// (syd1); the numbers between and around them are of older and newer regions, by their order. All are kept free everywhere.
var takenBlocks = []cloud.Taken{
	{Range: netip.MustParsePrefix("10.229.0.0/16"), By: reservedByThem},
	{Range: netip.MustParsePrefix("10.244.0.0/16"), By: reservedByThem},
	{Range: netip.MustParsePrefix("10.245.0.0/16"), By: reservedByThem},
	{Range: netip.MustParsePrefix("10.246.0.0/24"), By: reservedByThem},
	{Range: netip.MustParsePrefix("10.10.0.0/15"), By: anchors, Pods: true},
	{Range: netip.MustParsePrefix("10.12.0.0/14"), By: anchors, Pods: true},
	{Range: netip.MustParsePrefix("10.16.0.0/14"), By: anchors, Pods: true},
	{Range: netip.MustParsePrefix("10.20.0.0/16"), By: anchors, Pods: true},
	{Range: netip.MustParsePrefix("10.46.0.0/15"), By: anchors, Pods: true},
	{Range: netip.MustParsePrefix("10.48.0.0/15"), By: anchors, Pods: true},
	{Range: netip.MustParsePrefix("10.50.0.0/16"), By: anchors, Pods: true},
}

const (
	reservedByThem = "DigitalOcean keeps for itself"
	anchors        = "holds anchor addresses on droplets' public interfaces"
)

// BlockRule has blocks of VPCs' usual size, apart from what DigitalOcean uses and from each other: it refuses a VPC that
// overlaps another one of the account, in whatever region.
func (*Driver) BlockRule() cloud.BlockRule {
	return cloud.BlockRule{Bits: siteBits, Taken: slices.Clone(takenBlocks), Apart: true}
}

// TakenBlocks lists the ranges of the account's VPCs.
func (d *Driver) TakenBlocks(ctx context.Context) ([]cloud.Taken, error) {
	all, err := d.listVPCs(ctx)
	if err != nil {
		return nil, failed("look for a free range in the digitalocean account", err)
	}
	var out []cloud.Taken
	for _, v := range all {
		if p, err := netip.ParsePrefix(v.IPRange); err == nil {
			out = append(out, cloud.Taken{Range: p, By: "is the VPC " + v.Name + " in " + v.RegionSlug})
		}
	}
	return out, nil
}

var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// checkBlock says why a site's block can't be a VPC's range, or a droplet couldn't reach the pods.
func checkBlock(site cloud.Site) error {
	b := site.Block
	if !b.Addr().Is4() || b.Bits() < 16 || b.Bits() > 28 {
		return fmt.Errorf("block %s: want an IPv4 range between /16 and /28", b)
	}
	if !private(b) {
		return fmt.Errorf("block %s: want a range in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", b)
	}
	errs := []error{checkTaken("block", b)}
	if site.Pods.IsValid() {
		errs = append(errs, checkTaken("pod range", site.Pods))
	}
	return errors.Join(errs...)
}

func checkTaken(what string, b netip.Prefix) error {
	for _, t := range takenBlocks {
		// What is reserved is so for VPCs; pods' addresses never show on a VPC.
		if (what == "block" || t.Pods) && t.Range.Overlaps(b) {
			return fmt.Errorf("%s %s overlaps %s, which %s: choose another", what, b, t.Range, t.By)
		}
	}
	return nil
}

func private(b netip.Prefix) bool {
	for _, p := range privateRanges {
		if p.Overlaps(b) && p.Bits() <= b.Bits() {
			return true
		}
	}
	return false
}
