package digitalocean

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// route is one method of the API.
type route struct {
	// scope is the permission that it needs, as a token's scopes are called ("droplet:create").
	scope string
	serve func(*call) (answer, *apiError)
}

// call is one request. Its handler holds the service's lock.
type call struct {
	*Service
	r    *http.Request
	q    url.Values
	body []byte
	base string // "https://host", for links
	kick []func()
}

// answer is a status and what is written as JSON; a nil body is none.
type answer struct {
	status int
	body   any
}

// fields is an object of an answer that no client needs a type for.
type fields map[string]any

// newMux joins the routes; everything else isn't found.
func (s *Service) newMux() (*http.ServeMux, map[string]route) {
	mux, routes := http.NewServeMux(), map[string]route{}
	for _, table := range []map[string]route{accountRoutes, vpcRoutes, dropletRoutes, firewallRoutes, tagRoutes, reservedRoutes, volumeRoutes, projectRoutes} {
		for pattern, r := range table {
			routes[pattern] = r
			mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) })
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, route{serve: func(*call) (answer, *apiError) { return answer{}, errNotFound }})
	})
	return mux, routes
}

const maxBody = 1 << 20

// ServeHTTP serves the API.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Service) serve(w http.ResponseWriter, r *http.Request, to route) {
	id := newUUID()
	w.Header().Set("X-Request-Id", id)
	if !s.authentic(r) {
		s.fail(w, r, id, errUnauthorized)
		return
	}
	if !s.rate.admit(w.Header()) {
		s.fail(w, r, id, errTooMany)
		return
	}
	c := &call{Service: s, r: r, q: r.URL.Query(), base: "https://" + r.Host}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		s.fail(w, r, id, badRequest("The request body could not be read."))
		return
	}
	out, failed := c.run(to)
	if err := s.persist(); err != nil {
		s.log.Error("DigitalOcean's records are not written", "error", err)
		failed = errServer
	}
	for _, start := range c.kick {
		s.work.Start(start)
	}
	if failed != nil {
		s.fail(w, r, id, failed)
		return
	}
	s.log.Debug("served", "method", r.Method, "path", r.URL.Path, "status", out.status)
	write(w, out.status, out.body)
}

func (c *call) run(to route) (answer, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return to.serve(c)
}

// after has something done when the answer is on its way and the records are written.
func (c *call) after(f func()) { c.kick = append(c.kick, f) }

// authentic checks the token.
func (s *Service) authentic(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) == 1
}

func (s *Service) fail(w http.ResponseWriter, r *http.Request, id string, e *apiError) {
	s.log.Debug("refused", "method", r.Method, "path", r.URL.Path, "status", e.status, "id", e.id, "message", e.message)
	write(w, e.status, fields{"id": e.id, "message": e.message, "request_id": id})
}

func write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		status, b = http.StatusInternalServerError, *bytes.NewBufferString(`{"id":"server_error","message":"Unexpected server-side error"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

func ok(body any) (answer, *apiError)       { return answer{http.StatusOK, body}, nil }
func created(body any) (answer, *apiError)  { return answer{http.StatusCreated, body}, nil }
func accepted(body any) (answer, *apiError) { return answer{http.StatusAccepted, body}, nil }

// nothing is the answer without a body.
func nothing() (answer, *apiError) { return answer{status: http.StatusNoContent}, nil }

// decode reads the body's object.
func (c *call) decode(into any) *apiError {
	if err := json.Unmarshal(c.body, into); err != nil {
		return badRequest("The request body could not be parsed: %v", err)
	}
	return nil
}

// Pages have 20 items unless asked for otherwise, and at most 200.
const (
	usualPage = 20
	maxPage   = 200
)

// page answers with a part of a list under a name, with links to the other parts and the number of all.
func page[T any](c *call, name string, all []T) (answer, *apiError) {
	size, err := c.count("per_page", usualPage, maxPage)
	if err != nil {
		return answer{}, err
	}
	at, err := c.count("page", 1, 1<<30)
	if err != nil {
		return answer{}, err
	}
	last := max((len(all)+size-1)/size, 1)
	from := min((at-1)*size, len(all))
	part := all[from:min(from+size, len(all))]
	if part == nil {
		part = []T{}
	}
	links := fields{}
	if last > 1 {
		pages := map[string]string{}
		if at > 1 {
			pages["first"], pages["prev"] = c.pageURL(1), c.pageURL(min(at-1, last))
		}
		if at < last {
			pages["next"], pages["last"] = c.pageURL(at+1), c.pageURL(last)
		}
		links["pages"] = pages
	}
	return ok(fields{name: part, "links": links, "meta": map[string]int{"total": len(all)}})
}

func (c *call) count(name string, usual, most int) (int, *apiError) {
	text := c.q.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badRequest("Invalid value for %s.", name)
	}
	return min(n, most), nil
}

func (c *call) pageURL(n int) string {
	q := url.Values{}
	for k, v := range c.q {
		q[k] = v
	}
	q.Set("page", strconv.Itoa(n))
	return c.base + c.r.URL.Path + "?" + q.Encode()
}

// number reads a path's number; anything else isn't found.
func (c *call) number(name string) (int, *apiError) {
	n, err := strconv.Atoi(c.r.PathValue(name))
	if err != nil {
		return 0, errNotFound
	}
	return n, nil
}

// find looks a record up by what the path says.
func find[V any](c *call, in map[string]*V, name string) (*V, *apiError) {
	if v := in[c.r.PathValue(name)]; v != nil {
		return v, nil
	}
	return nil, errNotFound
}

func findNumber[V any](c *call, in map[int]*V, name string) (*V, *apiError) {
	n, err := c.number(name)
	if err != nil {
		return nil, err
	}
	if v := in[n]; v != nil {
		return v, nil
	}
	return nil, errNotFound
}
