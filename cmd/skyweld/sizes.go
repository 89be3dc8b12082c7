package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/sizes"
)

// sizeColumns head the table of the sizes.
var sizeColumns = []string{"SIZE", "VCPUS", "MEMORY", "CLOUD", "TYPE", "PROCESSORS", "USD/HOUR", "IN"}

// sizeRows say what each size is at each cloud.
func sizeRows() [][]string {
	var out [][]string
	for _, s := range sizes.All() {
		processors := "its own"
		if s.Shared {
			processors = "shared"
		}
		out = append(out, []string{
			s.Name, strconv.Itoa(s.VCPUs), fmt.Sprintf("%g GiB", float64(s.MemoryMiB)/1024), s.Cloud, s.Type.Name, processors,
			strconv.FormatFloat(s.USD, 'f', 4, 64), sizes.PriceRegion(s.Cloud),
		})
	}
	return out
}

// ofSizes is said below the table.
const ofSizes = "Shared processors are whole for a while only: not for much work without a break. A cloud's own type works wherever a size does (t3.large, " +
	"e2-standard-4, Standard_D4as_v5, s-4vcpu-8gb), for the control plane one of 2 vCPUs and 2 GiB at least, for x86-64 everywhere. " +
	"One that a site's region or zone doesn't have is refused by the plan, which names the nearest that is there."

// sizes writes what the sizes are, and where that is from.
func (e explainer) sizes() error {
	fmt.Fprintf(e.out, "\n%s\n", e.paint.paint(bold, "SIZES:"))
	t := table{out: e.out}
	fmt.Fprintln(&t, strings.Join(sizeColumns, "\t"))
	for _, row := range sizeRows() {
		fmt.Fprintln(&t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.out, "\n%s\n\n%s\n", wrap(ofSizes, e.wide, ""), strings.Join(sizes.Sources(), "\n"))
	return err
}
