package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/agent/host"
)

// The machine's SSH host key, the one made here that waits for the engine's word, and a note of what was made here. The
// first key came with user data, which any process on the machine may read.
const (
	hostKeyFile = "/etc/ssh/ssh_host_ed25519_key"
	newKeyFile  = hostKeyFile + ".new"
	madeFile    = host.StateDir + "/hostkey.pub"
	sshdPID     = "/run/sshd.pid"
)

// prepareHostKey makes a new host key, if none was made before, and returns its public part in authorized_keys form.
func prepareHostKey(m *host.Machine) (string, error) {
	made, err := m.Read(madeFile)
	if err != nil {
		return "", fmt.Errorf("read host key: %w", err)
	}
	if made != nil && (m.Exists(newKeyFile) || switched(m, made)) {
		return strings.TrimSpace(string(made)), nil
	}
	public, private, err := newHostKey()
	if err != nil {
		return "", fmt.Errorf("make host key: %w", err)
	}
	// The note is last: without it, all is made again.
	if _, err := m.Write(newKeyFile, private, 0o600); err != nil {
		return "", err
	}
	if _, err := m.Write(newKeyFile+".pub", public, 0o644); err != nil {
		return "", err
	}
	if _, err := m.Write(madeFile, public, 0o644); err != nil {
		return "", err
	}
	return strings.TrimSpace(string(public)), nil
}

func newHostKey() (public, private []byte, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	sshPublic, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "skyweld")
	if err != nil {
		return nil, nil, err
	}
	return ssh.MarshalAuthorizedKey(sshPublic), pem.EncodeToMemory(block), nil
}

// switched says whether the host key in use is the one made here.
func switched(m *host.Machine, made []byte) bool {
	data, err := m.Read(hostKeyFile)
	if err != nil || data == nil {
		return false
	}
	signer, err := ssh.ParsePrivateKey(data)
	return err == nil && bytes.Equal(ssh.MarshalAuthorizedKey(signer.PublicKey()), made)
}

// switchHostKey puts the new host key in place and has sshd read it. Doing it again does no harm.
func switchHostKey(ctx context.Context, m *host.Machine) error {
	made, err := m.Read(madeFile)
	if err != nil {
		return fmt.Errorf("switch host key: %w", err)
	}
	if made == nil {
		return errors.New("switch host key: none was prepared")
	}
	if m.Exists(newKeyFile) {
		if err := os.Rename(m.Path(newKeyFile), m.Path(hostKeyFile)); err != nil {
			return fmt.Errorf("switch host key: %w", err)
		}
	}
	if !switched(m, made) {
		return fmt.Errorf("switch host key: %s is not the key that was prepared", hostKeyFile)
	}
	if _, err := m.Write(hostKeyFile+".pub", made, 0o644); err != nil {
		return fmt.Errorf("switch host key: %w", err)
	}
	if _, err := m.Remove(newKeyFile + ".pub"); err != nil {
		return fmt.Errorf("switch host key: %w", err)
	}
	return reloadSSH(ctx, m)
}

func reloadSSH(ctx context.Context, m *host.Machine) error {
	if m.Facts.Systemd {
		// Where systemd listens for it, sshd may not be running, and will read the new key when it starts.
		_, err := m.Tools.Run(ctx, host.Command{Name: "systemctl", Args: []string{"try-reload-or-restart", "ssh.service"}})
		if err != nil {
			return fmt.Errorf("reload sshd: %w", err)
		}
		return nil
	}
	data, err := m.Read(sshdPID)
	if err != nil {
		return fmt.Errorf("reload sshd: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("reload sshd: %s holds %q, not a process id", sshdPID, data)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload sshd, process %d: %w", pid, err)
	}
	return nil
}
