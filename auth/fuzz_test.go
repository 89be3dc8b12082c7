package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzCookie shows any cookie, and any token: nobody is let in who has none that was made here.
func FuzzCookie(f *testing.F) {
	for _, c := range []string{"", "skyweld_session=", "skyweld_session=x; skyweld_session=y", `skyweld_session="` + strings.Repeat("A", 43) + `"`, "skyweld_session=" + strings.Repeat("A", 43), "=;;=", "skyweld_session=\xff"} {
		f.Add(c, c)
	}
	f.Add("", TokenPrefix+strings.Repeat("A", 43))
	st := openStore(f)
	f.Cleanup(func() { st.Close() })
	s := New(Options{Store: st, LocalToken: localToken})
	f.Fuzz(func(t *testing.T, cookie, token string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{cookie}
		if v, err := s.Session(r); err == nil {
			t.Fatalf("%q is signed in as %s", cookie, v.Principal)
		}
		if p, err := s.FindToken(t.Context(), token, "", peer); err == nil && token != localToken {
			t.Fatalf("%q is %s", token, p)
		}
		if _, err := s.UseLink(t.Context(), token, peer); err == nil {
			t.Fatalf("the link %q is one", token)
		}
	})
}

// FuzzHash reads any stored password: it is refused, or asks for no more work than is bearable, and is written as it was read.
func FuzzHash(f *testing.F) {
	f.Add(cheap.hash(good))
	f.Add(owasp.hash(good))
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1 $$")
	f.Add("$2y$10$")
	f.Fuzz(func(t *testing.T, text string) {
		c, salt, sum, err := parseHash(text)
		if err != nil {
			return
		}
		if c.memory > dearest.memory || c.time > dearest.time || c.threads > dearest.threads || c.time == 0 || c.threads == 0 || len(salt) < 8 || len(sum) < 16 {
			t.Fatalf("%q is taken: %+v", text, c)
		}
	})
}

// FuzzNext sends people on after signing in: never elsewhere.
func FuzzNext(f *testing.F) {
	for _, next := range []string{"", "/", "/clusters/demo?tab=nodes#n1", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/%2fevil.example", "/login", "/logout/", "/a/../login", "javascript:alert(1)", "/%5cevil.example", "///evil.example", "/.//evil.example", "/a%0d%0aSet-Cookie: x"} {
		f.Add(next)
	}
	base, err := url.Parse("https://engine.example/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := SafeNext(next)
		u, err := base.Parse(got)
		if err != nil || u.Scheme != "https" || u.Host != "engine.example" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t\x00") {
			t.Fatalf("%q leads to %q (%v)", next, got, u)
		}
		if SafeNext(got) != got {
			t.Fatalf("%q leads to %q, and that to %q", next, got, SafeNext(got))
		}
	})
}
