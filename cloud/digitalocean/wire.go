package digitalocean

import (
	"errors"
	"net/http"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// wire is the way to DigitalOcean, for who paces the calls on it.
func wire(next http.RoundTripper) cloud.Wire {
	return cloud.Wire{RoundTripper: next, Scope: scopeOf, Judge: judge}
}

// DigitalOcean takes 250 calls a minute of a token, whatever they are about; the hour's share is the budget's business.
const rate, burst = 4, 120

// scopeOf is the same for all: DigitalOcean counts what a token does, and nothing else.
func scopeOf(*http.Request) cloud.Scope {
	return cloud.Scope{Region: cloud.Global, Family: "api", Rate: rate, Burst: burst}
}

// judge classifies an answer as the SDK's errors are.
func judge(answer *http.Response) (*cloud.Error, error) {
	copied, err := cloud.Peek(answer)
	if err != nil {
		return nil, err
	}
	e, ok := errors.AsType[*godo.ErrorResponse](godo.CheckResponse(copied))
	if !ok {
		return nil, nil
	}
	return classifyAnswer(e), nil
}
