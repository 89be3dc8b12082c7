package digitalocean

import (
	"fmt"
	"strconv"
)

var reservedRoutes = map[string]route{
	"GET /v2/reserved_ips":                       {"reserved_ip:read", (*call).listReserved},
	"POST /v2/reserved_ips":                      {"reserved_ip:create", (*call).createReserved},
	"GET /v2/reserved_ips/{ip}":                  {"reserved_ip:read", (*call).getReserved},
	"DELETE /v2/reserved_ips/{ip}":               {"reserved_ip:delete", (*call).deleteReserved},
	"GET /v2/reserved_ips/{ip}/actions":          {"reserved_ip:read", (*call).listReservedActions},
	"POST /v2/reserved_ips/{ip}/actions":         {"reserved_ip:update", (*call).actOnReserved},
	"GET /v2/reserved_ips/{ip}/actions/{action}": {"reserved_ip:read", (*call).getReservedAction},
}

// errAddressPending says that a reserved address is on its way. The API still has the product's former name there.
var errAddressPending = unprocessable("The floating IP already has a pending event.")

func (r *reservedIP) urn() string { return "do:floatingip:" + r.IP.String() }

type reservedView struct {
	IP      string       `json:"ip"`
	Droplet *dropletView `json:"droplet"`
	Region  regionView   `json:"region"`
	Locked  bool         `json:"locked"`
	Project string       `json:"project_id"`
}

func (c *call) reservedView(r *reservedIP) reservedView {
	v := reservedView{IP: r.IP.String(), Region: c.regionView(r.Region), Locked: c.busyAddress(r.IP.String()), Project: c.projectOf(r.urn())}
	if d := c.rec.Droplets[r.Droplet]; d != nil {
		view := c.dropletView(d)
		v.Droplet = &view
	}
	return v
}

func (c *call) listReserved() (answer, *apiError) {
	var all []reservedView
	for _, r := range sorted(c.rec.Reserved) {
		all = append(all, c.reservedView(r))
	}
	return page(c, "reserved_ips", all)
}

func (c *call) getReserved() (answer, *apiError) {
	r, err := find(c, c.rec.Reserved, "ip")
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"reserved_ip": c.reservedView(r)})
}

// createReserved takes an address for a region, or for a Droplet and assigns it at once.
func (c *call) createReserved() (answer, *apiError) {
	var in struct {
		Region  string
		Droplet int    `json:"droplet_id"`
		Project string `json:"project_id"`
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if in.Droplet != 0 {
		d := c.rec.Droplets[in.Droplet]
		if d == nil {
			return answer{}, errNotFound
		}
		if err := c.takes(d, ""); err != nil {
			return answer{}, err
		}
		in.Region = d.Region
	}
	if r, known := c.cat.region(in.Region); !known || !r.open {
		return answer{}, unprocessable("Region is not available")
	}
	if in.Project != "" && c.rec.Projects[in.Project] == nil {
		return answer{}, errNotFound
	}
	if len(c.rec.Reserved) >= c.cfg.Limits.ReservedIPs {
		return answer{}, errReservedLimit
	}
	ip, err := c.cfg.Pools(in.Region).Take()
	if err != nil {
		return answer{}, unprocessable("There are no reserved IPs left in this region.")
	}
	r := &reservedIP{IP: ip, Region: in.Region, Created: c.now()}
	c.rec.Reserved[ip.String()] = r
	if in.Project != "" {
		c.rec.Assigned[r.urn()] = assignment{in.Project, c.now()}
	}
	c.version++
	links := fields{}
	if in.Droplet != 0 {
		a := c.begin(&action{Type: actAssign, Region: r.Region, ResourceType: "reserved_ip", Reserved: ip.String(), Droplet: in.Droplet})
		id, at := strconv.Itoa(in.Droplet), strconv.Itoa(a.ID)
		links["droplets"] = []fields{{"id": in.Droplet, "rel": "droplet", "href": c.base + "/v2/droplets/" + id}}
		links["actions"] = []fields{{"id": a.ID, "rel": actAssign, "href": c.base + "/v2/actions/" + at}}
	}
	return accepted(fields{"reserved_ip": c.reservedView(r), "links": links})
}

// takes says whether a Droplet can have a reserved address assigned now.
func (c *call) takes(d *droplet, ip string) *apiError {
	if c.pending(d.ID) != nil {
		return errPending
	}
	if !d.Anchor.IsValid() {
		return unprocessable("Droplet doesn't have an anchor IP.")
	}
	if has := c.reservedFor(d.ID); has.IsValid() && has.String() != ip {
		return unprocessable("The Droplet already has a reserved IP assigned.")
	}
	for _, a := range c.rec.Actions {
		if a.Status == inProgress && a.Type == actAssign && a.Droplet == d.ID && a.Reserved != ip {
			return errPending
		}
	}
	return nil
}

// deleteReserved takes an address from the account, and from its Droplet. Somebody else may have it when the routers have
// let go of it.
func (c *call) deleteReserved() (answer, *apiError) {
	r, err := find(c, c.rec.Reserved, "ip")
	if err != nil {
		return answer{}, err
	}
	if c.busyAddress(r.IP.String()) {
		return answer{}, errAddressPending
	}
	delete(c.rec.Reserved, r.IP.String())
	delete(c.rec.Assigned, r.urn())
	version, ip, pool := c.changed(), r.IP, c.cfg.Pools(r.Region)
	c.after(func() {
		if err := c.plumber.Wait(c.ctx, version); err != nil {
			c.log.Error("a deleted reserved IP is still in use", "reserved", ip, "error", err)
			return
		}
		pool.Put(ip)
	})
	return nothing()
}

func (c *call) actOnReserved() (answer, *apiError) {
	r, err := find(c, c.rec.Reserved, "ip")
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Type    string
		Droplet int `json:"droplet_id"`
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if c.busyAddress(r.IP.String()) {
		return answer{}, errAddressPending
	}
	a := &action{Region: r.Region, ResourceType: "reserved_ip", Reserved: r.IP.String()}
	switch in.Type {
	case "assign":
		d := c.rec.Droplets[in.Droplet]
		if d == nil {
			return answer{}, errNotFound
		}
		if d.Region != r.Region {
			return answer{}, unprocessable("The Droplet is not in the same region as the floating IP.")
		}
		if err := c.takes(d, r.IP.String()); err != nil {
			return answer{}, err
		}
		a.Type, a.Droplet = actAssign, d.ID
	case "unassign":
		if r.Droplet == 0 {
			return answer{}, unprocessable("The floating IP is not assigned to a Droplet.")
		}
		a.Type = actUnassign
	default:
		return answer{}, unprocessable("Type must be assign or unassign")
	}
	return created(fields{"action": c.actionView(c.begin(a))})
}

// moveAddress brings a reserved address to a Droplet, or away from all.
func (s *Service) moveAddress(a action) error {
	if !s.pause(addressTime) {
		return nil
	}
	var gone bool
	version := s.update(func() {
		r := s.rec.Reserved[a.Reserved]
		if gone = r == nil || a.Droplet != 0 && s.rec.Droplets[a.Droplet] == nil; !gone {
			r.Droplet = a.Droplet
		}
	})
	if gone {
		return fmt.Errorf("reserved IP %s or Droplet %d is gone", a.Reserved, a.Droplet)
	}
	return s.plumber.Wait(s.ctx, version)
}

func (c *call) ofReserved() func(*action) bool {
	ip := c.r.PathValue("ip")
	return func(a *action) bool { return a.Reserved == ip }
}

func (c *call) listReservedActions() (answer, *apiError) {
	if _, err := find(c, c.rec.Reserved, "ip"); err != nil {
		return answer{}, err
	}
	return c.actionsWhere(c.ofReserved())
}

func (c *call) getReservedAction() (answer, *apiError) { return c.actionWhere(c.ofReserved()) }
