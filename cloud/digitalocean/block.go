package digitalocean

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/skyweld/skyweld/cloud"
)

// taken is a range that no VPC can have, or that droplets use for something else.
type taken struct {
	block netip.Prefix
	what  string
}

// takenBlocks are DigitalOcean's. Its documentation of VPC planning names the reserved ones. Anchor addresses, which
// reserved addresses lead to, are on every droplet's public interface with the whole /16 around them: a network there
// would be reached by no droplet. Which /16 it is differs between regions and is documented for none, so all those that
// droplets of any region are known to have are kept free in all of them.
var takenBlocks = []taken{
	{netip.MustParsePrefix("10.229.0.0/16"), reservedByThem},
	{netip.MustParsePrefix("10.244.0.0/16"), reservedByThem},
	{netip.MustParsePrefix("10.245.0.0/16"), reservedByThem},
	{netip.MustParsePrefix("10.246.0.0/24"), reservedByThem},
	{netip.MustParsePrefix("10.10.0.0/15"), anchors},
	{netip.MustParsePrefix("10.12.0.0/14"), anchors},
	{netip.MustParsePrefix("10.16.0.0/14"), anchors},
	{netip.MustParsePrefix("10.20.0.0/16"), anchors},
	{netip.MustParsePrefix("10.46.0.0/15"), anchors},
	{netip.MustParsePrefix("10.48.0.0/15"), anchors},
	{netip.MustParsePrefix("10.50.0.0/16"), anchors},
}

const (
	reservedByThem = "DigitalOcean keeps for itself"
	anchors        = "holds anchor addresses on droplets' public interfaces"
)

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
		if what != "block" && t.what == reservedByThem || !t.block.Overlaps(b) {
			continue
		}
		return fmt.Errorf("%s %s overlaps %s, which %s: choose another", what, b, t.block, t.what)
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
