package gcp

import (
	"errors"
	"net/http"

	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

// busy says of an answer whether Google throttles its caller or is in trouble.
func busy(answer *http.Response) (bool, error) {
	if answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode < 500 {
		return false, nil
	}
	copied, err := cloud.Peek(answer)
	if err != nil {
		return false, err
	}
	e, ok := errors.AsType[*googleapi.Error](googleapi.CheckResponse(copied))
	if !ok {
		return false, nil
	}
	c := classifyAnswer(e).Class
	return c == cloud.Throttled || c == cloud.Unavailable, nil
}
