package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/auth"
)

// carriedPrefix begins the names of the fields in which the page for signing in carries a form along that came without a
// session.
const carriedPrefix = "form."

// secretField says that a field is carried nowhere: whoever filled it in does so again.
func secretField(name string) bool {
	return strings.HasPrefix(name, "secret") || strings.HasPrefix(name, "password") || name == csrfField || name == onceField
}

// signInPage is what the page for signing in shows.
type signInPage struct {
	// then is where to go on.
	then, name string
	// carried is a form that comes along, dropped says that it had secrets, which don't.
	carried url.Values
	dropped bool
	problem string
	// external is the path of another sign-in, empty for none.
	external, externalName string
}

// askToSignIn shows the page for signing in in place of another one; a form that was sent comes along.
func (c *Console) askToSignIn(w http.ResponseWriter, r *http.Request) {
	p := signInPage{then: r.URL.RequestURI()}
	if r.Method == http.MethodPost && !strange(r) {
		p.then = r.URL.Path
		p.carried = url.Values{}
		for name, values := range r.PostForm {
			if !secretField(name) {
				p.carried[name] = values
			} else if name != csrfField && name != onceField && values[0] != "" {
				p.dropped = true
			}
		}
	}
	if r.Header.Get(liveHeader) != "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		http.Redirect(w, r, "/sign-in?then="+url.QueryEscape(p.then), http.StatusSeeOther)
		return
	}
	c.writeSignIn(w, r, http.StatusUnauthorized, p)
}

func (c *Console) writeSignIn(w http.ResponseWriter, r *http.Request, status int, p signInPage) {
	p.external, p.externalName = c.opts.SignIn.External()
	c.newCall(w, r, auth.Principal{}).write(status, view{title: "Sign in", plain: true, body: signInForm(p)})
}

func (c *Console) showSignIn(w http.ResponseWriter, r *http.Request) {
	then := inside(r.URL.Query().Get("then"))
	if _, ok := c.opts.SignIn.Who(r); ok {
		http.Redirect(w, r, then, http.StatusSeeOther)
		return
	}
	c.writeSignIn(w, r, http.StatusOK, signInPage{then: then, problem: signInProblems[r.URL.Query().Get("problem")]})
}

// signInProblems are what other ways of signing in may have to say.
var signInProblems = map[string]string{
	"link": "That link was used already, or is too old. Sign in with your password, or ask for another link.",
	"oidc": "The other service did not say who you are. Try it again, or sign in with a password.",
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.badForm(w, r, err)
		return
	}
	if strange(r) {
		c.refuseForm(w, r, "it was sent by a page of another site")
		return
	}
	p := signInPage{then: inside(r.PostForm.Get("then")), name: r.PostForm.Get("name"), carried: url.Values{}}
	for name, values := range r.PostForm {
		if field, ok := strings.CutPrefix(name, carriedPrefix); ok && !secretField(field) {
			p.carried[field] = values
		}
	}
	if err := c.opts.SignIn.SignIn(w, r, p.name, r.PostForm.Get("password")); err != nil {
		p.problem = sentence(err.Error())
		c.writeSignIn(w, r, http.StatusUnauthorized, p)
		return
	}
	if len(p.carried) == 0 {
		http.Redirect(w, r, p.then, http.StatusSeeOther)
		return
	}
	c.newCall(w, r, auth.Principal{}).write(http.StatusOK, view{title: "You are signed in", plain: true, body: goOn(p)})
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.badForm(w, r, err)
		return
	}
	if _, ok := c.opts.SignIn.Who(r); ok && !strange(r) && sameToken(r.PostForm.Get(csrfField), c.opts.SignIn.CSRF(r)) {
		c.opts.SignIn.SignOut(w, r)
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// inside is an address of this console, the first page's for any other.
func inside(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") || strings.HasPrefix(u.Path, "/sign-") {
		return "/clusters"
	}
	return to
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
		http.SetCookie(w, &http.Cookie{Name: themeCookie, Value: theme, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), SameSite: http.SameSiteLaxMode, HttpOnly: true})
	}
	http.Redirect(w, r, inside(r.PostForm.Get("back")), http.StatusSeeOther)
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
	c.newCall(w, r, auth.Principal{}).write(http.StatusForbidden, view{title: "That form is not taken", plain: true, body: refused(why)})
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
	c.newCall(w, r, auth.Principal{}).write(status, view{title: titleOf(status), plain: true, body: trouble(text)})
}
