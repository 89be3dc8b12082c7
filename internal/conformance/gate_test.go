package conformance_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/lab/fault"
)

// gate is where a lab's API is behind TLS. It is there before the API, which wants to know its own address, and can let
// requests wait.
type gate struct {
	server  *httptest.Server
	mu      sync.Mutex
	behind  http.Handler
	stalled chan struct{} // not nil while requests wait
	// dialect is how the API behind it words what goes wrong.
	dialect fault.Dialect
}

func newGate() *gate {
	g := &gate{}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		behind, stalled := g.behind, g.stalled
		g.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		behind.ServeHTTP(w, r)
	}))
	g.server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that the tests break off
	g.server.StartTLS()
	return g
}

// open lets requests through to an API, which is closed with the gate at the test's end.
func (g *gate) open(t *testing.T, name string, api http.Handler, closeAPI func() error) {
	t.Helper()
	g.mu.Lock()
	g.behind = api
	g.mu.Unlock()
	t.Cleanup(func() {
		g.server.Close()
		if err := closeAPI(); err != nil {
			t.Errorf("close the lab's %s: %v", name, err)
		}
	})
}

// ca is the certificate that clients are to trust.
func (g *gate) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.server.Certificate().Raw}))
}

// stall lets requests wait from now on.
func (g *gate) stall() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = make(chan struct{})
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		close(g.stalled)
		g.stalled = nil
	}
}
