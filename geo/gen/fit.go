package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/geo"
)

// The fits drop digits that mean nothing: the same tables give the same files on every machine.
func digits(v float64, n int) float64 { p := math.Pow10(n); return math.Round(v*p) / p }

const fibreKmPerMs = 299.792458 * 2 / 3

// moments are the sums that a weighted line is fitted by.
type moments struct{ sxx, sx, s1, sxy, sy float64 }

// add counts a pair n times; -1 takes it out again. Weights make errors relative.
func (m *moments) add(p pair, n float64) {
	if p.km < 1 {
		return
	}
	x, w := 2*p.km/fibreKmPerMs, n/(p.ms*p.ms)
	m.sxx, m.sx, m.s1, m.sxy, m.sy = m.sxx+w*x*x, m.sx+w*x, m.s1+w, m.sxy+w*x*p.ms, m.sy+w*p.ms
}

func (m moments) line() geo.Estimator {
	slope := (m.s1*m.sxy - m.sx*m.sy) / (m.s1*m.sxx - m.sx*m.sx)
	return geo.Estimator{Stretch: digits(slope, 4), Overhead: digits((m.sy-slope*m.sx)/m.s1, 4)}
}

// bandSteps are the distances at which the band changes: short ways are mostly straight, long ones may go around a sea or a
// quarrel.
var bandSteps = []float64{600, 1000, 20100}

// fitted is the estimator that fits the measured pairs, with a band that holds them all.
func fitted(pairs []pair) geo.Estimator {
	var m moments
	for _, p := range pairs {
		m.add(p, 1)
	}
	e := m.line()
	e.Low = 1
	for _, km := range bandSteps {
		e.Bands = append(e.Bands, geo.Band{Km: km, High: 1})
	}
	for _, p := range pairs {
		ms, _, _ := e.Estimate(p.km)
		i := slices.IndexFunc(bandSteps, func(km float64) bool { return p.km <= km })
		e.Low = min(e.Low, math.Floor(p.ms/ms*20)/20)
		e.Bands[i].High = max(e.Bands[i].High, math.Ceil(p.ms/ms*20)/20)
	}
	return e
}

// miss is how far off an estimate is.
type miss struct {
	pair
	estimate float64
}

func (m miss) ms() float64    { return math.Abs(m.estimate - m.pair.ms) }
func (m miss) share() float64 { return m.ms() / m.pair.ms }

// leaveOneOut estimates every pair by a line that is fitted to all others: how good the estimate is where nothing is measured.
func leaveOneOut(pairs []pair) []miss {
	var all moments
	for _, p := range pairs {
		all.add(p, 1)
	}
	var out []miss
	for _, p := range pairs {
		m := all
		m.add(p, -1)
		ms, _, _ := m.line().Estimate(p.km)
		out = append(out, miss{p, ms})
	}
	return out
}

// quantile is the value below which that part of a list is.
func quantile(list []miss, q float64, of func(miss) float64) float64 {
	var values []float64
	for _, m := range list {
		values = append(values, of(m))
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

// within are the pairs up to a distance.
func within(list []miss, from, to float64) []miss {
	return slices.DeleteFunc(slices.Clone(list), func(m miss) bool { return m.km < from || m.km >= to })
}

// figures are those of docs/latency.md: how far off the estimate is for pairs that it was not fitted to.
func figures(pairs []pair) string {
	var out strings.Builder
	all := leaveOneOut(pairs)
	out.WriteString("| distance | pairs | median error | 90th percentile | estimate is, in the middle |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range []struct {
		name     string
		from, to float64
	}{{"under 600 km", 0, 600}, {"600 to 1,000 km", 600, 1000}, {"1,000 to 3,000 km", 1000, 3000}, {"3,000 to 8,000 km", 3000, 8000}, {"over 8,000 km", 8000, 30000}, {"**all**", 0, 30000}} {
		list := within(all, r.from, r.to)
		bias := quantile(list, 0.5, func(m miss) float64 { return m.estimate/m.pair.ms - 1 })
		fmt.Fprintf(&out, "| %s | %d | %.1f ms, %.0f%% | %.1f ms, %.0f%% | %+.0f%% |\n", r.name, len(list), quantile(list, 0.5, miss.ms), 100*quantile(list, 0.5, miss.share),
			quantile(list, 0.9, miss.ms), 100*quantile(list, 0.9, miss.share), 100*bias)
	}
	return out.String()
}
