package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// modules are the SDK's, with what their operations are called in the table.
var modules = []struct{ service, path string }{
	{"network", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"},
	{"compute", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"},
	{"resources", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"},
	{"subscriptions", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"},
}

const routesHeader = `# Routes of Azure Resource Manager, read from the clients of the official Go SDK by lab/arm/gen.
# operation method path newest-api-version
`

var (
	function   = regexp.MustCompile(`(?m)^func \(client \*(\w*)Client\) (\w+)CreateRequest\(`)
	pathLine   = regexp.MustCompile(`urlPath := "([^"]+)"`)
	methodCall = regexp.MustCompile(`http\.Method(\w+)`)
	version    = regexp.MustCompile(`"api-version", "([^"]+)"`)
)

// writeRoutes lists operations, one a line: network.Subnets.Delete DELETE /subscriptions/{subscriptionId}/… 2025-03-01.
func writeRoutes(path string) error {
	var lines []string
	for _, m := range modules {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.path).Output()
		if err != nil {
			return fmt.Errorf("find the module %s: %w", m.path, err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*client.go"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no clients in %s: %w", dir, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			lines = append(lines, routes(m.service, string(text))...)
		}
	}
	slices.Sort(lines)
	var b bytes.Buffer
	b.WriteString(routesHeader)
	for _, l := range slices.Compact(lines) {
		fmt.Fprintln(&b, l)
	}
	return compress(path, b.Bytes(), nil)
}

// routes reads the operations of one client. Paths that end in a whole resource id are left out: they are the paths of all
// the others.
func routes(service, text string) []string {
	var out []string
	starts := function.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		body := text[at[0]:end]
		p, m, v := pathLine.FindStringSubmatch(body), methodCall.FindStringSubmatch(body), version.FindStringSubmatch(body)
		if p == nil || m == nil || v == nil || strings.HasPrefix(p[1], "/{") || strings.Contains(p[1], "{parentResourcePath}") {
			continue
		}
		client, name := text[at[2]:at[3]], text[at[4]:at[5]]
		operation := service + "." + client + "." + strings.ToUpper(name[:1]) + name[1:]
		if client == "" {
			operation = service + "." + strings.ToUpper(name[:1]) + name[1:]
		}
		out = append(out, strings.Join([]string{operation, strings.ToUpper(m[1]), strings.TrimSuffix(p[1], "/"), v[1]}, " "))
	}
	return out
}
