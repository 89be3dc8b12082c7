package cloudinit

import (
	"slices"
	"strings"
	"testing"
)

// FuzzGoogleKeys reads the attribute ssh-keys from anything: every key is one line with something on it and stands once
// per account, no account's name is a path, and the text read twice adds no account's key again.
func FuzzGoogleKeys(f *testing.F) {
	f.Add("ubuntu:ssh-ed25519 AAAA me\nada:ssh-rsa BBBB\n# a comment\n\nada:ssh-rsa BBBB")
	f.Add("a b:x\n../etc:y\nnocolon\n:z\r\nada:")
	f.Fuzz(func(t *testing.T, text string) {
		m := metadata{UserKeys: map[string][]string{}}
		m.addGoogleKeys(text)
		for account, keys := range m.UserKeys {
			if strings.ContainsAny(account, " /\n") || len(keys) == 0 {
				t.Fatalf("%q: account %q with %q", text, account, keys)
			}
			sorted := slices.Sorted(slices.Values(keys))
			if len(slices.Compact(sorted)) != len(keys) {
				t.Fatalf("%q: account %q has a key twice: %q", text, account, keys)
			}
			for _, k := range keys {
				if strings.Contains(k, "\n") {
					t.Fatalf("%q: a key of two lines: %q", text, k)
				}
			}
		}
		for _, k := range m.Keys {
			if strings.Contains(k, "\n") {
				t.Fatalf("%q: a key of two lines: %q", text, k)
			}
		}
		before := len(m.UserKeys)
		counts := map[string]int{}
		for account, keys := range m.UserKeys {
			counts[account] = len(keys)
		}
		m.addGoogleKeys(text)
		if len(m.UserKeys) != before {
			t.Fatalf("%q: read twice there are more accounts", text)
		}
		for account, keys := range m.UserKeys {
			if counts[account] != len(keys) {
				t.Fatalf("%q: read twice account %q has more keys", text, account)
			}
		}
	})
}
