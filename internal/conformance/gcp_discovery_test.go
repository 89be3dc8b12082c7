package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// discovery is what is used of Google's discovery document of the API, which lies in the SDK's module.
type discovery struct {
	Resources map[string]struct {
		Methods map[string]*discoveryMethod
	}
	Parameters map[string]any
	Schemas    map[string]*discoverySchema
}

type discoveryMethod struct {
	HTTPMethod string
	Path       string
	Request    struct {
		Ref string `json:"$ref"`
	}
	Parameters map[string]struct {
		Type, Location, Pattern, Format string
		Required                        bool
	}
}

type discoverySchema struct {
	Type                 string
	Format               string
	Pattern              string
	Ref                  string `json:"$ref"`
	Enum                 []string
	Properties           map[string]*discoverySchema
	AdditionalProperties *discoverySchema
	Items                *discoverySchema
}

var loadDiscovery = sync.OnceValues(func() (*discovery, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("find the SDK's module: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "compute", "v1", "compute-api.json"))
	if err != nil {
		return nil, err
	}
	d := &discovery{}
	return d, json.Unmarshal(text, d)
})

// discoveryCheck holds every request of the API against the discovery document: method, path, parameters and body.
type discoveryCheck struct {
	t    *testing.T
	doc  *discovery
	next http.RoundTripper
}

func newDiscoveryCheck(t *testing.T, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	doc, err := loadDiscovery()
	if err != nil {
		t.Skipf("needs the discovery document of the API: %v", err)
	}
	return &discoveryCheck{t, doc, next}
}

func (c *discoveryCheck) RoundTrip(r *http.Request) (*http.Response, error) {
	path, ok := strings.CutPrefix(r.URL.Path, "/compute/v1/")
	if !ok { // the token endpoint
		return c.next.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	for _, problem := range c.doc.problems(r, path, body) {
		c.t.Errorf("%s %s: %s", r.Method, path, problem)
	}
	return c.next.RoundTrip(r)
}

func (d *discovery) problems(r *http.Request, path string, body []byte) []string {
	method, vars := d.method(r.Method, path)
	if method == nil {
		return []string{"the API has no such method"}
	}
	var out []string
	for name, value := range vars {
		if p := method.Parameters[name].Pattern; p != "" && !regexp.MustCompile("^(?:"+p+")$").MatchString(value) {
			out = append(out, fmt.Sprintf("%s %q isn't like %s", name, value, p))
		}
	}
	for name := range r.URL.Query() {
		if _, ok := method.Parameters[name]; !ok && d.Parameters[name] == nil {
			out = append(out, fmt.Sprintf("unknown parameter %q", name))
		}
	}
	for name, p := range method.Parameters {
		if p.Required && p.Location == "query" && !r.URL.Query().Has(name) {
			out = append(out, fmt.Sprintf("the parameter %q is missing", name))
		}
	}
	if method.Request.Ref == "" {
		if len(body) > 0 {
			out = append(out, "a body where there is none")
		}
		return out
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return append(out, "the body is not JSON: "+err.Error())
	}
	return append(out, d.check(&discoverySchema{Ref: method.Request.Ref}, v, method.Request.Ref)...)
}

// method finds the method of a path; where several fit, the one with fewer variables.
func (d *discovery) method(verb, path string) (best *discoveryMethod, vars map[string]string) {
	parts := strings.Split(path, "/")
	for _, resource := range d.Resources {
		for _, m := range resource.Methods {
			if m.HTTPMethod != verb {
				continue
			}
			if v, ok := match(strings.Split(m.Path, "/"), parts); ok && (best == nil || len(v) < len(vars)) {
				best, vars = m, v
			}
		}
	}
	return best, vars
}

func match(pattern, parts []string) (map[string]string, bool) {
	if len(pattern) != len(parts) {
		return nil, false
	}
	vars := map[string]string{}
	for i, p := range pattern {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			vars[strings.TrimSuffix(name, "}")] = parts[i]
		} else if p != parts[i] {
			return nil, false
		}
	}
	return vars, true
}

func (d *discovery) check(s *discoverySchema, v any, at string) (problems []string) {
	if s.Ref != "" {
		s = d.Schemas[s.Ref]
	}
	bad := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	switch v := v.(type) {
	case nil: // empties the field
	case map[string]any:
		if s.Type != "object" {
			bad("is an object, want %s", s.Type)
		}
		for k, item := range v {
			sub := s.Properties[k]
			if sub == nil {
				sub = s.AdditionalProperties
			}
			if sub == nil {
				bad("unknown field %q", k)
				continue
			}
			problems = append(problems, d.check(sub, item, at+"."+k)...)
		}
	case []any:
		if s.Type != "array" {
			bad("is a list, want %s", s.Type)
			break
		}
		for i, item := range v {
			problems = append(problems, d.check(s.Items, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case bool:
		if s.Type != "boolean" {
			bad("is %v, want %s", v, s.Type)
		}
	case json.Number:
		if s.Type != "integer" && s.Type != "number" {
			bad("is a number, want %s", s.Type)
		}
	case string:
		problems = append(problems, s.checkString(v, at)...)
	}
	return problems
}

func (s *discoverySchema) checkString(v, at string) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	if s.Type != "string" {
		bad("is %q, want %s", v, s.Type)
	}
	if _, err := strconv.ParseInt(v, 10, 64); err != nil && (s.Format == "int64" || s.Format == "uint64") {
		bad("is %q, want a number in quotes", v)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		bad("is %q, want one of %v", v, s.Enum)
	}
	if s.Pattern != "" && !regexp.MustCompile("^(?:"+s.Pattern+")$").MatchString(v) {
		bad("%q isn't like %s", v, s.Pattern)
	}
	return problems
}
