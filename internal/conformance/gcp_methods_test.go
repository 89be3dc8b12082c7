package conformance_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/lab/world"
)

var gcpStopped = regexp.MustCompile(`"status": ?"TERMINATED"`)

// TestGCPSuspended lets the driver find a machine suspended and wake it. The lab's API can't suspend: a stopped machine is
// shown as a suspended one here, and waking it starts it.
func TestGCPSuspended(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	c := lab.client(t)
	d := lab.driver(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if path, ok := strings.CutSuffix(r.URL.Path, "/resume"); ok {
				r = r.Clone(r.Context())
				r.URL.Path = path + "/start"
			}
			resp, err := next.RoundTrip(r)
			if err != nil || r.Method != http.MethodGet {
				return resp, err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return nil, err
			}
			text = gcpStopped.ReplaceAll(text, []byte(`"status":"SUSPENDED"`))
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			return resp, nil
		})
	})
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, gcpSite())
	if err != nil {
		t.Fatal(err)
	}
	const key = "conf-node-conf-web-1"
	zone, name := gcpName(b.Objects[key])
	op, err := c.Instances.Stop(gcpProject, zone, name).Do()
	gcpDone(t, c, op, err)
	now := gcpObserved(t, d)[key]
	if now.State != cloud.Stopped {
		t.Fatalf("a suspended machine is observed as %q", now.State)
	}
	i := slices.IndexFunc(b.Resources, func(r cloud.Resource) bool { return r.Key == key })
	awake, err := d.Update(t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: b.Resources[i], Object: now, Fields: []string{"state"}, Refs: b.Objects})
	if err != nil || awake.State != cloud.Ready {
		t.Errorf("it is %q after it was woken: %v", awake.State, err)
	}
}

// TestGCPProbes lets the driver find out its permissions by trying, as in a project where they can't be asked for by name.
func TestGCPProbes(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	d := lab.driver(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && strings.HasSuffix(r.URL.Path, ":testIamPermissions") {
				resp.StatusCode = http.StatusForbidden
			}
			return resp, err
		})
	})
	rep, err := d.Check(t.Context(), gcpRegion)
	if err != nil || len(rep.Missing) > 0 {
		t.Errorf("the account that may do everything lacks %v: %v", rep.Missing, err)
	}
}

// TestGCPMethods holds that the other tests of this package let the driver make every call that it has, so that each was
// held against the discovery document. It comes after them in the order of files.
func TestGCPMethods(t *testing.T) {
	called, ran := gcpCounts()
	for _, test := range []string{"TestGCPOnTheLab", "TestGCPDrift", "TestGCPLostAnswers", "TestGCPForeign", "TestGCPSuspended", "TestGCPProbes"} {
		if !ran(test) {
			t.Skipf("needs the calls of %s: run all tests of the package, in order", test)
		}
	}
	has := gcpDriverMethods(t)
	total := 0
	var counts []string
	for _, id := range has {
		total += called[id]
		counts = append(counts, fmt.Sprintf("%s %d", id, called[id]))
		if called[id] == 0 {
			t.Errorf("the driver has the call %s, and no test made it", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(called)) {
		if !slices.Contains(has, id) {
			t.Errorf("the driver called %s, which its source doesn't show as api.Resource.Method(", id)
		}
	}
	t.Logf("%d calls of %d methods (%s)", total, len(has), strings.Join(counts, ", "))
}

var (
	gcpSDKCall = regexp.MustCompile(`\bapi\.([A-Z]\w+)\.([A-Z]\w+)\(`)
	// A variable may stand for a resource's part of the client.
	gcpSDKPart     = regexp.MustCompile(`\b(\w+) := [\w.]*\bapi\.([A-Z]\w+)\n`)
	gcpSDKPartCall = regexp.MustCompile(`[^.\w](\w+)\.([A-Z]\w+)\(`)
)

// gcpDriverMethods are the methods of the API that the driver's source names, in order: "networks.insert".
func gcpDriverMethods(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	for _, text := range driverSource(t, "gcp") {
		for _, m := range gcpSDKCall.FindAllStringSubmatch(text, -1) {
			found[lowerFirst(m[1])+"."+lowerFirst(m[2])] = true
		}
		for _, part := range gcpSDKPart.FindAllStringSubmatch(text, -1) {
			for _, m := range gcpSDKPartCall.FindAllStringSubmatch(text, -1) {
				if m[1] == part[1] {
					found[lowerFirst(part[2])+"."+lowerFirst(m[2])] = true
				}
			}
		}
	}
	if len(found) == 0 {
		t.Fatal("the driver's source names no method of the API")
	}
	return slices.Sorted(maps.Keys(found))
}

// driverSource are the texts of a driver's own files.
func driverSource(t *testing.T, driver string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "cloud", driver, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func lowerFirst(s string) string { return string(unicode.ToLower(rune(s[0]))) + s[1:] }
