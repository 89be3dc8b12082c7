package webtest

import (
	"slices"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/sizes"
)

// priced is a cloud in memory whose machines, disks and addresses have the names of a real one's, so that prices are known.
type priced struct{ *cloudtest.Cloud }

var (
	diskTypes = map[cloud.Provider]string{cloud.AWS: "gp3", cloud.GCP: "pd-balanced", cloud.Azure: "Premium_LRS"}
	addresses = map[cloud.Provider]string{cloud.AWS: "public-ipv4", cloud.GCP: "external-ipv4", cloud.Azure: "Standard", cloud.DigitalOcean: "assigned"}
)

// Blueprint implements cloud.Driver.
func (p priced) Blueprint(owner cloud.Owner, site cloud.Site) ([]cloud.Resource, error) {
	site.Machines = slices.Clone(site.Machines)
	for i, m := range site.Machines {
		site.Machines[i].Size = sizes.TypeName(string(p.Provider()), m.Size)
	}
	return p.Cloud.Blueprint(owner, site)
}

// Charges implements cloud.Driver.
func (p priced) Charges(spec any) []cloud.Charge {
	out := p.Cloud.Charges(spec)
	for i, c := range out {
		switch c.Part {
		case cloud.PartDisk:
			out[i].Type = diskTypes[p.Provider()]
		case cloud.PartAddress:
			out[i].Type = addresses[p.Provider()]
		}
	}
	return out
}
