package fleet_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// tape is a recording of what a cloud answered in one run, by what was asked.
type tape struct {
	mu sync.Mutex
	// URL is the API's own, Answers the last ones by the question.
	URL     string
	Answers map[string]answer
}

type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// question is what an answer depends on: not on when it was asked, nor on how the question was signed.
func question(r *http.Request, body []byte) string {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if strings.HasSuffix(path, "/token") { // a login is signed in its body
		body = nil
	}
	return r.Method + " " + path + "?" + r.URL.Query().Encode() + "\n" + string(body)
}

// record stands in front of an API and writes down its answers.
func (t *tape) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		t.mu.Lock()
		t.Answers[question(r, body)] = answer{rec.Code, rec.Result().Header, rec.Body.Bytes()}
		t.mu.Unlock()
		for name, values := range rec.Result().Header {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// cast is who plays in a recording: the cluster that was recorded, and those that it stands for, by their numbers.
type cast struct {
	Recorded role
	Others   []role
}

// role is what differs between two clusters that were made alike.
type role struct{ UID, Name string }

// replacer puts one cluster in another's place.
func replacer(from, to role) *strings.Replacer {
	return strings.NewReplacer(from.UID, to.UID, from.UID[:8], to.UID[:8], from.Name, to.Name)
}

// show is a recording with its cast.
type show struct {
	Tapes map[string]*tape // by cloud
	Cast  cast
}

// play serves a show over HTTPS until the benchmark ends, and returns its address and the certificate to trust.
func (s *show) play(b *testing.B) (base, ca string) {
	b.Helper()
	server := httptest.NewUnstartedServer(s.handler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	b.Cleanup(server.Close)
	return server.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// line is the way from one of the cast to the recorded one, and back.
type line struct{ there, back *strings.Replacer }

// handler answers at /CLOUD/NUMBER/… as the cloud answered the recorded cluster, in the words of the cluster of that number.
func (s *show) handler() http.Handler {
	lines := sync.OnceValue(func() []line { // the cast is not known before somebody asks
		out := make([]line, len(s.Cast.Others))
		for i, o := range s.Cast.Others {
			out[i] = line{replacer(o, s.Cast.Recorded), replacer(s.Cast.Recorded, o)}
		}
		return out
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		parts := append(strings.SplitN(r.URL.Path, "/", 4), "", "", "")
		if s.Tapes[parts[1]] == nil { // not every client takes an address with a path
			parts = append([]string{""}, whose(r)...)
		}
		n, err := strconv.Atoi(parts[2])
		tape := s.Tapes[parts[1]]
		if err != nil || n >= len(lines()) || tape == nil {
			http.Error(w, "nobody is at "+r.URL.Path, http.StatusBadRequest)
			return
		}
		in := r.Clone(r.Context())
		in.URL.Path = lines()[n].there.Replace("/" + parts[3])
		in.URL.RawQuery = lines()[n].there.Replace(r.URL.RawQuery)
		a, ok := tape.Answers[question(in, []byte(lines()[n].there.Replace(string(body))))]
		if !ok {
			http.Error(w, "not recorded: "+question(in, body), http.StatusNotImplemented)
			return
		}
		for name, values := range a.Header {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(a.Status)
		own := "https://" + r.Host + "/" + parts[1] + "/" + parts[2]
		_, _ = lines()[n].back.WriteString(w, strings.ReplaceAll(string(a.Body), tape.URL, own))
	})
}

// whose tells by other means who asks: by the token at DigitalOcean; the rest is Azure's login service, which has the same
// answers for all.
func whose(r *http.Request) []string {
	if _, number, ok := strings.Cut(r.Header.Get("Authorization"), doToken+"_"); ok {
		return []string{string(cloud.DigitalOcean), number, strings.TrimPrefix(r.URL.Path, "/")}
	}
	return []string{string(cloud.Azure), "0", strings.TrimPrefix(r.URL.Path, "/")}
}
