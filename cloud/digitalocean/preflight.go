package digitalocean

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	p := preflight{cloud.LookAhead(cloud.DigitalOcean, req), d}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(gctx) })
	g.Go(func() error { return p.limits(gctx) })
	if len(p.Keys(kindVPC)) > 0 {
		g.Go(func() error { return p.networks(gctx) })
	}
	if len(p.Keys(kindDroplet)) > 0 {
		g.Go(func() error { return p.machines(gctx) })
	}
	if err := g.Wait(); err != nil {
		return cloud.Findings{}, failed("look ahead in the digitalocean account", err)
	}
	return p.Findings(), nil
}

// preflight is what a plan needs of the account.
type preflight struct {
	*cloud.Ahead
	d *Driver
}

// pass tells why something wasn't looked at.
func (p preflight) pass(what string, err error) error {
	return p.Pass(what, err, classifyOrNil(err))
}

// permissions tries the scopes that the kinds in question need.
func (p preflight) permissions(ctx context.Context) error {
	wanted := slices.DeleteFunc(p.d.probes(randomWord()), func(b probe) bool { return len(p.Keys(b.makes...)) == 0 })
	missing, err := p.d.try(ctx, wanted)
	if err != nil {
		return err
	}
	for _, m := range missing {
		var makes []cloud.Kind
		for _, b := range wanted {
			if b.scope == m.Action {
				makes = append(makes, b.makes...)
			}
		}
		p.Lacks("", "scope "+m.Action, "the token lacks it", "make a token with it (docs/accounts/digitalocean.md lists all that Skyweld needs)", makes...)
	}
	return nil
}

// networks holds the VPCs that are to be made against those there are.
func (p preflight) networks(ctx context.Context) error {
	all, err := p.d.listVPCs(ctx)
	if err != nil {
		return p.pass("looking up the account's VPCs", err)
	}
	for _, r := range p.Create {
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

func (p preflight) network(r cloud.Resource, want netip.Prefix, all []*godo.VPC) {
	first := true
	for _, v := range all {
		first = first && v.RegionSlug != r.Region
		if cluster, key := vpcMark(v); cluster == p.Owner.UID && key == r.Key || p.goes(kindVPC, v.ID) {
			continue
		}
		if have, err := netip.ParsePrefix(v.IPRange); err == nil && have.Overlaps(want) {
			p.Problem(&cloud.Problem{
				Class: cloud.Invalid, Region: r.Region, Subject: "block " + want.String() + " of site " + r.Site, Keys: []string{r.Key},
				Message: fmt.Sprintf("it overlaps the account's VPC %s, %s in %s (%s)", v.Name, have, v.RegionSlug, v.ID),
				Advice:  "give the site another block, or delete that VPC if nobody needs it",
			})
		}
	}
	if first {
		p.Problem(&cloud.Problem{
			Class: cloud.Invalid, Region: r.Region, Subject: "VPC of site " + r.Site, Keys: []string{r.Key},
			Message: firstVPC(r.Region), Advice: makeDefault(r.Region),
		})
	}
}

// goes says whether an object is among those that go first.
func (p preflight) goes(kind cloud.Kind, id string) bool {
	return slices.ContainsFunc(p.Replaced, func(o cloud.Object) bool { return o.Kind == kind && o.ID == id })
}

// limit is one of the account's limits.
type limit struct {
	name, unit string
	kind       cloud.Kind
	of         func(*godo.Account) int
	used       func(context.Context, *Driver) (int, error)
}

// accountLimits are those that limit what Skyweld and what runs on its machines can have. Its droplets' disks are their own: no
// volume is made for them.
var accountLimits = []limit{
	{
		"droplet limit", "droplets", kindDroplet, func(a *godo.Account) int { return a.DropletLimit },
		func(ctx context.Context, d *Driver) (int, error) { return count(ctx, "droplets", d.api.Droplets.List) },
	},
	{
		"reserved IP limit", "reserved addresses", kindReserved, func(a *godo.Account) int { return max(a.ReservedIPLimit, a.FloatingIPLimit) },
		func(ctx context.Context, d *Driver) (int, error) {
			return count(ctx, "reserved addresses", d.api.ReservedIPs.List)
		},
	},
	{
		"volume limit", "volumes", kindVolume, func(a *godo.Account) int { return a.VolumeLimit },
		func(ctx context.Context, d *Driver) (int, error) {
			all, err := d.listVolumes(ctx)
			return len(all), err
		},
	},
}

const raise = "%[1]g or more (https://cloud.digitalocean.com/account/team/droplet_limit_increase, or a support ticket)"

// limits holds what is to be made against the account's limits.
func (p preflight) limits(ctx context.Context) error {
	return p.Limits(cloud.Limits{
		Takes: func(r cloud.Resource, add func(region, limit string, amount float64)) {
			for _, l := range accountLimits {
				if r.Kind == l.kind {
					add("", l.name, 1)
				}
			}
		},
		Read:    func(_ string, names []string) ([]cloud.Quota, error) { return p.quotas(ctx, names) },
		Pass:    func(_ string, err error) error { return p.pass("reading the account's limits", err) },
		Subject: func(name string) string { return name },
		Unit: func(name string) string {
			return accountLimits[slices.IndexFunc(accountLimits, func(l limit) bool { return l.name == name })].unit
		},
		Raise: func(string, string) string { return raise },
	})
}

// quotas reads some of the account's limits. What it may not count is a note.
func (p preflight) quotas(ctx context.Context, names []string) ([]cloud.Quota, error) {
	a, _, err := p.d.api.Account.Get(ctx)
	if err != nil {
		return nil, err
	}
	var out []cloud.Quota
	for _, l := range accountLimits {
		if l.of(a) == 0 || !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, l.name) }) { // an account that tells no limit
			continue
		}
		used, err := l.used(ctx, p.d)
		if err != nil {
			if err := p.pass("counting the account's "+l.unit, err); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, cloud.Quota{Name: l.name, Limit: float64(l.of(a)), Used: float64(used)})
	}
	return out, nil
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
func (p preflight) machines(ctx context.Context) error {
	all, err := p.d.knownSizes(ctx)
	if err != nil {
		return p.pass("looking up droplet sizes", err)
	}
	for _, w := range p.MachineTypes(func(spec any) (zone, size string, ok bool) {
		s, ok := spec.(*DropletSpec)
		if !ok {
			return "", "", false
		}
		return "", s.Size, true
	}) {
		if !slices.ContainsFunc(all, func(s godo.Size) bool { return slices.Contains(s.Regions, w.Region) }) {
			return p.noSizes(ctx, w.Region)
		}
		list := machineTypes(all, w.Region)
		var have *cloud.MachineType
		if i := slices.IndexFunc(list, func(t cloud.MachineType) bool { return t.Name == w.Name }); i >= 0 {
			have = &list[i]
		}
		if err := p.Judge("droplet size", w, have, func() ([]cloud.MachineType, error) { return list, nil }); err != nil {
			return err
		}
	}
	return nil
}

// noSizes is for a region in which there is nothing at all.
func (p preflight) noSizes(ctx context.Context, region string) error {
	have, err := p.d.regions(ctx)
	if err != nil {
		return err
	}
	return noRegion(region, have)
}

// machineTypes are the sizes as a region has them. Its one zone has no name in a droplet's spec.
func machineTypes(all []godo.Size, region string) []cloud.MachineType {
	var out []cloud.MachineType
	for _, s := range all {
		t := cloud.MachineType{Name: s.Slug, VCPUs: s.Vcpus, MemoryMiB: s.Memory, USD: s.PriceHourly, Arch: cloud.Architecture}
		if s.GPUInfo != nil || strings.HasPrefix(s.Slug, "gpu-") {
			t.Unfit = "it has GPUs, which need another image than Skyweld's"
		}
		if s.Available && slices.Contains(s.Regions, region) {
			t.Zones = []string{""}
		}
		out = append(out, t)
	}
	return out
}
