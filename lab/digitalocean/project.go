package digitalocean

import (
	"net/http"
	"slices"
	"strings"
)

var projectRoutes = map[string]route{
	"GET /v2/projects":                      {"project:read", (*call).listProjects},
	"POST /v2/projects":                     {"project:create", (*call).createProject},
	"GET /v2/projects/{project}":            {"project:read", (*call).getProject},
	"PUT /v2/projects/{project}":            {"project:update", (*call).changeProject},
	"PATCH /v2/projects/{project}":          {"project:update", (*call).changeProject},
	"DELETE /v2/projects/{project}":         {"project:delete", (*call).deleteProject},
	"GET /v2/projects/{project}/resources":  {"project:read", (*call).listProjectResources},
	"POST /v2/projects/{project}/resources": {"project:assign_resource", (*call).assignResources},
}

type projectView struct {
	ID          string `json:"id"`
	Owner       string `json:"owner_uuid"`
	OwnerID     int    `json:"owner_id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Purpose     string `json:"purpose"`
	Environment string `json:"environment"`
	Default     bool   `json:"is_default"`
	Created     string `json:"created_at"`
	Updated     string `json:"updated_at"`
}

// ownerID is the account's number, which nothing but projects shows.
const ownerID = 258992

func (c *call) projectView(p *project) projectView {
	return projectView{p.ID, c.rec.Account, ownerID, p.Name, p.Description, p.Purpose, p.Environment, p.Default, stamp(p.Created), stamp(p.Updated)}
}

// projectWhere finds the path's project; "default" is the one that takes what says nothing else.
func (c *call) projectWhere() (*project, *apiError) {
	id := c.r.PathValue("project")
	if id == "default" {
		return c.defaultProject(), nil
	}
	return find(c, c.rec.Projects, "project")
}

func (s *Service) defaultProject() *project {
	for _, p := range sorted(s.rec.Projects) {
		if p.Default {
			return p
		}
	}
	return &project{} // there is always one
}

// projectOf is the project that a resource is in.
func (s *Service) projectOf(urn string) string {
	if a, elsewhere := s.rec.Assigned[urn]; elsewhere && s.rec.Projects[a.Project] != nil {
		return a.Project
	}
	return s.defaultProject().ID
}

func (c *call) listProjects() (answer, *apiError) {
	var all []projectView
	for _, p := range sorted(c.rec.Projects) {
		all = append(all, c.projectView(p))
	}
	return page(c, "projects", all)
}

func (c *call) getProject() (answer, *apiError) {
	p, err := c.projectWhere()
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"project": c.projectView(p)})
}

// projectRequest is what a request says of a project.
type projectRequest struct {
	Name, Description, Purpose, Environment *string
	Default                                 *bool `json:"is_default"`
}

// apply changes a project as a request says, after it has checked it.
func (c *call) apply(p *project, in projectRequest) *apiError {
	next := *p
	for at, v := range map[*string]*string{&next.Name: in.Name, &next.Description: in.Description, &next.Purpose: in.Purpose, &next.Environment: in.Environment} {
		if v != nil {
			*at = *v
		}
	}
	switch {
	case next.Name == "" || len(next.Name) > 175:
		return badRequest("name is required and can have at most 175 characters")
	case next.Purpose == "" || len(next.Purpose) > 255:
		return badRequest("purpose is required and can have at most 255 characters")
	case len(next.Description) > 255:
		return badRequest("description can have at most 255 characters")
	case next.Environment != "" && !contains([]string{"Development", "Staging", "Production"}, next.Environment):
		return badRequest("environment must be Development, Staging or Production")
	}
	for _, other := range c.rec.Projects {
		if other.ID != next.ID && other.Name == next.Name {
			return conflict("name is already in use")
		}
	}
	if in.Default != nil && *in.Default && !next.Default {
		c.defaultProject().Default = false
		next.Default = true
	}
	next.Updated = c.now()
	*p = next
	c.version++
	return nil
}

func (c *call) createProject() (answer, *apiError) {
	var in projectRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	p := &project{ID: newUUID(), Created: c.now()}
	if err := c.apply(p, in); err != nil {
		return answer{}, err
	}
	c.rec.Projects[p.ID] = p
	return created(fields{"project": c.projectView(p)})
}

func (c *call) changeProject() (answer, *apiError) {
	p, err := c.projectWhere()
	if err != nil {
		return answer{}, err
	}
	var in projectRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if err := c.apply(p, in); err != nil {
		return answer{}, err
	}
	return ok(fields{"project": c.projectView(p)})
}

func (c *call) deleteProject() (answer, *apiError) {
	p, err := c.projectWhere()
	if err != nil {
		return answer{}, err
	}
	if p.Default || len(c.projectResources(p)) > 0 {
		return answer{}, &apiError{http.StatusPreconditionFailed, "precondition_failed", "cannot delete a project with resources, or the default one"}
	}
	delete(c.rec.Projects, p.ID)
	c.version++
	return nothing()
}

type resourceView struct {
	URN      string `json:"urn"`
	Assigned string `json:"assigned_at"`
	Links    fields `json:"links"`
	Status   string `json:"status"`
}

// owned are all resources that belong to projects, by URN, with their places in the API.
func (c *call) owned() map[string]string {
	out := map[string]string{}
	for _, d := range c.rec.Droplets {
		out[d.urn()] = "/v2/droplets/" + machineID(d.ID)
	}
	for _, r := range c.rec.Reserved {
		out[r.urn()] = "/v2/floating_ips/" + r.IP.String()
	}
	for _, v := range c.rec.Volumes {
		out[v.urn()] = "/v2/volumes/" + v.ID
	}
	return out
}

func (c *call) projectResources(p *project) []resourceView {
	var all []resourceView
	for urn, path := range c.owned() {
		if c.projectOf(urn) != p.ID {
			continue
		}
		at := p.Created
		if a, moved := c.rec.Assigned[urn]; moved {
			at = a.At
		}
		all = append(all, resourceView{urn, stamp(at), fields{"self": c.base + path}, "ok"})
	}
	slices.SortFunc(all, func(a, b resourceView) int { return strings.Compare(a.URN, b.URN) })
	return all
}

func (c *call) listProjectResources() (answer, *apiError) {
	p, err := c.projectWhere()
	if err != nil {
		return answer{}, err
	}
	return page(c, "resources", c.projectResources(p))
}

func (c *call) assignResources() (answer, *apiError) {
	p, err := c.projectWhere()
	if err != nil {
		return answer{}, err
	}
	var in struct{ Resources []string }
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	views, owned := []resourceView{}, c.owned()
	for _, urn := range in.Resources {
		path, there := owned[urn]
		if !there {
			return answer{}, errNotFound
		}
		c.rec.Assigned[urn] = assignment{p.ID, c.now()}
		views = append(views, resourceView{urn, stamp(c.now()), fields{"self": c.base + path}, "assigned"})
	}
	c.version++
	return ok(fields{"resources": views})
}
