package webtest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/skyweld/skyweld/auth"
)

// Users sign in with their names as passwords: "viewer", "operator" and "admin", who have the roles of these names.
type Users struct{}

// NewUsers returns them.
func NewUsers() *Users { return &Users{} }

const cookie = "webtest_session"

// Cookie is that of somebody who is signed in.
func Cookie(role auth.Role) *http.Cookie {
	return &http.Cookie{Name: cookie, Value: string(role), Path: "/", HttpOnly: true}
}

// Token is the CSRF token of that session.
func Token(role auth.Role) string { return "token-of-" + string(role) }

// Who implements web.SignIn.
func (*Users) Who(r *http.Request) (auth.Principal, bool) {
	k, err := r.Cookie(cookie)
	if err != nil || !auth.Role(k.Value).Valid() {
		return auth.Principal{}, false
	}
	return auth.Principal{Name: "Ada " + strings.ToUpper(k.Value[:1]) + k.Value[1:], Role: auth.Role(k.Value), Via: "session", From: r.RemoteAddr}, true
}

// CSRF implements web.SignIn.
func (u *Users) CSRF(r *http.Request) string {
	p, ok := u.Who(r)
	if !ok {
		return ""
	}
	return Token(p.Role)
}

// SignIn implements web.SignIn.
func (*Users) SignIn(w http.ResponseWriter, _ *http.Request, name, password string) error {
	if !auth.Role(name).Valid() || password != name {
		return errors.New("the name or the password is wrong")
	}
	http.SetCookie(w, Cookie(auth.Role(name)))
	return nil
}

// SignOut implements web.SignIn.
func (*Users) SignOut(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1})
}

// External implements web.SignIn.
func (*Users) External() (path, name string) { return "/oidc", "Example Identity" }
