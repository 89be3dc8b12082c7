package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/skyweld/skyweld/internal/armsdk"
	"github.com/skyweld/skyweld/internal/facts"
)

const routesHeader = `# Routes of Azure Resource Manager, read from the clients of the official Go SDK by lab/arm/gen.
# operation method path newest-api-version
`

// writeRoutes lists operations, one a line: network.Subnets.Delete DELETE /subscriptions/{subscriptionId}/… 2025-03-01.
func writeRoutes(path string) error {
	doc, err := armsdk.Load()
	if err != nil {
		return err
	}
	var lines []string
	for _, o := range doc.Operations {
		lines = append(lines, fmt.Sprintln(o.ID, o.Verb, o.Path, o.Version))
	}
	slices.Sort(lines)
	b := bytes.NewBufferString(routesHeader)
	for _, l := range slices.Compact(lines) {
		b.WriteString(l)
	}
	return facts.WritePacked(path, b.Bytes())
}
