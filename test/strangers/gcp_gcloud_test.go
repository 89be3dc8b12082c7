package strangers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// newGcloud starts gcloud for a lab, with the key of the lab's service account; or skips the test where there is none.
func newGcloud(t *testing.T, l *gcpLab) *shell {
	t.Helper()
	const how = "install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install)"
	found, err := filepath.EvalSymlinks(program(t, "gcloud", how))
	if err != nil {
		t.Fatal(err)
	}
	sdk := filepath.Dir(filepath.Dir(found))
	lib := filepath.Join(sdk, "lib")
	if _, err := os.Stat(filepath.Join(lib, "gcloud.py")); err != nil {
		t.Skipf("needs gcloud's own library beside %s: %s", found, how)
	}
	python := filepath.Join(sdk, "platform", "bundledpythonunix", "bin", "python3")
	if _, err := os.Stat(python); err != nil {
		python = program(t, "python3", "the Python that gcloud asks for")
	}
	cmd := exec.Command(python, "-S", filepath.Join("gcp", "gcloud.py"), lib)
	cmd.Env = append(os.Environ(),
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE="+l.url+"/compute/v1/", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE="+l.key, "CLOUDSDK_AUTH_TOKEN_HOST="+l.url+"/token", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE="+l.ca, "REQUESTS_CA_BUNDLE="+l.ca,
		"CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_PROJECT="+gcpProject, "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true",
		"CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true", "CLOUDSDK_CORE_LOG_HTTP=false", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true", "PYTHONDONTWRITEBYTECODE=1")
	return newShell(t, cmd, "gcloud compute", []string{"compute"}, func() []string {
		var out []string
		for _, r := range l.refusals() {
			out = append(out, r.String())
		}
		return out
	})
}
