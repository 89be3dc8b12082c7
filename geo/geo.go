// Package geo knows the regions of the clouds with their places on earth, the metros that join regions of different
// clouds, and how long a round trip between two regions takes. It is pure and knows no prices or machine types, and what
// it says about time is for choosing: the running cluster measures.
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

//go:generate go run ./gen -data ${SKYWELD_DATA} -out .

//go:embed regions.csv
var regionsCSV string

//go:embed rtt.csv
var rttCSV string

// Place is one region of a cloud that is open to everybody.
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
}

func (p Place) String() string { return p.Cloud + " " + p.ID }

// Source says where a round-trip time is from.
type Source string

// The sources, the better one first.
const (
	// Measured is a published median of measurements between the two regions: rtt.csv says of when.
	Measured Source = "measured"
	// Estimated is computed from the distance.
	Estimated Source = "estimated"
)

type key struct{ cloud, id string }

type table struct {
	places []Place // by cloud and id
	byID   map[key]int
	rtt    map[[2]key]time.Duration
}

var load = sync.OnceValue(func() *table {
	t := &table{byID: map[key]int{}, rtt: map[[2]key]time.Duration{}}
	for _, r := range records(regionsCSV) {
		p := Place{Cloud: r[0], ID: r[1], City: r[2], Country: r[3], Lat: number(r[4]), Lon: number(r[5])}
		if r[6] != "" {
			p.Zones = strings.Split(r[6], ";")
		}
		t.byID[key{p.Cloud, p.ID}] = len(t.places)
		t.places = append(t.places, p)
	}
	for _, r := range records(rttCSV) {
		a, b := key{r[0], r[1]}, key{r[0], r[2]}
		d := time.Duration(number(r[3]) * float64(time.Millisecond))
		t.rtt[[2]key{a, b}], t.rtt[[2]key{b, a}] = d, d
	}
	return t
})

// records reads an embedded table without its header. The tables are part of the program: a bad one is a bug.
func records(text string) [][]string {
	r := csv.NewReader(strings.NewReader(text))
	r.Comment = '#'
	all, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("geo: embedded table: %v", err))
	}
	return all[1:]
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("geo: embedded table: %v", err))
	}
	return v
}

// Region returns the region of that id at a cloud.
func Region(cloud, id string) (Place, bool) {
	t := load()
	i, ok := t.byID[key{cloud, id}]
	if !ok {
		return Place{}, false
	}
	return t.places[i].clone(), true
}

// Regions returns the regions of a cloud by their ids.
func Regions(cloud string) []Place {
	var out []Place
	for _, p := range load().places {
		if p.Cloud == cloud {
			out = append(out, p.clone())
		}
	}
	return out
}

func (p Place) clone() Place {
	p.Zones = slices.Clone(p.Zones)
	return p
}

// Light in fibre goes at two thirds of its speed in vacuum.
const fibreKmPerMs = 299.792458 * 2 / 3

const earthKm = 6371.0

// The estimate for a way of d km is
//
//	sameCity + stretch·t + min(1, d/overheadKm)·(overhead − sameCity), t = 2·d/fibreKmPerMs
//
// stretch and overhead are the line that fits the measurements in rtt.csv best (least squares of the relative error, over
// all pairs more than a kilometre apart; TestFit finds them again). The line's value at no distance is what the figures
// contain beside the way: routers, detours of the first miles, the clouds' own gateways. Between two clouds in one city
// that is far less, so the overhead comes in over the first thousand kilometres.
const (
	stretch    = 1.5361
	overhead   = 6.4869 // ms
	overheadKm = 1000.0
	sameCity   = 1.5 // ms, as measured between clouds that meet in one city
	sameRegion = 1.0 // ms, between zones of one region
)

// RTT returns the time of a round trip between two regions, the same in both directions, never less than light in fibre
// needs for it.
func RTT(a, b Place) (time.Duration, Source) {
	if d, ok := load().rtt[[2]key{{a.Cloud, a.ID}, {b.Cloud, b.ID}}]; ok {
		return d, Measured
	}
	if a.Cloud == b.Cloud && a.ID == b.ID {
		return milliseconds(sameRegion), Estimated
	}
	d := Distance(a, b)
	ms := sameCity + stretch*2*d/fibreKmPerMs + min(1, d/overheadKm)*(overhead-sameCity)
	return milliseconds(ms), Estimated
}

func milliseconds(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond)).Round(10 * time.Microsecond)
}

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
