package conformance_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/plan"
)

// laidOut is a site of one of the drivers.
type laidOut struct {
	cloud string
	d     cloud.Driver
	site  cloud.Site
	list  []cloud.Resource
	reach map[string]map[string]bool
	needs map[string][]string // what each depends on itself
}

// drawSite draws a site with up to six machines in up to three zones.
func drawSite(t *rapid.T, cloudName string) laidOut {
	l := laidOut{cloud: cloudName}
	region, zones := "", []string(nil)
	switch cloudName {
	case teardown.AWS:
		l.d, region, zones = (*aws.Driver)(nil), awsRegion, []string{"us-east-1a", "us-east-1b", "us-east-1c"}
	case teardown.GCP:
		l.d, region, zones = (*gcp.Driver)(nil), gcpRegion, gcpZones
	case teardown.Azure:
		l.d, region, zones = (*azure.Driver)(nil), azureRegion, azureZones
	case teardown.DigitalOcean:
		l.d, region, zones = (*digitalocean.Driver)(nil), doRegion, []string{doRegion}
	}
	zones = zones[:rapid.IntRange(1, len(zones)).Draw(t, "zones")]
	l.site = cloudtest.DefaultSite(cloudName, region, zones)
	l.site.Machines = nil
	for i := range rapid.IntRange(0, 6).Draw(t, "machines") {
		zone := rapid.IntRange(0, len(zones)-1).Draw(t, "zone")
		l.site.Machines = append(l.site.Machines, cloud.Machine{
			Name: fmt.Sprintf("%s-%d", cloudName, i), Size: "small", Zone: zones[zone], DiskGiB: 20,
			Role:    rapid.SampledFrom([]cloud.Role{cloud.ControlPlane, cloud.Worker}).Draw(t, "role"),
			Address: netip.AddrFrom4([4]byte{10, 64, byte(zone * 16), byte(10 + i)}),
		})
	}
	return l.layOut(t)
}

func (l laidOut) layOut(t *rapid.T) laidOut {
	var err error
	if l.list, err = l.d.Blueprint(cloudtest.TestOwner, l.site); err != nil {
		t.Fatal(err)
	}
	l.reach, l.needs = cloudtest.Reach(l.list), map[string][]string{}
	for _, r := range l.list {
		l.needs[r.Key] = r.DependsOn
	}
	return l
}

// smaller is the site without some of its machines.
func (l laidOut) smaller(t *rapid.T) laidOut {
	l.site.Machines = slices.DeleteFunc(slices.Clone(l.site.Machines), func(cloud.Machine) bool { return rapid.Bool().Draw(t, "retire") })
	return l.layOut(t)
}

// made are the objects of resources, as the ledger has them.
func made(list []cloud.Resource) []plan.Observed {
	var out []plan.Observed
	for _, r := range list {
		out = append(out, plan.Observed{Site: r.Site, Recorded: true, Object: cloud.Object{
			Key: r.Key, Kind: r.Kind, Region: r.Region, ID: "id-of-" + r.Key, State: cloud.Ready, Spec: r.Spec, Cluster: cloudtest.TestOwner.UID,
		}})
	}
	return out
}

// some leaves out a few: a deletion may begin when only a part was made, or is left.
func some(t *rapid.T, list []plan.Observed) []plan.Observed {
	return slices.DeleteFunc(list, func(plan.Observed) bool { return rapid.IntRange(0, 4).Draw(t, "lost") == 0 })
}

// ordered checks a plan by the table: what is in the way of a deletion is deleted in a step before, and what a creation
// needs is made in a step before. It returns how many pairs it has compared, by cloud.
func ordered(t *rapid.T, in plan.Input, rows []teardown.Row, sites ...laidOut) map[string]int {
	compared := map[string]int{}
	g, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	deletes, creates := map[string]string{}, map[string]string{}
	before := map[string]map[string]bool{} // a step's own ID, and those of all that come before it
	for _, s := range g.Steps {
		before[s.ID] = map[string]bool{s.ID: true}
		for _, d := range s.DependsOn {
			maps.Copy(before[s.ID], before[d])
		}
		if s.Action == plan.Delete || s.Action == plan.Replace {
			deletes[s.Key] = s.ID
		}
		if s.Action == plan.Create || s.Action == plan.Replace {
			creates[s.Key] = s.ID
		}
	}
	there := map[string]bool{}
	for _, o := range in.Got {
		there[o.Key] = true
	}
	for _, site := range sites {
		for _, row := range teardown.Of(rows, site.cloud) {
			if row.Driver != teardown.Order || row.Code == teardown.Stays {
				continue
			}
			for resource, other := range site.pairs(row) {
				steps := deletes
				if row.Creation {
					steps = creates
				}
				step := steps[resource]
				if step == "" || !row.Creation && !there[other] || row.Creation && steps[other] == "" {
					continue
				}
				first := steps[other]
				if first == "" && !slices.Contains(site.needs[other], resource) {
					continue // it stays, and uses another of that kind
				}
				compared[site.cloud]++
				if first == "" || first == step || !before[step][first] {
					t.Fatalf("row %s: the step %s doesn't wait for %q", row.ID, step, first)
				}
			}
		}
	}
	return compared
}

// pairs are the resources that a row is about: those of a deletion as far as one depends on the other, be it through others,
// those of a creation as far as one refers to the other.
func (l laidOut) pairs(row teardown.Row) func(func(resource, other string) bool) {
	return func(yield func(resource, other string) bool) {
		for _, r := range l.list {
			for _, o := range l.list {
				related := l.reach[o.Key][r.Key]
				if row.Creation {
					related = slices.Contains(r.DependsOn, o.Key)
				}
				if string(r.Kind) == row.Resource && string(o.Kind) == row.Other && related && !yield(r.Key, o.Key) {
					return
				}
			}
		}
	}
}

// TestPlansFollowTeardownTable draws a site at each cloud and plans their creation, their deletion from any state, their
// shrinking, and the replacement of each of their resources.
func TestPlansFollowTeardownTable(t *testing.T) {
	rows := teardown.Rows(t)
	compared := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		var sites []laidOut
		var all, fewer []cloud.Resource
		in := plan.Input{Kinds: map[string][]cloud.KindInfo{}}
		for _, name := range []string{teardown.AWS, teardown.GCP, teardown.Azure, teardown.DigitalOcean} {
			s := drawSite(t, name)
			sites, all, fewer = append(sites, s), append(all, s.list...), append(fewer, s.smaller(t).list...)
			in.Kinds[s.site.Name] = s.d.Kinds()
		}
		follow := func(what string, sites ...laidOut) {
			for name, n := range ordered(t, in, rows, sites...) {
				compared[what] += n
				compared[name] += n
			}
		}
		in.Want = all
		follow("creation", sites...)
		in.Got = some(t, made(all))
		follow("repair", sites...)

		in.Want, in.Deleting = nil, true
		follow("deletion", sites...)

		in.Deleting, in.Got, in.Want = false, some(t, made(all)), fewer
		follow("shrinking", sites...)

		for _, s := range sites {
			in.Want = s.list
			for i, r := range s.list {
				in.Got = made(s.list)
				in.Got[i].Spec = changed(t, r, in.Kinds[r.Site])
				follow("replacement", s)
			}
		}
	})
	for _, what := range []string{"creation", "repair", "deletion", "shrinking", "replacement", teardown.AWS, teardown.GCP, teardown.Azure, teardown.DigitalOcean} {
		if compared[what] == 0 {
			t.Errorf("no order was compared in any %s", what)
		}
	}
	t.Logf("pairs compared: %v", compared)
}

// changed is a spec in which one field is another. Only machines and associations differ in fields that can't be changed in
// place: of all else, neither the clouds nor a cluster's spec let anybody change those.
func changed(t *rapid.T, r cloud.Resource, kinds []cloud.KindInfo) any {
	text, err := json.Marshal(r.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	info := kinds[slices.IndexFunc(kinds, func(k cloud.KindInfo) bool { return k.Kind == r.Kind })]
	names := info.Mutable
	if info.Machine || r.Kind == "address-association" {
		names = slices.Sorted(maps.Keys(fields))
	}
	if len(names) > 0 {
		fields[rapid.SampledFrom(names).Draw(t, "field")] = "changed"
	}
	return fields
}
