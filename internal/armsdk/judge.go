package armsdk

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/internal/wiretap"
)

// Judge holds every call that passes it against the document, and counts. It is safe for concurrent use.
type Judge struct {
	// Tally counts the calls by operation, and refusals by code.
	*wiretap.Tally

	doc *Document
	// strict says that requests must be valid even where the server refuses them, and of the SDK's own version.
	strict bool
	report func(call, problem string)
}

// NewJudge returns a judge that reports each problem with the call that has it ("PUT /subscriptions/…: 200"). A strict one
// wants every request as the SDK would send it: for a client of ours. Else a request must be valid where the server accepted
// it, and may be of another version: for servers of ours, which strangers and tests of wrong requests call.
func NewJudge(doc *Document, strict bool, report func(call, problem string)) *Judge {
	return &Judge{Tally: wiretap.NewTally(), doc: doc, strict: strict, report: report}
}

// Transport is a client's transport through the judge.
func (j *Judge) Transport(next http.RoundTripper) http.RoundTripper {
	return wiretap.Transport(next, j.hear)
}

// Handler is a server behind the judge.
func (j *Judge) Handler(next http.Handler) http.Handler { return wiretap.Handler(next, j.hear) }

// hear judges a call of Resource Manager; what is another service's, like a request for a token, passes.
func (j *Judge) hear(x *wiretap.Exchange) {
	path := strings.ToLower(x.Request.URL.Path)
	if x.Status == 0 || path != "/subscriptions" && path != "/tenants" && !strings.HasPrefix(path, "/subscriptions/") && !strings.HasPrefix(path, "/providers") {
		return
	}
	name, problems := j.judge(x)
	j.Call(name)
	for _, p := range problems {
		j.report(fmt.Sprintf("%s %s: %d", x.Request.Method, x.Request.URL.Path, x.Status), p)
	}
}

// judge returns the operation's name and what is wrong.
func (j *Judge) judge(x *wiretap.Exchange) (name string, out []string) {
	o := j.doc.Operation(x.Request.Method, x.Request.URL.Path)
	var answer any
	if len(x.Answer) > 0 {
		var err error
		if answer, err = decode(x.Answer); err != nil {
			return "unknown", []string{"the answer is no JSON: " + err.Error()}
		}
		if form, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";"); form != "application/json" {
			out = append(out, fmt.Sprintf("the answer's content type is %q", form))
		}
	}
	accepted := x.Status < http.StatusBadRequest || o != nil && slices.Contains(o.Codes, x.Status)
	switch {
	case !accepted:
		out = append(out, j.refused(x, answer)...)
	case o == nil:
		return j.other(x, answer, out)
	default:
		out = append(out, o.checkAnswer(x, answer)...)
	}
	if o == nil {
		return "unknown", out
	}
	if accepted || j.strict {
		for _, p := range o.checkRequest(x, j.strict) {
			out = append(out, "request: "+p)
		}
	}
	return o.ID, out
}

// refused checks the form of an error. A HEAD has no body.
func (j *Judge) refused(x *wiretap.Exchange, answer any) []string {
	if x.Request.Method == http.MethodHead {
		return nil
	}
	object, _ := answer.(map[string]any)
	if len(object) != 1 || object["error"] == nil {
		return wrong("answer", answer, "an error in Azure's form")
	}
	code, out := checkError("answer.error", object["error"])
	j.Refusal(code)
	return out
}

// other checks what is answered to calls that the SDK has no client for: the states of operations, which its pollers ask
// for, and the caller's permissions, of which its module armauthorization knows.
func (j *Judge) other(x *wiretap.Exchange, answer any, out []string) (string, []string) {
	path := strings.ToLower(x.Request.URL.Path)
	switch {
	case x.Request.Method == http.MethodGet && operationID.MatchString(path):
		state, _ := answer.(map[string]any)
		if x.Status == http.StatusAccepted || x.Status == http.StatusNoContent {
			if answer != nil {
				out = append(out, wrong("answer", answer, "no body")...)
			}
		} else if state["status"] != nil && !strings.Contains(path, "operationresults") {
			out = append(out, checkOperation(answer)...)
		}
		return "operations", out
	case x.Request.Method == http.MethodGet && strings.HasSuffix(path, "/providers/microsoft.authorization/permissions"):
		return "permissions", out
	}
	return "unknown", append(out, "it is accepted, and the SDK has no such call")
}

// checkRequest holds what was sent against the operation.
func (o *Operation) checkRequest(x *wiretap.Exchange, strict bool) []string {
	var out []string
	if strict && strings.Contains(x.Request.URL.Path, "//") {
		out = append(out, "the path has an empty part")
	}
	q := x.Request.URL.Query()
	if v := q.Get("api-version"); v == "" || strict && v != o.Version {
		out = append(out, fmt.Sprintf("api-version %q, the SDK's is %s", v, o.Version))
	}
	for name := range q {
		if name != "api-version" && name != "$skiptoken" && !slices.Contains(o.Query, name) {
			out = append(out, fmt.Sprintf("%s has no parameter %s", o.ID, name))
		}
	}
	if len(x.Body) == 0 || o.Body == "" {
		if len(x.Body) != 0 && strict {
			out = append(out, o.ID+" has no body")
		} else if len(x.Body) == 0 && o.Body != "" && o.Body != "any" {
			out = append(out, o.ID+" needs a body")
		}
		return out
	}
	body, err := decode(x.Body)
	if err != nil {
		return append(out, "the body is no JSON: "+err.Error())
	}
	return append(out, o.service.check("body", o.Body, body, strict)...)
}

// checkAnswer holds an answer of success against the operation: status, body, and where a long operation is to be asked for.
func (o *Operation) checkAnswer(x *wiretap.Exchange, answer any) []string {
	var out []string
	if !slices.Contains(o.Codes, x.Status) {
		out = append(out, fmt.Sprintf("status %d, the SDK takes %v for success", x.Status, o.Codes))
	}
	ask := false
	for _, name := range []string{"Azure-AsyncOperation", "Location"} {
		v := x.Header.Get(name)
		if v == "" {
			continue
		}
		ask = true
		if u, err := url.Parse(v); err != nil || !u.IsAbs() || !operationID.MatchString(u.Path) || u.Query().Get("api-version") == "" {
			out = append(out, fmt.Sprintf("%s: %s: want the whole URL of an operation", name, v))
		}
		if after := x.Header.Get("Retry-After"); after != "" {
			if _, err := strconv.Atoi(after); err != nil {
				out = append(out, fmt.Sprintf("Retry-After: %s: want seconds", after))
			}
		}
	}
	if x.Status == http.StatusAccepted && !ask {
		out = append(out, "accepted, but there is nothing to ask for how it goes on")
	}
	if ask && !o.Long {
		out = append(out, o.ID+" is no long operation")
	}
	switch {
	case x.Request.Method == http.MethodHead:
	case answer == nil && o.Answer != "" && x.Status != http.StatusAccepted && x.Status != http.StatusNoContent:
		out = append(out, "the answer has no body, want "+o.Answer)
	case answer != nil && o.Answer == "":
		out = append(out, wrong("answer", answer, "no body")...)
	case answer != nil:
		out = append(out, o.service.check("answer", o.Answer, answer, false)...)
	}
	return out
}
