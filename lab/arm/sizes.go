package arm

import (
	"net/http"
	"strconv"
	"strings"
)

// sizeView is a size in the old list of sizes.
func sizeView(t Size) map[string]any {
	return map[string]any{
		"name": t.Name, "numberOfCores": t.VCPUs, "osDiskSizeInMB": 1047552, "resourceDiskSizeInMB": 0, "memoryInMB": t.MemoryMiB, "maxDataDiskCount": max(2, min(64, 2*t.VCPUs)),
	}
}

func (s *Service) listSizes(c *call) (*answer, *apiError) {
	place, _ := s.cat.location(c.vars["location"])
	return shown(http.StatusOK, map[string]any{"value": s.sizeViews(place.Name)}), nil
}

func (s *Service) sizeViews(location string) []any {
	out := []any{}
	for _, t := range s.cat.Sizes {
		if s.cat.Offered(location, t.Name) {
			out = append(out, sizeView(t))
		}
	}
	return out
}

// listMachineSizes lists the sizes that a machine may be changed to.
func (s *Service) listMachineSizes(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := parent(c.id + "/x")
	m := s.st.Machines[key(id)]
	if m == nil {
		return nil, resourceNotFound(id)
	}
	return shown(http.StatusOK, map[string]any{"value": s.sizeViews(m.Location)}), nil
}

// listSKUs lists sizes and kinds of disks with what each can, of one location or of all.
func (s *Service) listSKUs(c *call) (*answer, *apiError) {
	only := ""
	if f := c.q.Get("$filter"); f != "" {
		place, ok := strings.CutPrefix(strings.TrimSpace(f), "location eq ")
		l, known := s.cat.location(strings.Trim(place, "' "))
		if !ok {
			return nil, refuse(http.StatusBadRequest, "InvalidFilter", "The filter '%s' is not supported: only the location can be filtered by.", f)
		}
		if only = l.Name; !known {
			return shown(http.StatusOK, map[string]any{"value": []any{}}), nil
		}
	}
	var out []any
	for _, l := range s.cat.Locations {
		if only != "" && l.Name != only {
			continue
		}
		for _, t := range s.cat.Sizes {
			if s.cat.Offered(l.Name, t.Name) {
				out = append(out, skuView(l, t))
			}
		}
		for _, name := range []string{"Premium_LRS", "StandardSSD_LRS", "Standard_LRS"} {
			out = append(out, map[string]any{
				"resourceType": "disks", "name": name, "tier": diskSKUs[name].tier, "locations": []string{l.Name},
				"locationInfo": []any{map[string]any{"location": l.Name, "zones": zonesOf(l), "zoneDetails": []any{}}}, "capabilities": []any{}, "restrictions": []any{},
			})
		}
	}
	return shown(http.StatusOK, map[string]any{"value": out}), nil
}

func zonesOf(l Location) []string { return append([]string{}, l.Zones...) }

func skuView(l Location, t Size) map[string]any {
	base := strings.TrimPrefix(strings.TrimPrefix(t.Name, "Standard_"), "Basic_")
	tier, _, _ := strings.Cut(t.Name, "_")
	capability := func(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }
	truth := func(b bool) string { return map[bool]string{true: "True", false: "False"}[b] }
	premium := strings.Contains(strings.SplitN(base, "_", 2)[0], "s")
	return map[string]any{
		"resourceType": "virtualMachines", "name": t.Name, "tier": tier, "size": base, "family": t.family(), "locations": []string{l.Name},
		"locationInfo": []any{map[string]any{"location": l.Name, "zones": zonesOf(l), "zoneDetails": []any{}}},
		"capabilities": []any{
			capability("vCPUs", strconv.Itoa(t.VCPUs)), capability("vCPUsAvailable", strconv.Itoa(t.VCPUs)), capability("MemoryGB", strconv.FormatFloat(float64(t.MemoryMiB)/1024, 'f', -1, 64)),
			capability("GPUs", strconv.Itoa(t.GPUs)), capability("CpuArchitectureType", archName(t.Arch)), capability("PremiumIO", truth(premium)), capability("HyperVGenerations", "V1,V2"),
			capability("MaxNetworkInterfaces", strconv.Itoa(max(2, min(8, t.VCPUs)))), capability("AcceleratedNetworkingEnabled", truth(t.VCPUs > 1)),
		},
		"restrictions": []any{},
	}
}
