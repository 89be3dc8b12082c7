package canary_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/internal/canary"
)

// TestFind knows secrets again however they are written, and takes nothing for one that is public.
func TestFind(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "nobody")
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(block))
	doc, err := json.Marshal(map[string]any{"ssh": text, "authorized": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI-a-public-one", "signing": key, "list": []string{"a/secret+with&signs"}})
	if err != nil {
		t.Fatal(err)
	}
	s := canary.Set{}
	s.Add("keys", doc)
	s.Add("token", []byte("a-token-of-an-account"))
	for _, c := range []struct{ text, want string }{
		{"nothing here", ""},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI-a-public-one " + base64.StdEncoding.EncodeToString(pub), ""},
		{"-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjEAAAAA", ""},
		{"level=DEBUG token=a-token-of-an-account", "token"},
		{hex.EncodeToString([]byte("a-token-of-an-account")), "token"},
		{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("a-token-of-an-account")), "token"},
		{"?secret=" + url.QueryEscape("a/secret+with&signs"), "keys/list/0"},
		{string(doc), "keys/list/0 keys/signing keys/ssh"},
		{strings.Split(text, "\n")[2], "keys/ssh"},
	} {
		if got := strings.Join(s.Find(c.text), " "); got != c.want {
			t.Errorf("in %.60q: found %q, want %q", c.text, got, c.want)
		}
	}
}
