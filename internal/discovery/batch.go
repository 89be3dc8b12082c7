package discovery

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// batch takes a batch apart (https://cloud.google.com/compute/docs/api/how-tos/batch): a multipart body with one HTTP
// request in each part, answered by one with the responses, whose ids are the requests' with "response-" before them.
func batch(requestType string, requests []byte, answerType string, answers []byte) ([]Call, error) {
	sent, err := parts(requestType, requests)
	if err != nil {
		return nil, fmt.Errorf("a batch's requests: %w", err)
	}
	got, err := parts(answerType, answers)
	if err != nil {
		return nil, fmt.Errorf("a batch's answers: %w", err)
	}
	if len(sent) != len(got) {
		return nil, fmt.Errorf("a batch of %d requests has %d answers", len(sent), len(got))
	}
	var calls []Call
	for i := range sent {
		c, err := batchCall(sent[i], got[i])
		if err != nil {
			return nil, err
		}
		calls = append(calls, *c)
	}
	return calls, nil
}

type part struct {
	id   string
	text []byte
}

func parts(contentType string, body []byte) ([]part, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("content type %q: %w", contentType, err)
	}
	var out []part
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		out = append(out, part{p.Header.Get("Content-Id"), text})
	}
}

func batchCall(sent, got part) (*Call, error) {
	if want := strings.Replace(sent.id, "<", "<response-", 1); got.id != want {
		return nil, fmt.Errorf("the batch's part %q is answered by %q", sent.id, got.id)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent.text)))
	if err != nil {
		return nil, fmt.Errorf("the batch's part %q: %w", sent.id, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("the batch's part %q: %w", sent.id, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got.text)), r)
	if err != nil {
		return nil, fmt.Errorf("the batch's part %q: %w", got.id, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("the batch's part %q: %w", got.id, err)
	}
	return &Call{
		Verb: r.Method, Path: strings.TrimPrefix(r.URL.Path, root), Query: r.URL.Query(), Body: body, Code: resp.StatusCode, Answer: answer,
	}, nil
}
