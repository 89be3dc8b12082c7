package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// routeTab is a route table.
type routeTab struct {
	head
	Properties routeTableProperties `json:"properties"`
}

type routeTableProperties struct {
	ProvisioningState          string       `json:"provisioningState,omitempty"`
	ResourceGUID               string       `json:"resourceGuid,omitempty"`
	DisableBGPRoutePropagation bool         `json:"disableBgpRoutePropagation"`
	Routes                     []*userRoute `json:"routes"`
	Subnets                    []ref        `json:"subnets,omitempty"`
}

// userRoute is a user-defined route, kept in its table.
type userRoute struct {
	Name       string              `json:"name,omitempty"`
	ID         string              `json:"id,omitempty"`
	ETag       string              `json:"etag,omitempty"`
	Properties userRouteProperties `json:"properties"`
	Type       string              `json:"type,omitempty"`
}

type userRouteProperties struct {
	ProvisioningState string `json:"provisioningState,omitempty"`
	AddressPrefix     string `json:"addressPrefix,omitempty"`
	NextHopType       string `json:"nextHopType,omitempty"`
	NextHopIPAddress  string `json:"nextHopIpAddress,omitempty"`
	HasBGPOverride    bool   `json:"hasBgpOverride"`
}

func (t *routeTab) state() *string { return &t.Properties.ProvisioningState }

func (t *routeTab) route(name string) *userRoute { return named(t.Properties.Routes, name) }

func (s *Service) routeTableView(t *routeTab) *routeTab {
	v := clone(t)
	if v.Properties.Routes == nil {
		v.Properties.Routes = []*userRoute{}
	}
	for _, n := range ordered(s.st.Networks) {
		for _, sub := range n.Properties.Subnets {
			if r := sub.Properties.RouteTable; r != nil && key(r.ID) == key(t.ID) {
				v.Properties.Subnets = append(v.Properties.Subnets, ref{sub.ID})
			}
		}
	}
	return v
}

func (s *Service) putRouteTable(c *call) (*answer, *apiError) {
	in, err := decode[routeTab](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, status := s.st.RouteTables[key(c.id)], http.StatusOK
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, routeTableType, &in.head, before); err != nil {
		return nil, err
	}
	if err := precondition(c, before); err != nil {
		return nil, err
	}
	if err := s.free(in.ID); err != nil {
		return nil, err
	}
	routes, guid := in.Properties.Routes, newUUID()
	if old == nil {
		status = http.StatusCreated
	} else {
		guid = old.Properties.ResourceGUID
	}
	in.Properties = routeTableProperties{ProvisioningState: stateUpdating, ResourceGUID: guid, DisableBGPRoutePropagation: in.Properties.DisableBGPRoutePropagation}
	for _, r := range routes {
		if err := admitRoute(in, r); err != nil {
			return nil, err
		}
		in.Properties.Routes = append(in.Properties.Routes, r)
	}
	in.ETag = newETag()
	s.st.RouteTables[key(in.ID)] = in
	return s.writing(c, in, status, 3*time.Second, func() {
		for _, r := range in.Properties.Routes {
			r.Properties.ProvisioningState = stateSucceeded
		}
	})
}

// admitRoute checks a route against the others of its table and completes it.
func admitRoute(t *routeTab, r *userRoute) *apiError {
	p := &r.Properties
	id := t.ID + "/routes/" + r.Name
	prefix, err := checkRange(p.AddressPrefix, "InvalidAddressPrefixFormat", "Address prefix %s of resource %s is not formatted correctly. It should follow CIDR notation, for example 10.0.0.0/24.", id)
	if err != nil {
		return err
	}
	known := ""
	for _, k := range []string{"VirtualAppliance", "VnetLocal", "Internet", "None", "VirtualNetworkGateway"} {
		if strings.EqualFold(k, p.NextHopType) {
			known = k
		}
	}
	if known == "" {
		return refuse(http.StatusBadRequest, "RouteInvalidNextHopType", "Route %s has the invalid next hop type '%s'.", id, p.NextHopType)
	}
	p.NextHopType = known
	hop, hopErr := netip.ParseAddr(p.NextHopIPAddress)
	switch {
	case known == "VirtualAppliance" && (hopErr != nil || !hop.Is4()):
		return refuse(http.StatusBadRequest, "RouteInvalidNextHopIpAddress", "Route %s with next hop type VirtualAppliance needs a next hop IP address; '%s' is none.", id, p.NextHopIPAddress)
	case known != "VirtualAppliance" && p.NextHopIPAddress != "":
		return refuse(http.StatusBadRequest, "RouteNextHopIpAddressNotAllowed", "Route %s: only routes with next hop type VirtualAppliance have a next hop IP address.", id)
	}
	for _, other := range t.Properties.Routes {
		if strings.EqualFold(other.Name, r.Name) {
			continue
		}
		if other.Properties.AddressPrefix == prefix.String() {
			return refuse(http.StatusBadRequest, "RouteConflict", "Route %s has the same address prefix as route %s.", r.Name, other.Name)
		}
	}
	r.ID, r.Type, r.ETag, p.ProvisioningState = id, routeTableType+"/routes", newETag(), stateUpdating
	return nil
}

func (s *Service) putRoute(c *call) (*answer, *apiError) {
	in, err := decode[userRoute](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := wholeOf(c, s.st.RouteTables, c.id)
	if err != nil {
		return nil, err
	}
	if err := s.free(t.ID); err != nil {
		return nil, err
	}
	in.Name = lastName(c.id)
	status := http.StatusCreated
	if old := t.route(in.Name); old != nil {
		status, in.Name = http.StatusOK, old.Name
	}
	if err := admitRoute(t, in); err != nil {
		return nil, err
	}
	dropRoute(t, in.Name)
	t.Properties.Routes = append(t.Properties.Routes, in)
	return s.writingPart(c, &t.head, status, func() any { return clone(in) }, func() { in.Properties.ProvisioningState = stateSucceeded })
}

func dropRoute(t *routeTab, name string) {
	t.Properties.Routes, t.ETag = allBut(t.Properties.Routes, name), newETag()
}

func (s *Service) getRoute(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := wholeOf(c, s.st.RouteTables, c.id)
	if err != nil {
		return nil, err
	}
	r := t.route(lastName(c.id))
	if r == nil {
		return nil, childNotFound(c.id)
	}
	return shown(http.StatusOK, clone(r)), nil
}

func (s *Service) listRoutes(c *call) (*answer, *apiError) {
	return listParts(s, c, s.st.RouteTables, func(t *routeTab) []*userRoute { return t.Properties.Routes })
}

func (s *Service) deleteRoute(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.st.RouteTables[key(parent(c.id))]
	if t == nil || t.route(lastName(c.id)) == nil {
		return &answer{status: http.StatusNoContent}, nil
	}
	if err := s.free(t.ID); err != nil {
		return nil, err
	}
	dropRoute(t, lastName(c.id))
	return s.writingPart(c, &t.head, http.StatusAccepted, nil, func() {})
}
