package azure

import (
	"fmt"
	"regexp"
	"strings"
)

// Azure numbers the zones of every region from 1. Everybody else gets to see them as Azure's own Kubernetes names them,
// "eastus-1": nodes have the name as a label, and two regions' zones must not be taken for one. A region without zones
// counts as one zone by its own name. Only what is sent to Azure and what comes from there has the number.

var zoneNumber = regexp.MustCompile(`^[1-9]$`)

// zoneName is what a region's zone is called.
func zoneName(region, number string) string { return region + "-" + number }

// zonesBody is a zone's name in the form of requests: none where the region stands for it.
func zonesBody(zone, region string) []*string {
	if zone == region {
		return nil
	}
	number := strings.TrimPrefix(zone, zoneName(region, ""))
	return []*string{&number}
}

// zoneOf is the name of a resource's zone; where it has none, the region's name stands for it.
func zoneOf(zones []*string, location *string) string {
	region := regionName(val(location))
	if len(zones) == 0 {
		return region
	}
	return zoneName(region, val(zones[0]))
}

// checkZone says whether a region can have a zone of that name. Which of them it has is known to nobody but Azure.
func checkZone(zone, region string) error {
	number, ok := strings.CutPrefix(zone, zoneName(region, ""))
	if zone == region || ok && zoneNumber.MatchString(number) {
		return nil
	}
	return fmt.Errorf("zone %q: want %s, %s or %s, or %s where the region has no zones",
		zone, zoneName(region, "1"), zoneName(region, "2"), zoneName(region, "3"), region)
}
