package arm

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
)

// Catalogue is what Azure offers: locations with their zones, sizes of machines, and which location has which size.
type Catalogue struct {
	Locations []Location
	Sizes     []Size
	offers    map[string]*big.Int // by lower-cased size: the locations that have it, by their index
	known     *big.Int            // locations of which anything is known
}

// Location is one region.
type Location struct {
	Name, Display, City string
	Latitude, Longitude string
	Zones               []string
	// Restricted locations are for accounts that asked for them.
	Restricted bool
}

// Size is a size of machine.
type Size struct {
	Name             string
	VCPUs, MemoryMiB int
	// Arch is "amd64" or "arm64".
	Arch string
	GPUs int
}

//go:embed catalogue.csv.gz
var catalogueData []byte

// DefaultCatalogue returns the embedded catalogue. Its head names the sources and their dates.
func DefaultCatalogue() (*Catalogue, error) {
	gz, err := gzip.NewReader(bytes.NewReader(catalogueData))
	if err != nil {
		return nil, fmt.Errorf("embedded catalogue: %w", err)
	}
	c, err := readCatalogue(gz)
	if err != nil {
		return nil, fmt.Errorf("embedded catalogue: %w", err)
	}
	return c, nil
}

// readCatalogue reads the lines that the generator writes.
func readCatalogue(from io.Reader) (*Catalogue, error) {
	c := &Catalogue{offers: map[string]*big.Int{}, known: new(big.Int)}
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
		case row[0] == "location" && len(row) == 8:
			l := Location{Name: row[1], Display: row[2], City: row[3], Latitude: row[4], Longitude: row[5], Restricted: row[7] == "true"}
			if row[6] != "" {
				l.Zones = strings.Split(row[6], ";")
			}
			c.Locations = append(c.Locations, l)
		case row[0] == "size" && len(row) == 6:
			vcpus, err1 := strconv.Atoi(row[2])
			memory, err2 := strconv.Atoi(row[3])
			gpus, err3 := strconv.Atoi(row[5])
			if err := errors.Join(err1, err2, err3); err != nil {
				return nil, fmt.Errorf("size %s: %w", row[1], err)
			}
			c.Sizes = append(c.Sizes, Size{Name: row[1], VCPUs: vcpus, MemoryMiB: memory, Arch: row[4], GPUs: gpus})
		case row[0] == "offer" && len(row) == 3:
			set, ok := new(big.Int).SetString(row[2], 16)
			if !ok {
				return nil, fmt.Errorf("offer of %s: %q is no bit set", row[1], row[2])
			}
			c.offers[strings.ToLower(row[1])] = set
			c.known.Or(c.known, set)
		default:
			return nil, fmt.Errorf("unknown line %q", strings.Join(row, ","))
		}
	}
}

// location finds a location by its name, or by its name in words.
func (c *Catalogue) location(name string) (Location, bool) {
	name = strings.ToLower(strings.ReplaceAll(name, " ", ""))
	for _, l := range c.Locations {
		if l.Name == name {
			return l, true
		}
	}
	return Location{}, false
}

func (c *Catalogue) names() []string {
	var out []string
	for _, l := range c.Locations {
		out = append(out, l.Name)
	}
	return out
}

func (c *Catalogue) displayNames() []string {
	var out []string
	for _, l := range c.Locations {
		out = append(out, l.Display)
	}
	return out
}

// size finds a size by name, in whatever casing.
func (c *Catalogue) size(name string) (Size, bool) {
	for _, t := range c.Sizes {
		if strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return Size{}, false
}

// Offered says whether a location has a size. Of a location that no facts are known of, it has what all others have.
func (c *Catalogue) Offered(location, size string) bool {
	set := c.offers[strings.ToLower(size)]
	if set == nil {
		return false
	}
	for bit, l := range c.Locations {
		switch {
		case l.Name != location:
		case c.known.Bit(bit) == 0:
			return set.Cmp(c.known) == 0
		default:
			return set.Bit(bit) == 1
		}
	}
	return false
}

// family is the family that a size's cores count to, as names of usages show it: Standard_D2s_v5 is standardDSv5Family.
func (t Size) family() string {
	name := strings.TrimPrefix(strings.TrimPrefix(t.Name, "Standard_"), "Basic_")
	var series, version string
	parts := strings.Split(name, "_")
	for _, r := range parts[0] {
		if r < '0' || r > '9' {
			series += strings.ToUpper(string(r))
		} else if series == "" {
			series = "X"
		}
	}
	for _, p := range parts[1:] {
		if len(p) > 1 && p[0] == 'v' && p[1] >= '0' && p[1] <= '9' {
			version = p
		}
	}
	if strings.HasPrefix(t.Name, "Basic_") {
		return "basic" + series + version + "Family"
	}
	return "standard" + series + version + "Family"
}
