package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// Preflight looks at each region: are the instance types offered in their zones and of the right architecture, is there
// room below the limits, may we make what is asked for.
func (d *Driver) Preflight(ctx context.Context, req cloud.PreflightRequest) (cloud.Findings, error) {
	byRegion := map[string]*preflight{}
	at := func(region string) *preflight {
		if byRegion[region] == nil {
			byRegion[region] = &preflight{d: d, c: d.in(region), region: region, keys: map[cloud.Kind][]string{}, spare: map[cloud.Kind]int{}}
		}
		return byRegion[region]
	}
	for _, r := range req.Create {
		p := at(r.Region)
		p.keys[r.Kind] = append(p.keys[r.Kind], r.Key)
		if s, ok := r.Spec.(*InstanceSpec); ok {
			p.machines = append(p.machines, wantedMachine{r.Key, s.Type, s.Zone})
		}
	}
	for _, o := range req.Replaced {
		p := at(o.Region)
		p.spare[o.Kind]++
		if o.Kind == kindInstance && o.State != cloud.Stopped && o.State != cloud.Gone {
			p.freed = append(p.freed, typeOf(o))
		}
	}
	var f cloud.Findings
	for _, region := range slices.Sorted(maps.Keys(byRegion)) {
		p := byRegion[region]
		if len(p.keys) == 0 {
			continue
		}
		if err := p.look(ctx); err != nil {
			return cloud.Findings{}, failed("look ahead in "+region, d.explainRegion(ctx, region, err))
		}
		f.Problems, f.Notes = append(f.Problems, p.found.Problems...), append(f.Notes, p.found.Notes...)
	}
	f.Sort()
	return f, nil
}

func typeOf(o cloud.Object) string {
	if s, ok := o.Spec.(*InstanceSpec); ok {
		return s.Type
	}
	if o.Machine != nil {
		return o.Machine.Type
	}
	return ""
}

// wantedMachine is an instance that is to be made.
type wantedMachine struct{ key, kind, zone string }

// preflight is what a plan needs of one region.
type preflight struct {
	d        *Driver
	c        *ec2.Client
	region   string
	keys     map[cloud.Kind][]string // of what is to be made
	spare    map[cloud.Kind]int      // how many of a kind go first
	machines []wantedMachine
	freed    []string // types of instances that go first

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
		return during(what, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Notes = append(p.found.Notes, fmt.Sprintf("%s in %s was not possible: %s", what, p.region, e.Message))
	return nil
}

func (p *preflight) look(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lists)
	g.Go(func() error { return p.permissions(ctx) })
	for _, l := range limits {
		g.Go(func() error { return p.limit(ctx, l) })
	}
	if len(p.machines) > 0 {
		g.Go(func() error { return p.machineTypes(ctx) })
	}
	return g.Wait()
}

// permissions tries the actions that make the kinds in question.
func (p *preflight) permissions(ctx context.Context) error {
	var from image
	if len(p.machines) > 0 {
		var err error
		from, err = p.d.image(ctx, p.region)
		if err != nil && (classify(err).Class != cloud.Denied || classify(err).Credentials) {
			return err
		}
		if err != nil {
			p.problem(p.lacks("ec2:DescribeImages", kindInstance))
		}
	}
	wanted := slices.DeleteFunc(probes(from.id), func(b probe) bool {
		return !slices.ContainsFunc(b.makes, func(k cloud.Kind) bool { return len(p.keys[k]) > 0 })
	})
	missing, err := p.d.try(ctx, p.region, wanted)
	if err != nil {
		return during("try the permissions", err)
	}
	for _, b := range missing {
		p.problem(p.lacks(b.action, b.makes...))
	}
	return nil
}

func (p *preflight) lacks(action string, makes ...cloud.Kind) *cloud.Problem {
	q := &cloud.Problem{
		Class: cloud.Denied, Region: p.region, Subject: "permission " + action, Message: "the account lacks it",
		Advice: "allow it (docs/accounts/aws-policy.json lists all that Skyweld needs)",
	}
	for _, k := range makes {
		q.Keys = append(q.Keys, p.keys[k]...)
	}
	return q
}

// machineTypes looks at the types of the instances, and at the vCPUs they need.
func (p *preflight) machineTypes(ctx context.Context) error {
	names := map[string]bool{}
	for _, m := range p.machines {
		names[m.kind] = true
	}
	known, err := p.d.typesIn(ctx, p.region, slices.Sorted(maps.Keys(names)))
	if err != nil {
		return p.note("looking up instance types", err)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := p.machineType(ctx, name, known); err != nil {
			return err
		}
	}
	return p.vcpus(ctx, known)
}

// machineType says what is wrong with a type as it is asked for.
func (p *preflight) machineType(ctx context.Context, name string, known map[string]instanceType) error {
	q := &cloud.Problem{Class: cloud.Invalid, Region: p.region, Subject: "instance type " + name, Advice: "ask for another size"}
	t, ok := known[name]
	if !ok {
		nearest, err := p.d.nearest(ctx, p.region, name)
		if err != nil {
			return p.note("looking up instance types", err)
		}
		q.Message = fmt.Sprintf("%s has no such type; the nearest are %s", p.region, strings.Join(nearest, ", "))
	} else if !slices.Contains(t.architectures, types.ArchitectureType(imageArchitecture)) {
		q.Message = fmt.Sprintf("it is for %s; Skyweld's machines are %s", strings.Trim(fmt.Sprint(t.architectures), "[]"), imageArchitecture)
	}
	var nowhere []string
	for _, m := range p.machines {
		if m.kind != name {
			continue
		}
		if q.Message != "" || !slices.Contains(t.zones, m.zone) {
			q.Keys = append(q.Keys, m.key)
			nowhere = append(nowhere, m.zone)
		}
	}
	if len(nowhere) == 0 {
		return nil
	}
	if q.Message == "" {
		slices.Sort(nowhere)
		q.Message = fmt.Sprintf("it is not offered in %s, only in %s", strings.Join(slices.Compact(nowhere), ", "), strings.Join(t.zones, ", "))
	}
	p.problem(q)
	return nil
}

// instanceType is what is known of a type in one region.
type instanceType struct {
	vcpus         int
	architectures []types.ArchitectureType
	zones         []string // that offer it, sorted
	found         time.Time
}

// typeMemory is how long it is remembered what a region offers: that changes in weeks.
const typeMemory = time.Hour

// typesIn looks up types in a region; those it doesn't have are left out.
func (d *Driver) typesIn(ctx context.Context, region string, names []string) (map[string]instanceType, error) {
	out := map[string]instanceType{}
	var ask []string
	d.mu.Lock()
	for _, name := range names {
		if t, ok := d.types[region+" "+name]; ok && time.Since(t.found) < typeMemory {
			out[name] = t
		} else {
			ask = append(ask, name)
		}
	}
	d.mu.Unlock()
	if len(ask) == 0 {
		return out, nil
	}
	c := d.in(region)
	infos, err := collect(ctx, ec2.NewDescribeInstanceTypesPaginator(c, &ec2.DescribeInstanceTypesInput{Filters: filters{"instance-type": ask}.list()}),
		func(o *ec2.DescribeInstanceTypesOutput) []types.InstanceTypeInfo { return o.InstanceTypes })
	if err != nil {
		return nil, during("look up the instance types", err)
	}
	offers, err := collect(ctx, ec2.NewDescribeInstanceTypeOfferingsPaginator(c, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone, Filters: filters{"instance-type": ask}.list(),
	}), func(o *ec2.DescribeInstanceTypeOfferingsOutput) []types.InstanceTypeOffering {
		return o.InstanceTypeOfferings
	})
	if err != nil {
		return nil, during("look up where the instance types are offered", err)
	}
	now := time.Now()
	for _, i := range infos {
		t := instanceType{found: now}
		if i.VCpuInfo != nil {
			t.vcpus = int(sdk.ToInt32(i.VCpuInfo.DefaultVCpus))
		}
		if i.ProcessorInfo != nil {
			t.architectures = i.ProcessorInfo.SupportedArchitectures
		}
		for _, o := range offers {
			if o.InstanceType == i.InstanceType {
				t.zones = append(t.zones, sdk.ToString(o.Location))
			}
		}
		slices.Sort(t.zones)
		out[string(i.InstanceType)] = t
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, t := range out {
		d.types[region+" "+name] = t
	}
	return out, nil
}

// nearest lists the types of a region that somebody who wrote name may have meant.
func (d *Driver) nearest(ctx context.Context, region, name string) ([]string, error) {
	offers, err := collect(ctx, ec2.NewDescribeInstanceTypeOfferingsPaginator(d.in(region), &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeRegion, MaxResults: sdk.Int32(1000),
	}), func(o *ec2.DescribeInstanceTypeOfferingsOutput) []types.InstanceTypeOffering {
		return o.InstanceTypeOfferings
	})
	if err != nil {
		return nil, during("list the instance types", err)
	}
	var known []string
	for _, o := range offers {
		known = append(known, string(o.InstanceType))
	}
	return cloud.NearestTypes(name, ".", known, 5), nil
}
