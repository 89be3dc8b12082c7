package conformance_test

import (
	"sync"
	"testing"

	"github.com/skyweld/skyweld/internal/armsdk"
	"github.com/skyweld/skyweld/internal/wiretap"
)

// azureTally counts all calls of this package's tests to labs like Azure.
var azureTally = wiretap.NewTally()

// newAzureJudge returns a judge that holds against the SDK's own models all that a test's driver says, and all that the lab
// answers to it.
func newAzureJudge(t *testing.T) *armsdk.Judge {
	t.Helper()
	doc, err := armsdk.Load()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	told := map[string]bool{}
	judge := armsdk.NewJudge(doc, true, func(call, problem string) {
		mu.Lock()
		defer mu.Unlock()
		if !told[problem] { // one of a kind is enough, of thousands of calls
			told[problem] = true
			t.Errorf("%s: %s", call, problem)
		}
	})
	judge.Tally = azureTally
	return judge
}
