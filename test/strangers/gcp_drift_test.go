package strangers_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/gcp"
)

// TestGcloudDrifts breaks things of every kind with gcloud; the engine repairs them.
func TestGcloudDrifts(t *testing.T) {
	l := newGCPLab(t)
	g := newGcloud(t, l)
	key, err := os.ReadFile(l.key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(l.ca)
	if err != nil {
		t.Fatal(err)
	}
	account := cloud.Account{
		Provider: cloud.GCP, Settings: map[string]string{gcp.SettingEndpoint: l.url + "/compute/v1"},
		Secrets: map[string]cloud.Secret{gcp.SecretCredentials: cloud.Secret(key)}, CA: string(ca),
	}
	k := newKeeper(t, account, gcpRegion, func(ctx context.Context, a cloud.Account, wrap cloud.Transport) (cloud.Driver, error) {
		return gcp.New(ctx, a, wrap)
	})
	k.name = func(id string) string {
		path, _, _ := strings.Cut(id, "#")
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	k.testDrifts(k.driver.Kinds(), func(command string) (string, error) {
		a := g.run(strings.TrimPrefix(command, "gcloud compute ") + " --quiet")
		if a.Code != 0 {
			return "", fmt.Errorf("exit code %d: %s", a.Code, a.Err)
		}
		return a.Out, nil
	})
}
