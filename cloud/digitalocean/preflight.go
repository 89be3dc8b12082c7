package digitalocean

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// Preflight looks whether sizes are offered in their regions, whether the VPCs fit beside the account's own, whether there
// is room below its limits, and whether the token may make what is asked for.
func (d *Driver) Preflight(ctx context.Context, req cloud.PreflightRequest) (cloud.Findings, error) {
	if len(req.Create) == 0 {
		return cloud.Findings{}, nil
	}
	p := preflight{d: d, req: req, keys: map[cloud.Kind][]string{}}
	for _, r := range req.Create {
		p.keys[r.Kind] = append(p.keys[r.Kind], r.Key)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(gctx) })
	g.Go(func() error { return p.limits(gctx) })
	if len(p.keys[kindVPC]) > 0 {
		g.Go(func() error { return p.networks(gctx) })
	}
	if len(p.keys[kindDroplet]) > 0 {
		g.Go(func() error { return p.machines(gctx) })
	}
	if err := g.Wait(); err != nil {
		return cloud.Findings{}, failed("look ahead in the digitalocean account", err)
	}
	p.found.Sort()
	return p.found, nil
}

// preflight is what a plan needs of the account.
type preflight struct {
	d    *Driver
	req  cloud.PreflightRequest
	keys map[cloud.Kind][]string // of what is to be made

	mu    sync.Mutex
	found cloud.Findings
}

func (p *preflight) problem(q *cloud.Problem) {
	if q == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Problems = append(p.found.Problems, *q)
}

// note tells why something wasn't looked at. An error that isn't about this one question ends the whole.
func (p *preflight) note(what string, err error) error {
	if err == nil {
		return nil
	}
	e := classify(err)
	if e.Credentials || e.Class == cloud.Throttled || e.Class == cloud.Unavailable || e.Code == "" {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Notes = append(p.found.Notes, fmt.Sprintf("%s was not possible: %s", what, e.Message))
	return nil
}

// permissions tries the scopes that the kinds in question need.
func (p *preflight) permissions(ctx context.Context) error {
	wanted := slices.DeleteFunc(p.d.probes(randomWord()), func(b probe) bool {
		return !slices.ContainsFunc(b.makes, func(k cloud.Kind) bool { return len(p.keys[k]) > 0 })
	})
	missing, err := p.d.try(ctx, wanted)
	if err != nil {
		return err
	}
	for _, m := range missing {
		q := &cloud.Problem{
			Class: cloud.Denied, Subject: "scope " + m.Action, Message: "the token lacks it",
			Advice: "make a token with it (docs/accounts/digitalocean.md lists all that Skyweld needs)",
		}
		for _, b := range wanted {
			if b.scope == m.Action {
				for _, k := range b.makes {
					q.Keys = append(q.Keys, p.keys[k]...)
				}
			}
		}
		p.problem(q)
	}
	return nil
}

// networks holds the VPCs that are to be made against those there are.
func (p *preflight) networks(ctx context.Context) error {
	all, err := p.d.listVPCs(ctx)
	if err != nil {
		return p.note("looking up the account's VPCs", err)
	}
	for _, r := range p.req.Create {
		s, ok := r.Spec.(*VPCSpec)
		if !ok {
			continue
		}
		want, err := netip.ParsePrefix(s.Range)
		if err != nil {
			return invalid("%s: range %q: %v", r.Key, s.Range, err)
		}
		p.network(r, want, all)
	}
	return nil
}

func (p *preflight) network(r cloud.Resource, want netip.Prefix, all []*godo.VPC) {
	first := true
	for _, v := range all {
		first = first && v.RegionSlug != r.Region
		if cluster, key := vpcMark(v); cluster == p.req.Owner.UID && key == r.Key || p.goes(kindVPC, v.ID) {
			continue
		}
		if have, err := netip.ParsePrefix(v.IPRange); err == nil && have.Overlaps(want) {
			p.problem(&cloud.Problem{
				Class: cloud.Invalid, Region: r.Region, Subject: "block " + want.String() + " of site " + r.Site, Keys: []string{r.Key},
				Message: fmt.Sprintf("it overlaps the account's VPC %s, %s in %s (%s)", v.Name, have, v.RegionSlug, v.ID),
				Advice:  "give the site another block, or delete that VPC if nobody needs it",
			})
		}
	}
	if first {
		p.problem(&cloud.Problem{
			Class: cloud.Invalid, Region: r.Region, Subject: "VPC of site " + r.Site, Keys: []string{r.Key},
			Message: firstVPC(r.Region), Advice: makeDefault(r.Region),
		})
	}
}

// goes says whether an object is among those that go first.
func (p *preflight) goes(kind cloud.Kind, id string) bool {
	return slices.ContainsFunc(p.req.Replaced, func(o cloud.Object) bool { return o.Kind == kind && o.ID == id })
}

// limit is one of the account's limits.
type limit struct {
	name, unit string
	kind       cloud.Kind
	of         func(*godo.Account) int
	used       func(context.Context, *Driver) (int, error)
}

var (
	limitDroplets = limit{
		"droplet limit", "droplets", kindDroplet, func(a *godo.Account) int { return a.DropletLimit },
		func(ctx context.Context, d *Driver) (int, error) { return count(ctx, "droplets", d.api.Droplets.List) },
	}
	limitReserved = limit{
		"reserved IP limit", "reserved addresses", kindReserved, func(a *godo.Account) int { return max(a.ReservedIPLimit, a.FloatingIPLimit) },
		func(ctx context.Context, d *Driver) (int, error) {
			return count(ctx, "reserved addresses", d.api.ReservedIPs.List)
		},
	}
)

const raise = "%[1]g or more (https://cloud.digitalocean.com/account/team/droplet_limit_increase, or a support ticket)"

func (p *preflight) limits(ctx context.Context) error {
	if len(p.keys[kindDroplet])+len(p.keys[kindReserved]) == 0 {
		return nil
	}
	a, _, err := p.d.api.Account.Get(ctx)
	if err != nil {
		return p.note("reading the account's limits", err)
	}
	for _, l := range []limit{limitDroplets, limitReserved} {
		need := len(p.keys[l.kind])
		for _, o := range p.req.Replaced {
			if o.Kind == l.kind {
				need--
			}
		}
		if need <= 0 || l.of(a) == 0 { // an account that tells no limit
			continue
		}
		used, err := l.used(ctx, p.d)
		if err != nil {
			if err := p.note("counting the account's "+l.unit, err); err != nil {
				return err
			}
			continue
		}
		p.problem(cloud.OverQuota("", l.name, l.unit, raise, float64(l.of(a)), float64(used), float64(need), p.keys[l.kind]))
	}
	return nil
}

// sizeList is what is known of sizes.
type sizeList struct {
	found time.Time
	all   []godo.Size
}

// sizeMemory is how long it is remembered what regions offer: that changes in hours, when one is sold out.
const sizeMemory = 10 * time.Minute

func (d *Driver) knownSizes(ctx context.Context) ([]godo.Size, error) {
	d.mu.Lock()
	known := d.sizes
	d.mu.Unlock()
	if time.Since(known.found) < sizeMemory {
		return known.all, nil
	}
	all, err := d.listSizes(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sizes = sizeList{time.Now(), all}
	return all, nil
}

// machines looks at the sizes of the droplets that are to be made.
func (p *preflight) machines(ctx context.Context) error {
	all, err := p.d.knownSizes(ctx)
	if err != nil {
		return p.note("looking up droplet sizes", err)
	}
	type at struct{ region, size string }
	keys := map[at][]string{}
	regions := map[string]bool{}
	for _, r := range p.req.Create {
		if s, ok := r.Spec.(*DropletSpec); ok {
			keys[at{r.Region, s.Size}] = append(keys[at{r.Region, s.Size}], r.Key)
			regions[r.Region] = true
		}
	}
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		if !slices.ContainsFunc(all, func(s godo.Size) bool { return slices.Contains(s.Regions, region) }) {
			return p.noSizes(ctx, region)
		}
	}
	for k, list := range keys {
		if why := offered(all, k.region, k.size); why != "" {
			p.problem(&cloud.Problem{
				Class: cloud.Invalid, Region: k.region, Subject: "droplet size " + k.size, Keys: list, Message: why, Advice: "ask for another size",
			})
		}
	}
	return nil
}

// noSizes is for a region in which there is nothing at all.
func (p *preflight) noSizes(ctx context.Context, region string) error {
	have, err := p.d.regions(ctx)
	if err != nil {
		return err
	}
	return noRegion(region, have)
}

// offered says why a region has no droplets of a size, empty when it has.
func offered(all []godo.Size, region, size string) string {
	var near []string
	known := false
	for _, s := range all {
		here := s.Available && slices.Contains(s.Regions, region)
		switch {
		case s.Slug == size && here:
			return ""
		case s.Slug == size:
			known = true
		case here && !strings.HasPrefix(s.Slug, "gpu-"):
			near = append(near, s.Slug)
		}
	}
	what := "there is no such size"
	if known {
		what = "it is not offered in " + region + " now"
	}
	return what + "; the nearest there are " + strings.Join(cloud.NearestTypes(size, "-", near, 5), ", ")
}
