package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// accountName is what useradd(8) takes on Debian.
var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func (r *reader) accountName(n *yaml.Node, key string) string {
	name := r.line(n, key)
	if !accountName.MatchString(name) {
		r.fail(n, key, "is no account name")
		return ""
	}
	return name
}

func (r *reader) users(cfg *Config, n *yaml.Node) {
	cfg.NoDefaultUser = true
	r.items(n, "users", func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			if n.Value == "default" {
				cfg.NoDefaultUser = false
				return
			}
			cfg.Users = append(cfg.Users, User{Name: r.accountName(n, "users")})
			return
		}
		cfg.Users = append(cfg.Users, r.user(n))
	})
}

func (r *reader) user(n *yaml.Node) User {
	var u User
	r.pairs(n, "users", func(key string, k, v *yaml.Node) {
		at := "users: " + key
		switch key {
		case "name":
			u.Name = r.accountName(v, at)
		case "gecos":
			if u.Gecos = r.line(v, at); strings.Contains(u.Gecos, ":") {
				r.fail(v, at, "must not have a colon")
			}
		case "shell":
			if u.Shell = r.line(v, at); !path.IsAbs(u.Shell) || strings.Contains(u.Shell, ":") {
				r.fail(v, at, "must be an absolute path")
			}
		case "groups":
			u.Groups = r.groups(v, at)
		case "sudo":
			u.Sudo = r.sudo(v, at)
		case "ssh_authorized_keys":
			u.AuthorizedKeys = r.lines(v, at)
		case "lock_passwd":
			if !r.flag(v, at) {
				r.fail(v, at, "only true is supported: a lab machine has no passwords")
			}
		default:
			r.fail(k, strconv.Quote(at), "a lab machine doesn't know this key")
		}
	})
	if u.Name == "" {
		r.fail(n, "users", "an entry needs a name")
	}
	return u
}

// groups is a list or one text with commas.
func (r *reader) groups(n *yaml.Node, key string) []string {
	var out []string
	add := func(n *yaml.Node, s string) {
		if s = strings.TrimSpace(s); !accountName.MatchString(s) {
			r.fail(n, key, "has no group name")
			return
		}
		out = append(out, s)
	}
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		for s := range strings.SplitSeq(n.Value, ",") {
			add(n, s)
		}
		return out
	}
	r.items(n, key, func(n *yaml.Node) { add(n, r.line(n, key)) })
	return out
}

// sudo is one rule, a list of them, or false or null for none.
func (r *reader) sudo(n *yaml.Node, key string) []string {
	if n.Kind == yaml.SequenceNode || isNull(n) {
		return r.lines(n, key)
	}
	if strings.EqualFold(n.Value, "false") {
		return nil
	}
	if s := r.line(n, key); s != "" {
		return []string{s}
	}
	return nil
}

func (r *reader) file(n *yaml.Node) File {
	f := File{Owner: "root:root", Mode: 0o644}
	var content, encoding string
	r.pairs(n, "write_files", func(key string, k, v *yaml.Node) {
		at := "write_files: " + key
		switch key {
		case "path":
			if f.Path = r.line(v, at); !path.IsAbs(f.Path) {
				r.fail(v, at, "must be absolute")
			}
		case "content":
			if content = r.text(v, at); v.Tag == "!!binary" && encoding == "" {
				encoding = "b64"
			}
		case "encoding":
			encoding = r.line(v, at)
		case "owner":
			f.Owner = r.line(v, at)
		case "permissions":
			f.Mode = r.mode(v, at)
		case "append":
			f.Append = r.flag(v, at)
		case "defer":
			f.Defer = r.flag(v, at)
		default:
			r.fail(k, strconv.Quote(at), "a lab machine doesn't know this key")
		}
	})
	if f.Path == "" {
		r.fail(n, "write_files", "an entry needs a path")
	}
	var err error
	if f.Content, err = decode(content, encoding); err != nil {
		r.fail(n, "write_files", "%s: content: %v", f.Path, err)
	}
	return f
}

// mode reads permissions: text is octal ('0644'), and so is a number with a leading zero, as YAML 1.1 has it; any other
// number is decimal, a trap that cloud-init has too.
func (r *reader) mode(n *yaml.Node, key string) uint32 {
	base := 8
	if n.Tag == "!!int" && !strings.HasPrefix(n.Value, "0") {
		base = 10
	}
	mode, err := strconv.ParseUint(strings.TrimPrefix(r.line(n, key), "0o"), base, 32)
	if err != nil || mode > 0o7777 {
		r.fail(n, key, "must be octal permissions like '0644'")
		return 0
	}
	return uint32(mode)
}

// decode undoes cloud-init's content encodings.
func decode(content, encoding string) ([]byte, error) {
	zipped, coded := false, false
	switch strings.ToLower(encoding) {
	case "", "text/plain":
	case "b64", "base64":
		coded = true
	case "gz", "gzip":
		zipped = true
	case "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		coded, zipped = true, true
	default:
		return nil, errors.New("its encoding is none of b64, gzip, gz+b64")
	}
	out := []byte(content)
	if coded {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(content), ""))
		if err != nil {
			return nil, errors.New("is not base64")
		}
		out = b
	}
	if !zipped {
		return out, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(out))
	if err != nil {
		return nil, errors.New("is not compressed with gzip")
	}
	const limit = 16 << 20
	out, err = io.ReadAll(io.LimitReader(z, limit+1))
	switch {
	case err != nil:
		return nil, errors.New("is broken gzip")
	case len(out) > limit:
		return nil, errors.New("is more than 16 MiB unpacked")
	}
	return out, nil
}

// Script returns commands as one shell script, as cloud-init makes it: shell items are lines as they are, lists are quoted.
func Script(commands []Command) []byte {
	var b bytes.Buffer
	b.WriteString("#!/bin/sh\n")
	for _, c := range commands {
		if c.Args == nil {
			b.WriteString(strings.TrimRight(c.Shell, "\n") + "\n")
			continue
		}
		for i, arg := range c.Args {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString("'" + strings.ReplaceAll(arg, "'", `'\''`) + "'")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
