package arm

import (
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error answer in Azure's form.
type apiError struct {
	status  int
	code    string
	message string
	target  string
	details []errorDetail
	// gateway marks an answer of the front end, before any resource provider has seen the request.
	gateway bool
}

type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// errorBody is the form in answers and in operations.
type errorBody struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Target  string        `json:"target,omitempty"`
	Details []errorDetail `json:"details,omitzero"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

func (e *apiError) body() *errorBody {
	return &errorBody{Code: e.code, Message: e.message, Target: e.target, Details: e.details}
}

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// resourceNotFound is the front end's answer to a name that no resource of the group has.
func resourceNotFound(id string) *apiError {
	p := parseID(id)
	return &apiError{status: http.StatusNotFound, code: "ResourceNotFound", gateway: true, message: fmt.Sprintf(
		"The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", p.typedName(), p.group)}
}

func groupNotFound(name string) *apiError {
	return &apiError{status: http.StatusNotFound, code: "ResourceGroupNotFound", gateway: true, message: fmt.Sprintf("Resource group '%s' could not be found.", name)}
}

// childNotFound is the network provider's answer to a name that no part of a resource has.
func childNotFound(id string) *apiError {
	return refuse(http.StatusNotFound, "NotFound", "Resource %s not found.", id)
}

// parentNotFound says that the resource isn't there whose part is to be written.
func parentNotFound(id string) *apiError {
	p := parseID(id)
	parent := p.names[:len(p.names)-1]
	return &apiError{status: http.StatusNotFound, code: "ParentResourceNotFound", gateway: true, message: fmt.Sprintf(
		"Failed to perform 'write' on resource(s) of type '%s', because the parent resource '%s' could not be found.", strings.ToLower(p.typ()), p.namespace+"/"+strings.Join(parent, "/"))}
}

// invalidReference says that a resource named in a request isn't there.
func invalidReference(named, by string) *apiError {
	return refuse(http.StatusBadRequest, "InvalidResourceReference",
		"Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", named, by)
}

func invalidParameter(target, format string, args ...any) *apiError {
	e := refuse(http.StatusBadRequest, "InvalidParameter", format, args...)
	e.target = target
	return e
}

// notReady says that a resource named in a request is being changed. Azure says so as if of too many requests, and says what
// it is about in the details only.
func notReady(named, state, by string) *apiError {
	e := refuse(http.StatusTooManyRequests, "RetryableError", "A retryable error occurred.")
	e.details = []errorDetail{{"ReferencedResourceNotProvisioned", fmt.Sprintf(
		"Cannot proceed with operation because resource %s used by resource %s is not in Succeeded state. Resource is in %s state.", named, by, state)}}
	return e
}

// unsupported refuses a part of the real API that the lab doesn't have: better than to accept it and do nothing.
func unsupported(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "OperationNotSupported", format, args...)
}

func internalError(err error) *apiError {
	return refuse(http.StatusInternalServerError, "InternalServerError", "An error occurred. (%v)", err)
}
