package gcp

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// accessName is what Google's own tools call an interface's way to the internet.
const accessName = "External NAT"

// hyperdiskFamilies are the machine families that boot from no persistent disk, as the documentation of machine families
// has it.
var hyperdiskFamilies = []string{"c4", "c4d", "n4", "n4d", "h4d", "m4", "x4"}

func diskType(machineType string) string {
	if slices.Contains(hyperdiskFamilies, family(machineType)) {
		return "hyperdisk-balanced"
	}
	return "pd-balanced"
}

func (w *work) instanceBody(s *InstanceSpec) (*compute.Instance, error) {
	if len(w.userData) == 0 {
		return nil, invalid("a machine needs user data")
	}
	subnet, err := w.ref(s.Subnetwork)
	if err != nil {
		return nil, err
	}
	access, err := w.access(s.PublicAddress)
	if err != nil {
		return nil, err
	}
	restart := s.AutomaticRestart
	zone := "zones/" + s.Zone + "/"
	nic := &compute.NetworkInterface{Subnetwork: subnet, NetworkIP: s.PrivateAddress, StackType: "IPV4_ONLY"}
	if access != nil {
		nic.AccessConfigs = []*compute.AccessConfig{access}
	}
	return &compute.Instance{
		Name: w.name, Description: w.description(), Labels: w.labels(w.res.Key), MachineType: zone + "machineTypes/" + s.Type,
		CanIpForward: s.CanIPForward, DeletionProtection: s.DeletionProtection, Tags: &compute.Tags{Items: s.Tags},
		Metadata: w.metadata(s.Metadata, string(w.userData)), NetworkInterfaces: []*compute.NetworkInterface{nic},
		Scheduling: &compute.Scheduling{AutomaticRestart: &restart},
		Disks: []*compute.AttachedDisk{{
			Boot: true, AutoDelete: s.DiskAutoDelete,
			InitializeParams: &compute.AttachedDiskInitializeParams{
				SourceImage: imageFamily, DiskType: zone + "diskTypes/" + diskType(s.Type), DiskSizeGb: int64(s.DiskGiB),
				Description: w.owner.Description(diskKey(w.res)), Labels: w.labels(diskKey(w.res)),
			},
		}},
	}, nil
}

// access is the way to the internet that a spec's public address asks for, nil for none.
func (w *work) access(public string) (*compute.AccessConfig, error) {
	if public == "" {
		return nil, nil
	}
	a := &compute.AccessConfig{Type: "ONE_TO_ONE_NAT", Name: accessName, NetworkTier: "PREMIUM"}
	if public == ephemeral {
		return a, nil
	}
	ref := w.refs[public]
	if !ref.Address.IsValid() {
		return nil, invalid("the request doesn't say which address %q is", public)
	}
	a.NatIP = ref.Address.String()
	return a, nil
}

func (*work) metadata(items map[string]string, userData string) *compute.Metadata {
	m := &compute.Metadata{Items: []*compute.MetadataItems{{Key: keyUserData, Value: &userData}}}
	for _, key := range slices.Sorted(maps.Keys(items)) {
		value := items[key]
		m.Items = append(m.Items, &compute.MetadataItems{Key: key, Value: &value})
	}
	return m
}

// userDataOf is the user data that an instance has now.
func userDataOf(i *compute.Instance) string {
	if i.Metadata == nil {
		return ""
	}
	for _, item := range i.Metadata.Items {
		if item.Key == keyUserData && item.Value != nil {
			return *item.Value
		}
	}
	return ""
}

// existingInstance wants an instance that is there already to be of this creation: one with other user data has another
// host key.
func (w *work) existingInstance(ctx context.Context, o cloud.Object, refusal error) (cloud.Object, error) {
	i, err := w.d.api.Instances.Get(w.d.project, o.Machine.Zone, w.name).Context(ctx).Do()
	if err != nil {
		return cloud.Object{}, err
	}
	if userDataOf(i) == string(w.userData) {
		return o, nil
	}
	class := cloud.AlreadyExists
	if i.Status == "STOPPING" || i.Status == "DEPROVISIONING" {
		class = cloud.Conflict // it may be on its way out
	}
	return cloud.Object{}, &cloud.Error{Class: class, Code: classify(refusal).Code, Message: o.ID + " is there from another creation"}
}

// consoleLimit is how much Console returns at most, in bytes.
const consoleLimit = 64 << 10

// Console returns the last part of what the machine wrote to its first serial port.
func (d *Driver) Console(ctx context.Context, machine cloud.Object) ([]byte, error) {
	out, err := d.console(ctx, machine)
	return out, failed("read the console of "+machine.Key, err)
}

func (d *Driver) console(ctx context.Context, machine cloud.Object) ([]byte, error) {
	p, err := parseID(machine.ID)
	if err != nil {
		return nil, err
	}
	// A negative start counts from the end.
	out, err := d.api.Instances.GetSerialPortOutput(p.project, p.location, p.name).Port(1).Start(-consoleLimit).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	text := []byte(out.Contents)
	return text[max(0, len(text)-consoleLimit):], nil
}
