package secret

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The places where a master key is looked for. Everywhere it is 32 bytes in base64, as from "openssl rand -base64 32".
const (
	// CredentialName is the name of systemd's credential (LoadCredentialEncrypted= in the unit).
	CredentialName = "skyweld-master-key"
	// EnvName is the environment variable.
	EnvName = "SKYWELD_MASTER_KEY"
)

// Load returns a box with the master key from systemd's credential, else from the environment, else from the file at path,
// which is made when it doesn't exist and create is true. A file that others than its owner can read is refused.
func Load(getenv func(string) string, path string, create bool) (*Box, error) {
	if dir := getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		credential := filepath.Join(dir, CredentialName)
		text, err := os.ReadFile(credential)
		if err == nil {
			return parse(text, "systemd credential "+CredentialName)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the master key from systemd credential %s: %w", CredentialName, err)
		}
	}
	if text := getenv(EnvName); text != "" {
		return parse([]byte(text), "environment variable "+EnvName)
	}
	if path == "" {
		return nil, fmt.Errorf("no master key: set %s, or give the unit a systemd credential %s", EnvName, CredentialName)
	}
	return loadFile(path, create)
}

func loadFile(path string, create bool) (*Box, error) {
	origin := "file " + path
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("no master key: file %s doesn't exist, and there is a database already that was made with one: put the file back, or set %s", path, EnvName)
		}
		if err := makeFile(path); err != nil {
			return nil, fmt.Errorf("make master key file %s: %w", path, cause(err))
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read the master key: %s isn't a regular file; put the file with the key there, or set %s", path, EnvName)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("master key file %s has mode %04o: others than its owner can read or change it; run chmod 600 %s", path, mode, path)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read the master key: this user may not read file %s: run Skyweld as its owner", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	return parse(text, origin)
}

// cause is why a file could not be made, without the name of the temporary one.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// makeFile writes a new key. Of two programs that do so at once both end with the same file, which is never seen
// half-written.
func makeFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key := make([]byte, KeySize)
	rand.Read(key)
	f, err := os.CreateTemp(dir, ".master-key-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// parse reads the text form. Its errors never repeat what was found.
func parse(text []byte, origin string) (*Box, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("master key from %s: it is damaged or no key; want %d bytes in base64, as from: openssl rand -base64 %d; "+
			"a database that exists opens only with the key that it was made with", origin, KeySize, KeySize)
	}
	defer clear(key)
	return New(key, origin)
}
