package discovery

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/internal/wiretap"
)

// root is the path under which Compute Engine's API, version 1, lies on every host.
const root = "/compute/v1/"

// Judge holds every call that passes it against the document, and counts. It is safe for concurrent use.
type Judge struct {
	doc *Document
	// strict says that requests must be valid even where the server refuses them.
	strict bool
	report func(call, problem string)

	mu    sync.Mutex
	calls map[string]int
	codes map[int]int
}

// NewJudge returns a judge that reports each problem with the call that has it ("POST projects/p/global/networks: 200").
// A strict one wants every request valid: for a client of ours. Else a request must be valid where the server accepted it:
// for servers of ours, whose tests send wrong ones to see them refused.
func NewJudge(doc *Document, strict bool, report func(call, problem string)) *Judge {
	return &Judge{doc: doc, strict: strict, report: report, calls: map[string]int{}, codes: map[int]int{}}
}

// Transport is a client's transport through the judge.
func (j *Judge) Transport(next http.RoundTripper) http.RoundTripper {
	return wiretap.Transport(next, j.hear)
}

// Handler is a server behind the judge.
func (j *Judge) Handler(next http.Handler) http.Handler { return wiretap.Handler(next, j.hear) }

// hear judges what was answered.
func (j *Judge) hear(x *wiretap.Exchange) {
	if x.Status != 0 {
		j.judge(x.Request, x.Body, x.Status, x.Header, x.Answer)
	}
}

// judge takes an exchange apart into calls; what is none of the API, like a request for a token, passes.
func (j *Judge) judge(r *http.Request, body []byte, code int, header http.Header, answer []byte) {
	if strings.HasPrefix(r.URL.Path, "/batch") {
		calls, err := batch(r.Header.Get("Content-Type"), body, header.Get("Content-Type"), answer)
		if err != nil {
			j.report(fmt.Sprintf("%s %s: %d", r.Method, r.URL.Path, code), err.Error())
		}
		for i := range calls {
			j.call(&calls[i])
		}
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, root)
	if !ok {
		return
	}
	verb := r.Method
	if over := r.Header.Get("X-HTTP-Method-Override"); over != "" && verb == http.MethodPost {
		verb = over
	}
	c := &Call{Verb: verb, Path: path, Query: r.URL.Query(), Body: body, Code: code, Answer: answer}
	if form, _, _ := strings.Cut(header.Get("Content-Type"), ";"); code != http.StatusNoContent && form != "application/json" {
		j.report(c.String(), fmt.Sprintf("the answer's content type is %q", form))
	}
	j.call(c)
}

// String names the call and the answer's status.
func (c *Call) String() string { return fmt.Sprintf("%s %s: %d", c.Verb, c.Path, c.Code) }

func (j *Judge) call(c *Call) {
	var problems []string
	if j.strict || c.Code < http.StatusBadRequest {
		for _, p := range j.doc.Request(c, j.strict) {
			problems = append(problems, "request: "+p)
		}
	}
	problems = append(problems, j.doc.Answer(c)...)
	for _, p := range problems {
		j.report(c.String(), p)
	}
	id := "unknown"
	if m, _ := j.doc.Method(c.Verb, c.Path); m != nil {
		id = strings.TrimPrefix(m.ID, "compute.")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls[id]++
	j.codes[c.Code]++
}

// Calls returns how often each method was called, by its id without the API's name: "networks.insert".
func (j *Judge) Calls() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.calls)
}

// Summary is a line of counts for a test's log: all calls, each method's and each status'.
func (j *Judge) Summary() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	total := 0
	var methods, codes []string
	for _, id := range slices.Sorted(maps.Keys(j.calls)) {
		total += j.calls[id]
		methods = append(methods, fmt.Sprintf("%s %d", id, j.calls[id]))
	}
	for _, code := range slices.Sorted(maps.Keys(j.codes)) {
		codes = append(codes, fmt.Sprintf("%d: %d", code, j.codes[code]))
	}
	return fmt.Sprintf("%d calls of %d methods (%s); status %s", total, len(methods), strings.Join(methods, ", "), strings.Join(codes, ", "))
}
