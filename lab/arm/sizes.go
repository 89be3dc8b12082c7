package arm

import (
	"net/http"
	"slices"
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
	m, err := wholeOf(c, s.st.Machines, c.id+"/x")
	if err != nil {
		return nil, err
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
				v := skuView(l, t)
				v["restrictions"] = s.restrictions(l, t)
				out = append(out, v)
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
	}
}

// withheld says in which of some zones the subscription can't have a size, or that it can't in the whole location.
func (s *Service) withheld(location string, zones []string, size string) (zone string, out bool) {
	if slices.Contains(s.cfg.Withheld[location], size) {
		return "", true
	}
	i := slices.IndexFunc(zones, func(z string) bool { return slices.Contains(s.cfg.Withheld[location+"/"+z], size) })
	if i < 0 {
		return "", false
	}
	return zones[i], true
}

// restrictions are where in a location the subscription can't have a size, the whole location first.
func (s *Service) restrictions(l Location, t Size) []any {
	out := []any{}
	add := func(kind string, info map[string]any) {
		info["locations"] = []string{l.Name}
		out = append(out, map[string]any{"type": kind, "values": []string{l.Name}, "restrictionInfo": info, "reasonCode": "NotAvailableForSubscription"})
	}
	if _, all := s.withheld(l.Name, nil, t.Name); all {
		add("Location", map[string]any{})
	}
	var zones []string
	for _, z := range l.Zones {
		if slices.Contains(s.cfg.Withheld[l.Name+"/"+z], t.Name) {
			zones = append(zones, z)
		}
	}
	if len(zones) > 0 {
		add("Zone", map[string]any{"zones": zones})
	}
	return out
}
