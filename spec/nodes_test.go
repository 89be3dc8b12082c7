package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

var threeZones = map[string]int{"aws": 3, "gcp": 3, "s0": 3, "s1": 1, "s2": 6}

// checkPlan gives the nodes their addresses and checks all that must hold of any address plan.
func checkPlan(t failer, c *Cluster, existing []Assigned) []Node {
	t.Helper()
	nodes, err := Nodes(c, threeZones, existing)
	if err != nil {
		t.Fatalf("%v", err)
	}
	have := map[string]Assigned{}
	addresses, pods := map[netip.Addr]string{}, map[netip.Prefix]string{}
	for _, a := range existing {
		have[a.Name] = a
		addresses[a.Address], pods[a.Pods] = a.Name, a.Name
	}
	names := map[string]bool{}
	for _, n := range nodes {
		if names[n.Name] {
			t.Fatalf("%s is there twice", n.Name)
		}
		names[n.Name] = true
		if was, ok := have[n.Name]; ok {
			if n.Assigned != was {
				t.Fatalf("%s had %+v and has %+v", n.Name, was, n.Assigned)
			}
			continue
		}
		if other, taken := addresses[n.Address]; taken {
			t.Fatalf("%s has the address %s of %s", n.Name, n.Address, other)
		}
		if other, taken := pods[n.Pods]; taken {
			t.Fatalf("%s has the pod block %s of %s", n.Name, n.Pods, other)
		}
		addresses[n.Address], pods[n.Pods] = n.Name, n.Name
		site, _ := c.Site(n.Site)
		zone := ZoneBlock(site.Block, n.Zone)
		if !site.Block.Contains(n.Address) || !zone.Contains(n.Address) || zone.Addr() == n.Address || n.Zone < 0 || n.Zone >= max(1, threeZones[n.Site]) {
			t.Fatalf("%s has %s in zone %d, block %s, of site block %s", n.Name, n.Address, n.Zone, zone, site.Block)
		}
		if n.Pods.Bits() != 24 || !c.Spec.Network.Pods.Contains(n.Pods.Addr()) || n.Pods.Addr() == c.Spec.Network.Pods.Addr() {
			t.Fatalf("%s has the pod block %s of %s", n.Name, n.Pods, c.Spec.Network.Pods)
		}
	}
	return nodes
}

func TestNodes(t *testing.T) {
	var got []string
	for _, n := range checkPlan(t, load(t, example), nil) {
		got = append(got, fmt.Sprintf("%s %s %s zone %d %s %s %s", n.Name, n.Role, n.Site, n.Zone, n.Address, n.Pods, n.Size))
	}
	want := []string{
		"demo-aws-cp-1 control-plane aws zone 0 10.64.0.10 10.216.1.0/24 medium",
		"demo-gcp-cp-1 control-plane gcp zone 0 10.65.0.10 10.216.2.0/24 medium",
		"demo-aws-cp-2 control-plane aws zone 1 10.64.16.10 10.216.3.0/24 medium",
		"demo-web-1 worker aws zone 0 10.64.0.11 10.216.4.0/24 small",
		"demo-web-2 worker aws zone 1 10.64.16.11 10.216.5.0/24 small",
		"demo-batch-1 worker gcp zone 0 10.65.0.11 10.216.6.0/24 medium",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestZoneBlock(t *testing.T) {
	for _, test := range []struct {
		block string
		zone  int
		want  string
	}{
		{"10.64.0.0/16", 0, "10.64.0.0/20"},
		{"10.64.0.0/16", 2, "10.64.32.0/20"},
		{"10.64.0.0/16", 16, "10.64.0.0/20"},
		{"10.64.128.0/19", 1, "10.64.144.0/20"},
		{"10.64.128.0/19", 2, "10.64.128.0/20"},
		{"10.64.16.0/20", 0, "10.64.16.0/20"},
		{"10.64.16.0/20", 2, "10.64.16.0/20"},
	} {
		if got := ZoneBlock(netip.MustParsePrefix(test.block), test.zone); got.String() != test.want {
			t.Errorf("zone %d of %s is %s; want %s", test.zone, test.block, got, test.want)
		}
	}
}

func names(nodes []Node) []string {
	var out []string
	for _, n := range nodes {
		if n.Role == RoleWorker {
			out = append(out, n.Name)
		}
	}
	return out
}

func TestAddAndRemoveWorkers(t *testing.T) {
	c := load(t, example)
	step := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, names(wantedNodes(c))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		if errs := Validate(c); len(errs) > 0 {
			t.Errorf("%s: %v", what, errs)
		}
	}
	added, err := AddWorkers(c, "web", 2)
	if err != nil || !slices.Equal(added, []string{"demo-web-3", "demo-web-4"}) {
		t.Errorf("added %q, %v", added, err)
	}
	step("added", "demo-web-1", "demo-web-2", "demo-web-3", "demo-web-4", "demo-batch-1")
	for _, name := range []string{"demo-web-2", "demo-batch-1"} {
		if err := RemoveWorker(c, name); err != nil {
			t.Fatal(err)
		}
	}
	step("removed", "demo-web-1", "demo-web-3", "demo-web-4")
	if added, err = AddWorkers(c, "web", 1); err != nil || !slices.Equal(added, []string{"demo-web-5"}) {
		t.Errorf("added %q, %v", added, err)
	}
	for _, name := range []string{"demo-web-5", "demo-web-4"} {
		if err := RemoveWorker(c, name); err != nil {
			t.Fatal(err)
		}
	}
	step("removed the last", "demo-web-1", "demo-web-3")
	if got := c.Spec.Workers[0].Exclude; !slices.Equal(got, []int{2}) {
		t.Errorf("exclude %d; want only 2, the others are above the last", got)
	}
	for what, test := range map[string]struct {
		err  error
		says string
	}{
		"control plane": {RemoveWorker(c, "demo-aws-cp-1"), "the control plane is fixed"},
		"no such":       {RemoveWorker(c, "demo-web-2"), "it has demo-web-1, demo-web-3"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.says) {
			t.Errorf("%s: %v; want an error that says %q", what, test.err, test.says)
		}
	}
	for group, count := range map[string]int{"nobody": 1, "web": 499, "batch": 0} {
		if _, err := AddWorkers(c, group, count); err == nil {
			t.Errorf("added %d to %s", count, group)
		}
	}
}

func TestNodeElsewhere(t *testing.T) {
	c := load(t, example)
	_, err := Nodes(c, threeZones, []Assigned{{Name: "demo-web-1", Site: "gcp"}})
	if err == nil || !strings.Contains(err.Error(), "demo-web-1 is wanted at site aws and exists at site gcp") {
		t.Errorf("error %v", err)
	}
}

func TestPodBlocksRunOut(t *testing.T) {
	c := load(t, smallest)
	c.Spec.Network.Pods = netip.MustParsePrefix("10.1.0.0/22")
	nodes := checkPlan(t, c, nil)
	// One more that is being removed holds a block still.
	existing := []Assigned{{Name: "old", Site: "aws", Address: netip.MustParseAddr("10.64.0.10"), Pods: nodes[0].Pods}}
	if _, err := Nodes(c, threeZones, existing); err == nil || !strings.Contains(err.Error(), "no pod block is free in 10.1.0.0/22") {
		t.Errorf("error %v", err)
	}
}

// TestLargest: the largest plan there is takes no time worth counting.
func TestLargest(t *testing.T) {
	c := load(t, smallest)
	c.Spec.Network.Pods = netip.MustParsePrefix("10.128.0.0/9")
	c.Spec.Sites = nil
	for i := range 16 {
		site := fmt.Sprint("s", i)
		c.Spec.Sites = append(c.Spec.Sites, Site{Name: site, Account: "a", Region: "us-east-1", Block: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(16 + i), 0, 0}), 16)})
		for j := range 4 {
			c.Spec.Workers = append(c.Spec.Workers, Workers{Name: fmt.Sprint("g", i, "-", j), Site: site, Size: "small", Count: new(500)})
		}
	}
	c.Spec.ControlPlane.Sites = []string{"s0"}
	if errs := Validate(c); len(errs) > 0 {
		t.Fatal(errs)
	}
	nodes := checkPlan(t, c, nil)
	var existing []Assigned
	for _, n := range nodes {
		existing = append(existing, n.Assigned)
	}
	if len(checkPlan(t, c, existing)) != 32_003 {
		t.Errorf("%d nodes", len(nodes))
	}
}

// TestAddressPlanHolds changes a cluster at random, with machines that take their time to go.
func TestAddressPlanHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCluster(t)
		var existing []Assigned
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			change(t, c)
			if errs := Validate(c); len(errs) > 0 {
				t.Fatalf("the change made it invalid: %v", errs)
			}
			nodes := checkPlan(t, c, existing)
			if again := checkPlan(t, c, existing); !slices.EqualFunc(nodes, again, func(a, b Node) bool { return a.Assigned == b.Assigned }) {
				t.Fatalf("two plans of the same differ")
			}
			wanted := map[string]bool{}
			for _, n := range nodes {
				wanted[n.Name] = true
			}
			var next []Assigned
			for _, n := range nodes {
				next = append(next, n.Assigned)
			}
			for _, a := range existing {
				if !wanted[a.Name] && rapid.Bool().Draw(t, "lingers") {
					next = append(next, a)
				}
			}
			existing = next
		}
	})
}

func drawCluster(t *rapid.T) *Cluster {
	c := &Cluster{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "demo"}}
	c.Spec.Metro = "us-east"
	for i := range rapid.IntRange(1, 3).Draw(t, "sites") {
		s := Site{Name: fmt.Sprint("s", i), Account: "a"}
		if rapid.Bool().Draw(t, "small") {
			s.Block = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i * 16), 0}), 20)
		}
		c.Spec.Sites = append(c.Spec.Sites, s)
	}
	c.Spec.ControlPlane.Replicas = rapid.SampledFrom([]int{1, 3, 5, 7}).Draw(t, "replicas")
	for i := range rapid.IntRange(1, 3).Draw(t, "groups") {
		site := rapid.SampledFrom(c.Spec.Sites).Draw(t, "site").Name
		c.Spec.Workers = append(c.Spec.Workers, Workers{Name: fmt.Sprint("g", i), Site: site, Count: new(rapid.IntRange(0, 6).Draw(t, "count"))})
	}
	Default(c)
	return c
}

func change(t *rapid.T, c *Cluster) {
	g := rapid.IntRange(0, len(c.Spec.Workers)-1).Draw(t, "group")
	w := &c.Spec.Workers[g]
	switch rapid.IntRange(0, 2).Draw(t, "change") {
	case 0:
		if _, err := AddWorkers(c, w.Name, rapid.IntRange(1, 3).Draw(t, "more")); err != nil {
			t.Fatal(err)
		}
	case 1:
		w.Count = new(rapid.IntRange(0, 8).Draw(t, "count"))
	case 2:
		before := names(wantedNodes(c))
		if len(before) == 0 {
			return
		}
		name := rapid.SampledFrom(before).Draw(t, "node")
		if err := RemoveWorker(c, name); err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(slices.Clone(before), func(n string) bool { return n == name })
		if after := names(wantedNodes(c)); !slices.Equal(after, want) {
			t.Fatalf("removing %s of %q left %q", name, before, after)
		}
	}
}

// TestBlocksNeverOverlap: whatever blocks are given, the plan that passes has no address twice.
func TestBlocksNeverOverlap(t *testing.T) {
	block := rapid.Custom(func(t *rapid.T) netip.Prefix {
		bits := rapid.IntRange(12, 22).Draw(t, "bits")
		third := byte(rapid.IntRange(0, 255).Draw(t, "third"))
		second := byte(rapid.SampledFrom([]int{63, 64, 65, 79, 80, 96, 216, 219}).Draw(t, "second"))
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, third, 0}), bits).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		c := &Cluster{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "demo"}}
		c.Spec.Metro = "us-east"
		if rapid.Bool().Draw(t, "own ranges") {
			c.Spec.Network.Pods, c.Spec.Network.Services = block.Draw(t, "pods"), block.Draw(t, "services")
		}
		for i := range rapid.IntRange(1, 16).Draw(t, "sites") {
			s := Site{Name: fmt.Sprint("s", i), Account: "a"}
			if rapid.Bool().Draw(t, "given") {
				s.Block = block.Draw(t, "block")
			}
			c.Spec.Sites = append(c.Spec.Sites, s)
		}
		given := c.Clone()
		Default(c)
		ranges := []netip.Prefix{c.Spec.Network.Pods, c.Spec.Network.Services}
		for i, s := range c.Spec.Sites {
			ranges = append(ranges, s.Block)
			if was := given.Spec.Sites[i].Block; was.IsValid() && was != s.Block {
				t.Fatalf("the given block %s became %s", was, s.Block)
			}
		}
		bad := false
		for i, a := range ranges {
			for _, b := range ranges[:i] {
				bad = bad || a.Overlaps(b)
			}
		}
		errs := Validate(c)
		if bad && len(errs) == 0 {
			t.Fatalf("%v overlap and pass", ranges)
		}
		for _, e := range errs {
			if !bad && strings.Contains(e.Message, "overlaps") {
				t.Fatalf("%v don't overlap: %v", ranges, e)
			}
		}
	})
}

// TestDefaultBlocks: a rule says how large a block is and what it must not overlap; given blocks, and those of sites
// without a rule, are as ever.
func TestDefaultBlocks(t *testing.T) {
	sites := func(names ...string) *Cluster {
		c := &Cluster{}
		for _, n := range names {
			name, block, _ := strings.Cut(n, "=")
			s := Site{Name: name}
			if block != "" {
				s.Block = netip.MustParsePrefix(block)
			}
			c.Spec.Sites = append(c.Spec.Sites, s)
		}
		return c
	}
	all := netip.MustParsePrefix("10.64.0.0/12")
	small := BlockRule{Bits: 20, Taken: []netip.Prefix{netip.MustParsePrefix("10.64.0.0/20"), netip.MustParsePrefix("10.64.32.0/24")}}
	for name, test := range map[string]struct {
		c     *Cluster
		rules map[string]BlockRule
		want  string
	}{
		"none":        {sites("a", "b"), nil, "10.64.0.0/16 10.65.0.0/16"},
		"small first": {sites("do", "a", "do2"), map[string]BlockRule{"do": small, "do2": small}, "10.64.16.0/20 10.65.0.0/16 10.64.48.0/20"},
		"small last":  {sites("a", "b", "do"), map[string]BlockRule{"do": {Bits: 20}}, "10.64.0.0/16 10.65.0.0/16 10.66.0.0/20"},
		"given":       {sites("do=10.64.0.0/16", "do2"), map[string]BlockRule{"do": small, "do2": small}, "10.64.0.0/16 10.65.0.0/20"},
		"taken":       {sites("a"), map[string]BlockRule{"a": {Taken: []netip.Prefix{netip.MustParsePrefix("10.64.200.0/24")}}}, "10.65.0.0/16"},
	} {
		DefaultBlocks(test.c, test.rules)
		Default(test.c)
		var got []string
		for _, s := range test.c.Spec.Sites {
			got = append(got, s.Block.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: blocks %v, want %s", name, got, test.want)
		}
	}
	full := sites("do")
	DefaultBlocks(full, map[string]BlockRule{"do": {Bits: 20, Taken: []netip.Prefix{all}}})
	if full.Spec.Sites[0].Block.IsValid() {
		t.Errorf("where all is taken: block %s", full.Spec.Sites[0].Block)
	}
}

// TestSmallBlockHolds: a /20 has room for 4,085 nodes at one site, and the file that wants more is refused.
func TestSmallBlockHolds(t *testing.T) {
	want := func(workers int) Errors {
		c := &Cluster{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: "demo"}}
		c.Spec.Sites = []Site{{Name: "do", Account: "a", Region: "nyc3", Block: netip.MustParsePrefix("10.64.0.0/20")}}
		c.Spec.Network.Pods, c.Spec.Network.Services = netip.MustParsePrefix("10.128.0.0/9"), netip.MustParsePrefix("172.16.0.0/16")
		c.Spec.ControlPlane.Replicas = 1
		for left, i := workers, 0; left > 0; left, i = left-500, i+1 {
			c.Spec.Workers = append(c.Spec.Workers, Workers{Name: fmt.Sprint("w", i), Site: "do", Count: new(min(left, 500))})
		}
		Default(c)
		return Validate(c)
	}
	if errs := want(4084); len(errs) > 0 {
		t.Errorf("4,085 nodes: %v", errs)
	}
	if errs := want(4085); len(errs) != 1 || errs[0].Path != "spec.sites[0].block" || !strings.Contains(errs[0].Message, "holds 4085 nodes a zone, and the spec wants 4086") {
		t.Errorf("4,086 nodes: %v", errs)
	}
}
