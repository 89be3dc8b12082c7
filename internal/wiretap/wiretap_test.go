package wiretap

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type heard struct {
	Path, Body, Answer string
	Status             int
}

func note(all *[]heard) func(*Exchange) {
	return func(x *Exchange) {
		*all = append(*all, heard{x.Request.URL.Path, string(x.Body), string(x.Answer), x.Status})
	}
}

// echo answers with what it was sent.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Echo", "yes")
	w.WriteHeader(http.StatusTeapot)
	_, _ = w.Write(append([]byte("echo of "), body...))
})

// TestBothEnds listens at the server and at the client: both hear the same, and both ends get what they would have got.
func TestBothEnds(t *testing.T) {
	var atServer, atClient []heard
	server := httptest.NewServer(Handler(echo, note(&atServer)))
	defer server.Close()
	client := &http.Client{Transport: Transport(http.DefaultTransport, note(&atClient))}
	resp, err := client.Post(server.URL+"/said", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "echo of hello" || resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Echo") != "yes" {
		t.Errorf("the client got %s %q %v, error %v", resp.Status, body, resp.Header, err)
	}
	want := []heard{{"/said", "hello", "echo of hello", http.StatusTeapot}}
	if diff := cmp.Diff(want, atServer); diff != "" {
		t.Error("the server's end:", diff)
	}
	if diff := cmp.Diff(want, atClient); diff != "" {
		t.Error("the client's end:", diff)
	}
}

// TestNoAnswer hears of a request that broke off, and passes the error on.
func TestNoAnswer(t *testing.T) {
	broken := errors.New("broken off")
	var all []heard
	client := &http.Client{Transport: Transport(transport(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			t.Error("a body where none was sent")
		}
		return nil, broken
	}), note(&all))}
	resp, err := client.Get("http://lab.invalid/gone")
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if diff := cmp.Diff([]heard{{"/gone", "", "", 0}}, all); diff != "" {
		t.Error(diff)
	}
}
