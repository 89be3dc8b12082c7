package gce

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"
)

// protocolNumbers are the protocols that a firewall knows by name.
var protocolNumbers = map[string]int{"tcp": 6, "udp": 17, "icmp": 1, "esp": 50, "ah": 51, "sctp": 132, "ipip": 94}

func (s *Service) insertFirewall(c *call) (any, *apiError) {
	var in compute.Firewall
	given, err := decode(c.body, &in)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.completeFirewall(&in, given)
	if err != nil {
		return nil, err
	}
	if s.st.Firewalls[f.SelfLink] != nil {
		return nil, alreadyExists(f.SelfLink)
	}
	if n := s.st.Networks[f.Network]; n == nil || s.busy[f.Network] == "insert" {
		return nil, s.missing(f.Network)
	}
	if err := s.checkQuota("", "FIREWALLS", 1); err != nil {
		return nil, err
	}
	f.Id, f.CreationTimestamp = newID(), stamp()
	s.st.Firewalls[f.SelfLink] = f
	return s.start(c, job{verb: "insert", target: f.SelfLink, targetID: f.Id, took: 6 * time.Second})
}

// completeFirewall checks a rule and fills in what the API does for one that doesn't say it.
func (s *Service) completeFirewall(in *compute.Firewall, given map[string]bool) (*compute.Firewall, *apiError) {
	if err := checkName("resource.name", in.Name); err != nil {
		return nil, err
	}
	f := clone(in)
	f.Kind, f.SelfLink = "compute#firewall", s.global("firewalls", in.Name)
	if f.Network == "" {
		f.Network = s.global("networks", "default")
	}
	network, err := s.resolve("resource.network", f.Network, "networks")
	if err != nil {
		return nil, err
	}
	f.Network = network
	if f.Direction == "" {
		f.Direction = "INGRESS"
	}
	if !given["priority"] && f.Priority == 0 {
		f.Priority = 1000
	}
	if err := checkFirewall(f); err != nil {
		return nil, err
	}
	switch {
	case f.Direction == "EGRESS" && len(f.DestinationRanges) == 0:
		f.DestinationRanges = []string{"0.0.0.0/0"}
	case f.Direction == "INGRESS" && len(f.SourceRanges)+len(f.SourceTags) == 0:
		f.SourceRanges = []string{"0.0.0.0/0"}
	}
	return f, nil
}

func checkFirewall(f *compute.Firewall) *apiError {
	if f.Priority < 0 || f.Priority > 65535 {
		return invalidField("resource.priority", strconv.FormatInt(f.Priority, 10), "Must be between 0 and 65535, inclusive.")
	}
	if len(f.SourceServiceAccounts)+len(f.TargetServiceAccounts) > 0 {
		return unsupportedField("resource.targetServiceAccounts")
	}
	if f.Params != nil {
		return unsupportedField("resource.params")
	}
	switch f.Direction {
	case "INGRESS":
	case "EGRESS":
		if len(f.SourceRanges)+len(f.SourceTags) > 0 {
			return invalidField("resource.sourceRanges", strings.Join(f.SourceRanges, ","), "Source ranges and tags can only be specified for INGRESS rules.")
		}
	default:
		return invalidField("resource.direction", f.Direction, "Must be INGRESS or EGRESS.")
	}
	switch {
	case len(f.Allowed) == 0 && len(f.Denied) == 0:
		return required("resource.allowed")
	case len(f.Allowed) > 0 && len(f.Denied) > 0:
		return invalidField("resource.denied", "", "A firewall rule cannot both allow and deny.")
	}
	for i, a := range f.Allowed {
		if err := checkProtocol(fmt.Sprintf("resource.allowed[%d]", i), a.IPProtocol, a.Ports); err != nil {
			return err
		}
		a.IPProtocol = strings.ToLower(a.IPProtocol)
	}
	for i, d := range f.Denied {
		if err := checkProtocol(fmt.Sprintf("resource.denied[%d]", i), d.IPProtocol, d.Ports); err != nil {
			return err
		}
		d.IPProtocol = strings.ToLower(d.IPProtocol)
	}
	if err := checkRanges("resource.sourceRanges", f.SourceRanges); err != nil {
		return err
	}
	if err := checkRanges("resource.destinationRanges", f.DestinationRanges); err != nil {
		return err
	}
	if err := checkTags("resource.sourceTags", f.SourceTags); err != nil {
		return err
	}
	return checkTags("resource.targetTags", f.TargetTags)
}

func checkProtocol(field, protocol string, ports []string) *apiError {
	protocol = strings.ToLower(protocol)
	if protocol == "" {
		return required(field + ".IPProtocol")
	}
	number, named := protocolNumbers[protocol]
	if !named && protocol != "all" {
		var err error
		if number, err = strconv.Atoi(protocol); err != nil || number < 0 || number > 255 {
			return invalidField(field+".IPProtocol", protocol, "Must be a protocol's name or number.")
		}
	}
	if len(ports) > 0 && number != 6 && number != 17 && number != 132 {
		return invalidField(field+".ports", strings.Join(ports, ","), "Ports may only be specified for TCP, UDP and SCTP.")
	}
	for i, p := range ports {
		if _, _, ok := portRange(p); !ok {
			return invalidField(fmt.Sprintf("%s.ports[%d]", field, i), p, "Ports may be an integer or a range, in [0, 65535].")
		}
	}
	return nil
}

// portRange reads "80" or "8000-9000".
func portRange(text string) (from, to uint16, ok bool) {
	a, b, isRange := strings.Cut(text, "-")
	if !isRange {
		b = a
	}
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	return uint16(x), uint16(y), err1 == nil && err2 == nil && x <= y
}

// checkRanges takes IPv4 and IPv6 ranges, and single addresses as the API does.
func checkRanges(field string, ranges []string) *apiError {
	for i, r := range ranges {
		if _, err := netip.ParsePrefix(r); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(r); err != nil {
			return invalidField(fmt.Sprintf("%s[%d]", field, i), r, "Must be a CIDR address range.")
		}
	}
	return nil
}

func checkTags(field string, tags []string) *apiError {
	for i, t := range tags {
		if !nameRegexp.MatchString(t) {
			return invalidField(fmt.Sprintf("%s[%d]", field, i), t, fmt.Sprintf("Must be a match of regex '%s'", nameRule))
		}
	}
	return nil
}

// changeFirewall is patch and update: the one changes what is given, the other replaces the rule.
func (s *Service) changeFirewall(c *call, verb string) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, old, err := find(s, s.st.Firewalls, c)
	if err != nil {
		return nil, err
	}
	next := &compute.Firewall{}
	var given map[string]bool
	if verb == "patch" {
		next, given, err = patch(old, c.body)
	} else {
		given, err = decode(c.body, next)
	}
	if err != nil {
		return nil, err
	}
	given["priority"] = given["priority"] || verb == "patch"
	if next.Name == "" {
		next.Name = old.Name
	}
	if next.Network == "" {
		next.Network = old.Network
	}
	if next.Direction == "" {
		next.Direction = old.Direction
	}
	f, err := s.completeFirewall(next, given)
	switch {
	case err != nil:
		return nil, err
	case f.Name != old.Name:
		return nil, invalidField("resource.name", f.Name, "Name cannot be changed.")
	case f.Network != old.Network:
		return nil, invalidField("resource.network", next.Network, "Network cannot be changed.")
	case f.Direction != old.Direction:
		return nil, invalidField("resource.direction", f.Direction, "Direction cannot be changed.")
	}
	f.Id, f.CreationTimestamp = old.Id, old.CreationTimestamp
	s.st.Firewalls[path] = f
	return s.start(c, job{verb: "compute.firewalls." + verb, target: path, targetID: f.Id, took: 6 * time.Second})
}

func (s *Service) deleteFirewall(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, f, err := find(s, s.st.Firewalls, c)
	if err != nil {
		return nil, err
	}
	return s.startDelete(c, path, f.Id, 6*time.Second)
}

// targets says whether a rule applies to a machine with these tags.
func targets(f *compute.Firewall, tags []string) bool {
	if f.Disabled {
		return false
	}
	return len(f.TargetTags) == 0 || slices.ContainsFunc(f.TargetTags, func(t string) bool { return slices.Contains(tags, t) })
}
