// Command gen makes the embedded tables of package arm: locations and sizes from a folder of published facts, and the
// API's routes from the official SDK's clients. It is run by go generate and is no part of the program.
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/internal/facts"
	"github.com/skyweld/skyweld/lab/internal/tables"
)

const header = `# Azure's locations, machine sizes and what is offered where. Facts only; made by lab/arm/gen.
# locations, zones: prices below, recorded answers and Microsoft's public lists, 2026-11; see SKYWELD_DATA's regions.csv
# sizes: kubernetes/autoscaler @ 55c37cd5eb55, static Azure SKU list (Apache-2.0), 2026-03-17
# offers: sizes with a price in a location, Azure/karpenter-provider-azure @ 352646f59929 (Apache-2.0), 2026-06-18
# location,name,display name,city,latitude,longitude,zones,restricted | size,name,vcpu,MiB,arch,gpus
# offer,size,locations as a hexadecimal bit set in the order of the location lines, lowest bit first
`

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("SKYWELD_DATA"), "folder with regions.csv, machine_types/azure.csv and prices/azure.csv.gz; empty for the routes only")
	out := flag.String("out", ".", "folder to write catalogue.csv.gz and routes.txt.gz to")
	flag.Parse()
	err := writeRoutes(filepath.Join(*out, "routes.txt.gz"))
	if *data != "" {
		err = errors.Join(err, writeCatalogue(*data, filepath.Join(*out, "catalogue.csv.gz")))
	}
	if err != nil {
		log.Fatalf("gen: %v", err)
	}
}

func writeCatalogue(data, path string) error {
	regions, err1 := facts.Read(filepath.Join(data, "regions.csv"))
	sizes, err2 := facts.Read(filepath.Join(data, "machine_types", "azure.csv"))
	prices, err3 := facts.Read(filepath.Join(data, "prices", "azure.csv.gz"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(header)
	w := csv.NewWriter(&b)
	var names []string
	for _, r := range regions {
		if r["cloud"] != "azure" {
			continue
		}
		display, err := displayName(r["region"])
		if err != nil {
			return err
		}
		names = append(names, r["region"])
		w.Write([]string{"location", r["region"], display, r["city"], r["lat"], r["lon"], r["zones"], fmt.Sprint(r["access"] == "restricted")})
	}
	var offers tables.Offers
	for _, p := range prices {
		if place := slices.Index(names, p["region"]); place >= 0 {
			offers.Put(p["type"], place)
		}
	}
	for _, t := range sizes {
		w.Write([]string{"size", t["type"], t["vcpu"], t["memory_mib"], t["arch"], t["gpu"]})
	}
	for _, t := range sizes {
		if places := offers.Text(t["type"]); places != "" {
			w.Write([]string{"offer", t["type"], places})
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return facts.WritePacked(path, b.Bytes())
}

// words are those that names of locations are made of.
var words = strings.Fields("Africa Asia Australia Austria Belgium Brazil Canada Central Chile Denmark East Europe France Germany India Indonesia " +
	"Israel Italy Japan Jio Korea Malaysia Mexico North Norway Poland Qatar South Southeast Spain Sweden Switzerland Taiwan UAE UK US West " +
	"New Zealand Northwest 2 3")

// displayName is a location's name in words: "eastus2" is "East US 2".
func displayName(name string) (string, error) {
	var out []string
	for rest := name; rest != ""; {
		best := ""
		for _, w := range words {
			if strings.HasPrefix(rest, strings.ToLower(w)) && len(w) > len(best) {
				best = w
			}
		}
		if best == "" {
			return "", fmt.Errorf("location %s: no word begins %q: add it to the list of words", name, rest)
		}
		out, rest = append(out, best), rest[len(best):]
	}
	return strings.Join(out, " "), nil
}
