package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// transports are those in use, by what tells them apart. Accounts whose endpoints are alike share connections: what a
// thousand accounts keep open and trust costs no more than what one does.
var transports sync.Map

type transportKey struct {
	ca            string
	headerTimeout time.Duration
}

// NewTransport is the HTTP transport to an account's endpoints: it trusts the account's CA beside the system's, and waits
// as long for the beginning of an answer as the driver says.
func NewTransport(account Account, headerTimeout time.Duration) (*http.Transport, error) {
	key := transportKey{account.CA, headerTimeout}
	if t, ok := transports.Load(key); ok {
		return t.(*http.Transport), nil
	}
	t, err := newTransport(key)
	if err != nil {
		return nil, err
	}
	shared, _ := transports.LoadOrStore(key, t)
	return shared.(*http.Transport), nil
}

// Connections stay open between the calls of a run, not from one run to the next.
const (
	idleConnections = 64
	idleTime        = 30 * time.Second
)

func newTransport(key transportKey) (*http.Transport, error) {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default HTTP transport was replaced")
	}
	t := base.Clone()
	t.ResponseHeaderTimeout = key.headerTimeout
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = idleConnections, idleConnections, idleTime
	t.OnProxyConnectResponse = ProxyAnswer
	if key.ca == "" {
		return t, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM([]byte(key.ca)) {
		return nil, errors.New("the CA holds no PEM certificate")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return t, nil
}
