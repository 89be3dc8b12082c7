package arm

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
)

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// key is how a resource is filed: Azure's ids and names are the same in upper and lower case.
func key(id string) string { return strings.ToLower(strings.TrimSuffix(id, "/")) }

// resourceID is a resource's id in its parts.
type resourceID struct {
	subscription, group string
	namespace           string // Microsoft.Network
	types, names        []string
}

// parseID reads /subscriptions/{}/resourceGroups/{}/providers/{namespace}/{type}/{name}…; what doesn't fit is left empty.
func parseID(id string) resourceID {
	var r resourceID
	parts := strings.Split(strings.Trim(id, "/"), "/")
	for i := 0; i+1 < len(parts); i += 2 {
		switch name := strings.ToLower(parts[i]); {
		case name == "subscriptions" && i == 0:
			r.subscription = parts[1]
		case name == "resourcegroups" && i == 2:
			r.group = parts[3]
		case name == "providers" && i == 4:
			r.namespace = parts[5]
		case i >= 6:
			r.types, r.names = append(r.types, parts[i]), append(r.names, parts[i+1])
		}
	}
	return r
}

// typ is a resource's whole type: Microsoft.Network/virtualNetworks/subnets.
func (r resourceID) typ() string { return r.namespace + "/" + strings.Join(r.types, "/") }

// typedName is how error messages name a resource: Microsoft.Network/virtualNetworks/a/subnets/b.
func (r resourceID) typedName() string {
	out := r.namespace
	for i := range r.types {
		out += "/" + r.types[i] + "/" + r.names[i]
	}
	return out
}

// name is the last name of an id.
func lastName(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// parent is an id without its last type and name.
func parent(id string) string {
	for range 2 {
		id = id[:max(0, strings.LastIndexByte(id, '/'))]
	}
	return id
}

func (s *Service) subscriptionPath() string { return "/subscriptions/" + s.cfg.Subscription }

func (s *Service) groupID(name string) string {
	return s.subscriptionPath() + "/resourceGroups/" + name
}

// idOf is the id of a resource of a group: of the type "Microsoft.Network/virtualNetworks".
func (s *Service) idOf(group, typ, name string) string {
	return s.groupID(group) + "/providers/" + typ + "/" + name
}
