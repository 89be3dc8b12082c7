package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/skyweld/skyweld/auth"
)

// TestInProcess: an answer in this process comes as one over the network does: streamed, cut when nobody reads on.
func TestInProcess(t *testing.T) {
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/who":
			io.WriteString(w, auth.From(r.Context()).Name+r.Method)
		case "/empty":
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/panic":
			panic("oh")
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/cut":
			io.WriteString(w, "a part")
			panic(http.ErrAbortHandler)
		case "/stream":
			for {
				if _, err := io.WriteString(w, "x"); err != nil {
					ended <- err
					return
				}
			}
		}
	})
	c := &http.Client{Transport: inProcess{h, auth.Principal{Name: "ada"}}}
	for path, want := range map[string]string{"/who": "200 adaGET", "/empty": "200 ", "/teapot": "418 ", "/panic": "500 "} {
		resp, err := c.Get("http://x" + path)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		if got := http.StatusText(resp.StatusCode); got == "" || resp.StatusCode != int(want[0]-'0')*100+int(want[1]-'0')*10+int(want[2]-'0') || string(data) != want[4:] {
			t.Errorf("%s is answered %d %q, want %q", path, resp.StatusCode, data, want)
		}
	}
	// An answer that is cut on purpose is so for its reader, and no news.
	var logged bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(was)
	for path, want := range map[string]string{"/abort": "", "/cut": "a part"} {
		resp, err := c.Get("http://x" + path)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(resp.Body); string(data) != want || !errors.Is(err, io.ErrUnexpectedEOF) || logged.Len() > 0 {
			t.Errorf("%s is answered %q, %v, and logged %q", path, data, err, logged.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/stream", nil)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the stream's writer got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream's writer goes on for nobody")
	}
}
