package cloudconfig

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader walks a document and collects what is wrong with it.
type reader struct {
	errs []error
	// budget bounds the nodes visited, since aliases can make a small document endless.
	budget int
}

func (r *reader) fail(n *yaml.Node, key, format string, args ...any) {
	if len(r.errs) < 50 {
		r.errs = append(r.errs, fmt.Errorf("user data line %d: %s: %s", n.Line, key, fmt.Sprintf(format, args...)))
	}
}

// deref follows an alias.
func (r *reader) deref(n *yaml.Node) *yaml.Node {
	r.budget--
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < 10; i++ {
		n = n.Alias
	}
	return n
}

// pairs calls do for each key of a mapping.
func (r *reader) pairs(n *yaml.Node, key string, do func(name string, k, v *yaml.Node)) {
	n = r.deref(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n, key, "must be a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && r.budget > 0; i += 2 {
		k := r.deref(n.Content[i])
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			r.fail(k, key, "a key must be a plain word")
		case seen[k.Value]:
			r.fail(k, k.Value, "is there twice")
		default:
			seen[k.Value] = true
			do(k.Value, k, r.deref(n.Content[i+1]))
		}
	}
}

// items calls do for each item of a list; null is an empty one.
func (r *reader) items(n *yaml.Node, key string, do func(n *yaml.Node)) {
	n = r.deref(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, key, "must be a list")
		return
	}
	for _, item := range n.Content {
		if r.budget <= 0 {
			return
		}
		do(r.deref(item))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (r *reader) text(n *yaml.Node, key string) string {
	n = r.deref(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		r.fail(n, key, "must be text")
		return ""
	}
	if strings.ContainsRune(n.Value, 0) && n.Tag != "!!binary" {
		r.fail(n, key, "has a zero byte")
		return ""
	}
	return n.Value
}

// line is text without line breaks, for what ends up as one line of a file.
func (r *reader) line(n *yaml.Node, key string) string {
	s := strings.TrimSpace(r.text(n, key))
	if strings.ContainsAny(s, "\n\r") {
		r.fail(n, key, "must be one line")
		return ""
	}
	return s
}

func (r *reader) lines(n *yaml.Node, key string) []string {
	var out []string
	r.items(n, key, func(n *yaml.Node) {
		if s := r.line(n, key); s != "" {
			out = append(out, s)
		}
	})
	return out
}

// flag reads a boolean in all spellings of YAML 1.1, which cloud-init's parser has.
func (r *reader) flag(n *yaml.Node, key string) bool {
	n = r.deref(n)
	if n.Kind == yaml.ScalarNode {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on", "1":
			return true
		case "false", "no", "off", "0":
			return false
		}
	}
	r.fail(n, key, "must be true or false")
	return false
}

func (r *reader) onlyFalse(n *yaml.Node, key string) {
	if r.flag(n, key) {
		r.fail(n, key, "only false is supported: a lab machine has no package manager")
	}
}

func (r *reader) document(cfg *Config, root *yaml.Node) {
	if isNull(root) {
		return
	}
	r.pairs(root, "#cloud-config", func(key string, k, v *yaml.Node) {
		switch key {
		case "hostname":
			cfg.Hostname = r.hostname(v, key)
		case "fqdn":
			cfg.FQDN = r.hostname(v, key)
		case "preserve_hostname":
			cfg.PreserveHostname = r.flag(v, key)
		case "manage_etc_hosts":
			cfg.ManageEtcHosts = r.manageHosts(v, key)
		case "ssh_deletekeys":
			cfg.KeepHostKeys = !r.flag(v, key)
		case "ssh_keys":
			cfg.HostKeys = r.hostKeys(v, key)
		case "ssh_authorized_keys":
			cfg.AuthorizedKeys = r.lines(v, key)
		case "disable_root":
			cfg.KeepRoot = !r.flag(v, key)
		case "users":
			r.users(cfg, v)
		case "write_files":
			r.items(v, key, func(n *yaml.Node) { cfg.Files = append(cfg.Files, r.file(n)) })
		case "bootcmd":
			cfg.BootCmd = r.commands(v, key)
		case "runcmd":
			cfg.RunCmd = r.commands(v, key)
		case "package_update", "package_upgrade", "package_reboot_if_required":
			r.onlyFalse(v, key)
		case "timezone", "locale":
			if !(v.Kind == yaml.ScalarNode && v.Value == "false") {
				r.line(v, key)
			}
		default:
			r.fail(k, strconv.Quote(key), "a lab machine doesn't know this key")
		}
	})
	if r.budget <= 0 {
		r.errs = append(r.errs, errors.New("user data is too big once its aliases are followed"))
	}
}

func (r *reader) hostname(n *yaml.Node, key string) string {
	s := r.line(n, key)
	if s != "" && !ValidHostname(s) {
		r.fail(n, key, "is no host name")
		return ""
	}
	return s
}

// ValidHostname says whether s is a host name by RFC 1123: labels of letters, digits and inner hyphens.
func ValidHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
				return false
			}
		}
	}
	return true
}

func (r *reader) manageHosts(n *yaml.Node, key string) string {
	switch n.Value {
	case "localhost":
		return "localhost"
	case "template": // cloud-init's old word for true
		return "true"
	}
	if r.flag(n, key) {
		return "true"
	}
	return ""
}

func (r *reader) hostKeys(n *yaml.Node, key string) map[string]HostKey {
	keys := map[string]HostKey{}
	r.pairs(n, key, func(name string, k, v *yaml.Node) {
		kind, half, _ := strings.Cut(name, "_")
		if !slices.Contains([]string{"rsa", "ecdsa", "ed25519"}, kind) || (half != "private" && half != "public") {
			r.fail(k, key, "%q is none of {rsa,ecdsa,ed25519}_{private,public}", name)
			return
		}
		pair := keys[kind]
		if half == "private" {
			pair.Private = r.text(v, name)
		} else {
			pair.Public = r.line(v, name)
		}
		keys[kind] = pair
	})
	for kind, pair := range keys {
		if pair.Private == "" {
			r.fail(n, key, "%s_public needs %s_private", kind, kind)
		}
	}
	return keys
}

func (r *reader) commands(n *yaml.Node, key string) []Command {
	var out []Command
	r.items(n, key, func(n *yaml.Node) {
		switch {
		case isNull(n):
		case n.Kind == yaml.SequenceNode:
			var c Command
			r.items(n, key, func(n *yaml.Node) { c.Args = append(c.Args, r.text(n, key)) })
			if len(c.Args) > 0 {
				out = append(out, c)
			}
		case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
			out = append(out, Command{Shell: r.text(n, key)})
		default:
			r.fail(n, key, "an item must be text or a list of texts")
		}
	})
	return out
}
