// Package armsdk holds calls of Azure Resource Manager against what the official Go SDK knows of the API: paths, versions,
// parameters, statuses, and the models of requests and answers with their members, types, enumerations and times. The SDK is
// generated from Azure's own description of the API; its clients, though, take whatever they are given and drop what they
// don't know. So its sources are read instead, and every call is walked by them.
//
// It knows the form of what is said only, not what Azure makes of it. It is for tests: it looks for the sources of the SDK
// by the go command.
package armsdk

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// modules are the SDK's, with what their operations are called.
var modules = []struct{ service, path string }{
	{"network", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"},
	{"compute", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"},
	{"resources", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"},
	{"subscriptions", "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"},
}

// Document is what the SDK knows of the API.
type Document struct {
	// Operations are all calls, by name.
	Operations []*Operation

	// byForm finds operations by HTTP method and number of path parts.
	byForm map[string][]*Operation
}

// Operation is one call of the API.
type Operation struct {
	// ID is its name: "network.Subnets.Delete".
	ID   string
	Verb string
	// Path has its parameters in braces, and no slash at the end; Version is the api-version that the SDK asks for.
	Path, Version string
	// Query are the parameters besides api-version.
	Query []string
	// Codes are the statuses that the SDK takes for success.
	Codes []int
	// Long says that it may go on after the answer.
	Long bool
	// Body and Answer are the types of the request's and the answer's body, "" for none.
	Body, Answer string

	parts   []string
	service *service
}

// service is one module of the SDK.
type service struct {
	name   string
	models map[string]*model
	// enums are the values by the name of the type.
	enums map[string][]string
}

// model is the type of a JSON object.
type model struct {
	// fields are the members by their JSON names.
	fields map[string]field
}

// field is a member of an object.
type field struct {
	// typ is the Go type: "[]*Subnet".
	typ      string
	required bool
}

// Load reads the SDK's sources, once.
var Load = sync.OnceValues(func() (*Document, error) {
	d := &Document{byForm: map[string][]*Operation{}}
	for _, m := range modules {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.path).Output()
		if err != nil {
			return nil, fmt.Errorf("find the module %s by the go command: %w", m.path, err)
		}
		if err := d.read(m.service, strings.TrimSpace(string(dir))); err != nil {
			return nil, fmt.Errorf("read the SDK's sources: %w", err)
		}
	}
	slices.SortFunc(d.Operations, func(a, b *Operation) int { return cmp.Compare(a.ID, b.ID) })
	for _, o := range d.Operations {
		o.parts = strings.Split(strings.Trim(o.Path, "/"), "/")
		form := fmt.Sprint(o.Verb, len(o.parts))
		d.byForm[form] = append(d.byForm[form], o)
	}
	return d, nil
})

// read adds one module.
func (d *Document) read(name, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	s := &source{service: &service{name: name, models: map[string]*model{}, enums: map[string][]string{}}, answers: map[string]string{}, structs: map[string]map[string]field{}}
	var clients []string
	for _, f := range files {
		base := filepath.Base(f)
		if strings.HasSuffix(base, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(base, "client.go"):
			clients = append(clients, string(text))
		case base == "models.go":
			s.readStructs(string(text))
		case base == "models_serde.go":
			s.readMembers(string(text)) // after models.go, by the order of names
		case base == "constants.go":
			s.readEnums(string(text))
		case base == "responses.go" || base == "response_types.go":
			s.readAnswers(string(text))
		}
	}
	before := len(d.Operations)
	for _, text := range clients {
		d.Operations = append(d.Operations, s.operations(text)...)
	}
	if len(d.Operations) == before || len(s.structs) == 0 || len(s.answers) == 0 {
		return fmt.Errorf("%s: %d operations, %d models and %d answers were found: the SDK is written in another way now", dir, len(d.Operations)-before, len(s.structs), len(s.answers))
	}
	return nil
}

// Operation returns the operation that a method and a path belong to, the one with the fewest parameters in its path; nil
// when there is none.
func (d *Document) Operation(verb, path string) *Operation {
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' }) // Azure takes two slashes for one
	var best *Operation
	fewest := len(parts) + 1
	for _, o := range d.byForm[fmt.Sprint(verb, len(parts))] {
		if n, ok := o.match(parts); ok && n < fewest {
			best, fewest = o, n
		}
	}
	return best
}

// match compares a path's parts with the operation's, names in any case as Azure does. It returns how many are parameters.
func (o *Operation) match(parts []string) (parameters int, ok bool) {
	for i, p := range o.parts {
		if strings.HasPrefix(p, "{") {
			parameters++
		} else if !strings.EqualFold(p, parts[i]) {
			return 0, false
		}
	}
	return parameters, true
}
