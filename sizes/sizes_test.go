package sizes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/sizes"
)

// TestSizes holds what a size promises, at every cloud. The types are written down here too: whoever changes one replaces
// machines.
func TestSizes(t *testing.T) {
	want := map[string][]string{
		"small":  {"aws t3.medium", "azure Standard_B2als_v2", "digitalocean s-2vcpu-4gb", "gcp e2-medium"},
		"medium": {"aws m6i.xlarge", "azure Standard_D4as_v5", "digitalocean g-4vcpu-16gb", "gcp e2-standard-4"},
		"large":  {"aws m6i.2xlarge", "azure Standard_D8as_v5", "digitalocean g-8vcpu-32gb", "gcp e2-standard-8"},
	}
	has := map[string][2]int{"small": {2, 4}, "medium": {4, 16}, "large": {8, 32}}
	got := map[string][]string{}
	var order []string
	for _, s := range sizes.All() {
		order = append(order, s.Name)
		got[s.Name] = append(got[s.Name], s.Cloud+" "+s.Type.Name)
		if s.VCPUs != has[s.Name][0] || s.MemoryMiB != has[s.Name][1]*1024 || s.Arch != "amd64" || s.GPUs != 0 {
			t.Errorf("%s at %s is %+v", s.Name, s.Cloud, s.Type)
		}
		if s.USD <= 0 || s.USD > 1 || sizes.PriceRegion(s.Cloud) == "" {
			t.Errorf("%s at %s costs %g in %q", s.Name, s.Cloud, s.USD, sizes.PriceRegion(s.Cloud))
		}
		if s.Shared && s.Name != "small" {
			t.Errorf("%s at %s shares its processors", s.Name, s.Cloud)
		}
		if name := sizes.TypeName(s.Cloud, s.Name); name != s.Type.Name {
			t.Errorf("%s at %s is named %s and %s", s.Name, s.Cloud, s.Type.Name, name)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the sizes are\n%v, want\n%v", got, want)
	}
	if order = slices.Compact(order); !slices.Equal(order, sizes.Names()) {
		t.Errorf("in the order %v, want %v", order, sizes.Names())
	}
	sources := strings.Join(sizes.Sources(), " ")
	for _, part := range []string{"2026-11-22", "dollars an hour", "kubernetes/autoscaler @ "} {
		if !strings.Contains(sources, part) {
			t.Errorf("the sources don't have %q: %s", part, sources)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		cloud, name      string
		vcpus, memoryMiB int
		arch             string
	}{
		{"aws", "t3.large", 2, 8192, "amd64"},
		{"aws", "m6g.xlarge", 4, 16384, "arm64"},
		{"gcp", "e2-standard-4", 4, 16384, "amd64"},
		{"azure", "Standard_D4as_v5", 4, 16384, "amd64"},
		{"azure", "standard_d4PS_v5", 4, 16384, "arm64"},
		{"digitalocean", "s-4vcpu-8gb", 4, 8192, "amd64"},
	} {
		got, ok := sizes.Lookup(c.cloud, c.name)
		if !ok || got.VCPUs != c.vcpus || got.MemoryMiB != c.memoryMiB || got.Arch != c.arch || got.USD == 0 || !strings.EqualFold(got.Name, c.name) {
			t.Errorf("%s %s is %+v (%v)", c.cloud, c.name, got, ok)
		}
	}
	for _, none := range [][2]string{{"aws", "e2-medium"}, {"gcp", "small"}, {"aws", ""}, {"", "t3.large"}} {
		if got, ok := sizes.Lookup(none[0], none[1]); ok {
			t.Errorf("%v is %+v", none, got)
		}
	}
	if name := sizes.TypeName("aws", "t3.large"); name != "t3.large" {
		t.Errorf("a type's own name became %s", name)
	}
	if name := sizes.TypeName("elsewhere", "small"); name != "small" {
		t.Errorf("at no cloud of ours small is %s", name)
	}
}
