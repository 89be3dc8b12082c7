package strangers_test

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	driver "github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// TestCurlDrift has curl break one thing of each type of a cluster's at DigitalOcean, as its pages show the calls, and the
// engine mend it.
func TestCurlDrift(t *testing.T) {
	t.Parallel()
	program(t, "curl", "the package curl")
	service, err := digitalocean.New(digitalocean.Config{Physical: paper.New(), Dir: t.TempDir(), Token: "dop_v1_test", Profile: world.Instant, Pools: paper.Pools()})
	if err != nil {
		t.Fatal(err)
	}
	lab := httptest.NewTLSServer(service)
	t.Cleanup(func() {
		lab.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lab.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(t, cloud.Account{
		Name: "lab", Provider: cloud.DigitalOcean, CA: string(ca), Settings: map[string]string{driver.SettingEndpoint: lab.URL},
		Secrets: map[string]cloud.Secret{driver.SecretToken: "dop_v1_test"},
	}, "nyc3", func(ctx context.Context, a cloud.Account, transport cloud.Transport) (cloud.Driver, error) {
		return driver.New(ctx, a, transport)
	})
	curl := func(method, path, body string) {
		t.Helper()
		args := []string{"-sS", "--fail-with-body", "--cacert", file, "-H", "Authorization: Bearer dop_v1_test", "-H", "Content-Type: application/json", "-X", method}
		if body != "" {
			args = append(args, "-d", body)
		}
		cmd := exec.CommandContext(t.Context(), "curl", append(args, lab.URL+"/v2/"+path)...)
		cmd.Env = append(os.Environ(), "NO_PROXY=*")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("curl -X %s %s: %v\n%s", method, path, err, out)
		}
	}
	const anybody = `{"inbound_rules": [{"protocol": "tcp", "ports": "8080", "sources": {"addresses": ["0.0.0.0/0"]}}]}`
	for _, c := range []struct {
		kind               cloud.Kind
		method, path, body string
	}{
		{"tag", "DELETE", "tags/<conf-tag-node>", ""},
		{"vpc", "PATCH", "vpcs/<conf-vpc>", `{"description": "theirs"}`},
		{"firewall", "POST", "firewalls/<conf-fw-node>/rules", anybody},
		{"firewall", "DELETE", "firewalls/<conf-fw-node>", ""},
		{"droplet", "POST", "droplets/<conf-node-conf-web-1>/actions", `{"type": "power_off"}`},
		{"droplet", "DELETE", "droplets/<conf-node-conf-web-1>", ""},
		{"reserved-ip", "POST", "reserved_ips/<conf-ip-conf-cp-1>/actions", `{"type": "unassign"}`},
	} {
		path, ok := k.fill(c.path)
		if !ok {
			t.Fatalf("%s: not all of it is on record", c.path)
		}
		curl(c.method, path, c.body)
		k.mended(c.kind, "curl -X "+c.method+" "+c.path)
	}
}
