package price_test

import (
	"math"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/sizes"
)

func use(provider cloud.Provider, region string, part cloud.Part, kind string, gib int) price.Use {
	return price.Use{Cloud: provider, Site: "site", Region: region, Charge: cloud.Charge{Part: part, Type: kind, GiB: gib}}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// TestOf has prices that were looked up by hand, and what must not be taken for free.
func TestOf(t *testing.T) {
	for _, c := range []struct {
		name        string
		use         price.Use
		hour, month float64
		unknown     bool
	}{
		{"a machine", use("aws", "us-east-1", cloud.PartMachine, "t3.medium", 0), 0.0416, 0.0416 * 730, false},
		{"in another casing", use("azure", "eastus", cloud.PartMachine, "standard_d4AS_v5", 0), 0.172, 0.172 * 730, false},
		{"in a region whose prices aren't known", use("aws", "eu-west-1", cloud.PartMachine, "t3.medium", 0), 0, 0, true},
		{"a type that isn't known", use("aws", "us-east-1", cloud.PartMachine, "z99.huge", 0), 0, 0, true},
		{"no type", use("aws", "us-east-1", cloud.PartMachine, "", 0), 0, 0, true},
		{"another cloud's type", use("gcp", "us-east4", cloud.PartMachine, "t3.medium", 0), 0, 0, true},
		{"no cloud of ours", use("elsewhere", "us-east-1", cloud.PartMachine, "t3.medium", 0), 0, 0, true},
		{"one that costs at most so much a month", use("digitalocean", "ams3", cloud.PartMachine, "s-2vcpu-4gb", 0), 0.03571, 24, false},
		{"a disk whose price has no source", use("aws", "eu-west-1", cloud.PartDisk, "gp3", 40), 0, 0, true},
		{"a disk by its size", use("aws", "us-east-1", cloud.PartDisk, "gp3", 40), 3.2 / 730, 3.2, false},
		{"the same at another cloud", use("gcp", "us-east4", cloud.PartDisk, "pd-balanced", 40), 4.4 / 730, 4.4, false},
		{"one of another kind", use("gcp", "us-east4", cloud.PartDisk, "pd-unheard-of", 40), 0, 0, true},
		{"a disk by the next larger size", use("azure", "eastus2", cloud.PartDisk, "Premium_LRS", 40), 9.2801 / 730, 9.2801, false},
		{"a disk of a size without a price", use("azure", "eastus2", cloud.PartDisk, "Premium_LRS", 65), 0, 0, true},
		{"a disk in a region without a price", use("azure", "eastus", cloud.PartDisk, "Premium_LRS", 40), 0, 0, true},
		{"an address", use("aws", "eu-west-1", cloud.PartAddress, "public-ipv4", 0), 0.005, 3.65, false},
		{"one of another cloud", use("gcp", "europe-west1", cloud.PartAddress, "external-ipv4", 0), 0.005, 3.65, false},
		{"an address that is free", use("digitalocean", "nyc1", cloud.PartAddress, "assigned", 0), 0, 0, false},
		{"the same while nobody has it", use("digitalocean", "nyc1", cloud.PartAddress, "unassigned", 0), 0, 0, true},
	} {
		got, ok := price.Of(c.use)
		if ok == c.unknown || !near(got.PerHour, c.hour) || !near(got.PerMonth, c.month) {
			t.Errorf("%s costs %+v (%v), want %g and %g", c.name, got, ok, c.hour, c.month)
		}
	}
}

// TestSizes holds that the prices beside the sizes are those of the catalogue: they are of one source.
func TestSizes(t *testing.T) {
	for _, s := range sizes.All() {
		got, ok := price.Of(use(cloud.Provider(s.Cloud), sizes.PriceRegion(s.Cloud), cloud.PartMachine, s.Type.Name, 0))
		if !ok || !near(got.PerHour, s.USD) {
			t.Errorf("%s at %s costs %g (%v) here, %g beside its size", s.Name, s.Cloud, got.PerHour, ok, s.USD)
		}
	}
}

func TestEstimate(t *testing.T) {
	machine := use("aws", "us-east-1", cloud.PartMachine, "t3.medium", 0)
	address := use("aws", "us-east-1", cloud.PartAddress, "public-ipv4", 0)
	dark := use("azure", "eastus", cloud.PartDisk, "Premium_LRS", 40)
	e := price.EstimateOf([]price.Use{dark, machine, address, machine})
	if e.Currency != "USD" || len(e.Lines) != 3 || len(e.Clouds) != 2 || len(e.LeftOut) == 0 || e.Dates() != "2024-02-01 to 2026-07-20" || len(e.Sources) != 2 {
		t.Errorf("the estimate is %+v", e)
	}
	if l := e.Lines[0]; l.Type != "t3.medium" || l.Count != 2 || l.Price == nil || !near(l.Price.PerHour, 0.0832) || l.Price.PerMonth != 60.74 {
		t.Errorf("the first line is %+v", l)
	}
	if l := e.Lines[2]; l.Price != nil {
		t.Errorf("a line without a price has one: %+v", l)
	}
	if want := []string{"1 × Premium_LRS disk of 40 GiB at site (eastus)"}; strings.Join(e.Unknown, "\n") != strings.Join(want, "\n") {
		t.Errorf("unknown are %q, want %q", e.Unknown, want)
	}
	for _, c := range []struct{ got, want string }{
		{e.Total.String(), "at least USD 0.0882 an hour, 64.39 a month"},
		{e.Clouds[0].String(), "USD 0.0882 an hour, 64.39 a month"},
		{e.Clouds[1].String(), "unknown"},
		{price.Total(nil).String(), "USD 0.0000 an hour, 0.00 a month"},
	} {
		if c.got != c.want {
			t.Errorf("it says %q, want %q", c.got, c.want)
		}
	}
}

func TestChanged(t *testing.T) {
	small := use("aws", "us-east-1", cloud.PartMachine, "t3.medium", 0)
	large := use("aws", "us-east-1", cloud.PartMachine, "m6i.xlarge", 0)
	dark := use("aws", "eu-west-1", cloud.PartMachine, "t3.medium", 0)
	for _, c := range []struct {
		name            string
		now, after      []price.Use
		hour            float64
		priced, unknown int
	}{
		{"nothing changes", []price.Use{small, dark}, []price.Use{dark, small}, 0, 0, 0},
		{"it is made", nil, []price.Use{small, small}, 0.0832, 2, 0},
		{"one more", []price.Use{small}, []price.Use{small, small}, 0.0416, 1, 0},
		{"it goes", []price.Use{small, dark}, nil, -0.0416, 1, 1},
		{"another type", []price.Use{small}, []price.Use{large}, 0.192 - 0.0416, 2, 0},
		{"one without a price", []price.Use{small}, []price.Use{small, dark, dark}, 0, 0, 2},
	} {
		d := price.Changed(c.now, c.after).Difference
		if !near(d.PerHour, c.hour) || d.Priced != c.priced || d.Unknown != c.unknown {
			t.Errorf("%s: %+v, want %g an hour of %d, and %d without a price", c.name, d, c.hour, c.priced, c.unknown)
		}
	}
}
