package ec2

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/lab/internal/tables"
)

//go:generate go run ./gen -out .

// Catalogue is what Amazon offers: regions with their zones, instance types, and which zone has which type.
type Catalogue struct {
	Regions []Region
	Types   map[string]InstanceType
	offers  tables.Offers  // places are zones
	zones   map[string]int // index by zone id
}

// Region is one region.
type Region struct {
	Name, City string
	// OptIn regions are closed to an account until it asks for them.
	OptIn bool
	Zones []Zone
}

// Zone is one availability zone. The name is the account's own, the id everybody's.
type Zone struct {
	Name, ID string
}

// InstanceType is a size of machine.
type InstanceType struct {
	Name             string
	VCPUs, MemoryMiB int
	// Arch is "amd64" or "arm64".
	Arch                 string
	GPUs                 int
	Burstable, BareMetal bool
	// Network is Amazon's phrase for the bandwidth ("Up to 5 Gigabit").
	Network string
}

//go:embed catalogue.csv.gz
var catalogueData []byte

//go:embed actions.txt
var actionNames string

// apiActions are the names of all actions that the real API has.
var apiActions = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for name := range strings.FieldsSeq(actionNames) {
		all[name] = true
	}
	return all
})

// DefaultCatalogue returns the embedded catalogue. Its head names the sources and their dates.
func DefaultCatalogue() (*Catalogue, error) {
	text, err := tables.Unpack(catalogueData)
	if err != nil {
		return nil, fmt.Errorf("embedded EC2 catalogue: %w", err)
	}
	c := &Catalogue{Types: map[string]InstanceType{}, zones: map[string]int{}}
	if err := tables.Read(text, c.add); err != nil {
		return nil, fmt.Errorf("embedded EC2 catalogue: %w", err)
	}
	return c, nil
}

// add takes a line that the generator wrote.
func (c *Catalogue) add(row []string) error {
	switch {
	case row[0] == "region" && len(row) == 4:
		c.Regions = append(c.Regions, Region{Name: row[1], City: row[2], OptIn: row[3] == "true"})
	case row[0] == "zone" && len(row) == 4:
		i := slices.IndexFunc(c.Regions, func(r Region) bool { return r.Name == row[1] })
		if i < 0 {
			return fmt.Errorf("zone %s of the unknown region %s", row[2], row[1])
		}
		c.Regions[i].Zones = append(c.Regions[i].Zones, Zone{Name: row[2], ID: row[3]})
		c.zones[row[3]] = len(c.zones)
	case row[0] == "type" && len(row) == 9:
		return c.addType(row[1:])
	case row[0] == "offer" && len(row) == 3:
		return c.offers.Parse(row[1], row[2])
	default:
		return fmt.Errorf("unknown line %q", strings.Join(row, ","))
	}
	return nil
}

func (c *Catalogue) addType(row []string) error {
	vcpus, err1 := strconv.Atoi(row[1])
	memory, err2 := strconv.Atoi(row[2])
	gpus, err3 := strconv.Atoi(row[4])
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("instance type %s: %w", row[0], err)
	}
	c.Types[row[0]] = InstanceType{Name: row[0], VCPUs: vcpus, MemoryMiB: memory, Arch: row[3], GPUs: gpus,
		Burstable: row[5] == "true", BareMetal: row[6] == "true", Network: row[7]}
	return nil
}

// Offered says whether a zone has an instance type. Of a zone that no facts are known of, it has what all others have.
func (c *Catalogue) Offered(zoneID, instanceType string) bool {
	place, ok := c.zones[zoneID]
	return ok && c.offers.Has(instanceType, place)
}

// region finds a region by name.
func (c *Catalogue) region(name string) (Region, bool) {
	for _, r := range c.Regions {
		if r.Name == name {
			return r, true
		}
	}
	return Region{}, false
}

// zone finds a zone by name or id.
func (r Region) zone(nameOrID string) (Zone, bool) {
	for _, z := range r.Zones {
		if z.Name == nameOrID || z.ID == nameOrID {
			return z, true
		}
	}
	return Zone{}, false
}
