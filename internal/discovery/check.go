package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Call is one exchange with the API.
type Call struct {
	// Verb is the HTTP method, Path what follows the API's root, without a slash before it.
	Verb, Path string
	Query      url.Values
	Body       []byte
	// Code is the answer's HTTP status.
	Code   int
	Answer []byte
}

// tolerated are values of parameters that the document forbids and the API takes, by method and parameter, with the reason.
// They are for requests that aren't strict.
var tolerated = map[string]struct{ value, why string }{
	"compute.imageFamilyViews.get zone": {"-", "any zone: so gcloud asks for the newest image of a family"},
}

// former are parameters of lists that earlier revisions of the document had, and clients made from those still send. They
// are for requests that aren't strict.
var former = []string{"returnPartialSuccess"}

// Request returns what is wrong with a call's request, by the document; nothing when it is valid. A strict look also wants
// the fields that the document calls required. It does so of some that the API fills in itself, as a route's priority.
func (d *Document) Request(c *Call, strict bool) []string {
	m, vars := d.Method(c.Verb, c.Path)
	if m == nil {
		return []string{"the API has no such method"}
	}
	w := &walk{d: d, method: m.ID, strict: strict}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		p, fine := m.Parameters[name], tolerated[m.ID+" "+name]
		if p != nil && (strict || fine.why == "" || fine.value != vars[name]) {
			w.parameter(name, vars[name], p)
		}
	}
	w.query(m, c.Query)
	w.body(m.Request.Ref, c.Body)
	return w.problems
}

func (w *walk) query(m *Method, given url.Values) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p := m.Parameters[name]
		if p == nil || p.Location != "query" {
			p = w.d.Parameters[strings.Replace(name, "$fields", "fields", 1)]
		}
		if p == nil {
			if w.strict || !slices.Contains(former, name) {
				w.bad("unknown parameter %q", name)
			}
			continue
		}
		if len(given[name]) > 1 && !p.Repeated {
			w.bad("the parameter %q is there %d times", name, len(given[name]))
		}
		for _, v := range given[name] {
			w.parameter(name, v, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		if p := m.Parameters[name]; p.Required && p.Location == "query" && !given.Has(name) {
			w.bad("the parameter %q is missing", name)
		}
	}
}

// Answer returns what is wrong with a call's answer, by the document or, for an error, by the form that Google's errors
// have; nothing when it is valid.
func (d *Document) Answer(c *Call) []string {
	w := &walk{d: d, answer: true, partial: c.Query.Has("fields") || c.Query.Has("$fields")}
	if c.Code >= http.StatusBadRequest {
		w.failure(c.Answer, c.Code)
		return w.problems
	}
	m, _ := d.Method(c.Verb, c.Path)
	if m == nil {
		return []string{"the API has no such method, and yet it answers"}
	}
	w.method = m.ID
	w.body(m.Response.Ref, c.Answer)
	return w.problems
}

// walk goes through one message and collects what is wrong.
type walk struct {
	d        *Document
	method   string
	answer   bool
	strict   bool
	partial  bool // the client asked for some fields only
	problems []string
}

func (w *walk) bad(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *walk) parameter(name, value string, p *Parameter) {
	s := &Schema{Type: p.Type, Format: p.Format, Pattern: p.Pattern, Enum: p.Enum}
	switch p.Type {
	case "boolean":
		if !w.strict { // the API takes Python's True as well, as gcloud sends it
			value = strings.ToLower(value)
		}
		if value != "true" && value != "false" {
			w.bad("parameter %s: %q is no boolean", name, value)
		}
	case "integer":
		w.integer(s, value, "parameter "+name)
	default:
		w.text(s, value, "parameter "+name)
	}
}

// body checks a message against the schema of a name, none for a method without one.
func (w *walk) body(ref string, text []byte) {
	if ref == "" {
		text = bytes.TrimSpace(text)
		if !w.answer && !w.strict && string(text) == `""` { // so Google's client for JavaScript sends nothing
			return
		}
		if len(text) > 0 {
			w.bad("a body where there is none: %.60q", text)
		}
		return
	}
	v, err := decode(text)
	if err != nil {
		w.bad("the body is not JSON: %v", err)
		return
	}
	w.value(&Schema{Ref: ref}, v, ref)
}

func decode(text []byte) (any, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("something follows the value")
	}
	return v, nil
}

func (w *walk) value(s *Schema, v any, at string) {
	if s.Ref != "" {
		s = w.d.Schemas[s.Ref]
	}
	if s.Type == "any" {
		return
	}
	switch v := v.(type) {
	case nil:
		if w.answer { // in a request it empties the field
			w.bad("%s: is null", at)
		}
	case map[string]any:
		w.object(s, v, at)
	case []any:
		if s.Type != "array" {
			w.bad("%s: is a list, want %s", at, s.Type)
			return
		}
		for i, item := range v {
			w.value(s.Items, item, fmt.Sprintf("%s[%d]", at, i))
		}
	case bool:
		if s.Type != "boolean" {
			w.bad("%s: is %v, want %s", at, v, s.Type)
		}
	case json.Number:
		switch s.Type {
		case "integer":
			w.integer(s, v.String(), at)
		case "number":
		default:
			w.bad("%s: is the number %s, want %s", at, v, s.Type)
		}
	case string:
		if s.Type != "string" {
			w.bad("%s: is %q, want %s", at, v, s.Type)
			return
		}
		w.text(s, v, at)
	}
}

func (w *walk) object(s *Schema, m map[string]any, at string) {
	if s.Type != "object" {
		w.bad("%s: is an object, want %s", at, s.Type)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		sub := s.Properties[k]
		if sub == nil {
			sub = s.AdditionalProperties
		}
		if sub == nil {
			w.bad("%s: unknown field %q", at, k)
			continue
		}
		w.value(sub, m[k], at+"."+k)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[k]
		_, given := m[k]
		switch {
		case w.strict && !given && slices.Contains(p.Annotations.Required, w.method):
			w.bad("%s: the field %q is missing", at, k)
		case w.answer && k == "kind" && p.Default != "" && !given && !w.partial && !strings.ContainsAny(at, ".["):
			w.bad("%s: the kind %q is missing", at, p.Default)
		case w.answer && k == "kind" && p.Default != "" && given && m[k] != p.Default:
			w.bad("%s: the kind is %q, want %q", at, m[k], p.Default)
		}
	}
}

// integer checks a whole number's range by its format.
func (w *walk) integer(s *Schema, text, at string) {
	var err error
	switch s.Format {
	case "uint32":
		_, err = strconv.ParseUint(text, 10, 32)
	case "int32":
		_, err = strconv.ParseInt(text, 10, 32)
	default:
		_, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		w.bad("%s: %q is no number of the format %q", at, text, s.Format)
	}
}

// compiled are the document's patterns, which hold for whole values.
var compiled sync.Map // string to *regexp.Regexp

func fits(pattern, text string) bool {
	re, ok := compiled.Load(pattern)
	if !ok {
		re, _ = compiled.LoadOrStore(pattern, regexp.MustCompile("^(?:"+pattern+")$"))
	}
	return re.(*regexp.Regexp).MatchString(text)
}

var (
	base64Form   = regexp.MustCompile(`^[A-Za-z0-9+/_-]*={0,2}$`)
	durationForm = regexp.MustCompile(`^-?\d+(\.\d{1,9})?s$`)
)

// text checks a string by its format, enumeration and pattern.
func (w *walk) text(s *Schema, text, at string) {
	ok := true
	switch s.Format {
	case "uint64":
		_, err := strconv.ParseUint(text, 10, 64)
		ok = err == nil
	case "int64":
		_, err := strconv.ParseInt(text, 10, 64)
		ok = err == nil
	case "byte":
		ok = base64Form.MatchString(text)
	case "google-duration":
		ok = durationForm.MatchString(text)
	case "google-datetime":
		ok = isTime(text)
	}
	if !ok {
		w.bad("%s: %q is not of the format %q", at, text, s.Format)
	}
	// The API's times are strings without a format; their descriptions say that they are as in RFC 3339.
	if last := at[strings.LastIndexByte(at, '.')+1:]; w.answer && (strings.HasSuffix(last, "Timestamp") || strings.HasSuffix(last, "Time")) && !isTime(text) {
		w.bad("%s: %q is no time in RFC 3339's form", at, text)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		w.bad("%s: %q is not in the enumeration", at, text)
	}
	if s.Pattern != "" && !fits(s.Pattern, text) {
		w.bad("%s: %q isn't like %s", at, text, s.Pattern)
	}
}

func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339Nano, text)
	return err == nil
}

// errorFields are what an error and each item of its list may have, as recorded ones show and the guide to the API's
// errors says (https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-using-apis).
var (
	errorFields = []string{"code", "message", "errors", "status", "details"}
	itemFields  = []string{"message", "domain", "reason", "location", "locationType", "debugInfo"}
)

// failure checks an error answer: {"error": {"code", "message", "errors": [{"message", "domain", "reason"}]}}.
func (w *walk) failure(text []byte, code int) {
	v, err := decode(text)
	if err != nil {
		w.bad("the error is not JSON: %v", err)
		return
	}
	m, _ := v.(map[string]any)
	e, _ := m["error"].(map[string]any)
	list, _ := e["errors"].([]any)
	if len(m) != 1 || len(list) == 0 {
		w.bad("not an error of Google's form: %s", text)
		return
	}
	if fmt.Sprint(e["code"]) != strconv.Itoa(code) {
		w.bad("the error's code is %v, the answer's status %d", e["code"], code)
	}
	w.known("error", e, errorFields)
	for i, v := range list {
		at := fmt.Sprintf("error.errors[%d]", i)
		item, _ := v.(map[string]any)
		w.known(at, item, itemFields)
		for _, k := range itemFields[:3] {
			if s, _ := item[k].(string); s == "" {
				w.bad("%s: %q is missing", at, k)
			}
		}
		if i == 0 && item["message"] != e["message"] {
			w.bad("%s: its message is %q, the error's %q", at, item["message"], e["message"])
		}
	}
}

func (w *walk) known(at string, m map[string]any, fields []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(fields, k) {
			w.bad("%s: unknown field %q", at, k)
		}
	}
}
