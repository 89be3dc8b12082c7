package cloud_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// TestRepeatReads holds that only what reads is asked for again, only while the cloud is busy, and that the answer arrives
// whole.
func TestRepeatReads(t *testing.T) {
	busy := func(answer *http.Response) (bool, error) {
		copied, err := cloud.Peek(answer)
		if err != nil {
			return false, err
		}
		body, err := io.ReadAll(copied.Body)
		return string(body) == "busy", err
	}
	for _, c := range []struct {
		name, method, first, want string
		calls                     int
	}{
		{"busy", "GET", "busy", "fine", 2},
		{"refused", "GET", "no", "no", 1},
		{"a change", "POST", "busy", "busy", 1},
	} {
		calls := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls == 1 {
				io.WriteString(w, c.first)
				return
			}
			io.WriteString(w, "fine")
		}))
		req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := cloud.RepeatReads(http.DefaultTransport, busy).RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != c.want || calls != c.calls {
			t.Errorf("%s: %q after %d calls, %v; want %q after %d", c.name, body, calls, err, c.want, c.calls)
		}
		resp.Body.Close()
		server.Close()
	}
}

func TestRetryAfter(t *testing.T) {
	date := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	at := func(d time.Duration) string { return date.Add(d).Format(http.TimeFormat) }
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "7": 7 * time.Second, "-7": 0, "999999": time.Hour,
		at(30 * time.Second): 30 * time.Second, at(-time.Minute): 0, at(48 * time.Hour): time.Hour,
	} {
		if got := cloud.RetryAfter(http.Header{"Retry-After": {text}, "Date": {at(0)}}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := cloud.RetryAfter(http.Header{"Retry-After": {time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat)}}); got < 20*time.Minute || got > 30*time.Minute {
		t.Errorf("by our own clock: %s", got)
	}
}
