package gce

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGcloud lets Google's own command line make, list and delete a machine. It is few calls, as each takes seconds.
func TestGcloud(t *testing.T) {
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("needs gcloud: install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install)")
	}
	if testing.Short() {
		t.Skip("gcloud takes seconds for each call: left out with -short")
	}
	t.Parallel()
	l := newLab(t)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(fixedToken), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gcloud, append([]string{"compute"}, args...)...)
		cmd.Env = append(os.Environ(),
			"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE="+l.srv.URL+"/compute/v1/", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="+token, "CLOUDSDK_CONFIG="+dir,
			"CLOUDSDK_CORE_PROJECT="+testProject, "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true")
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("gcloud compute %s: want %q in\n%s", strings.Join(args, " "), want, out)
		}
	}
	zone := "--zone=" + testZone
	run("RUNNING", "instances", "create", "node", zone, "--machine-type=e2-medium", "--tags=node", "--can-ip-forward",
		"--image-family=ubuntu-2404-lts-amd64", "--image-project=ubuntu-os-cloud", "--no-service-account", "--no-scopes", "--labels=a=b")
	run("10.150.0.2", "instances", "list", "--filter=labels.a=b AND zone:"+testZone)
	run("already being used by 'projects/skyweld-lab/zones/us-east4-b/instances/node'", "networks", "delete", "default")
	run("Deleted [", "instances", "delete", "node", zone)
}
