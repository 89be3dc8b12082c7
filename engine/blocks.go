package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/spec"
)

// blockRule is what a cloud says of the block of one site, with the account's part of it.
type blockRule struct {
	cloud.BlockRule
	account string
	ruler   cloud.BlockRuler
}

// blockRules are the rules for the sites of a file whose cloud has one, by the site's name. Sites that the cluster in force
// has already are left out: they have their block, and keep it.
func (e *Engine) blockRules(ctx context.Context, c *spec.Cluster, old *asked) (map[string]blockRule, error) {
	rules := map[string]blockRule{}
	for _, s := range c.Spec.Sites {
		if old != nil {
			if _, has := old.Spec.Site(s.Name); has {
				continue
			}
		}
		_, driver, err := e.driver(ctx, s.Account)
		if err != nil {
			continue // what is wrong with the account is said elsewhere
		}
		ruler, ok := driver.(cloud.BlockRuler)
		if !ok {
			continue
		}
		rule := blockRule{ruler.BlockRule(), s.Account, ruler}
		if rule.Apart {
			others, err := e.otherBlocks(ctx, c.Metadata.Name, s.Account)
			if err != nil {
				return nil, err
			}
			rule.Taken = append(slices.Clone(rule.Taken), others...)
		}
		rules[s.Name] = rule
	}
	return rules, nil
}

// otherBlocks are those that other clusters have, or will have, in an account.
func (e *Engine) otherBlocks(ctx context.Context, name, account string) ([]cloud.Taken, error) {
	all, err := e.store.ListClusters(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []cloud.Taken
	for _, c := range all {
		if c.Name == name {
			continue
		}
		q, err := e.store.GetQueue(ctx, c.UID)
		if err != nil {
			return nil, err
		}
		latest, err := latestSpec(q)
		if err != nil {
			return nil, err
		}
		for _, s := range latest.Spec.Sites {
			if s.Account == account && s.Block.IsValid() {
				out = append(out, cloud.Taken{Range: s.Block, By: fmt.Sprintf("is the block of site %s of cluster %s in the same account", s.Name, c.Name)})
			}
		}
	}
	return out, nil
}

// chooseBlocks gives sites without a block one by the rule of their cloud, beside what the account has already. The error
// is that this couldn't be found out: as a block can't be changed later, what is chosen then must not be stored. It isn't
// asked for where the file is refused anyway.
func (e *Engine) chooseBlocks(ctx context.Context, c *spec.Cluster, rules map[string]blockRule, ask bool) error {
	wishes := map[string]spec.BlockRule{}
	var errs []error
	for _, s := range c.Spec.Sites {
		rule, ok := rules[s.Name]
		if !ok || s.Block.IsValid() {
			continue
		}
		taken := rule.Taken
		if rule.Apart && ask {
			have, err := retryBriefly(ctx, e.patience, rule.ruler.TakenBlocks)
			if err != nil {
				errs = append(errs, fmt.Errorf("site %s: no block can be chosen for it, as it must overlap no network that account %s has, and these could not be listed: %w",
					s.Name, s.Account, withAdvice(err, s.Account)))
			}
			taken = append(slices.Clone(taken), have...)
		}
		wishes[s.Name] = spec.BlockRule{Bits: rule.Bits, Taken: rangesOf(taken)}
	}
	spec.DefaultBlocks(c, wishes)
	return errors.Join(errs...)
}

func rangesOf(taken []cloud.Taken) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range taken {
		out = append(out, t.Range)
	}
	return out
}

// forbidden says which blocks and pods' addresses a file asks for that are taken at a site's cloud. What the account's own
// networks have is found out by the look ahead.
func forbidden(c *spec.Cluster, rules map[string]blockRule) spec.Errors {
	var errs spec.Errors
	add := func(path string, p netip.Prefix, t cloud.Taken, where string) {
		said := slices.ContainsFunc(errs, func(e spec.Error) bool { return e.Path == path })
		if !said && p.IsValid() && t.Range.Overlaps(p) {
			errs = append(errs, spec.Error{Path: path, Value: p.String(), Message: fmt.Sprintf("overlaps with %s, which %s%s; want a range that shares no address with it", t.Range, t.By, where)})
		}
	}
	for i, s := range c.Spec.Sites {
		for _, t := range rules[s.Name].Taken {
			add(fmt.Sprintf("spec.sites[%d].block", i), s.Block, t, "")
			if t.Pods {
				add("spec.network.pods", c.Spec.Network.Pods, t, ", at site "+s.Name)
			}
		}
	}
	return errs
}
