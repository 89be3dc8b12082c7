package digitalocean

import (
	"flag"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

var update = flag.Bool("update", false, "write the golden files")

const region = "nyc1"

func testSite() cloud.Site { return cloudtest.DefaultSite("do", region, []string{region}) }

func testBlueprint(t *testing.T) []cloud.Resource {
	t.Helper()
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, testSite())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestBlueprintGolden(t *testing.T) {
	cloudtest.Golden(t, *update, "blueprint.json", testBlueprint(t))
}

// TestBodiesGolden holds the bodies of the creating calls.
func TestBodiesGolden(t *testing.T) {
	refs := map[string]cloud.Object{"do-vpc": {Kind: kindVPC, ID: "5a4981aa-9653-4bd1-bef5-d6bff52042e4"}}
	bodies := map[string]any{}
	for _, r := range testBlueprint(t) {
		w, err := (&Driver{}).work(cloudtest.TestOwner, r, refs)
		if err != nil {
			t.Fatal(err)
		}
		w.userData, w.token = []byte("#cloud-config\n"), strings.Repeat("0", 32)
		switch s := w.want.(type) {
		case *FirewallSpec:
			bodies[r.Key], err = w.firewallBody(s)
		case *DropletSpec:
			bodies[r.Key], err = w.dropletBody(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cloudtest.Golden(t, *update, "bodies.json", bodies)
}

// TestDropletsWaitForTheirFirewalls holds that no droplet is ever made without them, whatever the roles.
func TestDropletsWaitForTheirFirewalls(t *testing.T) {
	list := testBlueprint(t)
	if err := cloudtest.Needs(list, kindDroplet, kindFirewall); err != nil {
		t.Error(err)
	}
	reach := cloudtest.Reach(list)
	for _, r := range list {
		s, ok := r.Spec.(*DropletSpec)
		if !ok {
			continue
		}
		for _, tag := range s.Tags {
			for _, f := range list {
				if fs, ok := f.Spec.(*FirewallSpec); ok && slices.Contains(fs.Tags, tag) && !reach[r.Key][f.Key] {
					t.Errorf("%s doesn't wait for %s", r.Key, f.Key)
				}
			}
		}
	}
}

func TestBlueprintRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*cloud.Site)
		want  string
	}{
		"reserved":    {block("10.244.0.0/20"), "overlaps 10.244.0.0/16, which DigitalOcean keeps for itself"},
		"anchors":     {block("10.17.16.0/20"), "overlaps 10.16.0.0/14, which holds anchor addresses"},
		"large":       {block("10.64.0.0/12"), "between /16 and /28"},
		"public":      {block("8.8.0.0/20"), "want a range in 10.0.0.0/8"},
		"anchor pods": {func(s *cloud.Site) { s.Pods = netip.MustParsePrefix("10.16.0.0/14") }, "pod range 10.16.0.0/14 overlaps"},
		"size":        {func(s *cloud.Site) { s.Machines[0].Size = "Huge!" }, `size "Huge!"`},
		"gpu":         {func(s *cloud.Site) { s.Machines[0].Size = "gpu-h100x1-80gb" }, "has GPUs"},
		"port":        {func(s *cloud.Site) { s.TunnelPort = 0 }, "tunnel port 0"},
	} {
		t.Run(name, func(t *testing.T) {
			site := testSite()
			test.spoil(&site)
			_, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
			if cloud.ClassOf(err) != cloud.Invalid || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func block(text string) func(*cloud.Site) {
	return func(s *cloud.Site) {
		s.Block = netip.MustParsePrefix(text)
		for i := range s.Machines {
			s.Machines[i].Address = s.Block.Addr()
		}
	}
}

// TestNobodyLetIn holds that a site whose access is empty has no rule for it, and no firewall without a rule.
func TestNobodyLetIn(t *testing.T) {
	site := testSite()
	site.SSHAccess, site.APIAccess = nil, []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		s, ok := r.Spec.(*FirewallSpec)
		if !ok {
			continue
		}
		if len(s.Inbound)+len(s.Outbound) == 0 {
			t.Errorf("%s has no rules", r.Key)
		}
		for _, rule := range s.Inbound {
			if rule.Ports == "22" || rule.Ports == "6443" || len(rule.Peers) == 0 {
				t.Errorf("%s lets in %+v", r.Key, rule)
			}
		}
	}
}

// TestMarksSurvive reads back all kinds of tags for any key, and takes nothing else for one.
func TestMarksSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "uid")
		key := rapid.StringMatching(`[a-z][a-z0-9-]{0,48}[a-z0-9]`).Draw(t, "key")
		token := rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "token")
		ip := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip")))
		tags := []string{"production", clusterTag(uid), keyTag(uid, key, token), roleTag(uid, key)}
		for _, tag := range append(tags, addressTag(uid, key, ip), makingTag(uid, key, key)) {
			if len(tag) > 255 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz0123456789-_:") != "" {
				t.Fatalf("%q is no tag", tag)
			}
			if strings.Contains(tag, token) {
				t.Fatalf("%q shows the token", tag)
			}
		}
		if c, k, try := dropletMark(tags); c != uid || k != key || try != tryOf(token) {
			t.Fatalf("read back %s %s %s", c, k, try)
		}
		if _, k, last, ok := tagParts(addressTag(uid, key, ip), tagAddress); !ok || k != key || addressOf(last) != ip {
			t.Fatalf("read back %s %s of %s", k, last, ip)
		}
		if _, _, last, ok := tagParts(makingTag(uid, key, key), tagAddress); !ok || addressOf(last).IsValid() {
			t.Fatalf("%q is taken for an address", last)
		}
		if k, ok := keyInName(uid, cloud.Owner{UID: uid}.ResourceName(key)); !ok || k != key {
			t.Fatalf("read back %s from the name", k)
		}
	})
}
