package gcp

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// TestAgain holds that what only reads is asked for again while Google is busy, that nothing else is, and that the answer
// arrives whole.
func TestAgain(t *testing.T) {
	const (
		throttled = `{"error":{"code":403,"message":"slow down","errors":[{"reason":"rateLimitExceeded"}]}}`
		forbidden = `{"error":{"code":403,"message":"no","errors":[{"reason":"forbidden"}]}}`
		broken    = `{"error":{"code":500,"message":"oh","errors":[{"reason":"backendError"}]}}`
	)
	for _, c := range []struct {
		name, method string
		first        int
		body         string
		status       int // of the answer that arrives
		calls        int
	}{
		{"throttled", "GET", 403, throttled, 200, 2},
		{"broken", "GET", 500, broken, 200, 2},
		{"forbidden", "GET", 403, forbidden, 403, 1},
		{"a change", "POST", 403, throttled, 403, 1},
		{"not found", "GET", 404, "", 404, 1},
	} {
		calls := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls == 1 {
				w.WriteHeader(c.first)
				io.WriteString(w, c.body)
				return
			}
			io.WriteString(w, "fine")
		}))
		req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := cloud.RepeatReads(http.DefaultTransport, cloud.Busy(judge)).RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		body, err := io.ReadAll(resp.Body)
		want := c.body
		if c.status == 200 {
			want = "fine"
		}
		if err != nil || resp.StatusCode != c.status || calls != c.calls || string(body) != want {
			t.Errorf("%s: %d %q after %d calls, %v; want %d after %d", c.name, resp.StatusCode, body, calls, err, c.status, c.calls)
		}
		resp.Body.Close()
		server.Close()
	}
}

// TestRefusedToken has a token refused long before our clock would have it end, as happens when that was set back: the next
// request fetches another.
func TestRefusedToken(t *testing.T) {
	tokens, good := 0, "token-1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			tokens++
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, tokens)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+good {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	creds := &credentials{Type: typeUser, TokenURI: server.URL + "/token", ClientID: "c", ClientSecret: "s", RefreshToken: "r"}
	b := newBearer(creds, http.DefaultTransport)
	get := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	first, kept := get(), get()
	good = "token-2"
	refused, again := get(), get()
	if first != 200 || kept != 200 || refused != 401 || again != 200 || tokens != 2 {
		t.Errorf("answers %d, %d, %d and %d with %d tokens", first, kept, refused, again, tokens)
	}
}
