// Command gen makes the embedded tables of package sizes from the project's data folder: types.csv.gz with the clouds'
// machine types and their prices in one region, sizes.csv with the types behind small, medium and large. It isn't part of
// the program.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/internal/facts"
)

const typesHeader = `# Machine types of the clouds, of 2026-11-22. Facts only; made by sizes/gen. Prices are US dollars an hour, Linux, on
# demand, without tax, in aws us-east-1, azure eastus, gcp us-east4, and everywhere at digitalocean; empty where none is known.
# aws: moto 5.2.1 (2026-05 or before); prices aws/karpenter-provider-aws @ 1d927085dd81 (2026-07-20)
# azure: kubernetes/autoscaler @ 55c37cd5eb55 (2026-03-17); prices Azure/karpenter-provider-azure @ 352646f59929 (2026-06-18)
# digitalocean: sergeykuzmich/terraform-digitalocean-variables @ 97e31f6cc0f2 (2026-08-15), read from the public API
# gcp: Cyclenerd/google-cloud-pricing-cost-calculator @ dac31281f2a4 (2026-08-17); prices cloudpilot-ai/karpenter-provider-gcp
#   @ 417f047b1175 (2026-08-03)
`

const sizesHeader = `# What small, medium and large are at each cloud, of 2026-11-22; made by sizes/gen, by the rule in sizes.go. Prices are US
# dollars an hour, Linux, on demand, without tax, in the region beside them; at digitalocean they are the same everywhere.
# types: moto 5.2.1 (aws, 2026-05), kubernetes/autoscaler @ 55c37cd5eb55 (azure, 2026-03-17), DigitalOcean's public API
#   (2026-08-15), Cyclenerd/google-cloud-pricing-cost-calculator @ dac31281f2a4 (gcp, 2026-08-17)
# prices: karpenter's for aws @ 1d927085dd81 (2026-07-20), azure @ 352646f59929 (2026-06-18), gcp @ 417f047b1175 (2026-08-03)
`

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("SKYWELD_DATA"), "`folder` with machine_types, offerings and prices")
	out := flag.String("out", ".", "`folder` to write to")
	flag.Parse()
	if *data == "" {
		log.Fatal("gen: name the data folder by -data or SKYWELD_DATA")
	}
	if err := generate(*data, *out); err != nil {
		log.Fatalf("gen: %v", err)
	}
}

func generate(data, out string) error {
	types, err := readTypes(data)
	if err != nil {
		return err
	}
	sizes, err := sizesTable(types)
	if err != nil {
		return err
	}
	packed, err := gzipped(typesTable(types))
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(out, "types.csv.gz"), packed, 0o644), os.WriteFile(filepath.Join(out, "sizes.csv"), []byte(sizes), 0o644))
}

// machineType is what the data says of a type.
type machineType struct {
	cloud, name            string
	vcpus, memoryMiB, gpus int
	arch                   string
	usd                    float64 // in the cloud's region of prices; 0 unknown
	regions, of            int     // how many regions have it, of how many there are
}

// source says where a cloud's facts stand in the data folder.
type source struct {
	cloud string
	// name is the column of a type's name; prices are in a file of their own, of the types of one region, unless it is empty.
	name, prices, region string
	// offers is a file with a line for each region and type; empty where all regions have all types.
	offers string
}

var sources = []source{
	{"aws", "type", "prices/aws.csv", "us-east-1", "offerings/aws.csv.gz"},
	{"azure", "type", "prices/azure.csv.gz", "eastus", "prices/azure.csv.gz"}, // what has a price there is the best sign there is
	{"digitalocean", "slug", "", "nyc1", ""},
	{"gcp", "type", "prices/gcp.csv", "us-east4", "offerings/gcp_regions.csv"},
}

// readTypes reads all types, by cloud and name.
func readTypes(data string) ([]machineType, error) {
	var out []machineType
	for _, s := range sources {
		list, err := s.read(data)
		if err != nil {
			return nil, fmt.Errorf("machine types of %s: %w", s.cloud, err)
		}
		out = append(out, list...)
	}
	return out, nil
}

func (s source) read(data string) ([]machineType, error) {
	rows, err := facts.Read(filepath.Join(data, "machine_types", s.cloud+".csv"))
	if err != nil {
		return nil, err
	}
	price, err := s.readPrices(data)
	if err != nil {
		return nil, err
	}
	regions, all := map[string]map[string]bool{}, map[string]bool{"": s.offers == ""}
	if s.offers != "" {
		offers, err := facts.Read(filepath.Join(data, filepath.FromSlash(s.offers)))
		if err != nil {
			return nil, err
		}
		delete(all, "")
		for _, r := range offers {
			all[r["region"]] = true
			if regions[r["type"]] == nil {
				regions[r["type"]] = map[string]bool{}
			}
			regions[r["type"]][r["region"]] = true
		}
	}
	var out []machineType
	for _, r := range rows {
		t := machineType{cloud: s.cloud, name: r[s.name], arch: r["arch"], regions: len(regions[r[s.name]]), of: len(all)}
		if s.offers == "" {
			t.regions, t.arch = t.of, "amd64" // DigitalOcean has nothing else
		}
		var errs [4]error
		t.vcpus, errs[0] = strconv.Atoi(r["vcpu"])
		t.memoryMiB, errs[1] = strconv.Atoi(r["memory_mib"])
		t.gpus, errs[2] = strconv.Atoi("0" + r["gpu"])
		if t.usd = price[t.name]; s.prices == "" {
			t.usd, errs[3] = strconv.ParseFloat(r["usd_per_hour"], 64)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b machineType) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func (s source) readPrices(data string) (map[string]float64, error) {
	out := map[string]float64{}
	if s.prices == "" {
		return out, nil
	}
	rows, err := facts.Read(filepath.Join(data, filepath.FromSlash(s.prices)))
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r["region"] != s.region {
			continue
		}
		if out[r["type"]], err = strconv.ParseFloat(r["usd_per_hour"], 64); err != nil {
			return nil, fmt.Errorf("price of %s: %w", r["type"], err)
		}
	}
	return out, nil
}

// typesTable is the table of all types.
func typesTable(types []machineType) string {
	return written(typesHeader, []string{"cloud", "type", "vcpu", "memory_mib", "arch", "gpu", "usd_per_hour"}, func(add func(...string)) {
		for _, t := range types {
			add(t.cloud, t.name, strconv.Itoa(t.vcpus), strconv.Itoa(t.memoryMiB), t.arch, strconv.Itoa(t.gpus), dollars(t.usd))
		}
	})
}

func dollars(usd float64) string {
	if usd == 0 {
		return ""
	}
	return strconv.FormatFloat(usd, 'f', -1, 64)
}

func written(comment string, header []string, rows func(add func(...string))) string {
	var out strings.Builder
	out.WriteString(comment)
	w := csv.NewWriter(&out) // a builder takes everything
	w.Write(header)
	rows(func(row ...string) { w.Write(row) })
	w.Flush()
	return out.String()
}

// gzipped packs a text, with no name and time in it.
func gzipped(text string) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, text)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}
