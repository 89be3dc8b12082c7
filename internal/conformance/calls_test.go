package conformance_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// tally counts what the drivers of this package's tests have asked a cloud for.
type tally struct {
	mu sync.Mutex
	// needs are the permissions that calls took, by name; tests are those that made any.
	needs map[string]int
	tests map[string]bool
}

// asked is what each cloud was asked for.
var asked = map[cloud.Provider]*tally{}

func init() {
	for _, p := range []cloud.Provider{cloud.AWS, cloud.GCP, cloud.Azure, cloud.DigitalOcean} {
		asked[p] = &tally{needs: map[string]int{}, tests: map[string]bool{}}
	}
}

func (y *tally) add(test string, needs []string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.tests[test] = true
	for _, n := range needs {
		y.needs[n]++
	}
}

// called are the permissions that calls took, after the tests that make all calls have run; else the test is skipped.
func (y *tally) called(t *testing.T, tests ...string) map[string]int {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, name := range tests {
		if !y.tests[name] {
			t.Skipf("needs the calls of %s: run all tests of the package, in order", name)
		}
	}
	return maps.Clone(y.needs)
}

// counting has the calls that reach a cloud counted, by what they need. Another transport may come before it.
func counting(t *testing.T, p cloud.Provider, needs func(*http.Request, []byte) []string, wrap cloud.Transport) cloud.Transport {
	test, _, _ := strings.Cut(t.Name(), "/")
	return func(next http.RoundTripper) http.RoundTripper {
		out := http.RoundTripper(reading(next, func(r *http.Request, body []byte) *http.Response {
			asked[p].add(test, needs(r, body))
			return nil
		}))
		if wrap != nil {
			out = wrap(out)
		}
		return out
	}
}

// reading shows each request with its body to a function first, which may answer it.
func reading(next http.RoundTripper, see func(*http.Request, []byte) *http.Response) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		var body []byte
		if r.Body != nil && r.Body != http.NoBody {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
			r.Body.Close()
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if resp := see(r, body); resp != nil {
			return resp, nil
		}
		return next.RoundTrip(r)
	}
}

// granted holds what calls took against what a file for users grants, both ways. What calls never take and is granted all
// the same is in uncalled, each with the reason.
func granted(t *testing.T, file string, grants []string, called map[string]int, uncalled map[string]string) {
	t.Helper()
	if !slices.IsSorted(grants) || len(slices.Compact(slices.Clone(grants))) != len(grants) {
		t.Errorf("%s isn't sorted, or has something twice", file)
	}
	for _, name := range slices.Sorted(maps.Keys(called)) {
		if !slices.Contains(grants, name) {
			t.Errorf("%s doesn't grant %s, which %d calls needed", file, name, called[name])
		}
		if why, ok := uncalled[name]; ok {
			t.Errorf("%s is called, and said not to be as %s", name, why)
		}
	}
	total := 0
	for _, name := range grants {
		total += called[name]
		if strings.Contains(name, "*") {
			t.Errorf("%s grants %s: a wildcard", file, name)
		}
		if called[name] == 0 && uncalled[name] == "" {
			t.Errorf("%s grants %s, and no call needed it", file, name)
		}
	}
	for name := range uncalled {
		if !slices.Contains(grants, name) {
			t.Errorf("%s is said to be granted without being called, and %s doesn't grant it", name, file)
		}
	}
	t.Logf("%s: %d grants, %d of them taken %d times", file, len(grants), len(grants)-len(uncalled), total)
}
