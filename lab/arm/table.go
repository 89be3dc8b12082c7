package arm

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ownRoutes are those of the API that the SDK has no client for: the state of operations, and what a caller may do.
var ownRoutes = []route{
	{operation: "lab.Operations.Network", method: "GET", parts: split("/subscriptions/{subscriptionId}/providers/Microsoft.Network/locations/{location}/operations/{operationId}")},
	{operation: "lab.Operations.NetworkResult", method: "GET", parts: split("/subscriptions/{subscriptionId}/providers/Microsoft.Network/locations/{location}/operationResults/{operationId}")},
	{operation: "lab.Operations.Compute", method: "GET", parts: split("/subscriptions/{subscriptionId}/providers/Microsoft.Compute/locations/{location}/operations/{operationId}")},
	{operation: "lab.Operations.Disk", method: "GET", parts: split("/subscriptions/{subscriptionId}/providers/Microsoft.Compute/locations/{location}/DiskOperations/{operationId}")},
	{operation: "lab.Operations.Group", method: "GET", parts: split("/subscriptions/{subscriptionId}/operationresults/{operationId}")},
	{operation: "lab.Permissions.List", method: "GET", parts: split("/subscriptions/{subscriptionId}/providers/Microsoft.Authorization/permissions")},
	{operation: "lab.Permissions.ListForResourceGroup", method: "GET", parts: split("/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Authorization/permissions")},
}

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// handlers are the operations that the lab has.
func (s *Service) handlers() map[string]handler {
	h := map[string]handler{
		"subscriptions.List":          s.listSubscriptions,
		"subscriptions.Get":           s.getSubscription,
		"subscriptions.ListLocations": s.listLocations,
		"subscriptions.Tenants.List":  s.listTenants,

		"resources.Providers.List":                s.listProviders,
		"resources.Providers.Get":                 s.getProvider,
		"resources.Providers.Register":            s.registerProvider,
		"resources.Providers.Unregister":          s.unregisterProvider,
		"resources.ResourceGroups.List":           s.listGroups,
		"resources.ResourceGroups.Get":            s.getGroup,
		"resources.ResourceGroups.CheckExistence": s.checkGroup,
		"resources.ResourceGroups.CreateOrUpdate": s.putGroup,
		"resources.ResourceGroups.Update":         s.patchGroup,
		"resources.ResourceGroups.Delete":         s.deleteGroup,
		"resources.List":                          s.listResources,
		"resources.ListByResourceGroup":           s.listResources,

		"network.VirtualNetworks.CreateOrUpdate":             s.putNetwork,
		"network.Subnets.CreateOrUpdate":                     s.putSubnet,
		"network.Subnets.Get":                                s.getSubnet,
		"network.Subnets.List":                               s.listSubnets,
		"network.Subnets.Delete":                             s.deleteSubnet,
		"network.VirtualNetworks.ListUsage":                  s.networkUsage,
		"network.SecurityGroups.CreateOrUpdate":              s.putSecurityGroup,
		"network.SecurityRules.CreateOrUpdate":               s.putRule,
		"network.SecurityRules.Get":                          s.getRule,
		"network.SecurityRules.List":                         s.listRules,
		"network.SecurityRules.Delete":                       s.deleteRule,
		"network.DefaultSecurityRules.Get":                   s.getDefaultRule,
		"network.DefaultSecurityRules.List":                  s.listDefaultRules,
		"network.RouteTables.CreateOrUpdate":                 s.putRouteTable,
		"network.Routes.CreateOrUpdate":                      s.putRoute,
		"network.Routes.Get":                                 s.getRoute,
		"network.Routes.List":                                s.listRoutes,
		"network.Routes.Delete":                              s.deleteRoute,
		"network.PublicIPAddresses.CreateOrUpdate":           s.putAddress,
		"network.Interfaces.CreateOrUpdate":                  s.putInterface,
		"network.Watchers.CreateOrUpdate":                    s.putWatcher,
		"network.Usages.List":                                s.networkUsages,
		"network.InterfaceIPConfigurations.List":             s.listIPConfigurations,
		"network.InterfaceIPConfigurations.Get":              s.getIPConfiguration,
		"network.VirtualNetworks.CheckIPAddressAvailability": s.checkAddress,

		"network.FlowLogs.List":           s.listOfWatcher,
		"network.ConnectionMonitors.List": s.listOfWatcher,
		"network.PacketCaptures.List":     s.listOfWatcher,

		"compute.VirtualMachines.CreateOrUpdate":              s.putMachine,
		"compute.VirtualMachines.Update":                      s.patchMachine,
		"compute.VirtualMachines.InstanceView":                s.getInstanceView,
		"compute.VirtualMachines.Start":                       s.startMachine,
		"compute.VirtualMachines.PowerOff":                    s.powerOffMachine,
		"compute.VirtualMachines.Deallocate":                  s.deallocateMachine,
		"compute.VirtualMachines.Restart":                     s.restartMachine,
		"compute.VirtualMachines.RetrieveBootDiagnosticsData": s.bootDiagnostics,
		"compute.VirtualMachines.ListByLocation":              s.listMachinesAt,

		"compute.VirtualMachines.ListAvailableSizes": s.listMachineSizes,
		"compute.VirtualMachineSizes.List":           s.listSizes,
		"compute.ResourceSKUs.List":                  s.listSKUs,
		"compute.Usage.List":                         s.computeUsages,
		"compute.Disks.CreateOrUpdate":               s.putDisk,
		"compute.Disks.Update":                       s.patchDisk,

		"compute.VirtualMachineImages.ListPublishers": s.listPublishers,
		"compute.VirtualMachineImages.ListOffers":     s.listOffers,
		"compute.VirtualMachineImages.ListSKUs":       s.listImageSKUs,
		"compute.VirtualMachineImages.List":           s.listImages,
		"compute.VirtualMachineImages.Get":            s.getImage,

		"lab.Operations.Network":               s.getOperation,
		"lab.Operations.NetworkResult":         s.operationResult,
		"lab.Operations.Compute":               s.getOperation,
		"lab.Operations.Disk":                  s.getOperation,
		"lab.Operations.Group":                 s.groupResult,
		"lab.Permissions.List":                 s.listPermissions,
		"lab.Permissions.ListForResourceGroup": s.listPermissions,
	}
	for _, k := range s.kinds() {
		h[k.operations+".Get"] = s.getResource
		h[k.operations+".Delete"] = s.deleteResource
		for list, operation := range map[string]string{"ofGroup": k.listGroup, "all": k.listAll} {
			h[operation] = s.listOf(k, list == "all")
		}
		if k.tags != "" {
			h[k.tags] = s.patchTags
		}
	}
	return h
}

// kind is one type of resource: what all of them do in the same way.
type kind struct {
	typ        string
	operations string // "network.VirtualNetworks"
	// listGroup, listAll and tags name the operations that aren't called alike everywhere.
	listGroup, listAll, tags string
	family                   family
	deleting                 time.Duration
}

func (s *Service) kinds() []kind {
	net := func(typ, name string, deleting time.Duration) kind {
		return kind{typ, "network." + name, "network." + name + ".List", "network." + name + ".ListAll", "network." + name + ".UpdateTags", networkFamily, deleting}
	}
	return []kind{
		net(networkType, "VirtualNetworks", 10*time.Second), net(securityGroupType, "SecurityGroups", 10*time.Second), net(routeTableType, "RouteTables", 10*time.Second),
		net(publicAddressType, "PublicIPAddresses", 10*time.Second), net(interfaceType, "Interfaces", 8*time.Second), net(watcherType, "Watchers", 10*time.Second),
		{machineType, "compute.VirtualMachines", "compute.VirtualMachines.List", "compute.VirtualMachines.ListAll", "", computeFamily, 45 * time.Second},
		{diskType, "compute.Disks", "compute.Disks.ListByResourceGroup", "compute.Disks.List", "", diskFamily, 3 * time.Second},
	}
}

func (s *Service) kindOf(typ string) kind {
	for _, k := range s.kinds() {
		if strings.EqualFold(k.typ, typ) {
			return k
		}
	}
	return kind{}
}

// find returns a resource by its id, nil when there is none. The caller holds the lock.
func (s *Service) find(id string) record {
	k := key(id)
	switch {
	case s.st.Networks[k] != nil:
		return s.st.Networks[k]
	case s.st.SecurityGroups[k] != nil:
		return s.st.SecurityGroups[k]
	case s.st.RouteTables[k] != nil:
		return s.st.RouteTables[k]
	case s.st.Addresses[k] != nil:
		return s.st.Addresses[k]
	case s.st.Interfaces[k] != nil:
		return s.st.Interfaces[k]
	case s.st.Watchers[k] != nil:
		return s.st.Watchers[k]
	case s.st.Machines[k] != nil:
		return s.st.Machines[k]
	case s.st.Disks[k] != nil:
		return s.st.Disks[k]
	}
	return nil
}

// view is a resource as answers show it. The caller holds the lock.
func (s *Service) view(r record) any {
	switch r := r.(type) {
	case *network:
		return s.networkView(r)
	case *securityGroup:
		return s.securityGroupView(r)
	case *routeTab:
		return s.routeTableView(r)
	case *publicAddress:
		return s.addressView(r)
	case *nic:
		return s.interfaceView(r)
	case *machine:
		return s.machineView(r, false)
	case *disk:
		return s.diskView(r)
	}
	return r
}

// later shows a resource as it is when the answer is sent, or as it was when it is gone by then. That something failed is for
// the operation to say, with the reason.
func (s *Service) later(r record) func() any {
	id, before := r.meta().ID, s.view(r)
	return func() any {
		if now := s.find(id); now != nil && *now.state() != stateFailed {
			return s.view(now)
		}
		return before
	}
}

func (s *Service) getResource(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(c.id)
	if r == nil {
		return nil, resourceNotFound(c.id)
	}
	if m, ok := r.(*machine); ok && strings.Contains(strings.ToLower(c.q.Get("$expand")), "instanceview") {
		return shown(http.StatusOK, s.machineView(m, true)), nil
	}
	a := shown(http.StatusOK, s.view(r))
	if tag := r.meta().ETag; tag != "" {
		a.header = http.Header{"Etag": {tag}}
	}
	return a, nil
}

// listOf lists a type's resources, of a group or of all groups, by pages.
func (s *Service) listOf(k kind, all bool) handler {
	return func(c *call) (*answer, *apiError) {
		s.mu.Lock()
		defer s.mu.Unlock()
		status := strings.Contains(strings.ToLower(c.q.Get("$expand")), "instanceview") || strings.EqualFold(c.q.Get("statusOnly"), "true")
		var out []any
		for _, r := range s.st.all() {
			if r.meta().Type != k.typ || !all && !strings.EqualFold(parseID(r.meta().ID).group, c.group()) {
				continue
			}
			if m, ok := r.(*machine); ok {
				if c.q.Get("$filter") != "" { // by scale set: the lab has none
					continue
				}
				out = append(out, s.machineView(m, status))
				continue
			}
			out = append(out, s.view(r))
		}
		return s.page(c, out)
	}
}

// page cuts a list. The next page's address carries where it begins.
func (s *Service) page(c *call, all []any) (*answer, *apiError) {
	start := 0
	if token := c.q.Get("$skiptoken"); token != "" {
		text, _ := base64.URLEncoding.DecodeString(token)
		n, err := strconv.Atoi(string(text))
		if err != nil || n < 0 {
			return nil, refuse(http.StatusBadRequest, "InvalidSkipToken", "The skip token '%s' is invalid.", token)
		}
		start = min(n, len(all))
	}
	size := s.cfg.PageSize
	if top, err := strconv.Atoi(c.q.Get("$top")); err == nil && top > 0 {
		size = min(size, top)
	}
	end := min(start+size, len(all))
	body := map[string]any{"value": append([]any{}, all[start:end]...)}
	if end < len(all) {
		q := url.Values{}
		for name, v := range c.q {
			q[name] = v
		}
		q.Set("$skiptoken", base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(end))))
		body["nextLink"] = s.cfg.BaseURL() + c.id + "?" + q.Encode()
	}
	return shown(http.StatusOK, body), nil
}

// precondition holds If-Match and If-None-Match against what is there.
func precondition(c *call, r record) *apiError {
	match, none := c.r.Header.Get("If-Match"), c.r.Header.Get("If-None-Match")
	now := ""
	if r != nil {
		now = r.meta().ETag
	}
	var why string
	switch {
	case none == "*" && r != nil:
		why = fmt.Sprintf("Etag provided in if-none-match header * does not match etag %s of resource %s in NRP data store.", now, c.id)
	case match == "*" && r == nil, match != "" && match != "*" && r == nil:
		why = fmt.Sprintf("Etag provided in if-match header %s does not match any resource %s in NRP data store.", match, c.id)
	case match != "" && match != "*" && strings.Trim(match, `W/"`) != strings.Trim(now, `W/"`):
		why = fmt.Sprintf(`Etag provided in if-match header W/"%s" does not match etag %s of resource %s in NRP data store.`, strings.Trim(match, `W/"`), now, r.meta().ID)
	default:
		return nil
	}
	e := refuse(http.StatusPreconditionFailed, "PreconditionFailed", "Precondition failed.")
	e.details = []errorDetail{{"PreconditionFailedEtagMismatch", why}}
	return e
}

// admit checks what every write of a resource needs: a group that isn't going, a location, the same as before, and tags
// within bounds. It completes the head.
func (s *Service) admit(c *call, typ string, h *head, old record) *apiError {
	g := s.st.Groups[strings.ToLower(c.group())]
	if g == nil {
		return groupNotFound(c.group())
	}
	if g.Properties.ProvisioningState == stateDeleting {
		return &apiError{status: http.StatusConflict, code: "ResourceGroupBeingDeleted", gateway: true, message: fmt.Sprintf(
			"The resource group '%s' is in deprovisioning state and cannot perform this operation.", g.Name)}
	}
	name := lastName(c.id)
	if h.Location == "" {
		return &apiError{status: http.StatusBadRequest, code: "LocationRequired", gateway: true, message: "The location property is required for this definition."}
	}
	place, ok := s.cat.location(h.Location)
	if !ok {
		return &apiError{status: http.StatusBadRequest, code: "LocationNotAvailableForResourceType", gateway: true, message: fmt.Sprintf(
			"The provided location '%s' is not available for resource type '%s'. List of available regions for the resource type is '%s'.", h.Location, typ, strings.Join(s.cat.names(), ","))}
	}
	h.Location = place.Name
	if old != nil && old.meta().Location != h.Location {
		return &apiError{status: http.StatusConflict, code: "InvalidResourceLocation", gateway: true, message: fmt.Sprintf(
			"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.",
			name, old.meta().Location, g.Name, h.Location)}
	}
	if err := checkTags(h.Tags); err != nil {
		return err
	}
	for _, z := range h.Zones {
		if !slices.Contains(place.Zones, z) {
			return refuse(http.StatusBadRequest, "InvalidAvailabilityZone", "The zone(s) '%s' for resource '%s/%s' is not supported. The supported zones for location '%s' are '%s'",
				z, typ, name, h.Location, strings.Join(place.Zones, ","))
		}
	}
	h.Name, h.ID, h.Type = name, s.idOf(g.Name, typ, name), typ
	if old != nil {
		h.Name, h.ID = old.meta().Name, old.meta().ID
	}
	return nil
}

// checkTags refuses tags that Azure refuses.
func checkTags(tags map[string]string) *apiError {
	if len(tags) > 50 {
		return &apiError{status: http.StatusBadRequest, code: "TooManyTags", gateway: true, message: fmt.Sprintf(
			"Number of tags '%d' is larger than the maximum number of tags (50) allowed.", len(tags))}
	}
	for name, value := range tags {
		switch {
		case name == "" || strings.ContainsAny(name, `<>%&\?/`):
			return &apiError{status: http.StatusBadRequest, code: "InvalidTagNameCharacters", gateway: true, message: fmt.Sprintf(
				`The tag names '%s' have reserved characters '<,>,%%,&,\,?,/' or control characters.`, name)}
		case len(name) > 512:
			return &apiError{status: http.StatusBadRequest, code: "InvalidTagName", gateway: true, message: "The tag name is longer than 512 characters."}
		case len(value) > 256:
			return &apiError{status: http.StatusBadRequest, code: "InvalidTagValueLength", gateway: true, message: fmt.Sprintf(
				"Tag value too large. Following tag value '%s' exceeded the maximum length. Maximum allowed length for tag value - '256' characters.", value)}
		}
	}
	return nil
}

// patchTags replaces a network resource's tags, as UpdateTags does.
func (s *Service) patchTags(c *call) (*answer, *apiError) {
	var in struct {
		Tags map[string]string `json:"tags"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(c.id)
	if r == nil {
		return nil, resourceNotFound(c.id)
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := precondition(c, r); err != nil {
		return nil, err
	}
	r.meta().Tags, r.meta().ETag = in.Tags, newETag()
	s.save()
	return shown(http.StatusOK, s.view(r)), nil
}

// deleteResource begins the deletion of a resource; one that isn't there is gone already.
func (s *Service) deleteResource(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(c.id)
	if r == nil {
		return &answer{status: http.StatusNoContent}, nil
	}
	if m, ok := r.(*machine); ok {
		return s.deleteMachine(c, m)
	}
	if err := s.free(c.id); err != nil {
		return nil, err
	}
	if err := precondition(c, r); err != nil {
		return nil, err
	}
	if err := s.removable(r, nil); err != nil {
		return nil, err
	}
	k := s.kindOf(r.meta().Type)
	id := r.meta().ID
	*r.state() = stateDeleting
	op, err := s.begin(job{
		family: k.family, location: r.meta().Location, target: id, deletes: true, took: k.deleting,
		work: s.removing(id),
		ended: func(failure *apiError) {
			if r := s.find(id); r != nil && failure != nil {
				*r.state() = stateFailed
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return s.accepted(c, http.StatusAccepted, op, nil), nil
}
