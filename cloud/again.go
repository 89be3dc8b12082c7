package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// readTries is how often one page of a list is asked for while the cloud is too busy to give it. To look at a site takes
// a dozen lists: starting all of them again for one that was throttled would never end in a storm.
const readTries = 6

// ReadAgain calls read, which changes nothing, until it is answered or has failed in another way than by the cloud being
// busy, a few times, with growing pauses of up to two seconds.
func ReadAgain(ctx context.Context, busy func(error) bool, read func() error) error {
	pauses := Backoff{First: 100 * time.Millisecond, Most: 2 * time.Second}
	for try := 1; ; try++ {
		err := read()
		if err == nil || try == readTries || !busy(err) {
			return err
		}
		if Pause(ctx, pauses.Next(0)) != nil {
			return err
		}
	}
}

// Pause waits, or until the context ends, whose error it gives then.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RepeatReads has GET requests repeated, as ReadAgain does it, while busy says so of their answers. All other requests are
// tried once.
func RepeatReads(next http.RoundTripper, busy func(*http.Response) (bool, error)) http.RoundTripper {
	return repeatReads{next, busy}
}

type repeatReads struct {
	next http.RoundTripper
	busy func(*http.Response) (bool, error)
}

var errBusy = errors.New("busy")

func (t repeatReads) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		return t.next.RoundTrip(r)
	}
	isBusy := func(err error) bool { return errors.Is(err, errBusy) }
	var answer *http.Response
	err := ReadAgain(r.Context(), isBusy, func() (err error) {
		if answer, err = t.next.RoundTrip(r); err != nil {
			return err
		}
		busy, err := t.busy(answer)
		if busy && err == nil {
			return errBusy
		}
		return err
	})
	if isBusy(err) {
		err = nil // the answer tells
	}
	return answer, err
}

// Peek reads the body of an answer, a MiB of it at most, and gives a copy to look at that has the same; the answer itself is as
// if unread.
func Peek(answer *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	copied := *answer
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return &copied, nil
}

// RetryAfter is how long the headers of an answer ask to wait, an hour at most; 0 when they don't.
func RetryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	// The answer's own date keeps our clock out of it.
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), time.Hour)
}
