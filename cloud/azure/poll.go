package azure

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/skyweld/skyweld/cloud"
)

// Pauses between looks at an operation whose answers don't say how long to wait.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	// shortestPause is taken where an answer asks for none at all.
	shortestPause = 20 * time.Millisecond
	// mostFailures is how many looks in a row may fail.
	mostFailures = 5
)

// await waits for the end of an operation that a call has begun, as its headers say: Azure-AsyncOperation, Location, or
// the resource itself, looking as often as Retry-After wants it; once at first, as much is done by then. It takes the call's own error, so that it can stand around the call.
//
// Nothing of an operation is kept over a restart of the engine: names are deterministic, and who begins again finds the
// resource itself with its provisioning state, and waits for what is being done to it (settled, leaving).
func await[T any](ctx context.Context, p *runtime.Poller[T], err error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	failures := 0
	for wait := firstPause; !p.Done(); wait = min(wait*3/2, lastPause) {
		resp, err := p.Poll(ctx)
		if err == nil && p.Done() {
			break
		}
		next := wait
		if asked := asksFor(resp); err == nil && asked >= 0 {
			next = asked
		}
		if err == nil {
			failures = 0
		} else {
			e := classify(err)
			if failures++; !isTrouble(e) || failures > mostFailures || ctx.Err() != nil {
				return none, lost(err)
			}
			next = max(next, e.RetryAfter) // the operation goes on while nobody can look at it
		}
		if err := cloud.Pause(ctx, next); err != nil {
			return none, err
		}
	}
	return p.Result(ctx)
}

// done is await for operations whose result is of no interest.
func done[T any](ctx context.Context, p *runtime.Poller[T], err error) error {
	_, err = await(ctx, p, err)
	return err
}

// asksFor is how long an answer asks to wait, negative when it doesn't.
func asksFor(resp *http.Response) time.Duration {
	if resp == nil || resp.Header.Get("Retry-After")+resp.Header.Get("Retry-After-Ms")+resp.Header.Get("X-Ms-Retry-After-Ms") == "" {
		return -1
	}
	return max(retryAfter(resp.Header), shortestPause)
}

// lost is the error of a look at an operation. That an operation isn't known says nothing about the resource: it must not
// be taken for the end of a deletion.
func lost(err error) error {
	if !isClass(err, cloud.NotFound) {
		return err
	}
	e := classify(err)
	return &cloud.Error{Class: cloud.Unknown, Code: e.Code, Message: fmt.Sprintf("the operation is not known any more: %s", e.Message)}
}
