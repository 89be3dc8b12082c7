package strangers_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// TestNodeAzure lets Azure's clients for JavaScript make, list, poll, change and delete all that a site needs, where
// operations take a while and where they don't.
func TestNodeAzure(t *testing.T) {
	t.Parallel()
	packages := nodeModules(t)
	const subscription, tenant, client, secret = "5b5b5b5b-0000-4000-8000-000000000001", "5b5b5b5b-0000-4000-8000-000000000002", "5b5b5b5b-0000-4000-8000-000000000003", "a-secret"
	for _, profile := range []world.Profile{world.Instant, world.Fast} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			var service *arm.Service
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { service.ServeHTTP(w, r) }))
			defer server.Close()
			service, err := arm.New(arm.Config{
				Physical: paper.New(), Dir: t.TempDir(), Subscription: subscription, Tenant: tenant, ClientID: client, ClientSecret: secret,
				BaseURL: func() string { return server.URL }, Profile: profile, Pool: paper.Pools(),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer service.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), program(t, "node", "version 20 or newer, https://nodejs.org"), "--no-warnings", filepath.Join("azure", "arm.mjs"))
			cmd.Env = append(os.Environ(), "LAB_URL="+server.URL, "LAB_SUBSCRIPTION="+subscription, "LAB_TENANT="+tenant, "LAB_CLIENT="+client, "LAB_SECRET="+secret,
				"LAB_PACKAGES="+packages, "NODE_EXTRA_CA_CERTS="+ca)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("node: %v\n%s", err, out)
			}
			t.Logf("%s", strings.TrimSpace(string(out)))
		})
	}
}
