package gce

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// apiMethod is one method of the API, from Google's discovery document.
type apiMethod struct {
	id      string // "networks.insert"
	http    string
	parts   []string // the path below /compute/v1/, split
	kind    string   // the answer's kind where it is fixed
	array   string   // for aggregated lists the name of the array in each scope
	handler handler
}

func (m *apiMethod) resource() string { return m.id[:strings.IndexByte(m.id, '.')] }

// handler answers a call; a nil answer without error is 204.
type handler func(*call) (any, *apiError)

// call is one request to a method of the API.
type call struct {
	r      *http.Request
	q      url.Values
	method *apiMethod
	// path is the request's path below /compute/v1/.
	path string
	// project is the project's id, also where the request has its number.
	project, region, zone string
	// name is the resource's name or id, the last variable of the path.
	name string
	body []byte
	user string
}

// scopePath is the path of the place that the call is about: "projects/p/zones/z", "projects/p/global".
func (c *call) scopePath() string {
	switch {
	case c.zone != "":
		return "projects/" + c.project + "/zones/" + c.zone
	case c.region != "":
		return "projects/" + c.project + "/regions/" + c.region
	}
	return "projects/" + c.project + "/global"
}

// methodTable finds methods by HTTP method and number of path parts.
type methodTable map[string][]*apiMethod

func tableKey(httpMethod string, parts int) string { return httpMethod + string(rune('0'+parts)) }

var loadMethods = sync.OnceValue(func() []apiMethod {
	var out []apiMethod
	lines := bufio.NewScanner(bytes.NewReader(unpack(methodsGz)))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 5 || f[0] == "#" {
			continue
		}
		out = append(out, apiMethod{id: f[0], http: f[1], parts: strings.Split(f[2], "/"), kind: f[3], array: f[4]})
	}
	return out
})

// routes makes the table: methods that the lab has, and the cloud's own "not implemented" for all others of the API.
func (s *Service) routes() methodTable {
	own := s.handlers()
	table := methodTable{}
	for _, m := range loadMethods() {
		m.handler = own[m.id]
		delete(own, m.id)
		if m.handler == nil {
			m.handler = s.readHandler(&m)
		}
		if m.handler == nil {
			m.handler = func(c *call) (any, *apiError) { return nil, unsupportedMethod(c.method.id) }
		}
		k := tableKey(m.http, len(m.parts))
		table[k] = append(table[k], &m)
	}
	for id := range own {
		panic("gce: no such method in the API: " + id)
	}
	return table
}

// find returns the method of a path; where several fit, the one with a literal earliest.
func (t methodTable) find(httpMethod string, parts []string) *apiMethod {
	var best *apiMethod
	for _, m := range t[tableKey(httpMethod, len(parts))] {
		if m.fits(parts) && (best == nil || m.moreLiteral(best)) {
			best = m
		}
	}
	return best
}

func isVariable(part string) bool { return strings.HasPrefix(part, "{") }

func (m *apiMethod) fits(parts []string) bool {
	for i, p := range m.parts {
		if isVariable(p) && parts[i] == "" || !isVariable(p) && p != parts[i] {
			return false
		}
	}
	return true
}

func (m *apiMethod) moreLiteral(other *apiMethod) bool {
	for i, p := range m.parts {
		if a, b := isVariable(p), isVariable(other.parts[i]); a != b {
			return b
		}
	}
	return false
}

const maxBody = 8 << 20

// ServeHTTP serves the API, its batches and the token endpoint.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/token" || path == "/oauth2/v4/token":
		s.serveToken(w, r)
	case path == "/oauth2/v3/tokeninfo" || path == "/tokeninfo":
		s.serveTokenInfo(w, r)
	case path == "/oauth2/v3/userinfo" || path == "/oauth2/v2/userinfo":
		s.serveUserInfo(w, r)
	case managerPath.MatchString(path):
		s.serveManager(w, r)
	case path == "/batch/compute/v1" || path == "/batch":
		s.serveBatch(w, r)
	case strings.HasPrefix(path, "/compute/v1/"):
		s.serveAPI(w, r, strings.TrimPrefix(path, "/compute/v1/"))
	default:
		e := &apiError{code: http.StatusNotFound, reason: "notFound", message: "Not Found"}
		write(w, r, e.code, e.body())
	}
}

func (s *Service) serveAPI(w http.ResponseWriter, r *http.Request, path string) {
	answer, err := s.dispatch(r, path)
	switch {
	case err != nil:
		s.log.Debug("refused", "method", r.Method, "path", path, "code", err.code, "reason", err.reason, "message", err.message)
		if err.code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
		}
		write(w, r, err.code, err.body())
	case answer == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		m, isMap := answer.(map[string]any)
		if !isMap {
			var renderErr error
			if m, renderErr = s.render(answer); renderErr != nil {
				s.log.Error("answer", "path", path, "err", renderErr)
				e := &apiError{code: http.StatusInternalServerError, reason: "backendError", message: "Backend Error"}
				write(w, r, e.code, e.body())
				return
			}
		}
		s.log.Log(r.Context(), slog.LevelDebug, "served", "method", r.Method, "path", path)
		write(w, r, http.StatusOK, m)
	}
}

func (s *Service) dispatch(r *http.Request, path string) (any, *apiError) {
	user, err := s.authenticate(r)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(path, "/")
	httpMethod := r.Method
	if over := r.Header.Get("X-HTTP-Method-Override"); over != "" && httpMethod == http.MethodPost {
		httpMethod = over
	}
	m := s.table.find(httpMethod, parts)
	if m == nil {
		return nil, &apiError{code: http.StatusNotFound, reason: "notFound", message: "Not Found"}
	}
	c := &call{r: r, q: r.URL.Query(), method: m, path: path, user: user}
	if err := s.place(c, parts); err != nil {
		return nil, err
	}
	if httpMethod != http.MethodGet {
		body, readErr := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
		if readErr != nil {
			return nil, badJSON("Request body could not be read: %v", readErr)
		}
		c.body = body
		if answer, err := s.repeated(c); answer != nil || err != nil {
			return answer, err
		}
	}
	return m.handler(c)
}

// place fills in what the path says, and refuses projects, regions and zones that don't exist.
func (s *Service) place(c *call, parts []string) *apiError {
	for i, p := range c.method.parts {
		switch p {
		case "{project}":
			c.project = parts[i]
		case "{region}":
			c.region = parts[i]
		case "{zone}":
			c.zone = parts[i]
		}
		if isVariable(p) {
			c.name = parts[i]
		}
	}
	if c.project == s.number() {
		c.project = s.cfg.Project
	}
	if c.project != s.cfg.Project && c.project != "" {
		public := slices.Contains(publicProjects, c.project) && slices.Contains([]string{"images", "imageFamilyViews", "licenses"}, c.method.resource())
		if !public || c.method.http != http.MethodGet {
			return notFound("projects/" + c.project)
		}
	}
	// The methods of regions and zones themselves name them as the resource; those say "not found" on their own.
	if r := c.method.resource(); r == "regions" || r == "zones" {
		c.region, c.zone = "", ""
		return nil
	}
	if c.region != "" && s.cat.region(c.region) == nil {
		return unknownPlace("region", c.region)
	}
	if c.zone == "-" && c.method.resource() == "imageFamilyViews" {
		return nil
	}
	if c.zone != "" && s.cat.zoneRegion(c.zone) == nil {
		return unknownPlace("zone", c.zone)
	}
	return nil
}

func unknownPlace(kind, name string) *apiError {
	return invalidField(kind, name, "Unknown "+kind+".")
}
