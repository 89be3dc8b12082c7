package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

// call is one request of somebody, who may be nobody yet, and what is answered.
type call struct {
	console *Console
	w       http.ResponseWriter
	r       *http.Request
	// who asks; without a role nobody is signed in.
	who  auth.Principal
	api  *api.Client
	csrf string
	now  time.Time
	// input is what a form was sent with, and what is wrong with it.
	input input
	// outcome is what do found out for show to tell.
	outcome any
}

func (c *Console) newCall(w http.ResponseWriter, r *http.Request, v auth.Session) *call {
	a := &call{console: c, w: w, r: r, who: v.Principal, now: c.opts.Now()}
	if a.who.Role.Valid() {
		a.api, a.csrf = c.opts.Client(a.who), auth.CSRF(v)
	}
	return a
}

func (a *call) ctx() context.Context { return a.r.Context() }

// arg is a part of the address, as in {name}.
func (a *call) arg(name string) string { return a.r.PathValue(name) }

// query is a parameter of the address.
func (a *call) query(name string) string { return a.r.URL.Query().Get(name) }

// number is a parameter of the address that is a number, 0 for none.
func (a *call) number(name string) int64 {
	n, _ := strconv.ParseInt(a.query(name), 10, 64)
	return n
}

// may says that who asks has a role's rights.
func (a *call) may(role auth.Role) bool { return a.who.Role.Includes(role) }

// The names of the fields that every form has.
const (
	csrfField = auth.CSRFField
	onceField = "once" // a form that is sent twice as it is does its work once
)

// onceMore is what tells one showing of a form from another.
func onceMore() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// strange says that a form comes from a page of another site.
func strange(r *http.Request) bool { return auth.SameOrigin(r) != nil }

// once is the API for what a form asks for: a form that is sent twice as it is does its work once.
func (a *call) once() *api.Client {
	if a.input.values.Get(onceField) == "" {
		return a.api
	}
	sum := sha256.Sum256([]byte(a.r.URL.Path + "?" + a.input.values.Encode()))
	return a.api.WithKey(hex.EncodeToString(sum[:16]))
}

// write answers with a view. What can't be shown whole is not begun.
func (a *call) write(status int, v view) {
	a.r = a.r.WithContext(context.WithValue(a.ctx(), callKey{}, a))
	var b bytes.Buffer
	whole := layout
	if a.r.Header.Get(liveHeader) != "" {
		whole = only
	}
	if err := whole(v).Render(a.ctx(), &b); err != nil {
		a.console.opts.Log.Error("a page could not be shown", "path", a.r.URL.Path, "err", err)
		if v.plain {
			http.Error(a.w, "something went wrong", http.StatusInternalServerError)
			return
		}
		a.console.errorPage(a.w, a.r, http.StatusInternalServerError)
		return
	}
	send(a.w, a.r, status, b.Bytes())
}

// liveHeader is on requests of the script for what of a page has changed.
const liveHeader = "Skyweld-Live"

// fail answers with a page that says what went wrong.
func (a *call) fail(err error) {
	status := statusOf(err)
	switch {
	case a.ctx().Err() != nil:
		return // nobody waits any more
	case status == http.StatusUnauthorized:
		a.console.askToSignIn(a.w, a.r)
		return
	case status >= 500:
		a.console.opts.Log.Error("a page failed", "path", a.r.URL.Path, "err", err)
	}
	a.write(status, view{title: titleOf(status), body: failure(status, err)})
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p.Status
	}
	if errors.Is(err, api.ErrNoEngine) {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

func titleOf(status int) string {
	switch status {
	case http.StatusForbidden:
		return "This takes another right"
	case http.StatusNotFound:
		return "Not found"
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
		return "That can't be done"
	case http.StatusBadGateway:
		return "Something outside this engine failed"
	}
	if status < 500 {
		return "That can't be done"
	}
	return "Something went wrong"
}

// forbidden is the problem of who lacks a right.
func forbidden(needs auth.Role) error {
	return &api.Problem{Status: http.StatusForbidden, Detail: fmt.Sprintf("this takes the role %s or more", needs)}
}

// input is what a form was sent with.
type input struct {
	values url.Values
	// notice is said above the form, problem what is wrong with it as a whole, fields what is wrong with each field.
	notice, problem string
	fields          map[string][]string
	// stale says that somebody else has changed what the form is about, edits how.
	stale bool
	edits []api.Edit
}

// value is what a field was sent with, or a usual value where the form wasn't sent.
func (in *input) value(name, usual string) string {
	if in.values.Has(name) {
		return in.values.Get(name)
	}
	return usual
}

// chosen says whether a box is ticked.
func (in *input) chosen(name, value string, usual bool) bool {
	if in.values == nil {
		return usual
	}
	for _, v := range in.values[name] {
		if v == value {
			return true
		}
	}
	return false
}

// take shows an error with the form, if it is one that whoever sent it can do something about.
func (in *input) take(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Status < 400 || p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden || p.Status == http.StatusNotFound || p.Status == http.StatusInternalServerError {
		return false
	}
	in.problem = sentence(p.Detail)
	in.stale, in.edits = p.Status == http.StatusPreconditionFailed, p.Edits
	if in.stale {
		in.problem = "Somebody else has changed this cluster since the page was shown. Nothing was done"
		return true
	}
	in.fields = map[string][]string{}
	for _, e := range p.Errors {
		at := strings.TrimPrefix(e.Location, "body.")
		in.fields[at] = append(in.fields[at], sentence(strings.TrimPrefix(e.Message, e.Location+": ")))
	}
	return true
}

// wrong notes a problem of one field, and is the error that shows the form again.
func (in *input) wrong(field, message string) error {
	p := &api.Problem{Status: http.StatusUnprocessableEntity, Title: "Unprocessable Entity", Detail: "Something is missing or wrong"}
	p.Errors = append(p.Errors, api.FieldError{Message: message, Location: field})
	return p
}

// of are the problems of a field.
func (in *input) of(field string) []string { return in.fields[field] }

// others are the problems of fields that the form doesn't have.
func (in *input) others(have ...string) []string {
	var out []string
	for _, at := range slices.Sorted(maps.Keys(in.fields)) {
		if slices.Contains(have, at) {
			continue
		}
		for _, m := range in.fields[at] {
			out = append(out, strings.TrimPrefix(at+": "+m, ": "))
		}
	}
	return out
}
