package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// TestParseIfMatch: as RFC 9110 has the header.
func TestParseIfMatch(t *testing.T) {
	for header, want := range map[string]string{
		"": "[] false", "*": "[] true", " * ": "[] true", `"3"`: "[{3 0}] false", `"3+17"`: "[{3 17}] false", `"3", "4"`: "[{3 0} {4 0}] false", `"3" ,"x"`: "[{3 0} {-1 0}] false",
		`W/"3"`: "[{-1 0}] false", `"03"`: "[{-1 0}] false", `"3+0"`: "[{-1 0}] false", `"-3"`: "[{-1 0}] false", `""`: "[{-1 0}] false", `"3",`: "[{3 0}] false",
		"3": "bad", `"3`: "bad", `"3" "4"`: "bad", `"3 "`: "bad", `*, "3"`: "bad", "\"\x7f\"": "bad",
	} {
		match, any, err := parseIfMatch(header)
		got := fmt.Sprint(match, any)
		if err != nil {
			got = "bad"
		}
		if got != want {
			t.Errorf("%s is read as %s, want %s", header, got, want)
		}
	}
}

// FuzzIfMatch: what is read as a tag is one that is written.
func FuzzIfMatch(f *testing.F) {
	for _, s := range []string{`"3"`, `W/"3+4"`, `"1","2"`, "*", `"`, `",",`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		match, _, err := parseIfMatch(header)
		for _, v := range match {
			if err == nil && v.Generation >= 0 && !strings.Contains(header, etag(v)) {
				t.Errorf("%q has no %s", header, etag(v))
			}
		}
	})
}

// FuzzKey: a key that is taken is short, and can be shown.
func FuzzKey(f *testing.F) {
	f.Add("abc")
	f.Add(" ")
	f.Add("ü")
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey([]string{key}) != nil {
			return
		}
		if key == "" || len(key) > longestKey || strings.TrimFunc(key, func(r rune) bool { return r > ' ' && r < 0x7f }) != "" {
			t.Errorf("%q is taken", key)
		}
	})
}

const twoSites = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites: [{name: one, account: acc, region: us-east-1}]
  controlPlane: {replicas: 1}
  workers: [{name: web, site: one, size: small, count: %d}]
`

// queueChange queues a change of a cluster's spec as the engine would.
func queueSpec(t *testing.T, s *Server, uid, who string, workers int) store.Change {
	t.Helper()
	q, err := s.engine.Store().GetQueue(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	c, errs := spec.Read(fmt.Appendf(nil, twoSites, workers))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	spec.Default(c)
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := s.engine.Store().QueueChange(t.Context(), q, store.Change{Cluster: uid, Kind: store.Apply, Body: body, Who: who, Summary: "workers"})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// TestIfMatch: who asks for something of a cluster that isn't as it was is told what has happened to it, and nothing is done.
func TestIfMatch(t *testing.T) {
	s := newServer(t)
	demo := storedCluster(t, s, "demo")
	c := s.As(auth.Principal{Name: "ada", Role: auth.Operator})
	seen, err := c.Cluster(t.Context(), "demo")
	if err != nil || seen.ETag != `"1"` || seen.Latest != "" {
		t.Fatalf("%+v, %v", seen, err)
	}
	ch := queueSpec(t, s, demo.UID, "bob", 3)
	_, err = c.If(seen.ETag).Delete(t.Context(), "demo")
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Status != http.StatusPreconditionFailed || len(p.Edits) != 1 || p.Edits[0].Who != "bob" || p.Edits[0].Change != ch.ID || len(p.Edits[0].Fields) == 0 || !strings.Contains(p.Detail, "by bob at ") {
		t.Fatalf("%+v", err)
	}
	if all, err := s.engine.Store().ListChanges(t.Context(), demo.UID); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	seen, err = c.Cluster(t.Context(), "demo")
	if err != nil || seen.ETag != fmt.Sprintf(`"1+%d"`, ch.ID) || !strings.Contains(seen.Latest, "count: 3") {
		t.Fatalf("%+v, %v", seen, err)
	}
	// What was seen waiting comes into force: that is nothing new.
	claim, err := s.engine.Store().ClaimCluster(t.Context(), "engine", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := s.engine.Store().GetQueue(t.Context(), demo.UID)
	var wanted spec.Cluster
	if err := json.Unmarshal(q.Waiting[0].Body, &wanted); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Store().TakeChanges(t.Context(), claim.Fence, q, []store.Move{{ID: ch.ID, State: store.Applying, Spec: &wanted}}); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{`"1"`, `"1+99"`, `"2+1"`, `W/"2"`, `"x"`} {
		_, err := c.If(wrong).Delete(t.Context(), "demo")
		if p, ok := errors.AsType[*Problem](err); !ok || p.Status != http.StatusPreconditionFailed {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if _, err := c.If("2").Delete(t.Context(), "demo"); err == nil || !strings.Contains(err.Error(), "If-Match") {
		t.Errorf("a tag without quotes: %v", err)
	}
	if _, err := c.If(seen.ETag).Delete(t.Context(), "demo"); err != nil {
		t.Error(err)
	}
	if _, err := c.If("*").Delete(t.Context(), "nobody"); err == nil {
		t.Error("there is nobody")
	}
}

// sent sends a write with a key.
func sent(s *Server, method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
	r.Host = "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+fuzzToken)
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestKeys: a write that is sent again with its key is done once, and its answer is the first one's.
func TestKeys(t *testing.T) {
	s := newServer(t)
	demo := storedCluster(t, s, "demo")
	key := func(k string) map[string]string { return map[string]string{keyHeader: k} }
	first := sent(s, "DELETE", "/clusters/demo", "", key("k1"))
	again := sent(s, "DELETE", "/clusters/demo", "", key("k1"))
	if first.Code != http.StatusAccepted || again.Code != http.StatusAccepted || first.Body.String() != again.Body.String() || again.Header().Get("Location") != first.Header().Get("Location") ||
		first.Header().Get(replayedHeader) != "" || again.Header().Get(replayedHeader) != "true" || !strings.HasPrefix(first.Header().Get("Location"), "/api/v1/changes/") {
		t.Errorf("%d %s %v\n%d %s %v", first.Code, first.Body, first.Header(), again.Code, again.Body, again.Header())
	}
	for name, test := range map[string]struct {
		method, path, body, key string
		want                    int
	}{
		"another request":      {"DELETE", "/clusters/demo?abandon=one", "", "k1", 422},
		"another operation":    {"POST", "/clusters/demo/reconcile", "", "k1", 422},
		"an unknown cluster":   {"DELETE", "/clusters/nobody", "", "k2", 404},
		"the key is free then": {"POST", "/clusters/demo/pause", `{"reason":""}`, "k2", 422},
		"a space":              {"DELETE", "/clusters/demo", "", "a b", 422},
		"too long":             {"DELETE", "/clusters/demo", "", strings.Repeat("x", longestKey+1), 422},
		"no ASCII":             {"DELETE", "/clusters/demo", "", "ü", 422},
		"on a read":            {"GET", "/clusters/demo", "", "k1", 200},
		"too large":            {"POST", "/clusters", strings.Repeat(" ", maxBody+1), "k3", 413},
	} {
		w := sent(s, test.method, test.path, test.body, key(test.key))
		if w.Code != test.want || w.Header().Get(replayedHeader) != "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	// Another's key is another.
	h := key("k1")
	h[whoHeader] = "bob"
	if w := sent(s, "DELETE", "/clusters/nobody", "", h); w.Code != 404 {
		t.Errorf("another's key: %d %s", w.Code, w.Body)
	}
	// A token is shown once.
	if w := sent(s, "POST", "/tokens", `{"name":"ci","role":"viewer"}`, key("k4")); w.Code != 201 {
		t.Errorf("a token: %d %s", w.Code, w.Body)
	}
	if w := sent(s, "POST", "/tokens", `{"name":"ci","role":"viewer"}`, key("k4")); w.Code != 409 || !strings.Contains(w.Body.String(), "which is not kept") {
		t.Errorf("the token again: %d %s", w.Code, w.Body)
	}
	// The engine is stopped after it has queued a change and before it has said so.
	if _, err := s.engine.Store().AddEvent(t.Context(), store.Event{Cluster: demo.UID, Type: store.Normal, Reason: "R"}); err != nil {
		t.Fatal(err)
	}
	storedCluster(t, s, "other")
	other, _ := s.engine.Store().GetCluster(t.Context(), "other")
	r := httptest.NewRequest("POST", "/api/v1/clusters/other/reconcile", nil)
	k := store.Keyed{Principal: "local token/", Key: "k5"}
	r.Header.Set("Content-Type", "application/json")
	k.Digest, _ = digest(r, nil, k, false)
	try, done, err := s.engine.Store().BeginKeyed(t.Context(), k, -time.Second, time.Hour)
	if err != nil || done != nil {
		t.Fatal(done, err)
	}
	ch, err := s.engine.Store().AddChange(store.WithTerms(t.Context(), store.Terms{Try: &try}), store.Change{Cluster: other.UID, Kind: store.Reconcile})
	if err != nil {
		t.Fatal(err)
	}
	w := sent(s, "POST", "/clusters/other/reconcile", "", key("k5"))
	var got Change
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 202 || got.ID != ch.ID || w.Header().Get(replayedHeader) != "true" || w.Header().Get("Location") == "" {
		t.Errorf("after a stop: %d %s %v", w.Code, w.Body, w.Header())
	}
}

// TestKeysAtOnce: of many who send the same write at once one does it.
func TestKeysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		demo := storedCluster(t, s, "demo")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					w := sent(s, "DELETE", "/clusters/demo", "", map[string]string{keyHeader: "same"})
					if w.Code == http.StatusConflict && w.Header().Get("Retry-After") != "" {
						time.Sleep(time.Second)
						continue
					}
					if w.Code != http.StatusAccepted {
						t.Errorf("%d %s", w.Code, w.Body)
					}
					return
				}
			})
		}
		wg.Wait()
		if all, err := s.engine.Store().ListChanges(t.Context(), demo.UID); err != nil || len(all) != 1 {
			t.Errorf("%d changes, %v", len(all), err)
		}
	})
}

// TestPointers: a field's pointer is its place in the body or the cluster file.
func TestPointers(t *testing.T) {
	for location, want := range map[string]string{
		"spec.sites[0].region": "/spec/sites/0/region", "body.count": "/count", "body.a[1].b/c": "/a/1/b~1c", "query.limit": "", "header.If-Match": "", "path.name": "", "body": "", "": "", "reason": "/reason",
	} {
		if got := pointerTo(location); got != want {
			t.Errorf("%s points to %q, want %q", location, got, want)
		}
	}
}
