// Package sizes knows which machine type of each cloud stands behind Skyweld's own sizes, and what the clouds' types have:
// processors, memory, price. It is pure and of a day: what a region offers, and for how much, its cloud says.
package sizes

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./gen -data ${SKYWELD_DATA} -out .

// sizesCSV is the table of the sizes. The generator chose each row by this rule, and its test holds it to that:
//
// A size is exactly so many vCPUs and so much memory, on amd64, without GPUs. Of the types that are just that, those of the
// cloud's current general-purpose families are taken, which the generator lists; small may be of a family with shared
// processors, medium and large may not, as etcd suffers where a machine runs out of credit. Of those, the ones that at least
// nine tenths of the cloud's regions have. Of those, the cheapest, in one region by its price on demand; then the one of the
// newest generation; then the first by name.
//
// A row is a promise: a machine of another type than its size stands for is replaced.
//
//go:embed sizes.csv
var sizesCSV string

// typesGz are all types of the clouds that are known.
//
//go:embed types.csv.gz
var typesGz []byte

// Names are the sizes, the smallest first. Any other word for a size is a cloud's own type.
func Names() []string { return []string{"small", "medium", "large"} }

// Type is a cloud's machine type.
type Type struct {
	// Cloud is aws, azure, digitalocean or gcp.
	Cloud string
	Name  string
	VCPUs int
	// MemoryMiB is 0 where it isn't known.
	MemoryMiB int
	// Arch is the processor in Go's words: amd64 or arm64.
	Arch string
	GPUs int
	// USD is the price of an hour on demand in the region PriceRegion(Cloud), without tax; 0 where it isn't known.
	USD float64
}

// Size is a size at one cloud.
type Size struct {
	Type
	// Name is small, medium or large.
	Name string
	// Shared says that others use the processors too: a machine has a part of them for good, and the whole for a while.
	Shared bool
}

type key struct{ cloud, name string }

type table struct {
	sizes []Size
	types map[key]Type
}

// load reads the embedded tables. They are part of the program: a bad one is a bug.
var load = sync.OnceValue(func() *table {
	t := &table{types: map[key]Type{}}
	gz, err := gzip.NewReader(bytes.NewReader(typesGz))
	if err != nil {
		panic(fmt.Sprintf("sizes: embedded table: %v", err))
	}
	for _, r := range records(gz) {
		t.types[keyOf(r[0], r[1])] = Type{Cloud: r[0], Name: r[1], VCPUs: int(number(r[2])), MemoryMiB: int(number(r[3])), Arch: r[4], GPUs: int(number(r[5])), USD: number(r[6])}
	}
	for _, r := range records(strings.NewReader(sizesCSV)) {
		t.sizes = append(t.sizes, Size{Name: r[0], Type: t.types[keyOf(r[1], r[2])], Shared: r[6] == "shared"})
	}
	return t
})

// keyOf is what a type is found by. Azure takes its types in any casing, the others have only small letters.
func keyOf(cloud, name string) key { return key{cloud, strings.ToLower(name)} }

func records(from io.Reader) [][]string {
	r := csv.NewReader(from)
	r.Comment = '#'
	all, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("sizes: embedded table: %v", err))
	}
	return all[1:]
}

// number reads a figure; an empty one isn't known.
func number(s string) float64 {
	if s == "" {
		return 0
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("sizes: embedded table: %v", err))
	}
	return v
}

// All lists the sizes, the smallest first, each at every cloud by the clouds' names.
func All() []Size { return slices.Clone(load().sizes) }

// TypeName is the machine type that a size is at a cloud; any other word is a type's name already.
func TypeName(cloud, size string) string {
	for _, s := range load().sizes {
		if s.Name == size && s.Cloud == cloud {
			return s.Type.Name
		}
	}
	return size
}

// Lookup finds a machine type of a cloud; ok is false for one that isn't known, which a cloud may have all the same.
func Lookup(cloud, name string) (t Type, ok bool) {
	t, ok = load().types[keyOf(cloud, name)]
	return t, ok
}

// priceRegions are where prices are of: the regions of one metro.
var priceRegions = map[string]string{"aws": "us-east-1", "azure": "eastus", "digitalocean": "nyc1", "gcp": "us-east4"}

// PriceRegion is the region of a cloud that prices are of.
func PriceRegion(cloud string) string { return priceRegions[cloud] }

// Sources says in lines where the table of the sizes is from, and of when.
func Sources() []string {
	var out []string
	for line := range strings.Lines(sizesCSV) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		out = append(out, strings.TrimSpace(text))
	}
	return out
}
