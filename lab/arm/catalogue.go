package arm

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/internal/tables"
)

// Catalogue is what Azure offers: locations with their zones, sizes of machines, and which location has which size.
type Catalogue struct {
	Locations []Location
	Sizes     []Size
	offers    tables.Offers // of lower-cased sizes; places are locations
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
	text, err := tables.Unpack(catalogueData)
	if err != nil {
		return nil, fmt.Errorf("embedded catalogue: %w", err)
	}
	c := &Catalogue{}
	if err := tables.Read(text, c.add); err != nil {
		return nil, fmt.Errorf("embedded catalogue: %w", err)
	}
	return c, nil
}

// add takes a line that the generator wrote.
func (c *Catalogue) add(row []string) error {
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
			return fmt.Errorf("size %s: %w", row[1], err)
		}
		c.Sizes = append(c.Sizes, Size{Name: row[1], VCPUs: vcpus, MemoryMiB: memory, Arch: row[4], GPUs: gpus})
	case row[0] == "offer" && len(row) == 3:
		return c.offers.Parse(strings.ToLower(row[1]), row[2])
	default:
		return fmt.Errorf("unknown line %q", strings.Join(row, ","))
	}
	return nil
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
	place := slices.IndexFunc(c.Locations, func(l Location) bool { return l.Name == location })
	return place >= 0 && c.offers.Has(strings.ToLower(size), place)
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
