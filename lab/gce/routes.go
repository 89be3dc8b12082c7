package gce

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/api/compute/v1"
)

// addRoute records a route that the cloud makes by itself, under a name of its own.
func (s *Service) addRoute(r *compute.Route) {
	r.Kind, r.Id, r.CreationTimestamp = "compute#route", newID(), stamp()
	r.Name = fmt.Sprintf("default-route-%016x", newID())
	if r.NextHopNetwork != "" {
		r.Name = fmt.Sprintf("default-route-r-%016x", newID())
	}
	r.SelfLink = s.global("routes", r.Name)
	s.st.Routes[r.SelfLink] = r
}

// routeView is a route as answers show it.
func (s *Service) routeView(r *compute.Route) *compute.Route {
	v := clone(r)
	if v.NextHopInstance != "" && s.st.Instances[v.NextHopInstance] == nil {
		v.Warnings = append(v.Warnings, &compute.RouteWarnings{
			Code: "NEXT_HOP_INSTANCE_NOT_FOUND", Message: fmt.Sprintf("Next hop instance '%s' does not exist.", v.NextHopInstance),
		})
	}
	return v
}

func (s *Service) insertRoute(c *call) (any, *apiError) {
	var in compute.Route
	given, err := decode(c.body, &in)
	if err != nil {
		return nil, err
	}
	if err := checkName("resource.name", in.Name); err != nil {
		return nil, err
	}
	if in.Network == "" {
		return nil, required("resource.network")
	}
	network, err := s.resolve("resource.network", in.Network, "networks")
	if err != nil {
		return nil, err
	}
	if dest, ok := parsePrefix(in.DestRange); !ok || dest != dest.Masked() {
		return nil, invalidField("resource.destRange", in.DestRange, "Must be a CIDR address range.")
	}
	if err := checkTags("resource.tags", in.Tags); err != nil {
		return nil, err
	}
	if !given["priority"] {
		in.Priority = 1000
	}
	if in.Priority < 0 || in.Priority > 65535 {
		return nil, invalidField("resource.priority", formatInt(in.Priority), "Must be between 0 and 65535, inclusive.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.global("routes", in.Name)
	if s.st.Routes[path] != nil {
		return nil, alreadyExists(path)
	}
	if s.st.Networks[network] == nil || s.busy[network] == "insert" {
		return nil, s.missing(network)
	}
	r := &compute.Route{
		Kind: "compute#route", Id: newID(), Name: in.Name, Description: in.Description, CreationTimestamp: stamp(), SelfLink: path,
		Network: network, DestRange: in.DestRange, Priority: in.Priority, Tags: in.Tags,
	}
	if err := s.setNextHop(r, &in); err != nil {
		return nil, err
	}
	for _, sub := range sorted(s.st.Subnetworks) {
		for _, p := range subnetRanges(sub) {
			if dest := netip.MustParsePrefix(in.DestRange); sub.Network == network && p.Contains(dest.Addr()) && p.Bits() <= dest.Bits() {
				return nil, invalidField("resource.destRange", in.DestRange, fmt.Sprintf("destRange hides the address space of the network. Cannot change the routing of packets destined for the subnetwork '%s'.", sub.SelfLink))
			}
		}
	}
	if err := s.checkQuota("", "ROUTES", 1); err != nil {
		return nil, err
	}
	s.st.Routes[path] = r
	return s.start(c, job{verb: "insert", target: path, targetID: r.Id, took: 8 * time.Second})
}

// setNextHop takes over the one next hop of a request.
func (s *Service) setNextHop(r, in *compute.Route) *apiError {
	hops := 0
	for field, v := range map[string]string{
		"nextHopIlb": in.NextHopIlb, "nextHopVpnTunnel": in.NextHopVpnTunnel, "nextHopInterconnectAttachment": in.NextHopInterconnectAttachment,
		"nextHopNetwork": in.NextHopNetwork, "nextHopPeering": in.NextHopPeering, "nextHopHub": in.NextHopHub,
	} {
		if v != "" {
			return unsupportedField("resource." + field)
		}
	}
	if v := in.NextHopGateway; v != "" {
		hops++
		path, err := s.resolve("resource.nextHopGateway", v, "gateways")
		if err != nil || base(path) != "default-internet-gateway" {
			return invalidField("resource.nextHopGateway", v, "The referenced gateway resource cannot be found.")
		}
		r.NextHopGateway = path
	}
	if v := in.NextHopInstance; v != "" {
		hops++
		path, err := s.resolve("resource.nextHopInstance", v, "instances")
		if err != nil {
			return err
		}
		i := s.st.Instances[path]
		switch {
		case i == nil:
			return s.gone("resource.nextHopInstance", v, "instance", path)
		case !usesNetwork(i, r.Network):
			return invalidField("resource.nextHopInstance", v, fmt.Sprintf("The instance has no interface in the network '%s'.", r.Network))
		}
		r.NextHopInstance = path
	}
	if v := in.NextHopIp; v != "" {
		hops++
		ip, err := netip.ParseAddr(v)
		if err != nil || !ip.Is4() {
			return invalidField("resource.nextHopIp", v, "Must be an IPv4 address.")
		}
		r.NextHopIp = v
	}
	if hops != 1 {
		return badRequest("Exactly one next hop must be specified.")
	}
	return nil
}

func (s *Service) deleteRoute(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, r, err := find(s, s.st.Routes, c)
	if err != nil {
		return nil, err
	}
	if r.NextHopNetwork != "" {
		return nil, badRequest("The local route cannot be deleted.")
	}
	return s.startDelete(c, path, r.Id, 8*time.Second)
}

// appliesTo says whether a route is seen by machines with these tags.
func appliesTo(r *compute.Route, tags []string) bool {
	return len(r.Tags) == 0 || slices.ContainsFunc(r.Tags, func(t string) bool { return slices.Contains(tags, t) })
}
