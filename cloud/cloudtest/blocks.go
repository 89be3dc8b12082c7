package cloudtest

import (
	"context"
	"net/netip"

	"github.com/skyweld/skyweld/cloud"
)

// OpBlocks is the operation of TakenBlocks in the log of calls.
const OpBlocks Op = "blocks"

// BlockRule returns the rule of the options.
func (c *Cloud) BlockRule() cloud.BlockRule { return c.opts.Blocks }

// TakenBlocks lists the ranges of all networks.
func (c *Cloud) TakenBlocks(ctx context.Context) ([]cloud.Taken, error) {
	var out []cloud.Taken
	err := c.call(ctx, Call{Op: OpBlocks}, func(*Call) error {
		for _, r := range c.records {
			if p, ok := rangeOf(r); ok {
				out = append(out, cloud.Taken{Range: p, By: "is the network " + r.id + " in " + r.region})
			}
		}
		return nil
	})
	return out, err
}

// rangeOf is the range of a network that exists.
func rangeOf(r *record) (netip.Prefix, bool) {
	s, ok := r.spec.(*NetworkSpec)
	if !ok || !r.live() {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s.CIDR)
	return p, err == nil
}

// apart refuses a network that overlaps another one, where the rule says so.
func (c *Cloud) apart(r *record) error {
	want, ok := rangeOf(r)
	if !ok || !c.opts.Blocks.Apart {
		return nil
	}
	for _, other := range c.records {
		if have, ok := rangeOf(other); ok && have.Overlaps(want) {
			return fail(cloud.Invalid, "RangeOverlaps", "%s overlaps with %s, the range of %s", want, have, other.id)
		}
	}
	return nil
}
