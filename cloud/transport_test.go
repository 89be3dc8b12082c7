package cloud_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// TestNewTransport reaches a server by the account's CA, not without it, and takes no CA that is none.
func TestNewTransport(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, c := range []struct {
		ca      string
		reached bool
	}{{ca, true}, {"", false}} {
		tr, err := cloud.NewTransport(cloud.Account{CA: c.ca}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if tr.ResponseHeaderTimeout != time.Minute {
			t.Errorf("waits %s for an answer", tr.ResponseHeaderTimeout)
		}
		resp, err := (&http.Client{Transport: tr}).Get(server.URL)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != c.reached {
			t.Errorf("with %d bytes of CA: %v", len(c.ca), err)
		}
		tr.CloseIdleConnections()
	}
	if _, err := cloud.NewTransport(cloud.Account{CA: "nonsense"}, 0); err == nil {
		t.Error("a CA without a certificate is taken")
	}
}

// TestTransportsAreShared wants accounts with the same authority behind them to share connections, and no others.
func TestTransportsAreShared(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	open := func(name, ca string, timeout time.Duration) *http.Transport {
		tr, err := cloud.NewTransport(cloud.Account{Name: name, CA: ca}, timeout)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	one := open("one", ca, time.Minute)
	if open("two", ca, time.Minute) != one {
		t.Error("two accounts with the same CA don't share connections")
	}
	if open("three", "", time.Minute) == one || open("four", ca, time.Second) == one {
		t.Error("accounts share connections that trust another CA, or wait for another time")
	}
}
