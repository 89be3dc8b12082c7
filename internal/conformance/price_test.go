package conformance_test

import (
	"slices"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/price"
)

// TestPrices holds that the words in which drivers say what is billed are those by which the catalogue finds prices: in one
// region of each cloud nothing of a site is unknown but what the catalogue is known to have no source for.
func TestPrices(t *testing.T) {
	for _, c := range []struct {
		driver cloud.Driver
		region string
		zones  []string
		// machines, disks and addresses are how many of each are billed of one node of each role.
		machines, disks, addresses int
		// unknown are the parts that the catalogue has no source for: the estimate names them and says "at least".
		unknown []cloud.Part
	}{
		{(*aws.Driver)(nil), "us-east-1", []string{"us-east-1a"}, 2, 2, 2, nil},
		{(*gcp.Driver)(nil), "us-east4", []string{"us-east4-a"}, 2, 2, 2, nil},
		{(*azure.Driver)(nil), "eastus2", []string{"eastus2-1"}, 2, 2, 2, nil},
		{(*digitalocean.Driver)(nil), "nyc1", []string{"nyc1"}, 2, 0, 1, nil},
	} {
		t.Run(string(c.driver.Provider()), func(t *testing.T) {
			site := cloudtest.DefaultSite("conf", c.region, c.zones)
			site.Machines = slices.Delete(site.Machines, 1, 2) // one of each role
			for i := range site.Machines {
				site.Machines[i].DiskGiB = 40
			}
			list, err := c.driver.Blueprint(cloudtest.TestOwner, site)
			if err != nil {
				t.Fatal(err)
			}
			count := map[cloud.Part]int{}
			var uses []price.Use
			for _, r := range list {
				for _, charge := range c.driver.Charges(r.Spec) {
					count[charge.Part]++
					uses = append(uses, price.Use{Cloud: c.driver.Provider(), Site: site.Name, Region: c.region, Charge: charge})
				}
			}
			if count[cloud.PartMachine] != c.machines || count[cloud.PartDisk] != c.disks || count[cloud.PartAddress] != c.addresses {
				t.Errorf("billed are %v", count)
			}
			e := price.EstimateOf(uses)
			t.Logf("%s", e.Total)
			var unknown []cloud.Part
			for _, item := range e.Lines {
				if item.Price == nil {
					unknown = append(unknown, item.Charge.Part)
				}
			}
			slices.Sort(unknown)
			slices.Sort(c.unknown)
			if !slices.Equal(unknown, c.unknown) || e.Total.PerHour <= 0 {
				t.Errorf("%s; unknown: %v, want %v", e.Total, e.Unknown, c.unknown)
			}
		})
	}
}
