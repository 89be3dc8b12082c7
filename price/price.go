// Package price knows what the clouds ask for machines, disks and public addresses, and adds up what a cluster costs. It is
// pure, and of the days that its sources name: what is paid in the end, the cloud's bill says. What it has no price for is
// unknown, never free.
package price

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/cloud"
)

//go:generate go run ./gen -data ${SKYWELD_DATA} -out machines.csv.gz

// machinesGz are the prices of machines, by type and region.
//
//go:embed machines.csv.gz
var machinesGz []byte

// listedCSV are the prices of disks and addresses, with the source of each.
//
//go:embed listed.csv
var listedCSV string

// HoursAMonth is how many hours a month has, on average, as the clouds' own calculators have it.
const HoursAMonth = 730

// everywhere stands for all regions of a cloud whose prices are the same in each.
const everywhere = "*"

// Use is something that is billed, at the place where it is.
type Use struct {
	Cloud  cloud.Provider `json:"cloud"`
	Site   string         `json:"site"`
	Region string         `json:"region"`
	cloud.Charge
}

// Cost is what something costs, in US dollars without tax.
type Cost struct {
	PerHour  float64 `json:"perHour" doc:"US dollars an hour"`
	PerMonth float64 `json:"perMonth" doc:"US dollars a month of 730 hours"`
}

// Of is what a use costs; ok is false where that isn't known.
func Of(u Use) (c Cost, ok bool) {
	c, _, ok = find(u)
	return c, ok
}

// find is Of with where the price is from.
func find(u Use) (Cost, Catalogue, bool) {
	if u.Part == cloud.PartMachine {
		return machine(u)
	}
	return listed(u)
}

// cloudTable are the prices of one cloud's machines.
type cloudTable struct {
	date, from string
	columns    map[string]int // by region
	// lines are the rest of each type's line, by its name in small letters: most are never looked at.
	lines map[string]string
}

// machines reads the embedded table. It is part of the program: a bad one is a bug.
var machines = sync.OnceValue(func() map[string]*cloudTable {
	gz, err := gzip.NewReader(bytes.NewReader(machinesGz))
	if err != nil {
		panic(fmt.Sprintf("price: embedded table: %v", err))
	}
	text, err := io.ReadAll(gz)
	if err != nil {
		panic(fmt.Sprintf("price: embedded table: %v", err))
	}
	out := map[string]*cloudTable{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		provider, rest, _ := strings.Cut(line, ",")
		name, rest, _ := strings.Cut(rest, ",")
		if name != "" {
			out[provider].lines[strings.ToLower(name)] = rest
			continue
		}
		fields := strings.Split(rest, ",")
		t := &cloudTable{date: fields[0], from: fields[1], columns: map[string]int{}, lines: map[string]string{}}
		for i, region := range fields[2:] {
			t.columns[region] = i
		}
		out[provider] = t
	}
	return out
})

// machine is what a machine costs. Azure takes its types in any casing, the others have only small letters.
func machine(u Use) (Cost, Catalogue, bool) {
	t := machines()[string(u.Cloud)]
	if t == nil {
		return Cost{}, Catalogue{}, false
	}
	column, ok := t.columns[u.Region]
	if !ok {
		column, ok = t.columns[everywhere]
	}
	fields := strings.Split(t.lines[strings.ToLower(u.Type)], ",")
	if !ok || column >= len(fields) || fields[column] == "" {
		return Cost{}, Catalogue{}, false
	}
	hour, most, capped := strings.Cut(fields[column], "/")
	c := Cost{PerHour: number(hour)}
	c.PerMonth = c.PerHour * HoursAMonth
	if capped {
		c.PerMonth = min(c.PerMonth, number(most))
	}
	return c, Catalogue{u.Cloud, t.date, t.from}, true
}

// entry is one line of the prices that are listed by hand.
type entry struct {
	cloud, region, part, kind, unit string
	gib                             int
	usd                             float64
	date, from                      string
}

var entries = sync.OnceValue(func() []entry {
	r := csv.NewReader(strings.NewReader(listedCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("price: embedded list: %v", err))
	}
	var out []entry
	for _, f := range rows[1:] {
		e := entry{cloud: f[0], region: f[1], part: f[2], kind: f[3], unit: f[5], usd: number(f[6]), date: f[7], from: f[8]}
		if f[4] != "" {
			e.gib = int(number(f[4]))
		}
		out = append(out, e)
	}
	return out
})

// azureSizes are those that Azure's disks come in: one between two of them costs as much as the larger.
var azureSizes = []int{4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32767}

// billed is the size that a disk is billed as.
func billed(u Use) int {
	if u.Cloud == cloud.Azure {
		for _, size := range azureSizes {
			if u.GiB <= size {
				return size
			}
		}
	}
	return u.GiB
}

func listed(u Use) (Cost, Catalogue, bool) {
	gib := billed(u)
	for _, e := range entries() {
		if e.cloud != string(u.Cloud) || e.part != string(u.Part) || e.kind != u.Type || e.region != everywhere && e.region != u.Region || e.gib != 0 && e.gib != gib {
			continue
		}
		from := Catalogue{u.Cloud, e.date, e.from}
		switch e.unit {
		case "hour":
			return Cost{PerHour: e.usd, PerMonth: e.usd * HoursAMonth}, from, true
		case "month":
			return Cost{PerHour: e.usd / HoursAMonth, PerMonth: e.usd}, from, true
		case "gib-month":
			month := e.usd * float64(gib)
			return Cost{PerHour: month / HoursAMonth, PerMonth: month}, from, true
		}
	}
	return Cost{}, Catalogue{}, false
}

// number reads a figure of the embedded tables.
func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("price: embedded table: %v", err))
	}
	return v
}
