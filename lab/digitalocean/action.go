package digitalocean

import (
	"strconv"
)

// The types of actions, as they show.
const (
	actCreate     = "create"
	actDestroy    = "destroy"
	actPowerOff   = "power_off"
	actShutdown   = "shutdown"
	actPowerOn    = "power_on"
	actPowerCycle = "power_cycle"
	actReboot     = "reboot"
	actRename     = "rename"
	actResize     = "resize"
	actAssign     = "assign_ip"
	actUnassign   = "unassign_ip"
	actAttach     = "attach_volume"
	actDetach     = "detach_volume"
	actGrow       = "resize_volume"
)

type actionView struct {
	ID           int         `json:"id"`
	Status       string      `json:"status"`
	Type         string      `json:"type"`
	Started      string      `json:"started_at"`
	Completed    *string     `json:"completed_at"`
	ResourceID   *int        `json:"resource_id"`
	ResourceType string      `json:"resource_type"`
	Region       *regionView `json:"region,omitempty"`
	RegionSlug   string      `json:"region_slug"`
	Project      string      `json:"project_id,omitempty"`
}

func (c *call) actionView(a *action) actionView {
	v := actionView{ID: a.ID, Status: a.Status, Type: a.Type, Started: stamp(a.Started), ResourceType: a.ResourceType, RegionSlug: a.Region}
	if !a.Completed.IsZero() {
		at := stamp(a.Completed)
		v.Completed = &at
	}
	switch a.ResourceType {
	case "droplet":
		v.ResourceID = &a.Droplet
	case "reserved_ip":
		n := addressNumber(a.Reserved)
		v.ResourceID = &n
		if r := c.rec.Reserved[a.Reserved]; r != nil {
			v.Project = c.projectOf(r.urn())
		}
	}
	region := c.regionView(a.Region)
	v.Region = &region
	return v
}

// begin records an action and has it done. The caller holds the lock.
func (c *call) begin(a *action) *action {
	c.rec.LastAction++
	a.ID, a.Status, a.Started = c.rec.LastAction, inProgress, c.now()
	c.rec.Actions[a.ID] = a
	c.forgetActions()
	c.changed()
	id := a.ID
	c.after(func() { c.Service.perform(id) })
	return a
}

// keptActions bounds how many actions are remembered.
const keptActions = 5000

// forgetActions drops the oldest actions that are over.
func (s *Service) forgetActions() {
	if len(s.rec.Actions) <= keptActions+100 {
		return
	}
	excess := len(s.rec.Actions) - keptActions
	for _, a := range sorted(s.rec.Actions) {
		if excess > 0 && a.Status != inProgress {
			delete(s.rec.Actions, a.ID)
			excess--
		}
	}
}

// pending is the action that keeps a Droplet from others; nil when there is none.
func (s *Service) pending(droplet int) *action {
	for _, a := range s.rec.Actions {
		if a.Status == inProgress && a.Droplet == droplet && a.ResourceType == "droplet" {
			return a
		}
	}
	return nil
}

// busyAddress says that a reserved address is on its way somewhere.
func (s *Service) busyAddress(ip string) bool {
	for _, a := range s.rec.Actions {
		if a.Status == inProgress && a.Reserved == ip {
			return true
		}
	}
	return false
}

// actionsWhere lists actions, the newest first.
func (c *call) actionsWhere(want func(*action) bool) (answer, *apiError) {
	var all []actionView
	list := sorted(c.rec.Actions)
	for i := len(list) - 1; i >= 0; i-- {
		if want(list[i]) {
			all = append(all, c.actionView(list[i]))
		}
	}
	return page(c, "actions", all)
}

func (c *call) listActions() (answer, *apiError) {
	return c.actionsWhere(func(*action) bool { return true })
}

func (c *call) getAction() (answer, *apiError) {
	return c.actionWhere(func(*action) bool { return true })
}

func (c *call) actionWhere(want func(*action) bool) (answer, *apiError) {
	a, err := findNumber(c, c.rec.Actions, "action")
	if err != nil {
		return answer{}, err
	}
	if !want(a) {
		return answer{}, errNotFound
	}
	return ok(fields{"action": c.actionView(a)})
}

func (c *call) ofDroplet() (func(*action) bool, *apiError) {
	n, err := c.number("droplet")
	return func(a *action) bool { return a.Droplet == n && a.ResourceType == "droplet" }, err
}

func (c *call) listDropletActions() (answer, *apiError) {
	if _, err := findNumber(c, c.rec.Droplets, "droplet"); err != nil {
		return answer{}, err
	}
	want, err := c.ofDroplet()
	if err != nil {
		return answer{}, err
	}
	return c.actionsWhere(want)
}

func (c *call) getDropletAction() (answer, *apiError) {
	want, err := c.ofDroplet()
	if err != nil {
		return answer{}, err
	}
	return c.actionWhere(want)
}

// wish is what a request for an action says.
type wish struct {
	Type string
	Name string
	Size string
	Disk bool
}

func (c *call) actOnDroplet() (answer, *apiError) {
	d, err := findNumber(c, c.rec.Droplets, "droplet")
	if err != nil {
		return answer{}, err
	}
	var in wish
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	a, err := c.act(d, in)
	if err != nil {
		return answer{}, err
	}
	return created(fields{"action": c.actionView(a)})
}

// act checks an action on a Droplet and begins it.
func (c *call) act(d *droplet, in wish) (*action, *apiError) {
	if c.pending(d.ID) != nil {
		return nil, errPending
	}
	a := &action{Type: in.Type, Region: d.Region, ResourceType: "droplet", Droplet: d.ID}
	switch in.Type {
	case actPowerOff, actShutdown, actReboot:
		if d.Status == statusOff && in.Type != actReboot {
			return nil, unprocessable("Droplet is currently off. Please power it on to run this event.")
		}
	case actPowerCycle:
	case actPowerOn:
		if d.Status != statusOff {
			return nil, unprocessable("Droplet is already powered on.")
		}
	case actRename:
		if len(in.Name) > maxName || !dropletName.MatchString(in.Name) {
			return nil, unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
		}
		a.Name = in.Name
	case actResize:
		if err := c.checkResize(d, in); err != nil {
			return nil, err
		}
		a.Size = in.Size
	case "":
		return nil, unprocessable("Type can't be blank")
	default:
		return nil, unprocessable("Unsupported action type: %s", in.Type)
	}
	return c.begin(a), nil
}

func (c *call) checkResize(d *droplet, in wish) *apiError {
	next, known := c.cat.size(in.Size)
	now, _ := c.cat.size(d.Size)
	switch {
	case !known || in.Size == d.Size:
		return unprocessable("You specified an invalid size for Droplet resize.")
	case d.Status != statusOff:
		return unprocessable("Droplet must be off to resize.")
	case next.disk < now.disk:
		return unprocessable("This size is not available because it has a smaller disk.")
	case !c.offered(d.Region, in.Size):
		return unprocessable("Size is not available in this region.")
	}
	return nil
}

// actOnTagged does the same to all Droplets with a tag.
func (c *call) actOnTagged() (answer, *apiError) {
	name := c.q.Get("tag_name")
	if name == "" {
		return answer{}, unprocessable("tag_name can't be blank")
	}
	var in wish
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	views := []actionView{}
	for _, d := range sorted(c.rec.Droplets) {
		if !hasTag(d.Tags, name) {
			continue
		}
		a, err := c.act(d, in)
		if err != nil {
			return answer{}, err
		}
		views = append(views, c.actionView(a))
	}
	return created(fields{"actions": views})
}

// machineID is what a Droplet's machine is called in the lab.
func machineID(droplet int) string { return strconv.Itoa(droplet) }
