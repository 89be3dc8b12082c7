package fleet_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/spec"
)

// BenchmarkObserveCalls counts the calls by which a run learns that nothing has changed, beside one call for each
// resource. It may grow by pages only. What it reports besides is how long a look takes at the lab's APIs.
func BenchmarkObserveCalls(b *testing.B) {
	for _, provider := range providers {
		b.Run(string(provider), func(b *testing.B) {
			for _, nodes := range []int{6, 60, 600} {
				b.Run(fmt.Sprintf("%dnodes", nodes), func(b *testing.B) { observeCalls(b, provider, nodes) })
			}
		})
	}
}

func observeCalls(b *testing.B, provider cloud.Provider, nodes int) {
	var calls atomic.Int64
	l := newLab(b, provider, pools(), nil)
	d := newDriver(b, l.account, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			calls.Add(1)
			return next.RoundTrip(r)
		})
	})
	built, err := cloudtest.Build(b.Context(), d, cloudtest.TestOwner, siteOf(b, provider, l.region, nodes))
	if err != nil {
		b.Fatal(err)
	}
	calls.Store(0)
	var there int
	for b.Loop() {
		objects, err := d.Observe(b.Context(), cloudtest.TestOwner.UID, l.region)
		if err != nil {
			b.Fatal(err)
		}
		there = len(objects)
	}
	if there < len(built.Resources) {
		b.Errorf("%d things were seen of %d", there, len(built.Resources))
	}
	b.ReportMetric(float64(calls.Load())/float64(b.N), "calls/run")
	b.ReportMetric(float64(len(built.Resources)), "calls-one-by-one/run")
}

// siteOf is a site of one cloud with so many nodes, three of them of the control plane.
func siteOf(b *testing.B, provider cloud.Provider, region string, nodes int) cloud.Site {
	b.Helper()
	place, ok := geo.Region(string(provider), region)
	if !ok {
		b.Fatalf("%s has no region %s", provider, region)
	}
	zones := place.Zones[:min(3, len(place.Zones))]
	if len(zones) == 0 {
		zones = []string{region}
	}
	c := &spec.Cluster{Metadata: spec.Metadata{Name: template}}
	c.Spec.Sites = []spec.Site{{Name: "one", Account: "one", Region: region}}
	c.Spec.ControlPlane.Replicas = 3
	for left, i := nodes-3, 0; left > 0; left, i = left-100, i+1 {
		count := min(left, 100)
		c.Spec.Workers = append(c.Spec.Workers, spec.Workers{Name: fmt.Sprintf("w%d", i), Site: "one", Size: "small", Count: &count})
	}
	spec.Default(c)
	list, err := spec.Nodes(c, map[string]int{"one": len(zones)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	site := cloud.Site{Name: "one", Region: region, Zones: zones, Block: c.Spec.Sites[0].Block, Pods: c.Spec.Network.Pods, TunnelPort: mesh.DefaultPort,
		APIAccess: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, SSHAccess: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}}
	for _, n := range list {
		site.Machines = append(site.Machines, cloud.Machine{Name: n.Name, Role: cloud.Role(n.Role), Size: n.Size, Zone: zones[n.Zone%len(zones)], Address: n.Address, DiskGiB: 40})
	}
	return site
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
