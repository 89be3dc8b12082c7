package plan_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/plan"
)

// BenchmarkMake plans for a cluster of 600 nodes at four sites: with nothing to do, and with one machine gone, which every
// other node's config knows of.
func BenchmarkMake(b *testing.B) {
	for _, gone := range []int{0, 1} {
		b.Run(fmt.Sprintf("600nodes/%dgone", gone), func(b *testing.B) {
			in := large(b, 600)
			steps := 0
			if gone > 0 {
				in.Got = in.Got[:len(in.Got)-1]
				in.Nodes[len(in.Nodes)-1].Current = false
			}
			for b.Loop() {
				g, err := plan.Make(in)
				if err != nil {
					b.Fatal(err)
				}
				steps = len(g.Steps)
			}
			if (steps > 0) != (gone > 0) {
				b.Errorf("%d steps", steps)
			}
			b.ReportMetric(float64(steps), "steps")
			b.ReportMetric(float64(len(in.Want)), "resources")
		})
	}
}

// large is a cluster as it should be.
func large(b *testing.B, nodes int) plan.Input {
	b.Helper()
	in := plan.Input{Kinds: map[string][]cloud.KindInfo{}, Initialized: true}
	const sites = 4
	for s := range sites {
		name, zones := fmt.Sprintf("site%d", s), []string{"a", "b", "c"}
		d := cloudtest.New(cloudtest.Options{Provider: cloud.AWS, Regions: map[string][]string{"here": zones}})
		site := cloudtest.DefaultSite(name, "here", zones)
		site.Machines = nil
		address := netip.MustParseAddr("10.64.0.10")
		for i := range nodes / sites {
			role := cloud.Worker
			if i == 0 && s < 3 {
				role = cloud.ControlPlane
			}
			address = address.Next()
			site.Machines = append(site.Machines, cloud.Machine{Name: fmt.Sprintf("%s-n%d", name, i), Role: role, Size: "small", Zone: zones[i%3], Address: address, DiskGiB: 40})
		}
		list, err := d.Blueprint(cloudtest.TestOwner, site)
		if err != nil {
			b.Fatal(err)
		}
		in.Kinds[name] = d.Kinds()
		machine := map[string]cloud.Resource{}
		for _, r := range list {
			in.Want = append(in.Want, r)
			in.Got = append(in.Got, plan.Observed{Site: name, Recorded: true, Object: cloud.Object{
				Key: r.Key, Cluster: cloudtest.TestOwner.UID, Kind: r.Kind, Region: "here", ID: "id-" + r.Key, State: cloud.Ready, Spec: r.Spec,
			}})
			if r.Kind == cloudtest.KindMachine {
				machine[r.Machine] = r
			}
		}
		for _, m := range site.Machines {
			in.Nodes = append(in.Nodes, plan.Node{
				Name: m.Name, Site: name, Role: m.Role, Machine: machine[m.Name].Key, Wanted: true, Prepared: "id-" + machine[m.Name].Key,
				Registered: true, Current: true, Ready: true,
			})
		}
	}
	return in
}
