package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOperating asks what whoever operates an engine asks, from here and from elsewhere.
func TestOperating(t *testing.T) {
	s := newServer(t)
	s.metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "figures") })
	s.hosts = []string{"skyweld.example"}
	const here, there = "127.0.0.1:4711", "192.0.2.1:4711"
	for _, c := range []struct {
		name, method, path, from, host string
		header                         []string
		status                         int
		want                           string
	}{
		{"alive", "GET", "/healthz", here, "127.0.0.1", nil, 200, "alive\n"},
		{"alive, from elsewhere, by any name", "HEAD", "/healthz", there, "10.0.0.1.nip.example", nil, 200, ""},
		{"not ready", "GET", "/readyz", there, "skyweld.example", nil, 503, "the engine isn't running yet\n"},
		{"asked to change something", "POST", "/readyz", here, "localhost", nil, 405, "want GET"},
		{"metrics from here", "GET", "/metrics", here, "localhost:8420", nil, 200, "figures"},
		{"metrics from elsewhere", "GET", "/metrics", there, "skyweld.example", nil, 401, "token"},
		{"metrics from elsewhere with a token", "GET", "/metrics", there, "skyweld.example", []string{"Authorization", "Bearer " + fuzzToken}, 200, "figures"},
		{"metrics from elsewhere with a wrong token", "GET", "/metrics", there, "skyweld.example", []string{"Authorization", "Bearer x"}, 401, "token"},
		{"metrics by way of a proxy here", "GET", "/metrics", here, "localhost", []string{"X-Forwarded-For", "192.0.2.1"}, 401, "token"},
		{"metrics by a name of somebody else's", "GET", "/metrics", here, "evil.example", nil, 421, "evil.example"},
		{"metrics by this engine's name from here", "GET", "/metrics", here, "skyweld.example", nil, 401, "token"},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.RemoteAddr, r.Host = c.from, c.host
		for i := 0; i+1 < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.status || c.method != "HEAD" && !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %q, want %d %q", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/api/v1/clusters": 404, "/": 404} {
		w := httptest.NewRecorder()
		s.Operating().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("on the listener of its own %s is answered %d, want %d", path, w.Code, want)
		}
	}
}
