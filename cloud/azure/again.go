package azure

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/skyweld/skyweld/cloud"
)

// again has requests that only read repeated while Azure throttles them or is in trouble. All others are tried once, and
// so are those that Azure wants to be left alone with for long: who asked for them waits better.
type again struct{ next http.RoundTripper }

func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		return a.next.RoundTrip(r)
	}
	var answer *http.Response
	err := cloud.ReadAgain(r.Context(), isBusy, func() (err error) {
		if answer, err = a.next.RoundTrip(r); err != nil {
			return err
		}
		return refusal(answer)
	})
	if isBusy(err) {
		err = nil // the answer tells
	}
	return answer, err
}

var errBusy = errors.New("busy")

func isBusy(err error) bool { return errors.Is(err, errBusy) }

// soon is how long Azure may ask to wait for the request to be repeated at once: not longer than its repetitions pause.
const soon = 2 * time.Second

// isTrouble says whether a request failed for no reason of its own.
func isTrouble(e *cloud.Error) bool {
	return e.Class == cloud.Throttled || e.Class == cloud.Unavailable
}

// refusal reads the answers that mean that Azure is busy, and puts what it read back.
func refusal(answer *http.Response) error {
	if answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	copied := *answer
	copied.Body = io.NopCloser(bytes.NewReader(body))
	e, ok := errors.AsType[*azcore.ResponseError](runtime.NewResponseError(&copied))
	if !ok {
		return nil
	}
	if c := classifyAnswer(e); isTrouble(c) && c.RetryAfter <= soon {
		return errBusy
	}
	return nil
}
