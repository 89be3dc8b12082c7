package digitalocean

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var accountRoutes = map[string]route{
	"GET /v2/account":               {"account:read", (*call).getAccount},
	"GET /v2/regions":               {"regions:read", (*call).listRegions},
	"GET /v2/sizes":                 {"sizes:read", (*call).listSizes},
	"GET /v2/images":                {"image:read", (*call).listImages},
	"GET /v2/images/{image}":        {"image:read", (*call).getImage},
	"GET /v2/account/keys":          {"ssh_key:read", (*call).listKeys},
	"POST /v2/account/keys":         {"ssh_key:create", (*call).createKey},
	"GET /v2/account/keys/{key}":    {"ssh_key:read", (*call).getKey},
	"PUT /v2/account/keys/{key}":    {"ssh_key:update", (*call).renameKey},
	"DELETE /v2/account/keys/{key}": {"ssh_key:delete", (*call).deleteKey},
	"GET /v2/snapshots":             {"snapshot:read", (*call).listSnapshots},
}

func (c *call) getAccount() (answer, *apiError) {
	l := c.cfg.Limits
	return ok(fields{"account": fields{
		"droplet_limit": l.Droplets, "floating_ip_limit": l.ReservedIPs, "reserved_ip_limit": l.ReservedIPs, "volume_limit": l.Volumes,
		"email": "lab@example.com", "name": "Lab", "uuid": c.rec.Account, "email_verified": true, "status": "active", "status_message": "",
		"team": fields{"uuid": c.rec.Account, "name": "My Team"},
	}})
}

type regionView struct {
	Name      string   `json:"name"`
	Slug      string   `json:"slug"`
	Features  []string `json:"features"`
	Available bool     `json:"available"`
	Sizes     []string `json:"sizes"`
}

var regionFeatures = []string{"backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"}

func (c *call) regionView(slug string) regionView {
	r, _ := c.cat.region(slug)
	v := regionView{Name: r.name, Slug: r.slug, Features: regionFeatures, Available: r.open, Sizes: []string{}}
	for _, s := range c.cat.sizes {
		if c.offered(r.slug, s.slug) {
			v.Sizes = append(v.Sizes, s.slug)
		}
	}
	return v
}

// offered says whether a region has a size now.
func (s *Service) offered(region, size string) bool {
	r, known := s.cat.region(region)
	return known && r.open && !contains(s.cfg.Withheld[region], size)
}

func (c *call) listRegions() (answer, *apiError) {
	var all []regionView
	for _, r := range c.cat.regions {
		all = append(all, c.regionView(r.slug))
	}
	return page(c, "regions", all)
}

type diskView struct {
	Type string `json:"type"`
	Size struct {
		Amount int    `json:"amount"`
		Unit   string `json:"unit"`
	} `json:"size"`
}

func diskViews(gib int) []diskView {
	v := diskView{Type: "local"}
	v.Size.Amount, v.Size.Unit = gib, "gib"
	return []diskView{v}
}

type sizeView struct {
	Slug        string     `json:"slug"`
	Memory      int        `json:"memory"`
	VCPUs       int        `json:"vcpus"`
	Disk        int        `json:"disk"`
	Transfer    float64    `json:"transfer"`
	Monthly     float64    `json:"price_monthly"`
	Hourly      float64    `json:"price_hourly"`
	Regions     []string   `json:"regions"`
	Available   bool       `json:"available"`
	Description string     `json:"description"`
	Disks       []diskView `json:"disk_info"`
}

func (c *call) sizeView(slug string) sizeView {
	s, _ := c.cat.size(slug)
	v := sizeView{Slug: s.slug, Memory: s.memoryMiB, VCPUs: s.vcpus, Disk: s.disk, Transfer: s.transfer(), Monthly: s.monthly, Hourly: s.hourly,
		Regions: []string{}, Available: true, Description: s.family(), Disks: diskViews(s.disk)}
	for _, r := range c.cat.regions {
		if c.offered(r.slug, s.slug) {
			v.Regions = append(v.Regions, r.slug)
		}
	}
	return v
}

func (c *call) listSizes() (answer, *apiError) {
	var all []sizeView
	for _, s := range c.cat.sizes {
		all = append(all, c.sizeView(s.slug))
	}
	return page(c, "sizes", all)
}

type imageView struct {
	ID           int      `json:"id"`
	Name         string   `json:"name"`
	Distribution string   `json:"distribution"`
	Slug         string   `json:"slug"`
	Public       bool     `json:"public"`
	Regions      []string `json:"regions"`
	Created      string   `json:"created_at"`
	Type         string   `json:"type"`
	MinDisk      int      `json:"min_disk_size"`
	Gigabytes    float64  `json:"size_gigabytes"`
	Description  string   `json:"description"`
	Tags         []string `json:"tags"`
	Status       string   `json:"status"`
}

func (c *call) imageView(i imageInfo) imageView {
	v := imageView{ID: i.id, Name: i.name, Distribution: i.distribution, Slug: i.slug, Public: true, Created: imageCreated, Type: "base", MinDisk: minDisk,
		Gigabytes: i.gigabytes, Description: i.distribution + " " + i.name, Tags: []string{}, Status: "available"}
	for _, r := range c.cat.regions {
		if r.open {
			v.Regions = append(v.Regions, r.slug)
		}
	}
	return v
}

// imageOf finds an image by its number or slug.
func imageOf(text string) (imageInfo, bool) {
	i := slices.IndexFunc(images, func(i imageInfo) bool { return i.slug == text || strconv.Itoa(i.id) == text })
	if i < 0 {
		return imageInfo{}, false
	}
	return images[i], true
}

func (c *call) listImages() (answer, *apiError) {
	var all []imageView
	if c.q.Get("private") != "true" && c.q.Get("type") != "application" && c.q.Get("tag_name") == "" {
		for _, i := range images {
			all = append(all, c.imageView(i))
		}
	}
	return page(c, "images", all)
}

func (c *call) getImage() (answer, *apiError) {
	i, known := imageOf(c.r.PathValue("image"))
	if !known {
		return answer{}, errNotFound
	}
	return ok(fields{"image": c.imageView(i)})
}

// listSnapshots answers that there are none: nothing here makes any.
func (c *call) listSnapshots() (answer, *apiError) { return page(c, "snapshots", []fields{}) }

type keyView struct {
	ID          int    `json:"id"`
	Fingerprint string `json:"fingerprint"`
	PublicKey   string `json:"public_key"`
	Name        string `json:"name"`
}

func (k *sshKey) view() keyView { return keyView{k.ID, k.Fingerprint, k.PublicKey, k.Name} }

func (c *call) listKeys() (answer, *apiError) {
	var all []keyView
	for _, k := range sorted(c.rec.Keys) {
		all = append(all, k.view())
	}
	return page(c, "ssh_keys", all)
}

// fingerprint is the MD5 sum of a public key, as the API has it.
func fingerprint(publicKey string) (string, bool) {
	parts := strings.Fields(publicKey)
	if len(parts) < 2 {
		return "", false
	}
	raw, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || len(raw) < 8 {
		return "", false
	}
	sum := md5.Sum(raw)
	var out []string
	for _, b := range sum {
		out = append(out, hex.EncodeToString([]byte{b}))
	}
	return strings.Join(out, ":"), true
}

func (c *call) createKey() (answer, *apiError) {
	var in keyView
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	sum, good := fingerprint(in.PublicKey)
	switch {
	case in.Name == "":
		return answer{}, unprocessable("Name can't be blank")
	case !good:
		return answer{}, unprocessable("Key invalid key type")
	}
	for _, k := range c.rec.Keys {
		if k.Fingerprint == sum {
			return answer{}, unprocessable("SSH Key is already in use on your account")
		}
	}
	c.rec.LastKey++
	k := &sshKey{ID: c.rec.LastKey, Name: in.Name, PublicKey: strings.TrimSpace(in.PublicKey), Fingerprint: sum}
	c.rec.Keys[k.ID] = k
	c.version++
	return created(fields{"ssh_key": k.view()})
}

// keyOf finds a key by its number or fingerprint.
func (s *Service) keyOf(text string) *sshKey {
	for _, k := range s.rec.Keys {
		if k.Fingerprint == text || strconv.Itoa(k.ID) == text {
			return k
		}
	}
	return nil
}

func (c *call) getKey() (answer, *apiError) {
	k := c.keyOf(c.r.PathValue("key"))
	if k == nil {
		return answer{}, errNotFound
	}
	return ok(fields{"ssh_key": k.view()})
}

func (c *call) renameKey() (answer, *apiError) {
	k := c.keyOf(c.r.PathValue("key"))
	if k == nil {
		return answer{}, errNotFound
	}
	var in keyView
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if in.Name == "" {
		return answer{}, unprocessable("Name can't be blank")
	}
	k.Name = in.Name
	c.version++
	return answer{http.StatusOK, fields{"ssh_key": k.view()}}, nil
}

func (c *call) deleteKey() (answer, *apiError) {
	k := c.keyOf(c.r.PathValue("key"))
	if k == nil {
		return answer{}, errNotFound
	}
	delete(c.rec.Keys, k.ID)
	c.version++
	return nothing()
}
