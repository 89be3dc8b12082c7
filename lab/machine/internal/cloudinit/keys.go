//go:build linux

package cloudinit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/lab/machine/cloudconfig"
	"github.com/skyweld/skyweld/lab/machine/internal/accounts"
)

const (
	// defaultUser is the account that Ubuntu's images have.
	defaultUser = "ubuntu"
	// waitDelay is how long a script's output is still read after it has ended.
	waitDelay = 2 * time.Second
	allowAll  = "ALL=(ALL) NOPASSWD:ALL"
)

// accounts makes the users and hands out the authorized keys: to the default user, to root (who, unless disable_root is
// false, only hears who to log in as), and to the accounts that metadata names.
func (r *run) accounts() error {
	users := slices.Clone(r.user.Users)
	if !r.user.NoDefaultUser {
		users = append(users, cloudconfig.User{
			Name: defaultUser, Gecos: "Ubuntu", Groups: []string{"adm", "sudo"}, Sudo: []string{allowAll},
		})
	}
	for _, name := range slices.Sorted(maps.Keys(r.UserKeys)) {
		u := cloudconfig.User{Name: name, AuthorizedKeys: r.UserKeys[name]}
		if name != "root" {
			u.Sudo = []string{allowAll}
		}
		users = append(users, u)
	}
	var errs []error
	for _, u := range users {
		if err := r.addUser(u); err != nil {
			errs = append(errs, err)
		}
	}
	keys := append(slices.Clone(r.Keys), r.user.AuthorizedKeys...)
	login := defaultUser
	if r.user.NoDefaultUser {
		login = "NONE"
	} else if err := r.authorize(defaultUser, keys, ""); err != nil {
		errs = append(errs, err)
	}
	options := ""
	if !r.user.KeepRoot && !r.KeepRoot {
		options = fmt.Sprintf(`no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command="echo 'Please login as the user \"%s\" rather than the user \"root\".';echo;sleep 10;exit 142" `, login)
	}
	return errors.Join(append(errs, r.authorize("root", keys, options))...)
}

func (r *run) addUser(u cloudconfig.User) error {
	if _, err := r.db.Add(accounts.Account{Name: u.Name, Gecos: u.Gecos, Shell: u.Shell}, u.Groups, r.root); err != nil {
		return err
	}
	if len(u.Sudo) > 0 {
		var rules strings.Builder
		for _, rule := range u.Sudo {
			fmt.Fprintf(&rules, "%s %s\n", u.Name, rule)
		}
		path := r.path("etc/sudoers.d/90-cloud-init-" + u.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(rules.String()), 0o440); err != nil {
			return err
		}
	}
	return r.authorize(u.Name, u.AuthorizedKeys, "")
}

// authorize adds keys to an account's authorized_keys, each with options before it. Lines with the same keys go.
func (r *run) authorize(name string, keys []string, options string) error {
	if len(keys) == 0 {
		return nil
	}
	a, err := r.db.Lookup(name)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.root, a.Home, ".ssh")
	path := filepath.Join(dir, "authorized_keys")
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var out bytes.Buffer
	var bad int
	added := map[string]bool{}
	for _, line := range keys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			bad++
			continue
		}
		if blob := string(key.Marshal()); !added[blob] {
			added[blob] = true
			fmt.Fprintf(&out, "%s%s\n", options, line)
		}
	}
	for line := range strings.Lines(string(old)) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || !added[string(key.Marshal())] {
			out.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return err
	}
	if err := errors.Join(os.Lchown(dir, a.UID, a.GID), os.Lchown(path, a.UID, a.GID)); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of the keys for %s are no SSH public keys", bad, name)
	}
	return nil
}

func (r *run) hostKeyPath(kind string) string { return r.path("etc/ssh/ssh_host_" + kind + "_key") }

// hostKeys gives a new instance its own host keys: those of the user data, else fresh ones.
func (r *run) hostKeys() error {
	if !r.user.KeepHostKeys {
		old, err := filepath.Glob(r.path("etc/ssh/ssh_host_*key*"))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(r.user.HostKeys)) {
		pair := r.user.HostKeys[kind]
		private := strings.TrimSpace(pair.Private) + "\n"
		signer, err := ssh.ParsePrivateKey([]byte(private))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s_private is no private key without a passphrase", kind))
			continue
		}
		public := pair.Public
		if public == "" {
			public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
		}
		errs = append(errs, r.writeHostKey(kind, []byte(private), public))
	}
	return errors.Join(errs...)
}

func (r *run) writeHostKey(kind string, private []byte, public string) error {
	path := r.hostKeyPath(kind)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, private, 0o600), os.WriteFile(path+".pub", []byte(public+"\n"), 0o644))
}

// needHostKey makes an ed25519 host key when there is no host key at all: SSH must come up even when all else fails.
func (r *run) needHostKey() error {
	if have, err := filepath.Glob(r.path("etc/ssh/ssh_host_*_key")); err != nil || len(have) > 0 {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	name := firstLine(r.path("etc/hostname"))
	block, err := ssh.MarshalPrivateKey(private, "root@"+name)
	if err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " root@" + name
	return r.writeHostKey("ed25519", pem.EncodeToMemory(block), line)
}

// printHostKeys shows the public host keys on the console, in the frame that tools look for there.
func (r *run) printHostKeys() {
	paths, err := filepath.Glob(r.path("etc/ssh/ssh_host_*_key.pub"))
	if err != nil || len(paths) == 0 {
		return
	}
	var prints, keys strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		key, comment, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			continue
		}
		fmt.Fprintf(&prints, "%s %s %s\n", key.Type(), ssh.FingerprintSHA256(key), comment)
		fmt.Fprintf(&keys, "%s\n", strings.TrimSpace(string(text)))
	}
	fmt.Fprintf(r.Console, "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n%s-----END SSH HOST KEY FINGERPRINTS-----\n", prints.String())
	fmt.Fprintf(r.Console, "-----BEGIN SSH HOST KEY KEYS-----\n%s-----END SSH HOST KEY KEYS-----\n", keys.String())
}
