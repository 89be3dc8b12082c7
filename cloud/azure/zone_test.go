package azure

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// TestZones turns names into numbers and back.
func TestZones(t *testing.T) {
	for _, c := range []struct {
		location, name string
		numbers        []string
	}{
		{"eastus", "eastus-1", []string{"1"}},
		{"East US 2", "eastus2-3", []string{"3"}},
		{"westus", "westus", nil},
	} {
		region := regionName(c.location)
		if err := checkZone(c.name, region); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(ptrs(c.numbers), append([]*string{}, zonesBody(c.name, region)...)); diff != "" {
			t.Errorf("%s as it is sent (-want +got):\n%s", c.name, diff)
		}
		if got := zoneOf(ptrs(c.numbers), &c.location); got != c.name {
			t.Errorf("zones %v in %s are read as %q, want %q", c.numbers, c.location, got, c.name)
		}
	}
	for _, wrong := range []string{"1", "eastus2-1", "eastus-", "eastus-0", "eastus-10", "eastus-a", ""} {
		site := cloudtest.DefaultSite("conf", "eastus", []string{wrong})
		_, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
		if !isClass(err, cloud.Invalid) || !strings.Contains(err.Error(), "want eastus-1, eastus-2 or eastus-3, or eastus where the region has no zones") {
			t.Errorf("zone %q: %v, want what is allowed", wrong, err)
		}
	}
}

// TestZonesOfTypes reads where a machine type can be had, and says so in the names that users know.
func TestZonesOfTypes(t *testing.T) {
	s := sku("Standard_D4s_v5", "standardDSv5Family", "4", "3", "1", "2")
	s.Restrictions = []*armcompute.ResourceSKURestrictions{{
		Type: ptr(armcompute.ResourceSKURestrictionsTypeZone), ReasonCode: ptr(armcompute.ResourceSKURestrictionsReasonCodeNotAvailableForSubscription),
		RestrictionInfo: &armcompute.ResourceSKURestrictionInfo{Zones: ptrs([]string{"2"})},
	}}
	if diff := cmp.Diff([]string{"eastus-1", "eastus-3"}, kindOf(s, fakeRegion).Zones); diff != "" {
		t.Error(diff)
	}
}
