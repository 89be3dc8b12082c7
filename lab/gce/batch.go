package gce

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
)

// maxBatch is how many calls one batch may hold, as the API's guide to batches says.
const maxBatch = 1000

// serveBatch answers several calls that come in one multipart body, which gcloud can be set to send.
func (s *Service) serveBatch(w http.ResponseWriter, r *http.Request) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || mediaType != "multipart/mixed" {
		e := badRequest("Batch requests are POSTs of multipart/mixed.")
		write(w, r, e.code, e.body())
		return
	}
	in := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxBody), params["boundary"])
	var body bytes.Buffer
	out := multipart.NewWriter(&body)
	for n := 0; ; n++ {
		part, err := in.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n < maxBatch {
			err = s.batchPart(out, part, r)
		}
		if err != nil || n >= maxBatch {
			e := badRequest("The batch could not be read.")
			write(w, r, e.code, e.body())
			return
		}
	}
	out.Close()
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+out.Boundary())
	w.Write(body.Bytes())
}

func (s *Service) batchPart(out *multipart.Writer, part *multipart.Part, outer *http.Request) error {
	inner, err := http.ReadRequest(bufio.NewReader(part))
	if err != nil {
		return err
	}
	if inner.Header.Get("Authorization") == "" {
		inner.Header.Set("Authorization", outer.Header.Get("Authorization"))
	}
	answer := &recorder{header: http.Header{}}
	s.ServeHTTP(answer, inner.WithContext(outer.Context()))
	header := textproto.MIMEHeader{"Content-Type": {"application/http"}}
	if id := part.Header.Get("Content-Id"); id != "" {
		// "<x+1>" is answered with "<response-x+1>".
		if id[0] == '<' {
			id = "<response-" + id[1:]
		} else {
			id = "response-" + id
		}
		header.Set("Content-ID", id)
	}
	p, err := out.CreatePart(header)
	if err != nil {
		return err
	}
	if answer.code == 0 {
		answer.code = http.StatusOK
	}
	fmt.Fprintf(p, "HTTP/1.1 %d %s\r\n", answer.code, http.StatusText(answer.code))
	answer.header.Set("Content-Length", fmt.Sprint(answer.body.Len()))
	if err := answer.header.Write(p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p, "\r\n%s", answer.body.Bytes())
	return err
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
