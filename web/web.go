package web

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

// Options are what a console is made with.
type Options struct {
	// Client is the API as somebody who was found out already.
	Client func(auth.Principal) *api.Client
	// Elsewhere is the path that leads to another sign-in, and its name; both are empty where there is none.
	Elsewhere func() (path, name string)
	// Version is this program's, for people to see.
	Version string
	// Now is the clock; nil for the real one.
	Now func() time.Time
	// Log takes what went wrong inside; nil for the default one.
	Log *slog.Logger
}

// Console is the console's handler.
type Console struct {
	opts Options
	mux  *http.ServeMux
	// has are the paths of its pages.
	has map[string]bool
	// kept are forms of people whose session had ended.
	kept keeper
}

// New makes the console. It belongs behind api.Server.Console, which finds out who is signed in.
func New(o Options) *Console {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c := &Console{opts: o, mux: http.NewServeMux(), has: map[string]bool{}, kept: keeper{now: o.Now}}
	c.mux.Handle("GET /assets/", assets)
	c.mux.HandleFunc("POST /theme", c.setTheme)
	c.mux.HandleFunc("GET "+auth.FormPath, c.showSignIn)
	for _, p := range joined(
		clusterPages, nodePages, actionPages, receiptPages, latencyPages, runPages, changePages, resourcePages, filePages,
		accountPages,
		createPages,
		peoplePages,
		auditPages, regionPages,
	) {
		c.has[p.path] = true
		c.mux.HandleFunc("GET "+p.path, func(w http.ResponseWriter, r *http.Request) { c.show(w, r, p) })
		if p.do != nil {
			c.mux.HandleFunc("POST "+p.path, func(w http.ResponseWriter, r *http.Request) { c.do(w, r, p) })
		}
	}
	for _, d := range joined(actionDownloads, accountDownloads) {
		c.mux.HandleFunc("GET "+d.path, func(w http.ResponseWriter, r *http.Request) { c.download(w, r, d) })
	}
	c.mux.HandleFunc("/", c.nowhere)
	return c
}

// Pages are the patterns of the addresses that show a page, in their order.
func (c *Console) Pages() []string { return slices.Sorted(maps.Keys(c.has)) }

// longestForm is the size of the largest form, in bytes: a cluster file, and what is around it.
const longestForm = 3 << 20

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			c.opts.Log.Error("a page panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			c.errorPage(w, r, http.StatusInternalServerError)
		}
	}()
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	c.mux.ServeHTTP(w, r)
}

// page is one address of the console.
type page struct {
	// path is a pattern of http.ServeMux without its method. A form is sent to the address of the page that shows it, so that
	// the page can show it again with what was entered.
	path string
	// needs is the right that it takes to see the page, writes the one to send its form.
	needs, writes auth.Role
	show          func(*call) (view, error)
	// do does what the page's form asks for and says where to go on; nil where the page has no form.
	do func(*call) (string, error)
}

// download is an address that answers with a file.
type download struct {
	path  string
	needs auth.Role
	file  func(*call) (name, kind string, content []byte, err error)
}

func joined[T any](lists ...[]T) []T {
	var out []T
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// view is what a page shows.
type view struct {
	// title is the page's own, for the browser's tab and the top of the page.
	title string
	// section is the entry of the main navigation that it belongs to.
	section string
	// crumbs lead from the section to the page.
	crumbs []link
	body   templ.Component
	// live is the name of the cluster whose changes the page follows, everyCluster for all; empty for a page that stays as it
	// is.
	live string
	// redirect leads to another page in place of this one.
	redirect string
	// plain leaves out what only who is signed in sees.
	plain bool
}

// everyCluster follows all clusters.
const everyCluster = "*"

// link is a text that leads somewhere.
type link struct{ text, href string }

// session is somebody's who is signed in, one without a role where nobody is.
func (c *Console) session(r *http.Request) auth.Session { return auth.SessionFrom(r.Context()) }

// show answers with a page.
func (c *Console) show(w http.ResponseWriter, r *http.Request, p page) {
	v := c.session(r)
	if !v.Principal.Role.Valid() {
		c.askToSignIn(w, r)
		return
	}
	a := c.newCall(w, r, v)
	if !a.may(p.needs) {
		a.fail(forbidden(p.needs))
		return
	}
	if f, ok := c.kept.take(w, r); ok {
		a.input.values = f.values
		a.input.notice = "You were signed out before the form arrived, so nothing was done. What you entered is still here: look it over and send it again."
		if f.dropped {
			a.input.notice += " Secrets were kept nowhere: enter them again."
		}
	}
	a.page(p, http.StatusOK)
}

// page writes the page of a call.
func (a *call) page(p page, status int) {
	v, err := p.show(a)
	if err != nil {
		a.fail(err)
		return
	}
	if v.redirect != "" {
		http.Redirect(a.w, a.r, v.redirect, http.StatusSeeOther)
		return
	}
	a.write(status, v)
}

// do does what a form asks for. What is wrong with the form is shown beside it.
func (c *Console) do(w http.ResponseWriter, r *http.Request, p page) {
	if err := r.ParseForm(); err != nil {
		c.badForm(w, r, err)
		return
	}
	if strange(r) {
		c.refuseForm(w, r, "it was sent by a page of another site")
		return
	}
	v := c.session(r)
	if !v.Principal.Role.Valid() {
		c.askToSignIn(w, r)
		return
	}
	a := c.newCall(w, r, v)
	a.input.values = r.PostForm
	if !auth.CheckCSRF(v, r.PostForm.Get(csrfField)) {
		a.input.notice = "You have signed in anew since this form was shown, so nothing was done. What you entered is still here: look it over and send it again."
		a.page(p, http.StatusForbidden)
		return
	}
	if !a.may(p.writes) {
		a.fail(forbidden(p.writes))
		return
	}
	to, err := p.do(a)
	switch {
	case err == nil && to == "": // the answer is the page, with what was found out
		a.page(p, http.StatusOK)
	case err == nil:
		http.Redirect(w, r, to, http.StatusSeeOther)
	case a.input.take(err):
		a.page(p, statusOf(err))
	default:
		a.fail(err)
	}
}

// download answers with a file.
func (c *Console) download(w http.ResponseWriter, r *http.Request, d download) {
	v := c.session(r)
	if !v.Principal.Role.Valid() {
		c.askToSignIn(w, r)
		return
	}
	a := c.newCall(w, r, v)
	if !a.may(d.needs) {
		a.fail(forbidden(d.needs))
		return
	}
	name, kind, content, err := d.file(a)
	if err != nil {
		a.fail(err)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s"`, safeName(name)))
	_, _ = w.Write(content)
}

// safeName is a name without what could end it early in a header.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, name)
}

// nowhere answers addresses that there aren't.
func (c *Console) nowhere(w http.ResponseWriter, r *http.Request) {
	v := c.session(r)
	if !v.Principal.Role.Valid() {
		c.askToSignIn(w, r)
		return
	}
	a := c.newCall(w, r, v)
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		http.Redirect(w, r, "/clusters", http.StatusSeeOther)
		return
	}
	a.fail(&api.Problem{Status: http.StatusNotFound, Detail: "there is no such page: " + r.URL.Path})
}

type callKey struct{}

// callOf is the call that a component is rendered for.
func callOf(ctx context.Context) *call {
	a, _ := ctx.Value(callKey{}).(*call)
	if a == nil {
		a = &call{}
	}
	return a
}
