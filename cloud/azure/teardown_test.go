package azure

import (
	"net/http"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
)

// kindsInTable maps the names of docs/teardown.md to the driver's kinds.
var kindsInTable = map[string]cloud.Kind{
	"resource-group": kindGroup, "network-security-group": kindSecurity, "virtual-network": kindNetwork, "public-ip-address": kindAddress,
	"network-interface": kindInterface, "virtual-machine": kindMachine, "disk": kindDisk,
}

// partsInTable are the names of what is no resource by itself to the driver, or none that it makes.
var partsInTable = []string{"subnet", "security-rule", "route-table", "network-watcher", "operation", "resource"}

// TestTeardownTable holds the driver's kinds, their order and the classes of its errors against docs/teardown.md. What it
// does about the rows is tested on the lab, in internal/conformance.
func TestTeardownTable(t *testing.T) {
	rows := teardown.Of(teardown.Rows(t), teardown.Azure)
	known := teardown.Kinds[cloud.Kind]{Of: kindsInTable, Parts: partsInTable}
	for _, k := range (*Driver)(nil).Kinds() {
		known.Order = append(known.Order, k.Kind)
	}
	known.Check(t, rows)
	for _, r := range rows {
		if r.Creation || !r.Refused() {
			continue
		}
		status, code, operation := r.HTTP()
		if operation && status == 0 {
			status = http.StatusOK // that of the question
		}
		if class := classOfCode(code, "", status); class != cloud.Conflict {
			t.Errorf("row %s: the class of %s is %s", r.ID, r.Code, class)
		}
	}
}

// TestBlueprintFollowsTable wants every resource of a site to depend on one of each kind that it needs by the table.
func TestBlueprintFollowsTable(t *testing.T) {
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("conf", "eastus", []string{"eastus-1", "eastus-2", "eastus-3"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range teardown.Of(teardown.Rows(t), teardown.Azure) {
		if !r.Creation || r.Driver != teardown.Order {
			continue
		}
		if err := cloudtest.Needs(list, kindsInTable[r.Resource], kindsInTable[r.Other]); err != nil {
			t.Errorf("row %s: %v", r.ID, err)
		}
	}
}
