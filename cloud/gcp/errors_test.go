package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

func TestClassOfCode(t *testing.T) {
	for class, list := range map[cloud.Class]string{
		cloud.NotFound:      "notFound RESOURCE_NOT_FOUND",
		cloud.AlreadyExists: "alreadyExists RESOURCE_ALREADY_EXISTS IP_IN_USE_BY_ANOTHER_RESOURCE",
		cloud.Conflict: "resourceInUseByAnotherResource RESOURCE_IN_USE_BY_ANOTHER_RESOURCE resourceNotReady RESOURCE_NOT_READY " +
			"conditionNotMet CONDITION_NOT_MET",
		cloud.Denied:        "forbidden authError PERMISSIONS_ERROR accessNotConfigured",
		cloud.QuotaExceeded: "quotaExceeded QUOTA_EXCEEDED",
		cloud.Throttled:     "rateLimitExceeded RATE_LIMIT_EXCEEDED userRateLimitExceeded",
		cloud.Capacity:      "ZONE_RESOURCE_POOL_EXHAUSTED ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS IP_SPACE_EXHAUSTED",
		cloud.Invalid:       "invalid invalidParameter INVALID_FIELD_VALUE INVALID_USAGE invalidResourceUsage",
		cloud.Unavailable:   "internalError INTERNAL_ERROR backendError",
		cloud.Unknown:       "SOMETHING_NEVER_SEEN",
	} {
		for code := range strings.FieldsSeq(list) {
			if got := classOfCode(code, 0); got != class {
				t.Errorf("%s is %s, want %s", code, got, class)
			}
		}
	}
	for status, want := range map[int]cloud.Class{
		400: cloud.Invalid, 401: cloud.Denied, 403: cloud.Denied, 404: cloud.NotFound, 409: cloud.Conflict, 412: cloud.Conflict,
		429: cloud.Throttled, 500: cloud.Unavailable, 501: cloud.Invalid, 503: cloud.Unavailable, 0: cloud.Unknown,
	} {
		if got := classOfCode("required", status); got != want {
			t.Errorf("status %d is %s, want %s", status, got, want)
		}
	}
	if got := classOfCode("rateLimitExceeded", 403); got != cloud.Throttled {
		t.Errorf("the reason must win over the status: %s", got)
	}
}

func answered(status int, reason, message string, header http.Header) error {
	return &googleapi.Error{Code: status, Message: message, Header: header, Errors: []googleapi.ErrorItem{{Reason: reason, Message: message}}}
}

func TestFailed(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		class cloud.Class
		text  string
	}{
		{
			"permission", answered(403, "forbidden", "Required 'compute.networks.create' permission for 'projects/demo/global/networks/x'", nil),
			cloud.Denied, "create network a-network: Required 'compute.networks.create' permission for 'projects/demo/global/networks/x' (forbidden)",
		},
		{
			"address in use", answered(400, "invalid", "Invalid value for field 'natIP': '192.0.2.1'. Specified IP address is in-use and would result in a conflict.", nil),
			cloud.Conflict, "",
		},
		{"no reason", &googleapi.Error{Code: 502}, cloud.Unavailable, "create network a-network: the answer was 502 Bad Gateway"},
		{
			"operation", operationError(&compute.Operation{HttpErrorStatusCode: 403, Error: &compute.OperationError{Errors: []*compute.OperationErrorErrors{
				{Code: "QUOTA_EXCEEDED", Message: "Quota 'CPUS' exceeded. Limit: 24.0 in region us-east4."},
			}}}), cloud.QuotaExceeded, "create network a-network: Quota 'CPUS' exceeded. Limit: 24.0 in region us-east4. (QUOTA_EXCEEDED)",
		},
		{"operation without errors", operationError(&compute.Operation{HttpErrorStatusCode: 503, HttpErrorMessage: "SERVICE UNAVAILABLE"}), cloud.Unavailable, ""},
		{
			"credentials", &url.Error{Op: "Get", URL: "u", Err: fmt.Errorf("get an access token: %w", &oauth2.RetrieveError{
				Response: &http.Response{StatusCode: 400}, Body: []byte(`{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`),
			})}, cloud.Denied, "create network a-network: the credentials were refused: Invalid JWT Signature. (invalid_grant)",
		},
		{"token endpoint down", &oauth2.RetrieveError{Response: &http.Response{StatusCode: 503}}, cloud.Unavailable, ""},
		{"refused", &url.Error{Op: "Get", URL: "u", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, cloud.Unavailable, ""},
		{"broken off", &url.Error{Op: "Get", URL: "u", Err: io.ErrUnexpectedEOF}, cloud.Unavailable, ""},
		{"something else", &url.Error{Op: "Get", URL: "u", Err: errors.New("strange")}, cloud.Unknown, ""},
		{"canceled", context.Canceled, cloud.Unknown, ""},
		{"too late", context.DeadlineExceeded, cloud.Unavailable, ""},
	} {
		err := failed("create network a-network", test.err)
		if got := cloud.ClassOf(err); got != test.class {
			t.Errorf("%s: class %s, want %s", test.name, got, test.class)
		}
		if test.text != "" && err.Error() != test.text {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, err, test.text)
		}
	}
	if err := failed("x", context.Canceled); !errors.Is(err, context.Canceled) {
		t.Error("the cause is lost")
	}
	if failed("anything", nil) != nil {
		t.Error("no error became one")
	}
	if operationError(&compute.Operation{Status: "DONE"}) != nil {
		t.Error("an operation that went well failed")
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-3": 0, "99999": time.Hour, "soon": 0,
		"Sun, 22 Nov 2026 10:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 09:00:00 GMT": 0,
	} {
		h := http.Header{"Retry-After": {text}, "Date": {"Sun, 22 Nov 2026 10:00:00 GMT"}}
		if got := classify(answered(503, "backendError", "later", h)).RetryAfter; got != want {
			t.Errorf("%q means %s, want %s", text, got, want)
		}
	}
}

func TestDiscreet(t *testing.T) {
	w := &work{userData: []byte("#cloud-config\nssh_keys:\n  ed25519_private: |\n    b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n")}
	leak := answered(400, "invalid", "Invalid value for field 'metadata': 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ'", nil)
	err := failed("create instance x", w.discreet(leak))
	if strings.Contains(fmt.Sprintf("%v %+v", err, err), "b3Blbn") || cloud.ClassOf(err) != cloud.Invalid {
		t.Errorf("class %s: %v", cloud.ClassOf(err), err)
	}
	if e := errors.Unwrap(err); e != nil {
		t.Errorf("the answer is still wrapped: %v", e)
	}
	plain := answered(400, "invalid", "Invalid value for field 'zone'", nil)
	if !errors.Is(w.discreet(plain), plain) || w.discreet(nil) != nil {
		t.Error("an error without user data was changed")
	}
}
