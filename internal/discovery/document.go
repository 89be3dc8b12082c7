// Package discovery holds calls of Google's Compute Engine API against the API's own discovery document: method, path,
// parameters, bodies of requests and of answers, and the form of errors. Tests put it between a client and a server, in
// process or as a handler in front, and let it judge both sides.
//
// It knows the form of what is said only. Whether a network may be deleted, or which error a wrong one gets, it can't say.
// It is for tests: it looks for the document in the source of Google's SDK, which the go command finds.
package discovery

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Document is what is used of a discovery document (https://developers.google.com/discovery/v1/reference/apis).
type Document struct {
	// Revision is the date of the document, "20261016".
	Revision string
	// Resources are the API's collections with their methods.
	Resources map[string]*struct {
		Methods map[string]*Method
	}
	// Parameters are those that every method takes.
	Parameters map[string]*Parameter
	// Schemas are the messages, by name.
	Schemas map[string]*Schema

	// byForm finds methods by HTTP method and number of path parts.
	byForm map[string][]*Method
}

// Method is one call of the API.
type Method struct {
	// ID is the method's name with the API's before it: "compute.networks.insert".
	ID                string
	HTTPMethod        string
	Path              string
	Request, Response struct {
		Ref string `json:"$ref"`
	}
	Parameters map[string]*Parameter
}

// Parameter is part of a path or a query.
type Parameter struct {
	Type, Format, Location, Pattern string
	Enum                            []string
	Required, Repeated              bool
}

// Schema is the type of a JSON value. It is JSON Schema's form of 2010 with "$ref" to a name and Google's formats.
type Schema struct {
	Type, Format, Pattern string
	Ref                   string `json:"$ref"`
	Default               string
	Enum                  []string
	Properties            map[string]*Schema
	AdditionalProperties  *Schema
	Items                 *Schema
	// Annotations.Required are the ids of methods whose requests must have the field.
	Annotations struct{ Required []string }
}

// Load returns the discovery document of Compute Engine, version 1, out of the module of Google's SDK that this module
// uses. It is read once. The error says where it was looked for.
var Load = sync.OnceValues(func() (*Document, error) {
	const sdk = "google.golang.org/api"
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", sdk).Output()
	if err != nil {
		return nil, fmt.Errorf("find the module %s by the go command: %w", sdk, err)
	}
	path := filepath.Join(strings.TrimSpace(string(dir)), "compute", "v1", "compute-api.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	d, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the discovery document %s: %w", path, err)
	}
	return d, nil
})

func parse(text []byte) (*Document, error) {
	d := &Document{byForm: map[string][]*Method{}}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, err
	}
	for _, r := range d.Resources {
		for _, m := range r.Methods {
			form := form(m.HTTPMethod, strings.Count(m.Path, "/"))
			d.byForm[form] = append(d.byForm[form], m)
		}
	}
	if len(d.byForm) == 0 || len(d.Schemas) == 0 {
		return nil, fmt.Errorf("it has no methods or no schemas")
	}
	return d, nil
}

func form(verb string, slashes int) string { return fmt.Sprint(verb, slashes) }

// Method finds the method of a path below the API's root ("projects/p/global/networks"), with the path's variables; where
// several fit, the one with fewer variables. It returns nil when the API has no such method.
func (d *Document) Method(verb, path string) (best *Method, vars map[string]string) {
	parts := strings.Split(path, "/")
	for _, m := range d.byForm[form(verb, len(parts)-1)] {
		if v, ok := match(strings.Split(m.Path, "/"), parts); ok && (best == nil || len(v) < len(vars)) {
			best, vars = m, v
		}
	}
	return best, vars
}

func match(pattern, parts []string) (map[string]string, bool) {
	vars := map[string]string{}
	for i, p := range pattern {
		switch name, isVar := strings.CutPrefix(p, "{"); {
		case isVar && parts[i] != "":
			vars[strings.TrimSuffix(name, "}")] = parts[i]
		case p != parts[i]:
			return nil, false
		}
	}
	return vars, true
}
