package digitalocean

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// codes are the ids that DigitalOcean's answers have beside their message. The SDK reads only the message; the id follows
// from the status.
var codes = map[int]string{
	http.StatusBadRequest:          "bad_request",
	http.StatusUnauthorized:        "unauthorized",
	http.StatusForbidden:           "forbidden",
	http.StatusNotFound:            "not_found",
	http.StatusConflict:            "conflict",
	http.StatusPreconditionFailed:  "precondition_failed",
	http.StatusUnprocessableEntity: "unprocessable_entity",
	http.StatusTooManyRequests:     "too_many_requests",
	http.StatusInternalServerError: "server_error",
	http.StatusServiceUnavailable:  "service_unavailable",
}

// said judges refusals by their words: DigitalOcean has one id, unprocessable_entity, for most of them. The words are in
// small letters; the first that fits counts.
var said = []struct {
	statuses []int
	words    *regexp.Regexp
	class    cloud.Class
}{
	{[]int{403, 409, 412, 422}, regexp.MustCompile(`vpc with members|vpc .*(has|still).* members|contains? .*member`), cloud.Conflict},
	{[]int{403, 409, 412, 422}, regexp.MustCompile(`default vpc`), cloud.Conflict},
	{[]int{403, 409, 412, 422}, regexp.MustCompile(`(exceed|reached|over|hit).*\blimit|\blimit (has been |is |was )?(exceeded|reached)|capacity limit`), cloud.QuotaExceeded},
	{[]int{403, 409, 412, 422}, regexp.MustCompile(`pending event|already (in progress|being)|is locked|is not (yet )?(active|ready)|processing another|currently (being|locked)`), cloud.Conflict},
	{[]int{403, 409, 412, 422}, regexp.MustCompile(`already (has|assigned|attached|in use)`), cloud.Conflict},
	{[]int{400, 409, 412, 422}, regexp.MustCompile(`(does|do) ?(not|n't) exist|(not|n't) (be )?found`), cloud.NotFound},
	{[]int{409, 422}, regexp.MustCompile(`(name|tag).*(already|taken|unique|exists?)|duplicate|already (exists|been taken|taken)`), cloud.AlreadyExists},
	{[]int{409, 422}, regexp.MustCompile(`overlaps?`), cloud.Invalid},
	{[]int{403, 409, 422}, regexp.MustCompile(`(size|region|droplets?).*(not available|unavailable|sold out|no capacity)|out of capacity`), cloud.Capacity},
}

func classOf(status int, message string) cloud.Class {
	message = strings.ToLower(message)
	for _, s := range said {
		for _, code := range s.statuses {
			if code == status && s.words.MatchString(message) {
				return s.class
			}
		}
	}
	return cloud.ClassOfStatus(status)
}

// classify turns any error of the SDK into one with a class; Op is left to the caller.
func classify(err error) *cloud.Error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*godo.ErrorResponse](err); ok {
		return classifyAnswer(e)
	}
	if e, ok := errors.AsType[*godo.ArgError](err); ok {
		return &cloud.Error{Class: cloud.Invalid, Message: e.Error(), Err: err}
	}
	return cloud.Unanswered(err)
}

// scope finds the scope in the refusal of a token that lacks it.
var scope = regexp.MustCompile(`\b[a-z_]+:(?:create|read|update|delete|admin|access_cluster|view_credentials)\b`)

// longestMessage is what is shown of an answer that isn't DigitalOcean's own, in bytes.
const longestMessage = 300

func classifyAnswer(e *godo.ErrorResponse) *cloud.Error {
	status, header := 0, http.Header{}
	if e.Response != nil {
		status, header = e.Response.StatusCode, e.Response.Header
	}
	out := &cloud.Error{Class: classOf(status, e.Message), Code: codes[status], Message: e.Message, Err: answered(e.Message)}
	if len(out.Message) > longestMessage || strings.HasPrefix(strings.TrimSpace(out.Message), "<") {
		out.Message = "the answer was " + strconv.Itoa(status) + " " + http.StatusText(status) + " and not DigitalOcean's own"
		out.Err = answered(out.Message)
	}
	if out.Message == "" {
		out.Message = "the answer was " + strconv.Itoa(status) + " " + http.StatusText(status)
	}
	if e.RequestID != "" {
		out.Message += " (request " + e.RequestID + ")"
	}
	switch out.Class {
	case cloud.Denied:
		out.Action = scope.FindString(e.Message)
		if status == http.StatusUnauthorized {
			out.Credentials, out.Message = true, "the token is not valid: "+out.Message
		}
	case cloud.Throttled, cloud.Unavailable:
		out.RetryAfter = retryAfter(header, time.Now())
	}
	return out
}

// answered is what DigitalOcean said. The SDK's own error isn't kept: it holds the answer with its request, and that the
// token.
type answered string

func (a answered) Error() string { return string(a) }

// burstPause is how long a call waits after the minute's share of calls is used up, which no header tells.
const burstPause = 20 * time.Second

// retryAfter is how long to wait as the headers have it: Retry-After, which comes after too many calls in a minute, or the
// time when the first call of the hour is forgotten.
func retryAfter(h http.Header, now time.Time) time.Duration {
	now = clockOf(h, now)
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return min(max(time.Duration(seconds)*time.Second, 0), time.Hour)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), time.Hour)
	}
	left, err := strconv.Atoi(h.Get("RateLimit-Remaining"))
	if err != nil {
		return 0
	}
	reset, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64)
	if left > 0 || err != nil {
		return burstPause
	}
	return min(max(time.Unix(reset, 0).Sub(now), time.Second), time.Hour)
}

// failed says what was being done into an error; nil stays nil.
func failed(op string, err error) error { return cloud.Classify(classify).Failed(op, err) }

// during says which part of something failed.
func during(what string, err error) error { return cloud.Classify(classify).During(what, err) }

func isClass(err error, class cloud.Class) bool { return cloud.Classify(classify).Is(err, class) }

// unlessGone takes it for success that something is not there.
func unlessGone(err error) error { return cloud.Classify(classify).UnlessGone(err) }
