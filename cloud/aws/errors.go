package aws

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/skyweld/skyweld/cloud"
)

// codes gives EC2's and STS' error codes their class. The codes are those of "Error codes for the Amazon EC2 API" and of
// the common errors of query APIs; what isn't here is judged by rules over the code's form and the HTTP status.
var codes = map[string]cloud.Class{
	"RequestLimitExceeded":   cloud.Throttled,
	"Throttling":             cloud.Throttled,
	"ThrottlingException":    cloud.Throttled,
	"ThrottledException":     cloud.Throttled,
	"RequestThrottled":       cloud.Throttled,
	"TooManyRequests":        cloud.Throttled,
	"EC2ThrottledException":  cloud.Throttled,
	"BandwidthLimitExceeded": cloud.Throttled,
	"ConcurrentTagAccess":    cloud.Throttled,

	"DependencyViolation":                     cloud.Conflict,
	"ConcurrentCreateOptimisticLockException": cloud.Conflict,
	"IncorrectState":                          cloud.Conflict,
	"IncorrectInstanceState":                  cloud.Conflict,
	"IncorrectModificationState":              cloud.Conflict,
	"OperationNotPermitted":                   cloud.Conflict, // termination protection; a managed resource
	"Resource.AlreadyAssociated":              cloud.Conflict,
	"Resource.AlreadyAttached":                cloud.Conflict,
	"ResourceAlreadyAssociated":               cloud.Conflict,
	"InvalidInstanceID":                       cloud.Conflict, // without ".NotFound": the instance is only being started
	"CannotDelete":                            cloud.Invalid,  // a default group
	"VolumeInUse":                             cloud.Conflict,
	"InvalidGroup.Reserved":                   cloud.Invalid,
	"InvalidSubnet.Conflict":                  cloud.Conflict,
	"InvalidSubnet.Range":                     cloud.Invalid,
	"InvalidVpc.Range":                        cloud.Invalid,

	"InvalidGroup.Duplicate":      cloud.AlreadyExists,
	"InvalidPermission.Duplicate": cloud.AlreadyExists,
	"RouteAlreadyExists":          cloud.AlreadyExists,
	"InvalidKeyPair.Duplicate":    cloud.AlreadyExists,

	"InvalidAMIID.Unavailable":            cloud.NotFound,
	"Gateway.NotAttached":                 cloud.NotFound,
	"InvalidAssociationID.NotFound":       cloud.NotFound,
	"InvalidSecurityGroupRuleId.NotFound": cloud.NotFound,

	"UnauthorizedOperation":       cloud.Denied,
	"AuthFailure":                 cloud.Denied,
	"AccessDenied":                cloud.Denied,
	"AccessDeniedException":       cloud.Denied,
	"Blocked":                     cloud.Denied,
	"ExpiredToken":                cloud.Denied,
	"ExpiredTokenException":       cloud.Denied,
	"RequestExpired":              cloud.Denied,
	"InvalidClientTokenId":        cloud.Denied,
	"SignatureDoesNotMatch":       cloud.Denied,
	"IncompleteSignature":         cloud.Denied,
	"MissingAuthenticationToken":  cloud.Denied,
	"UnrecognizedClientException": cloud.Denied,
	"OptInRequired":               cloud.Denied,
	"PendingVerification":         cloud.Denied,
	"InvalidAccessKeyId":          cloud.Denied,
	"ActiveVpcPeeringConnectionPerVpcLimitExceeded": cloud.QuotaExceeded,

	"ResourceCountExceeded":    cloud.QuotaExceeded,
	"LimitPriceExceeded":       cloud.QuotaExceeded,
	"MaxIOPSLimitExceeded":     cloud.QuotaExceeded,
	"FreeTierRestrictionError": cloud.QuotaExceeded,

	"InsufficientInstanceCapacity":         cloud.Capacity,
	"InsufficientAddressCapacity":          cloud.Capacity,
	"UnfulfillableCapacity":                cloud.Capacity,
	"InsufficientCapacity":                 cloud.Capacity,
	"InsufficientVolumeCapacity":           cloud.Capacity,
	"InsufficientHostCapacity":             cloud.Capacity,
	"InsufficientCapacityOnHost":           cloud.Capacity,
	"InsufficientReservedInstanceCapacity": cloud.Capacity,
	"InsufficientFreeAddressesInSubnet":    cloud.Capacity,
	"Unsupported":                          cloud.Invalid, // the type isn't there in this zone: another may have it, this never will

	"InternalError":           cloud.Unavailable,
	"InternalFailure":         cloud.Unavailable,
	"ServiceUnavailable":      cloud.Unavailable,
	"Unavailable":             cloud.Unavailable,
	"RequestTimeout":          cloud.Unavailable,
	"RequestTimeoutException": cloud.Unavailable,
	"Server.InternalError":    cloud.Unavailable,
	"Server.Unavailable":      cloud.Unavailable,

	"IdempotentParameterMismatch":  cloud.Invalid,
	"IdempotentInstanceTerminated": cloud.Invalid,
	"MissingParameter":             cloud.Invalid,
	"UnknownParameter":             cloud.Invalid,
	"UnsupportedOperation":         cloud.Invalid,
	"ValidationError":              cloud.Invalid,
	"MalformedQueryString":         cloud.Invalid,
	"AddressLimitExceeded":         cloud.QuotaExceeded,
}

// classOfCode judges a code and, where that says nothing, the HTTP status (0 when unknown).
func classOfCode(code string, status int) cloud.Class {
	if class, ok := codes[code]; ok {
		return class
	}
	switch {
	case strings.HasSuffix(code, ".NotFound") || strings.HasSuffix(code, "NotFoundException"):
		return cloud.NotFound
	case strings.HasSuffix(code, ".InUse") || strings.HasSuffix(code, "InUse"):
		return cloud.Conflict
	case strings.HasSuffix(code, ".Duplicate") || strings.HasSuffix(code, "AlreadyExists"):
		return cloud.AlreadyExists
	case strings.HasSuffix(code, "LimitExceeded") || strings.HasSuffix(code, "LimitReached"):
		return cloud.QuotaExceeded
	case strings.HasPrefix(code, "Insufficient"):
		return cloud.Capacity
	case strings.HasPrefix(code, "Invalid") || strings.HasSuffix(code, ".Malformed"):
		return cloud.Invalid
	}
	switch {
	case status == http.StatusTooManyRequests:
		return cloud.Throttled
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return cloud.Denied
	case status >= 500:
		return cloud.Unavailable
	case status >= 400:
		return cloud.Invalid
	}
	return cloud.Unknown
}

// classify turns any error of the SDK into one with a class; Op is left to the caller.
func classify(err error) *cloud.Error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e
	}
	out := &answer{cloud.Error{Class: cloud.Unknown, Err: err}}
	status := 0
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = re.HTTPStatusCode()
		out.RetryAfter = retryAfter(re)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		out.Code, out.Message = api.ErrorCode(), api.ErrorMessage()
		out.Class = classOfCode(out.Code, status)
		if out.Class == cloud.Denied {
			out.denied(err)
		}
		return &out.Error
	}
	if errors.Is(err, context.Canceled) {
		return &out.Error
	}
	if text, again, ok := cloud.WayError(err); ok && status < 300 {
		out.Class, out.Message = cloud.Unavailable, text
		if !again {
			out.Class = cloud.Invalid
		}
		return &out.Error
	}
	switch {
	case isNetwork(err):
		out.Class, out.Message = cloud.Unavailable, plain(err)
	case status >= 300:
		out.Class = classOfCode("", status)
		out.Message = "the answer was " + strconv.Itoa(status) + " " + http.StatusText(status) + ", and not in the form of Amazon's: check the account's endpoint and proxies"
	default:
		out.Message = plain(err)
	}
	return &out.Error
}

// plain is what an error says without what the SDK puts around it, after the action it was about.
func plain(err error) string {
	text := err
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && re.Err != nil {
		text = re.Err
	}
	if action := actionOf(err); action != "" {
		if op, ok := errors.AsType[*smithy.OperationError](text); ok {
			text = op.Err
		}
		return action + ": " + text.Error()
	}
	return text.Error()
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return true
	}
	_, ok := errors.AsType[*smithyhttp.RequestSendError](err)
	return ok
}

// answer is an error that is being put into words.
type answer struct{ cloud.Error }

// denied tells credentials that aren't good from a permission that is missing, which it names, and leaves out the long
// encoded part that only sts:DecodeAuthorizationMessage can read.
func (a *answer) denied(err error) {
	a.Message, _, _ = strings.Cut(a.Message, " Encoded authorization failure message")
	switch a.Code {
	case "ExpiredToken", "ExpiredTokenException":
		a.Credentials, a.Message = true, "the credentials have expired: "+a.Message
	case "RequestExpired":
		a.Credentials, a.Message = true, a.Message+" (check this machine's clock)"
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken":
		a.Credentials, a.Message = true, "the credentials are not valid: "+a.Message
	case "AuthFailure":
		// The same code refuses what belongs to others.
		if a.Credentials = strings.Contains(a.Message, "redentials"); a.Credentials {
			a.Message = "the credentials are not valid: " + a.Message
		}
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
		if a.Action = actionOf(err); a.Action != "" && !strings.Contains(a.Message, a.Action) {
			a.Message = a.Action + ": " + a.Message
		}
	}
}

// actionOf names an error's operation as policies do, empty when the SDK doesn't say.
func actionOf(err error) string {
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(op.Service(), " ", "")) + ":" + op.Operation()
}

func retryAfter(re *smithyhttp.ResponseError) time.Duration {
	if re.Response == nil || re.Response.Response == nil {
		return 0
	}
	seconds, err := strconv.Atoi(re.Response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// failed says what was being done into an error; nil stays nil.
func failed(op string, err error) error { return cloud.Classify(classify).Failed(op, err) }

// during puts a step into an error's message: what was being done within the operation.
func during(step string, err error) error { return cloud.Classify(classify).During(step, err) }

// unlessGone takes it for success that something is not there.
func unlessGone(err error) error { return cloud.Classify(classify).UnlessGone(err) }

// hasCode says whether an error has one of EC2's codes.
func hasCode(err error, want ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	for _, code := range want {
		if api.ErrorCode() == code {
			return true
		}
	}
	return false
}
