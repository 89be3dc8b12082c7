package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAZConfiguration writes what az is told of the lab: once for an address, so that what az adds stays.
func TestAZConfiguration(t *testing.T) {
	dir := t.TempDir()
	clouds, config := filepath.Join(dir, azFolder, "clouds.config"), filepath.Join(dir, azFolder, "config")
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := (Info{AzurePort: 8443}).azCLI(dir); err != nil {
		t.Fatal(err)
	}
	if text := read(clouds); !strings.Contains(text, "endpoint_resource_manager = https://127.0.0.1:8443\n") || !strings.Contains(text, "endpoint_active_directory = https://127.0.0.1:8443/adfs\n") {
		t.Errorf("clouds.config:\n%s", text)
	}
	if err := os.WriteFile(clouds, []byte(read(clouds)+"profile = 2020-09-01-hybrid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(read(config)+"output = table\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		port         int
		profile, own bool
	}{{8443, true, true}, {9443, false, true}} {
		if err := (Info{AzurePort: c.port}).azCLI(dir); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(read(clouds), "profile = "); got != c.profile {
			t.Errorf("port %d: the profile is there: %t, want %t", c.port, got, c.profile)
		}
		if got := strings.Contains(read(config), "output = table"); got != c.own {
			t.Errorf("port %d: the user's setting is there: %t, want %t", c.port, got, c.own)
		}
	}
}
