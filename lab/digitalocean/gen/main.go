// Command gen makes the embedded table of package digitalocean from folders of published facts. It is run by go generate
// and is no part of the program.
package main

import (
	"bytes"
	"encoding/csv"
	"flag"
	"log"
	"os"
	"path/filepath"

	"github.com/skyweld/skyweld/internal/facts"
)

const header = `# DigitalOcean's regions and Droplet sizes. Facts only; made by lab/digitalocean/gen.
# regions: the public API's list, 2026-08; restricted ones are for accounts that have resources there already
# sizes: sergeykuzmich/terraform-digitalocean-variables @ 97e31f6cc0f2d9cfe1908fa816ef91356c661ebc (read from the public API),
#   2026-08-15; GPU sizes left out; which region has which size isn't part of that source: every open region has all
# region,slug,city,access | size,slug,vcpus,MiB,GiB of disk,dollars an hour,dollars a month
`

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("SKYWELD_DATA"), "folder with regions.csv and machine_types/digitalocean.csv")
	out := flag.String("out", ".", "folder to write catalogue.csv to")
	flag.Parse()
	if *data == "" {
		log.Fatal("gen: name the data folder by -data or SKYWELD_DATA")
	}
	if err := write(*data, filepath.Join(*out, "catalogue.csv")); err != nil {
		log.Fatalf("gen: %v", err)
	}
}

func write(data, path string) error {
	var b bytes.Buffer
	b.WriteString(header)
	w := csv.NewWriter(&b)
	regions, err := facts.Read(filepath.Join(data, "regions.csv"))
	if err != nil {
		return err
	}
	for _, r := range regions {
		if r["cloud"] == "digitalocean" {
			w.Write([]string{"region", r["region"], r["city"], r["access"]})
		}
	}
	sizes, err := facts.Read(filepath.Join(data, "machine_types", "digitalocean.csv"))
	if err != nil {
		return err
	}
	for _, s := range sizes {
		w.Write([]string{"size", s["slug"], s["vcpu"], s["memory_mib"], s["disk_gib"], s["usd_per_hour"], s["usd_per_month"]})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
