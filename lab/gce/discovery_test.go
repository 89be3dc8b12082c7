package gce

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

// The discovery check: every answer of the API that a test gets is held against Google's discovery document, which lies
// in the SDK's module. No field may be unknown, and each has the type, format and enumeration the document says.

type discoverySchema struct {
	Type                 string
	Format               string
	Ref                  string `json:"$ref"`
	Enum                 []string
	Properties           map[string]*discoverySchema
	AdditionalProperties *discoverySchema
	Items                *discoverySchema
}

type discoveryFile struct {
	Resources map[string]struct {
		Methods map[string]struct {
			HTTPMethod string
			Path       string
			Request    struct {
				Ref string `json:"$ref"`
			}
			Response struct {
				Ref string `json:"$ref"`
			}
			Parameters map[string]any
		}
	}
	Parameters map[string]any
	Schemas    map[string]*discoverySchema
}

var loadDiscovery = sync.OnceValues(func() (*discoveryFile, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		return nil, fmt.Errorf("find the SDK's module: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "compute", "v1", "compute-api.json"))
	if err != nil {
		return nil, err
	}
	d := &discoveryFile{}
	return d, json.Unmarshal(text, d)
})

// checkedTransport passes requests on and checks requests and answers.
type checkedTransport struct {
	t    *testing.T
	base http.RoundTripper
}

func (c *checkedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	if path, ok := strings.CutPrefix(r.URL.Path, "/compute/v1/"); ok && r.URL.Query().Get("fields") == "" {
		for _, problem := range checkAnswer(r.Method, path, resp.StatusCode, text) {
			c.t.Errorf("%s %s: %d: %s", r.Method, path, resp.StatusCode, problem)
		}
	}
	return resp, nil
}

func checkAnswer(method, path string, code int, text []byte) []string {
	d, err := loadDiscovery()
	if err != nil {
		return []string{err.Error()}
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if code == http.StatusNoContent {
		return nil
	}
	if err := dec.Decode(&v); err != nil {
		return []string{"not JSON: " + err.Error()}
	}
	if code >= 400 {
		return checkError(v, code)
	}
	id := methodOf(method, path)
	if id == "" {
		return []string{"no such method in the discovery document"}
	}
	resource, name, _ := strings.Cut(id, ".")
	ref := d.Resources[resource].Methods[name].Response.Ref
	var problems []string
	d.check(&discoverySchema{Ref: ref}, v, ref, &problems)
	return problems
}

func methodOf(method, path string) string {
	table := methodTable{}
	for _, m := range loadMethods() {
		k := tableKey(m.http, len(m.parts))
		table[k] = append(table[k], &m)
	}
	if m := table.find(method, strings.Split(path, "/")); m != nil {
		return m.id
	}
	return ""
}

// checkError holds an error answer against the form that recorded ones have.
func checkError(v any, code int) []string {
	m, _ := v.(map[string]any)
	e, _ := m["error"].(map[string]any)
	list, _ := e["errors"].([]any)
	if len(m) != 1 || fmt.Sprint(e["code"]) != strconv.Itoa(code) || len(list) == 0 {
		return []string{fmt.Sprintf("not an error of Google's form: %v", v)}
	}
	for _, item := range list {
		i, _ := item.(map[string]any)
		if i["message"] != e["message"] || i["domain"] != "global" || i["reason"] == "" {
			return []string{fmt.Sprintf("not an error of Google's form: %v", v)}
		}
	}
	return nil
}

var (
	timePattern  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-0[78]:00$`)
	bytesPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+=*$`)
)

func (d *discoveryFile) check(s *discoverySchema, v any, at string, problems *[]string) {
	fail := func(format string, args ...any) { *problems = append(*problems, at+": "+fmt.Sprintf(format, args...)) }
	if s.Ref != "" {
		s = d.Schemas[s.Ref]
	}
	switch s.Type {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			fail("is %T, not an object", v)
			return
		}
		for k, item := range m {
			sub := s.Properties[k]
			if sub == nil {
				sub = s.AdditionalProperties
			}
			if sub == nil {
				fail("unknown field %q", k)
				continue
			}
			d.check(sub, item, at+"."+k, problems)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			fail("is %T, not an array", v)
			return
		}
		for i, item := range list {
			d.check(s.Items, item, fmt.Sprintf("%s[%d]", at, i), problems)
		}
	case "string":
		text, ok := v.(string)
		if !ok {
			fail("is %T, not a string", v)
			return
		}
		d.checkString(s, text, at, fail)
	case "integer":
		n, ok := v.(json.Number)
		if _, err := strconv.ParseInt(n.String(), 10, 64); !ok || err != nil {
			fail("is %v, not an integer", v)
		}
	case "number":
		if _, ok := v.(json.Number); !ok {
			fail("is %T, not a number", v)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			fail("is %T, not a boolean", v)
		}
	}
}

func (d *discoveryFile) checkString(s *discoverySchema, text, at string, fail func(string, ...any)) {
	switch s.Format {
	case "uint64":
		if _, err := strconv.ParseUint(text, 10, 64); err != nil {
			fail("%q is no number", text)
		}
	case "int64":
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			fail("%q is no number", text)
		}
	case "byte":
		if !bytesPattern.MatchString(text) {
			fail("%q is not base64", text)
		}
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		fail("%q is not in the enumeration", text)
	}
	if strings.HasSuffix(at, "Timestamp") || strings.HasSuffix(at, "Time") {
		if !timePattern.MatchString(text) {
			fail("%q is no time in Google's form", text)
		}
	}
}
