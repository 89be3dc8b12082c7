package azure

import (
	"net/http"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// soon is how long Azure may ask to wait for the request to be repeated at once: not longer than its repetitions pause.
const soon = 2 * time.Second

// isTrouble says whether a request failed for no reason of its own.
func isTrouble(e *cloud.Error) bool {
	return e.Class == cloud.Throttled || e.Class == cloud.Unavailable
}

// busy says of an answer whether Azure throttles its caller or is in trouble. What it wants to be left alone with for long
// isn't repeated: who asked for it waits better.
func busy(answer *http.Response) (bool, error) {
	e, err := wire(nil).Verdict(answer)
	return e != nil && isTrouble(e) && e.RetryAfter <= soon, err
}
