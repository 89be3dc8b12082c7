package aws

import (
	"slices"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
)

// kindsInTable maps the names of docs/teardown.md to the driver's kinds.
var kindsInTable = map[string]cloud.Kind{
	"vpc": kindVPC, "subnet": kindSubnet, "internet-gateway": kindGateway, "route-table": kindRouteTable, "security-group": kindSecurityGroup,
	"address": kindAddress, "address-association": kindAssociation, "instance": kindInstance, "volume": kindVolume, "network-interface": kindInterface,
}

// partsInTable are the names of what is no resource by itself to the driver.
var partsInTable = []string{
	"route", "route-table-association", "security-group-rule", "main-route-table", "default-security-group", "network-acl", "dhcp-options",
	"termination-protection", "image", "key-pair",
}

// notConflicts are the refused deletions whose code alone isn't taken for a conflict: the driver gets none of them, but for
// that of an interface in use, which it tells by its text.
var notConflicts = []string{"aws-main-association", "aws-local-route", "aws-default-group", "aws-interface-instance"}

// TestTeardownTable holds the driver's kinds, their order and the classes of its errors against docs/teardown.md. What it
// does about the rows is tested on the lab, in internal/conformance.
func TestTeardownTable(t *testing.T) {
	rows := teardown.Of(teardown.Rows(t), teardown.AWS)
	known := teardown.Kinds[cloud.Kind]{Of: kindsInTable, Parts: partsInTable}
	for _, k := range (*Driver)(nil).Kinds() {
		known.Order = append(known.Order, k.Kind)
	}
	known.Check(t, rows)
	for _, r := range rows {
		if r.Creation || !r.Refused() {
			continue
		}
		if class := classOfCode(r.Code, 400); (class == cloud.Conflict) == slices.Contains(notConflicts, r.ID) {
			t.Errorf("row %s: the class of %s is %s", r.ID, r.Code, class)
		}
	}
}

// TestBlueprintFollowsTable wants every resource of a site to depend on one of each kind that it needs by the table.
func TestBlueprintFollowsTable(t *testing.T) {
	site := cloudtest.DefaultSite("conf", "us-east-1", []string{"us-east-1a", "us-east-1b", "us-east-1c"})
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range teardown.Of(teardown.Rows(t), teardown.AWS) {
		if !r.Creation || r.Driver != teardown.Order {
			continue
		}
		if err := cloudtest.Needs(list, kindsInTable[r.Resource], kindsInTable[r.Other]); err != nil {
			t.Errorf("row %s: %v", r.ID, err)
		}
	}
}
