package geo

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func all() []Place {
	var out []Place
	for _, cloud := range []string{"aws", "azure", "digitalocean", "gcp"} {
		out = append(out, Regions(cloud)...)
	}
	return out
}

func place(t testing.TB, name string) Place {
	t.Helper()
	cloud, id, _ := strings.Cut(name, "/")
	p, ok := Region(cloud, id)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return p
}

func TestRegions(t *testing.T) {
	zones := map[string]string{}
	for cloud, want := range map[string]int{"aws": 34, "gcp": 43, "digitalocean": 11, "azure": 48} {
		got := Regions(cloud)
		if len(got) != want {
			t.Errorf("%s has %d regions; want %d", cloud, len(got), want)
		}
		if !slices.IsSortedFunc(got, func(a, b Place) int { return strings.Compare(a.ID, b.ID) }) {
			t.Errorf("the regions of %s are not in order", cloud)
		}
		for _, p := range got {
			if p.City == "" || len(p.Country) != 2 || math.Abs(p.Lat) > 90 || math.Abs(p.Lon) > 180 || p.Lat == 0 || p.Lon == 0 {
				t.Errorf("%+v", p)
			}
			if !slices.IsSorted(p.Zones) || (cloud == "aws" || cloud == "gcp") && len(p.Zones) < 2 {
				t.Errorf("%s has the zones %q", p, p.Zones)
			}
			for _, z := range p.Zones {
				if of := zones[cloud+" "+z]; of != "" || !strings.HasPrefix(z, p.ID) {
					t.Errorf("%s has a zone %q, which is not its own alone (%s)", p, z, of)
				}
				zones[cloud+" "+z] = p.ID
			}
			if found, ok := Region(cloud, p.ID); !ok || found.City != p.City {
				t.Errorf("%s is found as %+v, %v", p, found, ok)
			}
		}
	}
	if p := place(t, "gcp/us-east4"); p.City != "Ashburn" || p.Country != "US" || !slices.Equal(p.Zones, []string{"us-east4-a", "us-east4-b", "us-east4-c"}) {
		t.Errorf("%+v", p)
	}
	if p := place(t, "azure/eastus"); !slices.Equal(p.Zones, []string{"eastus-1", "eastus-2", "eastus-3"}) {
		t.Errorf("%+v", p)
	}
	for _, name := range []string{"aws/us-east-9", "nobody/us-east-1", "digitalocean/nyc2", "/"} {
		cloud, id, _ := strings.Cut(name, "/")
		if p, ok := Region(cloud, id); ok {
			t.Errorf("%s is %+v", name, p)
		}
	}
	place(t, "aws/us-east-1").Zones[0] = "changed"
	if z := place(t, "aws/us-east-1").Zones[0]; z != "us-east-1a" {
		t.Errorf("the table was changed to %s", z)
	}
}

func TestSize(t *testing.T) {
	if n := len(regionsCSV) + len(rttCSV) + len(fitCSV) + len(metrosCSV) + len(citiesCSV); n > 50_000 {
		t.Errorf("the tables have %d bytes; want less than 50,000", n)
	}
}

func TestMetros(t *testing.T) {
	seen := map[string]string{}
	for _, name := range Metros() {
		m, ok := Metro(name)
		if !ok || m.Name != name || m.Title == "" || len(m.Regions) < 2 {
			t.Errorf("metro %s is %+v", name, m)
		}
		clouds := map[string]bool{}
		for _, a := range m.Regions {
			if other, twice := seen[a.String()]; twice {
				t.Errorf("%s is in %s and %s", a, other, name)
			}
			seen[a.String()] = name
			clouds[a.Cloud] = true
			for _, b := range m.Regions {
				if d, _ := RTT(a, b); a.Cloud != b.Cloud && d >= 10*time.Millisecond {
					t.Errorf("metro %s: %s and %s are %.0f km and %v apart", name, a, b, Distance(a, b), d)
				}
			}
		}
		if len(clouds) < 2 {
			t.Errorf("metro %s has one cloud only", name)
		}
	}
	for cloud, want := range map[string]string{"aws": "us-east-1", "gcp": "us-east4", "azure": "eastus", "digitalocean": "nyc1"} {
		if p, ok := MetroRegion("us-east", cloud); !ok || p.ID != want {
			t.Errorf("us-east of %s is %s; want %s", cloud, p, want)
		}
	}
	if p, ok := MetroRegion("us-ohio", "azure"); ok {
		t.Errorf("us-ohio of azure is %s", p)
	}
	if _, ok := Metro("nowhere"); ok {
		t.Error("there is a metro nowhere")
	}
	both := Metros("aws", "gcp")
	if !slices.Contains(both, "us-east") || slices.Contains(both, "dublin") || !slices.IsSorted(both) {
		t.Errorf("metros of aws and gcp: %q", both)
	}
}

// TestCityTogether: regions of two clouds in one city are in one metro, or one of them is missing from the list by mistake.
func TestCityTogether(t *testing.T) {
	in := map[string]string{}
	for _, name := range Metros() {
		m, _ := Metro(name)
		for _, p := range m.Regions {
			in[p.String()] = name
		}
	}
	for _, a := range all() {
		for _, b := range all() {
			if a.Cloud < b.Cloud && Distance(a, b) < 30 && in[a.String()] != in[b.String()] {
				t.Errorf("%s and %s are %.0f km apart, in metros %q and %q", a, b, Distance(a, b), in[a.String()], in[b.String()])
			}
		}
	}
}

func TestRTT(t *testing.T) {
	for _, test := range []struct {
		a, b     string
		min, max float64 // ms
		source   Source
	}{
		{"aws/us-east-1", "gcp/us-east4", 1, 2, Estimated},
		{"aws/us-east-1", "aws/us-east-1", 1, 1, Estimated},
		{"aws/us-east-1", "digitalocean/nyc1", 6, 9, Estimated},
		{"aws/us-west-2", "gcp/us-west1", 3, 5, Estimated},
		{"aws/eu-west-1", "aws/eu-west-2", 9, 13, Estimated},
		{"aws/us-east-1", "aws/us-west-2", 55, 70, Estimated},
		{"aws/eu-central-1", "aws/us-east-1", 85, 110, Estimated},
		{"azure/eastus", "azure/eastus2", 10, 10, Measured},
		{"azure/uksouth", "azure/northeurope", 13, 13, Measured},
		{"azure/uksouth", "aws/eu-west-2", 1, 2, Estimated},
	} {
		got, source := RTT(place(t, test.a), place(t, test.b))
		if ms := float64(got) / 1e6; ms < test.min || ms > test.max || source != test.source {
			t.Errorf("%s to %s: %v, %s; want %v to %v ms, %s", test.a, test.b, got, source, test.min, test.max, test.source)
		}
	}
}

// TestRTTHolds: for all pairs the same in both directions and slower than light.
func TestRTTHolds(t *testing.T) {
	regions := all()
	for _, a := range regions {
		for _, b := range regions {
			there, source := RTT(a, b)
			if back, other := RTT(b, a); back != there || other != source {
				t.Fatalf("%s to %s takes %v, and back %v", a, b, there, back)
			}
			if there < Light(a, b) || there < time.Millisecond {
				t.Fatalf("%s to %s takes %v; light needs %v", a, b, there, Light(a, b))
			}
		}
	}
}

func TestDistance(t *testing.T) {
	// Frankfurt and Sydney, by any atlas about 16,500 km.
	if d := Distance(place(t, "aws/eu-central-1"), place(t, "aws/ap-southeast-2")); math.Abs(d-16_480) > 100 {
		t.Errorf("%f km", d)
	}
	somewhere := rapid.Custom(func(t *rapid.T) Place {
		return Place{ID: rapid.StringN(1, 3, -1).Draw(t, "id"), Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lon: rapid.Float64Range(-180, 180).Draw(t, "lon")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := somewhere.Draw(t, "a"), somewhere.Draw(t, "b"), somewhere.Draw(t, "c")
		ab := Distance(a, b)
		if math.IsNaN(ab) || ab < 0 || ab > math.Pi*earthKm+1 {
			t.Fatalf("%f km", ab)
		}
		if ab > Distance(a, c)+Distance(c, b)+1e-3 {
			t.Fatalf("the way over a third place is shorter")
		}
	})
}
