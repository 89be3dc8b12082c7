package api

import (
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/skyweld/skyweld/auth"
)

// inProcess answers a client's requests by calling a handler, which writes its answer while the client reads it.
type inProcess struct {
	handler http.Handler
	as      auth.Principal
}

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	body, out := io.Pipe()
	w := &pipedAnswer{header: http.Header{}, out: out, begun: make(chan *http.Response, 1), body: body, request: r}
	in := r.Clone(auth.With(ctx, t.as))
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), t.as.From
	if in.Body == nil {
		in.Body = http.NoBody
	}
	go func() {
		defer func() {
			if v := recover(); v != nil { // as net/http does it
				if v != http.ErrAbortHandler { // that is how an answer is cut on purpose
					slog.Error("a handler panicked", "path", in.URL.Path, "panic", v, "stack", string(debug.Stack()))
				}
				w.WriteHeader(http.StatusInternalServerError)
				out.CloseWithError(io.ErrUnexpectedEOF)
			}
		}()
		t.handler.ServeHTTP(w, in)
		w.WriteHeader(http.StatusOK) // of an answer without a body
		out.Close()
	}()
	select {
	case resp := <-w.begun:
		return resp, nil
	case <-ctx.Done():
		body.CloseWithError(ctx.Err())
		return nil, ctx.Err()
	}
}

// pipedAnswer is an answer as its reader gets it.
type pipedAnswer struct {
	header  http.Header
	out     *io.PipeWriter
	body    io.ReadCloser
	request *http.Request
	begun   chan *http.Response
	wrote   bool
}

func (w *pipedAnswer) Header() http.Header { return w.header }

func (w *pipedAnswer) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.wrote = true
	w.begun <- &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header.Clone(), Body: w.body, ContentLength: -1, Request: w.request,
	}
}

func (w *pipedAnswer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.out.Write(p)
}

// Flush implements http.Flusher: nothing is held back.
func (w *pipedAnswer) Flush() { w.WriteHeader(http.StatusOK) }
