package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/geo"
)

const root = "../.."

func tables(t testing.TB) *source {
	t.Helper()
	s, err := read(filepath.Join(root, "geo", "tables"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGenerated keeps what the program holds, and the picture, in step with the source tables.
func TestGenerated(t *testing.T) {
	files, err := build(tables(t))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, root, files, "go generate ./geo")
}

// TestImported holds the source tables against the data that they are from, where that is at hand.
func TestImported(t *testing.T) {
	data := os.Getenv("SKYWELD_DATA")
	if data == "" {
		data = filepath.Join(root, "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(data, "rtt_azure.csv")); err != nil {
		t.Skipf("needs the catalogues that the tables are from: set SKYWELD_DATA to their folder: %v", err)
	}
	files, err := importAll(data)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join(root, "geo", "tables"), files, "go run ./geo/gen -import")
}

func compare(t *testing.T, folder string, files map[string]string, by string) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is out of date; %s writes it (- should be, + is):\n%s", name, by, diff)
		}
	}
}

// TestChecks: each thing that can be wrong with a table is said, and nothing is made.
func TestChecks(t *testing.T) {
	row := func(list []map[string]string, column, value string) map[string]string {
		for _, r := range list {
			if r[column] == value {
				return r
			}
		}
		t.Fatalf("no row has %s %s", column, value)
		return nil
	}
	for _, c := range []struct {
		name   string
		change func(*source)
		want   string
	}{
		{"a region without a city", func(s *source) { s.regions[3]["city"] = "" }, "has no place"},
		{"a region without coordinates", func(s *source) { s.regions[3]["lat"] = "" }, "has no place"},
		{"a region beyond the pole", func(s *source) { s.regions[3]["lat"] = "91" }, "has no place"},
		{"a region in the gulf of nowhere", func(s *source) { s.regions[3]["lat"], s.regions[3]["lon"] = "0", "0.0" }, "has no place"},
		{"a region twice", func(s *source) { s.regions = append(s.regions, s.regions[0]) }, "twice"},
		{"faster than light", func(s *source) {
			r := row(s.trips, "to", "azure/westeurope")
			r["ms"], r["ms_back"] = "0.1", "0.1"
		}, "light in fibre needs"},
		{"not symmetric", func(s *source) {
			r := row(s.trips, "to", "azure/westeurope")
			r["ms"], r["ms_back"] = "100", "160"
		}, "not symmetric"},
		{"three directions", func(s *source) { s.trips = append(s.trips, s.trips[0]) }, "not symmetric"},
		{"a way to itself", func(s *source) { s.trips[0]["to"] = s.trips[0]["from"] }, "no pair of regions"},
		{"a way to nowhere", func(s *source) { s.trips[0]["to"] = "azure/atlantis" }, "no pair of regions"},
		{"no time", func(s *source) { s.trips[0]["ms"] = "fast" }, "no time in ms"},
		{"less than no time", func(s *source) { s.trips[0]["ms"] = "-3" }, "no time in ms"},
		{"a time of nobody", func(s *source) { s.trips[0]["source"] = "hearsay" }, `no "hearsay"`},
		{"a region of nobody", func(s *source) { s.regions[0]["sources"] = "hearsay" }, `no "hearsay"`},
		{"a source without a date", func(s *source) { s.sources[0]["date"] = "" }, "lacks its address, date or licence"},
		{"a source without a licence", func(s *source) { s.sources[0]["licence"] = "" }, "lacks its address, date or licence"},
		{"a metro with a stranger", func(s *source) { s.metros[0]["regions"] += " aws/us-east-9" }, "no region aws/us-east-9"},
		{"a metro with a closed region", func(s *source) { row(s.metros, "metro", "us-east")["regions"] += " digitalocean/nyc2" }, "no region digitalocean/nyc2"},
		{"a region in two metros", func(s *source) { row(s.metros, "metro", "london")["regions"] += " aws/eu-west-1" }, "is in"},
		{"a metro that is too large", func(s *source) { row(s.metros, "metro", "london")["regions"] += " gcp/us-west2" }, "ms apart"},
		{"a metro of one cloud", func(s *source) { row(s.metros, "metro", "dublin")["regions"] = "aws/eu-west-1" }, "regions of 1 clouds"},
		{"a neighbour left out", func(s *source) {
			row(s.metros, "metro", "frankfurt")["regions"] = "aws/eu-central-1 azure/germanywestcentral digitalocean/fra1"
		}, "km apart, in metros"},
		{"a size that changed its type", func(s *source) {
			for _, r := range s.offers {
				r["type"] += "x"
			}
		}, "run gen with -import"},
	} {
		s := tables(t)
		c.change(s)
		files, err := build(s)
		if err == nil || !strings.Contains(err.Error(), c.want) || files != nil {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

// TestBand: the check of the band is no tautology: an estimator that is off is caught.
func TestBand(t *testing.T) {
	s := tables(t)
	w, err := newWorld(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.trips(s); err != nil {
		t.Fatal(err)
	}
	pairs := w.pairs()
	fit := fitted(pairs)
	if err := w.check(s, pairs, fit); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*geo.Estimator){
		"too narrow above": func(e *geo.Estimator) { e.Bands = []geo.Band{{Km: 20100, High: 1.5}} },
		"too narrow below": func(e *geo.Estimator) { e.Low = 0.95 },
		"below light":      func(e *geo.Estimator) { e.Stretch, e.Overhead = 0.5, 0 },
	} {
		e := fit
		change(&e)
		if w.check(s, pairs, e) == nil {
			t.Errorf("an estimator that is %s passes", name)
		}
	}
	if e := geo.TheEstimator(); !cmp.Equal(e, fit) {
		t.Errorf("the program estimates by %+v; want %+v", e, fit)
	}
}

var update = flag.Bool("update", false, "write the figures in docs/latency.md anew")

// TestDocumented holds the figures in docs/latency.md.
func TestDocumented(t *testing.T) {
	const begin, end = "<!-- figures -->\n", "<!-- /figures -->\n"
	path := filepath.Join(root, "docs", "latency.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the figures", path)
	}
	want := before + begin + figures(measured(t)) + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("docs/latency.md is out of date; go test ./geo/gen -run TestDocumented -update writes it (- should be, + is):\n%s", diff)
	}
}

func measured(t testing.TB) []pair {
	s := tables(t)
	w, err := newWorld(s)
	if err == nil {
		_, err = w.trips(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.pairs()
}

// TestEstimatorIsGood holds how far off the estimate may be where nothing is measured.
func TestEstimatorIsGood(t *testing.T) {
	out := leaveOneOut(measured(t))
	if m, p := quantile(out, 0.5, miss.share), quantile(out, 0.9, miss.share); m > 0.15 || p > 0.4 {
		t.Errorf("left out, pairs are off by %.2f in the middle and %.2f at nine tenths", m, p)
	}
}

// BenchmarkEstimator prints the leave-one-out error against the measured pairs.
func BenchmarkEstimator(b *testing.B) {
	pairs := measured(b)
	var out []miss
	for b.Loop() {
		out = leaveOneOut(pairs)
	}
	b.ReportMetric(quantile(out, 0.5, miss.ms), "ms-median")
	b.ReportMetric(quantile(out, 0.9, miss.ms), "ms-p90")
	b.ReportMetric(100*quantile(out, 0.5, miss.share), "%-median")
	b.ReportMetric(100*quantile(out, 0.9, miss.share), "%-p90")
}
