package aws

import "github.com/skyweld/skyweld/cloud"

// What Amazon bills beside machines: every public IPv4 address, be it an Elastic one or one that comes with a machine.
const (
	diskType    = "gp3"
	addressType = "public-ipv4"
)

// Charges lists what a spec costs. A machine comes with its disk.
func (*Driver) Charges(spec any) []cloud.Charge {
	address := cloud.Charge{Part: cloud.PartAddress, Type: addressType}
	switch s := spec.(type) {
	case *InstanceSpec:
		out := []cloud.Charge{{Part: cloud.PartMachine, Type: s.Type}, {Part: cloud.PartDisk, Type: diskType, GiB: s.DiskGiB}}
		if s.PublicAddress {
			out = append(out, address)
		}
		return out
	case *VolumeSpec:
		return []cloud.Charge{{Part: cloud.PartDisk, Type: diskType, GiB: s.GiB}}
	case *AddressSpec:
		return []cloud.Charge{address}
	}
	return nil
}
