package gce

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/lab/internal/tables"
)

//go:generate go run ./gencatalog -data ${SKYWELD_DATA} -discovery ${COMPUTE_API_JSON}

// catalogGz holds regions, zones and machine types; gencatalog makes it and records its source and date.
//
//go:embed catalog.json.gz
var catalogGz []byte

// methodsGz holds the methods of the API from Google's discovery document; gencatalog makes it.
//
//go:embed methods.txt.gz
var methodsGz []byte

// catalog is what the cloud offers: the same form as gencatalog writes.
type catalog struct {
	Source  string        `json:"source"`
	Date    string        `json:"date"`
	Types   []machineType `json:"types"`
	Regions []regionInfo  `json:"regions"`
}

type machineType struct {
	Name      string `json:"n"`
	CPUs      int    `json:"c"`
	MemoryMiB int    `json:"m"`
	Arch      string `json:"a"`
	GPUs      int    `json:"g"`
}

type regionInfo struct {
	Name    string        `json:"n"`
	Zones   []string      `json:"z"`
	Types   []int         `json:"t"`
	Limited map[int][]int `json:"l"`
}

var loadCatalog = sync.OnceValue(func() *catalog {
	c := &catalog{}
	if err := json.Unmarshal(unpack(catalogGz), c); err != nil {
		panic(fmt.Sprintf("gce: embedded catalogue: %v", err))
	}
	slices.SortFunc(c.Regions, func(a, b regionInfo) int { return strings.Compare(a.Name, b.Name) })
	return c
})

// unpack returns an embedded table.
func unpack(packed []byte) []byte {
	text, err := tables.Unpack(packed)
	if err != nil {
		panic(fmt.Sprintf("gce: embedded table: %v", err))
	}
	return text
}

func (c *catalog) region(name string) *regionInfo {
	for i := range c.Regions {
		if c.Regions[i].Name == name {
			return &c.Regions[i]
		}
	}
	return nil
}

// zoneRegion returns the region of a zone, nil when there is no such zone.
func (c *catalog) zoneRegion(zone string) *regionInfo {
	i := strings.LastIndexByte(zone, '-')
	if i < 0 {
		return nil
	}
	r := c.region(zone[:i])
	if r == nil || !slices.Contains(r.Zones, zone) {
		return nil
	}
	return r
}

// machineTypes lists what a zone offers, by name.
func (c *catalog) machineTypes(zone string) []machineType {
	r := c.zoneRegion(zone)
	if r == nil {
		return nil
	}
	index := slices.Index(r.Zones, zone)
	var out []machineType
	for _, t := range r.Types {
		if in, ok := r.Limited[t]; ok && !slices.Contains(in, index) {
			continue
		}
		out = append(out, c.Types[t])
	}
	slices.SortFunc(out, func(a, b machineType) int { return strings.Compare(a.Name, b.Name) })
	return out
}

var customType = regexp.MustCompile(`^(?:([a-z0-9]+)-)?custom-(?:(micro|small|medium)|(\d+))-(\d+)(?:-ext)?$`)

// machineType finds a type of a zone by name, custom types ("e2-custom-4-8192") too.
func (c *catalog) machineType(zone, name string) (machineType, bool) {
	types := c.machineTypes(zone)
	for _, t := range types {
		if t.Name == name {
			return t, true
		}
	}
	m := customType.FindStringSubmatch(name)
	if m == nil {
		return machineType{}, false
	}
	family := m[1]
	if family == "" {
		family = "n1"
	}
	offered := slices.ContainsFunc(types, func(t machineType) bool { return strings.HasPrefix(t.Name, family+"-") })
	cpus, memory := 2, 0
	if m[3] != "" {
		cpus, _ = strconv.Atoi(m[3])
	}
	memory, _ = strconv.Atoi(m[4])
	if !offered || cpus < 1 || cpus > 224 || memory < 512 || memory%256 != 0 {
		return machineType{}, false
	}
	return machineType{Name: name, CPUs: cpus, MemoryMiB: memory, Arch: "amd64"}, true
}

// autoRanges are the ranges that Google gives the subnets of an auto mode network, as its documentation of VPC networks
// lists them: the second byte of 10.x.0.0/20.
var autoRanges = map[string]int{
	"us-central1": 128, "europe-west1": 132, "us-west1": 138, "asia-east1": 140, "us-east1": 142, "asia-northeast1": 146,
	"asia-southeast1": 148, "us-east4": 150, "australia-southeast1": 152, "europe-west2": 154, "europe-west3": 156,
	"southamerica-east1": 158, "asia-south1": 160, "northamerica-northeast1": 162, "europe-west4": 164, "europe-north1": 166,
	"us-west2": 168, "asia-east2": 170, "europe-west6": 172, "asia-northeast2": 174, "asia-northeast3": 178, "us-west3": 180,
	"us-west4": 182, "asia-southeast2": 184, "europe-central2": 186, "northamerica-northeast2": 188, "asia-south2": 190,
	"australia-southeast2": 192, "southamerica-west1": 194, "europe-west8": 198, "europe-west9": 200, "us-east5": 202,
	"europe-southwest1": 204, "us-south1": 206, "me-west1": 208, "europe-west12": 210, "me-central1": 212,
	"europe-west10": 214, "me-central2": 216, "africa-south1": 218, "northamerica-south1": 224, "europe-north2": 226,
	"asia-southeast3": 232,
}

// autoRange returns the range of a region's subnet in an auto mode network. Regions that are newer than the table get
// the next bytes that it leaves free.
func (c *catalog) autoRange(region string) string {
	if b, ok := autoRanges[region]; ok {
		return fmt.Sprintf("10.%d.0.0/20", b)
	}
	free := 234
	for _, r := range c.Regions {
		if _, ok := autoRanges[r.Name]; ok {
			continue
		}
		if r.Name == region {
			break
		}
		free += 2
	}
	return fmt.Sprintf("10.%d.0.0/20", free)
}
