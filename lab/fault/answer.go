package fault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"net/http"
	"time"
)

// mostBody is how much of a request is read to be sent twice, or told from another. No request of a cloud's API is longer.
const mostBody = 16 << 20

// recorder takes an answer down.
type recorder struct{ Answer }

func (a *recorder) Header() http.Header { return a.Answer.Header }

func (a *recorder) WriteHeader(status int) {
	if a.Status == 0 {
		a.Status = status
	}
}

func (a *recorder) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.Body = append(a.Body, b...)
	return len(b), nil
}

// record has a request answered, and takes the answer down.
func record(next http.Handler, r *http.Request) *Answer {
	a := &recorder{Answer{Header: http.Header{}}}
	next.ServeHTTP(a, r)
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	return &a.Answer
}

// give answers a request with what was taken down.
func (a *Answer) give(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.Header)
	w.Header().Del("Content-Length") // it may have changed
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that is gone is no fault
}

// buffered reads a request's body, and leaves one in its place.
func buffered(r *http.Request) ([]byte, bool) {
	if r.Body == nil {
		return nil, true
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostBody+1))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	return body, err == nil && len(body) <= mostBody
}

// twice carries a request out twice, as happens when something on the way repeats it; the client sees the second answer.
func twice(next http.Handler, w http.ResponseWriter, r *http.Request) bool {
	body, ok := buffered(r)
	if !ok {
		return false
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	first := r.WithContext(context.WithoutCancel(r.Context()))
	next.ServeHTTP(&lost{header: http.Header{}}, first)
	next.ServeHTTP(w, again)
	return true
}

// old is an answer to a list, and when it was given first.
type old struct {
	*Answer
	at time.Time
}

// mostOld bounds how many answers a rule keeps.
const mostOld = 1000

// serveOld answers a list as it was when the same was asked up to the rule's time ago. What nobody has asked within that is
// answered as it is.
func (s *Set) serveOld(rule Rule, next http.Handler, w http.ResponseWriter, r *http.Request) bool {
	body, ok := buffered(r)
	if !ok {
		return false
	}
	h := sha256.New()
	io.WriteString(h, r.Method+" "+r.URL.String()+"\n") // never fails
	h.Write(body)
	key := string(h.Sum(nil))
	now := s.clock()
	if kept := s.kept(rule.ID, key, now.Add(-time.Duration(rule.Delay))); kept != nil {
		kept.give(w)
		return true
	}
	a := record(next, r)
	if a.Status < http.StatusBadRequest {
		s.keep(rule.ID, key, old{a, now})
	}
	a.give(w)
	return true
}

// kept is a rule's answer to the same list, if it is no older than a time.
func (s *Set) kept(id int, key string, since time.Time) *Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.rules {
		if o, ok := e.old[key]; e.ID == id && ok && o.at.After(since) {
			return o.Answer
		}
	}
	return nil
}

func (s *Set) keep(id int, key string, o old) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.rules {
		if e.ID != id {
			continue
		}
		if e.old == nil || len(e.old) >= mostOld {
			e.old = map[string]old{}
		}
		e.old[key] = o
	}
}
