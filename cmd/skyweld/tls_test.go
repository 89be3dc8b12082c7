package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRenewed: a certificate that is replaced in its file is served from then on, also to programs on this machine; files that
// are no good change nothing.
func TestRenewed(t *testing.T) {
	dir, engine := t.TempDir(), t.TempDir()
	l := listening{listen: "127.0.0.1:0", hosts: []string{"engine.example.com"}, cert: filepath.Join(dir, ownCertFile), key: filepath.Join(dir, ownKeyFile)}
	made := 0
	replace := func() {
		t.Helper()
		for _, name := range []string{l.cert, l.key} {
			if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		if _, err := l.ownCertificate(dir); err != nil {
			t.Fatal(err)
		}
		made++
		for _, name := range []string{l.cert, l.key} { // as time goes by between two of them
			at := time.Now().Add(time.Duration(made) * time.Hour)
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace()
	config, err := l.tls(engine, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		t.Helper()
		client, server := net.Pipe()
		defer client.Close()
		go func() { _ = tls.Server(server, config).Handshake(); server.Close() }()
		c := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is compared below
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		own, err := pinned(filepath.Join(engine, servingFile)) // as it is after the connection
		if err != nil {
			t.Fatal(err)
		}
		if err := own.VerifyConnection(c.ConnectionState()); err != nil {
			t.Error(err)
		}
		return fingerprint(c.ConnectionState().PeerCertificates[0].Raw)
	}
	first := served()
	if again := served(); again != first {
		t.Errorf("without a change it is %s after %s", again, first)
	}
	replace()
	second := served()
	if second == first {
		t.Error("the new certificate isn't served")
	}
	if err := os.WriteFile(l.cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := served(); got != second {
		t.Errorf("with half a file it is %s after %s", got, second)
	}
	replace()
	if got := served(); got == second || got == first {
		t.Error("the third certificate isn't served")
	}
}

// TestTrustedProxies: addresses and ranges, and nothing that is everybody.
func TestTrustedProxies(t *testing.T) {
	for text, want := range map[string]string{"10.0.0.1": "10.0.0.1/32", "10.1.2.3/8": "10.0.0.0/8", "fd00::1": "fd00::1/128", "0.0.0.0/0": "", "::/0": "", "proxy": ""} {
		got, err := listening{proxies: []string{text}}.trusted()
		if (err == nil) != (want != "") || err == nil && got[0].String() != want {
			t.Errorf("%s is %v, %v; want %q", text, got, err, want)
		}
	}
}
