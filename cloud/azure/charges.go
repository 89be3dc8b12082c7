package azure

import "github.com/skyweld/skyweld/cloud"

// Charges lists what a spec costs. A machine comes with its disk; of a disk that outlived its machine the type isn't known.
func (*Driver) Charges(spec any) []cloud.Charge {
	switch s := spec.(type) {
	case *MachineSpec:
		return []cloud.Charge{{Part: cloud.PartMachine, Type: s.Type}, {Part: cloud.PartDisk, Type: s.DiskType, GiB: s.DiskGiB}}
	case *DiskSpec:
		return []cloud.Charge{{Part: cloud.PartDisk, Type: "disk", GiB: s.GiB}}
	case *AddressSpec:
		return []cloud.Charge{{Part: cloud.PartAddress, Type: s.SKU}}
	}
	return nil
}
