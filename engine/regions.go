package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// RegionsAsked is what regions are asked for by.
type RegionsAsked struct {
	// Clouds has a word for each site: a cloud or an account, and a region after a slash where it is given. Empty for the clouds of
	// all accounts, and for all clouds where there are none.
	Clouds []string
	// Metro, Near, Exclude and OptIn are those of geo.Ask; Near is a place in words.
	Metro, Near string
	Exclude     []string
	OptIn       bool
	// Sizes are what each site needs, by default a medium machine; prices are theirs together.
	Sizes []string
	// Limit leaves out what is farther apart; 0 for nothing.
	Limit time.Duration
}

// RegionsFound is which regions are good together.
type RegionsFound struct {
	// Metros are the metros that have all clouds, the best one first, with the regions that each gives.
	Metros []geo.Combination
	// Combinations are the best of all, whatever metros they are in, and the ten next.
	Combinations []geo.Combination
	// Exact is false where there were so many sites that there may be better ones.
	Exact bool
	// Nothing says why there are none.
	Nothing string
	// Near is the place asked for.
	Near *geo.Point
	// Between is what is known of the round trip between two regions: what this engine measured goes before the catalogue.
	Between func(a, b geo.Place) geo.Trip
}

// nextBest is how many combinations are said beside the best.
const nextBest = 10

// Regions says which regions of some clouds are good together. It knows what the catalogue knows, and asks no cloud.
func (e *Engine) Regions(ctx context.Context, a RegionsAsked) (RegionsFound, error) {
	ask, err := e.regionsAsk(ctx, a)
	if err != nil {
		return RegionsFound{}, err
	}
	far, err := e.distances(ctx)
	if err != nil {
		return RegionsFound{}, err
	}
	ask.Known = far.known
	found := RegionsFound{Near: ask.Near, Exact: true, Between: far.between}
	best, exact, err := geo.Choose(ask)
	if none, ok := errors.AsType[*geo.Nowhere](err); ok {
		if found.Nothing = none.Message; none.Slot < 0 {
			ask.Limit, ask.More = 0, 0
			if best, _, err := geo.Choose(ask); err == nil && len(best) > 0 {
				found.Nothing += fmt.Sprintf(": %s have %s", regionList(best[0].Regions), best[0].Worst)
			}
		}
		return found, nil
	}
	if err != nil {
		return RegionsFound{}, err
	}
	found.Combinations, found.Exact, found.Metros = best, exact, metrosFor(ask)
	return found, nil
}

func regionList(places []geo.Place) string {
	var out []string
	for _, p := range places {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// regionsAsk reads what is asked.
func (e *Engine) regionsAsk(ctx context.Context, a RegionsAsked) (geo.Ask, error) {
	ask := geo.Ask{Metro: a.Metro, Exclude: a.Exclude, OptIn: a.OptIn, Limit: a.Limit, More: nextBest}
	bad := func(field, value, format string, args ...any) (geo.Ask, error) {
		return geo.Ask{}, &Problem{Kind: BadInput, Field: field, Message: fmt.Sprintf("found %q: ", value) + fmt.Sprintf(format, args...)}
	}
	if a.Metro != "" && !slices.Contains(geo.Metros(), a.Metro) {
		return bad("metro", a.Metro, "there is no such metro; want one of %s%s", strings.Join(geo.Metros(), ", "), spec.DidYouMean(a.Metro, geo.Metros()))
	}
	if a.Near != "" {
		p, err := geo.Find(a.Near)
		if err != nil {
			return bad("near", a.Near, "%s%s", err, spec.DidYouMean(a.Near, geo.Places()))
		}
		ask.Near = &p
	}
	for _, name := range a.Exclude {
		known := func(p geo.Place) bool { return name == p.ID || name == p.Cloud+"/"+p.ID }
		if !slices.ContainsFunc(geo.Catalogue(), known) {
			return bad("exclude", name, "no cloud has such a region; want one like us-east-1 or aws/us-east-1")
		}
	}
	machines := map[string]int{}
	for _, size := range a.Sizes {
		if !slices.Contains(sizes.Names(), size) {
			return bad("size", size, "want %s", strings.Join(sizes.Names(), ", "))
		}
		machines[size] = 1
	}
	if len(machines) == 0 {
		machines["medium"] = 1
	}
	words := a.Clouds
	if len(words) == 0 {
		var err error
		if words, err = e.accountClouds(ctx); err != nil {
			return geo.Ask{}, err
		}
	}
	if len(words) > mostSites {
		return bad("clouds", strings.Join(words, ","), "want at most %d", mostSites)
	}
	for _, word := range words {
		name, region, _ := strings.Cut(word, "/")
		provider := name
		if !slices.Contains(geo.Clouds(), name) {
			account, err := e.store.GetAccount(ctx, name)
			if errors.Is(err, store.ErrNotFound) {
				return bad("clouds", word, "want a cloud (%s) or the name of an account, and a region after a slash where it is given; %s", strings.Join(geo.Clouds(), ", "), e.knownAccounts(ctx, name))
			}
			if err != nil {
				return geo.Ask{}, err
			}
			provider = string(account.Provider)
		}
		if _, ok := geo.Region(provider, region); region != "" && !ok {
			return bad("clouds", word, "%s has no such region; want one of %s", provider, strings.Join(regionNames(provider), ", "))
		}
		slot := geo.Slot{Name: name, Cloud: provider, Region: region}
		for _, size := range sizes.Names() {
			if machines[size] > 0 {
				slot.Sizes = append(slot.Sizes, size)
			}
		}
		ask.Slots = append(ask.Slots, slot)
	}
	ask.Price = func(_ int, region geo.Place) (float64, bool) { return hourly(region, machines) }
	return ask, nil
}

// mostSites is how many sites a cluster may have.
const mostSites = 16

// accountClouds are the clouds that there are accounts at, or all.
func (e *Engine) accountClouds(ctx context.Context) ([]string, error) {
	accounts, err := e.store.ListAccounts(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range accounts {
		out = append(out, string(a.Provider))
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) > 0 {
		return out, nil
	}
	return geo.Clouds(), nil
}

// metrosFor are the metros with what each gives, the best one first, as far as that may be taken.
func metrosFor(ask geo.Ask) []geo.Combination {
	type row struct {
		geo.Combination
		name string
	}
	var rows []row
	for _, name := range geo.Metros() {
		if ask.Metro != "" && ask.Metro != name {
			continue
		}
		given := ask
		given.More, given.Slots = 0, slices.Clone(ask.Slots)
		fits := true
		seen := map[string]bool{}
		for i, p := range geo.InMetro(name, ask.Slots) {
			free := ask.Slots[i].Region == ""
			lacks := slices.ContainsFunc(ask.Slots[i].Sizes, func(size string) bool { return !p.Has(size) })
			barred := p.OptIn && !ask.OptIn || lacks || seen[p.String()] || slices.Contains(ask.Exclude, p.ID) || slices.Contains(ask.Exclude, p.Cloud+"/"+p.ID)
			fits = fits && p.ID != "" && !(free && barred) && (free || geo.InGroup(name, p))
			seen[p.String()] = true
			given.Slots[i].Region = p.ID
		}
		if !fits {
			continue
		}
		if best, _, err := geo.Choose(given); err == nil && len(best) > 0 {
			best[0].Metro = name
			rows = append(rows, row{best[0], name})
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(max(a.Worst.RTT, a.FarTrip.RTT), max(b.Worst.RTT, b.FarTrip.RTT)), cmp.Compare(a.Worst.RTT, b.Worst.RTT),
			cmp.Compare(len(a.Unpriced), len(b.Unpriced)), cmp.Compare(a.USD, b.USD), strings.Compare(a.name, b.name))
	})
	var out []geo.Combination
	for _, r := range rows {
		out = append(out, r.Combination)
	}
	return out
}
