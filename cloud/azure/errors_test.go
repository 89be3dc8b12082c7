package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud"
)

func TestClassOfCode(t *testing.T) {
	for class, list := range map[cloud.Class]string{
		cloud.NotFound:      "ResourceNotFound ResourceGroupNotFound NotFound ParentResourceNotFound InvalidResourceReference",
		cloud.AlreadyExists: "PrivateIPAddressInUse PropertyChangeNotAllowed InvalidResourceGroupLocation",
		cloud.Conflict: "InUseSubnetCannotBeDeleted InUseNetworkSecurityGroupCannotBeDeleted PublicIPAddressCannotBeDeleted NicInUse NicReservedForAnotherVm " +
			"AnotherOperationInProgress ResourceGroupBeingDeleted ScopeLocked OperationNotAllowed InUseRouteTableCannotBeDeleted PreconditionFailed",
		cloud.Denied:        "AuthorizationFailed LinkedAuthorizationFailed InvalidAuthenticationToken SubscriptionNotFound MissingSubscriptionRegistration RequestDisallowedByPolicy",
		cloud.QuotaExceeded: "QuotaExceeded PublicIPCountLimitReached NetworkSecurityGroupCountLimitReached",
		cloud.Capacity:      "SkuNotAvailable AllocationFailed ZonalAllocationFailed OverconstrainedZonalAllocationRequest",
		cloud.Throttled:     "TooManyRequests SubscriptionRequestsThrottled ResourceRequestsThrottled",
		cloud.Invalid:       "InvalidParameter InvalidRequestFormat BadRequest",
		cloud.Unavailable:   "InternalServerError ServerTimeout NetworkingInternalOperationError",
		cloud.Unknown:       "SomethingNeverSeen OSProvisioningTimedOut",
	} {
		for code := range strings.FieldsSeq(list) {
			if got := classOfCode(code, "", 0); got != class {
				t.Errorf("%s is %s, want %s", code, got, class)
			}
		}
	}
	for status, want := range map[int]cloud.Class{
		400: cloud.Invalid, 401: cloud.Denied, 403: cloud.Denied, 404: cloud.NotFound, 409: cloud.Conflict, 412: cloud.Conflict, 423: cloud.Conflict,
		429: cloud.Throttled, 500: cloud.Unavailable, 501: cloud.Invalid, 503: cloud.Unavailable, 0: cloud.Unknown, 200: cloud.Unknown,
	} {
		if got := classOfCode("SomethingNeverSeen", "", status); got != want {
			t.Errorf("status %d is %s, want %s", status, got, want)
		}
	}
	if got := classOfCode("OperationNotAllowed", "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.", 409); got != cloud.QuotaExceeded {
		t.Errorf("a quota's OperationNotAllowed is %s", got)
	}
}

// answered is an error as the SDK makes it of an answer.
func answered(status int, body string, header ...string) error {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return runtime.NewResponseError(&http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))})
}

func TestWords(t *testing.T) {
	const denied = `{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action ` +
		`'Microsoft.Network/virtualNetworks/write' over scope '/subscriptions/s/resourceGroups/g' or the scope is invalid."}}`
	for _, c := range []struct {
		name   string
		err    error
		class  cloud.Class
		code   string
		want   string
		action string
		after  time.Duration
	}{
		{"missing permission", answered(403, denied), cloud.Denied, "AuthorizationFailed", "does not have authorization", "Microsoft.Network/virtualNetworks/write", 0},
		{"expired token", answered(401, `{"error":{"code":"ExpiredAuthenticationToken","message":"The access token expiry UTC time is earlier."}}`), cloud.Denied, "ExpiredAuthenticationToken", "the credentials are not valid", "", 0},
		{"throttled", answered(429, `{"error":{"code":"TooManyRequests","message":"Try again later."}}`, "Retry-After", "17"), cloud.Throttled, "TooManyRequests", "Try again later.", "", 17 * time.Second},
		{"unregistered", answered(409, `{"error":{"code":"MissingSubscriptionRegistration","message":"The subscription is not registered to use namespace 'Microsoft.Network'."}}`), cloud.Denied, "MissingSubscriptionRegistration", "az provider register --namespace Microsoft.Network", "", 0},
		{"failed operation", answered(200, `{"status":"Failed","error":{"code":"ZonalAllocationFailed","message":"Allocation failed."}}`), cloud.Capacity, "ZonalAllocationFailed", "Allocation failed.", "", 0},
		{"wrapped", answered(409, `{"error":{"code":"ResourceDeploymentFailure","message":"x","details":[{"code":"SkuNotAvailable","message":"The requested VM size is not available."}]}}`), cloud.Capacity, "SkuNotAvailable", "not available", "", 0},
		{"details", answered(400, `{"error":{"code":"InUseSubnetCannotBeDeleted","message":"Subnet nodes is in use.","details":[{"code":"x","message":"by nic1"}]}}`), cloud.Conflict, "InUseSubnetCannotBeDeleted", "by nic1", "", 0},
		{"reserved", answered(400, `{"error":{"code":"NicReservedForAnotherVm","message":"Nic is reserved."}}`), cloud.Conflict, "NicReservedForAnotherVm", "reserved", "", 3 * time.Minute},
		{"reserved for a while", answered(400, `{"error":{"code":"NicReservedForAnotherVm","message":"Nic(s) in request is reserved for another Virtual Machine for 7 seconds. Please provide another nic(s) or retry after 7 seconds."}}`),
			cloud.Conflict, "NicReservedForAnotherVm", "another nic", "", 7 * time.Second},
		{"no body", answered(503, ""), cloud.Unavailable, "", "the answer was 503 Service Unavailable", "", 0},
		{"nobody listens", &loginError{err: &url.Error{Op: "Post", URL: "https://login.example/t", Err: fmt.Errorf("dial tcp: %w", syscall.ECONNREFUSED)}}, cloud.Unavailable, "", "nothing listens at login.example", "", 0},
	} {
		e, ok := errors.AsType[*cloud.Error](failed("create network n", c.err))
		if !ok || e.Class != c.class || e.Code != c.code || e.Action != c.action || e.RetryAfter != c.after || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%s: class %s, code %s, action %q, after %s: %v; want %q", c.name, e.Class, e.Code, e.Action, e.RetryAfter, e, c.want)
		}
		if strings.Contains(e.Error(), "-----") || strings.Contains(e.Error(), "dial tcp") {
			t.Errorf("%s: the SDK's words are shown: %v", c.name, e)
		}
	}
	if failed("x", nil) != nil {
		t.Error("no error became one")
	}
}

func TestLoginErrors(t *testing.T) {
	resp := func(status int, body string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	}
	wrong := `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"}`
	for status, want := range map[int]cloud.Class{401: cloud.Denied, 400: cloud.Denied, 429: cloud.Throttled, 503: cloud.Unavailable} {
		e := classify(&loginError{err: &azidentity.AuthenticationFailedError{RawResponse: resp(status, wrong)}})
		if e.Class != want || e.Credentials != (want == cloud.Denied) || strings.Contains(e.Message, "Trace") {
			t.Errorf("status %d: %+v", status, e)
		}
	}
	if e := classify(&loginError{err: context.Canceled}); !errors.Is(e, context.Canceled) {
		t.Errorf("a cancelled call: %+v", e)
	}
	if e := classify(&loginError{err: errors.New("run az login")}); e.Class != cloud.Denied || !e.Credentials {
		t.Errorf("nobody is logged in: %+v", e)
	}
}

// TestDiscreet takes user data out of errors, also as Azure gets it.
func TestDiscreet(t *testing.T) {
	w := &work{userData: []byte("#cloud-config\nssh_keys: {ed25519_private: AAAAC3NzaC1lZDI1NTE5}\n")}
	for _, text := range []string{string(w.userData), customData(w.userData)} {
		err := w.discreet(answered(400, `{"error":{"code":"InvalidParameter","message":"bad: `+strings.ReplaceAll(text, "\n", " ")+`"}}`))
		if strings.Contains(err.Error(), "AAAAC3") || strings.Contains(err.Error(), customData(w.userData)[:32]) || !isClass(err, cloud.Invalid) {
			t.Errorf("%v", err)
		}
	}
	if err := w.discreet(answered(400, `{"error":{"code":"InvalidParameter","message":"bad size"}}`)); !strings.Contains(err.Error(), "bad size") && !strings.Contains(classify(err).Message, "bad size") {
		t.Errorf("%v", err)
	}
}
