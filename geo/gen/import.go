package main

import (
	"encoding/csv"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/internal/facts"
	"github.com/skyweld/skyweld/sizes"
)

// importAll makes the source tables that are not kept by hand, by the names of their files.
func importAll(data string) (map[string]string, error) {
	regions, err := importRegions(data)
	if err != nil {
		return nil, err
	}
	trips, err := importTrips(data)
	if err != nil {
		return nil, err
	}
	offers, err := importOffers(data)
	return map[string]string{"regions.csv": regions, "rtt.csv": trips, "offers.csv": offers}, err
}

var regionColumns = []string{"cloud", "region", "city", "country", "lat", "lon", "zones", "opt_in", "access", "sources"}

func importRegions(data string) (string, error) {
	rows, err := facts.Read(filepath.Join(data, "regions.csv"))
	if err != nil {
		return "", err
	}
	var out [][]string
	for _, r := range rows {
		out = append(out, []string{r["cloud"], r["region"], r["city"], r["country"], r["lat"], r["lon"], r["zones"], r["opt_in"], r["access"], strings.ReplaceAll(r["source"], "+", ";")})
	}
	return table("", regionColumns, out), nil
}

func importTrips(data string) (string, error) {
	rows, err := facts.Read(filepath.Join(data, "rtt_azure.csv"))
	if err != nil {
		return "", err
	}
	type way struct{ a, b string }
	there := map[way]string{}
	for _, r := range rows {
		there[way{"azure/" + r["region_a"], "azure/" + r["region_b"]}] = r["rtt_ms"]
	}
	var out [][]string
	for w, ms := range there {
		back := there[way{w.b, w.a}]
		if w.a < w.b || back == "" { // of a pair that is known in one direction, that one
			out = append(out, []string{w.a, w.b, ms, back, "microsoft-latency"})
		}
	}
	return table("", []string{"from", "to", "ms", "ms_back", "source"}, out), nil
}

// lists say where a cloud's offers of types by region stand in the data folder. DigitalOcean has no such list.
var lists = []struct{ cloud, file, source string }{
	{"aws", "offerings/aws.csv.gz", "moto-offerings"},
	{"azure", "prices/azure.csv.gz", "azure-prices"},
	{"gcp", "offerings/gcp_regions.csv", "cyclenerd-types"},
}

// importOffers keeps of each list the types behind our sizes, with a yes or no for every region that the list knows.
func importOffers(data string) (string, error) {
	var out [][]string
	for _, l := range lists {
		rows, err := facts.Read(filepath.Join(data, filepath.FromSlash(l.file)))
		if err != nil {
			return "", err
		}
		has := map[string]map[string]bool{}
		for _, r := range rows {
			if has[r["region"]] == nil {
				has[r["region"]] = map[string]bool{}
			}
			has[r["region"]][r["type"]] = true
		}
		for region, types := range has {
			for _, size := range sizes.Names() {
				name := sizes.TypeName(l.cloud, size)
				out = append(out, []string{l.cloud, region, name, map[bool]string{true: "yes", false: "no"}[types[name]], l.source})
			}
		}
	}
	return table("", []string{"cloud", "region", "type", "offered", "source"}, out), nil
}

// table writes a table; its rows are sorted.
func table(comment string, header []string, rows [][]string) string {
	slices.SortStableFunc(rows, slices.Compare)
	var out strings.Builder
	out.WriteString(comment)
	w := csv.NewWriter(&out) // a builder takes everything
	w.Write(header)
	w.WriteAll(rows)
	return out.String()
}

// read reads the source tables.
func read(folder string) (*source, error) {
	s := &source{}
	for name, to := range map[string]*[]map[string]string{
		"regions.csv": &s.regions, "rtt.csv": &s.trips, "offers.csv": &s.offers, "metros.csv": &s.metros, "cities.csv": &s.cities, "sources.csv": &s.sources,
	} {
		var err error
		if *to, err = facts.Read(filepath.Join(folder, name)); err != nil {
			return nil, fmt.Errorf("read the source tables: %w", err)
		}
	}
	return s, nil
}

// source is what stands in the source tables.
type source struct {
	regions, trips, offers, metros, cities, sources []map[string]string
}
