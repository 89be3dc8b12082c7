package arm

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

func (s *Service) subscriptionView() map[string]any {
	return map[string]any{
		"id": s.subscriptionPath(), "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionId": s.cfg.Subscription, "tenantId": s.cfg.Tenant, "displayName": "Lab", "state": "Enabled",
		"subscriptionPolicies": map[string]any{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
	}
}

func (s *Service) listSubscriptions(*call) (*answer, *apiError) {
	return shown(http.StatusOK, map[string]any{"value": []any{s.subscriptionView()}, "count": map[string]any{"type": "Total", "value": 1}}), nil
}

func (s *Service) getSubscription(*call) (*answer, *apiError) {
	return shown(http.StatusOK, s.subscriptionView()), nil
}

func (s *Service) listTenants(*call) (*answer, *apiError) {
	tenant := map[string]any{"id": "/tenants/" + s.cfg.Tenant, "tenantId": s.cfg.Tenant, "displayName": "Lab", "tenantCategory": "Home", "defaultDomain": "lab.invalid", "countryCode": "CH"}
	return shown(http.StatusOK, map[string]any{"value": []any{tenant}}), nil
}

func (s *Service) listLocations(*call) (*answer, *apiError) {
	var out []any
	for _, l := range s.cat.Locations {
		category := "Recommended"
		if l.Restricted {
			category = "Other"
		}
		v := map[string]any{
			"id": s.subscriptionPath() + "/locations/" + l.Name, "name": l.Name, "type": "Region", "displayName": l.Display, "regionalDisplayName": l.Display,
			"metadata": map[string]any{"regionType": "Physical", "regionCategory": category, "latitude": l.Latitude, "longitude": l.Longitude, "physicalLocation": l.City},
		}
		var zones []any
		for _, z := range l.Zones {
			zones = append(zones, map[string]any{"logicalZone": z, "physicalZone": l.Name + "-az" + z})
		}
		if zones != nil {
			v["availabilityZoneMappings"] = zones
		}
		out = append(out, v)
	}
	return shown(http.StatusOK, map[string]any{"value": out}), nil
}

// namespaces are the resource providers with the types of each that the lab has.
var namespaces = map[string][]string{
	"Microsoft.Authorization": {"permissions"},
	"Microsoft.Compute":       {"virtualMachines", "disks", "locations", "locations/operations", "locations/DiskOperations", "locations/usages", "locations/vmSizes", "locations/publishers", "skus"},
	"Microsoft.Network":       {"virtualNetworks", "virtualNetworks/subnets", "networkSecurityGroups", "routeTables", "publicIPAddresses", "networkInterfaces", "networkWatchers", "locations", "locations/operations", "locations/operationResults", "locations/usages"},
	"Microsoft.Resources":     {"resourceGroups", "subscriptions", "subscriptions/resourceGroups", "locations"},
}

// provider is a resource provider as answers show it. The caller holds the lock.
func (s *Service) provider(name string) map[string]any {
	state := "Registered"
	if s.st.Unregistered[strings.ToLower(name)] {
		state = "NotRegistered"
	}
	version := newestOf(name)
	var types []any
	for _, t := range namespaces[name] {
		v := map[string]any{"resourceType": t, "locations": s.cat.displayNames(), "apiVersions": []string{version}, "defaultApiVersion": version, "capabilities": "None"}
		if t == "virtualMachines" || t == "disks" || t == "publicIPAddresses" {
			var zones []any
			for _, l := range s.cat.Locations {
				if len(l.Zones) > 0 {
					zones = append(zones, map[string]any{"location": l.Display, "zones": l.Zones})
				}
			}
			v["zoneMappings"] = zones
		}
		types = append(types, v)
	}
	return map[string]any{
		"id": s.subscriptionPath() + "/providers/" + name, "namespace": name, "registrationPolicy": "RegistrationRequired", "registrationState": state, "resourceTypes": types,
	}
}

// newestOf is the newest api-version that is known of a provider's routes.
func newestOf(namespace string) string {
	newest := "2022-04-01"
	all, err := loadRoutes()
	if err != nil {
		return newest
	}
	for _, r := range all {
		if slices.Contains(r.parts, namespace) {
			newest = max(newest, r.version)
		}
	}
	return newest
}

func (s *Service) namespaceOf(c *call) (string, *apiError) {
	name := c.vars["resourceProviderNamespace"]
	for n := range namespaces {
		if strings.EqualFold(n, name) {
			return n, nil
		}
	}
	return "", &apiError{status: http.StatusNotFound, code: "InvalidResourceNamespace", gateway: true, message: fmt.Sprintf("The resource namespace '%s' is invalid.", name)}
}

func (s *Service) listProviders(*call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []any
	for _, name := range slices.Sorted(maps.Keys(namespaces)) {
		out = append(out, s.provider(name))
	}
	return shown(http.StatusOK, map[string]any{"value": out}), nil
}

func (s *Service) getProvider(c *call) (*answer, *apiError) {
	name, err := s.namespaceOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return shown(http.StatusOK, s.provider(name)), nil
}

func (s *Service) registerProvider(c *call) (*answer, *apiError) {
	return s.setRegistered(c, func(name string) *apiError {
		delete(s.st.Unregistered, strings.ToLower(name))
		return nil
	})
}

func (s *Service) unregisterProvider(c *call) (*answer, *apiError) {
	return s.setRegistered(c, func(name string) *apiError {
		for _, r := range s.st.all() {
			if strings.HasPrefix(r.meta().Type, name+"/") {
				return refuse(http.StatusConflict, "CannotUnregisterRP", "Cannot unregister the resource provider '%s' because there are resources of it: '%s'.", name, r.meta().ID)
			}
		}
		s.st.Unregistered[strings.ToLower(name)] = true
		return nil
	})
}

func (s *Service) setRegistered(c *call, change func(string) *apiError) (*answer, *apiError) {
	name, err := s.namespaceOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := change(name); err != nil {
		return nil, err
	}
	s.save()
	return shown(http.StatusOK, s.provider(name)), nil
}

// listPermissions says what the caller may do: everything but what is denied on request.
func (s *Service) listPermissions(c *call) (*answer, *apiError) {
	var denied []string
	all, err := loadRoutes()
	if err != nil {
		return nil, internalError(err)
	}
	for _, r := range all {
		if s.cfg.Denied != nil && s.cfg.Denied(r.operation) {
			denied = append(denied, r.permission())
		}
	}
	slices.Sort(denied)
	return shown(http.StatusOK, map[string]any{"value": []any{map[string]any{
		"actions": []string{"*"}, "notActions": append([]string{}, slices.Compact(denied)...), "dataActions": []string{}, "notDataActions": []string{},
	}}}), nil
}

// permission is the action that a role must allow for an operation: Microsoft.Network/virtualNetworks/write. The verb of
// a POST is its last path part.
func (r *route) permission() string {
	parts := r.parts
	at := slices.IndexFunc(parts, func(p string) bool { return strings.EqualFold(p, "providers") })
	namespace := "Microsoft.Resources"
	switch {
	case at >= 0 && at+1 < len(parts) && !isVariable(parts[at+1]):
		namespace, parts = parts[at+1], parts[at+2:]
	case at >= 0:
		parts = []string{"subscriptions", "providers"}
	}
	var fixed []string
	for _, p := range parts {
		if strings.EqualFold(p, "resourcegroups") {
			p = "resourceGroups"
		}
		if !isVariable(p) {
			fixed = append(fixed, p)
		}
	}
	name := namespace + "/" + strings.Join(fixed, "/")
	switch r.method {
	case http.MethodPut, http.MethodPatch:
		return name + "/write"
	case http.MethodDelete:
		return name + "/delete"
	case http.MethodPost:
		return name + "/action"
	}
	return name + "/read"
}
