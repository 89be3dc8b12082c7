package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func zip(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		want     *Config
	}{
		{"empty", "", &Config{}},
		{"only blanks", " \n\n", &Config{}},
		{"empty document", "#cloud-config\n", &Config{}},
		{"null document", "#cloud-config\n~\n", &Config{}},
		{"script", "#!/bin/sh\necho hi\n", &Config{Script: []byte("#!/bin/sh\necho hi\n")}},
		{"names", "#cloud-config\nhostname: n1\nfqdn: n1.example.org\npreserve_hostname: yes\n",
			&Config{Hostname: "n1", FQDN: "n1.example.org", PreserveHostname: true}},
		{"windows line ends", "#cloud-config\r\nhostname: n1\r\n", &Config{Hostname: "n1"}},
		{"hosts true", "#cloud-config\nmanage_etc_hosts: true\n", &Config{ManageEtcHosts: "true"}},
		{"hosts localhost", "#cloud-config\nmanage_etc_hosts: localhost\n", &Config{ManageEtcHosts: "localhost"}},
		{"hosts false", "#cloud-config\nmanage_etc_hosts: off\n", &Config{}},
		{"ssh", `#cloud-config
ssh_deletekeys: false
disable_root: false
ssh_authorized_keys:
- ssh-ed25519 AAAA one
- ssh-ed25519 BBBB two
ssh_keys:
  ed25519_private: |
    -----BEGIN-----
    x
    -----END-----
  ed25519_public: ssh-ed25519 CCCC host
`, &Config{
			KeepHostKeys: true, KeepRoot: true, AuthorizedKeys: []string{"ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"},
			HostKeys: map[string]HostKey{"ed25519": {"-----BEGIN-----\nx\n-----END-----\n", "ssh-ed25519 CCCC host"}},
		}},
		{"users", `#cloud-config
users:
- default
- name: ops
  gecos: The Ops
  groups: adm, wheel
  sudo: ALL=(ALL) NOPASSWD:ALL
  shell: /bin/sh
  lock_passwd: true
  ssh_authorized_keys: [ssh-ed25519 AAAA]
- {name: dev, sudo: false, groups: [a, b]}
- {name: two, sudo: [one, two]}
- plain
`, &Config{Users: []User{
			{Name: "ops", Gecos: "The Ops", Shell: "/bin/sh", Groups: []string{"adm", "wheel"},
				Sudo: []string{"ALL=(ALL) NOPASSWD:ALL"}, AuthorizedKeys: []string{"ssh-ed25519 AAAA"}},
			{Name: "dev", Groups: []string{"a", "b"}},
			{Name: "two", Sudo: []string{"one", "two"}},
			{Name: "plain"},
		}}},
		{"no users at all", "#cloud-config\nusers: []\n", &Config{NoDefaultUser: true}},
		{"files", `#cloud-config
write_files:
- path: /etc/a
  content: |
    one
- {path: /etc/b, content: aGk=, encoding: b64, permissions: '0600', owner: 'ubuntu:adm', append: true, defer: true}
- {path: /etc/c, permissions: 0755, content: x}
- {path: /etc/d, permissions: 493, content: x}
- {path: /etc/e, permissions: '4755'}
- {path: /etc/f, content: !!binary aGk=}
`, &Config{Files: []File{
			{Path: "/etc/a", Content: []byte("one\n"), Owner: "root:root", Mode: 0o644},
			{Path: "/etc/b", Content: []byte("hi"), Owner: "ubuntu:adm", Mode: 0o600, Append: true, Defer: true},
			{Path: "/etc/c", Content: []byte("x"), Owner: "root:root", Mode: 0o755},
			{Path: "/etc/d", Content: []byte("x"), Owner: "root:root", Mode: 0o755},
			{Path: "/etc/e", Content: []byte{}, Owner: "root:root", Mode: 0o4755},
			{Path: "/etc/f", Content: []byte("hi"), Owner: "root:root", Mode: 0o644},
		}}},
		{"compressed file", "#cloud-config\nwrite_files:\n- {path: /a, encoding: gz+b64, content: " +
			base64.StdEncoding.EncodeToString(zip(t, "zipped")) + "}\n",
			&Config{Files: []File{{Path: "/a", Content: []byte("zipped"), Owner: "root:root", Mode: 0o644}}}},
		{"commands", `#cloud-config
bootcmd: [[echo, "it's", 1], ~]
runcmd:
- cd /tmp && ls
- [ls, -l]
`, &Config{
			BootCmd: []Command{{Args: []string{"echo", "it's", "1"}}},
			RunCmd:  []Command{{Shell: "cd /tmp && ls"}, {Args: []string{"ls", "-l"}}},
		}},
		{"aliases", "#cloud-config\nwrite_files:\n- &a {path: /a, content: x}\n- *a\n", &Config{Files: []File{
			{Path: "/a", Content: []byte("x"), Owner: "root:root", Mode: 0o644}, {Path: "/a", Content: []byte("x"), Owner: "root:root", Mode: 0o644},
		}}},
		{"without effect", "#cloud-config\npackage_update: false\npackage_upgrade: no\ntimezone: Europe/Oslo\nlocale: false\n", &Config{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"unknown key", "#cloud-config\nhostname: a\npower_state: {mode: reboot}\n", `line 3: "power_state": a lab machine doesn't know this key`},
		{"no kind", "hostname: a\n", "begins neither"},
		{"other kind", "#include\nhttp://x\n", `kind "#include" is not supported`},
		{"jinja", "## template: jinja\n#cloud-config\n", "not supported"},
		{"parts", "Content-Type: multipart/mixed; boundary=x\n", "several parts"},
		{"compressed", string(zip(t, "#cloud-config\n")), "compressed"},
		{"too big", "#cloud-config\n" + strings.Repeat("#", MaxSize), "more than"},
		{"not YAML", "#cloud-config\na: [\n", "is not YAML"},
		{"not a mapping", "#cloud-config\n- a\n", "must be a mapping"},
		{"twice", "#cloud-config\nhostname: a\nhostname: b\n", "line 3: hostname: is there twice"},
		{"host name", "#cloud-config\nhostname: a_b\n", "line 2: hostname: is no host name"},
		{"flag", "#cloud-config\ndisable_root: maybe\n", "must be true or false"},
		{"package update", "#cloud-config\npackage_update: true\n", "only false"},
		{"password", "#cloud-config\nusers: [{name: a, lock_passwd: false}]\n", "no passwords"},
		{"user key", "#cloud-config\nusers:\n- name: a\n  passwd: secret\n", `line 4: "users: passwd"`},
		{"user without name", "#cloud-config\nusers: [{gecos: a}]\n", "needs a name"},
		{"user name", "#cloud-config\nusers: [{name: 'a:b'}]\n", "is no account name"},
		{"key with a line break", "#cloud-config\nssh_authorized_keys: [\"a\\nb\"]\n", "must be one line"},
		{"host key kind", "#cloud-config\nssh_keys: {dsa_private: x}\n", "is none of"},
		{"half a host key", "#cloud-config\nssh_keys: {rsa_public: x}\n", "rsa_public needs rsa_private"},
		{"relative file", "#cloud-config\nwrite_files: [{path: a}]\n", "must be absolute"},
		{"file without path", "#cloud-config\nwrite_files: [{content: a}]\n", "needs a path"},
		{"mode", "#cloud-config\nwrite_files: [{path: /a, permissions: '0999'}]\n", "octal permissions"},
		{"encoding", "#cloud-config\nwrite_files: [{path: /a, encoding: rot13}]\n", "/a: content: its encoding"},
		{"base64", "#cloud-config\nwrite_files: [{path: /a, encoding: b64, content: '*'}]\n", "is not base64"},
		{"gzip", "#cloud-config\nwrite_files: [{path: /a, encoding: gz+b64, content: aGk=}]\n", "gzip"},
		{"source", "#cloud-config\nwrite_files: [{path: /a, source: {uri: x}}]\n", "doesn't know"},
		{"command", "#cloud-config\nruncmd: [{a: b}]\n", "text or a list"},
		{"merge", "#cloud-config\n<<: {hostname: a}\n", "plain word"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestParseReportsAllAtOnceAndNoSecrets(t *testing.T) {
	_, err := Parse([]byte("#cloud-config\nhostname: s3cr3t_\nfqdn: s3cr3t_\nwrite_files: [{path: /a, encoding: b64, content: '*s3cr3t'}]\nssh_keys: {ed25519_private: s3cr3t, x: s3cr3t}\n"))
	if err == nil {
		t.Fatal("no error")
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 4 {
		t.Errorf("%d errors, want 4:\n%v", n, err)
	}
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the error shows values:\n%v", err)
	}
	if _, err := Parse([]byte("#cloud-config\nssh_keys: s3cr3t: s3cr3t\n")); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the error shows values: %v", err)
	}
}

func TestParseStopsAtEndlessAliases(t *testing.T) {
	in := "#cloud-config\nruncmd:\n- &a [x, x, x, x, x, x, x, x, x, x]\n"
	for i, last := 0, "a"; i < 8; i++ {
		next := string(rune('b' + i))
		in += "- &" + next + " [" + strings.TrimSuffix(strings.Repeat("*"+last+", ", 10), ", ") + "]\n"
		last = next
	}
	if _, err := Parse([]byte(in)); err == nil {
		t.Error("no error")
	}
}

func TestScript(t *testing.T) {
	got := string(Script([]Command{{Shell: "cd /tmp\n"}, {Args: []string{"echo", "it's", ""}}, {Shell: "true"}}))
	want := "#!/bin/sh\ncd /tmp\n'echo' 'it'\\''s' ''\ntrue\n"
	if got != want {
		t.Errorf("script is %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "#!/bin/sh\n", "#cloud-config\nhostname: a\nusers: [default, {name: b, groups: 'c,d'}]\n",
		"#cloud-config\nwrite_files: [&a {path: /x, content: !!binary aGk=, permissions: 0644}, *a]\nruncmd: [[a, b], c]\n",
		"#cloud-config\nssh_keys: {rsa_private: a, rsa_public: b}\nmanage_etc_hosts: localhost\n",
		"#cloud-config\na: &a [*a]\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse(data)
		if err != nil {
			if cfg != nil {
				t.Fatal("an error and a config")
			}
			return
		}
		for _, name := range []string{cfg.Hostname, cfg.FQDN} {
			if name != "" && !ValidHostname(name) {
				t.Fatalf("host name %q", name)
			}
		}
		for _, u := range cfg.Users {
			if !accountName.MatchString(u.Name) || strings.ContainsAny(u.Gecos+u.Shell, ":\n") {
				t.Fatalf("user %+v", u)
			}
		}
		for _, file := range cfg.Files {
			if !strings.HasPrefix(file.Path, "/") || file.Mode > 0o7777 {
				t.Fatalf("file %+v", file)
			}
		}
		for _, k := range cfg.AuthorizedKeys {
			if k == "" || strings.Contains(k, "\n") {
				t.Fatalf("key %q", k)
			}
		}
		Script(append(cfg.BootCmd, cfg.RunCmd...))
	})
}
