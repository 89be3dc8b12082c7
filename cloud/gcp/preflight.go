package gcp

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// Preflight looks whether machine types are offered in their zones and are for our image, whether there is room below the
// limits of the project and its regions, and whether we may make what is asked for.
func (d *Driver) Preflight(ctx context.Context, req cloud.PreflightRequest) (cloud.Findings, error) {
	if len(req.Create) == 0 {
		return cloud.Findings{}, nil
	}
	p := preflight{Ahead: cloud.LookAhead(cloud.GCP, req), d: d, types: map[typeAt]machineKind{}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(gctx) })
	g.Go(func() error {
		if err := p.machineTypes(gctx); err != nil {
			return err
		}
		return p.limits(gctx)
	})
	if err := g.Wait(); err != nil {
		return cloud.Findings{}, failed("look ahead in project "+d.project, err)
	}
	return p.Findings(), nil
}

// preflight is what a plan needs of the project.
type preflight struct {
	*cloud.Ahead
	d     *Driver
	types map[typeAt]machineKind // of what is to be made, and of what goes first
}

// pass tells why something wasn't looked at.
func (p preflight) pass(what string, err error) error {
	if err == nil {
		return nil
	}
	return p.Pass(what, err, classify(err))
}

// permissions looks for those that the kinds in question need.
func (p preflight) permissions(ctx context.Context) error {
	var wanted []string
	for _, name := range slices.Sorted(maps.Keys(permissions)) {
		if len(p.Keys(permissions[name]...)) > 0 {
			wanted = append(wanted, name)
		}
	}
	missing, err := p.d.lacking(ctx, wanted)
	if errors.Is(err, errNotAsked) {
		p.Note("permissions could not be looked at in advance: switch the Cloud Resource Manager API on in project " + p.d.project +
			" for that (gcloud services enable cloudresourcemanager.googleapis.com)")
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range missing {
		p.Lacks("", "permission "+name, "the account lacks it in project "+p.d.project,
			"add it to the account's role (docs/accounts/gcp-role.yaml lists all that Skyweld needs)", permissions[name]...)
	}
	return nil
}

// typeAt is a machine type in a zone.
type typeAt struct{ zone, name string }

// machineKind is what is known of a machine type in a zone.
type machineKind struct {
	cloud.MachineType
	found time.Time
}

// typeMemory is how long it is remembered what a zone offers.
const typeMemory = time.Hour

// machineType looks a type up; ok is false when the zone doesn't offer it.
func (d *Driver) machineType(ctx context.Context, at typeAt) (k machineKind, ok bool, err error) {
	d.mu.Lock()
	k, ok = d.types[at]
	d.mu.Unlock()
	if ok && time.Since(k.found) < typeMemory {
		return k, true, nil
	}
	t, err := d.api.MachineTypes.Get(d.project, at.zone, at.name).Context(ctx).Do()
	if isClass(err, cloud.NotFound) || isClass(err, cloud.Invalid) {
		return machineKind{}, false, nil
	}
	if err != nil {
		return machineKind{}, false, err
	}
	k = machineKind{kindOf(t), time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.types[at] = k
	return k, true, nil
}

// kindOf reads a machine type.
func kindOf(t *compute.MachineType) cloud.MachineType {
	k := cloud.MachineType{Name: t.Name, VCPUs: int(t.GuestCpus), MemoryMiB: int(t.MemoryMb), Arch: architectures[t.Architecture]}
	for _, a := range t.Accelerators {
		k.GPUs += int(a.GuestAcceleratorCount)
	}
	return k
}

// architectures are Google's words for processors, in Go's. A type of which Google says nothing may be anything.
var architectures = map[string]string{"X86_64": "amd64", "ARM64": "arm64"}

// machineTypes looks at the types of the machines that are to be made, and of those that go first.
func (p preflight) machineTypes(ctx context.Context) error {
	for _, o := range p.Replaced {
		s, ok := o.Spec.(*InstanceSpec)
		if !ok {
			continue
		}
		if _, _, err := p.machineType(ctx, typeAt{s.Zone, s.Type}); err != nil {
			return p.pass("looking up machine types", err)
		}
	}
	for _, w := range p.MachineTypes(func(spec any) (zone, machineType string, ok bool) {
		s, ok := spec.(*InstanceSpec)
		if !ok {
			return "", "", false
		}
		return s.Zone, s.Type, true
	}) {
		var have *cloud.MachineType
		for _, zone := range w.Zones() {
			k, ok, err := p.machineType(ctx, typeAt{zone, w.Name})
			if err != nil {
				return p.pass("looking up machine types", err)
			}
			if ok && have == nil {
				have = &k.MachineType
			}
			if ok {
				have.Zones = append(slices.Clone(have.Zones), zone)
			}
		}
		if err := p.judge(ctx, w, have); err != nil {
			return p.pass("looking for the nearest machine types in "+w.Region, err)
		}
	}
	return nil
}

// machineType looks a type up, and remembers it for the quotas.
func (p preflight) machineType(ctx context.Context, at typeAt) (machineKind, bool, error) {
	k, ok, err := p.d.machineType(ctx, at)
	if err == nil && ok {
		p.types[at] = k
	}
	return k, ok, err
}

// judge holds a type against what is known of it in its zones. Only where one of them lacks it, the others are asked too.
func (p preflight) judge(ctx context.Context, w cloud.WantedType, have *cloud.MachineType) error {
	var all []cloud.MachineType
	var err error
	if have == nil || len(have.Zones) < len(w.Zones()) {
		all, err = p.d.typesIn(ctx, w.Region)
		if i := slices.IndexFunc(all, func(t cloud.MachineType) bool { return t.Name == w.Name }); i >= 0 {
			have = &all[i]
		}
	}
	return p.Judge("machine type", w, have, func() ([]cloud.MachineType, error) {
		if all == nil && err == nil {
			all, err = p.d.typesIn(ctx, w.Region)
		}
		return all, err
	})
}

// typesIn lists all machine types of a region with the zones that have them.
func (d *Driver) typesIn(ctx context.Context, region string) ([]cloud.MachineType, error) {
	r, err := d.api.Regions.Get(d.project, region).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	byName := map[string]cloud.MachineType{}
	for _, link := range slices.Sorted(slices.Values(r.Zones)) {
		zone := lastPart(link)
		err := d.api.MachineTypes.List(d.project, zone).MaxResults(pageSize).Pages(ctx, func(page *compute.MachineTypeList) error {
			for _, t := range page.Items {
				k, ok := byName[t.Name]
				if !ok {
					k = kindOf(t)
				}
				k.Zones = append(k.Zones, zone)
				byName[t.Name] = k
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b cloud.MachineType) int { return strings.Compare(a.Name, b.Name) }), nil
}
