package strangers_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/internal/armsdk"
	"github.com/skyweld/skyweld/internal/wiretap"
	"github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	azureSubscription = "5b5b5b5b-0000-4000-8000-000000000001"
	azureTenant       = "5b5b5b5b-0000-4000-8000-000000000002"
	azureClient       = "5b5b5b5b-0000-4000-8000-000000000003"
	azureSecret       = "a-secret-of-the-lab"
)

// azureLab is the lab's Resource Manager over TLS, behind a judge that holds every call against the models of Azure's SDK
// for Go.
type azureLab struct {
	url string
	// ca is the file with the certificate to trust.
	ca    string
	judge *armsdk.Judge

	mu      sync.Mutex
	refused []string
}

func newAzureLab(t *testing.T, profile world.Profile) *azureLab {
	t.Helper()
	doc, err := armsdk.Load()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := &azureLab{ca: filepath.Join(dir, "ca.pem")}
	l.judge = armsdk.NewJudge(doc, false, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
	var service *arm.Service
	lab := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { service.ServeHTTP(w, r) })
	server := httptest.NewUnstartedServer(wiretap.Handler(l.judge.Handler(lab), l.hear))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that break off
	server.StartTLS()
	l.url = server.URL
	if err := os.WriteFile(l.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	service, err = arm.New(arm.Config{
		Physical: paper.New(), Dir: dir, Subscription: azureSubscription, Tenant: azureTenant, ClientID: azureClient, ClientSecret: azureSecret,
		BaseURL: func() string { return l.url }, Profile: profile, Pool: paper.Pools(),
		PageSize: 2, // so that most lists have several pages
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		if err := service.Close(); err != nil {
			t.Errorf("close the lab's Azure: %v", err)
		}
		t.Logf("over the wire: %v\n%s", l.judge.Tally, l.judge.Tally.Detail())
	})
	return l
}

// hear remembers an answer that refuses, as "404 ResourceNotFound".
func (l *azureLab) hear(x *wiretap.Exchange) {
	var a struct{ Error struct{ Code string } }
	if x.Status < http.StatusBadRequest || json.Unmarshal(x.Answer, &a) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = append(l.refused, fmt.Sprintf("%d %s", x.Status, a.Error.Code))
}

// refusals returns what was refused since the last time.
func (l *azureLab) refusals() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.refused
	l.refused = nil
	return out
}
