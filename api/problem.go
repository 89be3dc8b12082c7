package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/spec"
)

// maxBody is the size of the largest request, in bytes: a cluster file as a JSON string may be twice as long as it is.
const maxBody = 2 << 20

var tooLarge = fmt.Sprintf("the request's body is too large; want at most %d bytes: a cluster file has at most %d", maxBody, spec.MaxFile)

// Problem is an answer that says no (RFC 9457).
type Problem struct {
	// Type names the sort of problem; docs/api.md has them all.
	Type   string `json:"type" format:"uri" doc:"the sort of problem; docs/api.md lists them" example:"https://skyweld.dev/problems/invalid"`
	Title  string `json:"title" doc:"the sort of problem in words" example:"Unprocessable Entity"`
	Status int    `json:"status" doc:"the HTTP status" example:"422"`
	Detail string `json:"detail" doc:"what is wrong, for people" example:"the request is not valid"`
	// Instance is the path that was asked for.
	Instance string       `json:"instance,omitempty" format:"uri-reference" doc:"the path that was asked for"`
	Errors   []FieldError `json:"errors,omitempty" doc:"each thing that is wrong, where that can be told"`
	// Edits are, of a cluster that isn't as it was, what was asked of it since.
	Edits []Edit `json:"edits,omitempty" doc:"of a cluster that isn't as it was: what was asked of it since"`
}

// FieldError is what is wrong with one field.
type FieldError struct {
	Message string `json:"message"`
	// Location is a path like "body.count", "query.limit" or, in a cluster file, "spec.sites[0].region".
	Location string `json:"location,omitempty" example:"spec.sites[0].region"`
	// Pointer is the field's JSON pointer (RFC 6901) in the body or the cluster file; empty for what is in neither.
	Pointer string `json:"pointer,omitempty" example:"/spec/sites/0/region"`

	// value is what was found; it may be a secret, and is in no answer.
	value any
}

// problemTypes name the sorts of problems by status.
var problemTypes = map[int]string{
	http.StatusBadRequest: "bad-request", http.StatusUnauthorized: "unauthenticated", http.StatusForbidden: "forbidden", http.StatusNotFound: "not-found",
	http.StatusMethodNotAllowed: "method-not-allowed", http.StatusNotAcceptable: "not-acceptable", http.StatusRequestTimeout: "too-slow", http.StatusConflict: "conflict",
	http.StatusPreconditionFailed: "stale", http.StatusRequestEntityTooLarge: "too-large", http.StatusUnsupportedMediaType: "media-type",
	http.StatusMisdirectedRequest: "misdirected", http.StatusUnprocessableEntity: "invalid", http.StatusTooManyRequests: "throttled",
	http.StatusInternalServerError: "internal", http.StatusBadGateway: "cloud", http.StatusServiceUnavailable: "unavailable", http.StatusInsufficientStorage: "full",
}

// newProblem makes a problem; errors that are about a field become part of it.
func newProblem(status int, detail string, errs ...error) *Problem {
	p := &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
	if name := problemTypes[status]; name != "" {
		p.Type = "https://skyweld.dev/problems/" + name
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		e := FieldError{Message: err.Error()}
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			e = FieldError{Message: d.Message, Location: d.Location, value: d.Value}
		}
		p.Errors = append(p.Errors, e)
	}
	return p
}

// The framework makes its errors by this variable.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		return newProblem(status, detail, errs...)
	}
}

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (*Problem) ContentType(string) string { return "application/problem+json" }

// pointerTo is the JSON pointer of a location, empty for one that isn't in a document.
func pointerTo(location string) string {
	rest := strings.TrimPrefix(location, "body.")
	for _, where := range []string{"query.", "path.", "header.", "cookie."} {
		if strings.HasPrefix(location, where) {
			return ""
		}
	}
	if rest == "" || rest == "body" {
		return ""
	}
	var b strings.Builder
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for _, part := range strings.FieldsFunc(rest, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		b.WriteString("/" + escape.Replace(part))
	}
	return b.String()
}

// refuse writes a problem (RFC 9457) for requests that don't get as far as an operation.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	p := newProblem(status, detail)
	p.Instance = r.URL.EscapedPath()
	_ = json.NewEncoder(w).Encode(p)
}

// route answers paths and methods that no operation has with a problem, in place of the mux's plain text.
func route(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			refuse(w, r, http.StatusRequestEntityTooLarge, tooLarge)
			return
		}
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		plain := &statusOnly{header: w.Header(), status: http.StatusOK}
		h.ServeHTTP(plain, r)
		switch plain.status {
		case http.StatusMethodNotAllowed:
			refuse(w, r, plain.status, fmt.Sprintf("%s cannot be done with %s; want one of %s", r.Method, r.URL.Path, w.Header().Get("Allow")))
		default:
			refuse(w, r, http.StatusNotFound, fmt.Sprintf("there is nothing at %s: /openapi.json lists what there is", r.URL.Path))
		}
	})
}

// statusOnly takes down the status of an answer and drops its body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// shown is the URL of a proxy without its password.
func shown(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return "[unreadable]"
	}
	return u.Redacted()
}

// words puts what the framework says about a request into words that say what is wanted, with the field's path, and drops
// the values that it repeats: they may be secrets.
func words(schemas huma.Registry) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		m, ok := v.(*Problem)
		if !ok {
			return v, nil
		}
		out := *m
		at := ctx.URL()
		out.Instance = at.EscapedPath()
		switch {
		case out.Detail == "validation failed":
			out.Detail = "the request is not valid"
		case out.Detail == "request body is required":
			out.Detail = "the request has no body; want JSON"
		case strings.HasPrefix(out.Detail, "request body is too large"):
			out.Detail = tooLarge
		}
		out.Errors = nil
		for _, e := range m.Errors {
			e = inWords(schemas, ctx.Operation(), e)
			e.Pointer = pointerTo(e.Location)
			out.Errors = append(out.Errors, e)
		}
		return &out, nil
	}
}

var (
	required  = regexp.MustCompile(`^expected required property (\S+) to be present$`)
	wantMore  = regexp.MustCompile(`^expected number >= (\S+)$`)
	wantLess  = regexp.MustCompile(`^expected number <= (\S+)$`)
	wantShort = regexp.MustCompile(`^expected length <= (\d+)$`)
	wantType  = regexp.MustCompile(`^(?:expected|invalid) (string|integer|number|boolean|array|object)$`)
	wantOne   = regexp.MustCompile(`^expected value to be one of "(.*)"$`)
	badType   = regexp.MustCompile(`^unknown content type: (.*)$`)
)

var typeNames = map[string]string{
	"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list", "object": "an object",
}

func inWords(schemas huma.Registry, op *huma.Operation, e FieldError) FieldError {
	at, msg := e.Location, e.Message
	switch {
	case required.MatchString(msg):
		return FieldError{Location: at + "." + required.FindStringSubmatch(msg)[1], Message: "missing"}
	case msg == "unexpected property":
		return FieldError{Location: at, Message: "unknown field" + knownFields(schemas, op, at)}
	case wantMore.MatchString(msg):
		msg = "want " + wantMore.FindStringSubmatch(msg)[1] + " or more"
	case wantLess.MatchString(msg):
		msg = "want " + wantLess.FindStringSubmatch(msg)[1] + " or less"
	case wantShort.MatchString(msg):
		msg = "too long; want at most " + wantShort.FindStringSubmatch(msg)[1] + " characters"
	case wantOne.MatchString(msg):
		msg = "want one of " + wantOne.FindStringSubmatch(msg)[1]
	case wantType.MatchString(msg):
		msg = "want " + typeNames[wantType.FindStringSubmatch(msg)[1]]
	case badType.MatchString(msg):
		at, msg = "header.Content-Type", fmt.Sprintf("found %q: want application/json", badType.FindStringSubmatch(msg)[1])
	case at == "body" && strings.HasPrefix(msg, "json: cannot unmarshal number "):
		msg = "a number is too large"
	case at == "body" && strings.Contains(msg, "JSON"), at == "body" && strings.HasPrefix(msg, "invalid character"):
		text, _ := e.value.(string)
		msg = notJSON(text)
	}
	return FieldError{Location: at, Message: msg}
}

// notJSON says where a body stops being JSON.
func notJSON(text string) string {
	var v any
	err := json.Unmarshal([]byte(text), &v)
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return "it is not JSON"
	}
	if int(syntax.Offset) >= len(text) {
		return "it is not JSON: it ends in the middle"
	}
	before := text[:max(0, syntax.Offset-1)]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("it is not JSON from line %d, column %d on", line, column)
}

// knownFields lists the fields at the top of an operation's body.
func knownFields(schemas huma.Registry, op *huma.Operation, at string) string {
	if op == nil || op.RequestBody == nil || strings.Count(at, ".") != 1 {
		return ""
	}
	media := op.RequestBody.Content["application/json"]
	if media == nil || media.Schema == nil {
		return ""
	}
	schema := media.Schema
	if schema.Ref != "" {
		schema = schemas.SchemaFromRef(schema.Ref)
	}
	return "; known here: " + strings.Join(slices.Sorted(maps.Keys(schema.Properties)), ", ")
}
