package gce

import (
	"fmt"
	"net/http"
)

// apiError is an error answer in Google's form.
type apiError struct {
	code    int
	reason  string
	message string
	// status is the canonical name of newer front ends; empty where Compute Engine itself answers.
	status string
	// location and locationType say which part of the request is meant.
	location, locationType string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.code, e.reason, e.message) }

// body is the JSON form, as the recorded answers of the API show it.
func (e *apiError) body() map[string]any {
	item := map[string]any{"message": e.message, "domain": "global", "reason": e.reason}
	if e.location != "" {
		item["location"], item["locationType"] = e.location, e.locationType
	}
	out := map[string]any{"code": e.code, "message": e.message, "errors": []any{item}}
	if e.status != "" {
		out["status"] = e.status
	}
	return map[string]any{"error": out}
}

func notFound(path string) *apiError {
	return &apiError{code: http.StatusNotFound, reason: "notFound", message: fmt.Sprintf("The resource '%s' was not found", path)}
}

func alreadyExists(path string) *apiError {
	return &apiError{code: http.StatusConflict, reason: "alreadyExists", message: fmt.Sprintf("The resource '%s' already exists", path)}
}

func notReady(path string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "resourceNotReady", message: fmt.Sprintf("The resource '%s' is not ready", path)}
}

// inUse says that a resource (of a kind given in words) cannot go while another uses it.
func inUse(kind, path, by string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "resourceInUseByAnotherResource", message: fmt.Sprintf("The %s resource '%s' is already being used by '%s'", kind, path, by)}
}

func invalidField(field, value, why string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "invalid", message: fmt.Sprintf("Invalid value for field '%s': '%s'. %s", field, value, why)}
}

func required(field string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "required", message: fmt.Sprintf("Required field '%s' not specified", field)}
}

func invalidUsage(why string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "invalidResourceUsage", message: fmt.Sprintf("Invalid resource usage: '%s'.", why)}
}

func conditionNotMet(why string) *apiError {
	return &apiError{code: http.StatusPreconditionFailed, reason: "conditionNotMet", message: why, location: "If-Match", locationType: "header"}
}

func badRequest(format string, args ...any) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "badRequest", message: fmt.Sprintf(format, args...)}
}

// unsupportedField refuses a feature of the real API that the lab doesn't have: better than to accept it and do nothing.
func unsupportedField(field string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "unsupportedOperation", message: fmt.Sprintf("The field '%s' is not supported with this value.", field)}
}

func unsupportedMethod(id string) *apiError {
	return &apiError{
		code: http.StatusNotImplemented, reason: "notImplemented", status: "UNIMPLEMENTED",
		message: fmt.Sprintf("Operation is not implemented, or supported, or enabled: compute.%s", id),
	}
}

// opError is a failure that shows in the operation, not in the answer to the request.
type opError struct {
	code    string // in capitals, like RESOURCE_IN_USE_BY_ANOTHER_RESOURCE
	http    int
	message string
}

// asOpError turns an answer's error into the operation's, for checks that run when the operation does.
func (e *apiError) asOpError() *opError {
	codes := map[string]string{
		"resourceInUseByAnotherResource": "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
		"resourceNotReady":               "RESOURCE_NOT_READY",
		"notFound":                       "RESOURCE_NOT_FOUND",
		"quotaExceeded":                  "QUOTA_EXCEEDED",
		"conditionNotMet":                "CONDITION_NOT_MET",
	}
	code, ok := codes[e.reason]
	if !ok {
		code = "INVALID_USAGE"
	}
	return &opError{code: code, http: e.code, message: e.message}
}

func internalError(err error) *opError {
	return &opError{code: "INTERNAL_ERROR", http: http.StatusInternalServerError, message: fmt.Sprintf("Internal error. Please try again or contact Google Support. (%v)", err)}
}
