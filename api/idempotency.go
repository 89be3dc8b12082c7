package api

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

const (
	// keyHeader is where a write has its key, replayedHeader says of an answer that it was given before.
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
	// longestKey is how long a key may be.
	longestKey = 128
	// keyPatience is how long a try that nobody renews is taken for alive; renewKey is how often it is.
	keyPatience = 30 * time.Second
	renewKey    = 10 * time.Second
	// bodyPatience is how long a keyed request's body may take to come.
	bodyPatience = 30 * time.Second
)

var (
	// repeatable are operations that may be done any number of times: their keys are of no use, and what they answer is not
	// put on record.
	repeatable = append([]string{"POST /backup", "POST /clusters/{name}/nodes/{node}/ssh"}, onlyLook...)
	// answerSecrets are those whose answers hold secrets, which are not put on record.
	answerSecrets = []string{"POST /tokens", "POST /links"}
	// takeSecrets are those whose bodies hold secrets, perhaps short ones: what is kept of them must not be guessed from.
	takeSecrets = []string{"POST /accounts", "POST /accounts/{name}", "POST /users", "POST /users/{name}", "POST /me/password"}
)

// checkKey says what is wrong with a key.
func checkKey(values []string) error {
	if len(values) != 1 {
		return fmt.Errorf("found %d of them: want one", len(values))
	}
	key := values[0]
	if len(key) < 1 || len(key) > longestKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("want 1 to %d letters, digits and signs of ASCII without spaces: a random one for each request that isn't a repetition", longestKey)
	}
	return nil
}

// recordedAnswer is an answer as it is put on record.
type recordedAnswer struct {
	Header http.Header `json:"header"`
	Body   string      `json:"body,omitempty"`
}

// once lets a write that is sent twice with one key happen once, and gives the repetition the first one's answer. A change is
// queued in one transaction with its key, so that a repetition finds it, wherever the engine was stopped in between. Other
// writes are done again where the engine was stopped before it could say what came of them; what they find then is in the
// answer.
func (s *Server) once(mux *http.ServeMux, api huma.API, next http.Handler) http.Handler {
	operations := map[string]*huma.Operation{}
	for _, item := range api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				operations[op.Method+" "+op.Path] = op
			}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(keyHeader)
		_, pattern := mux.Handler(r)
		op := operations[pattern]
		if len(keys) == 0 || op == nil {
			next.ServeHTTP(w, r)
			return
		}
		name := op.Method + " " + strings.TrimPrefix(op.Path, "/api/v1")
		need, _ := op.Extensions[roleExtension].(auth.Role)
		p := auth.From(r.Context())
		if slices.Contains(repeatable, name) || !p.Role.Includes(need) {
			next.ServeHTTP(w, r)
			return
		}
		if err := checkKey(keys); err != nil {
			refuse(w, r, http.StatusUnprocessableEntity, "header."+keyHeader+": "+err.Error())
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience))
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		if err != nil {
			refuse(w, r, http.StatusBadRequest, "the request's body can't be read to its end")
			return
		}
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
		if len(body) > maxBody { // it is refused
			next.ServeHTTP(w, r)
			return
		}
		k := store.Keyed{Principal: p.Via + "/" + p.Name, Key: keys[0]}
		if k.Digest, err = digest(r, body, k, slices.Contains(takeSecrets, name)); err == nil {
			err = s.doOnce(w, r, next, k, op, slices.Contains(answerSecrets, name))
		}
		if err != nil {
			s.refuseKey(w, r, err)
		}
	})
}

// digest is of all that a write asks for.
func digest(r *http.Request, body []byte, k store.Keyed, secret bool) (string, error) {
	sum := sha256.New()
	for _, part := range []string{r.Method, r.URL.RequestURI(), r.Header.Get("If-Match"), r.Header.Get("If-None-Match"), r.Header.Get("Content-Type")} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	if secret {
		slow, err := pbkdf2.Key(sha256.New, string(body), []byte(k.Principal+"\x00"+k.Key), 200_000, sha256.Size)
		if err != nil {
			return "", err
		}
		body = slow
	}
	sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (s *Server) refuseKey(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, store.ErrKeyUsed):
		refuse(w, r, http.StatusUnprocessableEntity, "header."+keyHeader+": the key was sent with another request before; want a new one for each that isn't a repetition")
	case errors.Is(err, store.ErrKeyBusy):
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusConflict, "the same request, with the same key, is being answered: ask again in a moment")
	case errors.Is(err, store.ErrFull):
		refuse(w, r, http.StatusInsufficientStorage, store.ErrFull.Error())
	default:
		if r.Context().Err() == nil {
			slog.Error("a key can't be looked up", "error", err)
		}
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusServiceUnavailable, "it can't be found out whether this was done before: the engine's log says why; nothing was done now")
	}
}

// doOnce does a write that has not been done, and gives the answer of one that has. The error is that of asking which.
func (s *Server) doOnce(w http.ResponseWriter, r *http.Request, next http.Handler, k store.Keyed, op *huma.Operation, secret bool) error {
	ctx, feed := r.Context(), s.engine.Store()
	try, done, err := feed.BeginKeyed(ctx, k, keyPatience, engine.KeyAge)
	if err != nil {
		return err
	}
	if done != nil {
		return s.replay(w, r, done, op)
	}
	a := &keptAnswer{header: w.Header().Clone()}
	end := context.WithoutCancel(ctx)
	whole := false
	defer func() {
		if !whole { // a panic: what was done is not known
			s.ended(feed.EndKeyed(end, try, 0, ""))
		}
	}()
	stop := s.keepKey(end, try)
	terms := store.TermsOf(ctx)
	terms.Try = &try
	next.ServeHTTP(a, r.WithContext(store.WithTerms(ctx, terms)))
	stop()
	whole = true
	status, text := 0, ""
	if a.status = max(a.status, http.StatusOK); a.status < 300 { // else nothing was done, and it may be tried again
		status, text = a.status, a.record(secret)
	}
	s.ended(feed.EndKeyed(end, try, status, text))
	a.give(w)
	return nil
}

func (s *Server) ended(err error) {
	if err != nil {
		slog.Error("the answer to a request with a key can't be put on record", "error", err)
	}
}

// keepKey renews a try until it is stopped.
func (s *Server) keepKey(ctx context.Context, try store.Try) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(renewKey)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := s.engine.Store().RenewKeyed(ctx, try, keyPatience); err != nil && ctx.Err() == nil {
					slog.Warn("a request with a key can't be kept", "error", err)
				}
			}
		}
	}()
	return func() { cancel(); <-gone }
}

// replay gives the answer of a write that was done before.
func (s *Server) replay(w http.ResponseWriter, r *http.Request, done *store.Recorded, op *huma.Operation) error {
	w.Header().Set(replayedHeader, "true")
	if done.Status == 0 { // the engine was stopped after it queued the change, and before it said so
		c, err := s.engine.Change(r.Context(), done.Change)
		out, err := s.change(r.Context(), c, err)
		if err != nil {
			return err
		}
		data, err := json.Marshal(out.Body)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		if op.DefaultStatus == http.StatusAccepted {
			w.Header().Set("Location", out.Location)
		}
		w.WriteHeader(op.DefaultStatus)
		_, _ = w.Write(data)
		return nil
	}
	if done.Answer == "" {
		refuse(w, r, http.StatusConflict, fmt.Sprintf("this was done at %s already, and its answer held a secret, which is not kept", done.Begun.UTC().Format(time.RFC3339)))
		return nil
	}
	var a recordedAnswer
	if err := json.Unmarshal([]byte(done.Answer), &a); err != nil {
		return err
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(done.Status)
	_, _ = io.WriteString(w, a.Body)
	return nil
}

// keptAnswer keeps an answer back until it is on record.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *keptAnswer) Header() http.Header { return a.header }

func (a *keptAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *keptAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// record is the answer as it is put on record; nothing of one with a secret.
func (a *keptAnswer) record(secret bool) string {
	if secret {
		return ""
	}
	out := recordedAnswer{Header: http.Header{}, Body: a.body.String()}
	for _, name := range []string{"Content-Type", "Location", "Etag"} {
		if v := a.header.Values(name); len(v) > 0 {
			out.Header[name] = v
		}
	}
	data, err := json.Marshal(out)
	if err != nil { // it is made of plain values
		return ""
	}
	return string(data)
}

func (a *keptAnswer) give(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}

// newKey makes a key that nobody else makes.
func newKey() string { return rand.Text() }
