package gce

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
)

// managerPath is the one method of the Cloud Resource Manager API that the lab has, projects.testIamPermissions of v1 and
// v3.
var managerPath = regexp.MustCompile(`^/(?:v1|v3)/projects/([^/:]+):testIamPermissions$`)

// permissionPattern is the form of a permission's name.
var permissionPattern = regexp.MustCompile(`^[a-z]+\.[A-Za-z]+\.[A-Za-z]+$`)

// maxPermissions is how many permissions one request may ask for.
const maxPermissions = 100

// serveManager answers which of the permissions that a request names the caller has in the project.
func (s *Service) serveManager(w http.ResponseWriter, r *http.Request) {
	answer, err := s.testPermissions(r)
	if err != nil {
		write(w, r, err.code, err.body())
		return
	}
	write(w, r, http.StatusOK, answer)
}

func (s *Service) testPermissions(r *http.Request) (map[string]any, *apiError) {
	if _, err := s.authenticate(r); err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost {
		return nil, &apiError{code: http.StatusNotFound, reason: "notFound", message: "Not Found"}
	}
	project := managerPath.FindStringSubmatch(r.URL.Path)[1]
	if project != s.cfg.Project && project != s.number() {
		return nil, &apiError{code: http.StatusForbidden, reason: "forbidden", message: "The caller does not have permission"}
	}
	body, readErr := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if readErr != nil {
		return nil, badJSON("Request body could not be read: %v", readErr)
	}
	var in struct {
		Permissions []string `json:"permissions"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, badJSON("Invalid JSON payload received. %v", err)
	}
	if len(in.Permissions) > maxPermissions {
		return nil, &apiError{code: http.StatusBadRequest, reason: "badRequest", message: "Too many permissions in the request."}
	}
	held := []string{}
	for _, p := range in.Permissions {
		if !permissionPattern.MatchString(p) {
			return nil, &apiError{code: http.StatusBadRequest, reason: "badRequest", message: "Permission " + p + " is not valid for this resource."}
		}
		if s.holds(p) {
			held = append(held, p)
		}
	}
	if len(held) == 0 {
		return map[string]any{}, nil
	}
	return map[string]any{"permissions": held}, nil
}

// holds says whether no method that needs a permission is denied.
func (s *Service) holds(name string) bool {
	if s.cfg.Denied == nil {
		return true
	}
	return !slices.ContainsFunc(loadMethods(), func(m apiMethod) bool {
		return "compute."+permission(m.id) == name && s.cfg.Denied("compute."+m.id)
	})
}
