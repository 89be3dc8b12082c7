package geo

import (
	"slices"
	"strings"
)

// Group is a metro: regions of different clouds that are close enough for one cluster.
type Group struct {
	Name string
	// Regions are its regions; of a cloud with several the first is the one to take.
	Regions []Place
}

// metros are named by hand: regions of at least two clouds, each pair of clouds under 10 ms by RTT. The first region of
// each cloud is the one that MetroRegion gives.
var metros = map[string]string{
	"us-east":       "aws/us-east-1 gcp/us-east4 azure/eastus digitalocean/nyc1 digitalocean/nyc3",
	"us-ohio":       "aws/us-east-2 gcp/us-east5",
	"us-southeast":  "gcp/us-east1 digitalocean/atl1",
	"us-central":    "gcp/us-central1 azure/centralus",
	"us-south":      "gcp/us-south1 azure/southcentralus",
	"us-southwest":  "gcp/us-west4 azure/westus3",
	"us-west":       "aws/us-west-2 gcp/us-west1 azure/westus2",
	"us-california": "aws/us-west-1 azure/westus digitalocean/sfo3",
	"toronto":       "gcp/northamerica-northeast2 azure/canadacentral digitalocean/tor1",
	"montreal":      "aws/ca-central-1 gcp/northamerica-northeast1 azure/canadaeast",
	"queretaro":     "aws/mx-central-1 gcp/northamerica-south1 azure/mexicocentral",
	"sao-paulo":     "aws/sa-east-1 gcp/southamerica-east1 azure/brazilsouth",
	"santiago":      "gcp/southamerica-west1 azure/chilecentral",
	"frankfurt":     "aws/eu-central-1 gcp/europe-west3 azure/germanywestcentral digitalocean/fra1",
	"london":        "aws/eu-west-2 gcp/europe-west2 azure/uksouth digitalocean/lon1",
	"paris":         "aws/eu-west-3 gcp/europe-west9 azure/francecentral",
	"dublin":        "aws/eu-west-1 azure/northeurope",
	"amsterdam":     "gcp/europe-west4 azure/westeurope digitalocean/ams3",
	"brussels":      "gcp/europe-west1 azure/belgiumcentral",
	"zurich":        "aws/eu-central-2 gcp/europe-west6 azure/switzerlandnorth",
	"milan":         "aws/eu-south-1 gcp/europe-west8 azure/italynorth",
	"madrid":        "gcp/europe-southwest1 azure/spaincentral aws/eu-south-2",
	"stockholm":     "aws/eu-north-1 gcp/europe-north2 azure/swedencentral",
	"warsaw":        "gcp/europe-central2 azure/polandcentral",
	"tel-aviv":      "aws/il-central-1 gcp/me-west1 azure/israelcentral",
	"dubai":         "aws/me-central-1 azure/uaenorth",
	"doha":          "gcp/me-central1 azure/qatarcentral",
	"johannesburg":  "gcp/africa-south1 azure/southafricanorth",
	"mumbai":        "aws/ap-south-1 gcp/asia-south1 azure/centralindia azure/westindia",
	"bangalore":     "digitalocean/blr1 azure/southindia",
	"singapore":     "aws/ap-southeast-1 gcp/asia-southeast1 azure/southeastasia digitalocean/sgp1",
	"kuala-lumpur":  "aws/ap-southeast-5 azure/malaysiawest",
	"jakarta":       "aws/ap-southeast-3 gcp/asia-southeast2 azure/indonesiacentral",
	"bangkok":       "aws/ap-southeast-7 gcp/asia-southeast3",
	"hong-kong":     "aws/ap-east-1 gcp/asia-east2 azure/eastasia",
	"taipei":        "aws/ap-east-2 gcp/asia-east1",
	"tokyo":         "aws/ap-northeast-1 gcp/asia-northeast1 azure/japaneast",
	"osaka":         "aws/ap-northeast-3 gcp/asia-northeast2 azure/japanwest",
	"seoul":         "aws/ap-northeast-2 gcp/asia-northeast3 azure/koreacentral",
	"sydney":        "aws/ap-southeast-2 gcp/australia-southeast1 azure/australiaeast digitalocean/syd1",
	"melbourne":     "aws/ap-southeast-4 gcp/australia-southeast2 azure/australiasoutheast",
	"auckland":      "aws/ap-southeast-6 azure/newzealandnorth",
}

// Metro returns the metro of that name.
func Metro(name string) (Group, bool) {
	list, ok := metros[name]
	if !ok {
		return Group{}, false
	}
	m := Group{Name: name}
	for word := range strings.FieldsSeq(list) {
		cloud, id, _ := strings.Cut(word, "/")
		if p, ok := Region(cloud, id); ok {
			m.Regions = append(m.Regions, p)
		}
	}
	return m, true
}

// Metros returns the names of all metros in order; with clouds given, of those that have a region of each.
func Metros(clouds ...string) []string {
	var names []string
	for name := range metros {
		lacks := func(cloud string) bool { _, ok := MetroRegion(name, cloud); return !ok }
		if !slices.ContainsFunc(clouds, lacks) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// MetroRegion returns the region that a cloud has in a metro; ok is false when the cloud isn't there or there is no such
// metro.
func MetroRegion(metro, cloud string) (p Place, ok bool) {
	m, _ := Metro(metro)
	for _, p := range m.Regions {
		if p.Cloud == cloud {
			return p, true
		}
	}
	return Place{}, false
}
