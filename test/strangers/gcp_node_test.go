package strangers_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNodeCompute lets Google's client for JavaScript make, page through, change and delete all kinds that the lab has. It
// reads answers into the API's messages, and so has an opinion of its own on types.
func TestNodeCompute(t *testing.T) {
	t.Parallel()
	packages := nodeModules(t)
	l := newGCPLab(t)
	u, err := url.Parse(l.url)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program(t, "node", "version 20 or newer, https://nodejs.org"), "--no-warnings", filepath.Join("gcp", "compute.mjs"))
	cmd.Env = append(os.Environ(), "LAB_HOST="+u.Hostname(), "LAB_PORT="+u.Port(), "LAB_KEY="+l.key, "LAB_PACKAGES="+packages, "NODE_EXTRA_CA_CERTS="+l.ca)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("node: %v\n%s", err, out)
	}
	t.Logf("%s; %.1f s of CPU", l.judge.Summary(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
}
