//go:build linux

package cloudinit

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

// box is a machine's root in a folder.
type box struct {
	t       *testing.T
	root    string
	cloud   *cloud
	address string
	names   []string
	console strings.Builder
}

const machineKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGRLXplOM8yCYTQGIaX1TXlPBxIoTgO5CHMIqGJdKbcQ ops@example"

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives files to accounts")
	}
	b := &box{t: t, root: t.TempDir(), cloud: &cloud{paths: map[string]string{
		"/latest/api/token": "tok", "/latest/meta-data/instance-id": "i-1", "/latest/meta-data/local-hostname": "ip-1.ec2.internal",
	}}}
	b.address = serve(t, b.cloud)
	for name, text := range map[string]string{
		"etc/passwd":   "root:x:0:0:root:/root:/bin/bash\n",
		"etc/group":    "root:x:0:\n",
		"etc/hosts":    "127.0.0.1 localhost\n127.0.1.1 old\n",
		"etc/hostname": "unset\n",
		"var/log/x":    "",
	} {
		path := filepath.Join(b.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// boot runs both stages and returns the errors in result.json.
func (b *box) boot() []string {
	b.t.Helper()
	cfg := Config{Datasource: "Ec2", Console: io.Writer(&b.console), root: b.root, address: b.address,
		setHostname: func(name string) error { b.names = append(b.names, name); return nil }}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := Early(ctx, cfg); err != nil {
		b.t.Fatal(err)
	}
	if err := Final(ctx, cfg); err != nil {
		b.t.Fatal(err)
	}
	var result struct {
		V1 struct {
			Datasource *string
			Errors     []string
		}
	}
	if err := json.Unmarshal([]byte(b.read("run/cloud-init/result.json")), &result); err != nil {
		b.t.Fatal(err)
	}
	return result.V1.Errors
}

func (b *box) read(name string) string {
	text, err := os.ReadFile(filepath.Join(b.root, name))
	if err != nil {
		return "missing"
	}
	return string(text)
}

func (b *box) expect(name, want string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.read(name)); d != "" {
		b.t.Errorf("%s (-want +got)\n%s", name, d)
	}
}

func TestAppliesUserDataOncePerInstance(t *testing.T) {
	b := newBox(t)
	out := filepath.Join(b.root, "out")
	b.cloud.paths["/latest/user-data"] = `#cloud-config
fqdn: node-1.example.org
manage_etc_hosts: localhost
ssh_authorized_keys: ["` + machineKey + `"]
users: [default, {name: ops, groups: [adm], sudo: "ALL=(ALL) ALL", ssh_authorized_keys: ["` + machineKey + `"]}]
write_files:
- {path: /etc/early, content: early, permissions: '0600'}
- {path: /etc/late, content: late, owner: ops, defer: true}
- {path: /etc/early, content: -more, append: true, permissions: '0640'}
bootcmd: [[sh, -c, "echo boot >> ` + out + `"]]
runcmd: ["X=run", "echo $X $INSTANCE_ID >> ` + out + `"]
`
	if errs := b.boot(); len(errs) > 0 {
		t.Fatalf("errors: %q\n%s", errs, b.console.String())
	}
	b.expect("out", "boot\nrun i-1\n")
	b.expect("etc/hostname", "node-1\n")
	b.expect("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 node-1.example.org node-1\n")
	b.expect("etc/early", "early-more")
	b.expect("etc/late", "late")
	b.expect("etc/sudoers.d/90-cloud-init-ops", "ops ALL=(ALL) ALL\n")
	b.expect("etc/sudoers.d/90-cloud-init-ubuntu", "ubuntu ALL=(ALL) NOPASSWD:ALL\n")
	b.expect("home/ubuntu/.ssh/authorized_keys", machineKey+"\n")
	b.expect("home/ops/.ssh/authorized_keys", machineKey+"\n")
	b.expect("var/lib/cloud/data/instance-id", "i-1\n")
	if got := b.read("root/.ssh/authorized_keys"); !strings.Contains(got, `command="echo 'Please login as the user \"ubuntu\"`) {
		t.Errorf("root may log in: %s", got)
	}
	if info, err := os.Stat(filepath.Join(b.root, "etc/early")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("etc/early: %v, %v", info.Mode(), err)
	}
	hostKey := b.read("etc/ssh/ssh_host_ed25519_key")
	if !strings.Contains(b.console.String(), "BEGIN SSH HOST KEY KEYS") {
		t.Error("the console shows no host keys")
	}

	if err := os.Remove(filepath.Join(b.root, "etc/early")); err != nil {
		t.Fatal(err)
	}
	if errs := b.boot(); len(errs) > 0 {
		t.Fatalf("second boot: %q", errs)
	}
	b.expect("out", "boot\nrun i-1\nboot\n")
	b.expect("etc/early", "missing")
	b.expect("etc/ssh/ssh_host_ed25519_key", hostKey)

	b.cloud.paths["/latest/meta-data/instance-id"] = "i-2"
	if errs := b.boot(); len(errs) > 0 {
		t.Fatalf("third boot, as another instance: %q", errs)
	}
	b.expect("out", "boot\nrun i-1\nboot\nboot\nrun i-2\n")
	b.expect("home/ops/.ssh/authorized_keys", machineKey+"\n")
	if b.read("etc/ssh/ssh_host_ed25519_key") == hostKey {
		t.Error("another instance has the same host key")
	}
	if d := cmp.Diff([]string{"node-1", "node-1", "node-1"}, b.names); d != "" {
		t.Errorf("host names (-want +got)\n%s", d)
	}
}

func TestHostKeysOfUserData(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(block))
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	b.cloud.paths["/latest/user-data"] = "#cloud-config\nssh_keys:\n  ed25519_private: |\n    " +
		strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n  rsa_private: broken\n"
	errs := b.boot()
	if d := cmp.Diff([]string{"ssh: rsa_private is no private key without a passphrase"}, errs); d != "" {
		t.Errorf("errors (-want +got)\n%s", d)
	}
	b.expect("etc/ssh/ssh_host_ed25519_key", text)
	b.expect("etc/ssh/ssh_host_ed25519_key.pub", string(ssh.MarshalAuthorizedKey(public)))
	if info, err := os.Stat(filepath.Join(b.root, "etc/ssh/ssh_host_ed25519_key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
}

func TestRefusedUserDataAppliesNothing(t *testing.T) {
	b := newBox(t)
	b.cloud.paths["/latest/meta-data/public-keys/"] = "0=k"
	b.cloud.paths["/latest/meta-data/public-keys/0/openssh-key"] = machineKey
	b.cloud.paths["/latest/user-data"] = "#cloud-config\nhostname: other\npower_state: {mode: reboot}\nswap: {}\n"
	errs := b.boot()
	if len(errs) != 3 || !strings.Contains(errs[1], `line 3: "power_state"`) || !strings.Contains(errs[2], `line 4: "swap"`) {
		t.Errorf("errors: %q", errs)
	}
	b.expect("etc/hostname", "ip-1\n")
	b.expect("home/ubuntu/.ssh/authorized_keys", machineKey+"\n")
	if !strings.Contains(b.console.String(), "failed with 3 errors") {
		t.Errorf("console:\n%s", b.console.String())
	}
	if b.read("etc/ssh/ssh_host_ed25519_key") == "missing" {
		t.Error("no host key")
	}
}

func TestScriptAndChangedHostname(t *testing.T) {
	b := newBox(t)
	b.cloud.paths["/latest/user-data"] = "#!/bin/sh\necho once >> " + b.root + "/out\nexit 3\n"
	if d := cmp.Diff([]string{"scripts_user: exit status 3"}, b.boot()); d != "" {
		t.Errorf("errors (-want +got)\n%s", d)
	}
	if err := os.WriteFile(filepath.Join(b.root, "etc/hostname"), []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if errs := b.boot(); len(errs) > 0 {
		t.Errorf("second boot: %q", errs)
	}
	b.expect("out", "once\n")
	b.expect("etc/hostname", "mine\n")
	if d := cmp.Diff([]string{"ip-1", "mine"}, b.names); d != "" {
		t.Errorf("host names (-want +got)\n%s", d)
	}
}

func TestWithoutMetadataSSHStillHasAKey(t *testing.T) {
	b := newBox(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	b.cloud.failures.Store(1 << 20)
	cfg := Config{Datasource: "Ec2", Console: &b.console, root: b.root, address: b.address, setHostname: func(string) error { return nil }}
	if err := Early(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if err := Final(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	if b.read("etc/ssh/ssh_host_ed25519_key") == "missing" {
		t.Error("no host key")
	}
	if got := b.read("run/cloud-init/result.json"); !strings.Contains(got, `"datasource": null`) || !strings.Contains(got, "no data source") {
		t.Errorf("result:\n%s", got)
	}
}
