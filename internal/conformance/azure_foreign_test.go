package conformance_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// deleteAll tries to delete all of a site's resources, the latest kinds first, and returns what was refused, by key.
func (s *azureStage) deleteAll() map[string]error {
	s.t.Helper()
	refused := map[string]error{}
	for _, r := range slices.Backward(s.Resources) {
		if err := s.d.Delete(s.t.Context(), cloudtest.TestOwner, s.Objects[r.Key]); err != nil {
			refused[r.Key] = err
		}
	}
	return refused
}

// putForeign puts somebody's machine into our group, with its interface in our subnet; the result takes both away.
func (s *azureStage) putForeign() (gone func()) {
	s.t.Helper()
	ctx := s.t.Context()
	check := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	group, _ := azureName(s.Objects[azureNetwork])
	network, _, _ := strings.Cut(s.Objects[azureNetwork].ID, "#")
	nic, err := s.hand.interfaces.BeginCreateOrUpdate(ctx, group, "somebodys-nic", armnetwork.Interface{
		Location: to.Ptr(azureRegion),
		Properties: &armnetwork.InterfacePropertiesFormat{IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{
			Name: to.Ptr("a"), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{Subnet: &armnetwork.Subnet{ID: to.Ptr(network + "/subnets/nodes")}},
		}}},
	}, nil)
	check(azureDone(ctx, nic, err))
	made, err := s.hand.interfaces.Get(ctx, group, "somebodys-nic", nil)
	check(err)
	vm, err := s.hand.machines.BeginCreateOrUpdate(ctx, group, "somebodys-own", azureMachine("somebodys-own", *made.ID), nil)
	check(azureDone(ctx, vm, err))
	return func() {
		s.t.Helper()
		vm, err := s.hand.machines.BeginDelete(ctx, group, "somebodys-own", nil)
		check(azureDone(ctx, vm, err))
		nic, err := s.hand.interfaces.BeginDelete(ctx, group, "somebodys-nic", nil)
		check(azureDone(ctx, nic, err))
	}
}

// TestAzureForeignMachine puts somebody's machine into our group, with its interface in our subnet: it stops the network's
// deletion and the group's, by name and for good, and is left alone; all else goes, and when it is gone those two go too.
func TestAzureForeignMachine(t *testing.T) {
	s := newAzureStage(t)
	gone := s.putForeign()
	for range 2 { // as run after run does
		refused := s.deleteAll()
		if len(refused) != 2 {
			t.Fatalf("refused: %v, want the network and the group", refused)
		}
		for key, name := range map[string]string{azureNetwork: "somebodys-nic", azureSiteGroup: "somebodys-own (Microsoft.Compute/virtualMachines)"} {
			e, ok := errors.AsType[*cloud.Error](refused[key])
			if !ok || e.Class != cloud.Conflict || !e.Held || !strings.Contains(e.Error(), name) {
				t.Errorf("delete %s: %v, want a conflict that somebody has to end and that names %s", key, refused[key], name)
			}
		}
	}
	left := s.observe()
	if _, ok := left[azureNetwork]; len(left) != 2 || !ok {
		t.Errorf("observed: %v, want the network and the group", left)
	}
	for _, n := range []struct {
		kind cloud.Kind
		want int
	}{{"virtual-machine", 1}, {"network-interface", 1}, {"disk", 1}, {"public-ip-address", 0}, {"network-security-group", 0}} {
		if got := s.count(n.kind); got != n.want {
			t.Errorf("%d of kind %s, want %d", got, n.kind, n.want)
		}
	}

	gone()
	if refused := s.deleteAll(); len(refused) > 0 {
		t.Fatalf("still refused: %v", refused)
	}
	items, err := s.d.Inventory(t.Context())
	if err != nil || len(items) > 0 {
		t.Errorf("left in the account, which was empty: %v, error %v", items, err)
	}
}
