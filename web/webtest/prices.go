package webtest

import (
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/sizes"
)

// priced is a cloud in memory whose machines, disks and addresses have the names of a real one's, so that prices are known.
type priced struct{ *cloudtest.Cloud }

var (
	sizeOfType = map[string]string{"t2": "small", "t4": "medium", "t8": "large"}
	diskTypes  = map[cloud.Provider]string{cloud.AWS: "gp3", cloud.GCP: "pd-balanced", cloud.Azure: "Premium_LRS"}
	addresses  = map[cloud.Provider]string{cloud.AWS: "public-ipv4", cloud.GCP: "external-ipv4", cloud.Azure: "Standard", cloud.DigitalOcean: "assigned"}
)

// Charges implements cloud.Driver.
func (p priced) Charges(spec any) []cloud.Charge {
	out := p.Cloud.Charges(spec)
	for i, c := range out {
		switch c.Part {
		case cloud.PartMachine:
			out[i].Type = sizes.TypeName(string(p.Provider()), sizeOfType[c.Type])
		case cloud.PartDisk:
			out[i].Type = diskTypes[p.Provider()]
		case cloud.PartAddress:
			out[i].Type = addresses[p.Provider()]
		}
	}
	return out
}
