package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Class is what an error means to the engine. It reacts to the class, never to a message.
type Class string

// The classes of errors.
const (
	Unknown       Class = "unknown"        // nothing is known: the call may or may not have had an effect
	NotFound      Class = "not-found"      // the thing, or one it refers to, isn't there (yet)
	AlreadyExists Class = "already-exists" // the name or address is taken
	Conflict      Class = "conflict"       // something else uses it, or it is being changed
	Denied        Class = "denied"         // credentials or permissions
	QuotaExceeded Class = "quota"          // the account's limit
	Capacity      Class = "capacity"       // the cloud has none of it left there now
	Throttled     Class = "throttled"      // too many calls
	Invalid       Class = "invalid"        // the request can never succeed as it is
	Unavailable   Class = "unavailable"    // the cloud or the way to it is down
)

// Error is an error of a cloud's API.
type Error struct {
	Class Class
	// Op says what was being done to which resource: "create vpc demo-vpc".
	Op string
	// Code is the cloud's own code: "DependencyViolation", "resourceInUseByAnotherResource".
	Code string
	// Message is for people. It holds no secret.
	Message string
	// Action is the cloud's own name of the permission that is missing, where it is known ("ec2:RunInstances").
	Action string
	// Credentials says that nobody is let in with the account's credentials: they are wrong, withdrawn or have expired.
	Credentials bool
	// NoRegion says that the account doesn't have the region it was about; of an answer as Wire.Judge sees it, that this may
	// be so, whatever it says.
	NoRegion bool
	// Held says of a conflict that it doesn't pass by itself: what is in the way is another's, or somebody wants it so.
	Held bool
	// Blockers are what is in the way, as far as it can be named.
	Blockers []Blocker
	// RetryAfter is how long the cloud asked to wait; zero when it didn't say.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	sep := ": "
	if e.Op == "" {
		sep = ""
	}
	msg := e.Message
	if msg == "" && e.Err != nil {
		msg = e.Err.Error()
	}
	if msg == "" {
		msg = string(e.Class)
	}
	b.WriteString(sep + msg)
	if e.Code != "" && !strings.Contains(msg, e.Code) {
		fmt.Fprintf(&b, " (%s)", e.Code)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of an error: that of the *Error in its chain, Unavailable for network errors and timeouts,
// else Unknown.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	return Unknown
}

// Retryable says whether the same call may succeed later without anybody doing something about it.
func (c Class) Retryable() bool {
	switch c {
	case Throttled, Unavailable, Conflict, NotFound, Unknown:
		return true
	}
	return false
}
