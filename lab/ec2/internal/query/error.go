package query

import (
	"fmt"
	"net/http"
)

// Error is an error in EC2's own terms.
type Error struct {
	Code, Message string
	Status        int
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf returns an error with the status that EC2 gives the code: 400 unless it is one of the few others.
func Errorf(code, format string, args ...any) error {
	status := http.StatusBadRequest
	switch code {
	case "AuthFailure":
		status = http.StatusUnauthorized
	case "UnauthorizedOperation", "OptInRequired":
		status = http.StatusForbidden
	case "DryRunOperation":
		status = http.StatusPreconditionFailed
	case "RequestEntityTooLarge":
		status = http.StatusRequestEntityTooLarge
	case "InternalError":
		status = http.StatusInternalServerError
	case "RequestLimitExceeded", "Unavailable":
		status = http.StatusServiceUnavailable
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: status}
}

// Missing says which parameter is not there.
func Missing(name string) error {
	return Errorf("MissingParameter", "The request must contain the parameter %s", name)
}

// Invalid is EC2's usual answer to a value it can't take.
func Invalid(value any, parameter, why string) error {
	return Errorf("InvalidParameterValue", "Value (%v) for parameter %s is invalid. %s", value, parameter, why)
}
