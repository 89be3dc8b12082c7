package digitalocean

import (
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/lab/internal/tables"
)

//go:generate go run ./gen -out .

// catalogueData is what the generator writes. Its head names the sources and their dates.
//
//go:embed catalogue.csv
var catalogueData []byte

// catalogue is what DigitalOcean offers.
type catalogue struct {
	regions []regionInfo
	sizes   []sizeInfo
}

type regionInfo struct {
	slug, name string
	open       bool // else only for those who have been there
}

type sizeInfo struct {
	slug                   string
	vcpus, memoryMiB, disk int
	hourly, monthly        float64
}

var loadCatalogue = sync.OnceValues(func() (*catalogue, error) {
	c := &catalogue{}
	if err := tables.Read(catalogueData, c.add); err != nil {
		return nil, fmt.Errorf("embedded DigitalOcean catalogue: %w", err)
	}
	return c, nil
})

// add takes a line that the generator wrote.
func (c *catalogue) add(row []string) error {
	switch {
	case row[0] == "region" && len(row) == 4:
		c.regions = append(c.regions, regionInfo{slug: row[1], name: regionName(row[1], row[2]), open: row[3] == "open"})
	case row[0] == "size" && len(row) == 7:
		s, err := readSize(row[1:])
		if err != nil {
			return fmt.Errorf("size %s: %w", row[1], err)
		}
		c.sizes = append(c.sizes, s)
	default:
		return fmt.Errorf("unknown line %q", strings.Join(row, ","))
	}
	return nil
}

func readSize(row []string) (sizeInfo, error) {
	vcpus, err1 := strconv.Atoi(row[1])
	memory, err2 := strconv.Atoi(row[2])
	disk, err3 := strconv.Atoi(row[3])
	hourly, err4 := strconv.ParseFloat(row[4], 64)
	monthly, err5 := strconv.ParseFloat(row[5], 64)
	return sizeInfo{slug: row[0], vcpus: vcpus, memoryMiB: memory, disk: disk, hourly: hourly, monthly: monthly}, errors.Join(err1, err2, err3, err4, err5)
}

// regionName is how the cloud calls a region: its city and number ("New York 3").
func regionName(slug, city string) string { return city + " " + slug[len(slug)-1:] }

func (c *catalogue) region(slug string) (regionInfo, bool) {
	i := slices.IndexFunc(c.regions, func(r regionInfo) bool { return r.slug == slug })
	if i < 0 {
		return regionInfo{}, false
	}
	return c.regions[i], true
}

func (c *catalogue) size(slug string) (sizeInfo, bool) {
	i := slices.IndexFunc(c.sizes, func(s sizeInfo) bool { return s.slug == slug })
	if i < 0 {
		return sizeInfo{}, false
	}
	return c.sizes[i], true
}

// family describes the class of a size by its slug.
func (s sizeInfo) family() string {
	prefix, _, _ := strings.Cut(s.slug, "-")
	switch {
	case prefix == "s" && strings.HasSuffix(s.slug, "-intel"):
		return "Premium Intel"
	case prefix == "s" && strings.HasSuffix(s.slug, "-amd"):
		return "Premium AMD"
	case prefix == "s":
		return "Basic"
	case prefix == "g" || prefix == "gd":
		return "General Purpose"
	case strings.HasPrefix(prefix, "c"):
		return "CPU-Optimized"
	case strings.HasPrefix(prefix, "m"):
		return "Memory-Optimized"
	case strings.HasPrefix(prefix, "so"):
		return "Storage-Optimized"
	}
	return "Basic"
}

// transfer is the traffic that is free each month, in TB: a terabyte or so for each GiB of memory, up to ten.
func (s sizeInfo) transfer() float64 { return min(max(float64(s.memoryMiB)/1024, 0.5), 10) }

// imageInfo is one of the cloud's own images.
type imageInfo struct {
	id                       int
	slug, name, distribution string
	gigabytes                float64
}

// images are the distributions that lab machines can pass for. The numbers are the lab's own.
var images = []imageInfo{
	{195932981, "ubuntu-24-04-x64", "24.04 (LTS) x64", "Ubuntu", 2.64},
	{195932982, "ubuntu-22-04-x64", "22.04 (LTS) x64", "Ubuntu", 2.49},
	{195932983, "debian-12-x64", "12 x64", "Debian", 1.93},
	{195932984, "debian-13-x64", "13 x64", "Debian", 1.98},
	{195932985, "rockylinux-9-x64", "9 x64", "Rocky Linux", 1.91},
	{195932986, "fedora-42-x64", "42 x64", "Fedora", 1.72},
}

// imageCreated is when the images appeared, minDisk what they need.
const (
	imageCreated = "2026-06-01T00:00:00Z"
	minDisk      = 7
)

// taken are the ranges that no VPC may overlap anywhere, as DigitalOcean's documentation of VPC networks lists them.
var taken = []netip.Prefix{
	netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.245.0.0/16"), netip.MustParsePrefix("10.246.0.0/24"), netip.MustParsePrefix("10.229.0.0/16"),
}

// anchors are the ranges that DigitalOcean keeps for itself in a region: anchor addresses are of them, and no VPC of the
// region may overlap its own. What people have shown of Droplets is in lon1, nyc3, ams3, fra1, tor1, sfo2, blr1, sfo3 and
// syd1; the others follow by the order in which regions were opened.
var anchors = map[string]int{
	"nyc1": 10, "ams1": 11, "sfo1": 12, "nyc2": 13, "ams2": 14, "sgp1": 15, "lon1": 16, "nyc3": 17, "ams3": 18, "fra1": 19, "tor1": 20,
	"sfo2": 46, "blr1": 47, "sfo3": 48, "syd1": 49, "atl1": 50,
}

func anchorRange(region string) netip.Prefix {
	n, ok := anchors[region]
	if !ok {
		n = 51
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16)
}

// defaultRange is the range of a region's first VPC: a /20 of a block of the region's own.
func (c *catalogue) defaultRange(region string) netip.Prefix {
	i := slices.IndexFunc(c.regions, func(r regionInfo) bool { return r.slug == region })
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + 2*i), 0, 0}), 20)
}
