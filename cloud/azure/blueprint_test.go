package azure

import (
	"flag"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestBlueprintGolden(t *testing.T) {
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("azure", fakeRegion, fakeZones))
	if err != nil {
		t.Fatal(err)
	}
	cloudtest.Golden(t, *update, "blueprint.json", list)
}

// TestMachineGolden holds the body of the call that makes a machine; the key that nobody has is another each time.
func TestMachineGolden(t *testing.T) {
	d := &Driver{subscription: fakeSubscription}
	list, err := d.Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("azure", fakeRegion, fakeZones))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		s, ok := r.Spec.(*MachineSpec)
		if !ok {
			continue
		}
		refs := map[string]cloud.Object{s.Interface: {ID: d.path(kindInterface, group, "nic") + "#1"}}
		w, err := d.work(cloudtest.TestOwner, r, refs)
		if err != nil {
			t.Fatal(err)
		}
		w.token, w.userData = strings.Repeat("ab", 16), []byte("#cloud-config\n{}\n")
		body, err := w.machineBody(s)
		if err != nil {
			t.Fatal(err)
		}
		key := body.Properties.OSProfile.LinuxConfiguration.SSH.PublicKeys[0]
		if !strings.HasPrefix(*key.KeyData, "ssh-ed25519 ") {
			t.Errorf("key %q", *key.KeyData)
		}
		key.KeyData = ptr("ssh-ed25519 …")
		cloudtest.Golden(t, *update, "machine.json", body)
		return
	}
}

func TestBlueprintRegionWithoutZones(t *testing.T) {
	list, err := (*Driver)(nil).Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("azure", "westus", []string{"westus"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if s, ok := r.Spec.(*MachineSpec); ok && (s.Zone != "westus" || zonesBody(s.Zone, r.Region) != nil) {
			t.Errorf("%s: zone %s, zones %v", r.Key, s.Zone, zonesBody(s.Zone, r.Region))
		}
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name    string
		ok, arm bool
		disk    string
	}{
		{"Standard_B2s", true, false, "Premium_LRS"},
		{"Standard_D4s_v5", true, false, "Premium_LRS"},
		{"Standard_D4_v5", true, false, "StandardSSD_LRS"},
		{"Standard_D4ps_v5", true, true, "Premium_LRS"},
		{"Standard_E4-2ds_v5", true, false, "Premium_LRS"},
		{"Standard_NC24ads_A100_v4", true, false, "Premium_LRS"},
		{"medium", false, false, "StandardSSD_LRS"},
		{"Standard_", false, false, "StandardSSD_LRS"},
		{"m5.large", false, false, "StandardSSD_LRS"},
	} {
		if typePattern.MatchString(c.name) != c.ok || isARM(c.name) != c.arm || diskType(c.name) != c.disk {
			t.Errorf("%s: a type %v, ARM %v, disk %s", c.name, typePattern.MatchString(c.name), isARM(c.name), diskType(c.name))
		}
	}
}

func TestPaths(t *testing.T) {
	want := "/subscriptions/s/resourceGroups/group/providers/Microsoft.Compute/virtualMachines/one"
	for _, given := range []string{want, "/subscriptions/S/resourcegroups/GROUP/providers/microsoft.compute/virtualmachines/One", want + "/"} {
		if got := pathOf(given); got != want {
			t.Errorf("%s: %s", given, got)
		}
	}
	if p := parsePath(want); p.kind != kindMachine || p.group != "group" || p.name != "one" {
		t.Errorf("%+v", p)
	}
	if p := parsePath("/subscriptions/s/resourceGroups/G"); p.kind != kindGroup || p.group != "g" || p.name != "g" {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"", "#", "i-0123", "/subscriptions/s", want} {
		if _, err := parseID(bad); !isClass(err, cloud.Invalid) {
			t.Errorf("id %q: %v", bad, err)
		}
	}
	if got := parent("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"); got != "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v" {
		t.Errorf("parent %s", got)
	}
}
