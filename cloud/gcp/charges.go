package gcp

import "github.com/skyweld/skyweld/cloud"

// addressType is what Google bills for each external address that a machine has, static or not.
const addressType = "external-ipv4"

// Charges lists what a spec costs. A machine comes with its disk; of a disk that outlived its machine the type isn't known.
func (*Driver) Charges(spec any) []cloud.Charge {
	address := cloud.Charge{Part: cloud.PartAddress, Type: addressType}
	switch s := spec.(type) {
	case *InstanceSpec:
		out := []cloud.Charge{{Part: cloud.PartMachine, Type: s.Type}, {Part: cloud.PartDisk, Type: diskType(s.Type), GiB: s.DiskGiB}}
		if s.PublicAddress == ephemeral {
			out = append(out, address)
		}
		return out
	case *DiskSpec:
		return []cloud.Charge{{Part: cloud.PartDisk, Type: "disk", GiB: s.GiB}}
	case *AddressSpec:
		return []cloud.Charge{address}
	}
	return nil
}
