package aws

import (
	"context"
	"maps"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// Preflight looks at each region: are the instance types offered in their zones and of the right architecture, is there
// room below the limits, may we make what is asked for. Service Quotas knows the limits, counting what there is the rest.
func (d *Driver) Preflight(ctx context.Context, req cloud.PreflightRequest) (cloud.Findings, error) {
	byRegion := map[string]*cloud.PreflightRequest{}
	for _, r := range req.Create {
		if byRegion[r.Region] == nil {
			byRegion[r.Region] = &cloud.PreflightRequest{Owner: req.Owner, Roles: req.Roles}
		}
		byRegion[r.Region].Create = append(byRegion[r.Region].Create, r)
	}
	for _, o := range req.Replaced {
		if r := byRegion[o.Region]; r != nil {
			r.Replaced = append(r.Replaced, o)
		}
	}
	var f cloud.Findings
	for _, region := range slices.Sorted(maps.Keys(byRegion)) {
		p := preflight{Ahead: cloud.LookAhead(cloud.AWS, *byRegion[region]), d: d, c: d.in(region), region: region, types: map[string]instanceType{}}
		if err := p.look(ctx); err != nil {
			return cloud.Findings{}, failed("look ahead in "+region, d.explainRegion(ctx, region, err))
		}
		found := p.Findings()
		f.Problems, f.Notes = append(f.Problems, found.Problems...), append(f.Notes, found.Notes...)
	}
	f.Sort()
	return f, nil
}

// preflight is what a plan needs of one region.
type preflight struct {
	*cloud.Ahead
	d      *Driver
	c      *ec2.Client
	region string
	types  map[string]instanceType // of what is to be made, and of what goes first
}

// pass tells why something wasn't looked at.
func (p preflight) pass(what string, err error) error {
	if err == nil {
		return nil
	}
	return p.Pass(what+" in "+p.region, during(what, err), classify(err))
}

func (p preflight) look(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.permissions(ctx) })
	g.Go(func() error {
		if err := p.machineTypes(ctx); err != nil {
			return err
		}
		return p.limits(ctx)
	})
	return g.Wait()
}

// permissions tries the actions that make the kinds in question.
func (p preflight) permissions(ctx context.Context) error {
	var from image
	if len(p.Keys(kindInstance)) > 0 {
		var err error
		from, err = p.d.image(ctx, p.region)
		if err != nil && (classify(err).Class != cloud.Denied || classify(err).Credentials) {
			return err
		}
		if err != nil {
			p.lacks("ec2:DescribeImages", kindInstance)
		}
	}
	wanted := slices.DeleteFunc(probes(from.id), func(b probe) bool { return len(p.Keys(b.makes...)) == 0 })
	missing, err := p.d.try(ctx, p.region, wanted)
	if err != nil {
		return during("try the permissions", err)
	}
	for _, b := range missing {
		p.lacks(b.action, b.makes...)
	}
	return nil
}

func (p preflight) lacks(action string, makes ...cloud.Kind) {
	p.Lacks(p.region, "permission "+action, "the account lacks it", "allow it (docs/accounts/aws-policy.json lists all that Skyweld needs)", makes...)
}

// typeOf is the type of an instance that is there.
func typeOf(r cloud.Resource) string {
	if s, ok := r.Spec.(*InstanceSpec); ok {
		return s.Type
	}
	return ""
}

// machineTypes looks at the types of the instances, and remembers their vCPUs for the limits.
func (p preflight) machineTypes(ctx context.Context) error {
	wanted := p.MachineTypes(func(spec any) (zone, machineType string, ok bool) {
		s, ok := spec.(*InstanceSpec)
		if !ok {
			return "", "", false
		}
		return s.Zone, s.Type, true
	})
	names := map[string]bool{}
	for _, w := range wanted {
		names[w.Name] = true
	}
	for _, o := range p.Replaced {
		if s, ok := o.Spec.(*InstanceSpec); ok {
			names[s.Type] = true
		}
	}
	known, err := p.d.typesIn(ctx, p.region, slices.Sorted(maps.Keys(names)))
	if err != nil {
		return p.pass("looking up instance types", err)
	}
	maps.Copy(p.types, known)
	for _, w := range wanted {
		var have *cloud.MachineType
		if t, ok := known[w.Name]; ok {
			have = &t.MachineType
		}
		err := p.Judge("instance type", w, have, func() ([]cloud.MachineType, error) { return p.d.nearby(ctx, p.region, w.Zones()) })
		if err := p.pass("looking for the nearest instance types", err); err != nil {
			return err
		}
	}
	return nil
}

// instanceType is what is known of a type in one region.
type instanceType struct {
	cloud.MachineType
	found time.Time
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
	offers, err := listOffers(ctx, c, filters{"instance-type": ask})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range infos {
		t := kindOf(i)
		t.Zones = offers[i.InstanceType]
		out[t.Name] = instanceType{t, now}
		d.types[region+" "+t.Name] = out[t.Name]
	}
	return out, nil
}

// nearby lists the types that some zones of a region offer, by their names: describing all of them takes a dozen calls.
func (d *Driver) nearby(ctx context.Context, region string, zones []string) ([]cloud.MachineType, error) {
	offers, err := listOffers(ctx, d.in(region), filters{"location": zones})
	var out []cloud.MachineType
	for _, name := range slices.Sorted(maps.Keys(offers)) {
		out = append(out, cloud.MachineType{Name: string(name), Zones: offers[name]})
	}
	return out, err
}

// offersPage is how many offers one answer holds at most; a zone has hundreds.
const offersPage = 1000

// listOffers lists the zones that offer a type, by type.
func listOffers(ctx context.Context, c *ec2.Client, f filters) (map[types.InstanceType][]string, error) {
	list, err := collect(ctx, ec2.NewDescribeInstanceTypeOfferingsPaginator(c, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone, Filters: f.list(), MaxResults: sdk.Int32(offersPage),
	}), func(o *ec2.DescribeInstanceTypeOfferingsOutput) []types.InstanceTypeOffering {
		return o.InstanceTypeOfferings
	})
	if err != nil {
		return nil, during("look up where the instance types are offered", err)
	}
	out := map[types.InstanceType][]string{}
	for _, o := range list {
		out[o.InstanceType] = append(out[o.InstanceType], sdk.ToString(o.Location))
	}
	for _, zones := range out {
		slices.Sort(zones)
	}
	return out, nil
}

// kindOf reads an instance type. One that runs more than one kind of program counts as ours if it runs ours.
func kindOf(i types.InstanceTypeInfo) cloud.MachineType {
	t := cloud.MachineType{Name: string(i.InstanceType)}
	if i.VCpuInfo != nil {
		t.VCPUs = int(sdk.ToInt32(i.VCpuInfo.DefaultVCpus))
	}
	if i.MemoryInfo != nil {
		t.MemoryMiB = int(sdk.ToInt64(i.MemoryInfo.SizeInMiB))
	}
	if i.GpuInfo != nil {
		for _, g := range i.GpuInfo.Gpus {
			t.GPUs += int(sdk.ToInt32(g.Count))
		}
	}
	if i.ProcessorInfo != nil {
		for _, a := range i.ProcessorInfo.SupportedArchitectures {
			if t.Arch != cloud.Architecture {
				t.Arch = architectures[a]
			}
		}
	}
	return t
}

// architectures are EC2's words for processors, in Go's; others (macs, 32 bits) are as foreign to us as they are to Go.
var architectures = map[types.ArchitectureType]string{
	types.ArchitectureTypeX8664: "amd64", types.ArchitectureTypeArm64: "arm64", types.ArchitectureTypeI386: "386",
	types.ArchitectureTypeX8664Mac: "macOS on amd64", types.ArchitectureTypeArm64Mac: "macOS on arm64",
}
