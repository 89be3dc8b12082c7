package geo

import (
	"fmt"
	"strings"
	"time"
)

// Source says where a round-trip time is from.
type Source string

// The sources, the better one first.
const (
	// Measured is a median of measurements between the two regions.
	Measured Source = "measured"
	// Estimated is computed from the distance.
	Estimated Source = "estimated"
)

// Trip is what is known of the round trip between two regions.
type Trip struct {
	RTT    time.Duration
	Source Source
	// Low and High are the band of an estimate, which holds every pair that was measured; of a measurement both are RTT.
	Low, High time.Duration
	// From and Date say who measured, and when it was published; empty for an estimate.
	From, Date string
}

// ThisEngine is who measured where machines of the engine itself did.
const ThisEngine = "this engine"

// String is the trip in words: "1.5ms (estimated, 1.05ms to 3.38ms)".
func (t Trip) String() string {
	if t.Source == Estimated {
		return fmt.Sprintf("%s (%s, %s to %s)", t.RTT, t.Source, t.Low, t.High)
	}
	if t.From == ThisEngine {
		return fmt.Sprintf("%s (%s by %s on %s)", t.RTT, t.Source, t.From, t.Date)
	}
	return fmt.Sprintf("%s (%s, %s)", t.RTT, t.Source, t.Date)
}

// RTT returns the time of a round trip between two regions, the same in both directions, never less than light in fibre
// needs for it.
func RTT(a, b Place) (time.Duration, Source) {
	t := Between(a, b)
	return t.RTT, t.Source
}

// Between is RTT with all that is known of it. Places that are no regions are taken by their coordinates.
func Between(a, b Place) Trip {
	t := load()
	i, okA := t.byID[key{a.Cloud, a.ID}]
	j, okB := t.byID[key{b.Cloud, b.ID}]
	if okA && okB {
		return t.trips[i][j]
	}
	return t.fit.trip(Distance(a, b))
}

// sameRegion is between zones of one region, in ms.
const sameRegion = 1.0

// Estimator says from the distance how long a round trip takes. For a way of d km that is, in ms,
//
//	sameCity + Stretch·t + min(1, d/overheadKm)·(Overhead − sameCity), t = 2·d/fibreKmPerMs
//
// Stretch and Overhead are the line that fits the measurements best (least squares of the relative error, over all pairs more
// than a kilometre apart; the generator finds them). The line's value at no distance is what the figures contain beside the
// way: routers, detours of the first miles, the clouds' own gateways. Between two clouds in one city that is far less, so
// the overhead comes in over the first thousand kilometres. docs/latency.md says how good that is.
type Estimator struct {
	Stretch, Overhead float64
	// Low and Bands are what a measured time is at least and at most as a multiple of its estimate: Low everywhere, a band up
	// to its distance. Every measured pair is inside.
	Low   float64
	Bands []Band
}

// Band is for distances up to Km, and the last one for all others.
type Band struct{ Km, High float64 }

const (
	overheadKm = 1000.0
	sameCity   = 1.5 // ms, as measured between clouds that meet in one city
)

// Estimate returns the time for a distance, and its band, all in ms.
func (e Estimator) Estimate(km float64) (ms, low, high float64) {
	light := 2 * km / fibreKmPerMs
	ms = sameCity + e.Stretch*light + min(1, km/overheadKm)*(e.Overhead-sameCity)
	if len(e.Bands) == 0 {
		return ms, light, ms
	}
	last := e.Bands[len(e.Bands)-1]
	for _, b := range e.Bands {
		if km <= b.Km {
			last = b
			break
		}
	}
	return ms, max(light, e.Low*ms), last.High * ms
}

func (e Estimator) trip(km float64) Trip {
	ms, low, high := e.Estimate(km)
	return Trip{RTT: milliseconds(ms), Source: Estimated, Low: milliseconds(low), High: milliseconds(high)}
}

func milliseconds(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond)).Round(10 * time.Microsecond)
}

// TheEstimator is the one that RTT estimates by.
func TheEstimator() Estimator { return load().fit }

func readFit() Estimator {
	var e Estimator
	for _, r := range records(fitCSV)[1:] {
		switch r[0] {
		case "stretch":
			e.Stretch = number(r[2])
		case "overhead":
			e.Overhead = number(r[2])
		case "low":
			e.Low = number(r[2])
		case "high":
			e.Bands = append(e.Bands, Band{number(r[1]), number(r[2])})
		}
	}
	return e
}

// readTrips fills the table of all pairs. A measurement stands in a block of its source, each line with the times to those
// that were named before it.
func (t *catalogue) readTrips() [][]Trip {
	out := make([][]Trip, len(t.places))
	for i := range out {
		out[i] = make([]Trip, len(t.places))
		for j := range i + 1 {
			trip := t.fit.trip(Distance(t.places[i], t.places[j]))
			if i == j {
				trip = Trip{RTT: milliseconds(sameRegion), Source: Estimated, Low: milliseconds(sameRegion * t.fit.Low), High: milliseconds(sameRegion * t.fit.Bands[0].High)}
			}
			out[i][j], out[j][i] = trip, trip
		}
	}
	var date, from string
	var named []int
	for _, r := range records(rttCSV) {
		if r[0] == "source" {
			date, from, named = r[1], r[2], nil
			continue
		}
		cloud, id, _ := strings.Cut(r[0], "/")
		i := t.byID[key{cloud, id}]
		for n, text := range r[1:] {
			if text == "" {
				continue
			}
			d := milliseconds(number(text))
			trip := Trip{RTT: d, Low: d, High: d, Source: Measured, From: from, Date: date}
			out[i][named[n]], out[named[n]][i] = trip, trip
		}
		named = append(named, i)
	}
	return out
}

// MeasuredPair is a pair of regions with a published measurement.
type MeasuredPair struct {
	A, B Place
	Trip
}

// MeasuredPairs returns all pairs that are measured, by their names.
func MeasuredPairs() []MeasuredPair {
	t := load()
	var out []MeasuredPair
	for i, a := range t.places {
		for j, b := range t.places[:i] {
			if t.trips[i][j].Source == Measured {
				out = append(out, MeasuredPair{b, a, t.trips[i][j]})
			}
		}
	}
	return out
}
