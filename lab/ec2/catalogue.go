package ec2

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./gen -out .

// Catalogue is what Amazon offers: regions with their zones, instance types, and which zone has which type.
type Catalogue struct {
	Regions []Region
	Types   map[string]InstanceType
	offers  map[string]*big.Int // by type: the zones that have it, by their index
	zones   map[string]int      // index by zone id
	known   *big.Int            // zones of which anything is known
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
	gz, err := gzip.NewReader(bytes.NewReader(catalogueData))
	if err != nil {
		return nil, fmt.Errorf("embedded EC2 catalogue: %w", err)
	}
	c, err := readCatalogue(gz)
	if err != nil {
		return nil, fmt.Errorf("embedded EC2 catalogue: %w", err)
	}
	return c, nil
}

// readCatalogue reads the lines that the generator writes.
func readCatalogue(from io.Reader) (*Catalogue, error) {
	c := &Catalogue{Types: map[string]InstanceType{}, offers: map[string]*big.Int{}, zones: map[string]int{}, known: new(big.Int)}
	at := map[string]int{}
	r := csv.NewReader(from)
	r.Comment, r.FieldsPerRecord, r.ReuseRecord = '#', -1, true
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case row[0] == "region" && len(row) == 4:
			at[row[1]] = len(c.Regions)
			c.Regions = append(c.Regions, Region{Name: row[1], City: row[2], OptIn: row[3] == "true"})
		case row[0] == "zone" && len(row) == 4:
			i, ok := at[row[1]]
			if !ok {
				return nil, fmt.Errorf("zone %s of the unknown region %s", row[2], row[1])
			}
			c.Regions[i].Zones = append(c.Regions[i].Zones, Zone{Name: row[2], ID: row[3]})
			c.zones[row[3]] = len(c.zones)
		case row[0] == "type" && len(row) == 9:
			if err := c.addType(row[1:]); err != nil {
				return nil, err
			}
		case row[0] == "offer" && len(row) == 3:
			set, ok := new(big.Int).SetString(row[2], 16)
			if !ok {
				return nil, fmt.Errorf("offer of %s: %q is no bit set", row[1], row[2])
			}
			c.offers[row[1]] = set
			c.known.Or(c.known, set)
		default:
			return nil, fmt.Errorf("unknown line %q", strings.Join(row, ","))
		}
	}
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
	set := c.offers[instanceType]
	bit, ok := c.zones[zoneID]
	if set == nil || !ok {
		return false
	}
	if c.known.Bit(bit) == 0 {
		return set.Cmp(c.known) == 0
	}
	return set.Bit(bit) == 1
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
