package gce

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/compute/v1"
)

// collection is a kind of resource that can be read by get, list and aggregatedList.
type collection struct {
	plural string
	// items returns the records in a scope ("global", "regions/R", "zones/Z") in order of their names. They are only read.
	items func(project, scope string) []any
}

const (
	defaultPage = 500
	maxPage     = 500
)

// emptyKinds are resources that can't be made in the lab; a project has none of them, and lists say so.
var emptyKinds = []string{
	"acceleratorTypes", "autoscalers", "backendBuckets", "backendServices", "commitments", "externalVpnGateways",
	"firewallPolicies", "forwardingRules", "globalAddresses", "globalForwardingRules", "globalNetworkEndpointGroups",
	"healthChecks", "httpHealthChecks", "httpsHealthChecks", "instanceGroupManagers", "instanceGroups",
	"instanceTemplates", "instantSnapshots", "interconnectAttachments", "licenses", "machineImages", "networkAttachments", "networkEndpointGroups",
	"networkFirewallPolicies", "nodeGroups", "nodeTemplates", "packetMirrorings", "regionAutoscalers",
	"regionBackendServices", "regionDisks", "regionHealthChecks", "regionInstanceGroupManagers", "regionInstanceGroups",
	"regionInstanceTemplates", "regionInstantSnapshots", "regionNetworkEndpointGroups", "regionNetworkFirewallPolicies",
	"regionSslCertificates", "regionTargetHttpProxies", "regionTargetHttpsProxies", "regionTargetTcpProxies", "regionUrlMaps",
	"reservations", "resourcePolicies", "routers", "securityPolicies", "serviceAttachments", "snapshots", "sslCertificates",
	"sslPolicies", "storagePools", "targetGrpcProxies", "targetHttpProxies", "targetHttpsProxies", "targetInstances",
	"targetPools", "targetSslProxies", "targetTcpProxies", "targetVpnGateways", "urlMaps", "vpnGateways", "vpnTunnels",
}

// readHandler returns the handler of a get, list or aggregatedList method of a collection, nil for any other.
func (s *Service) readHandler(m *apiMethod) handler {
	col, ok := s.collections[m.resource()]
	if !ok {
		if !slices.Contains(emptyKinds, m.resource()) {
			return nil
		}
		// The plural in the path is the part before the name or the last.
		col = collection{plural: m.parts[len(m.parts)-1], items: func(string, string) []any { return nil }}
		if isVariable(col.plural) {
			col.plural = m.parts[len(m.parts)-2]
		}
	}
	switch m.id[strings.IndexByte(m.id, '.')+1:] {
	case "get":
		return func(c *call) (any, *apiError) { return s.get(c, col) }
	case "list":
		return func(c *call) (any, *apiError) { return s.list(c, col) }
	case "aggregatedList":
		return func(c *call) (any, *apiError) { return s.aggregated(c, col) }
	}
	return nil
}

func (c *call) scope() string {
	switch {
	case c.zone != "":
		return "zones/" + c.zone
	case c.region != "":
		return "regions/" + c.region
	}
	return "global"
}

// get finds a resource by name or numeric id.
func (s *Service) get(c *call, col collection) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range col.items(c.project, c.scope()) {
		if id, name := identity(item); name == c.name || c.name[0] <= '9' && strconv.FormatUint(id, 10) == c.name {
			m, err := s.render(item)
			if err != nil {
				return nil, badRequest("%v", err)
			}
			return m, nil
		}
	}
	return nil, notFound(strings.TrimPrefix(c.path, "/"))
}

func identity(item any) (uint64, string) {
	switch v := item.(type) {
	case *compute.Network:
		return v.Id, v.Name
	case *compute.Subnetwork:
		return v.Id, v.Name
	case *compute.Firewall:
		return v.Id, v.Name
	case *compute.Route:
		return v.Id, v.Name
	case *compute.Address:
		return v.Id, v.Name
	case *compute.Disk:
		return v.Id, v.Name
	case *compute.Instance:
		return v.Id, v.Name
	case *compute.Image:
		return v.Id, v.Name
	case *compute.Operation:
		return v.Id, v.Name
	case *compute.MachineType:
		return v.Id, v.Name
	case *compute.DiskType:
		return v.Id, v.Name
	case *compute.Region:
		return v.Id, v.Name
	case *compute.Zone:
		return v.Id, v.Name
	}
	panic(fmt.Sprintf("gce: %T has no identity", item))
}

// scoped is an item of an aggregated list with the scope that it belongs to.
type scoped struct {
	scope string
	item  any
}

func (s *Service) list(c *call, col collection) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []scoped
	for _, item := range col.items(c.project, c.scope()) {
		all = append(all, scoped{c.scope(), item})
	}
	page, next, err := s.page(c, all)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"kind": c.method.kind, "id": c.path, "selfLink": s.linkBase() + c.path}
	if len(page) > 0 {
		items := make([]any, len(page))
		for i, p := range page {
			items[i] = p.item
		}
		answer["items"] = items
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// scopes are the keys of an aggregated list of a collection, in order.
func (s *Service) scopes(plural string) []string {
	var out []string
	if slices.Contains([]string{"addresses", "operations", "forwardingRules", "backendServices", "healthChecks", "sslCertificates", "sslPolicies", "targetHttpProxies", "targetHttpsProxies", "urlMaps", "networkEndpointGroups", "securityPolicies", "instanceTemplates"}, plural) {
		out = append(out, "global")
	}
	if !slices.Contains(zonalOnly, plural) {
		for _, r := range s.cat.Regions {
			out = append(out, "regions/"+r.Name)
		}
	}
	if slices.Contains(zonalOnly, plural) || slices.Contains(zonalToo, plural) {
		for _, r := range s.cat.Regions {
			for _, z := range r.Zones {
				out = append(out, "zones/"+z)
			}
		}
	}
	return out
}

var (
	zonalOnly = []string{"acceleratorTypes", "instances", "machineTypes", "nodeGroups", "reservations", "targetInstances", "storagePools"}
	zonalToo  = []string{"autoscalers", "disks", "diskTypes", "instanceGroupManagers", "instanceGroups", "instantSnapshots", "networkEndpointGroups", "operations"}
)

func (s *Service) aggregated(c *call, col collection) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scopes := s.scopes(col.plural)
	var all []scoped
	for _, scope := range scopes {
		for _, item := range col.items(c.project, scope) {
			all = append(all, scoped{scope, item})
		}
	}
	page, next, err := s.page(c, all)
	if err != nil {
		return nil, err
	}
	byScope := map[string][]any{}
	for _, p := range page {
		byScope[p.scope] = append(byScope[p.scope], p.item)
	}
	items := map[string]any{}
	for _, scope := range scopes {
		if list := byScope[scope]; len(list) > 0 {
			items[scope] = map[string]any{c.method.array: list}
			continue
		}
		items[scope] = map[string]any{"warning": map[string]any{
			"code":    "NO_RESULTS_ON_PAGE",
			"message": fmt.Sprintf("There are no results for scope '%s' on this page.", scope),
			"data":    []any{map[string]any{"key": "scope", "value": scope}},
		}}
	}
	answer := map[string]any{"kind": c.method.kind, "id": c.path, "selfLink": s.linkBase() + c.path, "items": items}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// page filters, orders and cuts a list, and renders what is left. A page's token says where the next one begins.
func (s *Service) page(c *call, all []scoped) ([]scoped, string, *apiError) {
	size, start, apiErr := pageBounds(c)
	if apiErr != nil {
		return nil, "", apiErr
	}
	filter, err := parseFilter(c.q.Get("filter"))
	if err != nil {
		return nil, "", invalidField("filter", c.q.Get("filter"), "Invalid list filter expression.")
	}
	order := c.q.Get("orderBy")
	if c.q.Get("filter") != "" || order != "" {
		if all, apiErr = s.selectItems(all, filter, order); apiErr != nil {
			return nil, "", apiErr
		}
	}
	start = min(start, len(all))
	end := min(start+size, len(all))
	out := slices.Clone(all[start:end])
	for i := range out {
		if _, done := out[i].item.(map[string]any); done {
			continue
		}
		if out[i].item, err = s.render(out[i].item); err != nil {
			return nil, "", badRequest("%v", err)
		}
	}
	next := ""
	if end < len(all) {
		next = base64.URLEncoding.EncodeToString([]byte("page:" + strconv.Itoa(end)))
	}
	return out, next, nil
}

func pageBounds(c *call) (size, start int, err *apiError) {
	size = defaultPage
	if text := c.q.Get("maxResults"); text != "" {
		n, parseErr := strconv.Atoi(text)
		if parseErr != nil || n < 0 || n > maxPage {
			return 0, 0, invalidField("maxResults", text, fmt.Sprintf("Must be between 0 and %d, inclusive.", maxPage))
		}
		if n > 0 {
			size = n
		}
	}
	if text := c.q.Get("pageToken"); text != "" {
		raw, _ := base64.URLEncoding.DecodeString(text)
		n, parseErr := strconv.Atoi(strings.TrimPrefix(string(raw), "page:"))
		if parseErr != nil || n < 0 {
			return 0, 0, invalidField("pageToken", text, "Invalid page token.")
		}
		start = n
	}
	return size, start, nil
}

// selectItems renders, filters and orders.
func (s *Service) selectItems(all []scoped, filter expr, order string) ([]scoped, *apiError) {
	links := []string{s.linkBase(), "https://www.googleapis.com/compute/v1/", "https://compute.googleapis.com/compute/v1/", ""}
	var out []scoped
	for _, a := range all {
		m, err := s.render(a.item)
		if err != nil {
			return nil, badRequest("%v", err)
		}
		if filter.match(m, links) {
			out = append(out, scoped{a.scope, m})
		}
	}
	var by func(a, b map[string]any) int
	text := func(m map[string]any, k string) string { v, _ := m[k].(string); return v }
	switch strings.Join(strings.Fields(order), " ") {
	case "", "name", "name asc":
		return out, nil
	case "name desc":
		by = func(a, b map[string]any) int { return strings.Compare(text(b, "name"), text(a, "name")) }
	case "creationTimestamp desc":
		by = func(a, b map[string]any) int {
			return cmp.Or(strings.Compare(text(b, "creationTimestamp"), text(a, "creationTimestamp")), strings.Compare(text(b, "insertTime"), text(a, "insertTime")))
		}
	default:
		return nil, invalidField("orderBy", order, "Only name and creationTimestamp desc are supported.")
	}
	slices.SortStableFunc(out, func(a, b scoped) int { return by(a.item.(map[string]any), b.item.(map[string]any)) })
	return out, nil
}
