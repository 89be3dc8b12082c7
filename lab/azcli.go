package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// azFolder is where 'lab env' makes az keep its files, below the lab's own.
const azFolder = "az"

// azClouds tells az of a cloud called "lab". The directory's address ends in /adfs, as then az doesn't ask Microsoft whether
// it is a known one.
const azClouds = `[lab]
endpoint_resource_manager = %[1]s
endpoint_management = %[1]s
endpoint_gallery = %[1]s
endpoint_active_directory = %[1]s/adfs
endpoint_active_directory_resource_id = %[1]s
endpoint_active_directory_graph_resource_id = %[1]s
endpoint_vm_image_alias_doc = %[1]s/aliases.json
`

// azConfig makes that cloud the one az talks to, and keeps it from telling Microsoft.
const azConfig = `[cloud]
name = lab

[core]
collect_telemetry = false
`

// azCLI writes az's configuration for the lab, unless it is there for this address: az keeps things of its own in it. What is
// left to do then is 'az login --service-principal'.
func (i Info) azCLI(dir string) error {
	folder := filepath.Join(dir, azFolder)
	clouds := filepath.Join(folder, "clouds.config")
	if text, err := os.ReadFile(clouds); err == nil && strings.Contains(string(text), i.azureURL()+"\n") {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("az's configuration: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("az's configuration: %w", err)
	}
	if err := os.WriteFile(clouds, fmt.Appendf(nil, azClouds, i.azureURL()), 0o600); err != nil {
		return fmt.Errorf("az's configuration: %w", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "config")); err == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(folder, "config"), []byte(azConfig), 0o600); err != nil {
		return fmt.Errorf("az's configuration: %w", err)
	}
	return nil
}
