package digitalocean

import (
	"fmt"
	"net/http"
)

// apiError is an error answer in DigitalOcean's form: an id that goes with the HTTP status, and a message.
type apiError struct {
	status  int
	id      string
	message string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.id, e.message) }

// Texts are the API's own where its users quote them; recordings of it by telleztec
// (https://github.com/telleztec/aiform/tree/main/probes/transcripts) have those about what isn't there.
var (
	errUnauthorized = &apiError{http.StatusUnauthorized, "unauthorized", "Unable to authenticate you."}
	errNotFound     = &apiError{http.StatusNotFound, "not_found", "The resource you were accessing could not be found."}
	errTooMany      = &apiError{http.StatusTooManyRequests, "too_many_requests", "API Rate limit exceeded."}
	errServer       = &apiError{http.StatusInternalServerError, "server_error", "Unexpected server-side error"}
	// errScope is all that somebody is told whose token lacks a scope: not which
	// (https://github.com/digitalocean/doctl/issues/1635).
	errScope = forbidden("You are not authorized to perform this operation")
	// errReservedLimit ends as the API's own; how that begins is quoted by nobody.
	errReservedLimit = unprocessable("creating this reserved IP will exceed your Reserved IP limit")
	errPending       = unprocessable("Droplet already has a pending event.")
)

// unprocessable says that a request can be read and not be carried out.
func unprocessable(format string, args ...any) *apiError {
	return &apiError{http.StatusUnprocessableEntity, "unprocessable_entity", fmt.Sprintf(format, args...)}
}

// conflict says that something else is in the way.
func conflict(format string, args ...any) *apiError {
	return &apiError{http.StatusConflict, "conflict", fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) *apiError {
	return &apiError{http.StatusForbidden, "forbidden", fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}
