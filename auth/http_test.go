package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/store"
)

// browser is as much of one as signing in needs.
type browser struct {
	t       *testing.T
	handler http.Handler
	cookies map[string]*http.Cookie
	// site is what it says of the page that a request comes from.
	site string
}

func (b *browser) do(method, target string, form url.Values) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if b.site != "" {
		r.Header.Set("Sec-Fetch-Site", b.site)
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if b.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return resp
}

func (b *browser) session() string {
	if c := b.cookies[SessionCookie]; c != nil {
		return c.Value
	}
	return ""
}

func newBrowser(t *testing.T, s *Service) *browser {
	return &browser{t: t, handler: s.SignIn(), cookies: map[string]*http.Cookie{}, site: "same-origin"}
}

func TestSignIn(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		addUser(t, s, "ada", Admin)
		b := newBrowser(t, s)
		form := url.Values{NameField: {"ada"}, PasswordField: {good}, NextField: {"/clusters/demo?tab=nodes"}}
		b.site = "cross-site"
		if resp := b.do(http.MethodPost, LoginPath, form); resp.StatusCode != http.StatusForbidden || b.session() != "" {
			t.Errorf("from a stranger's page: %s", resp.Status)
		}
		b.site = ""
		if resp := b.do(http.MethodPost, LoginPath, form); resp.StatusCode != http.StatusForbidden {
			t.Errorf("from no page: %s", resp.Status)
		}
		b.site = "same-origin"
		resp := b.do(http.MethodPost, LoginPath, url.Values{NameField: {"ada"}, PasswordField: {"wrong"}, NextField: {"/a"}})
		if at := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || at != "/sign-in?name=ada&problem=wrong&then=%2Fa" || b.session() != "" {
			t.Errorf("with the wrong password: %s to %s", resp.Status, at)
		}
		// A session that somebody put into the browser is none afterwards, and is not the one that begins.
		b.cookies[SessionCookie] = &http.Cookie{Name: SessionCookie, Value: newSecret()}
		planted := b.session()
		resp = b.do(http.MethodPost, LoginPath, form)
		if at := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || at != "/clusters/demo?tab=nodes" {
			t.Fatalf("signed in: %s to %s", resp.Status, at)
		}
		first := b.session()
		if c := b.cookies[SessionCookie]; first == planted || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || c.Domain != "" {
			t.Errorf("the cookie is %+v", c)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Error("signing in may be kept in a cache")
		}
		if resp = b.do(http.MethodPost, "https://engine.example"+LoginPath, form); !b.cookies[SessionCookie].Secure {
			t.Error("under TLS the cookie isn't for TLS alone")
		}
		if _, err := s.FindSession(t.Context(), first, peer); err == nil || b.session() == first {
			t.Error("signing in again goes on with the session before")
		}
		last := b.session()
		b.site = "cross-site"
		if resp = b.do(http.MethodPost, LogoutPath, nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("signed out by a stranger's page: %s", resp.Status)
		}
		b.site = "same-origin"
		if resp = b.do(http.MethodGet, LogoutPath, nil); resp.StatusCode != http.StatusMethodNotAllowed || b.session() != last {
			t.Errorf("signed out by a link: %s", resp.Status)
		}
		resp = b.do(http.MethodPost, LogoutPath, nil)
		if _, err := s.FindSession(t.Context(), last, peer); err == nil || b.session() != "" || resp.Header.Get("Location") != FormPath {
			t.Errorf("signed out: %s, %v", resp.Status, err)
		}
		entries, err := st.ListAudit(t.Context(), store.AuditQuery{Limit: 100, Text: "logout"})
		must(t, err)
		if len(entries) != 1 || entries[0].Operation != "logout" || entries[0].Who == "" || entries[0].Status != http.StatusOK {
			t.Errorf("of signing out there is on record %+v", entries)
		}
		if resp = b.do(http.MethodPost, LoginPath, url.Values{NameField: {strings.Repeat("x", longestForm+1)}}); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a form that is too long: %s", resp.Status)
		}
		for range 10 {
			resp = b.do(http.MethodPost, LoginPath, url.Values{NameField: {"bob"}})
		}
		at, err := url.Parse(resp.Header.Get("Location"))
		must(t, err)
		if got := LoginMessage(at.Query()); got != "Too many tries: wait a second." {
			t.Errorf("after many tries: %q", got)
		}
	})
}

func TestOverTLS(t *testing.T) {
	for _, tt := range []struct {
		target, peer, proto string
		want                bool
	}{
		{"https://engine.example/", "192.0.2.1:1", "", true},
		{"http://127.0.0.1:1/", "127.0.0.1:1", "", false},
		{"http://engine.example/", "127.0.0.1:1", "https", true},
		{"http://engine.example/", "[::1]:1", "https", true},
		{"http://engine.example/", "127.0.0.1:1", "http", false},
		{"http://engine.example/", "192.0.2.1:1", "https", false},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.target, nil)
		r.RemoteAddr = tt.peer
		r.Header.Set("X-Forwarded-Proto", tt.proto)
		if got := overTLS(r); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestWelcome(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		b := newBrowser(t, s)
		b.site = "none"
		link, err := s.FirstLink(t.Context())
		must(t, err)
		at := WelcomeURL("http://127.0.0.1:8420/", link) + "&then=/accounts"
		if resp := b.do(http.MethodHead, at, nil); resp.StatusCode != http.StatusNoContent || b.session() != "" {
			t.Errorf("looked at: %s", resp.Status)
		}
		if resp := b.do(http.MethodGet, at, nil); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/accounts" {
			t.Errorf("followed: %s to %s", resp.Status, resp.Header.Get("Location"))
		}
		v, err := s.FindSession(t.Context(), b.session(), peer)
		if err != nil || v.Principal.Role != Admin {
			t.Errorf("signed in as %+v: %v", v.Principal, err)
		}
		other := newBrowser(t, s)
		resp := other.do(http.MethodGet, at, nil)
		if resp.Header.Get("Location") != "/sign-in?problem=link&then=%2Faccounts" || other.session() != "" {
			t.Errorf("followed again: %s to %s", resp.Status, resp.Header.Get("Location"))
		}
	})
}

func TestCSRF(t *testing.T) {
	one, two := Session{secret: newSecret()}, Session{secret: newSecret()}
	for name, tt := range map[string]struct {
		v     Session
		given string
		want  bool
	}{
		"its own":          {one, CSRF(one), true},
		"another's":        {one, CSRF(two), false},
		"none":             {one, "", false},
		"of no session":    {Session{}, "", false},
		"for no session":   {Session{}, CSRF(one), false},
		"the secret":       {one, one.secret, false},
		"with more behind": {one, CSRF(one) + "A", false},
	} {
		if got := CheckCSRF(tt.v, tt.given); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if strings.Contains(CSRF(one), one.secret) {
		t.Error("the token shows the secret")
	}
}

func TestSameOrigin(t *testing.T) {
	for _, tt := range []struct {
		target, origin, site string
		ok                   bool
	}{
		{"http://127.0.0.1:1/", "", "same-origin", true},
		{"http://127.0.0.1:1/", "", "none", true},
		{"http://127.0.0.1:1/", "http://127.0.0.1:1", "", true},
		{"https://engine.example/", "https://engine.example", "", true},
		{"https://engine.example/", "http://engine.example", "", false},
		{"http://127.0.0.1:1/", "", "", false},
		{"http://127.0.0.1:1/", "null", "", false},
		{"http://127.0.0.1:1/", "http://127.0.0.1:2", "", false},
		{"http://127.0.0.1:1/", "http://127.0.0.1:1", "same-site", false},
		{"http://127.0.0.1:1/", "http://127.0.0.1:1", "cross-site", false},
		{"http://127.0.0.1:1/", "http://evil.example", "", false},
		{"http://127.0.0.1:1/", "%", "", false},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.target, nil)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		if err := SameOrigin(r); (err == nil) != tt.ok {
			t.Errorf("%s from %q, %q: %v", tt.target, tt.origin, tt.site, err)
		}
	}
}

func TestSafeNext(t *testing.T) {
	for next, want := range map[string]string{
		"": "/", "/": "/", "/clusters/demo?tab=nodes#n1": "/clusters/demo?tab=nodes#n1", "clusters": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example/": "/",
		"/login": "/", "/login/oidc": "/", "/logout": "/", "/welcome?link=x": "/", "/loginx": "/loginx", "/a/../login": "/", "/%5c%5cevil.example": "/", "/\t/evil.example": "/", "javascript:alert(1)": "/",
	} {
		if got := SafeNext(next); got != want {
			t.Errorf("%q leads to %q; want %q", next, got, want)
		}
	}
	if got := LoginURL("/a?b=c"); got != "/sign-in?then=%2Fa%3Fb%3Dc" {
		t.Errorf("sign in at %s", got)
	}
	if LoginURL("//evil.example") != FormPath || LoginMessage(url.Values{}) != "" || LoginMessage(url.Values{"problem": {"<script>"}}) == "" {
		t.Error("the login form says the wrong thing")
	}
}

// TestBrowser is signing in as a console does it.
func TestBrowser(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		addUser(t, s, "ada", Admin)
		b := s.Browser()
		r := httptest.NewRequest(http.MethodPost, FormPath, nil)
		if _, in := b.Who(r); in || b.CSRF(r) != "" {
			t.Error("somebody is signed in at once")
		}
		w := httptest.NewRecorder()
		if err := b.SignIn(w, r, "ada", "wrong"); err == nil || len(w.Result().Cookies()) > 0 {
			t.Error("the wrong password is the right one")
		}
		w = httptest.NewRecorder()
		must(t, b.SignIn(w, r, "ada", good))
		r.AddCookie(w.Result().Cookies()[0])
		p, in := b.Who(r)
		v, err := s.Session(r)
		if err != nil || !in || p.Name != "ada" || !CheckCSRF(v, b.CSRF(r)) {
			t.Errorf("signed in as %s: %v, %v", p, in, err)
		}
		b.SignOut(w, r)
		if _, in := b.Who(r); in {
			t.Error("still signed in after signing out")
		}
		if path, name := b.External(); path != "" || name != "" {
			t.Errorf("there is another way in, %s (%s)", path, name)
		}
	})
}
