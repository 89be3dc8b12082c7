package web

import (
	"errors"
	"net/url"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

// section is one entry of the main navigation.
type section struct {
	text, href string
	needs      auth.Role
}

// sections are those there are, with the right that it takes to see each.
var sections = []section{
	{"Clusters", "/clusters", auth.Viewer},
	{"Accounts", "/accounts", auth.Viewer},
	{"Regions", "/regions", auth.Viewer},
	{"Receipts", "/receipts", auth.Viewer},
	{"Users", "/users", auth.Admin},
	{"Tokens", "/tokens", auth.Admin},
	{"Audit", "/audit", auth.Admin},
}

// roleWords say what a role may do.
func roleWords(r auth.Role) string {
	switch r {
	case auth.Viewer:
		return "A viewer sees everything but secrets, and changes nothing."
	case auth.Operator:
		return "An operator makes, changes, repairs and deletes clusters, and gets into them."
	case auth.Admin:
		return "An admin does everything, and manages accounts, users and tokens."
	}
	return ""
}

var themeWords = map[string]string{"auto": "as the system has them", "light": "light", "dark": "dark"}

// version is this program's.
func (a *call) version() string {
	if a.console == nil {
		return ""
	}
	return a.console.opts.Version
}

// address is that of the page that is shown, where a form that is about no page leads back to.
func (a *call) address() string {
	if a.r == nil {
		return "/"
	}
	return a.r.URL.RequestURI()
}

// errorWords are what people are told of an error. What isn't meant for them stays in the log.
func errorWords(err error) string {
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status < 500 || ok && p.Status == 502 || ok && p.Status == 507 {
		return p.Detail
	}
	if errors.Is(err, api.ErrNoEngine) {
		return "The engine doesn't answer."
	}
	return "The engine could not answer this."
}

func pathEscape(s string) string { return url.PathEscape(s) }

func query(s string) string { return url.QueryEscape(s) }

// signInTone is how bad what keeps somebody from being signed in is.
func signInTone(p signInPage) tone {
	if p.kept {
		return warning
	}
	return bad
}

// has says that the console has a page at an address.
func (a *call) has(path string) bool {
	return a.console != nil && a.console.has[path]
}
