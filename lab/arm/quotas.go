package arm

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// networkLimits and computeLimits are the usages of a location with the limits of an ordinary subscription, and the words
// that Azure calls them by.
var (
	networkLimits = map[string]usage{
		"VirtualNetworks": {1000, "Virtual Networks"}, "NetworkSecurityGroups": {5000, "Network Security Groups"}, "NetworkInterfaces": {65536, "Network Interfaces"},
		"PublicIPAddresses": {1000, "Public IP Addresses"}, "StaticPublicIPAddresses": {1000, "Static Public IP Addresses"}, "RouteTables": {200, "Route Tables"},
		"NetworkWatchers": {1, "Network Watchers"}, "StandardSkuPublicIpAddresses": {1000, "Public IPv4 Addresses - Standard"},
	}
	computeLimits = map[string]usage{
		"cores": {100, "Total Regional vCPUs"}, "virtualMachines": {25000, "Virtual Machines"}, "lowPriorityCores": {100, "Total Regional Spot vCPUs"},
		"StandardDiskCount": {50000, "Standard Storage Managed Disks"}, "PremiumDiskCount": {50000, "Premium Storage Managed Disks"},
	}
)

type usage struct {
	limit int
	words string
}

// familyLimit is the limit of each family's cores.
const familyLimit = 100

func (s *Service) limit(location, metric string) int {
	for _, k := range []string{location + "/" + metric, metric} {
		if v, ok := s.cfg.Quotas[k]; ok {
			return v
		}
	}
	if u, ok := networkLimits[metric]; ok {
		return u.limit
	}
	if u, ok := computeLimits[metric]; ok {
		return u.limit
	}
	return familyLimit
}

// used counts what a usage counts in a location. The caller holds the lock.
func (s *Service) used(location, metric string) int {
	n := 0
	count := func(typ string) int {
		for _, r := range s.st.all() {
			if r.meta().Type == typ && r.meta().Location == location {
				n++
			}
		}
		return n
	}
	switch metric {
	case "VirtualNetworks":
		return count(networkType)
	case "NetworkSecurityGroups":
		return count(securityGroupType)
	case "NetworkInterfaces":
		return count(interfaceType)
	case "PublicIPAddresses", "StaticPublicIPAddresses", "StandardSkuPublicIpAddresses":
		return count(publicAddressType)
	case "RouteTables":
		return count(routeTableType)
	case "NetworkWatchers":
		return count(watcherType)
	case "virtualMachines":
		return count(machineType)
	case "lowPriorityCores":
		return 0
	case "StandardDiskCount", "PremiumDiskCount":
		for _, d := range s.st.Disks {
			if d.Location == location && strings.HasPrefix(d.SKU.Name, strings.TrimSuffix(metric, "DiskCount")) {
				n++
			}
		}
		return n
	}
	for _, m := range s.st.Machines {
		size, _ := s.cat.size(m.Properties.HardwareProfile.VMSize)
		if m.Location == location && m.Kept.Power != powerDeallocated && (metric == "cores" || metric == size.family()) {
			n += size.VCPUs
		}
	}
	return n
}

// over says whether more of something would go over its limit.
func (s *Service) over(location, metric string, more int) (limit int, over bool) {
	limit = s.limit(location, metric)
	return limit, s.used(location, metric)+more > limit
}

// checkQuota refuses what would go over a limit of the network's. The caller holds the lock.
func (s *Service) checkQuota(location, metric string, more int) *apiError {
	limit, over := s.over(location, metric, more)
	if !over {
		return nil
	}
	words := networkLimits[metric].words
	return refuse(http.StatusBadRequest, strings.TrimSuffix(metric, "s")+"CountLimitReached", "Cannot create more than %d %s for this subscription in this region.", limit, strings.ToLower(words))
}

// checkCores refuses a machine whose cores would go over the location's limit or its family's.
func (s *Service) checkCores(location string, size Size) *apiError {
	for _, metric := range []string{"cores", size.family()} {
		if _, over := s.over(location, metric, size.VCPUs); over {
			return coresExceeded(location, metric, s.limit(location, metric), s.used(location, metric), size.VCPUs)
		}
	}
	return nil
}

func coresExceeded(location, metric string, limit, used, more int) *apiError {
	name := "Total Regional Cores"
	if metric != "cores" {
		name = metric + " Cores"
	}
	return refuse(http.StatusConflict, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved %s quota. Additional details - Deployment Model: Resource Manager, Location: %s, "+
		"Current Limit: %d, Current Usage: %d, Additional Required: %d, (Minimum) New Limit Required: %d. Setup Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting . "+
		"Submit a request for Quota increase at https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_Capacity/UsageAndQuota.ReactView.", name, location, limit, used, more, used+more)
}

func (s *Service) usageView(location, metric, words string) map[string]any {
	return map[string]any{
		"unit": "Count", "currentValue": s.used(location, metric), "limit": s.limit(location, metric),
		"name": map[string]any{"value": metric, "localizedValue": words},
	}
}

func (s *Service) networkUsages(c *call) (*answer, *apiError) {
	place, _ := s.cat.location(c.vars["location"])
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []any
	for _, metric := range slices.Sorted(maps.Keys(networkLimits)) {
		v := s.usageView(place.Name, metric, networkLimits[metric].words)
		v["id"] = s.subscriptionPath() + "/providers/Microsoft.Network/locations/" + place.Name + "/usages/" + metric
		out = append(out, v)
	}
	return shown(http.StatusOK, map[string]any{"value": out}), nil
}

func (s *Service) computeUsages(c *call) (*answer, *apiError) {
	place, _ := s.cat.location(c.vars["location"])
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []any
	for _, metric := range slices.Sorted(maps.Keys(computeLimits)) {
		out = append(out, s.usageView(place.Name, metric, computeLimits[metric].words))
	}
	families := map[string]bool{}
	for _, t := range s.cat.Sizes {
		if s.cat.Offered(place.Name, t.Name) {
			families[t.family()] = true
		}
	}
	for _, f := range slices.Sorted(maps.Keys(families)) {
		out = append(out, s.usageView(place.Name, f, strings.TrimSuffix(strings.TrimPrefix(f, "standard"), "Family")+" Family vCPUs"))
	}
	return shown(http.StatusOK, map[string]any{"value": out}), nil
}
