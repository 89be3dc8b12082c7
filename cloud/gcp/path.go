package gcp

import (
	"strconv"
	"strings"
)

// place is what an Object.ID says: the resource's path from "projects/", and behind a '#' the number that Google gave it,
// by which a thing made again under the same name is told from the old one.
type place struct {
	path string // projects/p/zones/us-east1-b/instances/name
	// project, location ("us-east1-b", empty for global things) and name are its parts.
	project, location, name string
	number                  uint64
}

// idOf makes the ID of a resource from its self-link and number.
func idOf(link string, number uint64) string {
	return pathOf(link) + "#" + strconv.FormatUint(number, 10)
}

// parseID reads an ID back.
func parseID(id string) (place, error) {
	path, number, ok := strings.Cut(id, "#")
	n, err := strconv.ParseUint(number, 10, 64)
	parts := strings.Split(path, "/")
	if !ok || err != nil || len(parts) < 5 || parts[0] != "projects" {
		return place{}, invalid("%q is no id of a resource", id)
	}
	p := place{path: path, project: parts[1], name: parts[len(parts)-1], number: n}
	if len(parts) == 6 {
		p.location = parts[3]
	}
	return p, nil
}

// pathOf cuts a link of whatever host and version down to the path from "projects/"; a link without that stays.
func pathOf(link string) string {
	if strings.HasPrefix(link, "projects/") {
		return link
	}
	if i := strings.Index(link, "/projects/"); i >= 0 {
		return link[i+1:]
	}
	return link
}

// lastPart is the name at the end of a link.
func lastPart(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

// regionOf is the region of a zone: its name without the last part.
func regionOf(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return zone
}
