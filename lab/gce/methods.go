package gce

import (
	"strings"

	"google.golang.org/api/compute/v1"
)

// handlers are the methods of the API that the lab has, beside the plain reads of its collections.
func (s *Service) handlers() map[string]handler {
	return map[string]handler{
		"projects.get":                       s.getProject,
		"projects.setCommonInstanceMetadata": s.setCommonMetadata,

		"networks.insert":             s.insertNetwork,
		"networks.patch":              s.patchNetwork,
		"networks.delete":             s.deleteNetwork,
		"networks.switchToCustomMode": s.switchToCustomMode,

		"subnetworks.insert":                   s.insertSubnetwork,
		"subnetworks.patch":                    s.patchSubnetwork,
		"subnetworks.delete":                   s.deleteSubnetwork,
		"subnetworks.expandIpCidrRange":        s.expandSubnetwork,
		"subnetworks.setPrivateIpGoogleAccess": s.setPrivateGoogleAccess,

		"firewalls.insert": s.insertFirewall,
		"firewalls.patch":  func(c *call) (any, *apiError) { return s.changeFirewall(c, "patch") },
		"firewalls.update": func(c *call) (any, *apiError) { return s.changeFirewall(c, "update") },
		"firewalls.delete": s.deleteFirewall,

		"routes.insert": s.insertRoute,
		"routes.delete": s.deleteRoute,

		"addresses.insert":    s.insertAddress,
		"addresses.delete":    s.deleteAddress,
		"addresses.setLabels": s.setAddressLabels,

		"disks.insert":    s.insertDisk,
		"disks.delete":    s.deleteDisk,
		"disks.resize":    s.resizeDisk,
		"disks.setLabels": s.setDiskLabels,

		"images.getFromFamily": s.getFromFamily,
		"imageFamilyViews.get": s.familyView,

		"instances.insert":                 s.insertInstance,
		"instances.delete":                 s.deleteInstance,
		"instances.start":                  s.startInstance,
		"instances.stop":                   s.stopInstance,
		"instances.reset":                  s.resetInstance,
		"instances.setLabels":              s.setInstanceLabels,
		"instances.setTags":                s.setInstanceTags,
		"instances.setMetadata":            s.setInstanceMetadata,
		"instances.setMachineType":         s.setMachineType,
		"instances.setServiceAccount":      s.setServiceAccount,
		"instances.setScheduling":          s.setScheduling,
		"instances.setDeletionProtection":  s.setDeletionProtection,
		"instances.addAccessConfig":        s.addAccessConfig,
		"instances.deleteAccessConfig":     s.deleteAccessConfig,
		"instances.update":                 s.updateInstance,
		"instances.updateNetworkInterface": s.updateInterface,
		"instances.attachDisk":             s.attachDisk,
		"instances.detachDisk":             s.detachDisk,
		"instances.setDiskAutoDelete":      s.setDiskAutoDelete,
		"instances.getSerialPortOutput":    s.serialPort,
		"instances.getGuestAttributes":     s.getGuestAttributes,
		"instances.listReferrers":          s.listReferrers,

		"globalOperations.wait":   s.waitOperation,
		"regionOperations.wait":   s.waitOperation,
		"zoneOperations.wait":     s.waitOperation,
		"globalOperations.delete": s.deleteOperation,
		"regionOperations.delete": s.deleteOperation,
		"zoneOperations.delete":   s.deleteOperation,
	}
}

// hidden says that a resource is being made and doesn't show yet. Machines, disks and addresses show at once, with a
// status that says how far they are.
func (s *Service) hidden(path string) bool {
	if s.busy[path] != "insert" {
		return false
	}
	parts := strings.Split(path, "/")
	switch parts[len(parts)-2] {
	case "instances", "disks", "addresses":
		return false
	}
	return true
}

// table makes a collection of a table of records; view completes a record for an answer.
func table[T any](s *Service, plural string, records func() map[string]*T, view func(*T) *T) collection {
	return collection{plural: plural, items: func(project, scope string) []any {
		prefix := "projects/" + project + "/" + scope + "/" + plural + "/"
		in := map[string]*T{}
		for path, r := range records() {
			if strings.HasPrefix(path, prefix) && !s.hidden(path) {
				in[path] = r
			}
		}
		var out []any
		for _, r := range sorted(in) {
			out = append(out, view(r))
		}
		return out
	}}
}

func asIs[T any](v *T) *T { return v }

// readable are the collections, by the name of their resource in the API.
func (s *Service) readable() map[string]collection {
	operations := table(s, "operations", func() map[string]*compute.Operation { return s.st.Operations }, asIs)
	return map[string]collection{
		"networks":         table(s, "networks", func() map[string]*compute.Network { return s.st.Networks }, s.networkView),
		"subnetworks":      table(s, "subnetworks", func() map[string]*compute.Subnetwork { return s.st.Subnetworks }, asIs),
		"firewalls":        table(s, "firewalls", func() map[string]*compute.Firewall { return s.st.Firewalls }, asIs),
		"routes":           table(s, "routes", func() map[string]*compute.Route { return s.st.Routes }, s.routeView),
		"addresses":        table(s, "addresses", func() map[string]*compute.Address { return s.st.Addresses }, s.addressView),
		"disks":            table(s, "disks", func() map[string]*compute.Disk { return s.st.Disks }, s.diskView),
		"instances":        table(s, "instances", func() map[string]*compute.Instance { return s.st.Instances }, s.instanceView),
		"globalOperations": operations,
		"regionOperations": operations,
		"zoneOperations":   operations,
		"images":           {plural: "images", items: imageItems},
		"regions": {plural: "regions", items: func(string, string) (out []any) {
			for i := range s.cat.Regions {
				out = append(out, s.regionItem(&s.cat.Regions[i]))
			}
			return out
		}},
		"zones": {plural: "zones", items: func(string, string) (out []any) {
			for i := range s.cat.Regions {
				for _, z := range s.cat.Regions[i].Zones {
					out = append(out, s.zoneItem(&s.cat.Regions[i], z))
				}
			}
			return out
		}},
		"machineTypes": {plural: "machineTypes", items: func(_, scope string) (out []any) {
			zone := strings.TrimPrefix(scope, "zones/")
			for _, t := range s.cat.machineTypes(zone) {
				out = append(out, s.machineTypeItem(zone, t))
			}
			return out
		}},
		"diskTypes": {plural: "diskTypes", items: func(_, scope string) (out []any) {
			if zone, ok := strings.CutPrefix(scope, "zones/"); ok {
				for _, k := range diskKinds {
					out = append(out, s.diskTypeItem(zone, k))
				}
			}
			return out
		}},
	}
}
