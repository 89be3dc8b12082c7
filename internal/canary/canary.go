// Package canary finds secrets in what is shown to people. It takes the real ones out of an engine's database, as whoever
// holds the master key can, and knows them again in the forms in which programs write them: as they are, in base64, in hex,
// escaped for URLs or JSON, and of a private key each line. It is for tests.
package canary

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// shortest is how long a text must be to be taken for a secret: shorter ones are found everywhere by chance.
const shortest = 12

// Set is secrets by what they are called, each in all its forms.
type Set map[string][]string

// OfEngine takes all secrets of the engine whose folder is given: its master key and token, those of its accounts, of its
// clusters and of their machines.
func OfEngine(ctx context.Context, dir string) (Set, error) {
	none := func(string) string { return "" }
	box, err := secret.Load(none, filepath.Join(dir, "master.key"), false)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, filepath.Join(dir, "skyweld.db"), box)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	s := Set{}
	for _, name := range []string{"master.key", "token"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		s.Add(name, bytes.TrimSpace(data))
	}
	accounts, err := st.ListAccounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		for name, value := range a.Secrets {
			s.Add("account "+a.Name+": "+name, []byte(value.Reveal()))
		}
	}
	clusters, err := st.ListClusters(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, c := range clusters {
		names, err := st.ListSecretNames(ctx, c.UID)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			value, err := st.GetSecret(ctx, c.UID, name)
			if err != nil {
				return nil, err
			}
			s.Add("cluster "+c.Name+": "+name, value)
		}
	}
	return s, nil
}

// Add takes a secret, or a document that has some: of JSON the strings under it but for those that are public, of PEM the
// private keys.
func (s Set) Add(name string, value []byte) {
	var doc any
	if json.Unmarshal(value, &doc) == nil {
		if _, number := doc.(float64); !number {
			s.walk(name, "", doc)
			return
		}
	}
	s.leaf(name, string(value))
}

// public are the members of documents that anybody may see.
var public = []string{
	"public", "authorized", "cert", "ca.crt", "type", "project_id", "client_email", "client_id", "auth_uri", "token_uri", "auth_provider_x509_cert_url",
	"client_x509_cert_url", "universe_domain", "private_key_id", "notBefore", "notAfter", "name", "region",
}

func (s Set) walk(name, member string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if !slices.Contains(public, k) && !slices.Contains(public, strings.ToLower(k)) {
				s.walk(name+"/"+k, k, x)
			}
		}
	case []any:
		for i, x := range v {
			s.walk(fmt.Sprintf("%s/%d", name, i), member, x)
		}
	case string:
		s.leaf(name, v)
	}
}

func (s Set) leaf(name, text string) {
	found := false
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		found = true
		if strings.Contains(block.Type, "PRIVATE") {
			s[name] = append(s[name], lines(block)...)
			s.forms(name, string(block.Bytes))
		}
	}
	if found {
		return
	}
	if data, err := base64.StdEncoding.DecodeString(text); err == nil && len(data) >= 32 {
		if block, _ := pem.Decode(data); block != nil {
			s.leaf(name, string(data))
			return
		}
		s.forms(name, string(data))
	}
	s.forms(name, text)
}

// lines are those of a private key's PEM form that are the key's alone: each begins at another byte, so that they don't
// show up in other encodings.
func lines(b *pem.Block) []string {
	var out []string
	for line := range strings.Lines(string(pem.EncodeToMemory(b))) {
		if line = strings.TrimSpace(line); len(line) > 40 && !strings.HasPrefix(line, "-----") && !strings.HasPrefix(line, opensshHead) {
			out = append(out, line)
		}
	}
	return out
}

// opensshHead begins every private key in OpenSSH's form.
const opensshHead = "b3BlbnNzaC1rZXktdjEAAAAA"

// forms adds a secret as programs write it.
func (s Set) forms(name, text string) {
	if len(text) < shortest {
		return
	}
	all := []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text)), url.QueryEscape(text)}
	if quoted, err := json.Marshal(text); err == nil {
		all = append(all, strings.Trim(string(quoted), `"`))
	}
	for _, f := range all {
		if !slices.Contains(s[name], f) {
			s[name] = append(s[name], f)
		}
	}
}

// Find names the secrets that are in a text, in order.
func (s Set) Find(text string) []string {
	var out []string
	for name, forms := range s {
		if slices.ContainsFunc(forms, func(f string) bool { return strings.Contains(text, f) }) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
