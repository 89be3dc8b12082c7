package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

var testKey = sync.OnceValues(func() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
})

// serviceKey is a service account's key file.
func serviceKey(t *testing.T, tokenURI string) []byte {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": "key-project", "private_key_id": "1", "private_key": string(key),
		"client_email": "sky@key-project.iam.gserviceaccount.com", "token_uri": tokenURI,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// scripted is a Compute Engine that answers as a test says.
type scripted struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []string
	tokens int
	handle func(w http.ResponseWriter, r *http.Request)
}

func newScripted(t *testing.T, handle func(w http.ResponseWriter, r *http.Request)) (*scripted, *Driver) {
	t.Helper()
	s := &scripted{handle: handle}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.URL.Path == "/token" {
			s.tokens++
			fmt.Fprint(w, `{"access_token":"good","expires_in":3600,"token_type":"Bearer"}`)
			return
		}
		s.calls = append(s.calls, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/compute/v1/projects/key-project/"))
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.handle(w, r)
	}))
	t.Cleanup(s.Close)
	d, err := New(t.Context(), cloud.Account{
		Settings: map[string]string{SettingEndpoint: s.URL + "/compute/v1/"},
		Secrets:  map[string]cloud.Secret{SecretCredentials: cloud.Secret(serviceKey(t, s.URL+"/token"))},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	reply(w, map[string]any{"error": map[string]any{"code": status, "message": reason, "errors": []any{map[string]any{"reason": reason, "message": reason}}}})
}

func operation(name, status string, begun time.Time, code string) map[string]any {
	op := map[string]any{
		"name": name, "status": status, "insertTime": begun.Format(time.RFC3339Nano), "operationType": "insert",
		"selfLink": "https://www.googleapis.com/compute/v1/projects/key-project/global/operations/" + name,
	}
	if code != "" {
		op["error"] = map[string]any{"errors": []any{map[string]any{"code": code, "message": code}}}
	}
	return op
}

var testNetwork = cloud.Resource{
	Key: "a-network", Kind: kindNetwork, Site: "a", Region: "us-east4",
	Spec: &NetworkSpec{MTU: 1460, RoutingMode: "REGIONAL", FirewallOrder: "AFTER_CLASSIC_FIREWALL"},
}

func createNetwork(ctx context.Context, d *Driver) (cloud.Object, error) {
	return d.Create(ctx, cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: testNetwork, Token: strings.Repeat("0123456789abcdef", 2)})
}

// TestReplay: Google answers a request id of a try that failed with that failure, for an hour. The driver tries again
// with another id, always the same.
func TestReplay(t *testing.T) {
	var ids []string
	made := false
	_, d := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/global/networks"):
			ids = append(ids, r.URL.Query().Get("requestId"))
			if len(ids) < 3 {
				reply(w, operation(fmt.Sprint("old-", len(ids)), "DONE", time.Now().Add(-time.Minute), "INTERNAL_ERROR"))
				return
			}
			made = true
			reply(w, operation("new", "DONE", time.Now(), ""))
		case made:
			reply(w, map[string]any{
				"id": "7", "name": "n", "selfLink": "https://www.googleapis.com/compute/v1/projects/key-project/global/networks/n",
				"description": cloudtest.TestOwner.Description("a-network"),
			})
		default:
			refuse(w, http.StatusNotFound, "notFound")
		}
	})
	o, err := createNetwork(t.Context(), d)
	if err != nil || o.ID != "projects/key-project/global/networks/n#7" || o.Key != "a-network" {
		t.Fatalf("%+v, %v", o, err)
	}
	want := []string{
		"01234567-89ab-4def-8123-456789abcdef", requestID(nextToken(strings.Repeat("0123456789abcdef", 2), "old-1")),
	}
	if len(ids) != 3 || !slices.Equal(ids[:2], want) || ids[2] == ids[1] {
		t.Errorf("request ids %v, want first %v", ids, want)
	}
}

// TestFreshFailure: what fails now isn't tried again.
func TestFreshFailure(t *testing.T) {
	s, d := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/wait") {
			reply(w, operation("o", "DONE", time.Now(), "QUOTA_EXCEEDED"))
			return
		}
		reply(w, operation("o", "RUNNING", time.Now(), ""))
	})
	_, err := createNetwork(t.Context(), d)
	if cloud.ClassOf(err) != cloud.QuotaExceeded || err.Error() != "create network a-network: QUOTA_EXCEEDED" {
		t.Errorf("error %v", err)
	}
	if want := []string{"POST global/networks", "POST global/operations/o/wait"}; !slices.Equal(s.calls, want) || s.tokens != 1 {
		t.Errorf("calls %v and %d for tokens, want %v and 1", s.calls, s.tokens, want)
	}
}

// TestForgottenOperation: an operation that isn't known any more must not pass for a resource that is gone.
func TestForgottenOperation(t *testing.T) {
	_, d := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/wait"):
			refuse(w, http.StatusNotFound, "notFound")
		case r.Method == http.MethodDelete:
			reply(w, operation("o", "RUNNING", time.Now(), ""))
		default:
			reply(w, map[string]any{"id": "7", "name": "n"})
		}
	})
	err := d.Delete(t.Context(), cloudtest.TestOwner, cloud.Object{Key: "a-network", Kind: kindNetwork, ID: "projects/key-project/global/networks/n#7"})
	if cloud.ClassOf(err) != cloud.Unknown {
		t.Errorf("error %v, want class unknown", err)
	}
}

// TestPartialList: a list that lacks a zone says nothing about what is there.
func TestPartialList(t *testing.T) {
	for name, page := range map[string]map[string]any{
		"unreachable": {"unreachables": []string{"zones/us-east4-b"}},
		"warning": {"items": map[string]any{"zones/us-east4-b": map[string]any{
			"warning": map[string]any{"code": "UNREACHABLE", "message": "no answer"},
		}}},
	} {
		_, d := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/aggregated/instances") {
				reply(w, page)
				return
			}
			reply(w, map[string]any{"warning": map[string]any{"code": "NO_RESULTS_ON_PAGE"}})
		})
		if _, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, "us-east4"); cloud.ClassOf(err) != cloud.Unavailable {
			t.Errorf("%s: error %v, want class unavailable", name, err)
		}
	}
}

// TestMissing names the permissions that calls are refused for.
func TestMissing(t *testing.T) {
	_, d := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/projects/key-project"):
			reply(w, map[string]any{"name": "key-project", "quotas": []any{map[string]any{"metric": "NETWORKS", "limit": 5, "usage": 1}}})
		case strings.HasSuffix(r.URL.Path, "/regions"):
			reply(w, map[string]any{"items": []any{map[string]any{
				"name": "us-east4", "status": "UP", "zones": []string{"https://x/projects/key-project/zones/us-east4-a"},
				"quotas": []any{map[string]any{"metric": "CPUS", "limit": 24, "usage": 3}, map[string]any{"metric": "ROUTERS", "limit": 1}},
			}}})
		case r.Method == http.MethodGet:
			reply(w, map[string]any{})
		case strings.Contains(r.URL.Path, "/firewalls/"):
			refuse(w, http.StatusForbidden, "forbidden")
		default:
			refuse(w, http.StatusNotFound, "notFound")
		}
	})
	rep, err := d.Check(t.Context(), "us-east4")
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, m := range rep.Missing {
		missing = append(missing, m.Action)
	}
	if want := []string{"compute.firewalls.delete", "compute.firewalls.update"}; !slices.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
	want := []cloud.Quota{{Name: "NETWORKS", Limit: 5, Used: 1}, {Name: "CPUS", Region: "us-east4", Limit: 24, Used: 3}}
	if !slices.Equal(rep.Quotas, want) || rep.Identity != "sky@key-project.iam.gserviceaccount.com" || rep.Account != "key-project" {
		t.Errorf("report %+v", rep)
	}
	if _, err := d.Check(t.Context(), "mars-north1"); cloud.ClassOf(err) != cloud.Invalid {
		t.Errorf("an unknown region: %v, want class invalid", err)
	}
}

func TestRequestID(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "token")
		for range 3 {
			if id := requestID(token); !uuid.MatchString(id) || id != requestID(token) {
				t.Fatalf("token %s gives %s", token, id)
			}
			token = nextToken(token, "operation-1")
			if cloud.CheckToken(token) != nil {
				t.Fatalf("next token %s", token)
			}
		}
	})
}
