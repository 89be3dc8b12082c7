package strangers_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/internal/discovery"
	labgce "github.com/skyweld/skyweld/lab/gce"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	gcpProject = "skyweld-lab"
	gcpRegion  = "us-east4"
	gcpZone    = "us-east4-b"
)

// gcpLab is the lab's Compute Engine over TLS, behind a judge that holds every call against Google's discovery document.
type gcpLab struct {
	url string
	// ca and key are the files that a client needs: the certificate to trust, and the service account's key.
	ca, key string
	judge   *discovery.Judge

	mu      sync.Mutex
	refused []refusal
}

// refusal is something that the lab refused: a request, or the work of an operation.
type refusal struct {
	// code is the HTTP status, of an operation the one that it shows.
	code int
	// reason is the error's reason, of an operation its code in capitals.
	reason string
}

func (r refusal) String() string { return fmt.Sprintf("%d %s", r.code, r.reason) }

// keep remembers an answer that refuses.
func (l *gcpLab) keep(code int, body []byte) {
	type item struct{ Reason, Code string }
	var a struct {
		Error               struct{ Errors []item }
		HTTPErrorStatusCode int
	}
	// An error's own code is a number, its items have none; an operation's items have a text.
	if json.Unmarshal(body, &a) != nil || len(a.Error.Errors) == 0 {
		return
	}
	if a.HTTPErrorStatusCode != 0 {
		code = a.HTTPErrorStatusCode
	}
	first := a.Error.Errors[0]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = append(l.refused, refusal{code, first.Reason + first.Code})
}

// refusals returns what was refused since the last time.
func (l *gcpLab) refusals() []refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.refused
	l.refused = nil
	return out
}

// gcpKey is the key of every lab's service account, as making one takes long; its URLs are to be replaced.
var gcpKey = sync.OnceValues(func() ([]byte, error) { return labgce.NewServiceAccountKey(gcpProject, gcpKeyURL+"/token") })

const gcpKeyURL = "https://lab.invalid"

func newGCPLab(t *testing.T) *gcpLab {
	t.Helper()
	doc, err := discovery.Load()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := &gcpLab{ca: filepath.Join(dir, "ca.pem"), key: filepath.Join(dir, "key.json")}
	l.judge = discovery.NewJudge(doc, false, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
	var service *labgce.Service
	server := httptest.NewUnstartedServer(l.judge.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := httptest.NewRecorder()
		service.ServeHTTP(kept, r)
		l.keep(kept.Code, kept.Body.Bytes())
		maps.Copy(w.Header(), kept.Header())
		w.WriteHeader(kept.Code)
		w.Write(kept.Body.Bytes())
	})))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that break off
	server.StartTLS()
	l.url = server.URL
	pattern, err := gcpKey()
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.ReplaceAll(pattern, []byte(gcpKeyURL), []byte(l.url))
	for path, text := range map[string][]byte{l.key: key, l.ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service, err = labgce.New(labgce.Config{
		Physical: paper.New(), Dir: dir, Project: gcpProject, ProjectNumber: 424242424242, ServiceAccountKey: key,
		BaseURL: func() string { return l.url }, Profile: world.Instant, Pool: paper.Pools(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		if err := service.Close(); err != nil {
			t.Errorf("close the lab's Compute Engine: %v", err)
		}
	})
	return l
}
