package digitalocean

import (
	"regexp"
)

var volumeRoutes = map[string]route{
	"GET /v2/volumes":                           {"block_storage:read", (*call).listVolumes},
	"POST /v2/volumes":                          {"block_storage:create", (*call).createVolume},
	"DELETE /v2/volumes":                        {"block_storage:delete", (*call).deleteVolumeByName},
	"GET /v2/volumes/{volume}":                  {"block_storage:read", (*call).getVolume},
	"DELETE /v2/volumes/{volume}":               {"block_storage:delete", (*call).deleteVolume},
	"POST /v2/volumes/actions":                  {"block_storage_action:create", (*call).actOnNamedVolume},
	"POST /v2/volumes/{volume}/actions":         {"block_storage_action:create", (*call).actOnVolume},
	"GET /v2/volumes/{volume}/actions":          {"block_storage_action:read", (*call).listVolumeActions},
	"GET /v2/volumes/{volume}/actions/{action}": {"block_storage_action:read", (*call).getVolumeAction},
	"GET /v2/volumes/{volume}/snapshots":        {"block_storage_snapshot:read", (*call).listVolumeSnapshots},
}

func (v *volume) urn() string { return "do:volume:" + v.ID }

type volumeView struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Region      regionView `json:"region"`
	Size        int        `json:"size_gigabytes"`
	Created     string     `json:"created_at"`
	Droplets    []int      `json:"droplet_ids"`
	Filesystem  string     `json:"filesystem_type"`
	Label       string     `json:"filesystem_label"`
	Tags        []string   `json:"tags"`
}

func (c *call) volumeView(v *volume) volumeView {
	view := volumeView{v.ID, v.Name, v.Description, c.regionView(v.Region), v.Size, stamp(v.Created), []int{}, v.Filesystem, v.Label, append([]string{}, v.Tags...)}
	if v.Droplet != 0 {
		view.Droplets = append(view.Droplets, v.Droplet)
	}
	return view
}

// volumesOf are the volumes that are attached to a Droplet.
func (s *Service) volumesOf(droplet int) []string {
	out := []string{}
	for _, v := range sorted(s.rec.Volumes) {
		if v.Droplet == droplet {
			out = append(out, v.ID)
		}
	}
	return out
}

func (c *call) listVolumes() (answer, *apiError) {
	var all []volumeView
	for _, v := range sorted(c.rec.Volumes) {
		if name, region := c.q.Get("name"), c.q.Get("region"); (name == "" || v.Name == name) && (region == "" || v.Region == region) {
			all = append(all, c.volumeView(v))
		}
	}
	return page(c, "volumes", all)
}

func (c *call) getVolume() (answer, *apiError) {
	v, err := find(c, c.rec.Volumes, "volume")
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"volume": c.volumeView(v)})
}

func (c *call) listVolumeSnapshots() (answer, *apiError) {
	if _, err := find(c, c.rec.Volumes, "volume"); err != nil {
		return answer{}, err
	}
	return page(c, "snapshots", []fields{})
}

var volumeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// maxVolume is the largest size, in GiB; maxAttached is how many volumes a Droplet can have.
const (
	maxVolume   = 16384
	maxAttached = 15
)

func (c *call) createVolume() (answer, *apiError) {
	var in struct {
		Name, Description, Region string
		Size                      int    `json:"size_gigabytes"`
		Snapshot                  string `json:"snapshot_id"`
		Filesystem                string `json:"filesystem_type"`
		Label                     string `json:"filesystem_label"`
		Tags                      []string
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	r, known := c.cat.region(in.Region)
	switch {
	case !volumeName.MatchString(in.Name):
		return answer{}, unprocessable("name must begin with a lowercase letter and hold only lowercase letters, numbers and '-', at most 64")
	case !known || !r.open:
		return answer{}, unprocessable("region not found")
	case in.Snapshot != "":
		return answer{}, unprocessable("snapshot not found")
	case in.Size < 1 || in.Size > maxVolume:
		return answer{}, unprocessable("invalid size_gigabytes: must be between 1 and %d", maxVolume)
	case c.namedVolume(in.Name, in.Region) != nil:
		return answer{}, conflict("volume with name %s already exists in the region", in.Name)
	case len(c.rec.Volumes) >= c.cfg.Limits.Volumes:
		return answer{}, forbidden("failed to create volume: volume limit exceeded")
	}
	v := &volume{ID: newUUID(), Name: in.Name, Description: in.Description, Region: in.Region, Size: in.Size, Filesystem: in.Filesystem, Label: in.Label, Created: c.now()}
	for _, t := range in.Tags {
		if !tagName.MatchString(t) {
			return answer{}, unprocessable("invalid tag %q", t)
		}
		v.Tags = with(v.Tags, c.tagged(t, c.base+"/v2/volumes/"+v.ID))
	}
	c.rec.Volumes[v.ID] = v
	c.version++
	return created(fields{"volume": c.volumeView(v)})
}

// namedVolume finds a region's volume by name; nil for none.
func (s *Service) namedVolume(name, region string) *volume {
	for _, v := range s.rec.Volumes {
		if v.Name == name && v.Region == region {
			return v
		}
	}
	return nil
}

func (c *call) deleteVolume() (answer, *apiError) {
	v, err := find(c, c.rec.Volumes, "volume")
	if err != nil {
		return answer{}, err
	}
	return c.removeVolume(v)
}

func (c *call) deleteVolumeByName() (answer, *apiError) {
	v := c.namedVolume(c.q.Get("name"), c.q.Get("region"))
	if v == nil {
		return answer{}, errNotFound
	}
	return c.removeVolume(v)
}

func (c *call) removeVolume(v *volume) (answer, *apiError) {
	if v.Droplet != 0 || c.busyVolume(v.ID) {
		return answer{}, conflict("attached volume cannot be deleted")
	}
	delete(c.rec.Volumes, v.ID)
	delete(c.rec.Assigned, v.urn())
	c.version++
	return nothing()
}

func (s *Service) busyVolume(id string) bool {
	for _, a := range s.rec.Actions {
		if a.Status == inProgress && a.Volume == id {
			return true
		}
	}
	return false
}

// volumeWish is what a request for an action on a volume says.
type volumeWish struct {
	Type, Region string
	Name         string `json:"volume_name"`
	Droplet      int    `json:"droplet_id"`
	Size         int    `json:"size_gigabytes"`
}

func (c *call) actOnVolume() (answer, *apiError) {
	v, err := find(c, c.rec.Volumes, "volume")
	if err != nil {
		return answer{}, err
	}
	var in volumeWish
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	return c.changeVolume(v, in)
}

func (c *call) actOnNamedVolume() (answer, *apiError) {
	var in volumeWish
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	v := c.namedVolume(in.Name, in.Region)
	if v == nil {
		return answer{}, errNotFound
	}
	return c.changeVolume(v, in)
}

// changeVolume attaches, detaches or grows a volume.
func (c *call) changeVolume(v *volume, in volumeWish) (answer, *apiError) {
	if c.busyVolume(v.ID) {
		return answer{}, unprocessable("Volume already has a pending event.")
	}
	a := &action{Region: v.Region, ResourceType: "volume", Volume: v.ID}
	switch in.Type {
	case "attach":
		if err := c.checkAttach(v, in.Droplet); err != nil {
			return answer{}, err
		}
		v.Droplet, a.Type = in.Droplet, actAttach
	case "detach":
		if v.Droplet == 0 || in.Droplet != 0 && in.Droplet != v.Droplet {
			return answer{}, unprocessable("Attachment not found")
		}
		v.Droplet, a.Type = 0, actDetach
	case "resize":
		if in.Size <= v.Size || in.Size > maxVolume {
			return answer{}, unprocessable("invalid size_gigabytes: a volume can only become larger, up to %d", maxVolume)
		}
		v.Size, a.Type = in.Size, actGrow
	default:
		return answer{}, unprocessable("Type must be attach, detach or resize")
	}
	return accepted(fields{"action": c.actionView(c.begin(a))})
}

func (c *call) checkAttach(v *volume, droplet int) *apiError {
	d := c.rec.Droplets[droplet]
	switch {
	case d == nil:
		return errNotFound
	case v.Droplet == droplet:
		return unprocessable("Volume is already attached to this Droplet")
	case v.Droplet != 0:
		return unprocessable("Volume is attached to another Droplet")
	case d.Region != v.Region:
		return unprocessable("Droplet and volume must be in the same region")
	case c.pending(d.ID) != nil:
		return errPending
	case len(c.volumesOf(d.ID)) >= maxAttached:
		return unprocessable("a Droplet can have at most %d volumes", maxAttached)
	}
	return nil
}

func (c *call) ofVolume() func(*action) bool {
	id := c.r.PathValue("volume")
	return func(a *action) bool { return a.Volume == id }
}

func (c *call) listVolumeActions() (answer, *apiError) {
	if _, err := find(c, c.rec.Volumes, "volume"); err != nil {
		return answer{}, err
	}
	return c.actionsWhere(c.ofVolume())
}

func (c *call) getVolumeAction() (answer, *apiError) { return c.actionWhere(c.ofVolume()) }
