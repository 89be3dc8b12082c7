package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/engine"
)

// TestWho: a name is taken as it is given, and none that would break a line or a table.
func TestWho(t *testing.T) {
	for given, want := range map[string]string{"": engine.Somebody, "alice": "alice", "Ada L.": "Ada L.", "ü": "ü", strings.Repeat("x", longestWho): strings.Repeat("x", longestWho), strings.Repeat("x", longestWho+1): "refused", "a\x1b[31m": "refused", "\xff": "refused"} {
		got := "refused"
		s := &Server{auth: auth.New(auth.Options{LocalToken: "t"}), inner: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = who(r.Context()) })}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer t")
		r.Header.Set(whoHeader, given)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got != want || got == "refused" && w.Code != http.StatusBadRequest {
			t.Errorf("%q is taken as %q, with status %d; want %q", given, got, w.Code, want)
		}
	}
}
