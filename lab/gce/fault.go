package gce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/skyweld/skyweld/lab/fault"
)

// Dialect says how the API's requests and errors read, for faults on request.
func (s *Service) Dialect() fault.Dialect { return dialect{s} }

type dialect struct{ *Service }

// tokenAction is what the token endpoint is called in a rule: it is no method of an API. managerAction is the one method
// of another API.
const (
	tokenAction   = "oauth2.token"
	managerAction = "cloudresourcemanager.projects.testIamPermissions"
)

// Request names an action as the discovery document names methods: "compute.instances.insert". A request about a zone is
// about the zone's region.
func (d dialect) Request(r *http.Request) fault.Request {
	if r.URL.Path == "/token" || r.URL.Path == "/oauth2/v4/token" {
		return fault.Request{Action: tokenAction}
	}
	if managerPath.MatchString(r.URL.Path) {
		return fault.Request{Action: managerAction}
	}
	m, parts := d.method(r)
	if m == nil {
		return fault.Request{}
	}
	what := fault.Request{Action: "compute." + m.id, List: strings.HasSuffix(m.id, ".list") || strings.HasSuffix(m.id, ".aggregatedList")}
	for i, p := range m.parts {
		switch p {
		case "{region}":
			what.Region = parts[i]
		case "{zone}":
			what.Region = zoneToRegion(parts[i])
		}
	}
	return what
}

func (d dialect) method(r *http.Request) (*apiMethod, []string) {
	path, ok := strings.CutPrefix(r.URL.Path, "/compute/v1/")
	if !ok {
		return nil, nil
	}
	parts := strings.Split(path, "/")
	return d.table.find(r.Method, parts), parts
}

// Unfinished has operations run on.
func (d dialect) Unfinished(_ *http.Request, a *fault.Answer) bool {
	var op map[string]any
	if json.Unmarshal(a.Body, &op) != nil || op["kind"] != "compute#operation" || op["status"] != "DONE" {
		return false
	}
	op["status"], op["progress"] = "RUNNING", 50
	for _, end := range []string{"endTime", "error", "httpErrorStatusCode", "httpErrorMessage"} {
		delete(op, end)
	}
	text, err := json.Marshal(op)
	a.Body = text
	return err == nil
}

// Refuse answers with Google's error of a kind; what a machine's insertion or start fails by shows in its operation.
func (d dialect) Refuse(w http.ResponseWriter, r *http.Request, what fault.Request, kind fault.Kind) bool {
	if what.Action == tokenAction {
		return refuseToken(w, r, kind)
	}
	if _, err := d.authenticate(r); err != nil {
		return false // that comes first
	}
	e := d.refusal(kind)
	m, parts := d.method(r)
	switch {
	case e != nil && (m != nil || what.Action == managerAction):
	case m == nil:
		return false // anybody may ask what they may do
	case kind == fault.Deny:
		e = &apiError{code: http.StatusForbidden, reason: "forbidden", message: fmt.Sprintf(
			"Required 'compute.%s' permission for '%s'", permission(m.id), strings.Join(parts, "/"))}
	case kind == fault.Quota:
		return d.refuseQuota(w, r, m, what.Region)
	case kind == fault.Capacity && (m.id == "instances.insert" || m.id == "instances.start"):
		return d.doom(w, r, m, &opError{code: "ZONE_RESOURCE_POOL_EXHAUSTED", http: http.StatusServiceUnavailable, message: fmt.Sprintf(
			"The zone '%s' does not have enough resources available to fulfill the request.  Try a different zone, or try again later.", strings.Join(parts[:4], "/"))})
	default:
		return false
	}
	if e.code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	}
	write(w, r, e.code, e.body())
	return true
}

// refusal is the error of a kind that is the same whatever is asked for; nil for other kinds.
func (d dialect) refusal(kind fault.Kind) *apiError {
	switch kind {
	case fault.Throttle:
		return &apiError{code: http.StatusForbidden, reason: "rateLimitExceeded", message: fmt.Sprintf(
			"Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com' for consumer 'project_number:%s'.", d.number())}
	case fault.Expire:
		return &apiError{
			code: http.StatusUnauthorized, reason: "authError", status: "UNAUTHENTICATED", location: "Authorization", locationType: "header",
			message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
				"See https://developers.google.com/identity/sign-in/web/devconsole-project.",
		}
	case fault.Error:
		return &apiError{code: http.StatusInternalServerError, reason: "backendError", message: "Backend Error"}
	}
	return nil
}

func refuseToken(w http.ResponseWriter, r *http.Request, kind fault.Kind) bool {
	switch kind {
	case fault.Throttle:
		oauthError(w, r, http.StatusTooManyRequests, "rate_limit_exceeded", "Rate limit exceeded.")
	case fault.Deny:
		oauthError(w, r, http.StatusUnauthorized, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
	case fault.Expire:
		oauthError(w, r, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	case fault.Error:
		oauthError(w, r, http.StatusInternalServerError, "internal_failure", "")
	default:
		return false
	}
	return true
}

// permission is the one that a method needs. Most are called like the method.
func permission(method string) string {
	resource, verb, _ := strings.Cut(method, ".")
	switch verb {
	case "insert":
		verb = "create"
	case "aggregatedList":
		verb = "list"
	case "patch":
		verb = "update"
	case "wait":
		verb = "get"
	}
	return resource + "." + verb
}

// counted are the quotas that insertions count to; those of a region are marked.
var counted = map[string]struct {
	metric   string
	regional bool
}{
	"networks.insert": {"NETWORKS", false}, "subnetworks.insert": {"SUBNETWORKS", false}, "firewalls.insert": {"FIREWALLS", false},
	"routes.insert": {"ROUTES", false}, "addresses.insert": {"STATIC_ADDRESSES", true}, "disks.insert": {"SSD_TOTAL_GB", true},
	"instances.insert": {"CPUS", true}, "instances.start": {"CPUS", true},
}

// refuseQuota says that a quota is full: at once, but for machines in the operation.
func (d dialect) refuseQuota(w http.ResponseWriter, r *http.Request, m *apiMethod, region string) bool {
	q, ok := counted[m.id]
	if !ok {
		return false
	}
	where := "globally"
	if q.regional {
		where = "in region " + region
	}
	e := &apiError{code: http.StatusForbidden, reason: "quotaExceeded", message: fmt.Sprintf("Quota '%s' exceeded.  Limit: 0.0 %s.", q.metric, where)}
	if m.resource() == "instances" {
		return d.doom(w, r, m, e.asOpError())
	}
	write(w, r, e.code, e.body())
	return true
}

// doom accepts a request about a machine and has its operation fail.
func (d dialect) doom(w http.ResponseWriter, r *http.Request, m *apiMethod, failure *opError) bool {
	path := strings.TrimPrefix(r.URL.Path, "/compute/v1/")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	var named struct {
		Name string `json:"name"`
	}
	j := job{verb: "start", target: strings.TrimSuffix(path, "/start"), doomed: true, work: func(context.Context) *opError { return failure }}
	if m.id == "instances.insert" {
		if err != nil || json.Unmarshal(body, &named) != nil || named.Name == "" {
			return false // the request is no good anyhow
		}
		j.verb, j.target = "insert", path+"/"+named.Name
	}
	j.targetID = newID()
	c := &call{r: r, q: r.URL.Query(), method: m, path: path, user: d.key.email}
	d.mu.Lock()
	answer, refused := d.start(c, j)
	d.mu.Unlock()
	if refused != nil {
		write(w, r, refused.code, refused.body())
		return true
	}
	text, err := d.render(answer)
	if err != nil {
		return false
	}
	write(w, r, http.StatusOK, text)
	return true
}
