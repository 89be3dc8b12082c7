package digitalocean

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var dropletRoutes = map[string]route{
	"GET /v2/droplets":                            {"droplet:read", (*call).listDroplets},
	"POST /v2/droplets":                           {"droplet:create", (*call).createDroplets},
	"DELETE /v2/droplets":                         {"droplet:delete", (*call).deleteTagged},
	"GET /v2/droplets/{droplet}":                  {"droplet:read", (*call).getDroplet},
	"DELETE /v2/droplets/{droplet}":               {"droplet:delete", (*call).deleteDroplet},
	"GET /v2/droplets/{droplet}/actions":          {"droplet:read", (*call).listDropletActions},
	"POST /v2/droplets/{droplet}/actions":         {"droplet:update", (*call).actOnDroplet},
	"GET /v2/droplets/{droplet}/actions/{action}": {"droplet:read", (*call).getDropletAction},
	"POST /v2/droplets/actions":                   {"droplet:update", (*call).actOnTagged},
	"GET /v2/droplets/{droplet}/firewalls":        {"firewall:read", (*call).listDropletFirewalls},
	"GET /v2/droplets/{droplet}/neighbors":        {"droplet:read", (*call).listNeighbors},
	"GET /v2/droplets/{droplet}/snapshots":        {"droplet:read", (*call).listNoSnapshots},
	"GET /v2/droplets/{droplet}/backups":          {"droplet:read", (*call).listNoBackups},
	"GET /v2/actions":                             {"actions:read", (*call).listActions},
	"GET /v2/actions/{action}":                    {"actions:read", (*call).getAction},
}

func (d *droplet) urn() string { return "do:droplet:" + strconv.Itoa(d.ID) }

type networkView struct {
	Address string `json:"ip_address"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
	Type    string `json:"type"`
}

type dropletView struct {
	ID          int            `json:"id"`
	Name        string         `json:"name"`
	Memory      int            `json:"memory"`
	VCPUs       int            `json:"vcpus"`
	Disk        int            `json:"disk"`
	Disks       []diskView     `json:"disk_info"`
	Locked      bool           `json:"locked"`
	Status      string         `json:"status"`
	Kernel      *int           `json:"kernel"` // always null: Droplets have their own
	Created     string         `json:"created_at"`
	Features    []string       `json:"features"`
	BackupIDs   []int          `json:"backup_ids"`
	BackupTime  *int           `json:"next_backup_window"`
	SnapshotIDs []int          `json:"snapshot_ids"`
	Image       imageView      `json:"image"`
	VolumeIDs   []string       `json:"volume_ids"`
	Size        sizeView       `json:"size"`
	SizeSlug    string         `json:"size_slug"`
	Networks    map[string]any `json:"networks"`
	Region      regionView     `json:"region"`
	Tags        []string       `json:"tags"`
	VPC         string         `json:"vpc_uuid,omitempty"` // not there before the Droplet has its place
}

func (c *call) dropletView(d *droplet) dropletView {
	image, _ := imageOf(strconv.Itoa(d.Image))
	size := c.sizeView(d.Size)
	v := dropletView{
		ID: d.ID, Name: d.Name, Memory: size.Memory, VCPUs: size.VCPUs, Disk: size.Disk, Disks: size.Disks, Locked: c.pending(d.ID) != nil,
		Status: d.Status, Created: stamp(d.Created), Features: []string{}, BackupIDs: []int{}, SnapshotIDs: []int{}, Image: c.imageView(image),
		VolumeIDs: c.volumesOf(d.ID), Size: size, SizeSlug: d.Size, Region: c.regionView(d.Region), Tags: append([]string{}, d.Tags...),
	}
	for feature, has := range map[string]bool{"monitoring": d.Monitoring, "droplet_agent": d.Agent, "private_networking": true} {
		if has {
			v.Features = append(v.Features, feature)
		}
	}
	slices.Sort(v.Features)
	v4 := []networkView{}
	if d.Placed {
		v4, v.VPC = c.networkViews(d), d.VPC
	}
	v.Networks = map[string]any{"v4": v4, "v6": []networkView{}}
	return v
}

// networkViews are a Droplet's own addresses, the private one first; a reserved one isn't among them.
func (c *call) networkViews(d *droplet) []networkView {
	// "nil" is what the API writes where a private interface has no gateway.
	out := []networkView{{d.Private.String(), netmask(c.rec.VPCs[d.VPC].Range), "nil", "private"}}
	if d.Public.IsValid() {
		pool := c.cfg.Pools(d.Region).Prefix()
		out = append(out, networkView{d.Public.String(), netmask(pool), c.gateway(d.Region).String(), "public"})
	}
	return out
}

// netmask is a range's size in the old form.
func netmask(p netip.Prefix) string {
	m := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

func (c *call) listDroplets() (answer, *apiError) {
	var all []dropletView
	tagName, name := c.q.Get("tag_name"), c.q.Get("name")
	for _, d := range sorted(c.rec.Droplets) {
		if tagName != "" && !hasTag(d.Tags, tagName) || name != "" && !strings.EqualFold(d.Name, name) || c.q.Get("type") == "gpus" {
			continue
		}
		all = append(all, c.dropletView(d))
	}
	return page(c, "droplets", all)
}

func (c *call) getDroplet() (answer, *apiError) {
	d, err := findNumber(c, c.rec.Droplets, "droplet")
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"droplet": c.dropletView(d)})
}

func (c *call) listNeighbors() (answer, *apiError) {
	if _, err := findNumber(c, c.rec.Droplets, "droplet"); err != nil {
		return answer{}, err
	}
	return ok(fields{"droplets": []fields{}})
}

func (c *call) listNoSnapshots() (answer, *apiError) { return c.emptyOfDroplet("snapshots") }
func (c *call) listNoBackups() (answer, *apiError)   { return c.emptyOfDroplet("backups") }

func (c *call) emptyOfDroplet(name string) (answer, *apiError) {
	if _, err := findNumber(c, c.rec.Droplets, "droplet"); err != nil {
		return answer{}, err
	}
	return page(c, name, []fields{})
}

// creation is what a request for Droplets may say.
type creation struct {
	Name       *string
	Names      []string
	Region     string
	Size       string
	Image      json.RawMessage
	SSHKeys    []json.RawMessage `json:"ssh_keys"`
	Backups    bool
	IPv6       bool
	Monitoring bool
	Tags       []string
	UserData   string `json:"user_data"`
	Volumes    []string
	VPC        string `json:"vpc_uuid"`
	Agent      *bool  `json:"with_droplet_agent"`
	Public     *bool  `json:"public_networking"`
}

const (
	// maxAtOnce is how many Droplets one request makes.
	maxAtOnce   = 10
	maxUserData = 64 << 10
	maxName     = 255
)

var dropletName = regexp.MustCompile(`^[a-zA-Z0-9]?[a-zA-Z0-9.\-]*[a-zA-Z0-9]$`)

func (c *call) createDroplets() (answer, *apiError) {
	var in creation
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	names := in.Names
	if in.Name != nil {
		names = []string{*in.Name}
	}
	model, err := c.model(in, names)
	if err != nil {
		return answer{}, err
	}
	var made []dropletView
	var links []fields
	for _, name := range names {
		d, a, err := c.addDroplet(model, name)
		if err != nil {
			return answer{}, err
		}
		for _, id := range in.Volumes {
			c.rec.Volumes[id].Droplet = d.ID
		}
		made = append(made, c.dropletView(d))
		links = append(links, fields{"id": a.ID, "rel": "create", "href": c.base + "/v2/actions/" + strconv.Itoa(a.ID)})
	}
	if in.Name != nil {
		return accepted(fields{"droplet": made[0], "links": fields{"actions": links}})
	}
	return accepted(fields{"droplets": made, "links": fields{"actions": links}})
}

// model checks a request and returns the Droplet that it asks for, without what each has for itself.
func (c *call) model(in creation, names []string) (*droplet, *apiError) {
	if len(names) == 0 {
		return nil, unprocessable("Name can't be blank")
	}
	if len(names) > maxAtOnce {
		return nil, unprocessable("You can only create up to %d Droplets at a time", maxAtOnce)
	}
	for _, n := range names {
		if len(n) > maxName || !dropletName.MatchString(n) {
			return nil, unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
		}
	}
	if len(c.rec.Droplets)+len(names) > c.cfg.Limits.Droplets {
		return nil, unprocessable("creating this/these droplet(s) will exceed your droplet limit")
	}
	if r, known := c.cat.region(in.Region); !known || !r.open {
		return nil, unprocessable("Region is not available")
	}
	if _, known := c.cat.size(in.Size); !known {
		return nil, unprocessable("You specified an invalid size for Droplet creation.")
	}
	if !c.offered(in.Region, in.Size) {
		return nil, unprocessable("Size is not available in this region.")
	}
	image, known := imageOf(strings.Trim(string(in.Image), `"`))
	if !known {
		return nil, unprocessable("You specified an invalid image for Droplet creation.")
	}
	if len(in.UserData) > maxUserData {
		return nil, unprocessable("User data is too long (maximum is %d bytes)", maxUserData)
	}
	if in.Backups || in.IPv6 {
		return nil, unprocessable("Backups and IPv6 are not available in this region.")
	}
	d := &droplet{Region: in.Region, Size: in.Size, Image: image.id, UserData: in.UserData, Monitoring: in.Monitoring, Agent: in.Agent == nil || *in.Agent}
	if in.Public == nil || *in.Public {
		d.Public = c.gateway(in.Region) // stands for one of the pool's
	}
	for _, raw := range in.SSHKeys {
		k := c.keyOf(strings.Trim(string(raw), `"`))
		if k == nil {
			return nil, unprocessable("%s are invalid key identifiers for Droplet creation.", raw)
		}
		d.Keys = with(d.Keys, k.ID)
	}
	return d, c.modelPlace(d, in, len(names))
}

// modelPlace checks VPC, tags and volumes of a request for Droplets.
func (c *call) modelPlace(d *droplet, in creation, count int) *apiError {
	v := c.defaultVPC(in.Region)
	if in.VPC != "" {
		switch v = c.rec.VPCs[in.VPC]; {
		case v == nil:
			return errNotFound
		case v.Region != in.Region:
			return unprocessable("Failed to resolve VPC")
		}
	} else if v == nil {
		v = c.addDefaultVPC(in.Region)
	}
	d.VPC = v.ID
	for _, name := range in.Tags {
		if !tagName.MatchString(name) {
			return unprocessable("Tags can only contain letters, numbers, colons, dashes, and underscores")
		}
	}
	d.Tags = in.Tags
	if len(in.Volumes) > 0 && count > 1 {
		return unprocessable("Volumes can only be attached to one Droplet")
	}
	for _, id := range in.Volumes {
		vol := c.rec.Volumes[id]
		switch {
		case vol == nil || vol.Region != in.Region:
			return unprocessable("Volume %s could not be found in this region", id)
		case vol.Droplet != 0:
			return unprocessable("Volume %s is attached to another Droplet", id)
		}
	}
	return nil
}

// addDroplet records a Droplet and the action that makes it.
func (c *call) addDroplet(model *droplet, name string) (*droplet, *action, *apiError) {
	d := *model
	d.Name, d.Status, d.Created, d.PublicMAC, d.PrivateMAC = name, statusNew, c.now(), newMAC(), newMAC()
	var err error
	if d.Private, err = c.freePrivate(c.rec.VPCs[d.VPC]); err != nil {
		return nil, nil, unprocessable("Failed to create a Droplet: %v", err)
	}
	if model.Public.IsValid() {
		if d.Public, err = c.cfg.Pools(d.Region).Take(); err != nil {
			return nil, nil, unprocessable("Region is not available")
		}
		d.Anchor = c.freeAnchor(d.Region)
	}
	c.rec.LastDroplet++
	d.ID = c.rec.LastDroplet
	d.Tags = nil
	for _, t := range model.Tags {
		d.Tags = with(d.Tags, c.tagged(t, c.base+"/v2/droplets/"+strconv.Itoa(d.ID)))
	}
	c.rec.Droplets[d.ID] = &d
	return &d, c.begin(&action{Type: actCreate, Region: d.Region, ResourceType: "droplet", Droplet: d.ID}), nil
}

func (c *call) deleteDroplet() (answer, *apiError) {
	d, err := findNumber(c, c.rec.Droplets, "droplet")
	if err != nil {
		return answer{}, err
	}
	if c.pending(d.ID) != nil {
		return answer{}, errPending
	}
	c.begin(&action{Type: actDestroy, Region: d.Region, ResourceType: "droplet", Droplet: d.ID})
	return nothing()
}

// deleteTagged deletes all Droplets with a tag, but those that something is being done to.
func (c *call) deleteTagged() (answer, *apiError) {
	name := c.q.Get("tag_name")
	if name == "" {
		return answer{}, &apiError{http.StatusUnprocessableEntity, "unprocessable_entity", "tag_name can't be blank"}
	}
	if c.rec.Tags[lower(name)] == nil {
		return answer{}, errNotFound
	}
	for _, d := range sorted(c.rec.Droplets) {
		if hasTag(d.Tags, name) && c.pending(d.ID) == nil {
			c.begin(&action{Type: actDestroy, Region: d.Region, ResourceType: "droplet", Droplet: d.ID})
		}
	}
	return nothing()
}
