package digitalocean

import (
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var firewallRoutes = map[string]route{
	"GET /v2/firewalls":                        {"firewall:read", (*call).listFirewalls},
	"POST /v2/firewalls":                       {"firewall:create", (*call).createFirewall},
	"GET /v2/firewalls/{firewall}":             {"firewall:read", (*call).getFirewall},
	"PUT /v2/firewalls/{firewall}":             {"firewall:update", (*call).replaceFirewall},
	"DELETE /v2/firewalls/{firewall}":          {"firewall:delete", (*call).deleteFirewall},
	"POST /v2/firewalls/{firewall}/droplets":   {"firewall:update", (*call).addFirewallDroplets},
	"DELETE /v2/firewalls/{firewall}/droplets": {"firewall:update", (*call).removeFirewallDroplets},
	"POST /v2/firewalls/{firewall}/tags":       {"firewall:update", (*call).addFirewallTags},
	"DELETE /v2/firewalls/{firewall}/tags":     {"firewall:update", (*call).removeFirewallTags},
	"POST /v2/firewalls/{firewall}/rules":      {"firewall:update", (*call).addFirewallRules},
	"DELETE /v2/firewalls/{firewall}/rules":    {"firewall:update", (*call).removeFirewallRules},
}

// How much a firewall may hold.
const (
	maxRules            = 50
	maxFirewallDroplets = 10
	maxFirewallTags     = 5
)

type inboundView struct {
	Protocol string `json:"protocol"`
	Ports    string `json:"ports"`
	Sources  *peers `json:"sources"`
	Action   string `json:"action,omitempty"`
}

type outboundView struct {
	Protocol     string `json:"protocol"`
	Ports        string `json:"ports"`
	Destinations *peers `json:"destinations"`
	Action       string `json:"action,omitempty"`
}

type changeView struct {
	Droplet  int    `json:"droplet_id"`
	Removing bool   `json:"removing"`
	Status   string `json:"status"`
}

type firewallView struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Status   string         `json:"status"`
	Inbound  []inboundView  `json:"inbound_rules"`
	Outbound []outboundView `json:"outbound_rules"`
	Created  string         `json:"created_at"`
	Droplets []int          `json:"droplet_ids"`
	Tags     []string       `json:"tags"`
	Pending  []changeView   `json:"pending_changes"`
}

func (f *firewall) view() firewallView {
	v := firewallView{ID: f.ID, Name: f.Name, Status: "succeeded", Inbound: []inboundView{}, Outbound: []outboundView{}, Created: stamp(f.Created),
		Droplets: append([]int{}, f.Droplets...), Tags: append([]string{}, f.Tags...), Pending: []changeView{}}
	for _, r := range f.Inbound {
		v.Inbound = append(v.Inbound, inboundView{Protocol: r.Protocol, Ports: r.Ports, Sources: &r.Peers})
	}
	for _, r := range f.Outbound {
		v.Outbound = append(v.Outbound, outboundView{Protocol: r.Protocol, Ports: r.Ports, Destinations: &r.Peers})
	}
	for _, id := range slices.Sorted(maps.Keys(f.Waiting)) {
		v.Status = "waiting"
		v.Pending = append(v.Pending, changeView{id, f.Waiting[id], "waiting"})
	}
	return v
}

func (c *call) listFirewalls() (answer, *apiError) {
	return c.firewallsWhere(func(*firewall) bool { return true })
}

func (c *call) firewallsWhere(want func(*firewall) bool) (answer, *apiError) {
	var all []firewallView
	for _, f := range sorted(c.rec.Firewalls) {
		if want(f) {
			all = append(all, f.view())
		}
	}
	return page(c, "firewalls", all)
}

func (c *call) listDropletFirewalls() (answer, *apiError) {
	d, err := findNumber(c, c.rec.Droplets, "droplet")
	if err != nil {
		return answer{}, err
	}
	return c.firewallsWhere(func(f *firewall) bool { return f.covers(d) })
}

func (c *call) getFirewall() (answer, *apiError) {
	f, err := find(c, c.rec.Firewalls, "firewall")
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"firewall": f.view()})
}

// covers says whether a firewall is a Droplet's.
func (f *firewall) covers(d *droplet) bool {
	return contains(f.Droplets, d.ID) || slices.ContainsFunc(f.Tags, func(t string) bool { return hasTag(d.Tags, t) })
}

// covered are the Droplets that a firewall is in force at.
func (s *Service) covered(f *firewall) map[int]bool {
	out := map[int]bool{}
	for _, d := range s.rec.Droplets {
		if f.covers(d) {
			out[d.ID] = true
		}
	}
	return out
}

// firewallRequest is what a request says of a firewall.
type firewallRequest struct {
	Name     string
	Inbound  []inboundView  `json:"inbound_rules"`
	Outbound []outboundView `json:"outbound_rules"`
	Droplets []int          `json:"droplet_ids"`
	Tags     []string
}

func (r firewallRequest) rules() (in, out []rule) {
	for _, v := range r.Inbound {
		in = append(in, newRule(v.Protocol, v.Ports, v.Sources))
	}
	for _, v := range r.Outbound {
		out = append(out, newRule(v.Protocol, v.Ports, v.Destinations))
	}
	return in, out
}

// newRule writes a rule as the API answers it: all ports are 0.
func newRule(protocol, ports string, p *peers) rule {
	r := rule{Protocol: strings.ToLower(protocol), Ports: ports}
	if ports == "" || ports == "all" || r.Protocol == "icmp" {
		r.Ports = "0"
	}
	if p != nil {
		r.Peers = *p
	}
	return r
}

var firewallName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.\-]+$`)

// firewallFrom checks a request and returns the firewall that it asks for; self is its id where it is there already.
func (c *call) firewallFrom(self string) (*firewall, *apiError) {
	var in firewallRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if !firewallName.MatchString(in.Name) || len(in.Name) > maxName {
		return nil, unprocessable("name must begin with an alphanumeric character, and hold only alphanumeric characters, periods and dashes")
	}
	for _, f := range c.rec.Firewalls {
		if f.ID != self && f.Name == in.Name {
			return nil, conflict("duplicate name")
		}
	}
	f := &firewall{Name: in.Name, Droplets: with([]int{}, in.Droplets...), Tags: with([]string{}, in.Tags...)}
	f.Inbound, f.Outbound = in.rules()
	return f, c.checkFirewall(f)
}

// checkFirewall holds a firewall to the API's rules.
func (s *Service) checkFirewall(f *firewall) *apiError {
	switch n := len(f.Inbound) + len(f.Outbound); {
	case n == 0:
		return unprocessable("at least one inbound or outbound rule is required")
	case n > maxRules:
		return unprocessable("a firewall can have at most %d rules", maxRules)
	case len(f.Droplets) > maxFirewallDroplets:
		return unprocessable("a firewall can have at most %d individual Droplets", maxFirewallDroplets)
	case len(f.Tags) > maxFirewallTags:
		return unprocessable("a firewall can have at most %d tags", maxFirewallTags)
	}
	for _, list := range [][]rule{f.Inbound, f.Outbound} {
		for i, r := range list {
			if err := s.checkRule(r); err != nil {
				return err
			}
			if slices.ContainsFunc(list[:i], func(o rule) bool { return reflect.DeepEqual(o, r) }) {
				return unprocessable("duplicate rule: protocol %s, ports %s", r.Protocol, r.Ports)
			}
		}
	}
	return s.checkNamed(f.Droplets, f.Tags)
}

// checkNamed says whether Droplets and tags that a request names are there.
func (s *Service) checkNamed(droplets []int, tags []string) *apiError {
	for _, id := range droplets {
		if s.rec.Droplets[id] == nil {
			return unprocessable("droplet %d does not exist", id)
		}
	}
	for _, t := range tags {
		if s.rec.Tags[lower(t)] == nil {
			return unprocessable("tag %s does not exist", t)
		}
	}
	return nil
}

// checkRule finds what is wrong with a rule. One that names nobody is none of that: the API takes it, and it lets nobody in.
func (s *Service) checkRule(r rule) *apiError {
	if !contains([]string{"tcp", "udp", "icmp"}, r.Protocol) {
		return unprocessable("invalid protocol %q: must be tcp, udp or icmp", r.Protocol)
	}
	if _, _, good := portRange(r.Ports); !good {
		return unprocessable("invalid ports %q", r.Ports)
	}
	p := r.Peers
	for _, a := range p.Addresses {
		if _, err := netip.ParsePrefix(a); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(a); err != nil {
			return unprocessable("invalid address %q", a)
		}
	}
	if len(p.LoadBalancers)+len(p.Kubernetes) > 0 {
		return unprocessable("no such load balancer or Kubernetes cluster")
	}
	return s.checkNamed(p.Droplets, p.Tags)
}

// portRange reads the ports of a rule; "0" is all of them.
func portRange(text string) (from, to uint16, good bool) {
	if text == "0" {
		return 0, 0, true
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	return uint16(a), uint16(b), err1 == nil && err2 == nil && 0 < a && a <= b
}

func (c *call) createFirewall() (answer, *apiError) {
	f, err := c.firewallFrom("")
	if err != nil {
		return answer{}, err
	}
	f.ID, f.Created = newUUID(), c.now()
	c.rec.Firewalls[f.ID] = f
	c.enforce(f, nil)
	return accepted(fields{"firewall": f.view()})
}

func (c *call) replaceFirewall() (answer, *apiError) {
	f, err := find(c, c.rec.Firewalls, "firewall")
	if err != nil {
		return answer{}, err
	}
	next, err := c.firewallFrom(f.ID)
	if err != nil {
		return answer{}, err
	}
	before := c.covered(f)
	next.ID, next.Created = f.ID, f.Created
	*f = *next
	c.enforce(f, before)
	return ok(fields{"firewall": f.view()})
}

// enforce brings a firewall into force at the Droplets that it covers, and out of it at those that it did before.
func (c *call) enforce(f *firewall, before map[int]bool) {
	f.Waiting = map[int]bool{}
	for id := range c.covered(f) {
		f.Waiting[id] = false
	}
	for id := range before {
		if _, still := f.Waiting[id]; !still {
			f.Waiting[id] = true
		}
	}
	version, id, waiting := c.changed(), f.ID, f.Waiting
	if len(waiting) == 0 {
		return
	}
	c.after(func() {
		if !c.Service.pause(firewallTime) {
			return
		}
		if err := c.plumber.Wait(c.ctx, version); err != nil {
			c.log.Error("firewall is not in force yet", "firewall", id, "error", err)
		}
		c.update(func() {
			// A later change has a list of its own.
			if f := c.rec.Firewalls[id]; f != nil && reflect.ValueOf(f.Waiting).Pointer() == reflect.ValueOf(waiting).Pointer() {
				f.Waiting = nil
			}
		})
	})
}

func (c *call) deleteFirewall() (answer, *apiError) {
	f, err := find(c, c.rec.Firewalls, "firewall")
	if err != nil {
		return answer{}, err
	}
	delete(c.rec.Firewalls, f.ID)
	c.changed()
	return nothing()
}

// changeFirewall applies a part of a firewall's definition.
func (c *call) changeFirewall(change func(f *firewall, in firewallRequest) *apiError) (answer, *apiError) {
	f, err := find(c, c.rec.Firewalls, "firewall")
	if err != nil {
		return answer{}, err
	}
	var in firewallRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	next := *f
	if err := change(&next, in); err != nil {
		return answer{}, err
	}
	if err := c.checkFirewall(&next); err != nil {
		return answer{}, err
	}
	before := c.covered(f)
	*f = next
	c.enforce(f, before)
	return nothing()
}

func (c *call) addFirewallDroplets() (answer, *apiError) {
	return c.changeFirewall(func(f *firewall, in firewallRequest) *apiError {
		f.Droplets = with(f.Droplets, in.Droplets...)
		return nil
	})
}

func (c *call) removeFirewallDroplets() (answer, *apiError) {
	return c.changeFirewall(func(f *firewall, in firewallRequest) *apiError {
		f.Droplets = without(f.Droplets, in.Droplets...)
		return c.checkNamed(in.Droplets, nil)
	})
}

func (c *call) addFirewallTags() (answer, *apiError) {
	return c.changeFirewall(func(f *firewall, in firewallRequest) *apiError {
		f.Tags = with(f.Tags, in.Tags...)
		return nil
	})
}

func (c *call) removeFirewallTags() (answer, *apiError) {
	return c.changeFirewall(func(f *firewall, in firewallRequest) *apiError {
		f.Tags = without(f.Tags, in.Tags...)
		return c.checkNamed(nil, in.Tags)
	})
}

func (c *call) addFirewallRules() (answer, *apiError) {
	return c.changeFirewall(func(f *firewall, in firewallRequest) *apiError {
		inbound, outbound := in.rules()
		f.Inbound, f.Outbound = append(slices.Clone(f.Inbound), inbound...), append(slices.Clone(f.Outbound), outbound...)
		return nil
	})
}

func (c *call) removeFirewallRules() (answer, *apiError) {
	return c.changeFirewall(func(f *firewall, in firewallRequest) *apiError {
		inbound, outbound := in.rules()
		var found bool
		if f.Inbound, found = withoutRules(f.Inbound, inbound); !found {
			return unprocessable("rule does not exist")
		}
		if f.Outbound, found = withoutRules(f.Outbound, outbound); !found {
			return unprocessable("rule does not exist")
		}
		return nil
	})
}

// withoutRules takes rules out of a list, and says whether all of them were in it.
func withoutRules(list, gone []rule) ([]rule, bool) {
	list = slices.Clone(list)
	for _, g := range gone {
		i := slices.IndexFunc(list, func(r rule) bool { return reflect.DeepEqual(r, g) })
		if i < 0 {
			return nil, false
		}
		list = slices.Delete(list, i, i+1)
	}
	return list, true
}
