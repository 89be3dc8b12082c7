package secret

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

func TestKeeper(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	defer func(was int) { workFactor = was }(workFactor)
	workFactor = 10
	const pass = "hush-hush-passphrase"
	public := key.Recipient().String()
	for _, tt := range []struct {
		name   string
		keeper Keeper
		reader Reader
		says   string
	}{
		{"a key", Keeper{Recipients: []string{other.Recipient().String(), public}}, Reader{Identities: "# made today\n" + key.String() + "\n"}, ""},
		{"a passphrase", Keeper{Passphrase: pass}, Reader{Passphrase: pass}, ""},
		{"another key", Keeper{Recipients: []string{public}}, Reader{Identities: other.String()}, ErrReader.Error()},
		{"a passphrase for a key", Keeper{Recipients: []string{public}}, Reader{Passphrase: pass}, ErrReader.Error()},
		{"nobody", Keeper{}, Reader{}, "nobody could read it"},
		{"both", Keeper{Recipients: []string{public}, Passphrase: pass}, Reader{}, "don't go together"},
		{"a short passphrase", Keeper{Passphrase: "hush"}, Reader{}, "has 4 bytes: want 12 or more"},
		{"a secret key in place of the public one", Keeper{Recipients: []string{key.String()}}, Reader{}, "that is a secret key"},
		{"no key", Keeper{Recipients: []string{"ssh-ed25519 AAAA"}}, Reader{}, "is no public key of age"},
		{"two in one", Keeper{Recipients: []string{public + "\n" + public}}, Reader{}, "is no public key of age"},
		{"no file of keys", Keeper{Recipients: []string{public}}, Reader{Identities: "hush"}, "the file of keys holds something else"},
		{"both to read", Keeper{Recipients: []string{public}}, Reader{Identities: key.String(), Passphrase: pass}, "don't go together"},
	} {
		text, err := through(tt.keeper, tt.reader)
		if tt.says == "" {
			if err != nil || text != "the text" {
				t.Errorf("%s: read %q, error %v", tt.name, text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v; want one that says %q", tt.name, err, tt.says)
		} else if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), key.String()) {
			t.Errorf("%s: a secret is in the error %q", tt.name, err)
		}
	}
	if _, err := (Reader{Identities: key.String()}).Decrypt(strings.NewReader("hello")); err == nil || errors.Is(err, ErrReader) {
		t.Errorf("what is no file of age: %v", err)
	}
}

// through encrypts and decrypts.
func through(k Keeper, r Reader) (string, error) {
	var file bytes.Buffer
	w, err := k.Encrypt(&file)
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte("the text")); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	plain, err := r.Decrypt(&file)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(plain)
	return string(text), err
}
