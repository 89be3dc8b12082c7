package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

const (
	ec2Version  = "2016-11-15"
	ec2XMLSpace = "http://ec2.amazonaws.com/doc/2016-11-15/"
	maxBody     = 4 << 20
)

// call is one request while its action runs, under the service's lock.
type call struct {
	*Service
	ctx       context.Context
	region    *region
	where     Region
	action    string
	requestID string
	digest    string // of the parameters without the client token
	now       time.Time
	dryRun    bool
	dirty     bool
	then      []func() // run after the lock is released and the records are written
}

// answer is what an action returns; the request id goes in front of it.
type answer interface{ setRequestID(string) }

// meta is embedded first in every answer.
type meta struct {
	RequestID string `xml:"requestId"`
}

func (m *meta) setRequestID(id string) { m.RequestID = id }

// doneAnswer is the answer of actions that have nothing to tell.
type doneAnswer struct {
	meta
	Return bool `xml:"return"`
}

func done() (*doneAnswer, error) { return &doneAnswer{Return: true}, nil }

// set is a list in an answer. It is written even when empty, as clients read an absent list as no answer at all.
type set[T any] struct {
	Items []T `xml:"item"`
}

func setOf[T any](items []T) set[T] { return set[T]{Items: items} }

// action decodes a request's parameters and does what it asks for.
type action func(*call, *query.Node) (answer, error)

// do makes an action of a typed function.
func do[In any, Out answer](f func(*call, *In) (Out, error)) action {
	return func(c *call, form *query.Node) (answer, error) {
		in := new(In)
		if err := query.Decode(form, in); err != nil {
			return nil, err
		}
		return f(c, in)
	}
}

var errDryRun = apiErrorf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")

// commit stands in every changing action between the last check and the first change: a dry run ends there.
func (c *call) commit() error {
	if c.dryRun {
		return errDryRun
	}
	c.dirty = true
	return nil
}

// ServeHTTP answers a request to one of the services; the signature's scope says which and for which region, and Service
// Quotas is known by the header of its protocol.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newRequestID()
	w.Header().Set("X-Amzn-Requestid", id)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, id, apiErrorf("RequestEntityTooLarge", "The request is larger than %d bytes", maxBody))
		return
	}
	if r.URL.Path != "/" && r.URL.Path != "" || r.Method != http.MethodPost && r.Method != http.MethodGet {
		writeError(w, id, apiErrorf("InvalidAction", "There is nothing at %s %s", r.Method, r.URL.Path))
		return
	}
	sign, problem := query.ReadScope(r)
	if problem == query.OK {
		problem = sign.Verify(r, body, s.cfg.AccessKeyID, s.cfg.SecretAccessKey, s.cfg.Clock())
	}
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), quotasTarget) {
		s.serveQuotas(w, r, body, problem, sign)
		return
	}
	form, err := readForm(r, body)
	if err != nil {
		writeError(w, id, err)
		return
	}
	if sign.Service == "sts" || sign.Service == "" && form.Get("Version") == stsVersion {
		s.serveSTS(w, id, form, problem, sign, s.cfg.Clock())
		return
	}
	out, err := s.serveEC2(r.Context(), id, form, problem, sign)
	if err != nil {
		s.logRefusal(form.Get("Action"), sign.Region, err)
		writeError(w, id, err)
		return
	}
	out.setRequestID(id)
	writeXML(w, http.StatusOK, xml.StartElement{Name: xml.Name{Space: ec2XMLSpace, Local: form.Get("Action") + "Response"}}, out)
}

// readForm returns the parameters of the query and the body together.
func readForm(r *http.Request, body []byte) (url.Values, error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, apiErrorf("MalformedQueryString", "The query string contains a syntax error")
	}
	if r.Method == http.MethodPost {
		posted, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, apiErrorf("MalformedQueryString", "The request body contains a syntax error")
		}
		for k, v := range posted {
			form[k] = append(form[k], v...)
		}
	}
	return form, nil
}

// serveEC2 checks who asks for what and runs the action.
func (s *Service) serveEC2(ctx context.Context, id string, form url.Values, problem query.Problem, sign query.Scope) (answer, error) {
	if err := ec2SignError(problem, sign); err != nil {
		return nil, err
	}
	if sign.Service != "ec2" {
		return nil, apiErrorf("AuthFailure", "Credential should be scoped to correct service: 'ec2'.")
	}
	where, ok := s.cfg.Catalogue.region(sign.Region)
	if !ok {
		return nil, apiErrorf("AuthFailure", "Credential should be scoped to a valid region, not '%s'.", sign.Region)
	}
	if !s.enabled(where) {
		return nil, apiErrorf("AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	name := form.Get("Action")
	run, ok := actions[name]
	switch {
	case name == "":
		return nil, missingParameter("Action")
	case form.Get("Version") == "":
		return nil, missingParameter("Version")
	case form.Get("Version") != ec2Version:
		return nil, apiErrorf("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", form.Get("Version"))
	case !ok && apiActions()[name]:
		return nil, apiErrorf("UnsupportedOperation", "The operation %s is not supported here", name)
	case !ok:
		return nil, apiErrorf("InvalidAction", "The action %s is not valid for this web service.", name)
	}
	c := &call{Service: s, ctx: ctx, where: where, action: name, requestID: id, digest: digest(form), now: s.cfg.Clock()}
	switch v := form.Get("DryRun"); v {
	case "", "false", "False":
	case "true", "True":
		c.dryRun = true
	default:
		return nil, invalidValue(v, "DryRun", "Expected: true or false")
	}
	tree, err := query.ParseForm(form, func(name string) bool {
		return slices.Contains([]string{"Action", "Version", "DryRun"}, name) || strings.HasPrefix(name, "X-Amz-")
	})
	if err != nil {
		return nil, err
	}
	return s.run(c, run, tree)
}

// run does an action under the lock and makes what it changed durable before it is answered.
func (s *Service) run(c *call, run action, form *query.Node) (answer, error) {
	s.mu.Lock()
	c.region = s.region(c.where.Name)
	out, err := run(c, form)
	if c.dirty {
		s.changed(c.region)
	}
	s.mu.Unlock()
	if err == nil && c.dryRun {
		return nil, errDryRun
	}
	if perr := s.persist(); perr != nil {
		s.log.Error("EC2's records are not written", "error", perr)
		return nil, apiErrorf("InternalError", "An internal error has occurred")
	}
	for _, f := range c.then {
		f()
	}
	return out, err
}

// digest identifies a request's parameters, for the idempotency of client tokens.
func digest(form url.Values) string {
	h := sha256.New()
	for _, k := range sortedKeys(form) {
		if k != "ClientToken" && !strings.HasPrefix(k, "X-Amz-") {
			io.WriteString(h, url.QueryEscape(k)+"="+url.QueryEscape(strings.Join(form[k], "\x00"))+"&")
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// repeated returns what an earlier request with the same client token made, nil for the first one. remember is its
// counterpart.
func (c *call) repeated(token string) ([]string, error) {
	if len(token) > 64 {
		return nil, apiErrorf("InvalidParameterValue", "Length of ClientToken must be at most 64 ASCII characters")
	}
	before, ok := c.region.Tokens[c.action+" "+token]
	if token == "" || !ok {
		return nil, nil
	}
	if before.Digest != c.digest {
		return nil, apiErrorf("IdempotentParameterMismatch",
			"The client token you have provided is associated with a resource using different parameters. Please use a different client token.")
	}
	return before.IDs, nil
}

func (c *call) remember(token string, ids ...string) {
	if token != "" {
		c.region.Tokens[c.action+" "+token] = clientAnswer{Digest: c.digest, IDs: ids, At: c.now}
	}
}

// ec2SignError words a bad signature as EC2 does.
func ec2SignError(p query.Problem, sign query.Scope) error {
	switch p {
	case query.OK:
		return nil
	case query.NoSignature:
		return apiErrorf("MissingParameter", "The request must contain the parameter AWSAccessKeyId")
	case query.Expired:
		return apiErrorf("RequestExpired", "Request has expired.")
	}
	return apiErrorf("AuthFailure", "AWS was not able to validate the provided access credentials")
}

func (s *Service) logRefusal(action, region string, err error) {
	var e *apiError
	if errors.As(err, &e) {
		s.log.LogAttrs(context.Background(), slog.LevelDebug, "EC2 refused a request",
			slog.String("action", action), slog.String("region", region), slog.String("code", e.Code), slog.String("message", e.Message))
	}
}

// errorAnswer is EC2's form of an error.
type errorAnswer struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}

func writeError(w http.ResponseWriter, id string, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{Code: "InternalError", Message: "An internal error has occurred", Status: http.StatusInternalServerError}
	}
	writeXML(w, e.Status, xml.StartElement{Name: xml.Name{Local: "Response"}},
		errorAnswer{Code: e.Code, Message: e.Message, RequestID: id})
}

func writeXML(w http.ResponseWriter, status int, start xml.StartElement, v any) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("Server", "AmazonEC2")
	w.WriteHeader(status)
	io.WriteString(w, xml.Header)
	// The client may be gone; there is nobody to tell.
	_ = xml.NewEncoder(w).EncodeElement(v, start)
}
