package digitalocean

import (
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
)

// kindsInTable maps the names of docs/teardown.md to the driver's kinds.
var kindsInTable = map[string]cloud.Kind{
	"tag": kindTag, "vpc": kindVPC, "firewall": kindFirewall, "droplet": kindDroplet, "reserved-ip": kindReserved,
}

// partsInTable are the names of what is no resource by itself to the driver, or none that it makes.
var partsInTable = []string{"default-vpc", "region", "action", "assignment", "volume"}

// words are what DigitalOcean says where the table's id alone would tell nothing.
var words = map[string]string{
	"digitalocean-default-vpc":    "Can not delete default VPCs",
	"digitalocean-droplet-event":  "Droplet already has a pending event.",
	"digitalocean-reserved-event": "The floating IP already has a pending event.",
}

// TestTeardownTable holds the driver's kinds, their order and the classes of its errors against docs/teardown.md. What it
// does about the rows is tested on the lab, in internal/conformance.
func TestTeardownTable(t *testing.T) {
	rows := teardown.Of(teardown.Rows(t), teardown.DigitalOcean)
	known := teardown.Kinds[cloud.Kind]{Of: kindsInTable, Parts: partsInTable}
	for _, k := range (*Driver)(nil).Kinds() {
		known.Order = append(known.Order, k.Kind)
	}
	known.Check(t, rows)
	for _, r := range rows {
		if r.Creation || !r.Refused() {
			continue
		}
		status, _, _ := r.HTTP()
		if class := classOf(status, words[r.ID]); class != cloud.Conflict {
			t.Errorf("row %s: the class of %s is %s", r.ID, r.Code, class)
		}
	}
}

// TestBlueprintFollowsTable wants every resource of a site to depend on one of each kind that it needs by the table.
func TestBlueprintFollowsTable(t *testing.T) {
	list := testBlueprint(t)
	for _, r := range teardown.Of(teardown.Rows(t), teardown.DigitalOcean) {
		if !r.Creation || r.Driver != teardown.Order {
			continue
		}
		if err := cloudtest.Needs(list, kindsInTable[r.Resource], kindsInTable[r.Other]); err != nil {
			t.Errorf("row %s: %v", r.ID, err)
		}
	}
}
