package arm_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/arm"
)

// TestWithheld has sizes that the subscription can't have in a location, or in one of its zones: the list of SKUs says so,
// and a machine of one is refused where it is so.
func TestWithheld(t *testing.T) {
	l := open(t, func(c *arm.Config) {
		c.Withheld = map[string][]string{"eastus": {"Standard_D4s_v5"}, "eastus/2": {"Standard_D8s_v5", "Standard_B2s"}, "eastus/3": {"Standard_D8s_v5"}}
	})
	l.site(t) // its machine is a Standard_B2s in zone 1
	found := map[string][]string{}
	for pager := l.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: ptr("location eq 'eastus'")}); pager.More(); {
		page, err := pager.NextPage(t.Context())
		must(t, err)
		for _, s := range page.Value {
			for _, r := range s.Restrictions {
				var zones []string
				for _, z := range r.RestrictionInfo.Zones {
					zones = append(zones, *z)
				}
				found[*s.Name] = append(found[*s.Name], fmt.Sprint(*r.Type, " ", *r.Values[0], " ", *r.RestrictionInfo.Locations[0], zones, " ", *r.ReasonCode))
			}
		}
	}
	want := map[string][]string{
		"Standard_D4s_v5": {"Location eastus eastus[] NotAvailableForSubscription"},
		"Standard_D8s_v5": {"Zone eastus eastus[2 3] NotAvailableForSubscription"},
		"Standard_B2s":    {"Zone eastus eastus[2] NotAvailableForSubscription"},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("restrictions (- want, + got):\n%s", diff)
	}
	for _, c := range []struct{ size, zone string }{{"Standard_D4s_v5", "1"}, {"Standard_D8s_v5", "3"}, {"Standard_B2s", "2"}} {
		m := machine("one", c.size)
		m.Zones = []*string{ptr(c.zone)}
		_, err := l.machines.BeginCreateOrUpdate(t.Context(), "site", "two", m, nil)
		refused(t, err, http.StatusConflict, "SkuNotAvailable")
		if !strings.Contains(err.Error(), "is currently not available in location 'eastus'") {
			t.Errorf("%s in zone %s: %v", c.size, c.zone, err)
		}
	}
}
