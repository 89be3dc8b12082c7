package digitalocean

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/fault"
)

// Dialect says how the API's requests and errors read, for faults on request.
func (s *Service) Dialect() fault.Dialect { return dialect{s} }

type dialect struct{ *Service }

// Request names an action by the permission that it needs, as the scopes of tokens are called: "droplet:create". A
// request is about the region of what it names, or that it asks for.
func (d dialect) Request(r *http.Request) fault.Request {
	_, pattern := d.mux.Handler(r)
	to, known := d.routes[pattern]
	if !known {
		return fault.Request{}
	}
	list := r.Method == http.MethodGet && !strings.Contains(pattern, "{") && !strings.HasSuffix(pattern, "/account")
	return fault.Request{Action: to.scope, Region: d.regionOf(r), List: list}
}

// regionOf finds the region that a request is about; empty for none.
func (d dialect) regionOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) > 2 {
		d.mu.Lock()
		defer d.mu.Unlock()
		number, _ := strconv.Atoi(parts[2])
		switch parts[1] {
		case "droplets":
			if v := d.rec.Droplets[number]; v != nil {
				return v.Region
			}
		case "vpcs":
			if v := d.rec.VPCs[parts[2]]; v != nil {
				return v.Region
			}
		case "volumes":
			if v := d.rec.Volumes[parts[2]]; v != nil {
				return v.Region
			}
		case "reserved_ips":
			if v := d.rec.Reserved[parts[2]]; v != nil {
				return v.Region
			}
		}
		return ""
	}
	if r.Method != http.MethodPost {
		return ""
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	var in struct{ Region string }
	if err != nil || json.Unmarshal(body, &in) != nil {
		return ""
	}
	return in.Region
}

// unfinished are the states of what is done, and those before them: of actions, and of droplets.
var unfinished = strings.NewReplacer(`"status":"completed"`, `"status":"in-progress"`, `"status":"active"`, `"status":"new"`)

// Unfinished has actions and new droplets still on their way.
func (d dialect) Unfinished(r *http.Request, a *fault.Answer) bool {
	if !strings.Contains(r.URL.Path, "/droplets") && !strings.Contains(r.URL.Path, "/actions") {
		return false
	}
	before := string(a.Body)
	after := unfinished.Replace(before)
	a.Body = []byte(after)
	return after != before
}

// full are the words in which a quota that is full is told.
var full = map[string]*apiError{
	"droplet:create":       unprocessable("creating this/these droplet(s) will exceed your droplet limit"),
	"reserved_ip:create":   errReservedLimit,
	"block_storage:create": forbidden("failed to create volume: volume limit exceeded"),
}

// Refuse answers with the API's error of a kind.
func (d dialect) Refuse(w http.ResponseWriter, r *http.Request, what fault.Request, kind fault.Kind) bool {
	if what.Action == "" {
		return false
	}
	e := errUnauthorized
	if d.authentic(r) {
		e = refusal(what.Action, kind)
	} else if kind != fault.Throttle {
		return false // who isn't known is told so, whatever goes wrong
	}
	if e == nil {
		return false
	}
	d.rate.admit(w.Header())
	if e == errTooMany {
		w.Header().Set("Ratelimit-Remaining", "0")
		w.Header().Set("Retry-After", "1")
	}
	id := newUUID()
	w.Header().Set("X-Request-Id", id)
	d.fail(w, r, id, e)
	return true
}

// refusal is the error of a kind; nil where the API has none for an action.
func refusal(action string, kind fault.Kind) *apiError {
	switch kind {
	case fault.Throttle:
		return errTooMany
	case fault.Deny:
		return errScope
	case fault.Expire:
		return errUnauthorized
	case fault.Error:
		return errServer
	case fault.Quota:
		return full[action]
	case fault.Capacity:
		if action == "droplet:create" {
			return unprocessable("Size is not available in this region.")
		}
	}
	return nil
}
