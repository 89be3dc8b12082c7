package conformance_test

import (
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/internal/discovery"
)

// gcpCalls counts the calls of all drivers of this package's tests, by method.
var gcpCalls struct {
	sync.Mutex
	tests   map[string]bool
	methods map[string]int
}

// newGCPJudge returns a judge that holds against Google's discovery document all that a test's driver says, and all that
// the lab answers to it.
func newGCPJudge(t *testing.T) *discovery.Judge {
	t.Helper()
	doc, err := discovery.Load()
	if err != nil {
		t.Fatal(err)
	}
	judge := discovery.NewJudge(doc, true, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
	t.Cleanup(func() {
		gcpCalls.Lock()
		defer gcpCalls.Unlock()
		if gcpCalls.methods == nil {
			gcpCalls.methods, gcpCalls.tests = map[string]int{}, map[string]bool{}
		}
		test, _, _ := strings.Cut(t.Name(), "/")
		gcpCalls.tests[test] = true
		for id, n := range judge.Calls() {
			gcpCalls.methods[id] += n
		}
	})
	return judge
}

// gcpCounts returns the calls so far, by method, and says whether a test of a name has made some.
func gcpCounts() (methods map[string]int, made func(test string) bool) {
	gcpCalls.Lock()
	defer gcpCalls.Unlock()
	tests := maps.Clone(gcpCalls.tests)
	return maps.Clone(gcpCalls.methods), func(test string) bool { return tests[test] }
}
