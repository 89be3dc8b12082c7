package agent

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

const (
	configFile = host.StateDir + "/config.json"
	trustFile  = host.ConfigDir + "/trust.pub"
)

// accepted is the last config that was taken, as config.json holds it. Its signature was checked when it came; whoever can
// write the file is root anyway.
type accepted struct {
	Config node.Config `json:"config"`
	// Applied says that all of it took effect once.
	Applied bool `json:"applied"`
}

// ErrRefused means that a config is signed and valid, and yet not for this node as it is now.
var ErrRefused = errors.New("config refused")

// admit says whether a config may take the place of the one before, which is nil on a new node.
func admit(before *accepted, c node.Config) error {
	if before == nil {
		return nil
	}
	old := before.Config
	switch {
	case old.Cluster != c.Cluster:
		return fmt.Errorf("%w: this node belongs to cluster %s (%s), not %s (%s)", ErrRefused, old.ClusterName, old.Cluster, c.ClusterName, c.Cluster)
	case old.Name != c.Name:
		return fmt.Errorf("%w: this is node %q, not %q", ErrRefused, old.Name, c.Name)
	case old.Revision > c.Revision:
		return fmt.Errorf("%w: revision %d is older than %d, which this node has", ErrRefused, c.Revision, old.Revision)
	case old.Revision == c.Revision && node.Digest(old) != node.Digest(c):
		return fmt.Errorf("%w: revision %d differs from the revision %d that this node has", ErrRefused, c.Revision, old.Revision)
	}
	return nil
}

func readAccepted(m *host.Machine) (*accepted, error) {
	data, err := m.Read(configFile)
	if err != nil || data == nil {
		return nil, err
	}
	var a accepted
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("read %s: %w", configFile, err)
	}
	return &a, nil
}

func writeAccepted(m *host.Machine, a accepted) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = m.Write(configFile, data, 0o600)
	return err
}

// trusted is the key that configs must be signed with; the engine puts it on the machine before anything else.
func trusted(m *host.Machine) (ed25519.PublicKey, error) {
	data, err := m.Read(trustFile)
	if err != nil {
		return nil, fmt.Errorf("read trusted key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("trusted key: %s doesn't hold 32 bytes in base64", trustFile)
	}
	return key, nil
}
