package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

func refusal(status int, message string, header http.Header) error {
	request := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/v2/x"}, Header: http.Header{"Authorization": {"Bearer dop_v1_secret"}}}
	return fmt.Errorf("do: %w", &godo.ErrorResponse{
		Response: &http.Response{StatusCode: status, Header: header, Request: request}, Message: message, RequestID: "r-1",
	})
}

// TestClasses has the words that DigitalOcean's own clients' users quote, and those of its documentation.
func TestClasses(t *testing.T) {
	for _, test := range []struct {
		status  int
		message string
		class   cloud.Class
	}{
		{401, "Unable to authenticate you", cloud.Denied},
		{403, "You are not authorized to perform this operation", cloud.Denied},
		{404, "The resource you were accessing could not be found.", cloud.NotFound},
		{409, "Can not delete VPC with members", cloud.Conflict},
		{403, "Can not delete VPC with members", cloud.Conflict},
		{403, "Can not delete default VPC", cloud.Conflict},
		{422, "creating this/these droplet(s) will exceed your droplet limit", cloud.QuotaExceeded},
		{422, "You have reached your reserved IP limit", cloud.QuotaExceeded},
		{422, "Droplet already has a pending event.", cloud.Conflict},
		{422, "The Droplet already has a reserved IP assigned", cloud.Conflict},
		{409, "duplicate name", cloud.AlreadyExists},
		{422, "tag name already exists", cloud.AlreadyExists},
		{422, "tag web does not exist", cloud.NotFound},
		{422, "This range/size overlaps with another VPC network in your account", cloud.Invalid},
		{422, "Size is not available in this region.", cloud.Capacity},
		{422, "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)", cloud.Invalid},
		{400, "bad", cloud.Invalid},
		{429, "API Rate limit exceeded.", cloud.Throttled},
		{500, "Server was unable to give you a response.", cloud.Unavailable},
		{503, "", cloud.Unavailable},
	} {
		e, ok := errors.AsType[*cloud.Error](failed("create droplet do-node", refusal(test.status, test.message, nil)))
		if !ok || e.Class != test.class {
			t.Errorf("%d %q: class %s, want %s", test.status, test.message, e.Class, test.class)
		}
		if e.Code == "" || !strings.HasPrefix(e.Error(), "create droplet do-node: ") || !strings.Contains(e.Error(), "r-1") {
			t.Errorf("%d %q is shown as %q", test.status, test.message, e)
		}
		if strings.Contains(fmt.Sprintf("%+v %#v", e, e), "dop_v1") {
			t.Errorf("%d %q: the token can be seen", test.status, test.message)
		}
		if e.Credentials != (test.status == 401) {
			t.Errorf("%d %q: credentials %v", test.status, test.message, e.Credentials)
		}
	}
}

// TestMissingScope finds which one it is.
func TestMissingScope(t *testing.T) {
	e := classify(refusal(403, "You are missing the required permission droplet:create.", nil))
	if e.Class != cloud.Denied || e.Action != "droplet:create" || e.Credentials {
		t.Errorf("%+v", e)
	}
}

// TestForeignAnswer doesn't show the page of somebody on the way.
func TestForeignAnswer(t *testing.T) {
	e := classify(refusal(502, "<html><body>"+strings.Repeat("x", 5000), nil))
	if e.Class != cloud.Unavailable || len(e.Error()) > 200 || strings.Contains(e.Error(), "<html>") {
		t.Errorf("%v", e)
	}
}

func TestWay(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://api.example/v2/x", Err: fmt.Errorf("dial tcp: %w", syscall.ECONNREFUSED)}
	if e := classify(refused); e.Class != cloud.Unavailable || !strings.Contains(e.Message, "nothing listens at api.example") {
		t.Errorf("%v", e)
	}
	if e := classify(fmt.Errorf("get: %w", context.Canceled)); e.Class != cloud.Unknown || !errors.Is(e, context.Canceled) {
		t.Errorf("%v", e)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"none":    {http.Header{}, 0},
		"seconds": {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		"hour":    {limits(0, now.Add(25*time.Minute)), 25 * time.Minute},
		"minute":  {limits(4000, now.Add(25*time.Minute)), burstPause},
		"past":    {limits(0, now.Add(-time.Minute)), time.Second},
		"far":     {limits(0, now.Add(100*time.Hour)), time.Hour},
	} {
		test.header.Set("Date", now.Format(http.TimeFormat))
		if got := retryAfter(test.header, time.Unix(0, 0)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	h := limits(0, time.Now().Add(10*time.Minute))
	if e := classify(refusal(429, "Too many requests", h)); e.RetryAfter < 9*time.Minute || e.RetryAfter > 10*time.Minute {
		t.Errorf("an error asks to wait %v", e.RetryAfter)
	}
}

func limits(left int, reset time.Time) http.Header {
	h := http.Header{}
	h.Set("RateLimit-Limit", "5000")
	h.Set("RateLimit-Remaining", strconv.Itoa(left))
	h.Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	return h
}
