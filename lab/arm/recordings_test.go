package arm_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/internal/armsdk"
)

// TestRecordingsAreValid lets the judge of all other tests hear what the real Azure said: it must not want more than that.
func TestRecordingsAreValid(t *testing.T) {
	doc, err := armsdk.Load()
	must(t, err)
	files, err := filepath.Glob(filepath.Join(goldens(), "*.yaml"))
	must(t, err)
	if len(files) == 0 {
		recordings(t, "virtualmachine") // skips, and says how to get them
	}
	heard := 0
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		t.Run(name, func(t *testing.T) {
			judge := armsdk.NewJudge(doc, false, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
			for _, x := range recordings(t, name) {
				u, err := url.Parse(x.Request.URL)
				must(t, err)
				if x.Request.Body == "" && (x.Request.Method == http.MethodPut || x.Request.Method == http.MethodPost) {
					continue // it wasn't recorded
				}
				answered := judge.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					for name, values := range x.Response.Headers {
						w.Header()[http.CanonicalHeaderKey(name)] = values
					}
					w.WriteHeader(x.Response.Code)
					_, _ = w.Write([]byte(x.Response.Body))
				}))
				answered.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(x.Request.Method, u.RequestURI(), strings.NewReader(x.Request.Body)))
				heard++
			}
		})
	}
	t.Logf("%d recorded answers of %d recordings", heard, len(files))
}
