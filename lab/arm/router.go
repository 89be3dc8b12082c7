package arm

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/internal/tables"
)

//go:generate go run ./gen -out .

//go:embed routes.txt.gz
var routesGz []byte

// route is one operation of the API, from the official SDK.
type route struct {
	operation string // "network.Subnets.Delete"
	method    string
	parts     []string // the path, split
	version   string   // the newest api-version that is known
	handler   handler
}

// service is the SDK package of a route: "network".
func (r *route) service() string { return r.operation[:strings.IndexByte(r.operation, '.')] }

// handler answers a call.
type handler func(*call) (*answer, *apiError)

// call is one request to an operation of the API.
type call struct {
	r     *http.Request
	q     url.Values
	route *route
	// vars are the path's variables by their names in the SDK ("resourceGroupName").
	vars map[string]string
	// id is the request's path, with the casing of the route's fixed parts.
	id   string
	body []byte
}

// group is the name of the resource group in the path.
func (c *call) group() string { return c.vars["resourceGroupName"] }

// answer is what a handler answers with. What it shows is made when it is sent, under the lock.
type answer struct {
	status int
	show   func() any // nil for an empty body
	header http.Header
	op     *operation
}

// shown answers with a body that is ready.
func shown(status int, body any) *answer {
	return &answer{status: status, show: func() any { return body }}
}

// routeTable finds operations by method and number of path parts.
type routeTable map[string][]*route

func tableKey(method string, parts int) string { return method + " " + strconv.Itoa(parts) }

var loadRoutes = sync.OnceValues(func() ([]route, error) {
	text, err := tables.Unpack(routesGz)
	if err != nil {
		return nil, fmt.Errorf("embedded route table: %w", err)
	}
	var out []route
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 4 || f[0] == "#" {
			continue
		}
		out = append(out, route{operation: f[0], method: f[1], parts: strings.Split(strings.Trim(f[2], "/"), "/"), version: f[3]})
	}
	return out, lines.Err()
})

// routes makes the table: operations that the lab has, and Azure's own refusal for all others of the API.
func (s *Service) routes() (routeTable, error) {
	all, err := loadRoutes()
	if err != nil {
		return nil, err
	}
	own := s.handlers()
	table := routeTable{}
	for _, r := range append(slices.Clone(all), ownRoutes...) {
		r.handler = own[r.operation]
		delete(own, r.operation)
		if r.handler == nil {
			r.handler = notOffered
		}
		k := tableKey(r.method, len(r.parts))
		table[k] = append(table[k], &r)
	}
	for operation := range own {
		return nil, fmt.Errorf("no such operation in the API: %s", operation)
	}
	return table, nil
}

// notOffered refuses an operation that the lab doesn't have as Azure refuses one that a location doesn't have.
func notOffered(c *call) (*answer, *apiError) {
	e := refuse(http.StatusBadRequest, "OperationNotSupported", "The operation '%s' is not supported.", c.route.operation)
	e.gateway = true
	return nil, e
}

func isVariable(part string) bool { return strings.HasPrefix(part, "{") }

func (r *route) fits(parts []string) bool {
	for i, p := range r.parts {
		if isVariable(p) && parts[i] == "" || !isVariable(p) && !strings.EqualFold(p, parts[i]) {
			return false
		}
	}
	return true
}

// moreLiteral says which of two routes that fit a path is meant: the one with a fixed part earliest.
func (r *route) moreLiteral(other *route) bool {
	for i, p := range r.parts {
		if a, b := isVariable(p), isVariable(other.parts[i]); a != b {
			return b
		}
	}
	return false
}

func (t routeTable) find(method string, parts []string) *route {
	var best *route
	for _, r := range t[tableKey(method, len(parts))] {
		if r.fits(parts) && (best == nil || r.moreLiteral(best)) {
			best = r
		}
	}
	return best
}

const maxBody = 4 << 20

// ServeHTTP serves the API and the directory.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Ms-Request-Id", newUUID())
	if id := r.Header.Get("X-Ms-Client-Request-Id"); id != "" {
		w.Header().Set("X-Ms-Client-Request-Id", id)
	}
	if s.serveDirectory(w, r) {
		return
	}
	w.Header().Set("X-Ms-Correlation-Request-Id", newUUID())
	w.Header().Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	a, err := s.dispatch(w, r)
	if err != nil {
		s.log.Debug("refused", "method", r.Method, "path", r.URL.Path, "status", err.status, "code", err.code, "message", err.message)
		s.writeError(w, r, err)
		return
	}
	s.write(w, a)
}

func (s *Service) writeError(w http.ResponseWriter, r *http.Request, err *apiError) {
	if err.gateway {
		w.Header().Set("X-Ms-Failure-Cause", "gateway")
	}
	if err.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization_uri="%s/%s", error="invalid_token", error_description="%s"`, s.cfg.BaseURL(), s.cfg.Tenant, err.message))
	}
	if err.status == http.StatusTooManyRequests {
		s.setRetryAfter(w.Header(), 10*time.Second)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(err.status)
		return
	}
	writeJSON(w, err.status, map[string]any{"error": err.body()})
}

// write sends an answer. Where the cloud's delays are none, what an operation does is mostly done before: then the answer
// says so, as Azure's do of what is quick.
func (s *Service) write(w http.ResponseWriter, a *answer) {
	if a.op != nil {
		s.waitShortly(a.op)
	}
	var body []byte
	if a.show != nil {
		s.mu.Lock()
		var err error
		body, err = json.Marshal(a.show())
		s.mu.Unlock()
		if err != nil {
			s.log.Error("answer", "err", err)
			writeJSON(w, http.StatusInternalServerError, map[string]any{"error": internalError(err).body()})
			return
		}
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	w.Write(body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

var versionForm = regexp.MustCompile(`^20\d\d-[01]\d-[0-3]\d(-preview)?$`)

// dispatch finds the operation and answers it.
func (s *Service) dispatch(w http.ResponseWriter, r *http.Request) (*answer, *apiError) {
	if err := s.authenticate(r); err != nil {
		return nil, err
	}
	s.countDown(w, r)
	c, err := s.route(r)
	if err != nil {
		return nil, err
	}
	if err := s.checkPlace(c); err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		body, readErr := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
		if readErr != nil {
			return nil, refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content could not be read: '%v'.", readErr)
		}
		c.body = body
	}
	a, err := c.route.handler(c)
	if err != nil && !err.gateway && c.route.service() == "network" && err.details == nil {
		err.details = []errorDetail{} // as that provider writes them
	}
	return a, err
}

// route finds the operation of a request.
func (s *Service) route(r *http.Request) (*call, *apiError) {
	// Clients that put paths together of parts that may be empty double a slash; Azure takes it for one.
	parts := strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' })
	found := s.table.find(r.Method, parts)
	if found == nil {
		e := &apiError{status: http.StatusNotFound, code: "InvalidResourceType", gateway: true, message: fmt.Sprintf(
			"The resource type could not be found in the namespace for the path '%s' and the method %s.", r.URL.Path, r.Method)}
		if len(parts) < 4 {
			e = &apiError{status: http.StatusNotFound, code: "MissingSubscription", gateway: true,
				message: "The request did not have a subscription or a valid tenant level resource provider."}
		}
		return nil, e
	}
	c := &call{r: r, q: r.URL.Query(), route: found, vars: map[string]string{}}
	for i, p := range found.parts {
		if isVariable(p) {
			c.vars[strings.Trim(p, "{}")] = parts[i]
			p = parts[i]
		}
		if strings.EqualFold(p, "resourcegroups") {
			p = "resourceGroups"
		}
		c.id += "/" + p
	}
	return c, checkVersion(c)
}

// checkVersion refuses requests without an api-version and with one that is newer than any known; older ones are answered
// like the newest.
func checkVersion(c *call) *apiError {
	version := c.q.Get("api-version")
	switch {
	case version == "":
		return &apiError{status: http.StatusBadRequest, code: "MissingApiVersionParameter", gateway: true,
			message: "The api-version query parameter (?api-version=) is required for all requests."}
	case !versionForm.MatchString(version):
		return &apiError{status: http.StatusBadRequest, code: "InvalidApiVersionParameter", gateway: true, message: fmt.Sprintf(
			"The api-version '%s' is invalid. The supported versions are up to '%s'.", version, c.route.version)}
	case version > newestVersion && c.route.service() != "lab":
		return &apiError{status: http.StatusBadRequest, code: "NoRegisteredProviderFound", gateway: true, message: fmt.Sprintf(
			"No registered resource provider found for API version '%s' for type '%s'. The supported api-versions are up to '%s'.", version, c.route.operation, c.route.version)}
	}
	return nil
}

// newestVersion is the last api-version that is taken for one: recordings of the real API have versions that are newer than
// the SDK's.
const newestVersion = "2026-12-31"

// countDown sets the headers that tell how many requests are left.
func (s *Service) countDown(w http.ResponseWriter, r *http.Request) {
	kind, left := "Writes", "2999"
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		kind, left = "Reads", "3749"
	case http.MethodDelete:
		kind, left = "Deletes", "2999"
	}
	w.Header().Set("X-Ms-Ratelimit-Remaining-Subscription-Global-"+kind, left)
}

// checkPlace refuses subscriptions, resource providers and locations that aren't there, and writes into groups that
// aren't.
func (s *Service) checkPlace(c *call) *apiError {
	if sub, ok := c.vars["subscriptionId"]; ok && !strings.EqualFold(sub, s.cfg.Subscription) {
		return &apiError{status: http.StatusNotFound, code: "SubscriptionNotFound", gateway: true, message: fmt.Sprintf("The subscription '%s' could not be found.", sub)}
	}
	if location, ok := c.vars["location"]; ok {
		if _, known := s.cat.location(location); !known {
			return &apiError{status: http.StatusBadRequest, code: "NoRegisteredProviderFound", gateway: true, message: fmt.Sprintf("No registered resource provider found for location '%s'.", location)}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.group() == "" || c.route.service() == "resources" {
		return nil
	}
	if s.st.Groups[strings.ToLower(c.group())] == nil {
		return groupNotFound(c.group())
	}
	if ns := parseID(c.id).namespace; c.r.Method == http.MethodPut && s.st.Unregistered[strings.ToLower(ns)] {
		return &apiError{status: http.StatusConflict, code: "MissingSubscriptionRegistration", gateway: true, message: fmt.Sprintf(
			"The subscription is not registered to use namespace '%s'. See https://aka.ms/rps-not-found for how to register subscriptions.", ns)}
	}
	return nil
}
