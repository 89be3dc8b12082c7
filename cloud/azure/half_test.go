package azure

import (
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// TestHalfMade has Azure fail to make or to change parts of the network: each is seen as of no use, and is good again after
// it was put once more, as what it was.
func TestHalfMade(t *testing.T) {
	a, d, b := built(t)
	failed := ptr(armnetwork.ProvisioningStateFailed)
	for _, key := range []string{"conf-nsg-node", "conf-network", "conf-ip-conf-web-1", "conf-nic-conf-web-1"} {
		where := at(group, cloudtest.TestOwner.ResourceName(key))
		switch {
		case a.securities[where] != nil:
			a.securities[where].Properties.ProvisioningState = failed
		case a.networks[where] != nil:
			a.networks[where].Properties.ProvisioningState = failed
		case a.addresses[where] != nil:
			a.addresses[where].Properties.ProvisioningState = failed
		case a.interfaces[where] != nil:
			a.interfaces[where].Properties.ProvisioningState = failed
		}
		list, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, fakeRegion)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(o cloud.Object) bool { return o.Key == key })
		if i < 0 || list[i].State != cloud.Stopped {
			t.Fatalf("%s, whose making has failed, is observed as %+v", key, list[max(i, 0)])
		}
		r := b.Resources[slices.IndexFunc(b.Resources, func(r cloud.Resource) bool { return r.Key == key })]
		if diff, err := cloudtest.Differences(r.Spec, list[i].Spec); err != nil || len(diff) > 0 {
			t.Errorf("%s differs in %v (error %v)", key, diff, err)
		}
		o, err := d.Update(t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: r, Object: list[i], Fields: []string{cloud.FieldState}, Refs: b.Objects})
		if err != nil || o.State != cloud.Ready {
			t.Errorf("%s, put again, is %s: %v", key, o.State, err)
		}
		if diff, err := cloudtest.Differences(r.Spec, o.Spec); err != nil || len(diff) > 0 {
			t.Errorf("%s, put again, differs in %v (error %v)", key, diff, err)
		}
	}
}
