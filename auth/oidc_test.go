package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/skyweld/skyweld/store"
)

// people is a server's storage, which says of who is in which group.
type people struct {
	*storage.Storage
	groups map[string][]string
	// inToken says that the groups are in the id token; else they are where a server says more of a user.
	inToken bool
}

func (p *people) say(info *zoidc.UserInfo) {
	info.AppendClaims("groups", p.groups[info.Subject])
	info.AppendClaims("realm_access", map[string]any{"roles": p.groups[info.Subject]})
}

func (p *people) SetUserinfoFromRequest(ctx context.Context, info *zoidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	err := p.Storage.SetUserinfoFromRequest(ctx, info, token, scopes)
	if p.inToken {
		p.say(info)
	}
	return err
}

func (p *people) SetUserinfoFromToken(ctx context.Context, info *zoidc.UserInfo, tokenID, subject, origin string) error {
	err := p.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin)
	if !p.inToken {
		p.say(info)
	}
	return err
}

// oidcWorld is an OpenID Connect server, and an engine that people sign in to by it.
type oidcWorld struct {
	t      *testing.T
	people *people
	server *httptest.Server
	engine *httptest.Server
	s      *Service
	store  *store.Store
}

func newOIDCWorld(t *testing.T) *oidcWorld {
	t.Helper()
	w := &oidcWorld{t: t, store: openStore(t)}
	t.Cleanup(func() { w.store.Close() })
	w.s = New(Options{Store: w.store, LocalToken: localToken, OIDC: &OIDC{ClientID: "skyweld", ClientSecret: "hush-hush", Default: Viewer}})
	w.engine = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if SignsIn(r) {
			w.s.SignIn().ServeHTTP(rw, r)
			return
		}
		io.WriteString(rw, "the console")
	}))
	t.Cleanup(w.engine.Close)
	var handler http.Handler
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	t.Cleanup(w.server.Close)
	client := storage.WebClient("skyweld", "hush-hush", w.engine.URL+callbackPath)
	users := storage.NewUserStore(w.server.URL)
	w.people = &people{Storage: storage.NewStorageWithClients(users, map[string]*storage.Client{"skyweld": client}), groups: map[string][]string{}}
	was := slog.Default()
	t.Cleanup(func() { slog.SetDefault(was) })
	handler = exampleop.SetupServer(w.server.URL, w.people, slog.New(slog.DiscardHandler), false, op.WithAllowInsecure())
	w.s.oidc.Issuer = w.server.URL
	return w
}

// fresh has the engine forget everybody.
func (w *oidcWorld) fresh() {
	st := openStore(w.t)
	w.t.Cleanup(func() { st.Close() })
	w.store, w.s.store = st, st
}

func (w *oidcWorld) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	return &http.Client{Jar: jar}
}

// signIn goes all the way as a person does, and returns where it ends.
func (w *oidcWorld) signIn(b *http.Client, user string) *url.URL {
	w.t.Helper()
	resp, err := b.Get(w.engine.URL + oidcPath + "?then=/clusters/demo")
	must(w.t, err)
	resp.Body.Close()
	if !strings.HasPrefix(resp.Request.URL.String(), w.server.URL+"/login/username") {
		w.t.Fatalf("sent to %s: %s", resp.Request.URL, resp.Status)
	}
	form := url.Values{"username": {user}, "password": {"verysecure"}, "id": {resp.Request.URL.Query().Get("authRequestID")}}
	resp, err = b.PostForm(w.server.URL+"/login/username", form)
	must(w.t, err)
	resp.Body.Close()
	return resp.Request.URL
}

// who is who a browser is signed in as.
func (w *oidcWorld) who(b *http.Client) Principal {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	at, err := url.Parse(w.engine.URL)
	must(w.t, err)
	for _, c := range b.Jar.Cookies(at) {
		r.AddCookie(c)
	}
	v, _ := w.s.Session(r)
	return v.Principal
}

func (w *oidcWorld) user(name string) store.User {
	w.t.Helper()
	u, err := w.store.GetUser(w.t.Context(), name)
	must(w.t, err)
	return u
}

// TestOIDC signs in at a server that others wrote.
func TestOIDC(t *testing.T) {
	w := newOIDCWorld(t)
	const name = "test-user@127.0.0.1"
	b := w.browser()
	if at := w.signIn(b, name); at.Path != "/clusters/demo" || at.Host != strings.TrimPrefix(w.engine.URL, "http://") {
		t.Fatalf("it ends at %s", at)
	}
	if p := w.who(b); p.Name != name || p.Role != Viewer || p.User != name || p.Via != "oidc" {
		t.Errorf("signed in as %+v", p)
	}
	if u := w.user(name); u.Subject != "id1" || u.Issuer != w.server.URL || u.Password != "" || u.LastLogin.IsZero() {
		t.Errorf("the user is %+v", u)
	}
	// The role that an admin gives here stays.
	_, err := w.s.SetRole(t.Context(), name, Operator)
	must(t, err)
	b = w.browser()
	w.signIn(b, name)
	if p := w.who(b); p.Role != Operator {
		t.Errorf("again: %+v", p)
	}
	if all, _ := w.s.Users(t.Context()); len(all) != 1 {
		t.Errorf("%d users after two times", len(all))
	}
	// Who is disabled stays out.
	_, err = w.s.SetDisabled(t.Context(), name, true)
	must(t, err)
	b = w.browser()
	if at := w.signIn(b, name); at.Path != FormPath || at.Query().Get(problemField) != "no-role" || w.who(b).Name != "" {
		t.Errorf("disabled: %s", at)
	}
	entries, err := w.store.ListAudit(t.Context(), store.AuditQuery{Limit: 10, Text: "oidc"})
	must(t, err)
	if len(entries) != 3 || entries[0].Status != http.StatusForbidden || entries[2].Status != http.StatusOK || entries[2].Object != "user/"+name || !strings.Contains(string(entries[2].After), `"viewer"`) {
		t.Errorf("the audit log has %+v", entries)
	}
}

// TestOIDCNames: somebody with the name of a local user is somebody else.
func TestOIDCNames(t *testing.T) {
	w := newOIDCWorld(t)
	w.s.cost = cheap
	addUser(t, w.s, "test-user2", Admin)
	b := w.browser()
	w.signIn(b, "test-user2")
	if p := w.who(b); p.User != "test-user2-2" || p.Role != Viewer {
		t.Errorf("signed in as %+v", p)
	}
	if u := w.user("test-user2"); u.Issuer != "" || u.Role != "admin" {
		t.Errorf("the local user is %+v", u)
	}
}

// TestOIDCRoles has the server say who may do what.
func TestOIDCRoles(t *testing.T) {
	w := newOIDCWorld(t)
	for name, tt := range map[string]struct {
		claim  string
		roles  map[string]Role
		none   Role
		groups []string
		want   Role
	}{
		"a role":                      {"groups", nil, Viewer, []string{"operator"}, Operator},
		"the highest":                 {"groups", nil, Viewer, []string{"viewer", "admin", "x"}, Admin},
		"mapped":                      {"groups", map[string]Role{"ops": Operator}, Viewer, []string{"staff", "ops"}, Operator},
		"not mapped":                  {"groups", map[string]Role{"ops": Operator}, Viewer, []string{"admin"}, Viewer},
		"none":                        {"groups", nil, Viewer, nil, Viewer},
		"none, and kept out":          {"groups", nil, "", []string{"x"}, ""},
		"below":                       {"realm_access.roles", nil, "", []string{"admin"}, Admin},
		"a claim that there isn't":    {"nothing", nil, "", []string{"admin"}, ""},
		"a way that there isn't":      {"realm_access.roles.x.y", nil, "", []string{"admin"}, ""},
		"no claim counts without one": {"", nil, Viewer, []string{"admin"}, Viewer},
	} {
		for _, inToken := range []bool{true, false} {
			w.fresh()
			w.people.inToken, w.people.groups["id2"] = inToken, tt.groups
			w.s.oidc.RoleClaim, w.s.oidc.Roles, w.s.oidc.Default = tt.claim, tt.roles, tt.none
			b := w.browser()
			at := w.signIn(b, "test-user2")
			if p := w.who(b); p.Role != tt.want || (tt.want == "") != (at.Query().Get(problemField) == "no-role") {
				t.Errorf("%s (in the token: %v): %+v, at %s; want %q", name, inToken, p, at, tt.want)
			}
		}
	}
	// What the server says counts at every time, and the last admin stays one.
	w.fresh()
	w.people.groups["id2"] = []string{"admin"}
	w.s.oidc.RoleClaim, w.s.oidc.Roles, w.s.oidc.Default = "groups", nil, Viewer
	b := w.browser()
	w.signIn(b, "test-user2")
	w.people.groups["id2"] = []string{"viewer"}
	w.signIn(b, "test-user2")
	if p := w.who(b); p.Role != Admin {
		t.Errorf("the last admin is %+v", p)
	}
	w.s.cost = cheap
	addUser(t, w.s, "ada", Admin)
	w.signIn(b, "test-user2")
	if p := w.who(b); p.Role != Viewer {
		t.Errorf("one of two admins is %+v", p)
	}
}

// TestOIDCForged brings answers back that don't belong to a sign-in of this browser.
func TestOIDCForged(t *testing.T) {
	w := newOIDCWorld(t)
	begin := func(b *http.Client) url.Values {
		resp, err := b.Get(w.engine.URL + oidcPath)
		must(t, err)
		resp.Body.Close()
		if u := w.s.oidc; u.provider == nil || !strings.Contains(resp.Request.URL.String(), "/login/username") {
			t.Fatalf("sent to %s", resp.Request.URL)
		}
		form := url.Values{"username": {"test-user2"}, "password": {"verysecure"}, "id": {resp.Request.URL.Query().Get("authRequestID")}}
		stop := *b
		stop.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), w.engine.URL) {
				return http.ErrUseLastResponse
			}
			return nil
		}
		resp, err = stop.PostForm(w.server.URL+"/login/username", form)
		must(t, err)
		resp.Body.Close()
		at, err := resp.Location()
		must(t, err)
		return at.Query()
	}
	back := func(b *http.Client, q url.Values) bool {
		resp, err := b.Get(w.engine.URL + callbackPath + "?" + q.Encode())
		must(t, err)
		resp.Body.Close()
		if w.who(b).Name == "" && resp.Request.URL.Query().Get(problemField) != "oidc" {
			t.Errorf("led to %s", resp.Request.URL)
		}
		return w.who(b).Name != ""
	}
	mine, other := w.browser(), w.browser()
	good := begin(mine)
	if back(w.browser(), good) {
		t.Error("another browser is signed in by the answer")
	}
	begin(other)
	if back(other, good) {
		t.Error("a browser with another sign-in under way is signed in by the answer")
	}
	for name, change := range map[string]func(url.Values){
		"another state": func(q url.Values) { q.Set("state", newSecret()) },
		"no state":      func(q url.Values) { q.Del("state") },
		"another code":  func(q url.Values) { q.Set("code", "x") },
		"an error":      func(q url.Values) { q.Set("error", "access_denied\x1b[31m") },
	} {
		b := w.browser()
		q := begin(b)
		change(q)
		if back(b, q) {
			t.Errorf("%s: signed in", name)
		}
	}
	// A nonce or verifier of another time.
	for name, change := range map[string]func(*pending){
		"another nonce":    func(p *pending) { p.Nonce = newSecret() },
		"another verifier": func(p *pending) { p.Verifier = newSecret() },
		"too late":         func(p *pending) { p.Until = time.Now().Unix() },
	} {
		b := w.browser()
		q := begin(b)
		at, err := url.Parse(w.engine.URL + callbackPath)
		must(t, err)
		for _, c := range b.Jar.Cookies(at) {
			p, err := pendingOf(c.Value, time.Now())
			must(t, err)
			change(&p)
			data, err := json.Marshal(p)
			must(t, err)
			b.Jar.SetCookies(at, []*http.Cookie{{Name: oidcCookie, Value: base64.RawURLEncoding.EncodeToString(data), Path: oidcPath}})
		}
		if back(b, q) {
			t.Errorf("%s: signed in", name)
		}
	}
	// A server that isn't there, and none at all.
	b := w.browser()
	q := begin(b)
	w.server.Close()
	if back(b, q) {
		t.Error("signed in without the server")
	}
	w.s.oidc = nil
	if back(w.browser(), good) {
		t.Error("signed in by no server")
	}
	resp, err := w.browser().Get(w.engine.URL + oidcPath)
	must(t, err)
	resp.Body.Close()
	if resp.Request.URL.Path != FormPath {
		t.Errorf("sent to %s", resp.Request.URL)
	}
}

func TestNameOf(t *testing.T) {
	for want, claims := range map[string]map[string]any{
		"ada":                   {"preferred_username": " Ada ", "email": "x@y"},
		"ada@example.com":       {"preferred_username": "", "email": "Ada@example.com"},
		"ada-lovelace":          {"name": "Ada Lovelace", "sub": "1"},
		"4711":                  {"preferred_username": 5, "sub": "4711"},
		"user":                  {},
		"lodz":                  {"preferred_username": "-.lodz"},
		"script-alert-1":        {"preferred_username": "<script>alert(1"},
		strings.Repeat("x", 64): {"preferred_username": strings.Repeat("x", 100)},
	} {
		if got := nameOf(claims); got != want {
			t.Errorf("%v is called %q, want %q", claims, got, want)
		}
	}
}

// FuzzPending reads any cookie of a sign-in under way: what is taken leads nowhere else.
func FuzzPending(f *testing.F) {
	p := pending{State: newSecret(), Nonce: newSecret(), Verifier: newSecret(), Next: "//evil.example", Until: 1 << 40}
	f.Add(p.cookie(httptest.NewRequest(http.MethodGet, "/", nil)).Value)
	f.Add("")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, value string) {
		p, err := pendingOf(value, time.Unix(1_800_000_000, 0))
		if err == nil && (!isSecret(p.State) || !isSecret(p.Nonce) || p.Verifier == "" || SafeNext(p.Next) != p.Next) {
			t.Fatalf("%q is taken as %+v", value, p)
		}
	})
}
