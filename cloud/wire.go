package cloud

import (
	"io"
	"net/http"
)

// Scope is what a cloud counts calls by, beside the account: who calls too often in one is not held up in another.
type Scope struct {
	// Region is the cloud's own; "global" for what has none.
	Region string
	// Family names calls that are counted together, in the cloud's words: "ec2 read", "Microsoft.Compute write".
	Family string
	// Rate is how many calls a second are made there, and Burst how many at once after a pause: below what the cloud
	// allows everybody. Zero leaves it to the caller.
	Rate  float64
	Burst int
}

// Global is the region of what has none.
const Global = "global"

// Wire is the transport that a driver's constructor gives to be wrapped: the way to its cloud, with what the driver knows
// of the requests and answers on it, for who paces them.
type Wire struct {
	http.RoundTripper
	// Scope says what a request counts to. It leaves the body as it is.
	Scope func(*http.Request) Scope
	// Judge says what an answer tells of the cloud and the account themselves: that the caller is throttled, that the
	// cloud is in trouble, that nobody is let in with the credentials. Of any other answer it may give nil, or an error
	// of another class. The answer is as if unread afterwards.
	Judge func(*http.Response) (*Error, error)
}

// Verdict is Judge of answers that may be about it, else nil: all others say that the cloud is well.
func (w Wire) Verdict(answer *http.Response) (*Error, error) {
	if answer.StatusCode < http.StatusBadRequest || w.Judge == nil {
		return nil, nil
	}
	return w.Judge(answer)
}

// Busy makes of a judge what RepeatReads asks: whether an answer says that the caller is throttled, or the cloud in trouble.
func Busy(judge func(*http.Response) (*Error, error)) func(*http.Response) (bool, error) {
	return func(answer *http.Response) (bool, error) {
		e, err := Wire{Judge: judge}.Verdict(answer)
		return e != nil && (e.Class == Throttled || e.Class == Unavailable), err
	}
}

// PeekBody is what an answer holds, a MiB of it at most; the answer itself is as if unread.
func PeekBody(answer *http.Response) ([]byte, error) {
	copied, err := Peek(answer)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(copied.Body)
}

// Reads says whether a request only reads.
func Reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// NotSent is a transport's answer to a request that it doesn't send: the body is closed, as it must be, and why is the error.
func NotSent(r *http.Request, why error) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, why
}
