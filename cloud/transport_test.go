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
