package cloud

import (
	"context"
	"net/netip"
)

// BlockRule is what a cloud has to say about the blocks of sites, beyond what holds for all clouds. The zero value says
// nothing.
type BlockRule struct {
	// Bits is the length of the prefix of a block that nobody chose; 0 for the usual one.
	Bits int
	// Taken are ranges that no block at this cloud may overlap, whatever the account.
	Taken []Taken
	// Apart says that the networks of an account must not overlap each other, in whatever region they are.
	Apart bool
}

// Taken is a range of addresses that is used for something.
type Taken struct {
	Range netip.Prefix
	// By says what for, as the end of a sentence: "overlaps with 10.64.0.0/20, which <By>".
	By string
	// Pods says that pods can't have addresses of the range either: machines themselves have it on an interface.
	Pods bool
}

// BlockRuler is a Driver whose cloud has a rule for blocks. All other clouds have networks that don't know of each other
// and take any block.
type BlockRuler interface {
	// BlockRule is pure.
	BlockRule() BlockRule
	// TakenBlocks lists the ranges of the networks that the account has, in all regions. It is asked before a block is
	// chosen, where the rule says that networks must be apart.
	TakenBlocks(ctx context.Context) ([]Taken, error)
}
