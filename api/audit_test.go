package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// log is what the audit log has, the oldest first.
func auditLog(t *testing.T, s *Server) []AuditEntry {
	t.Helper()
	page, err := s.As(auth.Principal{Role: auth.Admin}).Audit(t.Context(), AuditQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var out []AuditEntry
	for _, e := range page.Items {
		out = append([]AuditEntry{e}, out...)
	}
	return out
}

// newCluster puts a cluster into a server's store, which no engine works on.
func newCluster(t *testing.T, s *Server) {
	t.Helper()
	st := s.engine.Store()
	if err := st.PutAccount(t.Context(), cloud.Account{Name: "acme", Provider: cloud.AWS, Settings: map[string]string{"region": "us-east-1"}, Secrets: map[string]cloud.Secret{"key": canary}, Proxy: "http://u:" + canary + "@127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	c := &spec.Cluster{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: "demo"}}
	c.Spec.Sites = []spec.Site{{Name: "a", Account: "acme", Region: "us-east-1"}}
	c.Spec.Workers = []spec.Workers{{Name: "web", Site: "a", Size: "small", Count: new(2)}}
	spec.Default(c)
	if _, err := st.CreateCluster(t.Context(), c, "ada"); err != nil {
		t.Fatal(err)
	}
}

// TestAudit does one thing after another: each is in the log, with what it changed and without what nobody may see.
func TestAudit(t *testing.T) {
	s := newServer(t)
	newCluster(t, s)
	ada := auth.Principal{Name: "ada", Role: auth.Admin, Via: "session", From: "192.0.2.1:4711"}
	c := s.As(ada)
	const password = canary + " password"
	type object = map[string]any
	var secret string
	for _, step := range []struct {
		do   func(context.Context) error
		want string // operation, object and status
		// before and after are what changed; nil is for what isn't looked at.
		before, after object
		err           string
	}{
		{func(ctx context.Context) error {
			_, err := c.AddUser(ctx, NewUser{Name: "bob", Role: "viewer", Password: password})
			return err
		}, "POST /users user/bob 201", object{}, nil, ""},
		{func(ctx context.Context) error {
			_, err := c.UpdateUser(ctx, "bob", UserUpdate{Role: new("operator")})
			return err
		}, "POST /users/{name} user/bob 200", object{"role": "viewer"}, object{"role": "operator"}, ""},
		{func(ctx context.Context) error {
			_, err := c.UpdateUser(ctx, "bob", UserUpdate{Password: new(password + "2")})
			return err
		}, "POST /users/{name} user/bob 200", object{}, object{"password": "changed"}, ""},
		{func(ctx context.Context) error {
			made, err := c.MakeToken(ctx, NewToken{Name: "ci", Role: "viewer"})
			secret = made.Secret
			return err
		}, "POST /tokens token/ci 201", object{}, nil, ""},
		{func(ctx context.Context) error { return c.RevokeToken(ctx, "ci") }, "DELETE /tokens/{name} token/ci 204", nil, object{}, ""},
		{func(ctx context.Context) error { return c.RevokeToken(ctx, "ci") }, "DELETE /tokens/{name} token/ci 404", object{}, object{}, `there is no token named "ci"`},
		{func(ctx context.Context) error { _, err := c.Pause(ctx, "demo", "a reason"); return err }, "POST /clusters/{name}/pause cluster/demo 200", object{},
			object{"paused.by": "ada", "paused.reason": "a reason"}, ""},
		{func(ctx context.Context) error { _, err := c.Reconcile(ctx, "demo"); return err }, "POST /clusters/{name}/reconcile cluster/demo 202", object{}, object{}, ""},
		{func(ctx context.Context) error {
			all, err := c.Changes(ctx, "demo")
			if err == nil {
				_, err = c.CancelChange(ctx, all[len(all)-1].ID)
			}
			return err
		}, "DELETE /changes/{id} cluster/demo/change/ID 200", object{"state": "queued"}, object{"state": "cancelled"}, ""},
		{func(ctx context.Context) error { _, err := c.Delete(ctx, "demo"); return err }, "DELETE /clusters/{name} cluster/demo 202", nil, object{"deletion": "requested"}, ""},
		{func(ctx context.Context) error {
			_, err := c.AddAccount(ctx, NewAccount{Name: "new", Provider: "aws", Secrets: map[string]string{"key": canary}, Proxy: "http://u:" + canary + "@127.0.0.1:1"})
			return err
		}, "POST /accounts account/new 422", object{}, object{"credentials": "given"}, "not supported"},
		{func(ctx context.Context) error { return c.RemoveAccount(ctx, "acme") }, "DELETE /accounts/{name} account/acme 409", object{}, object{}, "demo"},
		{func(ctx context.Context) error {
			_, err := s.As(auth.Principal{Name: "eve", Role: auth.Viewer, Via: "token x"}).Reconcile(ctx, "demo")
			return err
		}, "POST /clusters/{name}/reconcile cluster/demo 403", object{}, object{}, "needs the role operator, and you have the role viewer"},
		{func(ctx context.Context) error {
			return c.call(ctx, http.MethodPost, "/clusters/demo/pause", map[string]any{"secret": canary}, nil)
		}, "POST /clusters/{name}/pause cluster/demo 422", object{}, object{}, "Unprocessable Entity"},
		{func(ctx context.Context) error {
			_, err := c.Grant(ctx, "demo", "demo-web-1", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8Ht8Z3j6yDWPBHQtOp/R9rjWvfMYo3MSA/K6q8D86r ada@here")
			return err
		}, "POST /clusters/{name}/nodes/{node}/ssh cluster/demo/node/demo-web-1 404", object{},
			object{"publicKey": "ssh-ed25519 SHA256:hEnhFaWz3RlBgsxVLXzJ3qnF/wXPTleIDrpIKAPNDD8 ada@here"}, "has no node"},
	} {
		before := len(auditLog(t, s))
		err := step.do(t.Context())
		all := auditLog(t, s)
		if len(all) != before+1 {
			t.Fatalf("%s: %d entries more, error %v", step.want, len(all)-before, err)
		}
		e := all[before]
		got := fmt.Sprintf("%s %s %d", e.Operation, e.Object, e.Status)
		if i := strings.Index(e.Object, "/change/"); i > 0 {
			got = fmt.Sprintf("%s %s/change/ID %d", e.Operation, e.Object[:i], e.Status)
		}
		if got != step.want || !strings.Contains(e.Error, step.err) || (e.Status < 400) != (e.Error == "") {
			t.Errorf("the entry is %s (%q); want %s (%q)", got, e.Error, step.want, step.err)
		}
		if e.Who != "eve" && (e.Who != "ada" || e.Role != "admin" || e.Via != "session" || e.From != "192.0.2.1") {
			t.Errorf("%s: it was %+v", got, e)
		}
		for what, pair := range map[string][2]object{"before": {step.before, e.Before}, "after": {step.after, e.After}} {
			if pair[1] == nil {
				pair[1] = object{}
			}
			if diff := cmp.Diff(pair[0], pair[1]); pair[0] != nil && diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", got, what, diff)
			}
		}
	}
	// Reading isn't recorded.
	before := len(auditLog(t, s))
	if _, err := c.Clusters(t.Context()); err != nil {
		t.Error(err)
	}
	all := auditLog(t, s)
	if len(all) != before {
		t.Errorf("reading left %+v", all[before:])
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{canary, secret, "argon2"} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("the log has a secret, %q", hidden)
		}
	}
}

// TestAuditOfASpec: of a cluster file the log has the fields that changed.
func TestAuditOfASpec(t *testing.T) {
	s := newServer(t)
	newCluster(t, s)
	st := s.engine.Store()
	uid, err := s.engine.Cluster(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	n := &note{server: s, object: "cluster/demo"}
	n.begin(t.Context(), &struct{}{})
	next := uid.Spec.Clone()
	next.Spec.Workers[0].Count = new(5)
	next.Spec.Workers = append([]spec.Workers{{Name: "batch", Site: "a", Size: "small", Count: new(1)}}, next.Spec.Workers...)
	data, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.AddChange(t.Context(), store.Change{Cluster: uid.UID, Kind: store.Apply, Body: data}); err != nil {
		t.Fatal(err)
	}
	n.end(t.Context(), nil)
	before, after := n.difference()
	var is map[string]any
	if err := json.Unmarshal(after, &is); err != nil {
		t.Fatal(err)
	}
	if string(before) != `{"spec.workers[web].count":2}` || is["spec.workers[web].count"] != 5. || is["spec.workers[batch].name"] != "batch" || len(is) > 12 {
		t.Errorf("before %s, after %s", before, after)
	}
}

// TestAuditStays: an entry is written though whoever asked is gone, or what answers fails.
func TestAuditStays(t *testing.T) {
	s := newServer(t)
	newCluster(t, s)
	for _, gone := range []bool{false, true} {
		before := len(auditLog(t, s))
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequest(http.MethodPost, "/api/v1/clusters/demo/pause", strings.NewReader(`{"reason":"a reason"}`)).WithContext(ctx)
		r.Host, r.RemoteAddr = "localhost", "192.0.2.7:1"
		r.Header.Set("Authorization", "Bearer "+fuzzToken)
		r.Header.Set("Content-Type", "application/json")
		if gone {
			cancel()
		}
		s.ServeHTTP(httptest.NewRecorder(), r)
		cancel()
		all := auditLog(t, s)
		if len(all) != before+1 && !(gone && len(all) == before) {
			t.Fatalf("%d entries more", len(all)-before)
		}
		if !gone && (all[before].From != "192.0.2.7" || all[before].Via != "local token") {
			t.Errorf("the entry is %+v", all[before])
		}
	}
	// One who goes away in the middle.
	ctx, cancel := context.WithCancel(auth.With(t.Context(), auth.Principal{Name: "ada", Role: auth.Admin}))
	s.Auth().Record(ctx, store.AuditEntry{Operation: "first"})
	cancel()
	s.Auth().Record(ctx, store.AuditEntry{Operation: "second\nline", Object: "\x00\xff"})
	all := auditLog(t, s)
	if last := all[len(all)-1]; last.Operation != "second line" || last.Who != "ada" || last.Object != "\ufffd\ufffd" {
		t.Errorf("the last entry is %+v", last)
	}
}

func TestAuditPages(t *testing.T) {
	s := newServer(t)
	for i := range 25 {
		s.Auth().Record(t.Context(), store.AuditEntry{Who: fmt.Sprint("user", i%2), Via: "x", Operation: fmt.Sprint("op ", i)})
	}
	c := s.As(auth.Principal{Role: auth.Admin})
	var got []string
	q := AuditQuery{Limit: 5, Who: "user0"}
	for pages := 1; ; pages++ {
		page, err := c.Audit(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			got = append(got, strings.TrimPrefix(e.Operation, "op "))
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if text := strings.Join(got, " "); text != "24 22 20 18 16 14 12 10 8 6 4 2 0" {
		t.Errorf("all pages have %s", text)
	}
	for _, bad := range []string{"cursor=x", "cursor=-1", "limit=0", "limit=1001", "since=yesterday", "text=%00", "who=%ff"} {
		if w := ask(s, http.MethodGet, "/api/v1/audit?"+bad, fuzzToken, ""); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}
}
