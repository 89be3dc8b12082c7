package azure

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

var fakeZones = []string{"eastus-1", "eastus-2", "eastus-3"}

// TestConformance runs the suite of all drivers on the SDK's fake servers.
func TestConformance(t *testing.T) {
	var a *fakeAzure // of the test that runs
	cloudtest.Run(t, cloudtest.Harness{
		New: func(t *testing.T) cloud.Driver {
			var d *Driver
			a, d = newFake(t)
			return d
		},
		Region: fakeRegion, Zones: fakeZones, UnknownSize: "Standard_D3s_v5", TooMany: true,
		Change: func(r cloud.Resource, field string) any {
			if s, ok := r.Spec.(*NetworkSpec); ok && field == "addressSpace" {
				c := *s
				c.AddressSpace = []string{s.AddressSpace[0], "172.20.0.0/16"}
				return &c
			}
			s, ok := r.Spec.(*InterfaceSpec)
			if !ok {
				return nil
			}
			c := *s
			switch field {
			case "allocation":
				c.Allocation = "Dynamic"
			case "privateAddress":
				c.PrivateAddress = "10.64.0.222"
			case "publicAddress":
				c.PublicAddress = ""
			case "securityGroup":
				c.SecurityGroup = "conf-nsg-node"
				if s.SecurityGroup == c.SecurityGroup {
					c.SecurityGroup = "conf-nsg-control-plane"
				}
			default:
				return nil
			}
			return &c
		},
		Terminate: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
			p := parsePath(strings.Split(m.ID, "#")[0])
			a.mu.Lock()
			defer a.mu.Unlock()
			a.unmakeMachine(a.machines[at(p.group, p.name)])
			delete(a.machines, at(p.group, p.name))
		},
		Stop: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
			p := parsePath(strings.Split(m.ID, "#")[0])
			a.mu.Lock()
			defer a.mu.Unlock()
			a.powers[at(p.group, p.name)] = "deallocated"
			a.machines[at(p.group, p.name)].Properties.StorageProfile.OSDisk.DiskSizeGB = nil // as Azure does
		},
	})
}

// built is a site on a fake.
func built(t *testing.T) (*fakeAzure, *Driver, *cloudtest.Built) {
	t.Helper()
	a, d := newFake(t)
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, cloudtest.DefaultSite("conf", fakeRegion, fakeZones))
	if err != nil {
		t.Fatal(err)
	}
	return a, d, b
}

// TestObserveLists counts the lists of a look at a site: one for each type, and one more for the states of machines.
func TestObserveLists(t *testing.T) {
	a, d, _ := built(t)
	a.calls, a.lists = map[string]int{}, nil
	a.machines = shelf[armcompute.VirtualMachine]{} // short enough for one page each
	a.interfaces, a.addresses, a.disks, a.groups = shelf[armnetwork.Interface]{}, shelf[armnetwork.PublicIPAddress]{}, shelf[armcompute.Disk]{}, shelf[armresources.ResourceGroup]{}
	if _, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, fakeRegion); err != nil {
		t.Fatal(err)
	}
	if len(a.lists) != 8 {
		t.Errorf("%d calls, want 7 lists of types and one of states:\n%s", len(a.lists), strings.Join(a.lists, "\n"))
	}
	for call, n := range a.calls {
		if want := map[bool]int{true: 2, false: 1}[strings.HasSuffix(call, "virtualmachines")]; n != want {
			t.Errorf("%s: %d times, want %d", call, n, want)
		}
	}
}

// group is the name of the site's resource group.
const group = "sw-00c0ffee-conf-group"

// TestForeignResources puts strangers' things where ours are: they stop the deletion by name, and stay.
func TestForeignResources(t *testing.T) {
	a, d, b := built(t)
	deleteAll := func(skip ...cloud.Kind) error {
		var errs []error
		for _, r := range slices.Backward(b.Resources) {
			if !slices.Contains(skip, r.Kind) {
				errs = append(errs, d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key]))
			}
		}
		return errors.Join(errs...)
	}
	network := a.networks[at(group, "sw-00c0ffee-conf-network")]
	network.Properties.Subnets = append(network.Properties.Subnets, &armnetwork.Subnet{ID: ptr(*network.ID + "/subnets/theirs"), Name: ptr("theirs")})
	stranger := "/subscriptions/" + fakeSubscription + "/resourceGroups/" + group + "/providers/Microsoft.Storage/storageAccounts/theirs2"
	a.strangers[group] = []string{stranger}
	if err := deleteAll(kindGroup); !isClass(err, cloud.Conflict) || !strings.Contains(err.Error(), "subnets/theirs") {
		t.Errorf("with a stranger's subnet: %v", err)
	}
	network.Properties.Subnets = network.Properties.Subnets[:1]
	err := deleteAll()
	if !isClass(err, cloud.Conflict) || !strings.Contains(err.Error(), "theirs2 (Microsoft.Storage/storageAccounts)") {
		t.Errorf("with a stranger's storage account: %v", err)
	}
	if a.groups[at(group, group)] == nil {
		t.Fatal("the group was deleted with a stranger's thing in it")
	}
	delete(a.strangers, group)
	if err := deleteAll(); err != nil {
		t.Errorf("without strangers: %v", err)
	}
	if len(a.groups)+len(a.watchers) != 0 {
		t.Errorf("left: groups %v, watchers %v", a.groups, a.watchers)
	}
}

// TestWatcherStays keeps what was there before, and what somebody uses.
func TestWatcherStays(t *testing.T) {
	for name, prepare := range map[string]func(a *fakeAzure){
		"there before": func(a *fakeAzure) { a.bringWatcher(fakeRegion) },
		"somebody's network": func(a *fakeAzure) {
			a.groups[at("theirs", "theirs")] = &armresources.ResourceGroup{ID: armID(kindGroup, "theirs", ""), Name: ptr("theirs"), Location: ptr("westus")}
			a.networks["theirs/net"] = &armnetwork.VirtualNetwork{ID: armID(kindNetwork, "theirs", "net"), Location: ptr("East US"), Properties: &armnetwork.VirtualNetworkPropertiesFormat{}}
		},
		"nobody's": func(*fakeAzure) {},
	} {
		a, d := newFake(t)
		prepare(a)
		b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, cloudtest.DefaultSite("conf", fakeRegion, fakeZones))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range slices.Backward(b.Resources) {
			if err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		want := 1
		if name == "nobody's" {
			want = 0
		}
		delete(a.groups, at("theirs", "theirs"))
		if len(a.watchers) != want || len(a.groups) != want {
			t.Errorf("%s: %d watchers and %d groups are left, want %d", name, len(a.watchers), len(a.groups), want)
		}
	}
}

// TestFailedMachine has Azure refuse a machine after it has begun to make it: what is left of that goes.
func TestFailedMachine(t *testing.T) {
	a, d := newFake(t)
	a.fault["LATE machine"] = "409 ZonalAllocationFailed"
	_, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, cloudtest.DefaultSite("conf", fakeRegion, fakeZones))
	if !isClass(err, cloud.Capacity) {
		t.Fatalf("error %v, want capacity", err)
	}
	if len(a.machines)+len(a.disks) != 0 {
		t.Errorf("%d machines and %d disks are left of one that failed", len(a.machines), len(a.disks))
	}
}

// TestFailedBefore finds a machine that an earlier try failed to make, with the same token and with another.
func TestFailedBefore(t *testing.T) {
	a, d, b := built(t)
	i := slices.IndexFunc(b.Resources, func(r cloud.Resource) bool { return r.Kind == kindMachine })
	r := b.Resources[i]
	if _, err := d.Create(t.Context(), b.Request(d, cloudtest.TestOwner, r, 2)); !isClass(err, cloud.AlreadyExists) {
		t.Errorf("another creation has other user data: %v", err)
	}
	name := at(group, cloudtest.TestOwner.ResourceName(r.Key))
	a.machines[name].Properties.ProvisioningState = ptr(stateFailed)
	if o, err := d.Create(t.Context(), b.Request(d, cloudtest.TestOwner, r, 1)); err != nil || o.ID != b.Objects[r.Key].ID {
		t.Errorf("it runs: id %s, error %v; want the same machine", o.ID, err)
	}
	a.powers[name] = ""
	o, err := d.Create(t.Context(), b.Request(d, cloudtest.TestOwner, r, 1))
	if err != nil || o.State != cloud.Ready || o.ID == b.Objects[r.Key].ID {
		t.Errorf("again: state %s, id %s, error %v; want another machine", o.State, o.ID, err)
	}
}

// TestDeleteOfAnother leaves alone what was made again under the same name.
func TestDeleteOfAnother(t *testing.T) {
	a, d, b := built(t)
	for _, key := range []string{"conf-node-conf-web-1", "conf-nsg-node", "conf-ip-conf-web-1"} {
		old := b.Objects[key]
		old.ID = strings.Split(old.ID, "#")[0] + "#11111111-2222-3333-4444-555555555555"
		if err := d.Delete(t.Context(), cloudtest.TestOwner, old); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if len(a.machines) != 3 || len(a.securities) != 2 || len(a.addresses) != 3 {
		t.Error("what was made again since was deleted")
	}
}

// TestStrangersDisk refuses to delete a machine that would take somebody's disk along.
func TestStrangersDisk(t *testing.T) {
	a, d, b := built(t)
	m := a.machines[at(group, "sw-00c0ffee-conf-node-conf-web-1")]
	m.Properties.StorageProfile.DataDisks = []*armcompute.DataDisk{{Name: ptr("photos"), DeleteOption: ptr(armcompute.DiskDeleteOptionTypesDelete)}}
	err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects["conf-node-conf-web-1"])
	if !isClass(err, cloud.Conflict) || !strings.Contains(err.Error(), "photos") {
		t.Errorf("error %v", err)
	}
	// And its own disk goes with it, though somebody has told that to stay.
	m.Properties.StorageProfile.DataDisks = nil
	m.Properties.StorageProfile.OSDisk.DeleteOption = ptr(armcompute.DiskDeleteOptionTypesDetach)
	if err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects["conf-node-conf-web-1"]); err != nil || len(a.disks) != 2 {
		t.Errorf("error %v, %d disks, want 2", err, len(a.disks))
	}
}

// TestConsole reads the last part of the log, and hides the link where that fails.
func TestConsole(t *testing.T) {
	_, d, b := built(t)
	m := b.Objects["conf-node-conf-web-1"]
	out, err := d.Console(t.Context(), m)
	if err != nil || len(out) != consoleLimit || !strings.HasSuffix(string(out), "the end") {
		t.Errorf("%d bytes, error %v", len(out), err)
	}
	d.http = &http.Client{Transport: broken{}}
	if _, err := d.Console(t.Context(), m); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }
