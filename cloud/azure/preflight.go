package azure

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"

	"github.com/skyweld/skyweld/cloud"
)

// Preflight looks whether machine types are offered in their zones and are for our image, whether there is room below the
// limits of the subscription in its regions, and whether we may make what is asked for.
func (d *Driver) Preflight(ctx context.Context, req cloud.PreflightRequest) (cloud.Findings, error) {
	if len(req.Create) == 0 {
		return cloud.Findings{}, nil
	}
	p := preflight{Ahead: cloud.LookAhead(cloud.Azure, req), d: d, offers: map[string]offer{}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(gctx, req.Create[0].Region) })
	g.Go(func() error {
		if err := p.machineTypes(gctx); err != nil {
			return err
		}
		return p.limits(gctx)
	})
	if err := g.Wait(); err != nil {
		return cloud.Findings{}, failed("look ahead in subscription "+d.subscription, err)
	}
	return p.Findings(), nil
}

// preflight is what a plan needs of the subscription.
type preflight struct {
	*cloud.Ahead
	d      *Driver
	offers map[string]offer // by region; none where it couldn't be looked up
}

// pass tells why something wasn't looked at.
func (p preflight) pass(what string, err error) error {
	if err == nil {
		return nil
	}
	return p.Pass(what, err, classify(err))
}

// permissions looks for those that the kinds in question need, as far as they can be tried, and for providers that aren't
// registered.
func (p preflight) permissions(ctx context.Context, region string) error {
	missing, err := p.d.lacking(ctx, region, func(b probe) bool { return len(p.Keys(permissions[b.action]...)) > 0 })
	if err != nil {
		return err
	}
	for _, m := range missing {
		p.Lacks("", "permission "+m.Action, "the account lacks it in subscription "+p.d.subscription,
			"add it to the account's role (docs/accounts/azure-role.json lists all that Skyweld needs)", permissions[m.Action]...)
	}
	spaces, err := p.d.unregistered(ctx)
	if err != nil {
		return err
	}
	for _, s := range spaces {
		p.Lacks("", "resource provider "+s, "subscription "+p.d.subscription+" isn't registered for it", "register it once: az provider register --namespace "+s)
	}
	return nil
}

// offer is what machine types a region has, by name in small letters.
type offer struct {
	types map[string]machineKind
	found time.Time
}

// machineKind is what is known of a machine type in a region.
type machineKind struct {
	cloud.MachineType
	family string // as the quota is called
}

// typeMemory is how long it is remembered what a region offers.
const typeMemory = time.Hour

// offer looks up what a region has; Azure answers that for all types at once only.
func (d *Driver) offer(ctx context.Context, region string) (offer, error) {
	d.mu.Lock()
	o, ok := d.offered[region]
	d.mu.Unlock()
	if ok && time.Since(o.found) < typeMemory {
		return o, nil
	}
	pager := d.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: ptr("location eq '" + region + "'")})
	list, err := all(ctx, pager, func(p armcompute.ResourceSKUsClientListResponse) []*armcompute.ResourceSKU { return p.Value })
	if err != nil {
		return offer{}, err
	}
	o = offer{types: map[string]machineKind{}, found: time.Now()}
	for _, s := range list {
		if strings.EqualFold(val(s.ResourceType), "virtualMachines") {
			o.types[strings.ToLower(val(s.Name))] = kindOf(s, region)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offered[region] = o
	return o, nil
}

// kindOf reads what a list of SKUs says about a machine type. The region stands among the zones for machines that are in
// none of them.
func kindOf(s *armcompute.ResourceSKU, region string) machineKind {
	k := machineKind{MachineType: cloud.MachineType{Name: val(s.Name), Unfit: unfit(s)}, family: val(s.Family)}
	for _, l := range s.LocationInfo {
		if l != nil && sameRegion(val(l.Location), region) {
			for _, number := range vals(l.Zones) {
				k.Zones = append(k.Zones, zoneName(region, number))
			}
		}
	}
	for _, r := range s.Restrictions {
		switch {
		case r == nil:
		case val(r.Type) == armcompute.ResourceSKURestrictionsTypeZone && r.RestrictionInfo != nil:
			for _, number := range vals(r.RestrictionInfo.Zones) {
				k.Zones = slices.DeleteFunc(k.Zones, func(z string) bool { return z == zoneName(region, number) })
			}
		case restricts(r, region):
			k.Withheld = "the subscription can't have it in " + region + " (" + string(val(r.ReasonCode)) + ")"
		}
	}
	slices.Sort(k.Zones)
	for _, c := range s.Capabilities {
		if c == nil {
			continue
		}
		switch value := val(c.Value); val(c.Name) {
		case "vCPUs":
			k.VCPUs, _ = strconv.Atoi(value)
		case "MemoryGB":
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				k.MemoryMiB = int(math.Round(n * 1024))
			}
		case "GPUs":
			k.GPUs, _ = strconv.Atoi(value)
		case "CpuArchitectureType":
			k.Arch = architectures[strings.ToLower(value)]
		}
	}
	return k
}

// architectures are Azure's words for processors, in Go's.
var architectures = map[string]string{"x64": "amd64", "arm64": "arm64"}

// restricts says whether a restriction that isn't about zones is about a region.
func restricts(r *armcompute.ResourceSKURestrictions, region string) bool {
	places := vals(r.Values)
	if r.RestrictionInfo != nil {
		places = append(places, vals(r.RestrictionInfo.Locations)...)
	}
	return len(places) == 0 || slices.ContainsFunc(places, func(p string) bool { return sameRegion(p, region) })
}

// unfit says why machines of a type can't come from the image, or be made as they are, empty when they can.
func unfit(s *armcompute.ResourceSKU) string {
	for _, c := range s.Capabilities {
		if c == nil {
			continue
		}
		switch value := val(c.Value); val(c.Name) {
		case "HyperVGenerations":
			if !strings.Contains(value, "V2") {
				return "it boots no image of the second generation, which Skyweld's machines come from"
			}
		case "TrustedLaunchDisabled":
			if strings.EqualFold(value, "True") {
				return "it has no trusted launch, which Skyweld's machines are made with"
			}
		}
	}
	return ""
}

// machineTypes looks at the types of the machines that are to be made.
func (p preflight) machineTypes(ctx context.Context) error {
	for _, w := range p.MachineTypes(func(spec any) (zone, machineType string, ok bool) {
		s, ok := spec.(*MachineSpec)
		if !ok {
			return "", "", false
		}
		return s.Zone, s.Type, true
	}) {
		o, err := p.d.offer(ctx, w.Region)
		if err != nil {
			return p.pass("looking up machine types in "+w.Region, err)
		}
		p.offers[w.Region] = o
		have, all := o.in(w)
		if err := p.Judge("machine type", w, have, func() ([]cloud.MachineType, error) { return all, nil }); err != nil {
			return err
		}
	}
	return nil
}

// in are the types that a region has, and the one that is wanted; nil for one that it hasn't. Machines in no zone can be of
// all of them.
func (o offer) in(w cloud.WantedType) (have *cloud.MachineType, all []cloud.MachineType) {
	for low, k := range o.types {
		t := k.MachineType
		if slices.Contains(w.Zones(), w.Region) {
			t.Zones = append(slices.Clone(t.Zones), w.Region)
		}
		if all = append(all, t); low == strings.ToLower(w.Name) {
			have = &t
		}
	}
	return have, all
}
