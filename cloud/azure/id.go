package azure

import (
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// types are the kinds in the words of Resource Manager.
var types = map[cloud.Kind]string{
	kindSecurity:  "Microsoft.Network/networkSecurityGroups",
	kindNetwork:   "Microsoft.Network/virtualNetworks",
	kindAddress:   "Microsoft.Network/publicIPAddresses",
	kindInterface: "Microsoft.Network/networkInterfaces",
	kindWatcher:   "Microsoft.Network/networkWatchers",
	kindMachine:   "Microsoft.Compute/virtualMachines",
	kindDisk:      "Microsoft.Compute/disks",
}

// place is what an Object.ID says: the resource's path, and behind a '#' the number that Azure gave it where it gives one,
// by which a thing made again under the same name is told from the old one.
type place struct {
	path string // /subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/name
	// group is the resource group that it is in, or is.
	group, name string
	kind        cloud.Kind // empty for what the driver doesn't make
	number      string
}

// idOf makes the ID of a resource.
func idOf(armID, number string) string { return pathOf(armID) + "#" + strings.ToLower(number) }

// pathOf gives a resource's path one form. Azure takes names in whatever case and answers some lists in another than it
// was given; ours are in small letters.
func pathOf(armID string) string {
	parts := strings.Split(strings.Trim(armID, "/"), "/")
	for i, p := range parts {
		switch low := strings.ToLower(p); {
		case i%2 == 0 && low == "resourcegroups":
			parts[i] = "resourceGroups"
		case i%2 == 0 && (low == "subscriptions" || low == "providers"), i%2 == 1:
			parts[i] = low
		}
	}
	if len(parts) >= 8 {
		for _, t := range types {
			if strings.EqualFold(t, parts[5]+"/"+parts[6]) {
				parts[5], parts[6], _ = strings.Cut(t, "/")
			}
		}
	}
	return "/" + strings.Join(parts, "/")
}

// parseID reads an ID back.
func parseID(id string) (place, error) {
	path, number, ok := strings.Cut(id, "#")
	p := parsePath(path)
	if !ok || p.group == "" {
		return place{}, invalid("%q is no id of a resource", id)
	}
	p.number = number
	return p, nil
}

// parsePath reads a path; the group stays empty when it is none.
func parsePath(path string) place {
	p := place{path: pathOf(path)}
	parts := strings.Split(p.path[1:], "/")
	switch {
	case len(parts) == 4 && parts[2] == "resourceGroups":
		p.group, p.name, p.kind = parts[3], parts[3], kindGroup
	case len(parts) == 8 && parts[2] == "resourceGroups" && parts[4] == "providers":
		p.group, p.name = parts[3], parts[7]
		for k, t := range types {
			if t == parts[5]+"/"+parts[6] {
				p.kind = k
			}
		}
	}
	return p
}

// parent is the path of what a sub-resource is a part of: the network of a subnet.
func parent(armID string) string {
	parts := strings.Split(strings.Trim(armID, "/"), "/")
	return pathOf(strings.Join(parts[:min(len(parts), 8)], "/"))
}

// path makes the path of a resource of a kind.
func (d *Driver) path(kind cloud.Kind, group, name string) string {
	base := "/subscriptions/" + d.subscription + "/resourceGroups/" + group
	if kind == kindGroup {
		return base
	}
	return base + "/providers/" + types[kind] + "/" + name
}

// val reads one of the SDK's pointers; what isn't there is the zero value.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// ptr makes one.
func ptr[T any](v T) *T { return &v }

// vals and ptrs do so for lists.
func vals[T any](list []*T) []T {
	out := make([]T, 0, len(list))
	for _, p := range list {
		if p != nil {
			out = append(out, *p)
		}
	}
	return out
}

func ptrs[T any](list []T) []*T {
	out := make([]*T, 0, len(list))
	for _, v := range list {
		out = append(out, ptr(v))
	}
	return out
}
