package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/tunnel"
	"github.com/skyweld/skyweld/node"
)

// tunnelKeyFile holds the WireGuard private key in base64, as wg(8) writes it.
const tunnelKeyFile = host.StateDir + "/tunnel.key"

// identity says who this machine is. It makes the keys that are not there yet. kernel says whether WireGuard runs in the kernel.
func identity(m *host.Machine, kernel bool) (node.Identity, error) {
	key, err := tunnelKey(m)
	if err != nil {
		return node.Identity{}, err
	}
	hostKey, err := prepareHostKey(m)
	if err != nil {
		return node.Identity{}, err
	}
	before, err := readAccepted(m)
	if err != nil {
		return node.Identity{}, err
	}
	mtu, err := host.UnderlayMTU()
	if err != nil {
		return node.Identity{}, err
	}
	program, err := programDigest()
	if err != nil {
		return node.Identity{}, err
	}
	id := node.Identity{
		TunnelKey: key.PublicKey().String(), HostKey: hostKey, Architecture: runtime.GOARCH, KernelWireGuard: kernel, MTU: mtu, Agent: program,
	}
	if before != nil && before.Applied {
		id.Revision, id.Digest = before.Config.Revision, node.Digest(before.Config)
	}
	for file, field := range map[string]*string{"/etc/machine-id": &id.Machine, "/proc/sys/kernel/random/boot_id": &id.Boot} {
		text, err := m.Read(file)
		if err != nil {
			return id, fmt.Errorf("read %s: %w", file, err)
		}
		*field = strings.TrimSpace(string(text))
	}
	return id, nil
}

// tunnelKey is the machine's WireGuard key, made on first use.
func tunnelKey(m *host.Machine) (wgtypes.Key, error) {
	data, err := m.Read(tunnelKeyFile)
	if err != nil {
		return wgtypes.Key{}, fmt.Errorf("read tunnel key: %w", err)
	}
	if data == nil {
		if err := makeTunnelKey(m); err != nil {
			return wgtypes.Key{}, fmt.Errorf("make tunnel key: %w", err)
		}
		if data, err = m.Read(tunnelKeyFile); err != nil {
			return wgtypes.Key{}, fmt.Errorf("read tunnel key: %w", err)
		}
	}
	key, err := tunnel.PrivateKey([]byte(strings.TrimSpace(string(data))))
	if err != nil {
		return wgtypes.Key{}, fmt.Errorf("read %s: %w", tunnelKeyFile, err)
	}
	return key, nil
}

// makeTunnelKey writes a key beside and links it into place: of two processes that do so at once, the first one wins.
func makeTunnelKey(m *host.Machine) error {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return err
	}
	aside := fmt.Sprintf("%s.%d", tunnelKeyFile, os.Getpid())
	if _, err := m.Write(aside, []byte(key.String()+"\n"), 0o600); err != nil {
		return err
	}
	err = os.Link(m.Path(aside), m.Path(tunnelKeyFile))
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	_, removed := m.Remove(aside)
	return errors.Join(err, removed)
}

// programDigest is the SHA-256 of the running program in hex, also when its file was replaced meanwhile.
func programDigest() (string, error) { return fileDigest("/proc/self/exe") }

func fileDigest(name string) (string, error) {
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("digest of %s: %w", name, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
