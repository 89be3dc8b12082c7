package gcp

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

// codes gives the reasons in answers ("resourceNotReady") and the codes in operations ("RESOURCE_NOT_READY") their class,
// both written in small letters without underscores. They are those of Compute Engine's documentation of errors and of
// Google's global domain of API errors; what isn't here is judged by the HTTP status.
var codes = map[string]cloud.Class{
	"notfound":                 cloud.NotFound,
	"resourcenotfound":         cloud.NotFound,
	"externalresourcenotfound": cloud.NotFound,

	"alreadyexists":            cloud.AlreadyExists,
	"resourcealreadyexists":    cloud.AlreadyExists,
	"duplicate":                cloud.AlreadyExists,
	"ipinusebyanotherresource": cloud.AlreadyExists,

	"resourceinusebyanotherresource": cloud.Conflict,
	"resourceinuse":                  cloud.Conflict,
	"resourcenotready":               cloud.Conflict,
	"conditionnotmet":                cloud.Conflict,
	"operationinprogress":            cloud.Conflict,
	"operationcanceledbyuser":        cloud.Conflict,

	"forbidden":               cloud.Denied,
	"autherror":               cloud.Denied,
	"permissionserror":        cloud.Denied,
	"permissiondenied":        cloud.Denied,
	"insufficientpermissions": cloud.Denied,
	"accessnotconfigured":     cloud.Denied,
	"servicedisabled":         cloud.Denied,
	"accountdisabled":         cloud.Denied,
	"billingdisabled":         cloud.Denied,
	"billingnotenabled":       cloud.Denied,

	"quotaexceeded": cloud.QuotaExceeded,
	"limitexceeded": cloud.QuotaExceeded,

	"ratelimitexceeded":                 cloud.Throttled,
	"userratelimitexceeded":             cloud.Throttled,
	"concurrentoperationsquotaexceeded": cloud.Throttled,
	"resourceoperationrateexceeded":     cloud.Throttled,
	"toomanyrequests":                   cloud.Throttled,

	"zoneresourcepoolexhausted":            cloud.Capacity,
	"zoneresourcepoolexhaustedwithdetails": cloud.Capacity,
	"resourcepoolexhausted":                cloud.Capacity,
	"stockout":                             cloud.Capacity,
	"ipspaceexhausted":                     cloud.Capacity,
	"ipspaceexhaustedwithdetails":          cloud.Capacity,

	"invalid":              cloud.Invalid,
	"invalidparameter":     cloud.Invalid,
	"invalidfieldvalue":    cloud.Invalid,
	"invalidusage":         cloud.Invalid,
	"invalidresourceusage": cloud.Invalid,
	"unsupportedoperation": cloud.Invalid,
	"notimplemented":       cloud.Invalid,

	"internalerror":      cloud.Unavailable,
	"backenderror":       cloud.Unavailable,
	"serviceunavailable": cloud.Unavailable,
	"servicetimeout":     cloud.Unavailable,
}

// classOfCode judges a code and, where that says nothing, the HTTP status (0 when unknown).
func classOfCode(code string, status int) cloud.Class {
	if class, ok := codes[strings.ToLower(strings.ReplaceAll(code, "_", ""))]; ok {
		return class
	}
	return cloud.ClassOfStatus(status)
}

// classify turns any error of the SDK into one with a class; Op is left to the caller.
func classify(err error) *cloud.Error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		return classifyAnswer(e)
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return classifyToken(e)
	}
	return cloud.Unanswered(err)
}

func classifyAnswer(e *googleapi.Error) *cloud.Error {
	out := &cloud.Error{Message: e.Message, RetryAfter: cloud.RetryAfter(e.Header), Err: e}
	if len(e.Errors) > 0 {
		out.Code = e.Errors[0].Reason
		if out.Message == "" {
			out.Message = e.Errors[0].Message
		}
	}
	if out.Message == "" {
		out.Message = "the answer was " + strconv.Itoa(e.Code) + " " + http.StatusText(e.Code)
	}
	out.Class = classOfCode(out.Code, e.Code)
	if out.Class == cloud.Denied {
		if found := namedPermission.FindStringSubmatch(out.Message); found != nil {
			out.Action = found[1]
		}
		if e.Code == http.StatusUnauthorized {
			out.Credentials, out.Message = true, "the credentials are not valid: "+out.Message
		}
	}
	if out.Class == cloud.Invalid && strings.Contains(out.Message, addressInUse) {
		out.Class = cloud.Conflict
	}
	return out
}

// namedPermission finds the permission in a refusal: "Required 'compute.instances.create' permission for 'projects/…'".
var namedPermission = regexp.MustCompile(`'(compute\.[A-Za-z]+\.[A-Za-z]+)' permission`)

// addressInUse is in the refusal of an external address that another machine has. Its reason, plain "invalid", is that of
// requests which can never succeed, and only the text tells them apart.
const addressInUse = "in-use and would result in a conflict"

// classifyToken judges a refusal of the token endpoint: RFC 6749 has it answer 400 to credentials that aren't good.
func classifyToken(e *oauth2.RetrieveError) *cloud.Error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(e.Body, &body) != nil {
		body.Error, body.Description = e.ErrorCode, e.ErrorDescription
	}
	out := &cloud.Error{Class: cloud.Denied, Credentials: true, Code: body.Error, Message: "the credentials were refused: " + body.Description}
	if body.Description == "" {
		out.Message = "the credentials were refused"
	}
	if e.Response == nil {
		return out
	}
	out.RetryAfter = cloud.RetryAfter(e.Response.Header)
	switch status := e.Response.StatusCode; {
	case status == http.StatusTooManyRequests:
		out.Class, out.Credentials, out.Message = cloud.Throttled, false, "too many requests for access tokens"
	case status >= 500:
		out.Class, out.Credentials, out.Message = cloud.Unavailable, false, "the token endpoint answered "+strconv.Itoa(status)+" "+http.StatusText(status)
	}
	return out
}

// operationError is how an operation failed, nil when it didn't.
func operationError(op *compute.Operation) error {
	if op.Error == nil || len(op.Error.Errors) == 0 {
		if op.HttpErrorStatusCode >= 400 {
			return &cloud.Error{Class: classOfCode("", int(op.HttpErrorStatusCode)), Message: strings.ToLower(op.HttpErrorMessage)}
		}
		return nil
	}
	first := op.Error.Errors[0]
	out := &cloud.Error{Class: classOfCode(first.Code, int(op.HttpErrorStatusCode)), Code: first.Code}
	var messages []string
	for _, e := range op.Error.Errors {
		if e.Message != "" {
			messages = append(messages, e.Message)
		}
	}
	out.Message = strings.Join(messages, "; ")
	return out
}

// failed says what was being done into an error; nil stays nil.
func failed(op string, err error) error { return cloud.Classify(classify).Failed(op, err) }

func isClass(err error, class cloud.Class) bool { return cloud.Classify(classify).Is(err, class) }

// unlessGone takes it for success that something is not there.
func unlessGone(err error) error { return cloud.Classify(classify).UnlessGone(err) }
