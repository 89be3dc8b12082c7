package aws

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

var update = flag.Bool("update", false, "write the golden files")

var zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

func TestBlueprintGolden(t *testing.T) {
	site := cloudtest.DefaultSite("aws", "us-east-1", zones)
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.Golden(t, *update, "blueprint.json", list)
}

func TestSubnets(t *testing.T) {
	site := cloud.Site{Block: netip.MustParsePrefix("10.65.0.0/16"), Zones: []string{"a", "b", "c"}}
	want := map[string]netip.Prefix{
		"a": netip.MustParsePrefix("10.65.0.0/20"), "b": netip.MustParsePrefix("10.65.16.0/20"), "c": netip.MustParsePrefix("10.65.32.0/20"),
	}
	if diff := cmp.Diff(want, Subnets(site), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	site.Block = netip.MustParsePrefix("10.65.128.0/17")
	if got := Subnets(site)["b"]; got != netip.MustParsePrefix("10.65.144.0/20") {
		t.Errorf("second part of a /17: %s", got)
	}
	site.Block = netip.MustParsePrefix("10.65.0.0/20")
	if got := Subnets(site); len(got) != 1 || got["a"] != site.Block {
		t.Errorf("parts of a /20: %v, want all of it for the first zone", got)
	}
	site.Block = netip.MustParsePrefix("10.65.0.0/29")
	if got := Subnets(site); len(got) != 0 {
		t.Errorf("parts of a /29: %v, want none: EC2 has no subnets that small", got)
	}
}

func TestBlueprintRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*cloud.Site){
		"network address":  func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.0.0") },
		"reserved address": func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.0.3") },
		"last address":     func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.15.255") },
		"other zone":       func(s *cloud.Site) { s.Machines[0].Address = netip.MustParseAddr("10.64.16.10") },
		"small disk":       func(s *cloud.Site) { s.Machines[0].DiskGiB = 4 },
		"no size":          func(s *cloud.Site) { s.Machines[0].Size = "" },
		"huge block":       func(s *cloud.Site) { s.Block = netip.MustParsePrefix("10.0.0.0/8") },
		"no tunnel":        func(s *cloud.Site) { s.TunnelPort = 0 },
		"site name":        func(s *cloud.Site) { s.Name = "AWS!" },
	} {
		site := cloudtest.DefaultSite("aws", "us-east-1", zones)
		spoil(&site)
		if _, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site); cloud.ClassOf(err) != cloud.Invalid {
			t.Errorf("%s: error %v, want class invalid", name, err)
		}
	}
}

// TestKeysHold draws names of every length: keys stay valid and unique, and an association's key follows from its
// address's.
func TestKeysHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,47}[a-z0-9]`)
		site := cloudtest.DefaultSite(name.Draw(t, "site"), "us-east-1", zones)
		prefix := name.Draw(t, "machine")
		for i := range site.Machines {
			site.Machines[i].Name = fmt.Sprint(prefix, "-", i)
		}
		list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range list {
			if err := cloud.CheckKey(r.Key); err != nil {
				t.Fatal(err)
			}
			if seen[r.Key] {
				t.Fatalf("key %s twice", r.Key)
			}
			seen[r.Key] = true
			if s, ok := r.Spec.(*AssociationSpec); ok && associationKey(s.Address) != r.Key {
				t.Fatalf("association %s of address %s", r.Key, s.Address)
			}
			if r.Kind == kindInstance {
				for _, k := range []string{diskKey(r.Key), interfaceKey(r.Key)} {
					if err := cloud.CheckKey(k); err != nil || k == r.Key {
						t.Fatalf("key %s beside %s: %v", k, r.Key, err)
					}
				}
			}
		}
	})
}

func TestNoRuleForNobody(t *testing.T) {
	site := cloudtest.DefaultSite("aws", "us-east-1", zones)
	site.APIAccess, site.SSHAccess = nil, nil
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		s, ok := r.Spec.(*SecurityGroupSpec)
		if !ok {
			continue
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "null") {
			t.Errorf("%s: %s: an observed list is never null", r.Key, data)
		}
		for _, rule := range s.Ingress {
			if rule.Protocol == "tcp" {
				t.Errorf("%s lets TCP %d in from %s", r.Key, rule.From, rule.Peer)
			}
		}
	}
}
