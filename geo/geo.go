// Package geo knows the regions of the clouds with their places on earth, the metros that join regions of different
// clouds, how long a round trip between two regions takes, and which regions are best together. It is pure and knows no
// prices or machine types, and what it says about time is for choosing: the running cluster measures.
package geo

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:generate go run ./gen -root ..

// regionsCSV and rttCSV are made by the generator, from the tables beside the two that are embedded as they are.
//
//go:embed regions.csv
var regionsCSV string

//go:embed rtt.csv
var rttCSV string

//go:embed fit.csv
var fitCSV string

//go:embed tables/metros.csv
var metrosCSV string

//go:embed tables/cities.csv
var citiesCSV string

// Place is one public region of a cloud.
type Place struct {
	// Cloud is aws, azure, digitalocean or gcp.
	Cloud string
	// ID is the cloud's own name of the region.
	ID   string
	City string
	// Country is its ISO 3166-1 alpha-2 code.
	Country string
	// Lat and Lon are in degrees, north and east positive, of the city rather than of the buildings.
	Lat, Lon float64
	// Zones are the names of its zones in order, no two of which are alike at one cloud; empty where the cloud has none.
	Zones []string
	// OptIn says that an account has to switch the region on before it can be used.
	OptIn bool
	// Restricted says that it is not open to all: only accounts that asked for it, or were there before, may use it.
	Restricted bool
	// Sizes are those of small, medium and large that the region has; SizesKnown is false where nobody lists that, and all
	// are taken to be there.
	Sizes      []string
	SizesKnown bool
}

func (p Place) String() string { return p.Cloud + " " + p.ID }

// Has says whether a region has a size, as far as that is known. Of a cloud's own types nothing is known here.
func (p Place) Has(size string) bool {
	return !p.SizesKnown || !slices.Contains(sizeNames, size) || slices.Contains(p.Sizes, size)
}

var sizeNames = []string{"small", "medium", "large"}

type key struct{ cloud, id string }

type catalogue struct {
	places []Place // by cloud and id
	byID   map[key]int
	groups []Group
	cities []Point
	named  map[string]Point
	fit    Estimator
	// trips are between places by their indices.
	trips [][]Trip
}

var load = sync.OnceValue(func() *catalogue {
	t := &catalogue{byID: map[key]int{}}
	for _, r := range records(regionsCSV)[1:] {
		p := Place{Cloud: r[0], ID: r[1], City: r[2], Country: r[3], Lat: number(r[4]), Lon: number(r[5]), OptIn: r[7] == "opt-in", Restricted: r[7] == "restricted"}
		if r[6] != "" {
			p.Zones = strings.Split(r[6], ";")
		}
		for _, name := range sizeNames {
			if strings.Contains(r[8], name[:1]) {
				p.Sizes = append(p.Sizes, name)
			}
		}
		if p.SizesKnown = r[8] != "?"; !p.SizesKnown {
			p.Sizes = slices.Clone(sizeNames)
		}
		t.byID[key{p.Cloud, p.ID}] = len(t.places)
		t.places = append(t.places, p)
	}
	t.fit = readFit()
	t.trips = t.readTrips()
	t.groups = t.readGroups()
	t.named = t.readNames()
	return t
})

// records reads an embedded table. The tables are part of the program: a bad one is a bug.
func records(text string) [][]string {
	r := csv.NewReader(strings.NewReader(text))
	r.Comment, r.FieldsPerRecord = '#', -1
	all, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("geo: embedded table: %v", err))
	}
	return all
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("geo: embedded table: %v", err))
	}
	return v
}

// Clouds are the clouds' names in order.
func Clouds() []string {
	var out []string
	for _, p := range load().places {
		if len(out) == 0 || out[len(out)-1] != p.Cloud {
			out = append(out, p.Cloud)
		}
	}
	return out
}

// Region returns the region of that id at a cloud, if there is one that is open to everybody.
func Region(cloud, id string) (Place, bool) {
	t := load()
	i, ok := t.byID[key{cloud, id}]
	if !ok || t.places[i].Restricted {
		return Place{}, false
	}
	return t.places[i].clone(), true
}

// Regions returns the regions of a cloud that are open to everybody, by their ids.
func Regions(cloud string) []Place {
	return slices.DeleteFunc(Catalogue(), func(p Place) bool { return p.Cloud != cloud || p.Restricted })
}

// Catalogue returns every public region of all clouds, those with restricted access too, by cloud and id.
func Catalogue() []Place {
	var out []Place
	for _, p := range load().places {
		out = append(out, p.clone())
	}
	return out
}

func (p Place) clone() Place {
	p.Zones, p.Sizes = slices.Clone(p.Zones), slices.Clone(p.Sizes)
	return p
}

// Light in fibre goes at two thirds of its speed in vacuum.
const fibreKmPerMs = 299.792458 * 2 / 3

const earthKm = 6371.0

// Light returns the time that light in fibre needs there and back along the great circle: no round trip is shorter.
func Light(a, b Place) time.Duration {
	return time.Duration(2 * Distance(a, b) / fibreKmPerMs * float64(time.Millisecond))
}

// Distance returns the length of the great circle between two regions in km, by the haversine formula.
func Distance(a, b Place) float64 {
	if a.Cloud > b.Cloud || a.Cloud == b.Cloud && a.ID > b.ID {
		a, b = b, a // so that rounding is the same in both directions
	}
	rad := math.Pi / 180
	sin := func(x float64) float64 { s := math.Sin(x * rad / 2); return s * s }
	h := sin(b.Lat-a.Lat) + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*sin(b.Lon-a.Lon)
	return 2 * earthKm * math.Asin(math.Sqrt(min(1, h)))
}
