package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

// kubernetes is an API server that takes patches of a client with a certificate.
func kubernetes(t *testing.T, handler http.HandlerFunc) (m *host.Machine, log *bytes.Buffer) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	log = &bytes.Buffer{}
	m = &host.Machine{Root: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil))}
	// The server's own certificate is good enough for a client's.
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	config := fmt.Sprintf("apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: %s\n    server: %s\n  name: demo\nusers:\n- name: default-auth\n  user:\n    client-certificate: %s\n    client-key: %s\n",
		ca, server.URL, kubeletMade, kubeletMade)
	for file, text := range map[string]string{kubeletConfig: config, kubeletMade: string(both)} {
		if _, err := m.Write(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m, log
}

func TestPublish(t *testing.T) {
	var path, body, content string
	m, _ := kubernetes(t, func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil || len(r.TLS.PeerCertificates) == 0 {
			t.Error("a request without a body or a certificate", err)
		}
		path, body, content = r.Method+" "+r.URL.String(), string(data), r.Header.Get("Content-Type")
	})
	want := node.Latency{Site: "aws", Windows: []node.Window{{Start: 60, Seconds: 60, To: "gcp", Peer: "b", Inside: node.Trips{Sent: 120, P50: 5100}, Handshake: 3, MTU: 1460}}}
	p := &publisher{machine: m, log: m.Log}
	if err := p.publish(t.Context(), published{"a", want}); err != nil {
		t.Fatal(err)
	}
	if path != "PATCH /api/v1/nodes/a?fieldManager=skyweld" || content != "application/merge-patch+json" {
		t.Errorf("it sent %s, %s", path, content)
	}
	var patch struct {
		Metadata struct{ Annotations map[string]string }
	}
	var got node.Latency
	if err := json.Unmarshal([]byte(body), &patch); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(patch.Metadata.Annotations[node.LatencyAnnotation]), &got); err != nil || got.Site != want.Site || len(got.Windows) != 1 || got.Windows[0] != want.Windows[0] {
		t.Errorf("it sent %s (%v)", body, err)
	}
}

// TestPublishFails: it is said once, and when it works again.
func TestPublishFails(t *testing.T) {
	asked, forbidden := make(chan struct{}), true
	ctx, cancel := context.WithCancel(t.Context())
	m, log := kubernetes(t, func(w http.ResponseWriter, r *http.Request) {
		if forbidden {
			http.Error(w, "nodes \"a\" is forbidden", http.StatusForbidden)
		}
		select {
		case asked <- struct{}{}:
		case <-r.Context().Done():
		}
	})
	p := &publisher{machine: m, log: m.Log, newest: make(chan published, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.keep(ctx)
	}()
	for i := range 5 {
		p.give("a", node.Latency{})
		<-asked
		forbidden = i < 1
	}
	p.give("a", node.Latency{})
	p.give("a", node.Latency{}) // nobody takes the one before: only the newest waits, and this never does
	cancel()
	<-done
	if text := log.String(); strings.Count(text, "is not published") != 1 || !strings.Contains(text, "forbidden") || strings.Count(text, "published again") != 1 {
		t.Errorf("the log says\n%s", text)
	}
}

// TestPublishEarly: a kubelet that has its credentials and hasn't made its Node yet is nothing to speak of.
func TestPublishEarly(t *testing.T) {
	m, _ := kubernetes(t, http.NotFound)
	p := &publisher{machine: m, log: m.Log}
	if err := p.publish(t.Context(), published{"a", node.Latency{}}); err != nil {
		t.Error(err)
	}
}

func TestPublishWithout(t *testing.T) {
	m, _ := kubernetes(t, func(http.ResponseWriter, *http.Request) {})
	p := &publisher{machine: m, log: m.Log}
	if _, err := m.Remove(kubeletMade); err != nil {
		t.Fatal(err)
	}
	if err := p.publish(t.Context(), published{"a", node.Latency{}}); err == nil || !strings.Contains(err.Error(), "client-certificate") {
		t.Errorf("without the kubelet's certificate: %v", err)
	}
	if _, err := m.Write(kubeletConfig, []byte("server: http://example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.publish(t.Context(), published{"a", node.Latency{}}); err == nil {
		t.Error("without an authority it was published")
	}
}

// TestMended: what the agent puts right by itself is published, the last of it; what a config asks for is not.
func TestMended(t *testing.T) {
	d, _ := newDaemon(t)
	var last node.Latency
	d.publish = func(name string, latency node.Latency) {
		if name != testConfig().Name {
			t.Errorf("published for %q", name)
		}
		last = latency
	}
	if _, err := d.apply(t.Context(), signed(t, testConfig())); err != nil {
		t.Fatal(err)
	}
	if last.Mended != nil {
		t.Fatalf("a config was applied, and it mended %v", last.Mended)
	}
	names := func(m node.Mended) bool { return m.What == "wrote names into "+hostsFile && m.At > 0 }
	for i, changed := range []bool{false, true, true} {
		if changed {
			put(t, d.machine, hostsFile, "127.0.0.1 localhost\n")
		}
		if err := d.mend(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		// The tunnel here is never as it should be: there is always something to mend.
		if slices.ContainsFunc(last.Mended, names) != changed || len(last.Mended) > node.MendedKept || last.Site != "a" {
			t.Errorf("after the %dth time it published %+v", i+1, last)
		}
	}
}
