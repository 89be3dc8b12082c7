package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skyweld/skyweld/geo"
)

// together is the distance in km within which regions of two clouds belong to one metro.
const together = 100

// check says everything that is wrong with the tables; that each region has a place is seen to when they are read, that
// measurements are symmetric when they are joined.
func (w *world) check(s *source, pairs []pair, fit geo.Estimator) error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, p := range pairs {
		light := 2 * p.km / fibreKmPerMs
		ms, low, high := fit.Estimate(p.km)
		if p.ms < light {
			say("rtt.csv: %s and %s are %.0f km apart: light in fibre needs %.1f ms, and %g are said to be measured", p.a, p.b, p.km, light, p.ms)
		}
		if p.ms < low-1e-9 || p.ms > high+1e-9 {
			say("%s and %s: %g ms are measured, and %.1f estimated, with a band from %.1f to %.1f", p.a, p.b, p.ms, ms, low, high)
		}
		if ms < light || low < light-1e-9 || high < ms || low > ms {
			say("%s and %s: an estimate of %.1f ms from %.1f to %.1f, and light needs %.1f", p.a, p.b, ms, low, high, light)
		}
	}
	errs = append(errs, w.checkSources(s)...)
	errs = append(errs, w.checkMetros(s, fit)...)
	return errors.Join(errs...)
}

// checkSources: what says where it is from names a source that is there.
func (w *world) checkSources(s *source) (errs []error) {
	known := map[string]bool{}
	for _, r := range s.sources {
		known[r["id"]] = true
		if r["date"] == "" || r["licence"] == "" || r["address"] == "" {
			errs = append(errs, fmt.Errorf("sources.csv: %s lacks its address, date or licence", r["id"]))
		}
	}
	for _, rows := range [][]map[string]string{s.regions, s.offers, s.trips} {
		for _, r := range rows {
			for id := range strings.SplitSeq(r["sources"]+r["source"], ";") {
				if !known[id] {
					errs = append(errs, fmt.Errorf("sources.csv has no %q: %v", id, r))
				}
			}
		}
	}
	return errs
}

// checkMetros: metros have regions of two clouds at least, near each other, none is in two, and regions of two clouds in one
// place are in the same one.
func (w *world) checkMetros(s *source, fit geo.Estimator) (errs []error) {
	in := map[string]string{}
	for _, r := range s.metros {
		var all []geo.Place
		clouds := map[string]bool{}
		for id := range strings.FieldsSeq(r["regions"]) {
			p, ok := w.byName[id]
			if !ok || p.Restricted {
				errs = append(errs, fmt.Errorf("metros.csv: %s: no region %s is open to all", r["metro"], id))
			}
			if other := in[id]; other != "" {
				errs = append(errs, fmt.Errorf("metros.csv: %s is in %s and %s", id, other, r["metro"]))
			}
			in[id] = r["metro"]
			for _, q := range all {
				ms, _, _ := fit.Estimate(geo.Distance(p, q))
				if got, ok := w.measured[[2]string{min(name(p), name(q)), max(name(p), name(q))}]; ok {
					ms = got
				}
				if p.Cloud != q.Cloud && ms >= 10 {
					errs = append(errs, fmt.Errorf("metros.csv: %s: %s and %s are %.1f ms apart", r["metro"], p, q, ms))
				}
			}
			clouds[p.Cloud] = true
			all = append(all, p)
		}
		if len(clouds) < 2 || r["title"] == "" {
			errs = append(errs, fmt.Errorf("metros.csv: %s has regions of %d clouds and the title %q", r["metro"], len(clouds), r["title"]))
		}
	}
	for i, p := range w.places {
		for _, q := range w.places[:i] {
			if !p.Restricted && !q.Restricted && p.Cloud != q.Cloud && geo.Distance(p, q) < together && in[name(p)] != in[name(q)] {
				errs = append(errs, fmt.Errorf("metros.csv: %s and %s are %.0f km apart, in metros %q and %q", p, q, geo.Distance(p, q), in[name(p)], in[name(q)]))
			}
		}
	}
	return errs
}
