package strangers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/lab/world"
)

// TestNodeAzure lets Azure's clients for JavaScript make, list, poll, change and delete all that a site needs, where
// operations take a while and where they don't.
func TestNodeAzure(t *testing.T) {
	t.Parallel()
	packages := nodeModules(t)
	for _, profile := range []world.Profile{world.Instant, world.Fast} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			l := newAzureLab(t, profile)
			cmd := exec.CommandContext(t.Context(), program(t, "node", "version 20 or newer, https://nodejs.org"), "--no-warnings", filepath.Join("azure", "arm.mjs"))
			cmd.Env = append(os.Environ(), "LAB_URL="+l.url, "LAB_SUBSCRIPTION="+azureSubscription, "LAB_TENANT="+azureTenant, "LAB_CLIENT="+azureClient, "LAB_SECRET="+azureSecret,
				"LAB_PACKAGES="+packages, "NODE_EXTRA_CA_CERTS="+l.ca)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("node: %v\n%s", err, out)
			}
			t.Logf("%s; %.1f s of CPU", strings.TrimSpace(string(out)), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
		})
	}
}
