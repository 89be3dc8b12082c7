package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func box(t testing.TB, key string) *Box {
	t.Helper()
	b, err := New([]byte(key), "the test")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	keyA = "0123456789abcdef0123456789abcdef"
	keyB = "fedcba9876543210fedcba9876543210"
)

func TestSealAndOpen(t *testing.T) {
	b, other := box(t, keyA), box(t, keyB)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, -1)
		table, row, column := text.Draw(t, "table"), text.Draw(t, "row"), text.Draw(t, "column")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := b.Seal(table, row, column, plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Open(table, row, column, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened as %q, %v; want %q", got, err, plain)
		}
		if len(plain) > 8 && bytes.Contains(sealed, plain) {
			t.Fatal("the sealed value shows the plain one")
		}
		again, err := b.Seal(table, row, column, plain)
		if err != nil || bytes.Equal(again, sealed) {
			t.Fatalf("sealed twice the same, %v", err)
		}
		// Letters moved from one part of the place to the next make another place.
		for _, place := range [][3]string{{table + "x", row, column}, {table, row + "x", column}, {table, row, column + "x"}, {table + "\x00" + row, "", column}, {row + "x", table, column}} {
			if _, err := b.Open(place[0], place[1], place[2], sealed); err == nil {
				t.Fatalf("opened at %q, sealed at %q %q %q", place, table, row, column)
			}
		}
		if _, err := other.Open(table, row, column, sealed); !errors.Is(err, ErrKey) {
			t.Fatalf("with another key: %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "damaged byte")
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := b.Open(table, row, column, damaged); err == nil {
			t.Fatalf("opened with byte %d damaged", i)
		}
		if _, err := b.Open(table, row, column, sealed[:i]); err == nil {
			t.Fatalf("opened with %d of %d bytes", i, len(sealed))
		}
	})
}

const sealedByVersion1 = "01c517fc011f30e5a06f9cabefe6323d4073d05e27fa5ba3546cef6f89d1401cb8ded8b8f845aca0fee33c98f3c450d305a6" +
	"7017b11436753ffab7576d0b1df2878424bca8d6abe92fa6a0858a2fed9a250b7623c6e72cbe4bec68466e935a17482fe2c0" +
	"9184a9524c"

// TestFormat opens a value from the past: the format in the package's documentation stays readable.
func TestFormat(t *testing.T) {
	sealed, err := hex.DecodeString(strings.TrimSpace(sealedByVersion1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := box(t, keyA).Open("table", "row", "column", sealed)
	if err != nil || string(got) != "a secret" {
		t.Errorf("opened as %q, %v", got, err)
	}
	if n := headSize + len("a secret") + tagSize; len(sealed) != n {
		t.Errorf("%d bytes; want %d", len(sealed), n)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	a, b := box(t, keyA), box(t, keyB)
	sealed, err := a.Seal("accounts", "my-aws", "secrets", []byte("hush"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what   string
		sealed []byte
		says   []string
	}{
		{"another key", sealed, []string{`secrets of accounts "my-aws"`, a.ID(), b.ID(), "the test", "start Skyweld with the key the database was made with"}},
		{"newer format", append([]byte{9}, sealed[1:]...), []string{"format 9", "newer version of Skyweld"}},
		{"nothing", nil, []string{"damaged", "0 bytes"}},
	} {
		_, err := b.Open("accounts", "my-aws", "secrets", test.sealed)
		if err == nil {
			t.Errorf("%s: opened", test.what)
			continue
		}
		for _, s := range test.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: error %q; want one that says %q", test.what, err, s)
			}
		}
	}
	if _, err := New([]byte("short"), "the test"); err == nil || strings.Contains(err.Error(), "short") {
		t.Errorf("a short key: %v", err)
	}
}

func TestBoxShowsNoKey(t *testing.T) {
	b := box(t, keyA)
	for _, shown := range []string{fmt.Sprint(b), fmt.Sprintf("%+v", b), fmt.Sprintf("%#v", b), b.LogValue().String()} {
		if shown != "secret.Box("+b.ID()+")" {
			t.Errorf("shown as %s", shown)
		}
	}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	a, b := base64.StdEncoding.EncodeToString([]byte(keyA)), base64.StdEncoding.EncodeToString([]byte(keyB))
	if err := os.WriteFile(filepath.Join(dir, CredentialName), []byte(a+"\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "new", "master-key")

	got, err := Load(env("CREDENTIALS_DIRECTORY", dir, EnvName, b), file, true)
	if err != nil || got.ID() != box(t, keyA).ID() || got.Origin() != "systemd credential skyweld-master-key" {
		t.Errorf("from systemd: %v, %v", got, err)
	}
	got, err = Load(env("CREDENTIALS_DIRECTORY", t.TempDir(), EnvName, b), file, true)
	if err != nil || got.ID() != box(t, keyB).ID() {
		t.Errorf("from the environment: %v, %v", got, err)
	}
	if _, err := Load(env(), file, false); err == nil || !strings.Contains(err.Error(), "put the file back") {
		t.Errorf("no file: %v", err)
	}
	first, err := Load(env(), file, true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(env(), file, false)
	if err != nil || again.ID() != first.ID() {
		t.Errorf("from the file: %v, %v; want %v", again, err, first)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v, %v", left, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(env(), file, true); err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := Load(env(), dir, true); err == nil {
		t.Error("a folder was read as a key")
	}
	if _, err := Load(env(), "", true); err == nil || !strings.Contains(err.Error(), EnvName) {
		t.Errorf("nowhere: %v", err)
	}
	for _, bad := range []string{"hush", a[:40], b + b} {
		if _, err := Load(env(EnvName, bad), "", false); err == nil || strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "openssl rand -base64 32") {
			t.Errorf("a bad key: %v", err)
		}
	}
}

func TestFirstStartsMeanwhile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "master-key")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			b, err := Load(env(), file, true)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = b.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("keys %q", ids)
		}
	}
}

func FuzzOpen(f *testing.F) {
	b := box(f, keyA)
	sealed, err := b.Seal("t", "r", "c", []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain, err := b.Open("t", "r", "c", data); err == nil && !bytes.Equal(data, sealed) && string(plain) != "plain" {
			t.Fatalf("%x opened as %q", data, plain)
		}
	})
}
