package gcp

import (
	"flag"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

var update = flag.Bool("update", false, "write the golden files")

var zones = []string{"us-east4-a", "us-east4-b", "us-east4-c"}

func TestBlueprintGolden(t *testing.T) {
	site := cloudtest.DefaultSite("gcp", "us-east4", zones)
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.Golden(t, *update, "blueprint.json", list)
}

// TestInsertGolden holds the bodies of the creating calls.
func TestInsertGolden(t *testing.T) {
	site := cloudtest.DefaultSite("gcp", "us-east4", zones)
	d := &Driver{project: "demo"}
	list, err := d.Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	refs := map[string]cloud.Object{
		"gcp-network":      {ID: "projects/demo/global/networks/n#1"},
		"gcp-subnet":       {ID: "projects/demo/regions/us-east4/subnetworks/s#2"},
		"gcp-ip-conf-cp-1": {ID: "projects/demo/regions/us-east4/addresses/a#3", Address: netip.MustParseAddr("192.0.2.1")},
		"gcp-ip-conf-cp-2": {ID: "projects/demo/regions/us-east4/addresses/b#4", Address: netip.MustParseAddr("192.0.2.2")},
	}
	bodies := map[string]any{}
	for _, r := range list {
		w, err := d.work(cloudtest.TestOwner, r, refs)
		if err != nil {
			t.Fatal(err)
		}
		w.userData = []byte("#cloud-config\n")
		switch s := w.want.(type) {
		case *SubnetworkSpec:
			bodies[r.Key], err = w.subnetworkBody(s)
		case *FirewallSpec:
			bodies[r.Key], err = w.firewallBody(s)
		case *InstanceSpec:
			bodies[r.Key], err = w.instanceBody(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cloudtest.Golden(t, *update, "bodies.json", bodies)
}

func TestBlueprintRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*cloud.Site){
		"network address":   func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.0.0") },
		"gateway":           func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.0.1") },
		"last but one":      func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.255.254") },
		"last":              func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.255.255") },
		"zone elsewhere":    func(s *cloud.Site) { s.Zones = append(s.Zones, "us-west1-a") },
		"unknown zone":      func(s *cloud.Site) { s.Machines[0].Zone = "us-east4-z" },
		"small disk":        func(s *cloud.Site) { s.Machines[0].DiskGiB = 9 },
		"no size":           func(s *cloud.Site) { s.Machines[0].Size = "" },
		"size with a slash": func(s *cloud.Site) { s.Machines[0].Size = "../e2-micro" },
		"ARM":               func(s *cloud.Site) { s.Machines[0].Size = "t2a-standard-4" },
		"no tunnel":         func(s *cloud.Site) { s.TunnelPort = 0 },
		"site name":         func(s *cloud.Site) { s.Name = "GCP!" },
		"IPv6 block":        func(s *cloud.Site) { s.Block = netip.MustParsePrefix("fd00::/48") },
		"tiny block":        func(s *cloud.Site) { s.Block = netip.MustParsePrefix("10.64.0.0/30") },
	} {
		site := cloudtest.DefaultSite("gcp", "us-east4", slices.Clone(zones))
		spoil(&site)
		if _, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site); cloud.ClassOf(err) != cloud.Invalid {
			t.Errorf("%s: error %v, want class invalid", name, err)
		}
	}
}

// TestNamesHold draws names of every length: keys stay valid and unique, and names and tags fit Google's rules.
func TestNamesHold(t *testing.T) {
	label := regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,47}[a-z0-9]`)
		site := cloudtest.DefaultSite(name.Draw(t, "site"), "us-east4", zones)
		prefix := name.Draw(t, "machine")
		for i := range site.Machines {
			site.Machines[i].Name = fmt.Sprint(prefix, "-", i)
		}
		list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		take := func(key string) {
			if err := cloud.CheckKey(key); err != nil || seen[key] {
				t.Fatalf("key %q: %v, or twice", key, err)
			}
			seen[key] = true
			if n := cloudtest.TestOwner.ResourceName(key); !label.MatchString(n) {
				t.Fatalf("name %q", n)
			}
		}
		for _, r := range list {
			take(r.Key)
			if s, ok := r.Spec.(*InstanceSpec); ok {
				take(diskKey(r))
				for _, tag := range s.Tags {
					if !label.MatchString(tag) {
						t.Fatalf("tag %q", tag)
					}
				}
			}
		}
	})
}

// TestNoRuleForNobody: Google lets everybody in by a rule without sources.
func TestNoRuleForNobody(t *testing.T) {
	site := cloudtest.DefaultSite("gcp", "us-east4", zones)
	site.APIAccess, site.SSHAccess = nil, []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	d := &Driver{project: "demo"}
	list, err := d.Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		s, ok := r.Spec.(*FirewallSpec)
		if !ok {
			continue
		}
		if len(s.Sources)+len(s.SourceTags) == 0 || strings.HasSuffix(r.Key, "-api") || strings.HasSuffix(r.Key, "-ssh") {
			t.Errorf("%s lets in from %v and %v", r.Key, s.Sources, s.SourceTags)
		}
		s.Sources, s.SourceTags = nil, nil
		w, err := d.work(cloudtest.TestOwner, r, map[string]cloud.Object{"gcp-network": {ID: "projects/demo/global/networks/n#1"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.firewallBody(s); cloud.ClassOf(err) != cloud.Invalid {
			t.Errorf("a rule without sources: %v, want it refused", err)
		}
	}
}

func TestDiskType(t *testing.T) {
	for machine, want := range map[string]string{
		"e2-medium": "pd-balanced", "n2-standard-4": "pd-balanced", "c3-standard-4": "pd-balanced",
		"c4-standard-4": "hyperdisk-balanced", "n4-standard-4": "hyperdisk-balanced",
	} {
		if got := diskType(machine); got != want {
			t.Errorf("%s boots from %s, want %s", machine, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, link := range []string{
		"https://www.googleapis.com/compute/v1/projects/p/zones/us-east4-a/instances/n",
		"https://127.0.0.1:8443/compute/v1/projects/p/zones/us-east4-a/instances/n",
		"projects/p/zones/us-east4-a/instances/n",
	} {
		p, err := parseID(idOf(link, 42))
		want := place{path: "projects/p/zones/us-east4-a/instances/n", project: "p", location: "us-east4-a", name: "n", number: 42}
		if err != nil || p != want {
			t.Errorf("%s is %+v (error %v), want %+v", link, p, err, want)
		}
	}
	p, err := parseID("projects/example.com:p/global/networks/n#18446744073709551615")
	if err != nil || p.project != "example.com:p" || p.location != "" || p.name != "n" || p.number != 1<<64-1 {
		t.Errorf("global: %+v, %v", p, err)
	}
	for _, bad := range []string{"", "n#1", "projects/p/global/networks/n", "projects/p/global/networks/n#x", "vpc-0123#1"} {
		if _, err := parseID(bad); cloud.ClassOf(err) != cloud.Invalid {
			t.Errorf("%q: %v, want class invalid", bad, err)
		}
	}
}
