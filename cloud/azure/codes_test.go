package azure

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud"
)

// refused is what Resource Manager says in an answer of its usual form.
func refused(code, message string) string {
	return `{"error":{"code":"` + code + `","message":"` + strings.ReplaceAll(message, `"`, `\"`) + `"}}`
}

// The texts of refusals, as Azure's documentation of errors quotes them; names are ours.
const (
	saysInUse     = "Subnet nodes is in use by /subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/nic/ipConfigurations/primary and cannot be deleted."
	saysNoSize    = "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: Standard_D4s_v5' is currently not available in location 'eastus'."
	saysNoRoom    = "Allocation failed. We do not have sufficient capacity for the requested VM size in this region."
	saysNoZone    = "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone."
	saysCores     = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. Additional details - Current Limit: 10, Current Usage: 8, Additional Required: 4."
	saysAttached  = "Disk d is attached to VM /subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/m."
	saysMayNot    = "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Network/virtualNetworks/write' over scope '/subscriptions/s/resourceGroups/g' or the scope is invalid."
	saysMayNotUse = "The client 'c' with object id 'o' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope '/subscriptions/s'; however, it does not have permission to perform " +
		"the following action(s) 'Microsoft.Network/networkInterfaces/join/action' on the linked scope(s) '/subscriptions/s/nic' (respectively) or the linked scope(s) are invalid."
	saysGoing    = "The resource group 'g' is in deprovisioning state and cannot perform this operation."
	saysOther    = "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: https://management.azure.com/x."
	saysPolicy   = "Resource 'ip' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"No public addresses\"}}]'."
	saysNoSpace  = "The subscription is not registered to use namespace 'Microsoft.Compute'. See https://aka.ms/rps-not-found for how to register subscriptions."
	saysNotGood  = "The access token is invalid."
	saysTooMany  = "The request is being throttled as the limit has been reached for operation type - Write_ObservationWindow_00:01:00."
	saysDown     = "The server is temporarily unavailable."
	saysLocked   = "The scope '/subscriptions/s/resourceGroups/g' cannot perform delete operation because following scope(s) are locked: '/subscriptions/s/resourceGroups/g'. Please remove the lock and try again."
	saysExpired  = "AADSTS7000222: The provided client secret keys for app 'c' are expired. Visit the Azure portal to create new keys for your app. Trace ID: t Correlation ID: i Timestamp: 2026-11-22 10:00:00Z"
	saysNoSecret = "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app 'c'.\\r\\nTrace ID: t"
)

// TestCodes holds each refusal that a user may meet against the class that the engine acts by, and against words that say
// what to do.
func TestCodes(t *testing.T) {
	for _, c := range []struct {
		code, says string
		status     int
		class      cloud.Class
		todo       string // of the message
		action     string
		after      string // the header
	}{
		{"InUseSubnetCannotBeDeleted", saysInUse, 400, cloud.Conflict, "is in use by", "", ""},
		{"SkuNotAvailable", saysNoSize, 409, cloud.Capacity, "Ask for another size", "", ""},
		{"AllocationFailed", saysNoRoom, 409, cloud.Capacity, "another region", "", ""},
		{"ZonalAllocationFailed", saysNoZone, 409, cloud.Capacity, "'skyweld plan' names what the region has", "", ""},
		{"OperationNotAllowed", saysCores, 409, cloud.QuotaExceeded, "Limits are raised at https://portal.azure.com/", "", ""},
		{"OperationNotAllowed", saysAttached, 409, cloud.Conflict, "is attached to VM", "", ""},
		{"QuotaExceeded", saysCores, 400, cloud.QuotaExceeded, "Limits are raised at https://portal.azure.com/", "", ""},
		{"PublicIPCountLimitReached", "Cannot create more than 10 public IP addresses for this subscription in this region.", 400, cloud.QuotaExceeded, "Limits are raised at", "", ""},
		{"AuthorizationFailed", saysMayNot, 403, cloud.Denied, "does not have authorization", "Microsoft.Network/virtualNetworks/write", ""},
		{"LinkedAuthorizationFailed", saysMayNotUse, 403, cloud.Denied, "does not have permission", "Microsoft.Network/networkInterfaces/join/action", ""},
		{"ResourceGroupBeingDeleted", saysGoing, 409, cloud.Conflict, "Wait until it is gone", "", ""},
		{"AnotherOperationInProgress", saysOther, 429, cloud.Conflict, "Wait until that is done", "", "10"},
		{"RequestDisallowedByPolicy", saysPolicy, 403, cloud.Denied, "No public addresses", "", ""},
		{"RequestDisallowedByPolicy", saysPolicy, 403, cloud.Denied, "have it exempt Skyweld's resource groups", "", ""},
		{"MissingSubscriptionRegistration", saysNoSpace, 409, cloud.Denied, "az provider register --namespace Microsoft.Compute", "", ""},
		{"ScopeLocked", saysLocked, 409, cloud.Conflict, "'az lock list' shows it", "", ""},
		{"InvalidAuthenticationToken", saysNotGood, 401, cloud.Denied, "the credentials are not valid", "", ""},
		{"TooManyRequests", saysTooMany, 429, cloud.Throttled, "throttled", "", "7"},
		{"SomethingNew", saysTooMany, 429, cloud.Throttled, "throttled", "", "7"},
		{"OperationNotAllowed", "The server rejected the request because too many requests have been received for this subscription.", 429, cloud.Throttled, "too many requests", "", "30"},
		{"ServerTimeout", saysDown, 503, cloud.Unavailable, "temporarily unavailable", "", "11"},
		{"SomethingNew", saysDown, 503, cloud.Unavailable, "temporarily unavailable", "", "11"},
	} {
		for form, err := range map[string]error{
			"an answer":          answered(c.status, refused(c.code, c.says), "Retry-After", c.after),
			"a failed operation": answered(200, `{"status":"Failed",`+refused(c.code, c.says)[1:], "Retry-After", c.after),
		} {
			if form != "an answer" && c.status != 400 && c.status != 409 {
				continue // those of the way in are never an operation's
			}
			e := classify(err)
			want := time.Duration(0)
			if c.after != "" {
				want = map[string]time.Duration{"7": 7 * time.Second, "10": 10 * time.Second, "11": 11 * time.Second, "30": 30 * time.Second}[c.after]
			}
			if e.Class != c.class || e.Code != c.code || !strings.Contains(e.Message, c.todo) || e.Action != c.action || e.RetryAfter != want {
				t.Errorf("%s in %s: class %s, action %q, after %s: %q; want %s, %q, %s, with %q", c.code, form, e.Class, e.Action, e.RetryAfter, e.Message, c.class, c.action, want, c.todo)
			}
			if e.Credentials != (c.status == http.StatusUnauthorized) {
				t.Errorf("%s: about credentials: %v", c.code, e.Credentials)
			}
		}
	}
}

// TestRefusedLogins does so for what the login service says.
func TestRefusedLogins(t *testing.T) {
	for _, c := range []struct{ code, says, todo string }{
		{"AADSTS7000222", saysExpired, "Make another secret with 'az ad app credential reset'"},
		{"AADSTS7000215", saysNoSecret, "Take the secret's value, not its id"},
		{"AADSTS700016", "AADSTS700016: Application with identifier 'c' was not found in the directory 'd'.", "client id and tenant"},
		{"AADSTS90002", "AADSTS90002: Tenant 'd' not found.", "Check the account's tenant."},
	} {
		resp := &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":"invalid_client","error_description":"` + c.says + `"}`))}
		err := failed("check the azure subscription s", &loginError{err: &azidentity.AuthenticationFailedError{RawResponse: resp}})
		e, ok := errors.AsType[*cloud.Error](err)
		if !ok || e.Class != cloud.Denied || !e.Credentials || e.Code != c.code || !strings.Contains(e.Error(), c.todo) {
			t.Errorf("%s: %+v, want %q", c.code, err, c.todo)
		}
		if strings.Contains(e.Error(), "Trace") || strings.Contains(e.Error(), "Timestamp") {
			t.Errorf("%s: what nobody can use is shown: %v", c.code, e)
		}
	}
}

// TestRetryAfter reads how long to wait in all forms.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		want   time.Duration
	}{
		{http.Header{"Retry-After": {"17"}}, 17 * time.Second},
		{http.Header{"Retry-After": {"1"}, "X-Ms-Retry-After-Ms": {"250"}}, 250 * time.Millisecond},
		{http.Header{"Retry-After": {"1"}, "Retry-After-Ms": {"20"}}, 20 * time.Millisecond},
		{http.Header{"Retry-After": {"-1"}}, 0},
		{http.Header{"Retry-After": {"999999"}}, time.Hour},
		{http.Header{"Retry-After": {"Sun, 22 Nov 2026 10:00:30 GMT"}, "Date": {"Sun, 22 Nov 2026 10:00:00 GMT"}}, 30 * time.Second},
		{http.Header{"Retry-After": {"soon"}}, 0},
		{http.Header{}, 0},
	} {
		if got := retryAfter(c.header); got != c.want {
			t.Errorf("%v: %s, want %s", c.header, got, c.want)
		}
	}
	if got := asksFor(&http.Response{Header: http.Header{}}); got >= 0 {
		t.Errorf("an answer that asks for nothing: %s", got)
	}
	if got := asksFor(&http.Response{Header: http.Header{"Retry-After": {"0"}}}); got != shortestPause {
		t.Errorf("an answer that asks for no pause: %s", got)
	}
}
