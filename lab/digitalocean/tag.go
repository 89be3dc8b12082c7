package digitalocean

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var tagRoutes = map[string]route{
	"GET /v2/tags":                    {"tag:read", (*call).listTags},
	"POST /v2/tags":                   {"tag:create", (*call).createTag},
	"GET /v2/tags/{tag}":              {"tag:read", (*call).getTag},
	"DELETE /v2/tags/{tag}":           {"tag:delete", (*call).deleteTag},
	"POST /v2/tags/{tag}/resources":   {"tag:create", (*call).tagResources},
	"DELETE /v2/tags/{tag}/resources": {"tag:delete", (*call).untagResources},
}

var tagName = regexp.MustCompile(`^[a-zA-Z0-9_\-:]{1,255}$`)

// hasTag says whether a list of tags has one; capitals make no difference.
func hasTag(tags []string, name string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, name) })
}

// tagged makes a tag if it isn't there, notes what it was put on, and returns its name as it was first written.
func (c *call) tagged(name, uri string) string {
	t := c.rec.Tags[lower(name)]
	if t == nil {
		t = &tag{Name: name, Created: c.now()}
		c.rec.Tags[lower(name)] = t
	}
	if uri != "" {
		t.Last = uri
	}
	return t.Name
}

func (c *call) tagView(t *tag) fields {
	droplets, volumes := len(t.Ghosts), 0
	for _, d := range c.rec.Droplets {
		if hasTag(d.Tags, t.Name) {
			droplets++
		}
	}
	for _, v := range c.rec.Volumes {
		if hasTag(v.Tags, t.Name) {
			volumes++
		}
	}
	counted := func(n int, kind string) fields {
		f := fields{"count": n}
		if n > 0 && strings.Contains(t.Last, kind) {
			f["last_tagged_uri"] = t.Last
		}
		return f
	}
	resources := fields{"count": droplets + volumes, "droplets": counted(droplets, "/droplets/"), "images": counted(0, ""), "volumes": counted(volumes, "/volumes/"),
		"volume_snapshots": counted(0, ""), "databases": counted(0, "")}
	if droplets+volumes > 0 && t.Last != "" {
		resources["last_tagged_uri"] = t.Last
	}
	return fields{"name": t.Name, "resources": resources}
}

func (c *call) listTags() (answer, *apiError) {
	var all []fields
	for _, t := range sorted(c.rec.Tags) {
		all = append(all, c.tagView(t))
	}
	return page(c, "tags", all)
}

// createTag makes a tag, or finds that it is there.
func (c *call) createTag() (answer, *apiError) {
	var in struct{ Name string }
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if !tagName.MatchString(in.Name) {
		return answer{}, unprocessable("Name can only contain letters, numbers, colons, dashes, and underscores")
	}
	c.tagged(in.Name, "")
	c.version++
	return created(fields{"tag": c.tagView(c.rec.Tags[lower(in.Name)])})
}

// tagOf finds the path's tag, which must be written as it was first.
func (c *call) tagOf() (*tag, *apiError) {
	name := c.r.PathValue("tag")
	if t := c.rec.Tags[lower(name)]; t != nil && t.Name == name {
		return t, nil
	}
	return nil, errNotFound
}

func (c *call) getTag() (answer, *apiError) {
	t, err := c.tagOf()
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"tag": c.tagView(t)})
}

// deleteTag takes a tag from everything that has it.
func (c *call) deleteTag() (answer, *apiError) {
	t, err := c.tagOf()
	if err != nil {
		return answer{}, err
	}
	delete(c.rec.Tags, lower(t.Name))
	for _, d := range c.rec.Droplets {
		d.Tags = without(d.Tags, t.Name)
	}
	for _, v := range c.rec.Volumes {
		v.Tags = without(v.Tags, t.Name)
	}
	for _, f := range c.rec.Firewalls {
		f.Tags = without(f.Tags, t.Name)
		for _, list := range [][]rule{f.Inbound, f.Outbound} {
			for i := range list {
				list[i].Peers.Tags = without(list[i].Peers.Tags, t.Name)
			}
		}
	}
	c.changed()
	return nothing()
}

func (c *call) tagResources() (answer, *apiError) {
	return c.eachResource(func(t *tag, tags *[]string, uri string) {
		*tags = with(*tags, t.Name)
		t.Last = uri
	})
}

func (c *call) untagResources() (answer, *apiError) {
	return c.eachResource(func(t *tag, tags *[]string, _ string) { *tags = without(*tags, t.Name) })
}

// eachResource changes the tags of the resources that a request names, of all or of none. Droplets that aren't there are
// taken for some that are.
func (c *call) eachResource(change func(t *tag, tags *[]string, uri string)) (answer, *apiError) {
	t, err := c.tagOf()
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Resources []struct {
			ID   string `json:"resource_id"`
			Type string `json:"resource_type"`
		}
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	type found struct {
		tags *[]string
		uri  string
	}
	var all []found
	ghosts := map[string]*[]string{} // the tags of what isn't there
	for _, r := range in.Resources {
		switch r.Type {
		case "droplet":
			id, _ := strconv.Atoi(r.ID)
			if d := c.rec.Droplets[id]; d != nil {
				all = append(all, found{&d.Tags, c.base + "/v2/droplets/" + r.ID})
			} else {
				ghosts[r.ID] = new([]string)
				all = append(all, found{ghosts[r.ID], c.base + "/v2/droplets/" + r.ID})
			}
			continue
		case "volume":
			if v := c.rec.Volumes[r.ID]; v != nil {
				all = append(all, found{&v.Tags, c.base + "/v2/volumes/" + r.ID})
				continue
			}
		}
		return answer{}, errNotFound
	}
	for _, f := range all {
		change(t, f.tags, f.uri)
	}
	for id, tags := range ghosts {
		if t.Ghosts = without(t.Ghosts, id); len(*tags) > 0 {
			t.Ghosts = with(t.Ghosts, id)
		}
	}
	c.changed()
	return nothing()
}
