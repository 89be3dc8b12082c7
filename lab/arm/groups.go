package arm

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

var groupName = regexp.MustCompile(`^[-\w._()]{0,89}[-\w_()]$`)

func (s *Service) listGroups(c *call) (*answer, *apiError) {
	name, value, err := tagFilter(c.q.Get("$filter"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []any
	for _, g := range ordered(s.st.Groups) {
		if name == "" || tagged(g.Tags, name, value) {
			out = append(out, clone(g))
		}
	}
	return s.page(c, out)
}

var tagForm = regexp.MustCompile(`(?i)^\s*tagName eq '([^']*)'(?: and tagValue eq '([^']*)')?\s*$`)

// tagged says whether tags have one of a name, in any case as Azure's are, and of a value; "" for any value.
func tagged(tags map[string]string, name, value string) bool {
	for n, v := range tags {
		if strings.EqualFold(n, name) && (value == "" || v == value) {
			return true
		}
	}
	return false
}

// tagFilter reads the one filter that lists of groups know.
func tagFilter(filter string) (name, value string, err *apiError) {
	if filter == "" {
		return "", "", nil
	}
	m := tagForm.FindStringSubmatch(filter)
	if m == nil {
		return "", "", &apiError{status: http.StatusBadRequest, code: "InvalidFilterInQueryString", gateway: true, message: fmt.Sprintf("Invalid $filter '%s' specified in the query string.", filter)}
	}
	return m[1], m[2], nil
}

func (s *Service) groupOf(c *call) (*group, *apiError) {
	g := s.st.Groups[strings.ToLower(c.group())]
	if g == nil {
		return nil, groupNotFound(c.group())
	}
	return g, nil
}

func (s *Service) getGroup(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.groupOf(c)
	if err != nil {
		return nil, err
	}
	return shown(http.StatusOK, clone(g)), nil
}

func (s *Service) checkGroup(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.groupOf(c); err != nil {
		return nil, err
	}
	return &answer{status: http.StatusNoContent}, nil
}

func (s *Service) putGroup(c *call) (*answer, *apiError) {
	in, err := decode[group](c.body)
	if err != nil {
		return nil, err
	}
	name := c.group()
	place, known := s.cat.location(in.Location)
	switch {
	case !groupName.MatchString(name):
		return nil, &apiError{status: http.StatusBadRequest, code: "InvalidResourceGroup", gateway: true, message: fmt.Sprintf(
			"The provided resource group name '%s' has these invalid characters or is too long.", name)}
	case in.Location == "":
		return nil, &apiError{status: http.StatusBadRequest, code: "LocationRequired", gateway: true, message: "The location property is required for this definition."}
	case !known:
		return nil, &apiError{status: http.StatusBadRequest, code: "LocationNotAvailableForResourceGroup", gateway: true, message: fmt.Sprintf(
			"The provided location '%s' is not available for resource group. List of available regions is '%s'.", in.Location, strings.Join(s.cat.names(), ","))}
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, status := s.st.Groups[strings.ToLower(name)], http.StatusOK
	switch {
	case g == nil:
		g, status = s.newGroup(name, place.Name), http.StatusCreated
	case g.Properties.ProvisioningState == stateDeleting:
		return nil, &apiError{status: http.StatusConflict, code: "ResourceGroupBeingDeleted", gateway: true, message: fmt.Sprintf(
			"The resource group '%s' is in deprovisioning state and cannot perform this operation.", g.Name)}
	case g.Location != place.Name:
		return nil, &apiError{status: http.StatusConflict, code: "InvalidResourceGroupLocation", gateway: true, message: fmt.Sprintf(
			"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", in.Location, g.Location)}
	}
	g.Tags, g.ManagedBy = in.Tags, in.ManagedBy
	s.save()
	return shown(status, clone(g)), nil
}

// newGroup records a group. The caller holds the lock.
func (s *Service) newGroup(name, location string) *group {
	g := &group{ID: s.groupID(name), Name: name, Type: groupType, Location: location}
	g.Properties.ProvisioningState = stateSucceeded
	s.st.Groups[strings.ToLower(name)] = g
	return g
}

func (s *Service) patchGroup(c *call) (*answer, *apiError) {
	in, err := decode[group](c.body)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.groupOf(c)
	if err != nil {
		return nil, err
	}
	if in.Tags != nil {
		g.Tags = in.Tags
	}
	s.save()
	return shown(http.StatusOK, clone(g)), nil
}

// deleteGroup begins the deletion of a group with all that is in it.
func (s *Service) deleteGroup(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.groupOf(c)
	if err != nil {
		return nil, err
	}
	if id := s.busy[key(g.ID)]; id != "" && s.st.Operations[id] != nil {
		return s.accepted(c, http.StatusAccepted, s.st.Operations[id], nil), nil // it is going already
	}
	g.Properties.ProvisioningState = stateDeleting
	name := g.Name
	op, err := s.begin(job{
		family: groupFamily, location: g.Location, target: g.ID, deletes: true, took: 20 * time.Second,
		work: func(ctx context.Context) *apiError { return s.emptyGroup(ctx, name) },
		ended: func(failure *apiError) {
			if failure == nil {
				delete(s.st.Groups, strings.ToLower(name))
			} else if g := s.st.Groups[strings.ToLower(name)]; g != nil {
				g.Properties.ProvisioningState = stateSucceeded
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return s.accepted(c, http.StatusAccepted, op, nil), nil
}

// cascade is the order in which a group's resources go: users before what they use.
var cascade = []string{machineType, diskType, interfaceType, publicAddressType, networkType, securityGroupType, routeTableType, watcherType}

// emptyGroup deletes all resources of a group. What resources of other groups use stays, and the group with it.
func (s *Service) emptyGroup(ctx context.Context, name string) *apiError {
	s.mu.Lock()
	all := s.st.ofGroup(name)
	s.mu.Unlock()
	slices.SortStableFunc(all, func(a, b record) int {
		return cmp.Compare(slices.Index(cascade, a.meta().Type), slices.Index(cascade, b.meta().Type))
	})
	var blocked []errorDetail
	for _, r := range all {
		id := r.meta().ID
		s.sleep(s.kindOf(r.meta().Type).deleting / 2)
		if failure := s.removing(id)(ctx); failure != nil {
			blocked = append(blocked, errorDetail{failure.code, failure.message})
		}
	}
	if len(blocked) > 0 {
		e := refuse(http.StatusConflict, "ResourceGroupDeletionBlocked", "Deletion of resource group '%s' failed as resources with identifiers could not be deleted. "+
			"The provisioning state of the resource group will be rolled back.", name)
		e.details = blocked
		return e
	}
	return nil
}

// removing returns the work that takes a resource away for good: what runs, and then the record.
func (s *Service) removing(id string) func(context.Context) *apiError {
	return func(ctx context.Context) *apiError {
		s.mu.Lock()
		m := s.st.Machines[key(id)]
		s.mu.Unlock()
		if m != nil {
			unlock := s.locks.Lock(m.Properties.VMID)
			defer unlock()
			if err := s.cfg.Physical.DestroyMachine(ctx, m.Properties.VMID); err != nil {
				return internalError(fmt.Errorf("delete the virtual machine %s: %w", m.Name, err))
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.remove(id)
	}
}

// removeTarget takes the target of an operation that a crash cut off out of the records. The caller holds the lock.
func (s *Service) removeTarget(id string) *apiError {
	p := parseID(id)
	if p.namespace != "" {
		return s.remove(id)
	}
	all := s.st.ofGroup(p.group)
	slices.SortStableFunc(all, func(a, b record) int {
		return cmp.Compare(slices.Index(cascade, a.meta().Type), slices.Index(cascade, b.meta().Type))
	})
	for _, r := range all {
		if err := s.remove(r.meta().ID); err != nil {
			return err
		}
	}
	delete(s.st.Groups, strings.ToLower(p.group))
	return nil
}

// listResources lists the resources of all types, of one group or of the subscription.
func (s *Service) listResources(c *call) (*answer, *apiError) {
	match, err := resourceFilter(c.q.Get("$filter"))
	if err != nil {
		return nil, err
	}
	expand := strings.ToLower(c.q.Get("$expand"))
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.st.all()
	if name := c.group(); name != "" {
		if _, err := s.groupOf(c); err != nil {
			return nil, err
		}
		records = s.st.ofGroup(name)
	}
	var out []any
	for _, r := range records {
		if match(r.meta()) {
			out = append(out, genericView(r, expand))
		}
	}
	return s.page(c, out)
}

// genericView is a resource as the front end knows it: without its properties.
func genericView(r record, expand string) map[string]any {
	h := r.meta()
	v := map[string]any{"id": h.ID, "name": h.Name, "type": h.Type, "location": h.Location}
	if len(h.Tags) > 0 {
		v["tags"] = h.Tags
	}
	if h.SKU != nil {
		v["sku"] = h.SKU
	}
	if len(h.Zones) > 0 {
		v["zones"] = h.Zones
	}
	if strings.Contains(expand, "provisioningstate") {
		v["provisioningState"] = *r.state()
	}
	return v
}

var (
	typeForm  = regexp.MustCompile(`(?i)^\s*resourceType eq '([^']*)'\s*$`)
	groupForm = regexp.MustCompile(`(?i)^\s*resourceGroup eq '([^']*)'\s*$`)
)

// resourceFilter reads the filters of lists of resources: by tag, by type, by group, and several types with "or".
func resourceFilter(filter string) (func(*head) bool, *apiError) {
	if filter == "" {
		return func(*head) bool { return true }, nil
	}
	if m := tagForm.FindStringSubmatch(filter); m != nil {
		return func(h *head) bool { return tagged(h.Tags, m[1], m[2]) }, nil
	}
	if m := groupForm.FindStringSubmatch(filter); m != nil {
		return func(h *head) bool { return strings.EqualFold(parseID(h.ID).group, m[1]) }, nil
	}
	var types []string
	for part := range strings.SplitSeq(filter, " or ") {
		m := typeForm.FindStringSubmatch(part)
		if m == nil {
			return nil, &apiError{status: http.StatusBadRequest, code: "InvalidFilterInQueryString", gateway: true, message: fmt.Sprintf("Invalid $filter '%s' specified in the query string.", filter)}
		}
		types = append(types, strings.ToLower(m[1]))
	}
	return func(h *head) bool { return slices.Contains(types, strings.ToLower(h.Type)) }, nil
}
