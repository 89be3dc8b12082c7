package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/web/webtest"
)

// TestEarlyProblems: what is refused before it comes to an operation says what was asked for, too.
func TestEarlyProblems(t *testing.T) {
	scene, err := webtest.New(t.Context(), webtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer scene.Store.Close()
	large := strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		what, method, path, body string
		header                   map[string]string
		status                   int
	}{
		{"no token", "GET", "/api/v1/clusters", "", map[string]string{"Authorization": ""}, 401},
		{"another's page", "GET", "/api/v1/clusters", "", map[string]string{"Origin": "https://example.com"}, 403},
		{"no such path", "GET", "/api/v1/nothing", "", nil, 404},
		{"no such method", "PATCH", "/api/v1/clusters", "", nil, 405},
		{"health", "POST", "/healthz", "", nil, 405},
		{"a large body", "POST", "/api/v1/clusters", large, nil, 413},
		{"a bad key", "POST", "/api/v1/clusters", "{}", map[string]string{"Idempotency-Key": "a b"}, 422},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Host = "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+sceneToken)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		scene.API.ServeHTTP(w, r)
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Instance != c.path {
			t.Errorf("%s: %d, instance %q: %v; want %d", c.what, w.Code, p.Instance, err, c.status)
		}
	}
}

// TestEgressUnknown: an engine that can't find out where it comes from says so, and what to do, to whoever asks for a plan.
func TestEgressUnknown(t *testing.T) {
	scene, err := webtest.New(t.Context(), webtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer scene.Store.Close()
	for _, p := range []cloud.Provider{cloud.AWS, cloud.GCP} {
		a := cloud.Account{Name: "my-" + string(p), Provider: p, Proxy: "socks5://127.0.0.1:1", Secrets: map[string]cloud.Secret{"key": "secret"}}
		if err := scene.Store.PutAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	body, err := json.Marshal(api.File{Cluster: fmt.Sprintf(demoFile, "demo")})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/plan", strings.NewReader(string(body)))
	r.Host = "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+sceneToken)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	scene.API.ServeHTTP(w, r)
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "skyweld account update my-aws --egress") {
		t.Errorf("a plan is answered %d %s", w.Code, w.Body)
	}
}
