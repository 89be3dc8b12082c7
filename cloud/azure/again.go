package azure

import (
	"errors"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

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
	if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
		return false, nil
	}
	copied, err := cloud.Peek(answer)
	if err != nil {
		return false, err
	}
	e, ok := errors.AsType[*azcore.ResponseError](runtime.NewResponseError(copied))
	if !ok {
		return false, nil
	}
	c := classifyAnswer(e)
	return isTrouble(c) && c.RetryAfter <= soon, nil
}
