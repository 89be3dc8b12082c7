// Package wiretap listens between a client and a server, as a transport of the one or as a handler in front of the other,
// and counts what it hears. It changes nothing. It is what the judges of the clouds' APIs have in common (internal/botocore,
// internal/discovery, internal/armsdk), and is for tests: it holds every body in memory.
package wiretap

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
)

// Exchange is a request with its answer.
type Exchange struct {
	// Request is the request; its body has been read already.
	Request *http.Request
	Body    []byte
	// Status is the answer's, 0 when none came.
	Status int
	Header http.Header
	Answer []byte
}

// Handler returns a handler that lets hear know what goes to another one and what comes back, before the client gets it.
func Handler(next http.Handler, hear func(*Exchange)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := drain(&r.Body)
		if err != nil {
			http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		kept := httptest.NewRecorder()
		next.ServeHTTP(kept, r)
		hear(&Exchange{Request: r, Body: body, Status: kept.Code, Header: kept.Header(), Answer: kept.Body.Bytes()})
		maps.Copy(w.Header(), kept.Header())
		w.WriteHeader(kept.Code)
		_, _ = w.Write(kept.Body.Bytes()) // the client may be gone
	})
}

// Transport returns a transport that lets hear know what goes through another one, also requests that got no answer: they
// may have been heard at the other end.
func Transport(next http.RoundTripper, hear func(*Exchange)) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		body, err := drain(&r.Body)
		if err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
		sent := r.Clone(r.Context()) // a transport may not change what it is given
		sent.Body = nil
		if r.Body != nil {
			sent.Body = io.NopCloser(bytes.NewReader(body))
		}
		resp, err := next.RoundTrip(sent)
		if err != nil {
			hear(&Exchange{Request: r, Body: body})
			return nil, err
		}
		answer, err := drain(&resp.Body)
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		resp.Body = io.NopCloser(bytes.NewReader(answer))
		hear(&Exchange{Request: r, Body: body, Status: resp.StatusCode, Header: resp.Header, Answer: answer})
		return resp, nil
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// drain reads and closes a body, which may be nil.
func drain(body *io.ReadCloser) ([]byte, error) {
	if *body == nil {
		return nil, nil
	}
	defer (*body).Close()
	return io.ReadAll(*body)
}
