package cloud

// Part is what a charge is for.
type Part string

// The parts of a bill, as far as it can be known beforehand.
const (
	PartMachine Part = "machine"
	PartDisk    Part = "disk"
	PartAddress Part = "address"
)

// Charge is something that a cloud bills for as long as a resource is there. What it bills by use, like traffic, is none.
type Charge struct {
	Part Part `json:"part" enum:"machine,disk,address"`
	// Type is the cloud's own word for what it is: a machine type, a type of disk, a kind of address.
	Type string `json:"type"`
	// GiB is the size of a disk.
	GiB int `json:"gib,omitempty"`
}
