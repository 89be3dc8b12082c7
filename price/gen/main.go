// Command gen makes the embedded table of package price from the project's data folder: what an hour of each machine type
// costs in each region. It isn't part of the program.
package main

import (
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/internal/facts"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("SKYWELD_DATA"), "`folder` with machine_types and prices")
	out := flag.String("out", "machines.csv.gz", "`file` to write to")
	flag.Parse()
	if *data == "" {
		log.Fatal("gen: name the data folder by -data or SKYWELD_DATA")
	}
	text, err := generate(*data)
	if err == nil {
		err = facts.WritePacked(*out, []byte(text))
	}
	if err != nil {
		log.Fatalf("gen: %v", err)
	}
}

// source says where the prices of a cloud's machines stand in the data folder, where those are from, and of when.
type source struct {
	cloud, file, date, from string
	// region, name and usd are its columns; month is that of the most that a month costs. Without a region's column the
	// prices are those of every region.
	region, name, usd, month string
}

var sources = []source{
	{"aws", "prices/aws.csv", "2026-07-20", "aws/karpenter-provider-aws @ 1d927085dd81", "region", "type", "usd_per_hour", ""},
	{"azure", "prices/azure.csv.gz", "2026-06-18", "Azure/karpenter-provider-azure @ 352646f59929", "region", "type", "usd_per_hour", ""},
	{"digitalocean", "machine_types/digitalocean.csv", "2026-08-15", "DigitalOcean's public API", "", "slug", "usd_per_hour", "usd_per_month"},
	{"gcp", "prices/gcp.csv", "2026-08-03", "cloudpilot-ai/karpenter-provider-gcp @ 417f047b1175", "region", "type", "usd_per_hour", ""},
}

const head = "# What machines cost: US dollars an hour, Linux, on demand, without tax. Facts only; made by price/gen.\n" +
	"# A cloud has a line with the date and source of its prices and its regions, and one for each type with a price for each\n" +
	"# region, empty where none is known; behind a slash stands the most that a month costs.\n"

// generate makes the table: one line for each type, as the many regions of a type compress well beside each other.
func generate(data string) (string, error) {
	var out strings.Builder
	out.WriteString(head)
	for _, s := range sources {
		arm, err := forARM(data, s)
		if err != nil {
			return "", fmt.Errorf("machine types of %s: %w", s.cloud, err)
		}
		if err := s.write(&out, data, arm); err != nil {
			return "", fmt.Errorf("prices of %s: %w", s.cloud, err)
		}
	}
	return out.String(), nil
}

// forARM are a cloud's types for another processor than that of Skyweld's machines: they are left out.
func forARM(data string, s source) (map[string]bool, error) {
	rows, err := facts.Read(filepath.Join(data, "machine_types", s.cloud+".csv"))
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, r := range rows {
		if r["arch"] == "arm64" {
			out[r[s.name]] = true
		}
	}
	return out, nil
}

func (s source) write(out *strings.Builder, data string, without map[string]bool) error {
	rows, err := facts.Read(filepath.Join(data, filepath.FromSlash(s.file)))
	if err != nil {
		return err
	}
	prices, seen := map[string]map[string]string{}, map[string]bool{}
	for _, r := range rows {
		name, region := strings.TrimSpace(r[s.name]), "*"
		if s.region != "" {
			region = r[s.region]
		}
		if without[name] {
			continue
		}
		cost, err := amount(r[s.usd])
		if err != nil {
			return fmt.Errorf("%s in %s: %w", name, region, err)
		}
		if s.month != "" {
			most, err := amount(r[s.month])
			if err != nil {
				return fmt.Errorf("%s, a month: %w", name, err)
			}
			cost += "/" + most
		}
		if prices[name] == nil {
			prices[name] = map[string]string{}
		}
		prices[name][region], seen[region] = cost, true
	}
	regions := slices.Sorted(maps.Keys(seen))
	fmt.Fprintf(out, "%s,,%s,%s,%s\n", s.cloud, s.date, s.from, strings.Join(regions, ","))
	for _, name := range slices.Sorted(maps.Keys(prices)) {
		if strings.ContainsAny(name, ", \n") {
			return fmt.Errorf("the type %q is no plain name", name)
		}
		line := []string{s.cloud, name}
		for _, region := range regions {
			line = append(line, prices[name][region])
		}
		out.WriteString(strings.TrimRight(strings.Join(line, ","), ",") + "\n")
	}
	return nil
}

// amount checks a figure and writes it as shortly as it goes.
func amount(text string) (string, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && v <= 0 {
		err = fmt.Errorf("found %s: a price is more than nothing", text)
	}
	return strconv.FormatFloat(v, 'f', -1, 64), err
}
