package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// storedCluster stores a cluster without an engine that works on it.
func storedCluster(tb testing.TB, s *Server, name string) store.Cluster {
	tb.Helper()
	ctx := tb.Context()
	if err := s.engine.Store().PutAccount(ctx, cloud.Account{Name: "acc", Provider: cloud.AWS}); err != nil {
		tb.Fatal(err)
	}
	c := &spec.Cluster{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: name}}
	c.Spec.Sites = []spec.Site{{Name: "one", Account: "acc", Region: "us-east-1"}}
	spec.Default(c)
	out, err := s.engine.Store().CreateCluster(ctx, c, "ada")
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func say(tb testing.TB, s *Server, cluster, reason string) {
	tb.Helper()
	if _, err := s.engine.Store().AddEvent(tb.Context(), store.Event{Cluster: cluster, Type: store.Normal, Reason: reason}); err != nil {
		tb.Error(err)
	}
}

var errEnough = errors.New("enough")

// follow reads a stream until it has n messages.
func follow(t *testing.T, c *Client, q StreamQuery, n int) (words []string, last string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := c.Stream(ctx, q, func(m Message) error {
		word := m.Type
		switch {
		case m.Event != nil:
			word += " " + m.Event.Reason
		case m.State != nil:
			word += " " + m.Cluster + " " + m.State.Phase
		case m.Change != nil:
			word += " " + m.Change.State
		}
		words, last = append(words, word), m.ID
		if len(words) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("after %q the stream ended: %v", words, err)
	}
	return words, last
}

// TestStream: a stream begins with now, goes on where it was cut, and is of one cluster where that is asked.
func TestStream(t *testing.T) {
	s := newServer(t)
	demo, other := storedCluster(t, s, "demo"), storedCluster(t, s, "other")
	c := s.As(auth.Principal{Name: "ada", Role: auth.Viewer})
	_, begin := follow(t, c, StreamQuery{}, 1)
	for i := range 3 {
		say(t, s, demo.UID, fmt.Sprint("D", i))
		say(t, s, other.UID, fmt.Sprint("O", i))
	}
	say(t, s, "", "World")
	for _, test := range []struct {
		q    StreamQuery
		want string
	}{
		{StreamQuery{After: begin}, "event D0, event O0, event D1, event O1, event D2, event O2, event World"},
		{StreamQuery{After: begin, Cluster: "demo"}, "event D0, event D1, event D2"},
		{StreamQuery{After: "0-1", Cluster: "other"}, "cluster other Pending, event O0, event O1, event O2"},
	} {
		n := strings.Count(test.want, ",") + 1
		words, last := follow(t, c, test.q, n)
		if got := strings.Join(words, ", "); got != test.want {
			t.Errorf("%+v gives %s; want %s", test.q, got, test.want)
		}
		for i := 1; i < n; i++ { // cut anywhere
			_, at := follow(t, c, test.q, i)
			rest, end := follow(t, c, StreamQuery{Cluster: test.q.Cluster, After: at}, n-i)
			if got := strings.Join(rest, ", "); end != last || !strings.HasSuffix(test.want, got) {
				t.Errorf("%+v cut after %d goes on with %s", test.q, i, got)
			}
		}
	}
	// What is written while somebody listens comes without being asked for.
	_, begin = follow(t, c, StreamQuery{Cluster: "demo"}, 1)
	words := make(chan string)
	go func() {
		w, _ := follow(t, c, StreamQuery{Cluster: "demo", After: begin}, 3)
		words <- strings.Join(w, ", ")
	}()
	if _, err := s.engine.Store().AddChange(t.Context(), store.Change{Cluster: demo.UID, Kind: store.Delete}); err != nil {
		t.Fatal(err)
	}
	say(t, s, demo.UID, "Bye")
	if got, want := <-words, "change queued, cluster demo Deleting, event Bye"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// TestStreamResets: where nothing is certain, a stream says so before it goes on.
func TestStreamResets(t *testing.T) {
	s := newServer(t)
	demo := storedCluster(t, s, "demo")
	c := s.As(auth.Principal{Name: "ada", Role: auth.Viewer})
	_, at := follow(t, c, StreamQuery{}, 1)
	for _, q := range []StreamQuery{{After: "0-99999"}, {After: "abc-1"}} {
		if words, _ := follow(t, c, q, 1); words[0] != messageReset {
			t.Errorf("%+v gives %q; want a reset", q, words)
		}
	}
	say(t, s, demo.UID, "Lost")
	if err := s.engine.Store().PruneFeed(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if words, _ := follow(t, c, StreamQuery{After: at}, 1); words[0] != messageReset {
		t.Errorf("after what was pruned comes %q; want a reset", words)
	}
	for _, q := range []StreamQuery{{Cluster: "nobody"}, {After: "5"}, {After: "0-"}, {After: "0--1"}, {After: "0-01"}, {After: "Ä-1"}, {After: strings.Repeat("1", 100)}} {
		err := c.Stream(t.Context(), q, func(m Message) error { return fmt.Errorf("there is %+v", m) })
		if p, ok := errors.AsType[*Problem](err); !ok || p.Status != 404 && p.Status != 422 {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestStreamFarBehind: who is further behind than what is kept reads the rest from the database, and misses nothing.
func TestStreamFarBehind(t *testing.T) {
	s := newServer(t)
	demo := storedCluster(t, s, "demo")
	c := s.As(auth.Principal{Name: "ada", Role: auth.Viewer})
	const all = 3 * streamPage
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n, held := 0, make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- c.Stream(ctx, StreamQuery{}, func(m Message) error {
			if m.Type == messageBegin {
				close(held)
				return nil
			}
			if m.Event.Reason != fmt.Sprint(n) {
				return fmt.Errorf("message %d is %s", n, m.Event.Reason)
			}
			if n++; n == all {
				return errEnough
			}
			if n == 1 { // all that is kept is dropped under its feet
				s.pump.mu.Lock()
				s.pump.kept, s.pump.base = nil, s.pump.end
				s.pump.mu.Unlock()
			}
			return nil
		})
	}()
	<-held
	for i := range all {
		say(t, s, demo.UID, fmt.Sprint(i))
	}
	if err := <-done; !errors.Is(err, errEnough) {
		t.Errorf("after %d messages: %v", n, err)
	}
}

// TestStreamEnds: the end of the engine ends its streams, and the next engine's go on from there.
func TestStreamEnds(t *testing.T) {
	s := newServer(t)
	demo := storedCluster(t, s, "demo")
	var mu sync.Mutex
	at := s
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		to := at
		mu.Unlock()
		to.ServeHTTP(w, r)
	}))
	defer server.Close()
	c := &Client{Base: server.URL, Token: fuzzToken, HTTP: &http.Client{Timeout: time.Second}}
	var words []string
	err := c.Stream(t.Context(), StreamQuery{Cluster: "demo"}, func(m Message) error {
		words = append(words, m.Type)
		switch len(words) {
		case 1:
			say(t, s, demo.UID, "One")
		case 2:
			mu.Lock()
			at = NewServer(s.engine, fuzzToken, "next")
			mu.Unlock()
			s.EndWaits()
			say(t, s, demo.UID, "Two")
		case 3:
			return errEnough
		}
		return nil
	})
	if got := strings.Join(words, " "); !errors.Is(err, errEnough) || got != "begin event event" {
		t.Errorf("%s, then %v", got, err)
	}
}

// TestReached: what was read isn't read again, and what wasn't isn't passed over.
func TestReached(t *testing.T) {
	page := make([]store.FeedLine, streamPage)
	page[streamPage-1].ID = 7
	for _, test := range []struct {
		lines     []store.FeedLine
		end, want int64
	}{{nil, 5, 5}, {[]store.FeedLine{{ID: 3}}, 5, 5}, {[]store.FeedLine{{ID: 3}, {ID: 6}}, 5, 6}, {page, 9, 7}, {page, 5, 7}} {
		if got := reached(test.lines, test.end); got != test.want {
			t.Errorf("a page of %d, with the end at %d, reaches to %d, want %d", len(test.lines), test.end, got, test.want)
		}
	}
}

// TestPump: of what is kept the oldest goes first, and nobody is told that it is still there.
func TestPump(t *testing.T) {
	p := newPump(nil)
	p.base, p.end = 10, 10
	for i := range int64(keptFrames + 5) {
		p.keep([]frame{{id: 11 + i, data: []byte("12345")}})
		p.end = 11 + i
	}
	if _, _, ok := p.after(14, 1); ok {
		t.Error("what was dropped is there")
	}
	frames, end, ok := p.after(15, 2)
	if !ok || len(frames) != 2 || frames[0].id != 16 || end != 17 {
		t.Errorf("%+v up to %d, %v", frames, end, ok)
	}
	if frames, end, ok := p.after(p.end+7, 2); !ok || len(frames) > 0 || end != p.end+7 {
		t.Errorf("beyond the end: %+v up to %d, %v", frames, end, ok)
	}
	p.keep([]frame{{id: p.end + 1, data: make([]byte, keptBytes)}})
	if len(p.kept) != 1 || p.bytes != keptBytes {
		t.Errorf("%d lines of %d bytes are kept", len(p.kept), p.bytes)
	}
}

// FuzzPosition: what is read as a place in the feed is written the same.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{"0-1", "0-0", "1a-99", "-1", "0-9223372036854775808", "0-+1", "0-1-1", "", "0-1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePosition(text)
		if err == nil && (p.String() != text || p.id < 0) {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}

// FuzzMessages: whatever a stream holds, reading it ends, and what the engine writes is read as it was.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("retry: 1000\n\nid: 0-1\nevent: begin\ndata: {\"type\":\"begin\"}\n\n: \nid: 0-2\n\n"))
	f.Add([]byte("data: {\ndata: }\r\n\r\nid\n\n"))
	f.Add([]byte(strings.Repeat("data: 1\n", 100)))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 0
		err := readMessages(strings.NewReader(string(data)), func() { lines++ }, func(id string, m *Message) error {
			if m == nil {
				return nil
			}
			err := readMessages(strings.NewReader(string(frameOf(*m))), func() {}, func(again string, n *Message) error {
				if n == nil || n.Type != m.Type || n.Cluster != m.Cluster || !strings.ContainsAny(id, "\r\n") && again != id && strings.TrimSpace(id) == id {
					return fmt.Errorf("%+v is read as %+v of %q", m, n, again)
				}
				return nil
			})
			if !errors.Is(err, io.EOF) && !strings.ContainsAny(m.ID+m.Type, "\r\n") {
				return err
			}
			return nil
		})
		if err == nil || lines > len(data) {
			t.Errorf("%d lines, and %v", lines, err)
		}
		if strings.Contains(err.Error(), "is read as") {
			t.Error(err)
		}
	})
}

// TestReadLine: a line that never ends isn't kept.
func TestReadLine(t *testing.T) {
	if _, err := readLine(bufio.NewReader(io.LimitReader(endless{}, 2*longestLine))); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a line of %d bytes: %v", 2*longestLine, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
