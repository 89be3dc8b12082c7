package cloudtest

import (
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// Charges lists what a spec costs.
func (c *Cloud) Charges(spec any) []cloud.Charge {
	address := cloud.Charge{Part: cloud.PartAddress, Type: "address"}
	switch s := spec.(type) {
	case *MachineSpec:
		out := []cloud.Charge{{Part: cloud.PartMachine, Type: s.Type}, {Part: cloud.PartDisk, Type: "disk", GiB: s.DiskGiB}}
		if s.PublicAddress {
			out = append(out, address)
		}
		return out
	case *AddressSpec:
		return []cloud.Charge{address}
	}
	return nil
}

// checkCharges holds that whatever is a machine is paid for as one machine, and nothing else is; and that what is paid for
// has a name that a price can be found by.
func checkCharges(t *testing.T, d cloud.Driver, kinds map[cloud.Kind]cloud.KindInfo, list []cloud.Resource) {
	t.Helper()
	for _, r := range list {
		machines := 0
		for _, c := range d.Charges(r.Spec) {
			if c.Type == "" || c.Part == cloud.PartDisk && c.GiB == 0 {
				t.Errorf("%s is charged as %+v", r.Key, c)
			}
			if c.Part == cloud.PartMachine {
				machines++
			}
		}
		if machines != 0 != kinds[r.Kind].Machine || machines > 1 {
			t.Errorf("%s, a %s, is charged as %d machines", r.Key, r.Kind, machines)
		}
	}
}
