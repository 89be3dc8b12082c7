package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// StreamQuery says which stream is wanted.
type StreamQuery struct {
	// Cluster is a cluster's name, empty for all.
	Cluster string
	// After is the id of the last message that is known; empty begins with now.
	After string
	// Lost is told, where it is there, why the stream doesn't go on for now, and nil when it does again. An engine that isn't
	// found at first is waited for then, too.
	Lost func(error)
}

// silence is how long a stream may be silent before it is taken for dead.
const silence = 3 * heartbeat

// longestLine is how long a line of a stream may be.
const longestLine = 4 << 20

// Stream calls f with every message of the stream, in their order and each once, until ctx is done or f returns an error. A
// stream that is cut is resumed where it was. The error is f's, that of ctx, or, where the engine refuses or can't be found
// at all, its answer.
func (c *Client) Stream(ctx context.Context, q StreamQuery, f func(Message) error) error {
	found, lost := q.Lost != nil, false
	pause := time.Duration(0)
	open := func() {
		if lost {
			lost = false
			q.Lost(nil)
		}
	}
	for {
		err := c.streamOnce(ctx, &q, open, func(m Message) error {
			found, pause = true, 0
			return f(m)
		})
		if stop, ok := errors.AsType[*stopped](err); ok {
			return stop.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, refused := errors.AsType[*Problem](err)
		if refused && p.Status < 500 || err != nil && !found {
			return err
		}
		found = found || err == nil
		if q.Lost != nil && (refused || errors.Is(err, ErrNoEngine)) { // one that is merely cut goes on at once
			lost = true
			q.Lost(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(5*time.Second, max(100*time.Millisecond, 2*pause))
	}
}

// stopped is the error of who reads a stream.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// streamOnce reads a stream until it ends, and notes in the query how far it came. open is called when there is one.
func (c *Client) streamOnce(ctx context.Context, q *StreamQuery, open func(), f func(Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	path := "/stream"
	if q.Cluster != "" {
		path += "?cluster=" + url.QueryEscape(q.Cluster)
	}
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", streamType)
	if q.After != "" {
		req.Header.Set("Last-Event-ID", q.After)
	}
	patient := *c.HTTP
	patient.Timeout = 0
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	resp, err := patient.Do(req)
	if err != nil {
		return c.unanswered(http.MethodGet, err)
	}
	defer resp.Body.Close()
	if kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); resp.StatusCode != http.StatusOK || kind != streamType {
		return c.refused(resp)
	}
	open()
	err = readMessages(resp.Body, func() { alive.Reset(silence) }, func(id string, m *Message) error {
		if m != nil {
			if err := f(*m); err != nil {
				return &stopped{err}
			}
		}
		q.After = id
		return nil
	})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readMessages reads server-sent events as the WHATWG's HTML standard has them, as far as the engine writes them. Where
// only an id comes, there is no message.
func readMessages(r io.Reader, line func(), f func(id string, m *Message) error) error {
	in := bufio.NewReader(r)
	var id, data string
	var ided bool
	for {
		text, err := readLine(in)
		if err != nil {
			return err // what isn't complete is no message
		}
		line()
		if text == "" {
			if data != "" {
				m := Message{ID: id}
				if err := json.Unmarshal([]byte(data), &m); err != nil {
					return fmt.Errorf("a message of the stream can't be read: %w", err)
				}
				if err := f(id, &m); err != nil {
					return err
				}
			} else if ided {
				if err := f(id, nil); err != nil {
					return err
				}
			}
			data, ided = "", false
			continue
		}
		field, value, _ := strings.Cut(text, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			if !strings.Contains(value, "\x00") {
				id, ided = value, true
			}
		case "data":
			if len(data)+len(value) > longestLine {
				return errors.New("a message of the stream is too long")
			}
			data += value
		}
	}
}

func readLine(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		part, err := in.ReadSlice('\n')
		b.Write(part)
		if b.Len() > longestLine {
			return "", errors.New("a line of the stream is too long")
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return strings.TrimRight(b.String(), "\r\n"), err
	}
}
