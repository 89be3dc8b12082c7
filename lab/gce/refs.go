package gce

import (
	"fmt"
	"regexp"
	"strings"
)

// A resource's path, like "projects/p/zones/z/instances/i", is its key in the records and the end of its self-link.
// References in requests may have any host before it, or be partial from "global", "regions" or "zones" on.

// nameRule is RFC 1035's label, in the words of the API's own error.
const nameRule = `(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)`

var nameRegexp = regexp.MustCompile(`^` + nameRule + `$`)

func checkName(field, name string) *apiError {
	if name == "" {
		return required(field)
	}
	if !nameRegexp.MatchString(name) {
		return invalidField(field, name, fmt.Sprintf("Must be a match of regex '%s'", nameRule))
	}
	return nil
}

// ref is a parsed reference.
type ref struct {
	project string
	scope   string // "global", "regions/R" or "zones/Z"
	plural  string // "networks"
	name    string
}

func (r ref) path() string {
	return "projects/" + r.project + "/" + r.scope + "/" + r.plural + "/" + r.name
}

// base returns the last part of a path.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// scopeOf returns "global", "regions/R" or "zones/Z" of a path.
func scopeOf(path string) string {
	parts := strings.Split(path, "/")
	switch {
	case len(parts) > 3 && (parts[2] == "regions" || parts[2] == "zones"):
		return parts[2] + "/" + parts[3]
	default:
		return "global"
	}
}

// zoneToRegion returns the region of a zone by its name.
func zoneToRegion(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return zone
}

// parseRef reads a full or partial reference; ok is false when it has no such form.
func (s *Service) parseRef(v string) (r ref, ok bool) {
	if _, rest, found := strings.Cut(v, "://"); found {
		_, rest, found = strings.Cut(rest, "/projects/")
		if !found {
			return r, false
		}
		v = "projects/" + rest
	}
	parts := strings.Split(strings.TrimPrefix(v, "/"), "/")
	if len(parts) < 4 || parts[0] != "projects" {
		parts = append([]string{"projects", s.cfg.Project}, parts...)
	}
	r.project = parts[1]
	if r.project == s.number() {
		r.project = s.cfg.Project
	}
	switch rest := parts[2:]; {
	case len(rest) == 3 && rest[0] == "global":
		r.scope, r.plural, r.name = "global", rest[1], rest[2]
	case len(rest) == 4 && rest[0] == "global" && rest[1] == "images" && rest[2] == "family":
		r.scope, r.plural, r.name = "global", "images/family", rest[3]
	case len(rest) == 4 && (rest[0] == "regions" || rest[0] == "zones"):
		r.scope, r.plural, r.name = rest[0]+"/"+rest[1], rest[2], rest[3]
	default:
		return r, false
	}
	return r, r.name != ""
}

// resolve reads a reference to a resource of a kind given by its plural and its name in words, and returns its path.
// Whether it exists is for the caller.
func (s *Service) resolve(field, value, plural string) (string, *apiError) {
	r, ok := s.parseRef(value)
	if !ok || r.plural != plural {
		return "", invalidField(field, value, "The URL is malformed.")
	}
	return r.path(), nil
}

func (s *Service) global(plural, name string) string {
	return "projects/" + s.cfg.Project + "/global/" + plural + "/" + name
}

func (s *Service) regional(region, plural, name string) string {
	return "projects/" + s.cfg.Project + "/regions/" + region + "/" + plural + "/" + name
}

func (s *Service) zonal(zone, plural, name string) string {
	return "projects/" + s.cfg.Project + "/zones/" + zone + "/" + plural + "/" + name
}

// missing says that the network a request is for can't be used: not there, or not ready yet. Instances are answered
// otherwise, by gone.
func (s *Service) missing(path string) *apiError {
	if s.busy[path] == "insert" {
		return notReady(path)
	}
	return notFound(path)
}

// gone says what is wrong with a reference whose resource can't be used: not there, or not ready yet.
func (s *Service) gone(field, value, kind, path string) *apiError {
	if s.busy[path] == "insert" {
		return notReady(path)
	}
	return invalidField(field, value, fmt.Sprintf("The referenced %s resource cannot be found.", kind))
}
