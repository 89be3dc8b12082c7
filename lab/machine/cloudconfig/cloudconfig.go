// Package cloudconfig reads the part of cloud-init's user data that a lab machine understands: "#cloud-config" documents
// and scripts. It is pure and applies nothing; what it doesn't know it refuses, with the line, instead of passing over it.
//
// The keys, all as cloud-init documents them (https://cloudinit.readthedocs.io/en/latest/reference/modules.html):
//
//   - hostname, fqdn, preserve_hostname, manage_etc_hosts (true, false, "localhost")
//   - ssh_deletekeys, ssh_keys (rsa, ecdsa, ed25519; _private and _public), ssh_authorized_keys, disable_root
//   - users: "default", or an entry with name, gecos, groups, sudo, shell, ssh_authorized_keys, lock_passwd (only true)
//   - write_files: path, content, encoding, owner, permissions, append, defer
//   - bootcmd, runcmd: items that are strings (shell) or lists (arguments)
//   - package_update, package_upgrade, package_reboot_if_required: only false
//   - timezone, locale: accepted without effect, the machine stays in UTC and the C locale
package cloudconfig

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the most user data that is read, in bytes; the clouds' own limits are lower or equal.
const MaxSize = 256 << 10

// Config is what user data asks for.
type Config struct {
	// Script is the whole user data when it begins with "#!": run once per instance.
	Script []byte

	Hostname, FQDN   string
	PreserveHostname bool
	// ManageEtcHosts is "" (leave the hosts file alone), "true" (write it anew at each boot) or "localhost" (only the
	// line of 127.0.1.1).
	ManageEtcHosts string

	// KeepHostKeys: the image's SSH host keys are not deleted at the first boot.
	KeepHostKeys bool
	// HostKeys are SSH host keys by their type ("ed25519").
	HostKeys map[string]HostKey
	// AuthorizedKeys are for the default user, and for root unless KeepRoot is false.
	AuthorizedKeys []string
	// KeepRoot is "disable_root: false": root may log in with those keys.
	KeepRoot bool

	// NoDefaultUser says that users has a list without "default" in it.
	NoDefaultUser bool
	Users         []User

	Files           []File
	BootCmd, RunCmd []Command
}

// HostKey is one SSH host key pair in OpenSSH's text forms.
type HostKey struct{ Private, Public string }

// User is one account to make.
type User struct {
	Name, Gecos, Shell string
	Groups             []string
	// Sudo are rules of sudoers(5) without the name before them.
	Sudo           []string
	AuthorizedKeys []string
}

// File is one file to write.
type File struct {
	Path    string
	Content []byte
	// Owner is "user:group" or "user".
	Owner string
	// Mode are the permission bits, setuid and the like as in chmod(2).
	Mode   uint32
	Append bool
	// Defer: after users and packages instead of before.
	Defer bool
}

// Command is one item of bootcmd or runcmd: either a line for the shell, or a program and its arguments.
type Command struct {
	Shell string
	Args  []string
}

// Parse reads user data. Empty user data asks for nothing. All that is wrong with it is reported at once; the errors never
// contain the values, which may be secret.
func Parse(data []byte) (*Config, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("user data has %d bytes, more than %d", len(data), MaxSize)
	}
	kind, _, _ := strings.Cut(string(data), "\n")
	kind = strings.TrimSpace(kind)
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return &Config{}, nil
	case strings.HasPrefix(kind, "#!"):
		return &Config{Script: bytes.Clone(data)}, nil
	case kind == "#cloud-config":
		return parseDocument(data)
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return nil, errors.New("user data is compressed, which is not supported")
	case strings.HasPrefix(kind, "Content-Type:"), strings.HasPrefix(kind, "MIME-Version:"):
		return nil, errors.New("user data of several parts (MIME) is not supported")
	case strings.HasPrefix(kind, "#") && len(kind) < 40:
		return nil, fmt.Errorf("user data of the kind %q is not supported", kind)
	}
	return nil, errors.New(`user data begins neither with "#cloud-config" nor with "#!"`)
}

func parseDocument(data []byte) (*Config, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("user data is not YAML: %s", safeYAMLError(err))
	}
	cfg := &Config{}
	if len(doc.Content) == 0 {
		return cfg, nil
	}
	r := &reader{budget: 1 << 20}
	r.document(cfg, doc.Content[0])
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return cfg, nil
}

// safeYAMLError keeps where a document is broken and drops what YAML quotes of it.
func safeYAMLError(err error) string {
	msg := err.Error()
	if i := strings.IndexAny(msg, "`'\""); i >= 0 {
		msg = strings.TrimRight(msg[:i], " :")
	}
	return strings.TrimPrefix(msg, "yaml: ")
}
