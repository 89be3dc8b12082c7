// Command gencatalog makes the tables that the emulated Compute Engine carries: regions, zones and machine types from
// the project's data files, and the list of API methods from Google's discovery document. It is not part of the product.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/internal/facts"
)

const (
	source = "github.com/Cyclenerd/google-cloud-pricing-cost-calculator @ dac31281f2a4575f0a8bff20ac04fc71a5ff2190, Apache-2.0"
	date   = "2026-08-17"
)

// catalog is the embedded file; package gce reads the same form.
type catalog struct {
	Source  string   `json:"source"`
	Date    string   `json:"date"`
	Types   []mtype  `json:"types"`
	Regions []region `json:"regions"`
}

type mtype struct {
	Name      string `json:"n"`
	CPUs      int    `json:"c"`
	MemoryMiB int    `json:"m"`
	Arch      string `json:"a"`
	GPUs      int    `json:"g,omitempty"`
}

type region struct {
	Name  string   `json:"n"`
	Zones []string `json:"z"`
	// Types are indexes into catalog.Types.
	Types []int `json:"t"`
	// Limited holds the types that only some of the zones have: index of the type, indexes of the zones.
	Limited map[int][]int `json:"l,omitempty"`
}

func main() {
	data := flag.String("data", "", "folder with regions.csv, machine_types/gcp.csv and offerings/gcp*.csv")
	discovery := flag.String("discovery", "", "compute-api.json of google.golang.org/api/compute/v1")
	out := flag.String("out", ".", "folder to write to")
	flag.Parse()
	var errs []error
	if *data != "" {
		errs = append(errs, writeCatalog(*data, filepath.Join(*out, "catalog.json.gz")))
	}
	if *discovery != "" {
		errs = append(errs, writeMethods(*discovery, filepath.Join(*out, "methods.txt.gz")))
	}
	if err := errors.Join(errs...); err != nil {
		log.Fatal(err)
	}
}

func writeCatalog(data, path string) error {
	c := catalog{Source: source, Date: date}
	types, err := facts.Read(filepath.Join(data, "machine_types", "gcp.csv"))
	if err != nil {
		return err
	}
	index := map[string]int{}
	for _, r := range types {
		cpus, err1 := strconv.Atoi(r["vcpu"])
		mem, err2 := strconv.Atoi(r["memory_mib"])
		gpus, err3 := strconv.Atoi(r["gpu"])
		if err := errors.Join(err1, err2, err3); err != nil {
			return fmt.Errorf("machine type %s: %w", r["type"], err)
		}
		index[r["type"]] = len(c.Types)
		c.Types = append(c.Types, mtype{r["type"], cpus, mem, r["arch"], gpus})
	}
	regions, err := facts.Read(filepath.Join(data, "regions.csv"))
	if err != nil {
		return err
	}
	byRegion, err := offered(filepath.Join(data, "offerings", "gcp_regions.csv"), "region", index)
	if err != nil {
		return err
	}
	byZone, err := offered(filepath.Join(data, "offerings", "gcp.csv"), "zone", index)
	if err != nil {
		return err
	}
	for _, r := range regions {
		if r["cloud"] != "gcp" {
			continue
		}
		reg := region{Name: r["region"], Zones: strings.Split(r["zones"], ";"), Types: byRegion[r["region"]]}
		reg.Limited = limited(reg, byZone)
		c.Regions = append(c.Regions, reg)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return facts.WritePacked(path, text)
}

// limited says which of a region's types only some zones have. The list by zone is older and shorter than the one by
// region: it says how zones differ, for the types that it knows at all.
func limited(r region, byZone map[string][]int) map[int][]int {
	out := map[int][]int{}
	for _, t := range r.Types {
		var in []int
		for i, z := range r.Zones {
			if slices.Contains(byZone[z], t) {
				in = append(in, i)
			}
		}
		if len(in) > 0 && len(in) < len(r.Zones) {
			out[t] = in
		}
	}
	return out
}

func offered(path, column string, index map[string]int) (map[string][]int, error) {
	rows, err := facts.Read(path)
	if err != nil {
		return nil, err
	}
	out := map[string][]int{}
	for _, r := range rows {
		if i, ok := index[r["type"]]; ok {
			out[r[column]] = append(out[r[column]], i)
		}
	}
	for _, v := range out {
		sort.Ints(v)
	}
	return out, nil
}

// discoveryDoc is the part of a Google discovery document that is used here.
type discoveryDoc struct {
	Revision  string
	Resources map[string]struct {
		Methods map[string]struct {
			HTTPMethod string
			Path       string
			Response   struct {
				Ref string `json:"$ref"`
			}
		}
	}
	Schemas map[string]struct {
		Properties map[string]struct {
			Default              string
			AdditionalProperties struct {
				Ref string `json:"$ref"`
			}
		}
	}
}

// writeMethods writes a line for each method: its id, HTTP method, path below /compute/v1/, the kind of its answer when
// that is fixed, and for aggregated lists the name of the array in each scope; "-" stands for none.
func writeMethods(discovery, path string) error {
	text, err := os.ReadFile(discovery)
	if err != nil {
		return err
	}
	var d discoveryDoc
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("%s: %w", discovery, err)
	}
	var lines []string
	for rname, r := range d.Resources {
		for mname, m := range r.Methods {
			schema := d.Schemas[m.Response.Ref]
			kind, array := schema.Properties["kind"].Default, "-"
			if kind == "" {
				kind = "-"
			}
			for p := range d.Schemas[schema.Properties["items"].AdditionalProperties.Ref].Properties {
				if p != "warning" {
					array = p
				}
			}
			lines = append(lines, strings.Join([]string{rname + "." + mname, m.HTTPMethod, m.Path, kind, array}, " "))
		}
	}
	sort.Strings(lines)
	return facts.WritePacked(path, []byte("# compute v1, discovery revision "+d.Revision+"\n"+strings.Join(lines, "\n")+"\n"))
}
