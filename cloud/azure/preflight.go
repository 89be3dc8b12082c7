package azure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	p := preflight{d: d, keys: map[cloud.Kind][]string{}, offers: map[string]offer{}}
	for _, r := range req.Create {
		p.keys[r.Kind] = append(p.keys[r.Kind], r.Key)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(gctx, req.Create[0].Region) })
	g.Go(func() error {
		if err := p.machineTypes(gctx, req); err != nil {
			return err
		}
		return p.limits(gctx, req)
	})
	if err := g.Wait(); err != nil {
		return cloud.Findings{}, failed("look ahead in subscription "+d.subscription, err)
	}
	p.found.Sort()
	return p.found, nil
}

// preflight is what a plan needs of the subscription.
type preflight struct {
	d      *Driver
	keys   map[cloud.Kind][]string // of what is to be made
	offers map[string]offer        // by region; none where it couldn't be looked up

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
	if err := notAnswered(err); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Notes = append(p.found.Notes, fmt.Sprintf("%s was not possible: %s", what, classify(err).Message))
	return nil
}

// permissions looks for those that the kinds in question need, as far as they can be tried, and for providers that aren't
// registered.
func (p *preflight) permissions(ctx context.Context, region string) error {
	missing, err := p.d.lacking(ctx, region, func(b probe) bool {
		return slices.ContainsFunc(permissions[b.action], func(k cloud.Kind) bool { return len(p.keys[k]) > 0 })
	})
	if err != nil {
		return err
	}
	for _, m := range missing {
		q := &cloud.Problem{
			Class: cloud.Denied, Subject: "permission " + m.Action, Message: "the account lacks it in subscription " + p.d.subscription,
			Advice: "add it to the account's role (docs/accounts/azure-role.json lists all that Skyweld needs)",
		}
		for _, k := range permissions[m.Action] {
			q.Keys = append(q.Keys, p.keys[k]...)
		}
		p.problem(q)
	}
	spaces, err := p.d.unregistered(ctx)
	if err != nil {
		return err
	}
	for _, s := range spaces {
		p.problem(&cloud.Problem{
			Class: cloud.Denied, Subject: "resource provider " + s, Message: "subscription " + p.d.subscription + " isn't registered for it",
			Advice: "register it once: az provider register --namespace " + s,
		})
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
	name   string
	family string // as the quota is called
	cpus   float64
	zones  []string // where it can be had now
	whole  bool     // in the region at all
	why    string   // why not, where Azure says so
	arm    bool
	gen2   bool
	plain  bool // without trusted launch
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

// kindOf reads what a list of SKUs says about a machine type.
func kindOf(s *armcompute.ResourceSKU, region string) machineKind {
	k := machineKind{name: val(s.Name), family: val(s.Family), whole: true, gen2: true}
	for _, l := range s.LocationInfo {
		if l != nil && sameRegion(val(l.Location), region) {
			k.zones = append(k.zones, vals(l.Zones)...)
		}
	}
	for _, r := range s.Restrictions {
		if r == nil {
			continue
		}
		k.why = string(val(r.ReasonCode))
		if val(r.Type) == armcompute.ResourceSKURestrictionsTypeZone && r.RestrictionInfo != nil {
			out := vals(r.RestrictionInfo.Zones)
			k.zones = slices.DeleteFunc(k.zones, func(z string) bool { return slices.Contains(out, z) })
		} else {
			k.whole = false
		}
	}
	slices.Sort(k.zones)
	for _, c := range s.Capabilities {
		if c == nil {
			continue
		}
		switch value := val(c.Value); val(c.Name) {
		case "vCPUs":
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				k.cpus = n
			}
		case "CpuArchitectureType":
			k.arm = strings.EqualFold(value, "Arm64")
		case "HyperVGenerations":
			k.gen2 = strings.Contains(value, "V2")
		case "TrustedLaunchDisabled":
			k.plain = strings.EqualFold(value, "True")
		}
	}
	return k
}

// machineTypes looks at the types of the machines that are to be made.
func (p *preflight) machineTypes(ctx context.Context, req cloud.PreflightRequest) error {
	type where struct{ region, zone, name string }
	keys := map[where][]string{}
	for _, r := range req.Create {
		if s, ok := r.Spec.(*MachineSpec); ok {
			at := where{r.Region, s.Zone, s.Type}
			keys[at] = append(keys[at], r.Key)
		}
	}
	problems := map[string]*cloud.Problem{}
	for _, at := range slices.SortedFunc(maps.Keys(keys), func(a, b where) int {
		return strings.Compare(a.region+" "+a.name+" "+a.zone, b.region+" "+b.name+" "+b.zone)
	}) {
		o, err := p.d.offer(ctx, at.region)
		if err != nil {
			return p.note("looking up machine types in "+at.region, err)
		}
		p.offers[at.region] = o
		what := o.wrong(at.region, at.zone, at.name)
		if what == "" {
			continue
		}
		id := at.region + " " + at.name
		if q := problems[id]; q != nil {
			q.Keys = append(q.Keys, keys[at]...)
			continue
		}
		problems[id] = &cloud.Problem{
			Class: cloud.Invalid, Region: at.region, Subject: "machine type " + at.name, Keys: keys[at], Message: what, Advice: "ask for another size",
		}
	}
	for _, id := range slices.Sorted(maps.Keys(problems)) {
		p.problem(problems[id])
	}
	return nil
}

// wrong says why a machine type can't be had in a zone, empty when it can.
func (o offer) wrong(region, zone, name string) string {
	k, ok := o.types[strings.ToLower(name)]
	switch {
	case !ok:
		return region + " has no such type; the nearest are " + strings.Join(o.nearest(name), ", ")
	case k.arm:
		return "it is for ARM; Skyweld's machines are x86-64"
	case !k.gen2:
		return "it boots no image of the second generation, which Skyweld's machines come from"
	case k.plain:
		return "it has no trusted launch, which Skyweld's machines are made with"
	case !k.whole:
		return fmt.Sprintf("the subscription can't have it in %s (%s); the nearest are %s", region, k.why, strings.Join(o.nearest(name), ", "))
	case zone != region && !slices.Contains(k.zones, zone):
		if len(k.zones) == 0 {
			return fmt.Sprintf("it is not offered in the zones of %s; the nearest are %s", region, strings.Join(o.nearest(name), ", "))
		}
		return fmt.Sprintf("it is not offered in zone %s of %s, only in %s", zone, region, strings.Join(k.zones, ", "))
	}
	return ""
}

// nearest are those of the types that could be meant, and had.
func (o offer) nearest(name string) []string {
	var known []string
	for low, k := range o.types {
		if k.whole && k.gen2 && !k.arm && !k.plain && low != strings.ToLower(name) {
			known = append(known, k.name)
		}
	}
	slices.Sort(known)
	return cloud.NearestTypes(name, "_v", known, 5)
}
