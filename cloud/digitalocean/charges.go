package digitalocean

import "github.com/skyweld/skyweld/cloud"

// Charges lists what a spec costs. A droplet's disk and its own public address are in its price; a reserved address is billed
// only while no droplet has it.
func (*Driver) Charges(spec any) []cloud.Charge {
	switch s := spec.(type) {
	case *DropletSpec:
		return []cloud.Charge{{Part: cloud.PartMachine, Type: s.Size}}
	case *ReservedSpec:
		if s.Droplet == "" {
			return []cloud.Charge{{Part: cloud.PartAddress, Type: "unassigned"}}
		}
		return []cloud.Charge{{Part: cloud.PartAddress, Type: "assigned"}}
	}
	return nil
}
