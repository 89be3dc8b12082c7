package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/auth"
)

// operations are all of the API's, as "METHOD /path", with the role that its document says each needs.
func operations(t *testing.T, s *Server) map[string]auth.Role {
	t.Helper()
	w := ask(s, http.MethodGet, "/openapi.json", fuzzToken, "")
	var doc struct {
		Paths map[string]map[string]struct {
			Role auth.Role `json:"x-skyweld-role"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || len(doc.Paths) == 0 {
		t.Fatalf("the API's document: %d, %v", w.Code, err)
	}
	out := map[string]auth.Role{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			out[strings.ToUpper(method)+" "+strings.TrimPrefix(path, "/api/v1")] = op.Role
		}
	}
	return out
}

func ask(s *Server, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if strings.HasSuffix(path, "/stream") { // it has no end of its own
		ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
		defer cancel()
		r = r.WithContext(ctx)
	}
	r.Host = "127.0.0.1:1"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestRoles asks for every operation with every role: who lacks the right is told which it is, and nothing is done.
func TestRoles(t *testing.T) {
	s := newServer(t)
	tokens := map[auth.Role]string{}
	for _, role := range auth.Roles {
		secret, _, err := s.Auth().MakeToken(auth.With(t.Context(), auth.Principal{Name: "root", Role: auth.Admin}), string(role), role, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		tokens[role] = secret
	}
	all := operations(t, s)
	for op := range roles {
		if all[op] == "" {
			t.Errorf("%s is in the table of roles, and no operation", op)
		}
	}
	fill := strings.NewReplacer("{name}", "nobody", "{node}", "none", "{id}", "1")
	for _, op := range slices.Sorted(maps.Keys(all)) {
		need := all[op]
		if !need.Valid() {
			t.Errorf("%s needs the role %q", op, need)
		}
		method, path, _ := strings.Cut(op, " ")
		if method == http.MethodGet && need == auth.Viewer || method != http.MethodGet && need == auth.Operator || roles[op] == need {
			for _, role := range auth.Roles {
				w := ask(s, method, "/api/v1"+fill.Replace(path), tokens[role], "{}")
				var p Problem
				_ = json.Unmarshal(w.Body.Bytes(), &p)
				if role.Includes(need) {
					if w.Code == http.StatusForbidden && strings.Contains(p.Detail, "needs the role") || w.Code == http.StatusUnauthorized || w.Code >= 500 {
						t.Errorf("%s by a %s: %d %s", op, role, w.Code, w.Body)
					}
				} else if w.Code != http.StatusForbidden || !strings.Contains(p.Detail, "needs the role "+string(need)) || !strings.Contains(p.Detail, "you have the role "+string(role)) {
					t.Errorf("%s by a %s: %d %s", op, role, w.Code, w.Body)
				}
			}
			continue
		}
		t.Errorf("%s needs the role %s, which is neither usual nor in the table", op, need)
	}
	if _, err := s.As(auth.Principal{Name: "ada", Role: auth.Viewer, Via: "session"}).Reconcile(t.Context(), "demo"); err == nil || !strings.Contains(err.Error(), "needs the role operator") {
		t.Errorf("a viewer in this process: %v", err)
	}
	if _, err := s.As(auth.Principal{}).Clusters(t.Context()); err == nil || !strings.Contains(err.Error(), "you have no role") {
		t.Errorf("nobody in this process: %v", err)
	}
}

// TestGuard lets sessions in, and nothing that a stranger's page could send by one.
func TestGuard(t *testing.T) {
	s := newServer(t)
	link, err := s.Auth().FirstLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := s.Auth().UseLink(t.Context(), link, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Auth().FindSession(t.Context(), secret, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		method, host string
		header       map[string]string
		want         int
	}{
		"a read":                          {"GET", "127.0.0.1:1", nil, 200},
		"a read from elsewhere":           {"GET", "127.0.0.1:1", map[string]string{"Origin": "http://evil.example"}, 403},
		"by another name":                 {"GET", "evil.example", nil, 421},
		"with another cookie":             {"GET", "127.0.0.1:1", map[string]string{"Cookie": "skyweld_session=x"}, 401},
		"without one":                     {"GET", "127.0.0.1:1", map[string]string{"Cookie": ""}, 401},
		"with a token that is none":       {"GET", "127.0.0.1:1", map[string]string{"Authorization": "Bearer x"}, 401},
		"with another kind of token":      {"GET", "127.0.0.1:1", map[string]string{"Authorization": "Basic eDp5"}, 401},
		"a write":                         {"POST", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "same-origin"}, 404},
		"a write with Origin":             {"POST", "127.0.0.1:1", map[string]string{"Origin": "http://127.0.0.1:1"}, 404},
		"a write of another port":         {"POST", "127.0.0.1:1", map[string]string{"Origin": "http://127.0.0.1:2"}, 403},
		"a write from elsewhere":          {"POST", "127.0.0.1:1", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"a write from nowhere":            {"POST", "127.0.0.1:1", nil, 403},
		"a write with the session's word": {"POST", "127.0.0.1:1", map[string]string{auth.CSRFHeader: auth.CSRF(v)}, 404},
		"a write with another word":       {"POST", "127.0.0.1:1", map[string]string{auth.CSRFHeader: auth.CSRF(v)[1:]}, 403},
	} {
		path := "/api/v1/clusters"
		if tt.method == http.MethodPost {
			path += "/demo/reconcile"
		}
		r := httptest.NewRequest(tt.method, path, nil)
		r.Host = tt.host
		r.Header.Set("Cookie", auth.SessionCookie+"="+secret)
		for k, value := range tt.header {
			r.Header.Set(k, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, tt.want, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Referrer-Policy") == "" || w.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: the headers are %v", name, w.Header())
		}
	}
}

// TestHosts: by which names an engine answers.
func TestHosts(t *testing.T) {
	local, open := newServer(t), newServer(t)
	Hosts("engine.example")(open)
	for host, want := range map[string][2]bool{
		"127.0.0.1:8420": {true, true}, "localhost": {true, true}, "[::1]:1": {true, true}, "192.0.2.1:8420": {false, true}, "[2001:db8::1]": {false, true},
		"engine.example:8420": {false, true}, "Engine.Example.": {false, true}, "evil.example": {false, false}, "engine.example.evil.example": {false, false}, "": {false, false},
		"localhost.evil.example": {false, false}, "127.0.0.1.evil.example": {false, false},
	} {
		if got := [2]bool{local.ours(host), open.ours(host)}; got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

// TestConsole: what isn't the API is the console's, with who is signed in.
func TestConsole(t *testing.T) {
	s := newServer(t)
	link, err := s.Auth().FirstLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got string
	s.Console(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.Path + " " + auth.From(r.Context()).Name }))
	r := httptest.NewRequest(http.MethodGet, "/welcome?link="+link, nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	cookie := w.Result().Cookies()[0]
	for path, want := range map[string]string{"/": "/ first admin", "/sign-in": "/sign-in first admin", "/assets/x.js": "/assets/x.js ", "/api/v1/version": "", "/openapi.json": "", "/apix": "/apix first admin"} {
		got = ""
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = "localhost"
		r.AddCookie(cookie)
		s.ServeHTTP(httptest.NewRecorder(), r)
		if got != want {
			t.Errorf("%s: the console got %q, want %q", path, got, want)
		}
	}
}
