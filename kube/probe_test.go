package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served is an API server with a certificate of an authority, for a name and a time.
func served(t *testing.T, authority KeyPair, name string, end time.Time, answer http.HandlerFunc) Backend {
	t.Helper()
	ca, caKey, err := authority.parse()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := newSerial()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: []string{name}, NotBefore: ca.NotBefore, NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(answer)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return Backend{Address: s.Listener.Addr().String(), Dial: (&net.Dialer{}).DialContext}
}

func TestProbe(t *testing.T) {
	pki, err := NewPKI(time.Now().Add(-2 * 365 * 24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewPKI(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := Cluster{Name: "demo"}
	now := time.Now().Truncate(time.Second)
	ok := func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 || r.Header.Get("Authorization") != "" {
			t.Error("it showed credentials")
		}
		if r.URL.Path != "/readyz" {
			t.Errorf("it asked for %s", r.URL.Path)
		}
	}
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		}
	}
	good, over := now.Add(200*24*time.Hour), now.Add(-24*time.Hour)
	for _, tt := range []struct {
		name   string
		server Backend
		end    time.Time
		err    string // empty for none
	}{
		{"ready", served(t, pki.CA, c.APIHost(), good, ok), good, ""},
		{"a certificate that ran out", served(t, pki.CA, c.APIHost(), over, ok), over, ""},
		{"not for strangers", served(t, pki.CA, c.APIHost(), good, status(403, "no")), good, ""},
		{"not ready", served(t, pki.CA, c.APIHost(), good, status(500, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]shutdown failed: x\n")), good, "it is not ready (500 Internal Server Error): etcd, shutdown"},
		{"of another cluster", served(t, other.CA, c.APIHost(), good, ok), good, "unknown authority"},
		{"another name", served(t, pki.CA, "api.other.skyweld.internal", good, ok), good, "not api.demo.skyweld.internal"},
		{"nobody", Backend{Address: "127.0.0.1:1", Dial: (&net.Dialer{}).DialContext}, time.Time{}, "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Probe(t.Context(), c, pki.CA, tt.server, now)
			if !got.NotAfter.Equal(tt.end) {
				t.Errorf("its certificate is good until %v, want %v", got.NotAfter, tt.end)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestProbeGivesUp: a server that takes the connection and says nothing must not hold a look up.
func TestProbeGivesUp(t *testing.T) {
	pki, err := NewPKI(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent, theirs := net.Pipe()
	defer theirs.Close()
	_, err = Probe(ctx, Cluster{Name: "demo"}, pki.CA, Backend{Dial: func(context.Context, string, string) (net.Conn, error) {
		cancel()
		return silent, nil
	}}, time.Now())
	if err == nil {
		t.Error("silence is no answer")
	}
}

func TestExpiry(t *testing.T) {
	now := time.Now()
	pki, err := NewPKI(now)
	if err != nil {
		t.Fatal(err)
	}
	if pki.EtcdCA, err = newCA("etcd-ca", now.Add(-365*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	name, at, err := pki.Expiry()
	if err != nil || name != "etcd" || at.Sub(now.Add(caLife-365*24*time.Hour)).Abs() > time.Minute {
		t.Errorf("%s at %v, error %v", name, at, err)
	}
	pki.FrontProxy.Cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	if _, _, err := pki.Expiry(); err == nil || !strings.Contains(err.Error(), "front-proxy") {
		t.Errorf("an authority that can't be read: %v", err)
	}
}
