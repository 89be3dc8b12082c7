package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Endpoint is what an API server shows to who asks from outside.
type Endpoint struct {
	// NotAfter is until when its certificate is good; it may be over.
	NotAfter time.Time
}

// Probe asks one API server whether it is ready. It shows no credentials, and its server must be the cluster's own: one whose
// certificate the cluster's authority signed. A certificate that has run out is no error but told, for the server serves all
// the same, and whoever minds has to know why.
func Probe(ctx context.Context, c Cluster, authority KeyPair, b Backend, now time.Time) (Endpoint, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority.Cert)) {
		return Endpoint{}, errors.New("the cluster's authority is not PEM")
	}
	var notAfter atomic.Pointer[time.Time] // a handshake goes on for a moment when nobody waits for it any more
	seen := func() (e Endpoint) {
		if at := notAfter.Load(); at != nil {
			e.NotAfter = *at
		}
		return e
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return b.Dial(ctx, network, b.Address)
		},
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // in favour of the following, which is as strict but for the time
			VerifyConnection: func(s tls.ConnectionState) error {
				leaf := s.PeerCertificates[0]
				notAfter.Store(&leaf.NotAfter)
				at := now
				if at.After(leaf.NotAfter) {
					at = leaf.NotAfter.Add(-time.Second)
				}
				rest := x509.NewCertPool()
				for _, more := range s.PeerCertificates[1:] {
					rest.AddCert(more)
				}
				_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, DNSName: c.APIHost(), CurrentTime: at})
				return err
			},
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s:%d/readyz", c.APIHost(), APIPort), nil)
	if err != nil {
		return seen(), err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return seen(), err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 { // who is refused as a stranger was answered, too
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000)) // what it says is only for people
		return seen(), fmt.Errorf("it is not ready (%s)%s", resp.Status, failedChecks(string(text)))
	}
	return seen(), nil
}

// failedChecks are the lines of a readyz answer that say what is wrong: "[-]etcd failed: reason withheld".
func failedChecks(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ = strings.Cut(name, " ")
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, ", ")
}

// Expiry is until when the first of the cluster's authorities is good, and which that is.
func (p PKI) Expiry() (name string, at time.Time, err error) {
	for _, a := range []struct {
		name string
		pair KeyPair
	}{{"kubernetes", p.CA}, {"etcd", p.EtcdCA}, {"front-proxy", p.FrontProxy}} {
		block, _ := pem.Decode([]byte(a.pair.Cert))
		if block == nil {
			return a.name, at, fmt.Errorf("the authority %s is not PEM", a.name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return a.name, at, fmt.Errorf("the authority %s: %w", a.name, err)
		}
		if at.IsZero() || cert.NotAfter.Before(at) {
			name, at = a.name, cert.NotAfter
		}
	}
	return name, at, nil
}

// Close ends the connections that the client has open.
func (c *Client) Close() { c.http.CloseIdleConnections() }
