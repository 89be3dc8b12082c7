package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// asIs classifies what is classified already, and anything else as gone.
func asIs(err error) *cloud.Error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e
	}
	return &cloud.Error{Class: cloud.NotFound, Err: err}
}

func TestClassify(t *testing.T) {
	c, gone, denied := cloud.Classify(asIs), errors.New("gone"), &cloud.Error{Class: cloud.Denied, Op: "list", Message: "no"}
	for _, test := range []struct {
		got  error
		want string
	}{
		{c.Failed("delete vpc", nil), "<nil>"},
		{c.Failed("delete vpc", gone), "delete vpc: gone"},
		{c.Failed("delete vpc", fmt.Errorf("now: %w", denied)), "list: no"}, // what was being done when it happened
		{c.During("look at it", nil), "<nil>"},
		{c.During("look at it", gone), "look at it: gone"},
		{c.During("look at it", denied), "list: look at it: no"},
		{c.During("look at it", &cloud.Error{Class: cloud.Denied}), "look at it"},
		{c.UnlessGone(nil), "<nil>"},
		{c.UnlessGone(gone), "<nil>"},
		{c.UnlessGone(denied), "list: no"},
	} {
		if diff := cmp.Diff(test.want, fmt.Sprint(test.got)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if denied.Message != "no" {
		t.Errorf("the error itself was changed: %v", denied)
	}
	if c.Is(nil, cloud.NotFound) || !c.Is(gone, cloud.NotFound) || c.Is(denied, cloud.NotFound) {
		t.Error("an error is of another class than its own")
	}
}

func TestClassOfStatus(t *testing.T) {
	for status, want := range map[int]cloud.Class{
		0: cloud.Unknown, 200: cloud.Unknown, 302: cloud.Unknown, 400: cloud.Invalid, 401: cloud.Denied, 403: cloud.Denied, 404: cloud.NotFound,
		409: cloud.Conflict, 410: cloud.NotFound, 412: cloud.Conflict, 422: cloud.Invalid, 429: cloud.Throttled, 500: cloud.Unavailable,
		501: cloud.Invalid, 503: cloud.Unavailable,
	} {
		if got := cloud.ClassOfStatus(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

func TestUnanswered(t *testing.T) {
	of := func(err error) error { return &url.Error{Op: "Get", URL: "https://cloud.example/x", Err: err} }
	for _, c := range []struct {
		err   error
		class cloud.Class
		words bool
	}{
		{of(syscall.ECONNREFUSED), cloud.Unavailable, true},
		{of(io.ErrUnexpectedEOF), cloud.Unavailable, true},
		{of(errors.New("http: server gave HTTP response to HTTPS client")), cloud.Invalid, true},
		{of(context.Canceled), cloud.Unknown, false},
		{of(errors.New("something else")), cloud.Unknown, false},
		{errors.New("something else"), cloud.Unknown, false},
	} {
		e := cloud.Unanswered(c.err)
		if e.Class != c.class || (e.Message != "") != c.words || !errors.Is(e, c.err) {
			t.Errorf("%v: class %s, %q; want %s", c.err, e.Class, e.Message, c.class)
		}
	}
}
