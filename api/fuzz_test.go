package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

const (
	fuzzToken = "skyweld_local_fuzz"
	// canary stands for a secret in a body; no answer may repeat it.
	canary = "hush-hush-canary"
)

// newServer returns the API of an engine that has a database and no cloud.
func newServer(tb testing.TB) *Server {
	tb.Helper()
	return serverAt(tb, filepath.Join(tb.TempDir(), "skyweld.db"))
}

// serverAt is newServer at a database of the test's own.
func serverAt(tb testing.TB, where string) *Server {
	tb.Helper()
	box, err := secret.New(make([]byte, secret.KeySize), "a test")
	if err != nil {
		tb.Fatal(err)
	}
	st, err := store.Open(context.Background(), where, box)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { st.Close() })
	e := engine.New(engine.Options{Store: st, Name: "fuzz", Log: slog.New(slog.DiscardHandler), Bundle: node.Bundle{URL: "http://127.0.0.1:1/manifest.json", SHA256: strings.Repeat("0", 64)}})
	return NewServer(e, fuzzToken, "fuzz")
}

// posts are the operations that take a body.
var posts = []string{"/plan", "/clusters", "/accounts", "/clusters/demo/nodes", "/clusters/demo/nodes/demo-web-1/ssh", "/clusters/demo/plan", "/clusters/demo/pause"}

// FuzzBody posts anything to every operation that takes a body: the answer is never the engine's own failure, and is a
// problem in our words that names where it is, and repeats nothing of what may be a secret.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"cluster":"apiVersion: skyweld.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec: {}\n"}`, `{"cluster":5}`, `{"cluster":"x","y":1}`, `{"cluster":`, `[]`, `null`,
		`{"name":"a","provider":"aws","secrets":{"key":"` + canary + `"},"proxy":"http://u:` + canary + `@127.0.0.1:1","settings":{"egress":"everybody"}}`,
		`{"name":"a","provider":"aws","secrets":"` + canary + `"}`, `{"name":"a","secrets":{"key":"` + canary + `"`, `{"name":"A","provider":"` + `azure","proxy":"%zz://` + canary + `@"}`,
		`{"group":"web","count":3}`, `{"group":"web","count":-1}`, `{"group":"web","count":1e99}`, `{"publicKey":"ssh-ed25519 AAAA"}`, `{"kind":"delete"}`, `{"kind":"node-add","group":"web"}`, `{"reason":"\t"}`,
	} {
		for i := range posts {
			f.Add(byte(i), []byte(s))
		}
	}
	s := newServer(f)
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		path := "/api/v1" + posts[int(which)%len(posts)]
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Host = "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+fuzzToken)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		// Without a cloud, and without a cluster, nothing can be taken.
		if w.Code < 400 || w.Code >= 500 || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Fatalf("%s with %q: %d %s: %s", path, body, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || p.Status != w.Code {
			t.Fatalf("%s with %q: not a problem: %v: %s", path, body, err, w.Body)
		}
		text := p.Error()
		if strings.Contains(text, canary) && !strings.HasSuffix(path, "/plan") && !strings.HasSuffix(path, "/clusters") && !public(body) {
			t.Fatalf("%s with %q repeats a secret: %s", path, body, text)
		}
		for _, foreign := range []string{"json:", "sql:", "SQLITE", "invalid character", "cannot unmarshal", "validation failed", "expected ", "%!"} {
			if strings.Contains(text, foreign) && !bytes.Contains(body, []byte(foreign)) {
				t.Fatalf("%s with %q: not in our words: %s", path, body, text)
			}
		}
	})
}

// public says whether the canary stands in a field whose value an answer must name.
func public(body []byte) bool {
	var said struct{ Name, Provider, Group string }
	_ = json.Unmarshal(body, &said) // as far as it goes
	return strings.Contains(said.Name+said.Provider+said.Group, canary)
}

// answer is a server that always says the same.
type answer struct {
	status int
	body   []byte
}

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswer lets anything answer the client, as what isn't an engine at its address would: it is an error or a value, and
// an answer that says no is always an error that says something.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"items":[{"name":"a","created":"2026-01-02T15:04:05Z"}]}`))
	f.Add(404, []byte(`{"title":"Not Found","status":404,"detail":"there is no cluster","errors":[{"message":"m","location":"l"}]}`))
	f.Add(500, []byte(`{"status":"x"}`))
	f.Add(502, []byte(`<html>`))
	f.Add(204, []byte(``))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := &Client{Base: "http://127.0.0.1:1", Token: fuzzToken, HTTP: &http.Client{Transport: answer{100 + (status%500+500)%500, body}}}
		status = 100 + (status%500+500)%500
		if status >= 300 && status < 400 {
			return // followed by net/http
		}
		_, errList := c.Accounts(t.Context())
		_, errOne := c.Change(t.Context(), 1)
		for _, err := range []error{errList, errOne} {
			if status >= 300 && (err == nil || err.Error() == "") {
				t.Fatalf("%d %q is no error", status, body)
			}
		}
	})
}
