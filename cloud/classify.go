package cloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Classify turns any error of a cloud's SDK into one with a class. Each driver has one; its methods are what drivers do
// with errors.
type Classify func(error) *Error

// Failed says what was being done into an error; nil stays nil.
func (c Classify) Failed(op string, err error) error {
	if err == nil {
		return nil
	}
	e := *c(err)
	if e.Op == "" {
		e.Op = op
	}
	return &e
}

// During puts a step into an error's message: what was being done within the operation.
func (c Classify) During(step string, err error) error {
	if err == nil {
		return nil
	}
	e := *c(err)
	switch {
	case e.Message != "":
		e.Message = step + ": " + e.Message
	case e.Err != nil:
		e.Message = step + ": " + e.Err.Error()
	default:
		e.Message = step
	}
	return &e
}

// Is says whether an error is of a class; nil is of none.
func (c Classify) Is(err error, class Class) bool { return err != nil && c(err).Class == class }

// UnlessGone takes it for success that something is not there.
func (c Classify) UnlessGone(err error) error {
	if c.Is(err, NotFound) {
		return nil
	}
	return err
}

// ClassOfStatus is what an HTTP status alone says; 0 is one that isn't known.
func ClassOfStatus(status int) Class {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return Conflict
	case http.StatusTooManyRequests:
		return Throttled
	case http.StatusNotImplemented:
		return Invalid
	}
	switch {
	case status >= 500:
		return Unavailable
	case status >= 400:
		return Invalid
	}
	return Unknown
}

// Unanswered judges the error of a call that the cloud didn't answer: the way there failed, which WayError has words for,
// or nothing is known.
func Unanswered(err error) *Error {
	out := &Error{Class: Unknown, Err: err}
	if errors.Is(err, context.Canceled) {
		return out
	}
	text, again, ok := WayError(err)
	switch {
	case ok && again:
		out.Class, out.Message = Unavailable, text
	case ok:
		out.Class, out.Message = Invalid, text
	case isNetwork(err):
		out.Class = Unavailable
	}
	return out
}

// isNetwork says whether a call failed on its way. The HTTP client's own wrapper calls everything a network error, so
// what it wraps is looked at.
func isNetwork(err error) bool {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
		if u.Timeout() {
			return true
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) // a connection that ends in the middle of an answer
}
