// Command gen makes the embedded tables of package ec2 from folders of published facts. It is run by go generate and is
// no part of the program.
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/internal/facts"
	"github.com/skyweld/skyweld/lab/internal/tables"
)

const header = `# Amazon EC2's regions, zones, instance types and what is offered where. Facts only; made by lab/ec2/gen.
# regions, zones: botocore 1.43.11 endpoints and moto 5.2.1 (both Apache-2.0), 2026-05; zones as one account sees them
# types, offerings: moto 5.2.1 (Apache-2.0), 2026-05 or before
# region,name,city,opt-in | zone,region,name,id | type,name,vcpu,MiB,arch,gpus,burstable,bare metal,network
# offer,type,zones as a hexadecimal bit set in the order of the zone lines, lowest bit first
`

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("SKYWELD_DATA"), "folder with regions.csv, zones_aws.csv, machine_types/aws.csv, offerings/aws.csv.gz")
	out := flag.String("out", ".", "folder to write catalogue.csv.gz and actions.txt to")
	flag.Parse()
	if *data == "" {
		log.Fatal("gen: name the data folder by -data or SKYWELD_DATA")
	}
	err := errors.Join(writeCatalogue(*data, filepath.Join(*out, "catalogue.csv.gz")), writeActions(filepath.Join(*out, "actions.txt")))
	if err != nil {
		log.Fatalf("gen: %v", err)
	}
}

// writeActions lists the API's actions, one a line, by the names of the official SDK's files.
func writeActions(path string) error {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/ec2").Output()
	if err != nil {
		return fmt.Errorf("find the ec2 module: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "api_op_*.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no actions in %s: %w", dir, err)
	}
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintln(&b, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "api_op_"), ".go"))
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func writeCatalogue(data, path string) error {
	var b bytes.Buffer
	b.WriteString(header)
	w := csv.NewWriter(&b)
	regions, err := facts.Read(filepath.Join(data, "regions.csv"))
	if err != nil {
		return err
	}
	for _, r := range regions {
		if r["cloud"] == "aws" {
			w.Write([]string{"region", r["region"], r["city"], r["opt_in"]})
		}
	}
	zones, err := facts.Read(filepath.Join(data, "zones_aws.csv"))
	if err != nil {
		return err
	}
	var ids []string
	for _, z := range zones {
		w.Write([]string{"zone", z["region"], z["zone"], z["zone_id"]})
		ids = append(ids, z["zone_id"])
	}
	types, err := facts.Read(filepath.Join(data, "machine_types", "aws.csv"))
	if err != nil {
		return err
	}
	for _, t := range types {
		w.Write([]string{"type", t["type"], t["vcpu"], t["memory_mib"], t["arch"], t["gpu"], t["burstable"], t["bare_metal"], t["network"]})
	}
	offered, err := facts.Read(filepath.Join(data, "offerings", "aws.csv.gz"))
	if err != nil {
		return err
	}
	var offers tables.Offers
	for _, o := range offered {
		if place := slices.Index(ids, o["zone_id"]); place >= 0 {
			offers.Put(o["type"], place)
		}
	}
	for _, t := range types {
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
