package gcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
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
	p := preflight{d: d, keys: map[cloud.Kind][]string{}, types: map[typeAt]machineKind{}}
	for _, r := range req.Create {
		p.keys[r.Kind] = append(p.keys[r.Kind], r.Key)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(gctx) })
	g.Go(func() error {
		if err := p.machineTypes(gctx, req); err != nil {
			return err
		}
		return p.limits(gctx, req)
	})
	if err := g.Wait(); err != nil {
		return cloud.Findings{}, failed("look ahead in project "+d.project, err)
	}
	p.found.Sort()
	return p.found, nil
}

// preflight is what a plan needs of the project.
type preflight struct {
	d     *Driver
	keys  map[cloud.Kind][]string // of what is to be made
	types map[typeAt]machineKind

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

// permissions looks for those that the kinds in question need.
func (p *preflight) permissions(ctx context.Context) error {
	var wanted []string
	for _, name := range slices.Sorted(maps.Keys(permissions)) {
		if slices.ContainsFunc(permissions[name], func(k cloud.Kind) bool { return len(p.keys[k]) > 0 }) {
			wanted = append(wanted, name)
		}
	}
	missing, err := p.d.lacking(ctx, wanted)
	if errors.Is(err, errNotAsked) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.found.Notes = append(p.found.Notes, "permissions could not be looked at in advance: switch the Cloud Resource Manager API on in project "+p.d.project+
			" for that (gcloud services enable cloudresourcemanager.googleapis.com)")
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range missing {
		q := &cloud.Problem{
			Class: cloud.Denied, Subject: "permission " + name, Message: "the account lacks it in project " + p.d.project,
			Advice: "add it to the account's role (docs/accounts/gcp-role.yaml lists all that Skyweld needs)",
		}
		for _, k := range permissions[name] {
			q.Keys = append(q.Keys, p.keys[k]...)
		}
		p.problem(q)
	}
	return nil
}

// typeAt is a machine type in a zone.
type typeAt struct{ zone, name string }

// machineKind is what is known of a machine type in a zone.
type machineKind struct {
	cpus         int64
	architecture string
	found        time.Time
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
	k = machineKind{cpus: t.GuestCpus, architecture: t.Architecture, found: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.types[at] = k
	return k, true, nil
}

// machineTypes looks at the types of the machines that are to be made, and of those that go first.
func (p *preflight) machineTypes(ctx context.Context, req cloud.PreflightRequest) error {
	keys := map[typeAt][]string{}
	for _, r := range req.Create {
		if s, ok := r.Spec.(*InstanceSpec); ok {
			at := typeAt{s.Zone, s.Type}
			keys[at] = append(keys[at], r.Key)
		}
	}
	for _, o := range req.Replaced {
		if s, ok := o.Spec.(*InstanceSpec); ok {
			if k, ok, err := p.d.machineType(ctx, typeAt{s.Zone, s.Type}); err != nil {
				return p.note("looking up machine types", err)
			} else if ok {
				p.types[typeAt{s.Zone, s.Type}] = k
			}
		}
	}
	wrong := map[string]*cloud.Problem{}
	for _, at := range slices.SortedFunc(maps.Keys(keys), func(a, b typeAt) int { return strings.Compare(a.zone+" "+a.name, b.zone+" "+b.name) }) {
		k, ok, err := p.d.machineType(ctx, at)
		if err == nil && ok {
			p.types[at] = k
		}
		if err != nil {
			return p.note("looking up machine types", err)
		}
		if ok && k.architecture != "ARM64" {
			continue
		}
		id := regionOf(at.zone) + " " + at.name
		if q := wrong[id]; q != nil {
			q.Keys = append(q.Keys, keys[at]...)
			continue
		}
		q := &cloud.Problem{
			Class: cloud.Invalid, Region: regionOf(at.zone), Subject: "machine type " + at.name, Keys: keys[at], Advice: "ask for another size",
			Message: "it is for ARM64; Skyweld's machines are X86_64",
		}
		if !ok {
			if q.Message, err = p.d.notOffered(ctx, at); err != nil {
				return p.note("looking up machine types", err)
			}
		}
		wrong[id] = q
	}
	for _, id := range slices.Sorted(maps.Keys(wrong)) {
		p.problem(wrong[id])
	}
	return nil
}

// notOffered says of a type that a zone lacks where the region has it, or what comes nearest to it.
func (d *Driver) notOffered(ctx context.Context, at typeAt) (string, error) {
	region, err := d.api.Regions.Get(d.project, regionOf(at.zone)).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	var zones []string
	for _, link := range region.Zones {
		if _, ok, err := d.machineType(ctx, typeAt{lastPart(link), at.name}); err != nil {
			return "", err
		} else if ok {
			zones = append(zones, lastPart(link))
		}
	}
	slices.Sort(zones)
	if len(zones) > 0 {
		return fmt.Sprintf("it is not offered in %s, only in %s", at.zone, strings.Join(zones, ", ")), nil
	}
	var known []string
	err = d.api.MachineTypes.List(d.project, at.zone).MaxResults(pageSize).Pages(ctx, func(p *compute.MachineTypeList) error {
		for _, t := range p.Items {
			known = append(known, t.Name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s has no such type; the nearest are %s", regionOf(at.zone), strings.Join(cloud.NearestTypes(at.name, "-", known, 5), ", ")), nil
}
