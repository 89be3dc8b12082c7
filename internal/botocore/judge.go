package botocore

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/skyweld/skyweld/internal/wiretap"
)

// Judge watches requests and answers go by, counts them, and reports what the models don't allow. It changes nothing. What
// it returns may be used from several goroutines.
type Judge struct {
	// Requests and Answers say which of the two are held against the models; all are counted.
	Requests, Answers bool
	// Report is told of each thing that is wrong, like testing's Errorf.
	Report func(format string, args ...any)
	// Tally counts; several judges may share one.
	Tally *Tally

	models map[string]*Model
}

// NewJudge returns a judge of both requests and answers. The error says how to get the models.
func NewJudge(report func(format string, args ...any)) (*Judge, error) {
	models, err := Models()
	if err != nil {
		return nil, err
	}
	return &Judge{Requests: true, Answers: true, Report: report, Tally: NewTally(), models: models}, nil
}

// Handler returns a handler that judges what goes to another one and what comes back.
func (j *Judge) Handler(next http.Handler) http.Handler { return wiretap.Handler(next, j.hear) }

// Transport returns a transport that judges what goes through another one.
func (j *Judge) Transport(next http.RoundTripper) http.RoundTripper {
	return wiretap.Transport(next, j.hear)
}

func (j *Judge) hear(x *wiretap.Exchange) { j.judge(x.Request, x.Body, x.Status, x.Answer) }

// judge judges a request, and its answer unless the status is 0. Requests to other services are reported.
func (j *Judge) judge(r *http.Request, body []byte, status int, answer []byte) {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		j.judgeJSON(r, target, body, status, answer)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		j.complain(j.Requests, r.URL.String(), "the body is no form: "+err.Error())
		return
	}
	action := form.Get("Action")
	model := j.models[form.Get("Version")]
	if model == nil {
		j.complain(j.Requests, "request "+action, fmt.Sprintf("version %q is none of EC2 or STS", form.Get("Version")))
		return
	}
	j.Tally.Call(action)
	if j.Requests {
		j.complain(true, "request "+action, checkHTTP(r, "application/x-www-form-urlencoded")...)
		j.complain(true, "request "+action, model.CheckRequest(form)...)
	}
	switch {
	case status == http.StatusOK:
		if j.Answers {
			j.complain(true, "answer to "+action, model.CheckAnswer(action, answer)...)
		}
	case status != 0:
		j.refused(action, func() (string, []string) { return model.CheckError(answer) })
	}
}

// judgeJSON does the same with the JSON protocol.
func (j *Judge) judgeJSON(r *http.Request, target string, body []byte, status int, answer []byte) {
	prefix, action, _ := strings.Cut(target, ".")
	model := j.models[prefix]
	if model == nil || !model.Has(action) {
		j.complain(j.Requests, "request "+target, "is none of Service Quotas")
		return
	}
	op := model.Operations[action]
	j.Tally.Call(action)
	if j.Requests {
		j.complain(true, "request "+action, checkHTTP(r, "application/x-amz-json-1.1")...)
		j.complain(true, "request "+action, model.checkJSON(body, op.Input.Shape, true)...)
	}
	switch {
	case status == http.StatusOK:
		if j.Answers {
			j.complain(true, "answer to "+action, model.checkJSON(answer, op.Output.Shape, false)...)
		}
	case status != 0:
		j.refused(action, func() (string, []string) { return checkJSONError(answer) })
	}
}

func (j *Judge) refused(action string, check func() (code string, complaints []string)) {
	code, complaints := check()
	if code == "" {
		code = "(none)"
	}
	j.Tally.Refusal(code)
	j.complain(j.Answers, "answer to "+action, complaints...)
}

// checkHTTP checks what all protocols ask of a request's HTTP.
func checkHTTP(r *http.Request, contentType string) []string {
	var all []string
	if r.Method != http.MethodPost || r.URL.Path != "/" && r.URL.Path != "" || r.URL.RawQuery != "" {
		all = append(all, fmt.Sprintf("%s %s, want POST / without a query", r.Method, r.URL.RequestURI()))
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind != contentType {
		all = append(all, fmt.Sprintf("Content-Type %q, want %s", r.Header.Get("Content-Type"), contentType))
	}
	return all
}

func (j *Judge) complain(on bool, about string, complaints ...string) {
	for _, c := range complaints {
		if on {
			j.Report("%s: %s", about, c)
		}
	}
}
