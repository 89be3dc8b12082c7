package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/auth"
)

// secretField says that a field is kept nowhere: whoever filled it in does so again.
func secretField(name string) bool {
	return strings.HasPrefix(name, "secret") || strings.HasPrefix(name, "password") || name == csrfField || name == onceField
}

// signInPage is what the page for signing in shows. The form goes to package auth.
type signInPage struct {
	name, next, problem string
	// kept says that a form waits for whoever signs in.
	kept bool
	// external is the path of another sign-in and elsewhere its name, both empty for none.
	external, elsewhere string
}

// askToSignIn leads to the page for signing in, and from there back again; a form that was sent is kept meanwhile.
func (c *Console) askToSignIn(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get(liveHeader) != "":
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method != http.MethodPost:
		http.Redirect(w, r, auth.LoginURL(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		q := url.Values{auth.NextField: {r.URL.Path}, "problem": {"expired"}}
		if !strange(r) {
			c.kept.put(w, r)
		}
		http.Redirect(w, r, auth.FormPath+"?"+q.Encode(), http.StatusSeeOther)
	}
}

func (c *Console) showSignIn(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if c.session(r).Principal.Role.Valid() {
		http.Redirect(w, r, auth.SafeNext(q.Get(auth.NextField)), http.StatusSeeOther)
		return
	}
	p := signInPage{name: q.Get(auth.NameField), next: auth.SafeNext(q.Get(auth.NextField)), problem: auth.LoginMessage(q), kept: c.kept.has(r)}
	if c.opts.Elsewhere != nil {
		p.external, p.elsewhere = c.opts.Elsewhere()
	}
	status := http.StatusOK
	if p.problem != "" && !p.kept {
		status = http.StatusUnauthorized
	}
	c.newCall(w, r, auth.Session{}).write(status, view{title: "Sign in", plain: true, body: signInForm(p)})
}

// themeCookie keeps which colours somebody wants: one of themes; none for those of the system.
const themeCookie = "skyweld_theme"

var themes = []string{"auto", "light", "dark"}

func themeOf(r *http.Request) string {
	if r == nil {
		return "auto"
	}
	if k, err := r.Cookie(themeCookie); err == nil && slices.Contains(themes, k.Value) {
		return k.Value
	}
	return "auto"
}

// nextTheme is the one that the switch leads to.
func nextTheme(theme string) string { return themes[(slices.Index(themes, theme)+1)%len(themes)] }

func (c *Console) setTheme(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.badForm(w, r, err)
		return
	}
	if theme := r.PostForm.Get("theme"); slices.Contains(themes, theme) && !strange(r) {
		http.SetCookie(w, &http.Cookie{Name: themeCookie, Value: theme, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), SameSite: http.SameSiteLaxMode, HttpOnly: true, Secure: r.TLS != nil})
	}
	http.Redirect(w, r, inside(r.PostForm.Get("back")), http.StatusSeeOther)
}

// inside is an address of this console, the first page's for any other.
func inside(to string) string {
	if to == auth.FormPath || strings.HasPrefix(to, auth.FormPath+"?") {
		return to
	}
	return auth.SafeNext(to)
}

// badForm answers a form that can't be read.
func (c *Console) badForm(w http.ResponseWriter, r *http.Request, err error) {
	if statusOf(err) == http.StatusRequestEntityTooLarge {
		c.errorPage(w, r, http.StatusRequestEntityTooLarge)
		return
	}
	c.errorPage(w, r, http.StatusBadRequest)
}

// refuseForm answers a form that isn't taken.
func (c *Console) refuseForm(w http.ResponseWriter, r *http.Request, why string) {
	c.newCall(w, r, auth.Session{}).write(http.StatusForbidden, view{title: "That form is not taken", plain: true, body: refused(why)})
}

// plainErrors are what is said when nothing is known of who asks.
var plainErrors = map[int]string{
	http.StatusRequestEntityTooLarge: "The form is too large: nothing was done.",
	http.StatusBadRequest:            "The form can't be read: nothing was done.",
}

// errorPage answers without asking anything.
func (c *Console) errorPage(w http.ResponseWriter, r *http.Request, status int) {
	text, ok := plainErrors[status]
	if !ok {
		text = "Something went wrong here. The engine's log says more; clusters go on without the console."
	}
	c.newCall(w, r, auth.Session{}).write(status, view{title: titleOf(status), plain: true, body: trouble(text)})
}
