package gcp

import (
	"slices"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
)

// kindsInTable maps the names of docs/teardown.md to the driver's kinds.
var kindsInTable = map[string]cloud.Kind{
	"network": kindNetwork, "subnetwork": kindSubnetwork, "firewall": kindFirewall, "address": kindAddress, "instance": kindInstance, "disk": kindDisk,
}

// partsInTable are the names of what is no resource by itself to the driver.
var partsInTable = []string{
	"route", "default-route", "local-route", "auto-subnetwork", "internal-address", "access-config", "deletion-protection", "operation",
}

// notConflicts are the refused deletions whose code isn't taken for a conflict: the driver gets none of them. It looks for a
// protection before it asks.
var notConflicts = []string{"gcp-auto-subnetwork", "gcp-local-route", "gcp-instance-protected"}

// TestTeardownTable holds the driver's kinds, their order and the classes of its errors against docs/teardown.md. What it
// does about the rows is tested on the lab, in internal/conformance.
func TestTeardownTable(t *testing.T) {
	rows := teardown.Of(teardown.Rows(t), teardown.GCP)
	known := teardown.Kinds[cloud.Kind]{Of: kindsInTable, Parts: partsInTable}
	for _, k := range (*Driver)(nil).Kinds() {
		known.Order = append(known.Order, k.Kind)
	}
	known.Check(t, rows)
	for _, r := range rows {
		if r.Creation || !r.Refused() {
			continue
		}
		status, reason, _ := r.HTTP()
		if class := classOfCode(reason, status); (class == cloud.Conflict) == slices.Contains(notConflicts, r.ID) {
			t.Errorf("row %s: the class of %s is %s", r.ID, r.Code, class)
		}
	}
}

// TestBlueprintFollowsTable wants every resource of a site to depend on one of each kind that it needs by the table.
func TestBlueprintFollowsTable(t *testing.T) {
	site := cloudtest.DefaultSite("conf", "us-east4", []string{"us-east4-a", "us-east4-b", "us-east4-c"})
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range teardown.Of(teardown.Rows(t), teardown.GCP) {
		if !r.Creation || r.Driver != teardown.Order || r.ID == "gcp-make-instance-address" {
			continue // only machines of the control plane have an address of their own
		}
		if err := cloudtest.Needs(list, kindsInTable[r.Resource], kindsInTable[r.Other]); err != nil {
			t.Errorf("row %s: %v", r.ID, err)
		}
	}
}
