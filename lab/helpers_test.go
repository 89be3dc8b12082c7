//go:build linux

package lab

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/lab/world"
)

// startLab starts a lab for a test that looks at its machines, in a folder of its own; runtime may be nil. The test is
// skipped where there can be no machines.
func startLab(t *testing.T, runtime func(cloud string, namespace func(string) string) Runtime) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: machines are Linux namespaces")
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	l, err := Start(t.Context(), Options{Dir: t.TempDir(), Profile: world.Instant, Log: log, Runtime: runtime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// envOf is the environment that leads to a lab.
func envOf(l *Lab) map[string]string {
	env := map[string]string{}
	for _, v := range l.Info().Env(l.opts.Dir) {
		env[v[0]] = v[1]
	}
	return env
}

// trusting is a transport that knows a lab's certificates.
func trusting(t *testing.T, l *Lab) *http.Transport {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(l.opts.Dir, caFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
}

// rootLogin is a new key: how to log in with it as root, and the public key as machines want it.
func rootLogin(t *testing.T) (*ssh.ClientConfig, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second}
	return config, string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
}
