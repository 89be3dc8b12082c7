package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud"
)

// codes gives the codes in answers and in failed operations their class, in small letters. They are those of the
// documentation of Resource Manager, Compute and Network and of recorded answers; what isn't here is judged by its ending
// and by the HTTP status.
var codes = map[string]cloud.Class{
	"notfound":                     cloud.NotFound,
	"resourcenotfound":             cloud.NotFound,
	"resourcegroupnotfound":        cloud.NotFound,
	"parentresourcenotfound":       cloud.NotFound,
	"invalidresourcereference":     cloud.NotFound,
	"referencedresourcenotfound":   cloud.NotFound,
	"networksecuritygroupnotfound": cloud.NotFound,
	"subnetnotfound":               cloud.NotFound,

	"privateipaddressinuse":        cloud.AlreadyExists,
	"privateipaddressisallocated":  cloud.AlreadyExists,
	"invalidresourcegrouplocation": cloud.AlreadyExists,
	"invalidresourcelocation":      cloud.AlreadyExists,
	"propertychangenotallowed":     cloud.AlreadyExists,
	"resourcealreadyexists":        cloud.AlreadyExists,
	"conflictinguserinput":         cloud.AlreadyExists,

	"inusesubnetcannotbedeleted":                 cloud.Conflict,
	"inusenetworksecuritygroupcannotbedeleted":   cloud.Conflict,
	"inuseprefixcannotbedeleted":                 cloud.Conflict,
	"publicipaddresscannotbedeleted":             cloud.Conflict,
	"publicipaddressinuse":                       cloud.Conflict,
	"nicinuse":                                   cloud.Conflict,
	"nicreservedforanothervm":                    cloud.Conflict,
	"networkinterfaceinuse":                      cloud.Conflict,
	"vnetinuse":                                  cloud.Conflict,
	"anotheroperationinprogress":                 cloud.Conflict,
	"operationpreempted":                         cloud.Conflict,
	"retryableerror":                             cloud.Conflict,
	"referencedresourcenotprovisioned":           cloud.Conflict,
	"resourcegroupbeingdeleted":                  cloud.Conflict,
	"resourcegroupdeletionblocked":               cloud.Conflict,
	"resourcegroupdeletiontimeout":               cloud.Conflict,
	"resourcesbeingmoved":                        cloud.Conflict,
	"scopelocked":                                cloud.Conflict,
	"conflict":                                   cloud.Conflict,
	"preconditionfailed":                         cloud.Conflict,
	"attachdiskwhilebeingdetached":               cloud.Conflict,
	"operationnotallowed":                        cloud.Conflict, // but for quotas and throttling
	"canceledandsupersededduetoanotheroperation": cloud.Conflict,
	"deploymentactive":                           cloud.Conflict,

	"authorizationfailed":               cloud.Denied,
	"linkedauthorizationfailed":         cloud.Denied,
	"authenticationfailed":              cloud.Denied,
	"invalidauthenticationtoken":        cloud.Denied,
	"invalidauthenticationtokentenant":  cloud.Denied,
	"expiredauthenticationtoken":        cloud.Denied,
	"subscriptionnotfound":              cloud.Denied,
	"invalidsubscriptionid":             cloud.Denied,
	"subscriptionnotregistered":         cloud.Denied,
	"missingsubscriptionregistration":   cloud.Denied,
	"readonlydisabledsubscription":      cloud.Denied,
	"disallowedoperation":               cloud.Denied,
	"requestdisallowedbypolicy":         cloud.Denied,
	"denyassignmentauthorizationfailed": cloud.Denied,

	"quotaexceeded":         cloud.QuotaExceeded,
	"resourcequotaexceeded": cloud.QuotaExceeded,

	"skunotavailable":                       cloud.Capacity,
	"allocationfailed":                      cloud.Capacity,
	"zonalallocationfailed":                 cloud.Capacity,
	"overconstrainedallocationrequest":      cloud.Capacity,
	"overconstrainedzonalallocationrequest": cloud.Capacity,
	"subnetisfull":                          cloud.Capacity,

	"toomanyrequests":               cloud.Throttled,
	"subscriptionrequeststhrottled": cloud.Throttled,
	"resourcerequeststhrottled":     cloud.Throttled,
	"requestthrottled":              cloud.Throttled,
	"throttled":                     cloud.Throttled,

	"invalidparameter":                    cloud.Invalid,
	"invalidrequestformat":                cloud.Invalid,
	"invalidrequestcontent":               cloud.Invalid,
	"badrequest":                          cloud.Invalid,
	"netcfginvalidsubnet":                 cloud.Invalid,
	"availabilityzonenotsupported":        cloud.Invalid,
	"invalidapiversionparameter":          cloud.Invalid,
	"noregisteredproviderfound":           cloud.Invalid,
	"locationnotavailableforresourcetype": cloud.Invalid,
	"imagenotfound":                       cloud.Invalid,
	"platformimagenotfound":               cloud.Invalid,

	"internalservererror":              cloud.Unavailable,
	"internalexecutionerror":           cloud.Unavailable,
	"internaloperationerror":           cloud.Unavailable,
	"networkinginternaloperationerror": cloud.Unavailable,
	"servertimeout":                    cloud.Unavailable,
	"serviceunavailable":               cloud.Unavailable,
	"serverbusy":                       cloud.Unavailable,
	"gatewaytimeout":                   cloud.Unavailable,

	// The machine is there and may run all the same: only its own agent hasn't said so.
	"osprovisioningtimedout":      cloud.Unknown,
	"osprovisioninginternalerror": cloud.Unknown,
	"vmstarttimedout":             cloud.Unknown,
}

// endings give codes that come in many forms their class ("PublicIPCountLimitReached").
var endings = []struct {
	ending string
	class  cloud.Class
}{
	{"limitreached", cloud.QuotaExceeded},
	{"limitexceeded", cloud.QuotaExceeded},
	{"quotaexceeded", cloud.QuotaExceeded},
	{"cannotbedeleted", cloud.Conflict},
	{"throttled", cloud.Throttled},
	{"notfound", cloud.NotFound},
}

// classOfCode judges a code and, where that says nothing, the HTTP status (0 when unknown).
func classOfCode(code, message string, status int) cloud.Class {
	low := strings.ToLower(code)
	if low == "operationnotallowed" { // Compute's answer to nearly everything
		switch {
		case status == http.StatusTooManyRequests:
			return cloud.Throttled
		case strings.Contains(strings.ToLower(message), "quota"):
			return cloud.QuotaExceeded
		}
	}
	if class, ok := codes[low]; ok {
		return class
	}
	for _, e := range endings {
		if strings.HasSuffix(low, e.ending) {
			return e.class
		}
	}
	if status == http.StatusLocked {
		return cloud.Conflict
	}
	return cloud.ClassOfStatus(status)
}

// classify turns any error of the SDK into one with a class; Op is left to the caller.
func classify(err error) *cloud.Error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return classifyAnswer(e)
	}
	if e, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return needing(classifyLogin(e), err)
	}
	out := cloud.Unanswered(err)
	// Neither the way nor an answer: the credential itself, as when nobody is logged in.
	if _, login := errors.AsType[*loginError](err); login && out.Class == cloud.Unknown && !errors.Is(err, context.Canceled) {
		out.Class, out.Credentials = cloud.Denied, true
		return needing(out, err)
	}
	return out
}

// answer is what Resource Manager says about an error: itself, or within what a failed operation looks like.
type answer struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Details []answer `json:"details"`
}

// bodyOf reads what an answer says is wrong.
func bodyOf(resp *http.Response) answer {
	if resp == nil || resp.Body == nil {
		return answer{}
	}
	text, err := runtime.Payload(resp)
	if err != nil {
		return answer{}
	}
	var whole struct {
		answer
		Error *answer `json:"error"`
	}
	if json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &whole) != nil {
		return answer{}
	}
	if whole.Error != nil {
		return *whole.Error
	}
	return whole.answer
}

// wrappers are codes that say only that something is wrong, and leave what to their details.
var wrappers = []string{"deploymentfailed", "multipleerrorsoccurred", "resourcedeploymentfailure", "resourceoperationfailure", "invalidtemplatedeployment"}

func classifyAnswer(e *azcore.ResponseError) *cloud.Error {
	body := bodyOf(e.RawResponse)
	for contains(wrappers, body.Code) && len(body.Details) > 0 {
		body = body.Details[0]
	}
	out := &cloud.Error{Code: e.ErrorCode, Message: body.Message, Err: withoutBody(e)}
	if body.Code != "" {
		out.Code = body.Code
	}
	if e.RawResponse != nil {
		out.RetryAfter = retryAfter(e.RawResponse.Header)
	}
	for _, d := range body.Details {
		if d.Message != "" && !strings.Contains(out.Message, d.Message) {
			out.Message += "; " + d.Message
		}
	}
	if out.Message == "" {
		out.Message = "the answer was " + strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
	}
	out.Class = classOfCode(out.Code, out.Message, e.StatusCode)
	explain(out, e.StatusCode)
	return out
}

func contains(list []string, code string) bool {
	for _, c := range list {
		if strings.EqualFold(c, code) {
			return true
		}
	}
	return false
}

// withoutBody keeps of the SDK's error what is no secret: its text holds the whole answer, and that may repeat a request.
func withoutBody(e *azcore.ResponseError) error {
	return &answeredError{status: e.StatusCode, code: e.ErrorCode}
}

type answeredError struct {
	status int
	code   string
}

func (e *answeredError) Error() string { return strconv.Itoa(e.status) + " " + e.code }

// retryAfter is how long an answer asks to wait. Some of Azure's services say it in milliseconds beside, and all its
// clients believe those first.
func retryAfter(h http.Header) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.Atoi(h.Get(name)); err == nil && ms > 0 {
			return min(time.Duration(ms)*time.Millisecond, time.Hour)
		}
	}
	return cloud.RetryAfter(h)
}

// failed says what was being done into an error; nil stays nil.
func failed(op string, err error) error { return cloud.Classify(classify).Failed(op, err) }

func isClass(err error, class cloud.Class) bool { return cloud.Classify(classify).Is(err, class) }

// unlessGone takes it for success that something is not there.
func unlessGone(err error) error { return cloud.Classify(classify).UnlessGone(err) }
