package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/sizes"
)

// build makes all files from the source tables, by their paths in the repository.
func build(s *source) (map[string]string, error) {
	w, err := newWorld(s)
	if err != nil {
		return nil, err
	}
	trips, err := w.trips(s)
	if err != nil {
		return nil, err
	}
	regions, err := w.regions(s)
	if err != nil {
		return nil, err
	}
	pairs := w.pairs()
	fit := fitted(pairs)
	if err := w.check(s, pairs, fit); err != nil {
		return nil, err
	}
	return map[string]string{
		"geo/regions.csv": regions, "geo/rtt.csv": trips, "geo/fit.csv": fitTable(fit),
		"docs/latency.svg": picture(pairs, fit),
	}, nil
}

// world is the regions with what is measured between them.
type world struct {
	places   []geo.Place // by cloud and id, as in the table
	byName   map[string]geo.Place
	measured map[[2]string]float64 // by the names in order: the mean of both directions
}

// pair is two regions with a measurement.
type pair struct {
	a, b   geo.Place
	km, ms float64
}

func name(p geo.Place) string { return p.Cloud + "/" + p.ID }

func newWorld(s *source) (*world, error) {
	w := &world{byName: map[string]geo.Place{}, measured: map[[2]string]float64{}}
	for _, r := range s.regions {
		p := geo.Place{Cloud: r["cloud"], ID: r["region"], City: r["city"], Country: r["country"], OptIn: r["opt_in"] == "true", Restricted: r["access"] != "open"}
		var errLat, errLon error
		p.Lat, errLat = strconv.ParseFloat(r["lat"], 64)
		p.Lon, errLon = strconv.ParseFloat(r["lon"], 64)
		if p.City == "" || len(p.Country) != 2 || errLat != nil || errLon != nil || math.Abs(p.Lat) > 90 || math.Abs(p.Lon) > 180 || p.Lat == 0 && p.Lon == 0 {
			return nil, fmt.Errorf("regions.csv: %s has no place: %v", p, r)
		}
		if _, twice := w.byName[name(p)]; twice {
			return nil, fmt.Errorf("regions.csv: %s stands there twice", p)
		}
		w.places = append(w.places, p)
		w.byName[name(p)] = p
	}
	return w, nil
}

// pairs are the measured ones in order.
func (w *world) pairs() []pair {
	var out []pair
	for k, ms := range w.measured {
		a, b := w.byName[k[0]], w.byName[k[1]]
		out = append(out, pair{a, b, geo.Distance(a, b), ms})
	}
	slices.SortFunc(out, func(x, y pair) int { return strings.Compare(name(x.a)+" "+name(x.b), name(y.a)+" "+name(y.b)) })
	return out
}

const regionsHeader = `# Every public region of the clouds, of 2026-11-22; made by geo/gen from geo/tables, where the sources are. Places are those of
# the named cities. access: opt-in = an account has to switch it on; restricted = only for accounts that asked for it, or were
# there before. sizes: which of small, medium and large are to be had, ? where nobody lists that.
`

// regions is the table that the program holds.
func (w *world) regions(s *source) (string, error) {
	offered := map[string]bool{}
	listed := map[string]bool{}
	for _, r := range s.offers {
		at := r["cloud"] + "/" + r["region"]
		listed[at] = true
		offered[at+" "+r["type"]] = r["offered"] == "yes"
	}
	var out [][]string
	for _, r := range s.regions {
		at := r["cloud"] + "/" + r["region"]
		has := "?"
		if listed[at] {
			has = ""
			for _, size := range sizes.Names() {
				yes, known := offered[at+" "+sizes.TypeName(r["cloud"], size)]
				if !known {
					return "", fmt.Errorf("offers.csv doesn't say whether %s has %s: sizes has other types than when it was made: run gen with -import", at, sizes.TypeName(r["cloud"], size))
				}
				if yes {
					has += size[:1]
				}
			}
		}
		access := map[bool]string{true: "opt-in"}[r["opt_in"] == "true"]
		if r["access"] != "open" {
			access = "restricted"
		}
		out = append(out, []string{r["cloud"], r["region"], r["city"], r["country"], r["lat"], r["lon"], zones(r["cloud"], r["region"], r["zones"]), access, has})
	}
	return table(regionsHeader, []string{"cloud", "region", "city", "country", "lat", "lon", "zones", "access", "sizes"}, out), nil
}

// zones gives zones names that are the only ones in the world. Azure calls those of every region 1, 2 and 3; nodes get
// the name as a label, and there Azure's own Kubernetes says "eastus-1".
func zones(cloud, region, list string) string {
	if cloud != "azure" || list == "" {
		return list
	}
	return region + "-" + strings.ReplaceAll(list, ";", ";"+region+"-")
}

// trips joins the two directions of each pair to their mean, and makes the table that the program holds: a block for each
// source, in it a line for each region with the times to those before it.
func (w *world) trips(s *source) (string, error) {
	sums := map[string]map[[2]string][]float64{} // by source
	for _, r := range s.trips {
		a, b := min(r["from"], r["to"]), max(r["from"], r["to"])
		_, okA := w.byName[a]
		_, okB := w.byName[b]
		if !okA || !okB || a == b {
			return "", fmt.Errorf("rtt.csv: %v is no pair of regions", r)
		}
		of := sums[r["source"]]
		if of == nil {
			of = map[[2]string][]float64{}
			sums[r["source"]] = of
		}
		for _, text := range []string{r["ms"], r["ms_back"]} {
			if text == "" {
				continue
			}
			ms, err := strconv.ParseFloat(text, 64)
			if err != nil || ms <= 0 {
				return "", fmt.Errorf("rtt.csv: %s and %s: %q is no time in ms", a, b, text)
			}
			of[[2]string{a, b}] = append(of[[2]string{a, b}], ms)
		}
	}
	var out strings.Builder
	out.WriteString("# Median round trips in ms, the mean of both directions; made by geo/gen from geo/tables. After its source each line has a\n" +
		"# region and the times to those before it, empty where there is none.\n")
	for _, src := range s.sources { // the latter of two sources counts
		of := sums[src["id"]]
		if of == nil {
			continue
		}
		delete(sums, src["id"])
		fmt.Fprintf(&out, "source,%s,%s\n", src["date"], src["id"])
		var named []string
		for _, p := range w.places {
			line, any := name(p), false
			for _, other := range named {
				line += ","
				if all := of[[2]string{min(name(p), other), max(name(p), other)}]; all != nil {
					ms, err := mean(all)
					if err != nil {
						return "", fmt.Errorf("rtt.csv: %s and %s: %w", name(p), other, err)
					}
					w.measured[[2]string{min(name(p), other), max(name(p), other)}] = ms
					line, any = line+strconv.FormatFloat(ms, 'f', -1, 64), true
				}
			}
			later := slices.ContainsFunc(s.trips, func(r map[string]string) bool {
				return r["source"] == src["id"] && (r["from"] == name(p) || r["to"] == name(p))
			})
			if any || later {
				named = append(named, name(p))
				out.WriteString(strings.TrimRight(line, ",") + "\n")
			}
		}
	}
	for id := range sums {
		return "", fmt.Errorf("rtt.csv: sources.csv has no %q", id)
	}
	return out.String(), nil
}

// apart is by how many ms the two directions of one way may differ, and which part of the longer.
const apart, apartShare = 8, 0.25

// mean is that of the directions, which are a way there and back both: they can't differ much.
func mean(all []float64) (float64, error) {
	low, high, sum := slices.Min(all), slices.Max(all), 0.0
	if high-low > max(apart, apartShare*high) || len(all) > 2 {
		return 0, fmt.Errorf("the directions say %v ms, which is not symmetric", all)
	}
	for _, ms := range all {
		sum += ms
	}
	return sum / float64(len(all)), nil
}

func fitTable(e geo.Estimator) string {
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	out := "# How round trips are estimated from distances: geo.Estimator; made by geo/gen from the measured pairs.\nwhat,km,value\n"
	out += "stretch,," + f(e.Stretch) + "\noverhead,," + f(e.Overhead) + "\nlow,," + f(e.Low) + "\n"
	for _, b := range e.Bands {
		out += "high," + f(b.Km) + "," + f(b.High) + "\n"
	}
	return out
}
