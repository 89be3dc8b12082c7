package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The paths of signing in and out. FormPath shows a form, which is the console's; all else is done here.
const (
	FormPath     = "/sign-in"
	LoginPath    = "/login"
	LogoutPath   = "/logout"
	WelcomePath  = "/welcome"
	oidcPath     = "/login/oidc"
	callbackPath = "/login/oidc/callback"
)

// The fields of the login form. NextField is where to go on to, as in LoginURL.
const (
	NameField     = "name"
	PasswordField = "password"
	NextField     = "then"
)

// problemField is where the login form's address says what went wrong; LoginMessage puts it in words.
const problemField = "problem"

// longestForm is how long a login form is at most.
const longestForm = 64 << 10

// LoginURL is where somebody signs in who wanted to get to a path.
func LoginURL(next string) string {
	if next = SafeNext(next); next == "/" {
		return FormPath
	}
	return FormPath + "?" + url.Values{NextField: {next}}.Encode()
}

// SafeNext is a path of this engine that somebody is sent on to after signing in: the one given, or "/" where that would lead
// elsewhere, or in circles.
func SafeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(next, "/") {
		return "/"
	}
	// Browsers take "\" for "/", and drop some control characters.
	if strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) || strings.Contains(u.Path, `\`) || strings.HasPrefix(next, "//") {
		return "/"
	}
	switch clean := path.Clean(u.Path); {
	case strings.HasPrefix(u.Path, "//"), clean == LoginPath, clean == LogoutPath, clean == WelcomePath, strings.HasPrefix(clean, LoginPath+"/"), strings.HasPrefix(clean, "/sign-"):
		return "/"
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, Fragment: u.Fragment}).String()
}

// SignsIn says whether a request is for SignIn.
func SignsIn(r *http.Request) bool {
	switch r.URL.Path {
	case LoginPath, LogoutPath, WelcomePath, oidcPath, callbackPath:
		return true
	}
	return false
}

// SignIn answers what signs people in and out: a form that is sent to LoginPath or LogoutPath, links, and the way over OIDC.
// It shows nothing by itself: what goes wrong is shown by the login form, which finds it in its address by LoginMessage.
func (s *Service) SignIn() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+LoginPath, func(w http.ResponseWriter, r *http.Request) {
		s.toForm(w, r, url.Values{}, r.URL.Query().Get(NextField))
	})
	mux.HandleFunc("POST "+LoginPath, s.postLogin)
	mux.HandleFunc("POST "+LogoutPath, s.postLogout)
	mux.HandleFunc("GET "+WelcomePath, s.getWelcome)
	mux.HandleFunc("GET "+oidcPath, s.getOIDC)
	mux.HandleFunc("GET "+callbackPath, s.getCallback)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func (s *Service) postLogin(w http.ResponseWriter, r *http.Request) {
	if err := SameOrigin(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form can't be read", http.StatusBadRequest)
		return
	}
	name, next := r.PostForm.Get(NameField), r.PostForm.Get(NextField)
	secret, err := s.Login(r.Context(), name, r.PostForm.Get(PasswordField), r.RemoteAddr)
	if err != nil {
		s.backToLogin(w, r, err, name, next)
		return
	}
	s.signedIn(w, r, secret, next)
}

func (s *Service) signedIn(w http.ResponseWriter, r *http.Request, secret, next string) {
	s.handOver(w, r, secret)
	http.Redirect(w, r, SafeNext(next), http.StatusSeeOther)
}

// handOver hands a session to a browser, in place of one that it had.
func (s *Service) handOver(w http.ResponseWriter, r *http.Request, secret string) {
	if old, err := r.Cookie(SessionCookie); err == nil {
		if err := s.Logout(r.Context(), old.Value); err != nil {
			s.log.Warn("a session that is over can't be ended", "error", err)
		}
	}
	http.SetCookie(w, sessionCookie(r, secret, int(sessionLife/time.Second)))
}

// overTLS says whether a browser speaks TLS: to this engine, or to a proxy on its machine.
func overTLS(r *http.Request) bool {
	if r.TLS != nil || forwardedTLS(r) {
		return true
	}
	a, err := netip.ParseAddr(Address(r.RemoteAddr))
	return err == nil && a.IsLoopback() && r.Header.Get("X-Forwarded-Proto") == "https"
}

func sessionCookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{Name: SessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(r)}
}

func (s *Service) postLogout(w http.ResponseWriter, r *http.Request) {
	if err := SameOrigin(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	s.takeBack(w, r)
	http.Redirect(w, r, FormPath, http.StatusSeeOther)
}

// takeBack ends a browser's session. Where the store can't, the browser forgets it all the same.
func (s *Service) takeBack(w http.ResponseWriter, r *http.Request) {
	if old, err := r.Cookie(SessionCookie); err == nil {
		if err := s.SignOut(r.Context(), old.Value, r.RemoteAddr); err != nil {
			s.log.Error("a session can't be ended", "error", err)
		}
	}
	http.SetCookie(w, sessionCookie(r, "", -1))
}

func (s *Service) getWelcome(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get(NextField)
	if r.Method != http.MethodGet { // what only looks uses no link up
		w.WriteHeader(http.StatusNoContent)
		return
	}
	secret, err := s.UseLink(r.Context(), r.URL.Query().Get("link"), r.RemoteAddr)
	if own, ok := errors.AsType[*Error](err); ok && own.Status == http.StatusUnauthorized {
		s.toForm(w, r, url.Values{problemField: {"link"}}, next)
		return
	}
	if err != nil {
		s.backToLogin(w, r, err, "", next)
		return
	}
	s.signedIn(w, r, secret, next)
}

// WelcomeURL is the address that signs in with a link's secret.
func WelcomeURL(base, link string) string {
	return strings.TrimSuffix(base, "/") + WelcomePath + "?" + url.Values{"link": {link}}.Encode()
}

// backToLogin shows the login form again, with what was wrong.
func (s *Service) backToLogin(w http.ResponseWriter, r *http.Request, err error, name, next string) {
	q := url.Values{problemField: {"failed"}}
	if own, ok := errors.AsType[*Error](err); ok {
		switch own.Status {
		case http.StatusUnauthorized:
			q.Set(problemField, "wrong")
		case http.StatusTooManyRequests:
			q.Set(problemField, "wait")
			q.Set("seconds", strconv.Itoa(int(own.After/time.Second)))
		case http.StatusForbidden:
			q.Set(problemField, "no-role")
		}
	} else {
		s.log.Error("somebody can't be signed in", "error", err)
	}
	if name = shortened(name); name != "" {
		q.Set(NameField, name)
	}
	s.toForm(w, r, q, next)
}

func (s *Service) toForm(w http.ResponseWriter, r *http.Request, q url.Values, next string) {
	if next = SafeNext(next); next != "/" {
		q.Set(NextField, next)
	}
	target := FormPath
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// LoginMessage is what the login form says of what went wrong, by the query of its address; empty when nothing did. The
// form's name and next are in that query too, by NameField and NextField.
func LoginMessage(q url.Values) string {
	switch q.Get(problemField) {
	case "":
		return ""
	case "wrong":
		return "The name or the password is wrong."
	case "wait":
		n, err := strconv.Atoi(q.Get("seconds"))
		if err != nil || n < 1 || n > 3600 {
			n = 60
		}
		text := tooOften(int64(n))
		return strings.ToUpper(text[:1]) + text[1:] + "."
	case "link":
		return "That link was used already, or is older than an hour. The command “skyweld open” makes a new one."
	case "oidc":
		return "The other service did not say who you are. Try it again, or sign in with a password."
	case "no-role":
		return "You may not use this engine: ask one of its admins for a role."
	case "expired":
		return "You were signed out after a while without use. Sign in again, and you go on where you were."
	}
	return "That didn't work. Try again; the engine's log says more."
}

func tooOften(seconds int64) string {
	switch {
	case seconds == 1:
		return "too many tries: wait a second"
	case seconds < 120:
		return fmt.Sprintf("too many tries: wait %d seconds", seconds)
	}
	return fmt.Sprintf("too many tries: wait %d minutes", (seconds+59)/60)
}

// SameOrigin makes sure that a request comes from a page of this engine's own, as every browser says it of a request that
// writes something.
func SameOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "same-origin", "none":
		return nil
	case "":
		if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) && (u.Scheme == "https" || u.Scheme == "http" && r.TLS == nil) {
			return nil
		}
		if origin == "" {
			return refused(http.StatusForbidden, "the request doesn't say which page it comes from: want the header Origin, or Sec-Fetch-Site")
		}
	}
	return refused(http.StatusForbidden, "the request comes from a page of another host: its Origin is %q", origin)
}

// Session returns who a request's cookie says is signed in.
func (s *Service) Session(r *http.Request) (Session, error) {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return Session{}, errNoSession()
	}
	return s.FindSession(r.Context(), c.Value, r.RemoteAddr)
}

// Browser is what a console needs of signing in.
type Browser struct{ service *Service }

// Browser is signing in as a console needs it, which shows the forms.
func (s *Service) Browser() Browser { return Browser{s} }

// Who is who a request comes from; false when nobody is signed in.
func (b Browser) Who(r *http.Request) (Principal, bool) {
	v := b.session(r)
	return v.Principal, v.secret != ""
}

// CSRF is what the forms of a request's session carry; empty without a session.
func (b Browser) CSRF(r *http.Request) string { return CSRF(b.session(r)) }

func (b Browser) session(r *http.Request) Session {
	if v := SessionFrom(r.Context()); v.secret != "" {
		return v
	}
	v, err := b.service.Session(r)
	if _, own := errors.AsType[*Error](err); err != nil && !own && r.Context().Err() == nil {
		b.service.log.Error("it can't be found out who is signed in", "error", err)
	}
	return v
}

// SignIn begins a session for who knows a user's password, and hands it to the browser. The error is for people.
func (b Browser) SignIn(w http.ResponseWriter, r *http.Request, name, password string) error {
	secret, err := b.service.Login(r.Context(), name, password, r.RemoteAddr)
	if err == nil {
		b.service.handOver(w, r, secret)
		return nil
	}
	if _, own := errors.AsType[*Error](err); !own {
		b.service.log.Error("somebody can't be signed in", "error", err)
		return errors.New("that didn't work; the engine's log says more")
	}
	return err
}

// SignOut ends a request's session.
func (b Browser) SignOut(w http.ResponseWriter, r *http.Request) { b.service.takeBack(w, r) }

// External is the path that leads to signing in elsewhere, and where that is; both are empty where there is none.
func (b Browser) External() (path, name string) {
	if b.service.oidc == nil {
		return "", ""
	}
	return oidcPath, b.service.oidc.host()
}
