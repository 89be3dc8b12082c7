package engine

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"sigs.k8s.io/yaml"
)

// userData is the #cloud-config document a machine starts with (cloud-init's modules set_hostname and ssh). The host's
// private key is in it so that the first connection can be checked; it is replaced by one made on the machine.
func userData(hostname, hostPrivate, hostPublic, authorized string) ([]byte, error) {
	doc, err := yaml.Marshal(map[string]any{
		"hostname":            hostname,
		"preserve_hostname":   false,
		"disable_root":        false,
		"ssh_deletekeys":      true,
		"ssh_keys":            map[string]string{"ed25519_private": hostPrivate, "ed25519_public": hostPublic},
		"ssh_authorized_keys": []string{authorized},
	})
	if err != nil {
		return nil, fmt.Errorf("user data of %s: %w", hostname, err)
	}
	return append([]byte("#cloud-config\n"), doc...), nil
}

// randomHex returns n random bytes in hex.
func randomHex(n int) (string, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("random bytes: %w", err)
	}
	return hex.EncodeToString(b), nil
}
