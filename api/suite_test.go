package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
	"github.com/skyweld/skyweld/web/webtest"
)

// sceneToken is the token of a webtest.Scene's API.
const sceneToken = "webtest"

const demoFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
spec:
  sites: [{name: one, account: my-aws, region: us-east-1}]
  controlPlane: {replicas: 1}
  workers: [{name: web, site: one, size: small, count: 1}]
`

// newScene is an engine at work with a cluster.
func newScene(tb testing.TB) *webtest.Scene {
	tb.Helper()
	s, _ := stoppable(tb)
	return s
}

// stoppable is newScene with what stops its engine and returns when it has come to rest.
func stoppable(tb testing.TB) (*webtest.Scene, func()) {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := webtest.New(ctx, webtest.Options{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	rest := func() { stop(); <-done }
	tb.Cleanup(func() { rest(); s.Store.Close() })
	go func() { defer close(done); _ = s.Engine.Run(ctx) }()
	if err := s.AddAccounts(ctx); err != nil {
		tb.Fatal(err)
	}
	if err := s.Apply(ctx, fmt.Sprintf(demoFile, "demo")); err != nil {
		tb.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.Until(wait, "demo", func(c store.Cluster) bool { return c.Phase == store.Ready }); err != nil {
		tb.Fatal(err)
	}
	return s, rest
}

// schema is as much of a JSON schema as the API's document has.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	MaxLength  *int               `json:"maxLength"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	MaxItems   *int               `json:"maxItems"`
	Enum       []any              `json:"enum"`
	Examples   []any              `json:"examples"`
	Default    any                `json:"default"`
}

type parameter struct {
	Name, In string
	Schema   *schema
}

type operation struct {
	method, path string
	Parameters   []parameter
	RequestBody  *struct {
		Content map[string]struct{ Schema *schema }
	}
	Responses map[string]any
}

type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]*schema }
}

func (d *document) resolve(s *schema) *schema {
	for s != nil && s.Ref != "" {
		s = d.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	return s
}

func (s *schema) is(kind string) bool {
	if s.Type == kind {
		return true
	}
	list, _ := s.Type.([]any)
	return slices.Contains(list, any(kind))
}

// good is a value that a schema allows.
func (d *document) good(s *schema) any {
	s = d.resolve(s)
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.is("object"):
		out := map[string]any{}
		for _, name := range s.Required {
			if p := s.Properties[name]; p != nil {
				out[name] = d.good(p)
			}
		}
		return out
	case s.is("array"):
		return []any{}
	case s.is("integer"), s.is("number"):
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 1
	case s.is("boolean"):
		return true
	}
	return "x"
}

// bad are values that a schema doesn't allow, by what is wrong with them.
func (d *document) bad(s *schema) map[string]any {
	s = d.resolve(s)
	out := map[string]any{}
	wrong := func(kind string, v any) {
		if !s.is(kind) && s.Type != nil && !(kind == "integer" && s.is("number")) {
			out["of type "+kind] = v
		}
	}
	wrong("string", "<script>alert(1)</script>")
	wrong("integer", 7)
	wrong("boolean", true)
	wrong("array", []any{1})
	wrong("object", map[string]any{"a": 1})
	if s.MaxLength != nil {
		out["too long"] = strings.Repeat("x", *s.MaxLength+1)
	}
	if s.Minimum != nil {
		out["too small"] = *s.Minimum - 1
	}
	if s.Maximum != nil {
		out["too large"] = *s.Maximum + 1
	}
	if s.MaxItems != nil {
		out["too many"] = slices.Repeat([]any{"x"}, *s.MaxItems+1)
	}
	if len(s.Enum) > 0 {
		out["none of those"] = "nobody-knows"
	}
	if s.is("integer") {
		out["a fraction"], out["beyond all"] = 1.5, json.RawMessage("1e400")
	}
	return out
}

// suite asks an engine for everything that its API's document has.
type suite struct {
	t     *testing.T
	scene *webtest.Scene
	doc   document
	asked int
}

// request sends one request and holds its answer against what must be so of all answers.
func (u *suite) request(what string, op operation, target string, body []byte, header map[string]string) *httptest.ResponseRecorder {
	u.t.Helper()
	u.asked++
	r, err := http.NewRequest(op.method, "http://127.0.0.1:1"+target, bytes.NewReader(body))
	if err != nil {
		u.t.Fatalf("%s: %v", what, err)
	}
	r.RequestURI, r.RemoteAddr = target, "127.0.0.1:9"
	r.Header.Set("Authorization", "Bearer "+sceneToken)
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	limit := 20 * time.Second
	if strings.HasSuffix(op.path, "/stream") {
		limit = 50 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(u.t.Context(), limit)
	defer cancel()
	w := httptest.NewRecorder()
	u.scene.API.ServeHTTP(w, r.WithContext(ctx))
	kind := w.Header().Get("Content-Type")
	text := w.Body.String()
	switch {
	case w.Code >= 500:
		u.t.Errorf("%s: %s %.200s %.200s: %d %.300s", what, op.method, target, body, w.Code, text)
	case w.Code >= 400 && kind != "application/problem+json":
		u.t.Errorf("%s: %s %.200s: %d of kind %q: %.300s", what, op.method, target, w.Code, kind, text)
	case w.Code >= 400:
		var p struct{ Type, Title, Detail, Instance string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Type == "" || p.Title == "" || p.Detail == "" || p.Instance == "" {
			u.t.Errorf("%s: %s %.200s: no problem: %.300s", what, op.method, target, text)
		}
	}
	if strings.Contains(text, "<script>") {
		u.t.Errorf("%s: %s %.200s: a script comes back as it was sent: %.300s", what, op.method, target, text)
	}
	return w
}

// fill puts names of what there is into a path.
func fill(path string) string {
	switch {
	case strings.Contains(path, "/clusters/{name}"):
		path = strings.Replace(path, "{name}", "demo", 1)
	case strings.Contains(path, "/accounts/{name}"):
		path = strings.Replace(path, "{name}", "my-aws", 1)
	}
	return strings.NewReplacer("{name}", "nobody", "{node}", "demo-web-1", "{id}", "1").Replace(path)
}

// TestSuite goes through every operation of the document, with what is valid, with each thing that can be wrong, and without
// the right to it.
func TestSuite(t *testing.T) {
	u := &suite{t: t, scene: newScene(t)}
	w := u.request("the document", operation{method: "GET", path: "/openapi.json"}, "/openapi.json", nil, nil)
	if err := json.Unmarshal(w.Body.Bytes(), &u.doc); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range u.doc.Paths {
		for method, op := range methods {
			op.method, op.path = strings.ToUpper(method), path
			all = append(all, op)
		}
	}
	order := []string{"GET", "POST", "DELETE"} // what is deleted is asked for last
	slices.SortFunc(all, func(a, b operation) int {
		if d := slices.Index(order, a.method) - slices.Index(order, b.method); d != 0 {
			return d
		}
		return strings.Compare(b.path, a.path) // what is below something before it
	})
	for _, op := range all {
		u.unauthorised(op)
		u.wrongParameters(op)
		u.wrongBodies(op)
	}
	for _, op := range all {
		u.valid(op)
	}
	t.Logf("%d requests for %d operations", u.asked, len(all))
}

func (u *suite) unauthorised(op operation) {
	for _, token := range []string{"", "Bearer ", "Bearer nobody", "Basic eDp5", "Bearer " + strings.Repeat("x", 5000)} {
		if w := u.request("no right", op, fill(op.path), []byte("{}"), map[string]string{"Authorization": token}); w.Code != http.StatusUnauthorized {
			u.t.Errorf("%s %s with %.20q: %d", op.method, op.path, token, w.Code)
		}
	}
}

// wrong wants a refusal because of what was sent.
func (u *suite) wrong(what string, op operation, target string, body []byte, header map[string]string) {
	u.t.Helper()
	if w := u.request(what, op, target, body, header); w.Code < 400 || w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
		u.t.Errorf("%s: %s %.200s %.200s is answered %d", what, op.method, target, body, w.Code)
	}
}

func (u *suite) wrongParameters(op operation) {
	body := u.bodyOf(op)
	for _, p := range op.Parameters {
		if p.In == "path" {
			for _, v := range []string{"%00", "..%2f..%2fetc%2fpasswd", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", strings.Repeat("x", 5000), "%ff", "a%0d%0aX-Evil:%201", "-1", "9223372036854775808", "'%20OR%201=1--"} {
				u.wrong("path "+p.Name, op, fill(strings.Replace(op.path, "{"+p.Name+"}", v, 1)), body, nil)
			}
			continue
		}
		for name, v := range u.doc.bad(p.Schema) {
			s := u.doc.resolve(p.Schema)
			if s.is("string") && name != "too long" && name != "none of those" || s.is("array") {
				continue // every text is one
			}
			text := fmt.Sprint(v)
			if raw, ok := v.(json.RawMessage); ok {
				text = string(raw)
			}
			if p.In == "header" {
				if text != "" && !strings.ContainsAny(text, "\r\n") {
					u.wrong("header "+p.Name+" "+name, op, fill(op.path), body, map[string]string{p.Name: text})
				}
				continue
			}
			u.wrong("query "+p.Name+" "+name, op, fill(op.path)+"?"+url.Values{p.Name: {text}}.Encode(), body, nil)
		}
	}
	u.wrong("an unknown parameter", op, fill(op.path)+"?nobody-knows=1", body, nil)
	if op.method == http.MethodGet {
		for _, method := range []string{"PATCH", "PUT", "TRACE"} {
			other := op
			other.method = method
			if w := u.request("another method", other, fill(op.path), nil, nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
				u.t.Errorf("%s %s: %d", method, op.path, w.Code)
			}
		}
		if w := u.request("nothing there", op, fill(op.path)+"/nothing/there", nil, nil); w.Code != http.StatusNotFound {
			u.t.Errorf("below %s: %d", op.path, w.Code)
		}
	}
}

func (u *suite) schemaOf(op operation) *schema {
	if op.RequestBody == nil {
		return nil
	}
	return u.doc.resolve(op.RequestBody.Content["application/json"].Schema)
}

func (u *suite) bodyOf(op operation) []byte {
	s := u.schemaOf(op)
	if s == nil {
		return nil
	}
	data, err := json.Marshal(u.doc.good(s))
	if err != nil {
		u.t.Fatal(err)
	}
	return data
}

func (u *suite) wrongBodies(op operation) {
	s := u.schemaOf(op)
	if s == nil {
		return
	}
	at := fill(op.path)
	for name, body := range map[string]string{
		"no body": "", "no JSON": "{", "a list": "[]", "null": "null", "a text": `"x"`, "deep": strings.Repeat(`{"a":`, 20000), "not UTF-8": "\xff\xfe", "an unknown field": `{"nobodyKnows":1}`, "a field twice over": `{"` + strings.Repeat("x", 100000) + `":1}`,
	} {
		u.wrong(name, op, at, []byte(body), nil)
	}
	if w := u.request("10 MB", op, at, bytes.Repeat([]byte(" "), 10<<20), nil); w.Code != http.StatusRequestEntityTooLarge {
		u.t.Errorf("10 MB to %s %s: %d", op.method, op.path, w.Code)
	}
	u.wrong("another kind", op, at, u.bodyOf(op), map[string]string{"Content-Type": "text/html"})
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		for what, v := range u.doc.bad(s.Properties[name]) {
			whole, ok := u.doc.good(s).(map[string]any)
			if !ok {
				continue
			}
			whole[name] = v
			data, err := json.Marshal(whole)
			if err != nil {
				continue
			}
			u.wrong(name+" "+what, op, at, data, nil)
		}
	}
	for _, name := range s.Required {
		whole, ok := u.doc.good(s).(map[string]any)
		if !ok {
			continue
		}
		delete(whole, name)
		data, _ := json.Marshal(whole)
		u.wrong("without "+name, op, at, data, nil)
	}
}

// valid sends what the document allows: the answer is one that it tells of.
func (u *suite) valid(op operation) {
	w := u.request("valid", op, fill(op.path), u.bodyOf(op), nil)
	if _, ok := op.Responses[fmt.Sprint(w.Code)]; !ok {
		u.t.Errorf("%s %s is answered %d, of which the document doesn't tell: %.300s", op.method, op.path, w.Code, w.Body)
	}
	if w.Code == http.StatusAccepted && strings.Contains(op.path, "/clusters") && !strings.HasPrefix(w.Header().Get("Location"), "/api/v1/changes/") {
		u.t.Errorf("%s %s is accepted, and Location is %q", op.method, op.path, w.Header().Get("Location"))
	}
}
