package arm

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/skyweld/skyweld/lab/fault"
)

// Dialect says how the API's requests and errors read, for faults on request.
func (s *Service) Dialect() fault.Dialect { return dialect{s} }

type dialect struct{ *Service }

// tokenAction is what the token endpoint is called in a rule: it is no operation of the API.
const tokenAction = "oauth2.token"

// Request names an action as the official SDK's clients name operations: "network.Subnets.Delete". A request's location
// is that of its path, of the resource, or of its group.
func (d dialect) Request(r *http.Request) fault.Request {
	path := strings.ToLower(r.URL.Path)
	if strings.HasSuffix(path, "/oauth2/token") || strings.HasSuffix(path, "/oauth2/v2.0/token") {
		return fault.Request{Action: tokenAction}
	}
	c, _ := d.route(r)
	if c == nil {
		return fault.Request{}
	}
	what := fault.Request{Action: c.route.operation, List: strings.Contains(c.route.operation[strings.LastIndexByte(c.route.operation, '.')+1:], "List")}
	if l, ok := c.vars["location"]; ok {
		place, _ := d.cat.location(l)
		what.Region = place.Name
		return what
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if res := d.find(c.id); res != nil {
		what.Region = res.meta().Location
	} else if g := d.st.Groups[strings.ToLower(c.group())]; g != nil {
		what.Region = g.Location
	}
	return what
}

// Unfinished has operations go on, as what Azure-AsyncOperation and Location point to shows them.
func (d dialect) Unfinished(r *http.Request, a *fault.Answer) bool {
	path := strings.ToLower(r.URL.Path)
	switch monitor := r.URL.Query().Get("monitor") == "true"; {
	case strings.Contains(path, "/operationresults/") || monitor:
		*a = fault.Answer{Status: http.StatusAccepted, Header: http.Header{"Location": {d.cfg.BaseURL() + r.URL.RequestURI()}}}
		return true
	case strings.Contains(path, "/operations/"):
		a.Body = fmt.Appendf(nil, `{"status":%q}`, inProgress)
		a.Status, a.Header = http.StatusOK, http.Header{"Content-Type": {"application/json; charset=utf-8"}}
		return true
	}
	return false
}

// Refuse answers with Azure's error of a kind.
func (d dialect) Refuse(w http.ResponseWriter, r *http.Request, what fault.Request, kind fault.Kind) bool {
	if what.Action == tokenAction {
		return d.refuseToken(w, kind)
	}
	if d.authenticate(r) != nil {
		return false // that comes first
	}
	c, _ := d.route(r)
	if c == nil {
		return false
	}
	e := d.refusal(c, what, kind)
	if e == nil {
		return false
	}
	d.writeError(w, r, e)
	return true
}

// refusal is the error of a kind for a call, nil where there is none.
func (d dialect) refusal(c *call, what fault.Request, kind fault.Kind) *apiError {
	switch kind {
	case fault.Throttle:
		if c.route.service() == "compute" {
			return refuse(http.StatusTooManyRequests, "OperationNotAllowed", "The server rejected the request because too many requests have been received for this subscription.")
		}
		return &apiError{status: http.StatusTooManyRequests, code: "TooManyRequests", gateway: true, message: fmt.Sprintf(
			"Number of requests for subscription '%s' and operation '%s' exceeded the backend storage limit. Please try again after '10' seconds.", d.cfg.Subscription, c.route.operation)}
	case fault.Deny:
		return &apiError{status: http.StatusForbidden, code: "AuthorizationFailed", gateway: true, message: fmt.Sprintf(
			"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			d.cfg.ClientID, d.objectID(d.cfg.ClientID), c.route.permission(), c.id)}
	case fault.Expire:
		return &apiError{status: http.StatusUnauthorized, code: "ExpiredAuthenticationToken", gateway: true, message: "The access token expiry UTC time is earlier than current UTC time."}
	case fault.Error:
		return refuse(http.StatusInternalServerError, "InternalServerError", "An error occurred.")
	case fault.Quota:
		return d.full(c, what.Region)
	case fault.Capacity:
		return d.exhausted(c, what.Region)
	}
	return nil
}

// full says that a quota is used up, for what counts to one.
func (d dialect) full(c *call, location string) *apiError {
	switch c.route.operation {
	case "compute.VirtualMachines.CreateOrUpdate":
		return coresExceeded(location, "cores", 0, 0, 2)
	case "network.PublicIPAddresses.CreateOrUpdate":
		return refuse(http.StatusBadRequest, "PublicIPCountLimitReached", "Cannot create more than 0 public IP addresses for this subscription in this region.")
	case "network.VirtualNetworks.CreateOrUpdate", "network.SecurityGroups.CreateOrUpdate", "network.Interfaces.CreateOrUpdate":
		name, _, _ := strings.Cut(strings.TrimPrefix(c.route.operation, "network."), ".")
		return refuse(http.StatusBadRequest, strings.TrimSuffix(name, "s")+"CountLimitReached", "Cannot create more than 0 %s for this subscription in this region.", name)
	case "resources.ResourceGroups.CreateOrUpdate":
		return refuse(http.StatusConflict, "ResourceGroupQuotaExceeded", "Creating the resource group '%s' would exceed the quota of '980'. The current resource group count is '980', please delete some resource groups before creating a new one.", c.group())
	}
	return nil
}

// exhausted says that a location has no machines left.
func (d dialect) exhausted(c *call, location string) *apiError {
	switch c.route.operation {
	case "compute.VirtualMachines.CreateOrUpdate", "compute.VirtualMachines.Start":
		e := refuse(http.StatusConflict, "AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this region (%s). "+
			"Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance", location)
		if strings.HasSuffix(c.route.operation, "CreateOrUpdate") {
			e = refuse(http.StatusConflict, "SkuNotAvailable", "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: %s' is currently not available in location '%s'. "+
				"Please try another size or deploy to a different location or different zone. See https://aka.ms/azureskunotavailable for details.", lastName(c.id), location)
		}
		return e
	}
	return nil
}

func (d dialect) refuseToken(w http.ResponseWriter, kind fault.Kind) bool {
	switch kind {
	case fault.Throttle:
		d.oauthError(w, http.StatusTooManyRequests, "temporarily_unavailable", 90055, "Server terminated request due to excessive request rate.")
	case fault.Deny:
		d.oauthError(w, http.StatusUnauthorized, "invalid_client", 7000112, fmt.Sprintf("Application '%s' is disabled.", d.cfg.ClientID))
	case fault.Expire:
		d.oauthError(w, http.StatusUnauthorized, "invalid_client", 7000222, fmt.Sprintf("The provided client secret keys for app '%s' are expired.", d.cfg.ClientID))
	case fault.Error:
		d.oauthError(w, http.StatusServiceUnavailable, "server_error", 90033, "A transient error has occurred. Please try again.")
	default:
		return false
	}
	return true
}
